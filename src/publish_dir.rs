//! Reads a directory that is to be published: which files there are, and what is in them.
//!
//! A thin reader: which of the files make up the module is for [`crate::domain::publish`] to say. It does not look into
//! directories of which nothing can be published, and it follows no symbolic link but one to the directory itself.
//!
//! Bounds: at most [`MAX_LISTED`] files are listed; of their content only go.mod is kept.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::domain::manifest::MAX_GO_MOD;
use crate::domain::module::{ModulePath, ModuleVersion};
use crate::domain::publish::{FileEntry, FileKind, PublishError, Tree, VCS_DIRECTORIES, Vendoring, declared_path};
use crate::domain::zip::MAX_FILES;

/// The most files that are listed, with those that are left out: as many as a module may have. A directory with more is
/// somebody's home, and not a module.
pub const MAX_LISTED: usize = MAX_FILES;

const GO_MOD: &str = "go.mod";
const LICENSE: &str = "LICENSE";

/// A directory that is to be published, as it was when it was read.
#[derive(Debug, Clone)]
pub struct PublishDir {
    root: PathBuf,
    files: Vec<FileEntry>,
    go_mod: Vec<u8>,
    /// The LICENSE of the repository, where the module lies deeper in it and has none of its own.
    license: Option<PathBuf>,
}

/// Why a directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// The system says no.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file or directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Not the root of a module.
    #[error("{0} has no go.mod file: run go mod init MODULE-PATH there, or name the directory that has one")]
    NoGoMod(String),
    /// More than [`MAX_LISTED`] files.
    #[error("{0} has more than {MAX_LISTED} files: name the directory of a module")]
    TooMany(String),
}

impl DirError {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.display().to_string(), source }
    }
}

impl PublishDir {
    /// Lists the files of the module in `root`, and reads its go.mod.
    ///
    /// A module that lies deeper in a repository and has no LICENSE gets that of the repository's root, as when the go
    /// command fetches it from there (golang.org/ref/mod#vcs-license).
    ///
    /// # Errors
    /// [`DirError`] names the file that cannot be read, or says that this is no module.
    pub fn read(root: &Path) -> Result<Self, DirError> {
        let go_mod = read_go_mod(root)?;
        let mut files = Walk { root, vendoring: Vendoring::of_go_mod(Some(&go_mod)), files: Vec::new() }.run()?;
        let has_license = |file: &FileEntry| file.path == LICENSE.as_bytes() && file.kind != FileKind::Directory;
        let license = if files.iter().any(has_license) { None } else { repository_license(root)? };
        if let Some((_, metadata)) = &license {
            files.push(FileEntry { path: LICENSE.into(), kind: FileKind::Regular { size: metadata.len() } });
        }
        Ok(Self { root: root.to_owned(), files, go_mod, license: license.map(|(path, _)| path) })
    }

    /// The module path that its go.mod declares.
    ///
    /// # Errors
    /// As [`declared_path`].
    pub fn module_path(&self) -> Result<ModulePath, PublishError> {
        declared_path(&self.go_mod)
    }

    /// Checks that it can become `module`.
    ///
    /// # Errors
    /// As [`Tree::check`].
    pub fn check(&self, module: ModuleVersion) -> Result<Tree, PublishError> {
        Tree::check(module, Some(self.go_mod.clone()), &self.files)
    }

    /// Opens a file by its path in the module.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn open(&self, path: &str) -> io::Result<File> {
        match &self.license {
            Some(license) if path == LICENSE => File::open(license),
            _ => File::open(self.root.join(path)),
        }
    }
}

/// go.mod, or as much of it as shows that it is too long.
fn read_go_mod(root: &Path) -> Result<Vec<u8>, DirError> {
    let path = root.join(GO_MOD);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(DirError::read(&path)(error)),
        _ => {
            fs::read_dir(root).map_err(DirError::read(root))?;
            return Err(DirError::NoGoMod(root.display().to_string()));
        }
    }
    let mut go_mod = Vec::new();
    let file = File::open(&path).map_err(DirError::read(&path))?;
    file.take(MAX_GO_MOD + 1).read_to_end(&mut go_mod).map_err(DirError::read(&path))?;
    Ok(go_mod)
}

struct Walk<'a> {
    root: &'a Path,
    vendoring: Vendoring,
    files: Vec<FileEntry>,
}

impl Walk<'_> {
    fn run(mut self) -> Result<Vec<FileEntry>, DirError> {
        let mut left = vec![(self.root.to_owned(), Vec::new())];
        while let Some((dir, path)) = left.pop() {
            left.extend(self.enter(&dir, &path)?);
        }
        // The order in which a system gives names is its own affair.
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self.files)
    }

    /// Lists what is in `dir`, which is `path` in the module, and gives the directories to go on with.
    fn enter(&mut self, dir: &Path, path: &[u8]) -> Result<Vec<(PathBuf, Vec<u8>)>, DirError> {
        let entries = fs::read_dir(dir).map_err(DirError::read(dir))?;
        let (mut below, start) = (Vec::new(), self.files.len());
        for entry in entries {
            let entry = entry.map_err(DirError::read(dir))?;
            let place = entry.path();
            let metadata = entry.metadata().map_err(DirError::read(&place))?;
            let name = entry.file_name();
            let path = if path.is_empty() { bytes(&name).to_vec() } else { [path, b"/", bytes(&name)].concat() };
            let is_module = name == GO_MOD && !metadata.is_dir();
            self.files.push(FileEntry { path: path.clone(), kind: kind(metadata.file_type(), &metadata) });
            if is_module && dir != self.root {
                // A module of its own: that this file is here is all that has to be known.
                let go_mod = self.files.pop();
                self.files.truncate(start);
                self.files.extend(go_mod);
                return Ok(Vec::new());
            }
            if self.files.len() > MAX_LISTED {
                return Err(DirError::TooMany(self.root.display().to_string()));
            }
            let is_vcs = VCS_DIRECTORIES.iter().any(|vcs| name == *vcs);
            if metadata.is_dir() && !is_vcs && !self.vendoring.omits_below(&path) {
                below.push((place, path));
            }
        }
        Ok(below)
    }
}

fn kind(file_type: FileType, metadata: &Metadata) -> FileKind {
    if file_type.is_file() {
        FileKind::Regular { size: metadata.len() }
    } else if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}

/// A name as the bytes that go into a zip; on Unix those of the file system.
fn bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// The LICENSE in the root of the repository that `root` lies in, if it is deeper than that root.
fn repository_license(root: &Path) -> Result<Option<(PathBuf, Metadata)>, DirError> {
    let root = root.canonicalize().map_err(DirError::read(root))?;
    let is_repository = |dir: &&Path| VCS_DIRECTORIES.iter().any(|vcs| dir.join(vcs).exists());
    let Some(repository) = root.ancestors().find(is_repository).filter(|repository| *repository != root) else {
        return Ok(None);
    };
    let license = repository.join(LICENSE);
    match fs::symlink_metadata(&license) {
        Ok(metadata) if metadata.is_file() => Ok(Some((license, metadata))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DirError::read(&license)(error)),
        _ => Ok(None),
    }
}
