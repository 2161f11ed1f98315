//! Which files of a tree make up the module: `listFilesInDir` and `CheckFiles` of golang.org/x/mod/zip.

use std::collections::{HashMap, HashSet};

use super::error::{Fault, Invalid, Omission, OmitReason, PublishError, shown};
use super::path::{check_file_path, fold, is_clean};
use super::vendoring::Vendoring;
use crate::domain::manifest::{MAX_GO_MOD, MAX_ZIP};
use crate::domain::module::ModuleVersion;
use crate::domain::zip::{MAX_DIRECTORY, MAX_FILES, MAX_LICENSE};

/// The name of the module's own description.
pub(super) const GO_MOD: &str = "go.mod";
/// The name of the one licence file that has a limit, and that comes from the repository's root where a module has none.
pub(super) const LICENSE: &str = "LICENSE";
/// Directories of version control systems, which are in no module.
pub const VCS_DIRECTORIES: [&str; 4] = [".git", ".hg", ".svn", ".bzr"];
const GIT: &[u8] = b".git";
const HG_ARCHIVAL: &[u8] = b".hg_archival.txt";

/// Something in a directory tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it is below the module's root, with slashes: any bytes.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
}

/// What something in a directory tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular {
        /// Its length in bytes.
        size: u64,
    },
    /// A directory. It is listed to be named as left out; files are in directories whether those are listed or not.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Other,
}

/// A file of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidFile {
    /// Its path below the module's root, which has passed [`check_file_path`].
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
}

/// What is to be done with each file of a tree (`CheckedFiles` of golang.org/x/mod/zip), each list in the order of the
/// tree's. A file that is listed more than once is valid the first time, and invalid once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files of the module.
    pub valid: Vec<ValidFile>,
    /// Files that are left out, and directories all of which is.
    pub omitted: Vec<Omission>,
    /// Files that forbid to publish the tree.
    pub invalid: Vec<Invalid>,
    /// The length of all regular files that are not left out, in bytes.
    pub size: u64,
    /// Whether there are more valid files than [`MAX_FILES`], or longer names together than [`MAX_DIRECTORY`].
    pub too_many: bool,
}

impl Checked {
    /// Whether all of it can be published.
    ///
    /// # Errors
    /// [`PublishError::Invalid`], [`PublishError::Oversize`] or [`PublishError::TooManyFiles`].
    pub fn verdict(&self) -> Result<(), PublishError> {
        if !self.invalid.is_empty() {
            return Err(PublishError::Invalid(self.invalid.clone()));
        }
        if self.size > MAX_ZIP {
            return Err(PublishError::Oversize { size: self.size });
        }
        if self.too_many { Err(PublishError::TooManyFiles) } else { Ok(()) }
    }
}

/// Sorts the files of a tree, which is to become `module`, into valid, left out and invalid.
#[must_use]
pub fn check_files(module: &ModuleVersion, vendoring: Vendoring, files: &[FileEntry]) -> Checked {
    let nested = nested_modules(files);
    let prefix = module.zip_prefix().len();
    let (mut checked, mut tally, mut seen) = (Checked::default(), Tally::default(), Names::default());
    let mut faulty: HashSet<&[u8]> = HashSet::new();
    for file in files {
        let path = file.path.as_slice();
        match sort(file, vendoring, &nested, &mut seen) {
            Ok(None) => {}
            Ok(Some((path, size))) => {
                checked.size = checked.size.saturating_add(size);
                tally.add(prefix + path.len());
                match check_limits(path, size, prefix) {
                    Ok(()) => checked.valid.push(ValidFile { path: path.to_owned(), size }),
                    Err(fault) => checked.invalid.push(Invalid { path: path.to_owned(), fault }),
                }
            }
            Err(_) if !faulty.insert(path) => {}
            Err(Unfit::Omit(reason)) => checked.omitted.push(Omission { path: shown(path), reason }),
            Err(Unfit::Invalid(fault)) => checked.invalid.push(Invalid { path: shown(path), fault }),
        }
    }
    checked.too_many = tally.is_too_many();
    checked
}

/// Counts what goes into a zip's directory, of which every node takes only so much.
#[derive(Debug, Default)]
pub(super) struct Tally {
    files: usize,
    names: u64,
}

impl Tally {
    /// One more file, with a name of `len` bytes.
    pub(super) fn add(&mut self, len: usize) {
        self.files += 1;
        self.names += len as u64;
    }

    pub(super) fn is_too_many(&self) -> bool {
        self.files > MAX_FILES || self.names > MAX_DIRECTORY
    }
}

/// Why a file is not part of the module.
enum Unfit {
    Omit(OmitReason),
    Invalid(Fault),
}

