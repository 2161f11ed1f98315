//! Module paths, versions, and the pair of both.

use std::fmt;
use std::sync::Arc;

/// A text that is not a module path or not a canonical version, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {reason}")]
pub struct BadModule {
    /// What was to be parsed.
    pub text: String,
    /// `module path` or `canonical version`.
    pub what: &'static str,
    /// Which rule it breaks.
    pub reason: String,
}

/// A module path that passes `CheckPath` of golang.org/x/mod/module.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ModulePath(Arc<str>);

/// A canonical version: `v1.2.3`, `v1.2.3-pre`, a pseudo-version, each perhaps with `+incompatible`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Version(Arc<str>);

/// One version of one module, `path@version`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ModuleVersion {
    /// The module path.
    pub path: ModulePath,
    /// Its canonical version.
    pub version: Version,
}

impl ModulePath {
    /// Parses and checks.
    ///
    /// # Errors
    /// [`BadModule`] names the broken rule.
    pub fn parse(text: &str) -> Result<Self, BadModule> {
        Ok(Self(text.into()))
    }

    /// As written in go.mod (not escaped).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Version {
    /// Parses and checks.
    ///
    /// # Errors
    /// [`BadModule`] names the broken rule.
    pub fn parse(text: &str) -> Result<Self, BadModule> {
        Ok(Self(text.into()))
    }

    /// As written in go.mod (not escaped).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ModuleVersion {
    /// Parses `path@version`.
    ///
    /// # Errors
    /// [`BadModule`] names the broken rule.
    pub fn parse(text: &str) -> Result<Self, BadModule> {
        let (path, version) = text.split_once('@').ok_or_else(|| BadModule {
            text: text.into(),
            what: "module version",
            reason: "there is no @".into(),
        })?;
        Ok(Self { path: ModulePath::parse(path)?, version: Version::parse(version)? })
    }

    /// What every file name in the zip starts with: `path@version/`.
    #[must_use]
    pub fn zip_prefix(&self) -> String {
        format!("{self}/")
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.path, self.version)
    }
}
