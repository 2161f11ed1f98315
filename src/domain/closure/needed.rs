//! The outcome: what to fetch, which hashes it must have, and what is amiss.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use crate::domain::dirhash::H1;
use crate::domain::gomod::BadModFile;
use crate::domain::gosum::{GoSumKind, GoSumLine};
use crate::domain::module::ModuleVersion;

/// What a build needs to work offline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needed {
    /// Module versions of which `.info`, `.mod` and `.zip` are needed: the build list, and the zips that go.sum pins.
    pub zips: BTreeSet<ModuleVersion>,
    /// Module versions of which only the `.mod` is needed; none of them is in `zips`.
    pub go_mods: BTreeSet<ModuleVersion>,
    /// The hashes that go.sum pins.
    pub expected: BTreeMap<ModuleVersion, Pins>,
    /// What stands in the way of a complete closure; empty when all is well.
    pub missing: Vec<Gap>,
}

/// The hashes that go.sum pins for one module version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pins {
    /// Of the zip.
    pub zip: Option<H1>,
    /// Of the go.mod file.
    pub go_mod: Option<H1>,
}

/// Something that the closure would need and does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Gap {
    /// A go.mod file could not be had, so what it requires is unknown.
    #[error("the go.mod file of {0} could not be had, so what it requires is not known")]
    GoMod(ModuleVersion),
    /// A go.mod file could not be read, so what it requires is unknown. The go command will refuse it, too.
    #[error("what {module} requires is not known: {error}")]
    Unreadable {
        /// Whose go.mod file it is.
        module: ModuleVersion,
        /// What is wrong with it.
        error: String,
    },
    /// A requirement or replacement names no module version: a branch, a commit, a bad path.
    #[error("{wanted_by} asks for {path} {version}, which is no canonical module version; run go mod tidy")]
    Unresolved {
        /// The path, as it is written.
        path: String,
        /// The version, as it is written.
        version: String,
        /// The module path or directory that asks for it.
        wanted_by: String,
    },
    /// A replacement directory whose go.mod file the caller did not give.
    #[error("the replacement directory {directory} has no go.mod file")]
    Local {
        /// The directory, as it is written.
        directory: String,
    },
    /// Two go.sum lines pin different hashes; the first one is in [`Needed::expected`].
    #[error("the go.sum files pin two different hashes for {0}")]
    TwoHashes(ModuleVersion),
}

impl Gap {
    pub(super) fn of_file(module: ModuleVersion, error: Option<BadModFile>) -> Self {
        match error {
            Some(error) => Self::Unreadable { module, error: error.to_string() },
            None => Self::GoMod(module),
        }
    }
}

impl Needed {
    pub(super) fn of(graph: Graph, pins: &[GoSumLine]) -> Self {
        let mut needed = Self { zips: graph.build_list(), ..Self::default() };
        let (files, gaps) = graph.into_files();
        needed.go_mods = files;
        let mut gaps: BTreeSet<Gap> = gaps.into_iter().collect();
        for pin in pins {
            let set = if pin.kind == GoSumKind::Zip { &mut needed.zips } else { &mut needed.go_mods };
            set.insert(pin.module.clone());
            let pins = needed.expected.entry(pin.module.clone()).or_default();
            let slot = if pin.kind == GoSumKind::Zip { &mut pins.zip } else { &mut pins.go_mod };
            if *slot.get_or_insert(pin.h1) != pin.h1 {
                gaps.insert(Gap::TwoHashes(pin.module.clone()));
            }
        }
        needed.go_mods.retain(|module| !needed.zips.contains(module));
        needed.missing = gaps.into_iter().collect();
        needed
    }
}
