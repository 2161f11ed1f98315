//! What is fetched: a module made up here, or a real one, as a `file://` tree that a seed has for its upstream.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use tokio::process::Command;

use super::Failure;
use super::limits::SEEDING;
use crate::bench::fixture::{self, Fixture, Variant};

/// A module version in a directory tree.
#[derive(Debug)]
pub(super) struct Content {
    /// `path@version`.
    pub(super) module: String,
    /// Root of the tree, laid out like the GOPROXY protocol.
    pub(super) tree: PathBuf,
    /// The zip, below the tree.
    pub(super) zip: PathBuf,
    /// Its length.
    pub(super) bytes: u64,
}

impl Content {
    /// A module made up here whose zip has about `size` bytes.
    pub(super) fn made_up(dir: &Path, variant: Variant, size: u64) -> Result<Self, Failure> {
        let fixture = Fixture::make(variant, size)?;
        let tree = dir.join("tree");
        for (path, bytes) in fixture.tree() {
            let file = tree.join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().ok_or("a file of a tree is in a directory")?)?;
            fs::write(file, bytes)?;
        }
        let zip = fixture.zip_path.trim_start_matches('/').into();
        Ok(Self { module: fixture::module(), tree, zip, bytes: fixture.len() })
    }

    /// A real module, downloaded by this machine's go command as it is configured.
    pub(super) async fn real(dir: &Path, module: &str) -> Result<Self, Failure> {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "PascalCase", default)]
        struct Downloaded {
            path: String,
            version: String,
            zip: PathBuf,
            error: Option<String>,
        }
        eprintln!("downloading {module} with the go command's own GOPROXY");
        let cache = dir.join("real");
        let mut go = Command::new("go");
        go.args(["mod", "download", "-json", module]).current_dir(dir).kill_on_drop(true);
        go.env("GOMODCACHE", &cache).env("GOFLAGS", "-mod=mod -modcacherw").env("GOWORK", "off");
        let output =
            tokio::time::timeout(SEEDING, go.output()).await.map_err(|_| format!("{module} did not come"))??;
        let said: Downloaded = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if let Some(error) = said.error {
            return Err(format!("the go command cannot download {module}: {error}").into());
        }
        let tree = cache.join("cache/download");
        let Ok(zip) = said.zip.strip_prefix(&tree) else {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("the go command cannot download {module}: {}", said.trim()).into());
        };
        let bytes = fs::metadata(&said.zip)?.len();
        Ok(Self { module: format!("{}@{}", said.path, said.version), zip: zip.into(), tree, bytes })
    }

    /// When the go command wrote the last byte of the zip into a module cache: it gives the file its name later and leaves its
    /// time of change as it is.
    pub(super) fn written_in(&self, module_cache: &Path) -> Option<SystemTime> {
        fs::metadata(module_cache.join("cache/download").join(&self.zip)).ok()?.modified().ok()
    }

    /// Whether a module cache has the zip, byte for byte. The go command itself does not check what no checksum covers.
    pub(super) fn is_in(&self, module_cache: &Path) -> bool {
        let both = (fs::read(self.tree.join(&self.zip)), fs::read(module_cache.join("cache/download").join(&self.zip)));
        matches!(both, (Ok(right), Ok(got)) if right == got)
    }

    /// As an upstream, or as a GOPROXY.
    pub(super) fn url(&self) -> String {
        format!("file://{}", self.tree.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_module_is_a_tree_that_a_module_cache_can_be_compared_with() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::made_up(dir.path(), Variant::Source, 200_000).unwrap();
        let zip = content.tree.join(&content.zip);
        assert_eq!(fs::metadata(&zip).unwrap().len(), content.bytes);
        assert!(zip.with_extension("info").is_file() && zip.with_extension("mod").is_file());
        let cache = tempfile::tempdir().unwrap();
        assert!(!content.is_in(cache.path()) && content.written_in(cache.path()).is_none());
        let copy = cache.path().join("cache/download").join(&content.zip);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&zip, &copy).unwrap();
        assert!(content.is_in(cache.path()) && content.written_in(cache.path()).is_some());
        fs::write(&copy, b"something else").unwrap();
        assert!(!content.is_in(cache.path()));
    }
}
