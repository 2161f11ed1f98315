//! Go's semantic versions: golang.org/x/mod/semver, which unlike semver.org wants the `v` and allows `v1` and `v1.2`.
//!
//! Numbers stay text and are compared by length first, so that no number of digits overflows anything.

use std::cmp::Ordering;

/// The parts of a valid version; `v1` and `v1.2` have the rest filled up with `0`.
pub(super) struct Semver<'a> {
    pub(super) major: &'a str,
    pub(super) minor: &'a str,
    pub(super) patch: &'a str,
    /// Without its `-`; empty if there is none.
    pub(super) prerelease: &'a str,
    /// Without its `+`; empty if there is none.
    pub(super) build: &'a str,
}

impl<'a> Semver<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v')?;
        let (text, build) = cut(text, '+')?;
        let (core, prerelease) = cut(text, '-')?;
        let mut numbers = core.split('.');
        let major = numbers.next()?;
        let (minor, patch) = (numbers.next(), numbers.next());
        let short = patch.is_none();
        let semver = Self { major, minor: minor.unwrap_or("0"), patch: patch.unwrap_or("0"), prerelease, build };
        let sound = numbers.next().is_none()
            && [semver.major, semver.minor, semver.patch].into_iter().all(is_number)
            && !(short && (!prerelease.is_empty() || !build.is_empty()))
            && identifiers(prerelease).all(|id| is_identifier(id) && (is_number(id) || !is_digits(id)))
            && identifiers(build).all(is_identifier);
        sound.then_some(semver)
    }
}

/// Orders two versions as `Compare` of golang.org/x/mod/semver does: build metadata does not count, and a text that
/// is no version comes before all that are (and equals its like). For text that is not canonical; a
/// [`Version`](super::Version) has `Ord`.
#[must_use]
pub fn compare_semver(a: &str, b: &str) -> Ordering {
    let (a, b) = match (Semver::parse(a), Semver::parse(b)) {
        (Some(a), Some(b)) => (a, b),
        (a, b) => return a.is_some().cmp(&b.is_some()),
    };
    compare_numbers(a.major, b.major)
        .then_with(|| compare_numbers(a.minor, b.minor))
        .then_with(|| compare_numbers(a.patch, b.patch))
        .then_with(|| compare_prereleases(a.prerelease, b.prerelease))
}

/// `CanonicalVersion` of golang.org/x/mod/module: fills up `v1` and `v1.2`, drops build metadata but for
/// `+incompatible`. `None` if `text` is no semantic version.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let Semver { major, minor, patch, prerelease, build } = Semver::parse(text)?;
    let dash = if prerelease.is_empty() { "" } else { "-" };
    let tail = if build == "incompatible" { "+incompatible" } else { "" };
    Some(format!("v{major}.{minor}.{patch}{dash}{prerelease}{tail}"))
}

/// Cuts at the first `mark`; a mark with nothing behind it is an error.
fn cut(text: &str, mark: char) -> Option<(&str, &str)> {
    match text.split_once(mark) {
        Some((_, "")) => None,
        Some(parts) => Some(parts),
        None => Some((text, "")),
    }
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').filter(move |_| !text.is_empty())
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && is_digits(text) && (text == "0" || !text.starts_with('0'))
}

fn compare_numbers(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// semver.org, section 11: no pre-release is highest; then identifier by identifier, numbers before words.
fn compare_prereleases(a: &str, b: &str) -> Ordering {
    if a.is_empty() || b.is_empty() {
        return a.is_empty().cmp(&b.is_empty());
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (Some(l), Some(r)) if is_digits(l) && is_digits(r) => compare_numbers(l, r),
            (Some(l), Some(r)) => is_digits(r).cmp(&is_digits(l)).then_with(|| l.cmp(r)),
            (None, None) => return Ordering::Equal,
            (l, r) => return l.is_some().cmp(&r.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
}
