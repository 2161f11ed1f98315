//! Why something is not published, and why a file is left out.

use std::fmt;
use std::io;

use crate::domain::gomod::BadModFile;
use crate::domain::manifest::{MAX_GO_MOD, MAX_ZIP};
use crate::domain::module::{BadModule, ModulePath, ModuleVersion};
use crate::domain::zip::{MAX_DIRECTORY, MAX_FILES, MAX_LICENSE, ZipError};

/// How many invalid files a message names; of the others it says how many they are.
pub const NAMED: usize = 10;
/// The most characters of a file name in a message.
const SHOWN: usize = 160;

/// A file that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// Its path below the module's root; what is not UTF-8 in it is replaced.
    pub path: String,
    /// Why.
    pub reason: OmitReason,
}

/// Why a file does not belong into a module zip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OmitReason {
    /// `.git`, `.hg`, `.svn` or `.bzr`.
    #[error("belongs to version control")]
    Vcs,
    /// In a vendored package.
    #[error("is in a vendor directory")]
    Vendored,
    /// Below a directory with a go.mod of its own.
    #[error("is in another module")]
    NestedModule,
    /// `.hg_archival.txt`.
    #[error("is made by hg archive")]
    HgArchival,
    /// A symbolic link, which module zips do not have (golang.org/issue/27093).
    #[error("is a symbolic link")]
    Symlink,
    /// A device, a socket, a pipe.
    #[error("is not a regular file")]
    NotRegular,
}

/// A file that no module zip may have, and why. One of them, and nothing is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its path below the module's root, or for a zip the name of its entry; what is not UTF-8 in it is replaced.
    pub path: String,
    /// Why.
    pub fault: Fault,
}

/// Why a file may not be in a module zip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `CheckFilePath` of golang.org/x/mod/module refuses it.
    #[error("{0}")]
    Name(String),
    /// Not as `path.Clean` of Go would write it.
    #[error("its path is not clean")]
    NotClean,
    /// It starts with a slash.
    #[error("its path is not relative")]
    NotRelative,
    /// Not below `module@version/`, in a zip.
    #[error("its name does not start with {0}")]
    Prefix(String),
    /// An entry for a directory, in a zip.
    #[error("it is an entry for a directory, with which go mod verify fails: pack files only (zip -D)")]
    Directory,
    /// The same name but for the case of letters.
    #[error("its name collides with {0:?} where the case of letters does not count")]
    Case(String),
    /// Once a file, and once what other files lie in.
    #[error("{0:?} is a file and a directory")]
    FileAndDirectory(String),
    /// Listed more than once.
    #[error("it is there more than once")]
    Duplicate,
    /// `GO.MOD` and the like.
    #[error("a go.mod file has to be named in lower case")]
    GoModCase,
    /// A directory `go.mod` in the root of a zip.
    #[error("go.mod is a directory there, which the go command reads as a file")]
    GoModDirectory,
    /// A go.mod below the root, in a zip.
    #[error("a go.mod file may be in the module's root only")]
    NestedGoMod,
    /// A go.mod over the limit.
    #[error("a go.mod file may have {MAX_GO_MOD} bytes at most")]
    GoModSize,
    /// A LICENSE over the limit.
    #[error("a LICENSE file may have {MAX_LICENSE} bytes at most")]
    LicenseSize,
    /// With the module's prefix longer than a zip can express.
    #[error("its path has more than 65535 bytes with the module's name before it")]
    TooLong,
}

/// Why something is not published, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Invalid files: all of them, of which the message names [`NAMED`].
    #[error("{}", Listed(.0))]
    Invalid(Vec<Invalid>),
    /// All files together are over the limit.
    #[error("the files have {size} bytes together, and a module may have {MAX_ZIP}: leave out what no package needs")]
    Oversize {
        /// Their length in bytes.
        size: u64,
    },
    /// More files than this site takes.
    #[error("there are more than {MAX_FILES} files, or more than {} MiB of file names", MAX_DIRECTORY >> 20)]
    TooManyFiles,
    /// The zip, which may be longer than its files, is over the limit.
    #[error(
        "the zip has more than {MAX_ZIP} bytes, which is what a module zip may have: leave out what no package needs"
    )]
    ZipOversize,
    /// A tree without go.mod.
    #[error("there is no go.mod file in the module's root: run go mod init {0} there")]
    NoGoMod(ModulePath),
    /// A go.mod that would not be in the zip.
    #[error("the go.mod file is not a regular file, so it would be left out of the zip: put the file itself there")]
    GoModNotRegular,
    /// A go.mod that the go command does not read either.
    #[error(transparent)]
    GoMod(#[from] BadModFile),
    /// A go.mod that does not say whose it is, or not properly.
    #[error("the go.mod file has no module line: run go mod edit -module PATH")]
    NoModuleLine,
    /// The module line is no module path.
    #[error("the module line of the go.mod file cannot be published: {0}")]
    ModuleLine(#[source] BadModule),
    /// A `go` line that the go command refuses in a main module.
    #[error("the go.mod file says go {0}, which is no Go version: run go mod edit -go=VERSION, such as 1.24")]
    GoLine(String),
    /// go.mod of another module.
    #[error("the go.mod file says module {declared}, and cannot be published as {published}")]
    OtherPath {
        /// What the go.mod says.
        declared: String,
        /// What was to be published.
        published: ModulePath,
    },
    /// `+incompatible` where there is a go.mod.
    #[error(
        "{0} has a go.mod file, and +incompatible versions may not: publish it as /v2 (or higher), also in its go.mod"
    )]
    Incompatible(ModuleVersion),
    /// A pseudo-version with a time that there never was.
    #[error("the time in the pseudo-version {0} is no date")]
    PseudoTime(ModuleVersion),
    /// The zip is none, or damaged.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// A zip whose first file does not say of which module version it is.
    #[error("the first file of the zip is {0:?}, where a module zip has path@version/file")]
    NotAModuleZip(String),
    /// A file cannot be read.
    #[error("{path:?} cannot be read: {source}")]
    Read {
        /// Its path below the module's root.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file is longer or shorter than it was when it was listed.
    #[error("{path:?} changed while it was packed (it had {listed} bytes when it was listed): publish again")]
    Changed {
        /// Its path below the module's root.
        path: String,
        /// Its length in bytes as it was listed.
        listed: u64,
    },
    /// The zip cannot be written.
    #[error("the zip cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// A file name for a message: what is not UTF-8 is replaced.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

struct Listed<'a>(&'a [Invalid]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.0.len() == 1 { "file" } else { "files" };
        write!(f, "{} {files} cannot be in a module zip: ", self.0.len())?;
        for (number, Invalid { path, fault }) in self.0.iter().take(NAMED).enumerate() {
            let cut: String = path.chars().take(SHOWN).collect();
            let more = if cut.len() < path.len() { "…" } else { "" };
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{cut:?}{more} ({fault})")?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
