//! Module versions that the site's orders block: nobody serves, lists, takes or passes them on.
//!
//! What is held of a blocked version stays in the store, and is there again when it is unblocked. Its blobs are still
//! given to peers who know their names: other versions have the same ones.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::lists::Known;
use super::source::SourceError;
use crate::domain::module::{ModulePath, ModuleVersion, Version};

/// The blocked module versions as of now. Cheap to clone; all clones are the same.
#[derive(Clone, Default, Debug)]
pub struct Blocks(Arc<RwLock<Arc<BTreeSet<ModuleVersion>>>>);

impl Blocks {
    /// From now on these are blocked and no others.
    pub fn set(&self, blocked: BTreeSet<ModuleVersion>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(blocked);
    }

    /// All of them.
    #[must_use]
    pub fn now(&self) -> Arc<BTreeSet<ModuleVersion>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this one is blocked.
    #[must_use]
    pub fn has(&self, module: &ModuleVersion) -> bool {
        self.now().contains(module)
    }

    /// Whether a version of this module is.
    #[must_use]
    pub fn any_of(&self, path: &ModulePath) -> bool {
        self.now().iter().any(|module| module.path == *path)
    }

    /// That a module version is not blocked.
    ///
    /// # Errors
    /// [`SourceError::Refused`], in words for the one who asked for it.
    pub fn check(&self, module: &ModuleVersion) -> Result<(), SourceError> {
        if !self.has(module) {
            return Ok(());
        }
        Err(SourceError::Refused(format!(
            "{module} is blocked by the orders of this site: no node of it serves this version; use another one, or ask \
             the people who run the site why (`modswarm site show` lists what is blocked)"
        )))
    }

    /// What is left of the known versions of a module.
    pub(super) fn without(&self, path: &ModulePath, known: Arc<[Known]>) -> Arc<[Known]> {
        if !self.any_of(path) {
            return known;
        }
        known.iter().filter(|known| !self.has_version(path, &known.version)).cloned().collect()
    }

    /// What is left of an upstream's list.
    pub(super) fn without_lines(&self, path: &ModulePath, list: &[u8]) -> Bytes {
        let text = String::from_utf8_lossy(list);
        let blocked = |line: &str| Version::parse(line.trim()).is_ok_and(|version| self.has_version(path, &version));
        text.lines().filter(|line| !blocked(line)).fold(String::new(), |all, line| all + line + "\n").into()
    }

    /// Whether a version of a module is blocked.
    #[must_use]
    pub fn has_version(&self, path: &ModulePath, version: &Version) -> bool {
        self.has(&ModuleVersion { path: path.clone(), version: version.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blocked_is_in_no_list_and_comes_back() {
        let blocks = Blocks::default();
        let bad = ModuleVersion::parse("example.com/m@v1.1.0").unwrap();
        let list = || Bytes::from_static(b"v1.0.0\nv1.1.0\nnonsense\n");
        assert!(blocks.check(&bad).is_ok());
        blocks.set(BTreeSet::from([bad.clone()]));
        let refused = blocks.check(&bad).unwrap_err();
        assert!(matches!(&refused, SourceError::Refused(why) if why.contains("blocked by the orders of this site")));
        assert_eq!(blocks.without_lines(&bad.path, &list()), "v1.0.0\nnonsense\n");
        let other = ModulePath::parse("example.com/n").unwrap();
        assert!(!blocks.any_of(&other));
        assert_eq!(blocks.without_lines(&other, &list()), list());
        let known: Arc<[Known]> =
            ["v1.0.0", "v1.1.0"].map(|v| Known { version: Version::parse(v).unwrap(), has_zip: true }).into();
        assert_eq!(blocks.without(&bad.path, known.clone())[..], known[..1]);
        blocks.set(BTreeSet::new());
        assert_eq!(blocks.without(&bad.path, known.clone()), known);
    }
}
