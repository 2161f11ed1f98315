//! Which module versions a build needs, so that it works offline: the go command's module graph, without its IO.
//!
//! ```no_run
//! # use modswarm::domain::{closure::{Closure, Main}, module::ModuleVersion};
//! # fn fetch(_: &ModuleVersion) -> Option<Vec<u8>> { None }
//! # fn mains() -> Vec<Main> { Vec::new() }
//! let mut closure = Closure::new(mains());
//! loop {
//!     let needed = closure.next_needed()?;
//!     if needed.is_empty() {
//!         break;
//!     }
//!     for module in needed {
//!         match fetch(&module) {
//!             Some(go_mod) => closure.go_mod(&module, &go_mod),
//!             None => closure.failed(&module),
//!         }
//!     }
//! }
//! let needed = closure.finish()?;
//! # Ok::<(), modswarm::domain::closure::ClosureError>(())
//! ```
//!
//! # What the go command reads
//!
//! * *The graph* (`readModGraph` of cmd/go/internal/modload, golang.org/ref/mod#graph-pruning). Each requirement of a
//!   main module has its go.mod loaded. What that file requires is in the graph too, but is not loaded, as long as
//!   both the main module and the file say `go 1.17` or higher; below a file that does not, everything is loaded.
//! * *The build list*: of each path the highest version anywhere in the graph. It needs `.info`, `.mod` and `.zip`; a
//!   version that was only loaded for the graph needs its `.mod`.
//! * *A workspace* (go.work) loads its main modules' requirements as above, and then once more at the versions that
//!   were selected, as far as these are higher than what was required.
//! * `replace` and `exclude` count in main modules and go.work only. A replaced version keeps its place in the graph;
//!   what is loaded and needed is the replacement.
//! * *go.sum* names what earlier commands needed: `go mod tidy` for instance also the tests of dependencies. Every
//!   pin is taken into the closure.
//!
//! That covers `go build`, `go test`, `go vet`, `go list -m all`, `go mod download all`, `go mod verify`, `go mod graph`, and
//! `go mod tidy` where it changes nothing. In doubt a go.mod is asked for rather than not: they are small.
//!
//! # Non-goals
//!
//! No package is looked at, so a closure is of modules, as `go mod download all` is. Toolchains that `go` or `toolchain`
//! lines name, versions newer than the build uses (`go list -m -u`, retractions), and queries such as
//! `require x main` need the network's view and are the caller's; the latter are told as [`Gap::Unresolved`].
//! A requirement list that is not tidy (a root below the selected version) is completed by adding the selected
//! version's requirements, which gives all that `go mod tidy` starts from but may hold a few versions more.
//!
//! # Bounds
//!
//! At most [`MAX_MODULE_VERSIONS`] and [`MAX_REQUIREMENTS`] are in a graph; each go.mod is asked for once, and is taken apart at most three times
//! (once per depth of loading), so cycles end. No recursion. Files are not kept, only ids of what they require.

mod graph;
mod needed;

use std::collections::BTreeMap;

use super::gomod::{BadModFile, GoMod, GoWork};
use super::gosum::GoSumLine;
use super::module::ModuleVersion;
use graph::Graph;
pub use needed::{Gap, Needed, Pins};

/// The most module versions in one graph. The largest known builds have about 10,000; at 200,000 the graph takes some
/// 100 MB, and a hostile one ends.
pub const MAX_MODULE_VERSIONS: usize = 200_000;

/// The most requirements in all go.mod files of one graph together: 100 for each module version that it may have, which
/// is more than the average of the largest known builds.
pub const MAX_REQUIREMENTS: usize = 20_000_000;

/// A main module: one whose packages are built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Main {
    /// Its go.mod file.
    pub go_mod: GoMod,
    /// The pins of its go.sum file.
    pub go_sum: Vec<GoSumLine>,
    /// The go.mod files of its replacement directories, by the directory as [`Replacement::Local`] writes it. A
    /// directory that is not here is told as [`Gap::Local`].
    ///
    /// [`Replacement::Local`]: super::gomod::Replacement::Local
    pub local: BTreeMap<String, GoMod>,
}

