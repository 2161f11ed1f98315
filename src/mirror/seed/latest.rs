//! The latest version of every module that is seeded.
//!
//! That a version was retracted, or a module deprecated, stands in the go.mod of the *latest* version (golang.org/ref/mod,
//! "retract directive"), which a build may not need at all. So a site that has only what its builds need would never
//! hear of it: `go list -m -u` would show nothing, and `go get` would go on choosing what its author took back.
//!
//! The go command looks for the latest version in the list, and a list names only what can be served. So a latest version
//! that takes something back comes with its zip; of any other, `.info` and go.mod are enough.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;

use super::{Had, Progress, SeedRun};
use crate::domain::gomod::GoMod;
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::domain::request::Request;
use crate::mirror::Reach;
use crate::mirror::lists::{self, Known};
use crate::mirror::outcome::{Answer, Body, Outcome};
use crate::mirror::source::{Level, SourceError};

/// Modules whose latest version is looked up at once: two small questions each, so the line's delay is what counts; half
/// of what the upstream client sends to one host, so that other requests of the node have their turn.
const LATEST_AT_ONCE: usize = 8;

impl SeedRun {
    /// Brings the latest version of each module of `zips` and `go_mods`. What cannot be had is a warning: no build needs it.
    pub(super) async fn bring_latest(
        &self,
        zips: &BTreeSet<ModuleVersion>,
        go_mods: &BTreeSet<ModuleVersion>,
        progress: &mut Progress,
    ) {
        let paths: BTreeSet<ModulePath> = zips.iter().chain(go_mods).map(|module| module.path.clone()).collect();
        let (mut done, total) = (0, paths.len() as u64);
        let work = stream::iter(paths).map(|path| async move { (self.latest_of(&path, zips).await, path) });
        let mut work = std::pin::pin!(work.buffer_unordered(LATEST_AT_ONCE));
        while let Some((brought, path)) = work.next().await {
            done += 1;
            match brought {
                Ok(Some(Had::Now { zip_bytes })) => {
                    progress.summary.latest += 1;
                    progress.summary.zip_bytes += zip_bytes;
                }
                Ok(_) => {}
                Err(error) => {
                    let reason = format!("whether versions of it were retracted is not known here: {error}");
                    progress.warning(path.to_string(), reason).await;
                }
            }
            progress.at("latest", done, total);
        }
    }

    async fn latest_of(&self, path: &ModulePath, zips: &BTreeSet<ModuleVersion>) -> Result<Option<Had>, SourceError> {
        let module = ModuleVersion { path: path.clone(), version: self.latest_version(path).await? };
        if zips.contains(&module) {
            return Ok(None);
        }
        let (had, go_mod) = self.go_mod(&module).await?;
        if !takes_back(&go_mod) {
            return Ok(Some(had));
        }
        self.ensure(&module, Level::Zip).await.map(Some)
    }

    /// As the go command chooses where it looks for retractions: the highest of the list, retracted or not. What a proxy calls
    /// the latest is only asked for where nothing is listed, since it may pass over a version that retracts itself.
    async fn latest_version(&self, path: &ModulePath) -> Result<Version, SourceError> {
        let listed = match self.mirror.answer(Request::List(path.clone()), Reach::All).await {
            Outcome::Found(Answer { body: Body::Bytes(text), .. }) => versions(&text),
            _ => Vec::new(),
        };
        match lists::latest(&listed) {
            Some(version) => Ok(version.clone()),
            None => self.mirror.resolve_version(path, "latest").await,
        }
    }
}

fn versions(list: &[u8]) -> Vec<Known> {
    let lines = list.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.filter_map(|line| Version::parse(line).ok()).map(|version| Known { version, has_zip: true }).collect()
}

/// Whether a go.mod retracts versions or may say that its module is deprecated. A comment that only looks like it costs a zip.
fn takes_back(go_mod: &[u8]) -> bool {
    let retracts = GoMod::parse_dependency(go_mod).is_ok_and(|go_mod| !go_mod.retract.is_empty());
    retracts || String::from_utf8_lossy(go_mod).contains("Deprecated:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_author_takes_back_is_seen() {
        for yes in [
            "module m.example/a\n\nretract v1.0.0\n",
            "module m.example/a\nretract (\n\t[v1.0.0, v1.2.0] // broken\n)\n",
            "// Deprecated: use m.example/b instead.\nmodule m.example/a\n",
            "module m.example/a // Deprecated: gone\n",
        ] {
            assert!(takes_back(yes.as_bytes()), "{yes}");
        }
        for no in ["module m.example/a\n", "module m.example/retract\n\nrequire m.example/b v1.0.0\n", ""] {
            assert!(!takes_back(no.as_bytes()), "{no}");
        }
    }
}
