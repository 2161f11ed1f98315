//! What can be wrong with a zip, in one sentence each.

use std::io;

/// Why a zip is refused.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// The medium failed: nothing is said about the zip.
    #[error("the zip cannot be read: {0}")]
    Read(#[source] io::Error),
    /// Some record is not where or what it has to be.
    #[error("the bytes are not a zip: {0}")]
    NotAZip(&'static str),
    /// A record or a file goes past the end.
    #[error("the zip is cut off: {what} would lie past its end")]
    Truncated {
        /// What lies past the end.
        what: &'static str,
    },
    /// More files, or longer names, than a directory may have here.
    #[error("the zip has more than {} files or {} MiB of file names", super::MAX_FILES, super::MAX_DIRECTORY >> 20)]
    TooManyFiles,
    /// Over a limit of golang.org/x/mod/zip.
    #[error("{what} has {size} bytes, more than the {limit} that are allowed")]
    Oversize {
        /// What is too large.
        what: String,
        /// Its length in bytes.
        size: u64,
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// Neither stored nor deflated.
    #[error("{name} is packed with method {method}, which Go does not read")]
    Method {
        /// The file's name.
        name: String,
        /// The method's number (APPNOTE.TXT 4.4.5).
        method: u16,
    },
    /// A deflate stream that does not inflate or breaks off.
    #[error("{name} does not inflate: its data is damaged or cut off")]
    Damaged {
        /// The file's name.
        name: String,
    },
    /// More content than was declared.
    #[error("{name} unpacks to more than the {declared} bytes that it declares, as a zip bomb does")]
    Bomb {
        /// The file's name.
        name: String,
        /// What the directory says, in bytes.
        declared: u64,
    },
    /// Less content than was declared.
    #[error("{name} unpacks to {got} bytes, but declares {declared}")]
    Short {
        /// The file's name.
        name: String,
        /// What the directory says, in bytes.
        declared: u64,
        /// What came out, in bytes.
        got: u64,
    },
    /// Content of another CRC-32 than declared.
    #[error("{name} does not have the checksum that the zip declares for it")]
    Checksum {
        /// The file's name.
        name: String,
    },
    /// A name that would make `h1:` ambiguous (golang.org/x/mod/sumdb/dirhash, `Hash1`).
    #[error("the file name {name} holds a line break, which an h1: hash cannot express")]
    LineBreak {
        /// The file's name.
        name: String,
    },
    /// Local header and directory tell different stories, so two readers would unpack different files.
    #[error("the local header of {name} disagrees with the directory on its {what}")]
    Disagrees {
        /// The file's name as in the directory.
        name: String,
        /// Which field.
        what: &'static str,
    },
    /// Two files of one name: an `h1:` hash covers the last of them only (see [`H1::of_zip`](crate::domain::dirhash::H1::of_zip)),
    /// so the others could hold anything.
    #[error("the zip holds {name} more than once, and an h1: hash covers only the last of them")]
    Duplicate {
        /// The files' name.
        name: String,
    },
    /// Two files share bytes, as in a zip bomb without recursion.
    #[error("{name} overlaps {other} in the zip, as in a zip bomb")]
    Overlap {
        /// The file's name.
        name: String,
        /// What it overlaps.
        other: String,
    },
}

impl ZipError {
    pub(crate) fn line_break(name: &[u8]) -> Self {
        Self::LineBreak { name: show(name) }
    }
}

/// The most characters of a hostile name in a message.
const SHOWN: usize = 160;

/// A name for a message: quoted, printable, short.
pub(super) fn show(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
