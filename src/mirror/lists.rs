//! Which versions a list names and which one is the latest: pure, computed from the catalog.

use std::collections::BTreeSet;

use crate::domain::module::Version;

/// What the catalog knows of one version of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The version.
    pub version: Version,
    /// Whether its zip can be had in the site. A version that is known by its go.mod only is not listed: what is listed
    /// can be served (GOPROXY.md, fact 12).
    pub has_zip: bool,
}

/// What they take in memory, in bytes, about.
pub(super) fn bytes(known: &[Known]) -> usize {
    known.iter().map(|known| size_of::<Known>() + known.version.as_str().len()).sum()
}

/// The body of `@v/list`: tagged versions, one a line, in semantic order, without duplicates. Pseudo-versions are never
/// in it (fact 11).
#[must_use]
pub fn list_body(known: &[Known], upstream: &BTreeSet<Version>) -> String {
    let ours = known.iter().filter(|known| known.has_zip).map(|known| &known.version);
    let all: BTreeSet<&Version> = ours.chain(upstream).filter(|version| !version.is_pseudo()).collect();
    all.into_iter().fold(String::new(), |body, version| body + version.as_str() + "\n")
}

/// The latest of the known versions (fact 13): the highest release, else the highest pre-release, else the newest
/// pseudo-version. A version without its zip counts only where there is no other: it could not be built with.
#[must_use]
pub fn latest(known: &[Known]) -> Option<&Version> {
    let rank = |known: &&Known| {
        let class = match &known.version {
            version if version.is_pseudo() => 0,
            version if version.is_prerelease() => 1,
            _ => 2,
        };
        // `v2.0.0+incompatible` ranks below what declares itself a module (cmd/go, `go get`: "latest" avoids it).
        (known.has_zip, class, !known.version.is_incompatible())
    };
    known
        .iter()
        .max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.version.cmp(&b.version)))
        .map(|known| &known.version)
}

/// The version that a hexadecimal query means, if it is the short or long form of a known pseudo-version's revision
/// (fact 9): answers without a network. At least 7 digits, as git shows them; ambiguity is no answer.
#[must_use]
pub fn by_revision<'a>(known: &'a [Known], query: &str) -> Option<&'a Version> {
    let hex = query.len() >= 7
        && query.len() <= 64
        && query.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !hex {
        return None;
    }
    let fits =
        |known: &&Known| known.version.pseudo_rev().is_some_and(|rev| rev.starts_with(query) || query.starts_with(rev));
    let mut found = known.iter().filter(fits).map(|known| &known.version);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The highest known version that a prefix query such as `v1` or `v1.2` means: releases before pre-releases.
#[must_use]
pub fn by_prefix<'a>(known: &'a [Known], query: &str) -> Option<&'a Version> {
    let parts: Vec<&str> = query.strip_prefix('v')?.split('.').collect();
    let plain = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() > 2 || !parts.iter().all(plain) {
        return None;
    }
    let prefix = format!("{query}.");
    let fits: Vec<Known> = known
        .iter()
        .filter(|known| known.has_zip && !known.version.is_pseudo() && known.version.as_str().starts_with(&prefix))
        .cloned()
        .collect();
    let best = latest(&fits)?.clone();
    known.iter().map(|known| &known.version).find(|version| **version == best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(versions: &[(&str, bool)]) -> Vec<Known> {
        versions.iter().map(|(v, has_zip)| Known { version: Version::parse(v).unwrap(), has_zip: *has_zip }).collect()
    }

    fn name(version: Option<&Version>) -> Option<&str> {
        version.map(Version::as_str)
    }

    const PSEUDO: &str = "v0.0.0-20240102030405-0123456789ab";
    const NEWER_PSEUDO: &str = "v0.0.0-20250102030405-ab3456789abc";

    #[test]
    fn fact_11_and_12_a_list_is_sorted_and_has_no_pseudo_versions() {
        let ours =
            known(&[("v1.10.0", true), ("v1.9.0", true), (PSEUDO, true), ("v1.8.0", false), ("v1.9.0-rc.1", true)]);
        let upstream = ["v1.9.0", "v1.11.0"].map(|v| Version::parse(v).unwrap()).into_iter().collect();
        assert_eq!(list_body(&ours, &upstream), "v1.9.0-rc.1\nv1.9.0\nv1.10.0\nv1.11.0\n");
        assert_eq!(list_body(&known(&[(PSEUDO, true)]), &BTreeSet::new()), "");
    }

    #[test]
    fn fact_13_latest_is_a_release_then_a_pre_release_then_a_pseudo_version() {
        let all = [("v1.0.0", true), ("v1.1.0-rc.1", true), (PSEUDO, true), (NEWER_PSEUDO, true)];
        assert_eq!(name(latest(&known(&all))), Some("v1.0.0"));
        assert_eq!(name(latest(&known(&all[1..]))), Some("v1.1.0-rc.1"));
        assert_eq!(name(latest(&known(&all[2..]))), Some(NEWER_PSEUDO));
        assert_eq!(name(latest(&known(&[("v1.0.0", true), ("v1.5.0", false)]))), Some("v1.0.0"));
        assert_eq!(name(latest(&known(&[("v1.0.0", false), ("v1.5.0", false)]))), Some("v1.5.0"));
        assert_eq!(name(latest(&known(&[("v1.0.0", true), ("v2.0.0+incompatible", true)]))), Some("v1.0.0"));
        assert_eq!(name(latest(&[])), None);
    }

    #[test]
    fn fact_09_a_short_hash_means_a_known_pseudo_version() {
        let all = known(&[("v1.0.0", true), (PSEUDO, true), (NEWER_PSEUDO, false)]);
        assert_eq!(name(by_revision(&all, "0123456")), Some(PSEUDO));
        assert_eq!(name(by_revision(&all, "0123456789abcdef0123456789abcdef01234567")), Some(PSEUDO));
        assert_eq!(name(by_revision(&all, "ab34567")), Some(NEWER_PSEUDO));
        assert_eq!(name(by_revision(&all, "012345")), None, "too short");
        assert_eq!(name(by_revision(&all, "main")), None);
        let twins = known(&[(PSEUDO, true), ("v0.0.0-20240102030406-0123456789ff", true)]);
        assert_eq!(name(by_revision(&twins, "0123456")), None, "ambiguous");
    }

    #[test]
    fn fact_09_a_prefix_means_the_highest_release_under_it() {
        let all =
            known(&[("v1.2.3", true), ("v1.2.10", true), ("v1.3.0-rc.1", true), ("v1.2.11", false), ("v10.0.0", true)]);
        assert_eq!(name(by_prefix(&all, "v1")), Some("v1.2.10"));
        assert_eq!(name(by_prefix(&all, "v1.2")), Some("v1.2.10"));
        assert_eq!(name(by_prefix(&all, "v1.3")), Some("v1.3.0-rc.1"));
        assert_eq!(name(by_prefix(&all, "v2")), None);
        for query in ["v", "1", "v1.", "v1.2.3", "main", ""] {
            assert_eq!(name(by_prefix(&all, query)), None, "{query}");
        }
    }
}