/// What a go.work file adds to its main modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workspace {
    /// The go.work file.
    pub go_work: GoWork,
    /// The pins of its go.work.sum file.
    pub go_sum: Vec<GoSumLine>,
    /// The go.mod files of its replacement directories, as in [`Main::local`].
    pub local: BTreeMap<String, GoMod>,
}

/// Why there is no closure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClosureError {
    /// The graph passed [`MAX_MODULE_VERSIONS`] or [`MAX_REQUIREMENTS`].
    #[error(
        "the module graph has more than {MAX_MODULE_VERSIONS} module versions or {MAX_REQUIREMENTS} requirements; \
         seed its main modules one by one"
    )]
    TooBig,
    /// [`Closure::finish`] came too early.
    #[error("{0} go.mod files that the module graph asked for have not been answered")]
    Outstanding(usize),
}

/// The closure of a build, while it is being found. See the [module's](self) example.
#[derive(Debug)]
pub struct Closure {
    graph: Graph,
    pins: Vec<GoSumLine>,
}

impl Closure {
    /// The closure of one main module, or of several that form a workspace without replacements of its own.
    #[must_use]
    pub fn new(mains: Vec<Main>) -> Self {
        Self::build(mains, None)
    }

    /// The closure of a workspace.
    #[must_use]
    pub fn workspace(workspace: Workspace, mains: Vec<Main>) -> Self {
        Self::build(mains, Some(workspace))
    }

    fn build(mut mains: Vec<Main>, mut workspace: Option<Workspace>) -> Self {
        let mut pins: Vec<GoSumLine> = workspace.iter_mut().flat_map(|work| std::mem::take(&mut work.go_sum)).collect();
        pins.extend(mains.iter_mut().flat_map(|main| std::mem::take(&mut main.go_sum)));
        Self { graph: Graph::new(&mains, workspace.as_ref()), pins }
    }

    /// The go.mod files that are needed to go on and have not been named before; each is to be answered, in any order
    /// and also one by one, with [`go_mod`](Self::go_mod) or [`failed`](Self::failed).
    ///
    /// Empty with nothing [`outstanding`](Self::outstanding) means that all is known.
    ///
    /// # Errors
    /// [`ClosureError::TooBig`], once the graph has outgrown its bound.
    pub fn next_needed(&mut self) -> Result<Vec<ModuleVersion>, ClosureError> {
        self.graph.advance()
    }

    /// How many go.mod files have been named by [`next_needed`](Self::next_needed) and not been answered.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.graph.outstanding()
    }

    /// Answers with a go.mod file. One that cannot be read is told as [`Gap::Unreadable`]. An answer that is not
    /// outstanding is ignored.
    pub fn go_mod(&mut self, module: &ModuleVersion, bytes: &[u8]) {
        self.graph.answer(module, GoMod::parse_dependency(bytes).map_err(Some));
    }

    /// Answers that a go.mod file cannot be had: [`Gap::GoMod`]. What it requires is not part of the closure.
    pub fn failed(&mut self, module: &ModuleVersion) {
        self.graph.answer(module, Err(None::<BadModFile>));
    }

    /// What the build needs.
    ///
    /// # Errors
    /// [`ClosureError::Outstanding`] as long as a go.mod file is; [`ClosureError::TooBig`].
    pub fn finish(mut self) -> Result<Needed, ClosureError> {
        let unasked = self.graph.advance()?.len();
        match self.graph.outstanding().max(unasked) {
            0 => Ok(Needed::of(self.graph, &self.pins)),
            open => Err(ClosureError::Outstanding(open)),
        }
    }
}

#[cfg(test)]
mod tests;