/// Path and length of a file that belongs to the module; `None` for a directory that says nothing.
fn sort<'a>(
    file: &'a FileEntry,
    vendoring: Vendoring,
    nested: &HashSet<&[u8]>,
    seen: &mut Names,
) -> Result<Option<(&'a str, u64)>, Unfit> {
    let path = file.path.as_slice();
    if !is_clean(path) {
        return Err(Unfit::Invalid(Fault::NotClean));
    }
    if path.starts_with(b"/") {
        return Err(Unfit::Invalid(Fault::NotRelative));
    }
    let is_directory = file.kind == FileKind::Directory;
    if vendoring.omits(path) || (is_directory && vendoring.omits_below(path)) {
        return Err(Unfit::Omit(OmitReason::Vendored));
    }
    if is_vcs(path, is_directory) {
        return Err(Unfit::Omit(OmitReason::Vcs));
    }
    if directories(path).any(|dir| nested.contains(dir)) || (is_directory && nested.contains(path)) {
        return Err(Unfit::Omit(OmitReason::NestedModule));
    }
    let size = match file.kind {
        FileKind::Regular { size } => size,
        FileKind::Directory => return Ok(None),
        FileKind::Symlink => return Err(Unfit::Omit(OmitReason::Symlink)),
        FileKind::Other => return Err(Unfit::Omit(OmitReason::NotRegular)),
    };
    if path == HG_ARCHIVAL {
        return Err(Unfit::Omit(OmitReason::HgArchival));
    }
    let path = check_file_path(path).map_err(|reason| Unfit::Invalid(Fault::Name(reason)))?;
    if path.eq_ignore_ascii_case(GO_MOD) && path != GO_MOD {
        return Err(Unfit::Invalid(Fault::GoModCase));
    }
    seen.add(path, false).map_err(Unfit::Invalid)?;
    Ok(Some((path, size)))
}

/// The limits for a single file; `prefix` is the length of what comes before its path in the zip.
pub(super) fn check_limits(path: &str, size: u64, prefix: usize) -> Result<(), Fault> {
    match path {
        GO_MOD if size > MAX_GO_MOD => Err(Fault::GoModSize),
        LICENSE if size > MAX_LICENSE => Err(Fault::LicenseSize),
        _ if prefix + path.len() > usize::from(u16::MAX) => Err(Fault::TooLong),
        _ => Ok(()),
    }
}

/// The directories below the root with a go.mod of their own. As in Go, case does not count for a regular file; what is
/// no file, such as a link, counts only under the exact name.
fn nested_modules(files: &[FileEntry]) -> HashSet<&[u8]> {
    let directory = |file: &'_ FileEntry| -> Option<usize> {
        let at = file.path.iter().rposition(|byte| *byte == b'/')?;
        let name = &file.path[at + 1..];
        let counts = match file.kind {
            FileKind::Directory => false,
            FileKind::Regular { .. } => name.eq_ignore_ascii_case(GO_MOD.as_bytes()),
            FileKind::Symlink | FileKind::Other => name == GO_MOD.as_bytes(),
        };
        counts.then_some(at)
    };
    files.iter().filter_map(|file| directory(file).map(|at| &file.path[..at])).collect()
}

/// The directories that `path` lies in, below the root.
fn directories(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// Whether `path` is or lies in a directory of a version control system, or is called `.git`.
fn is_vcs(path: &[u8], is_directory: bool) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let is_vcs_name = |name: &[u8]| VCS_DIRECTORIES.iter().any(|vcs| vcs.as_bytes() == name);
    let parents = path.split(|byte| *byte == b'/').rev().skip(1);
    name == GIT || (is_directory && is_vcs_name(name)) || parents.into_iter().any(is_vcs_name)
}

/// Finds names that are one on some file systems (`collisionChecker` of golang.org/x/mod/zip).
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By [`fold`]: the name as it came first, and whether it is a directory.
    seen: HashMap<String, (String, bool)>,
}

impl Names {
    /// Takes a name and all directories that it lies in.
    ///
    /// # Errors
    /// The first collision, from the name upwards.
    pub(super) fn add(&mut self, path: &str, is_directory: bool) -> Result<(), Fault> {
        let folded = fold(path);
        let (mut path, mut folded, mut is_directory) = (path, folded.as_str(), is_directory);
        loop {
            match self.seen.get(folded) {
                None => {
                    self.seen.insert(folded.to_owned(), (path.to_owned(), is_directory));
                }
                Some((other, _)) if other != path => return Err(Fault::Case(other.clone())),
                Some((_, other)) if *other != is_directory => return Err(Fault::FileAndDirectory(path.to_owned())),
                Some(_) if !is_directory => return Err(Fault::Duplicate),
                Some(_) => {}
            }
            let (Some((dir, _)), Some((folded_dir, _))) = (path.rsplit_once('/'), folded.rsplit_once('/')) else {
                return Ok(());
            };
            (path, folded, is_directory) = (dir, folded_dir, true);
        }
    }
}
