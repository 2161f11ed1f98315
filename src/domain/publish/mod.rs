//! What may be published from this site: a directory tree, or a zip, that every go command accepts as a module version.
//!
//! The rules are those of golang.org/x/mod/zip (`CreateFromDir`, `CheckFiles`, `CheckZip`) and golang.org/x/mod/module
//! (`CheckFilePath`) as vendored by Go 1.26. A mirror does not judge what the checksum database has proven (see
//! [`super::zip`]), but what is made here is made right: the `h1:` of a published tree is the one that the go command
//! computes for the same tree from its repository.
//!
//! # Decisions that Go leaves open
//!
//! * *A tree needs a go.mod* whose `module` line is the path that is published, and whose `go` line a main module may
//!   have. The go command would make one up for others; an author who forgot it wants to hear of it.
//! * *A zip may be without go.mod*, like everything from before modules: its hash stands in go.sum files, and a file more
//!   would change it. Its go.mod is then `module PATH`, as in the go command ([`CheckedZip::go_mod`]).
//! * *`+incompatible`* says that there is no go.mod (golang.org/ref/mod#incompatible-versions), so it goes with such zips
//!   only. A tree becomes `/v2`.
//! * *Pseudo-versions* may be published, as go.mod files name them in `replace` lines for forks. Nobody can check here
//!   that the commit exists. Its time has to be a date, and is the version's [`info`] time.
//! * *`.git` is left out whatever it is*: in a work tree of `git worktree` it is a file, which `CreateFromDir` packs
//!   although no repository ever has one.
//! * *Directory entries in a zip are refused.* `CheckZip` lets them be, but they count for the zip's `h1:` and are not
//!   found again in the module cache, so that `go mod verify` fails for everybody. Neither is a directory `go.mod`, which
//!   the go command fails to read after `CheckZip` has let it pass.
//! * *A zip with vendored packages stays as it is*: `CheckZip` does not look for them.
//!
//! Where Go disagrees with itself on a tree and on its repository (a symbolic link whose name no file may have, one with
//! the name go.mod in a sub-directory, a `.svn` directory that is in git), the rule for trees holds: they are left out. Files that git ignores are packed, as in
//! `CreateFromDir`: nothing here knows of git.
//!
//! Invariant: what [`Tree::write_zip`] writes passes [`check_zip`].
//!
//! Non-goals: reading directories (see [`crate::publish_dir`]), signing, and the zips of golang.org/toolchain.

mod error;
mod files;
mod go_mod;
mod info;
mod letters;
mod pack;
mod path;
mod tree;
mod vendoring;
mod zip_check;

pub use error::{Fault, Invalid, NAMED, Omission, OmitReason, PublishError};
pub use files::{Checked, FileEntry, FileKind, VCS_DIRECTORIES, ValidFile, check_files};
pub use go_mod::declared_path;
pub use info::{date_text, info};
pub use path::check_file_path;
pub use tree::Tree;
pub use vendoring::Vendoring;
pub use zip_check::{CheckedZip, check_zip, module_of_zip};

#[cfg(test)]
mod tests;
