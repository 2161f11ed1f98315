//! Module paths, versions, and the pair of both: the vocabulary of every other module, parsed once at the edge.
//!
//! The rules are those of golang.org/x/mod (`module` and `semver`), character for character: a text is accepted
//! here exactly when the go command accepts it. That is what keeps `..`, `CON`, `~1`, upper-case collisions and
//! percent signs away from file names, sled keys and URLs, so nothing behind this door checks them again.
//!
//! Two spellings exist of each. The *plain* one stands in go.mod, in zips and in checksum-database records. The
//! *escaped* one stands in URLs and in the module cache, for file systems that fold case: each upper-case letter
//! becomes `!` and its lower-case letter (`github.com/!burnt!sushi/toml`).
//!
//! Invariants, for every value of these types:
//!
//! * it is printable ASCII without white space, and `parse(display(x)) == x`;
//! * `from_escaped(escaped(x)) == x`, and no other text unescapes to `x`;
//! * `a == b` exactly when `a.cmp(&b)` is `Equal`.
//!
//! Non-goals: import paths of packages, version *queries* (see [`request`](super::request)), and `go` or toolchain
//! versions, which have an order of their own.

mod path;
mod semver;
mod version;

use std::fmt;

pub use path::ModulePath;
pub use semver::{canonical, compare_semver};
pub use version::Version;

pub(crate) use path::{check_element, escape, unescape};

/// The most characters of a refused text that an error repeats: enough to recognise it in a log line.
const MAX_SHOWN: usize = 200;

/// A text that is not a module path or not a canonical version, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {reason}")]
pub struct BadModule {
    /// What was to be parsed; a long text is cut.
    pub text: String,
    /// `module path`, `canonical version` or `module version`.
    pub what: &'static str,
    /// Which rule it breaks.
    pub reason: String,
}

impl BadModule {
    fn new(what: &'static str, text: &str, reason: impl Into<String>) -> Self {
        let mut shown: String = text.chars().take(MAX_SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self { text: shown, what, reason: reason.into() }
    }
}

/// One version of one module, `path@version`.
///
/// Ordered by path, then by version in Go's order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ModuleVersion {
    /// The module path.
    pub path: ModulePath,
    /// Its canonical version.
    pub version: Version,
}

impl ModuleVersion {
    /// Pairs a path with a version that belongs to it (`CheckPathMajor` of golang.org/x/mod/module): `/v2` wants
    /// `v2.x.y`, gopkg.in's `.v2` too, and a path without a suffix wants `v0`, `v1` or `+incompatible`.
    ///
    /// # Errors
    /// [`BadModule`] says which major version the path wants.
    pub fn new(path: ModulePath, version: Version) -> Result<Self, BadModule> {
        let suffix = path.major_suffix();
        let suffix = suffix.strip_suffix("-unstable").unwrap_or(suffix);
        let major = version.major();
        let fits = match suffix.strip_prefix(['/', '.']) {
            None => matches!(major, "v0" | "v1") || version.is_incompatible(),
            // gopkg.in once gave v0.0.0- pseudo-versions to its .v1 paths; go.mod files still name them.
            Some("v1") if suffix == ".v1" && version.as_str().starts_with("v0.0.0-") => true,
            Some(wanted) => major == wanted,
        };
        if fits {
            return Ok(Self { path, version });
        }
        let wanted = suffix.get(1..).unwrap_or("v0 or v1");
        let reason = format!("the path wants a version of {wanted}, not of {major}");
        Err(BadModule::new("module version", &format!("{path}@{version}"), reason))
    }

    /// Parses `path@version` and checks that both belong together, as [`ModuleVersion::new`] does.
    ///
    /// # Errors
    /// [`BadModule`] names the broken rule.
    pub fn parse(text: &str) -> Result<Self, BadModule> {
        let (path, version) =
            text.split_once('@').ok_or_else(|| BadModule::new("module version", text, "there is no @"))?;
        Self::new(ModulePath::parse(path)?, Version::parse(version)?)
    }

    /// What every file name in the zip starts with: `path@version/`.
    #[must_use]
    pub fn zip_prefix(&self) -> String {
        format!("{self}/")
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.path, self.version)
    }
}

#[cfg(test)]
mod tests;
