//! Canonical versions and pseudo-versions (golang.org/x/mod/module, `pseudo.go`).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::BadModule;
use super::path::{escape, unescape};
use super::semver::{Semver, canonical, compare_semver};

const WHAT: &str = "canonical version";
const INCOMPATIBLE: &str = "+incompatible";
/// Digits of a pseudo-version's time, `yyyymmddhhmmss`.
const STAMP: usize = 14;

/// A canonical version: `v1.2.3`, `v1.2.3-pre`, a pseudo-version, each perhaps with `+incompatible`.
///
/// Ordered as golang.org/x/mod/semver orders; of two that differ only in `+incompatible` the one without comes first.
/// Cloning shares the text. Its characters are safe in file names on every system, as its grammar has only letters,
/// digits, `.`, `-` and one `+`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Version(Arc<str>);

impl Version {
    /// Parses and checks.
    ///
    /// # Errors
    /// [`BadModule`] says what the canonical form would be, if there is one.
    pub fn parse(text: &str) -> Result<Self, BadModule> {
        match canonical(text) {
            Some(canonical) if canonical == text => Ok(Self(text.into())),
            Some(canonical) => Err(BadModule::new(WHAT, text, format!("its canonical form is {canonical}"))),
            None => Err(BadModule::new(WHAT, text, "a version looks like v1.2.3 or v1.2.3-pre")),
        }
    }

    /// Parses the spelling of URLs and of the module cache, where `!x` stands for `X`.
    ///
    /// # Errors
    /// [`BadModule`] for a raw upper-case letter, a `!` that no lower-case letter follows, and all that
    /// [`Version::parse`] refuses.
    pub fn from_escaped(escaped: &str) -> Result<Self, BadModule> {
        let text = unescape(escaped).map_err(|reason| BadModule::new(WHAT, escaped, reason))?;
        Self::parse(&text)
    }

    /// As written in go.mod (not escaped).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling of URLs and of the module cache.
    #[must_use]
    pub fn escaped(&self) -> String {
        escape(&self.0)
    }

    /// `v` and the major number, such as `v2`.
    #[must_use]
    pub fn major(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }

    /// Whether it has a pre-release part (every pseudo-version has).
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        Semver::parse(&self.0).is_some_and(|semver| !semver.prerelease.is_empty())
    }

    /// Whether it ends with `+incompatible`: a `v2` or higher of a module whose path has no `/v2`.
    #[must_use]
    pub fn is_incompatible(&self) -> bool {
        self.0.ends_with(INCOMPATIBLE)
    }

    /// Whether it names a commit rather than a tag, in one of the three forms of golang.org/ref/mod#pseudo-versions.
    #[must_use]
    pub fn is_pseudo(&self) -> bool {
        self.pseudo_parts().is_some()
    }

    /// The commit that a pseudo-version names: 12 hexadecimal digits with git (other letters and lengths are legal).
    #[must_use]
    pub fn pseudo_rev(&self) -> Option<&str> {
        self.pseudo_parts().map(|(_, rev)| rev)
    }

    /// The time of the commit that a pseudo-version names, as `.info` spells it (RFC 3339 in UTC, to the second).
    /// `None` also where the digits are no date.
    #[must_use]
    pub fn pseudo_time(&self) -> Option<String> {
        self.pseudo_parts().and_then(|(stamp, _)| rfc3339(stamp))
    }

    /// Time stamp and revision; the same language as `pseudoVersionRE` of golang.org/x/mod/module.
    fn pseudo_parts(&self) -> Option<(&str, &str)> {
        let text = self.0.strip_suffix(INCOMPATIBLE).unwrap_or(&self.0);
        let (head, rev) = text.rsplit_once('-')?;
        let (base, stamp) = head.split_at_checked(head.len().checked_sub(STAMP)?)?;
        let (core, pre) = base.split_once('-')?;
        let base_fits = match pre {
            "" => core.ends_with(".0.0"),
            _ => pre == "0." || pre.ends_with(".0."),
        };
        let is_stamp = stamp.bytes().all(|b| b.is_ascii_digit());
        let is_rev = !rev.is_empty() && rev.bytes().all(|b| b.is_ascii_alphanumeric());
        (base_fits && is_stamp && is_rev).then_some((stamp, rev))
    }
}

fn rfc3339(stamp: &str) -> Option<String> {
    let (year, rest) = stamp.split_at_checked(4)?;
    let mut pairs = rest.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or(""));
    let (month, day) = (pairs.next()?, pairs.next()?);
    let (hour, minute, second) = (pairs.next()?, pairs.next()?, pairs.next()?);
    let y: u32 = year.parse().ok()?;
    let leap = y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let days = match month {
        "01" | "03" | "05" | "07" | "08" | "10" | "12" => "31",
        "04" | "06" | "09" | "11" => "30",
        "02" if leap => "29",
        "02" => "28",
        _ => return None,
    };
    let is_date = ("01"..=days).contains(&day) && hour < "24" && minute < "60" && second < "60";
    is_date.then(|| format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // The text decides between v1.0.0 and v1.0.0+incompatible, which Compare holds equal.
        compare_semver(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
