//! Zips as Go reads them, from bytes that nobody vouches for.
//!
//! Two readers of the same zip that disagree on what it holds are a hole: the one checks, the other unpacks. The `h1:`
//! hash is defined by what Go's `archive/zip` sees, so this reader follows that package step by step: where it looks
//! for the end record, when it believes a zip64 record, how it treats bytes before the first file (`baseOffset`), that
//! the file count is compared modulo 65536, and that a checksum of 0 without a data descriptor is not checked.
//! What is beyond Go, in [`check_module_zip`], only ever refuses more.
//!
//! Invariants:
//! * Nothing is taken at its word: memory grows with what was read, never with a length that was claimed, and
//!   inflating stops at the declared size (a bomb costs no more than one buffer over it).
//! * Memory is flat: the directory (bounded by [`MAX_DIRECTORY`] and [`MAX_FILES`]) and two buffers of [`BUFFER`].
//! * [`ZipError::Read`] is the medium's fault; every other variant is the fault of whoever made the bytes.
//!
//! Not here: writing zips (the recipe gives back the original bytes, so nothing is ever packed again), encryption,
//! methods other than store and deflate, and the go command's rules on file names: the go command enforces them itself,
//! and a mirror that judges them refuses bytes that the checksum database has proven.

mod check;
mod end;
mod error;
mod inflate;
mod record;

pub use check::{ZipFacts, check_module_zip, check_module_zip_with};
pub(crate) use end::{END_LEN, END64_LEN, End, LOCATOR_LEN};
pub use error::ZipError;
pub(crate) use inflate::Inflater;
pub(crate) use record::{Local, Record, each as each_record};

use super::blob::ReadAt;
use super::manifest::{MAX_GO_MOD, MAX_ZIP};

/// The most files in a zip: 524,288. Not a rule of Go's; it bounds the memory that a directory takes. The largest module
/// zips that are known hold about an eighth of it, and at 500 MiB it means an average of a kilobyte per file.
pub const MAX_FILES: usize = 1 << 19;
/// The most bytes of file names in a zip's directory: 64 MiB (names may be 64 KiB each, so their count is not enough).
pub const MAX_DIRECTORY: u64 = 64 << 20;
/// The most bytes of a LICENSE (golang.org/x/mod/zip, `MaxLICENSE`): 16 MiB.
pub const MAX_LICENSE: u64 = 16 << 20;
/// Bytes that are read, and inflated, at a time: 64 KiB, where larger buffers stopped to matter.
pub const BUFFER: usize = 64 << 10;

/// One file in a zip, as its directory describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as it is: any bytes, perhaps not UTF-8, perhaps not unique.
    pub name: Vec<u8>,
    /// 0 is stored, 8 is deflated; others cannot be read here.
    pub method: u16,
    /// The general purpose flags (APPNOTE.TXT 4.4.4).
    pub flags: u16,
    /// CRC-32 of the unpacked bytes; 0 may mean "not said".
    pub crc: u32,
    /// Length of the data in the zip, in bytes.
    pub packed: u64,
    /// Length of the file, in bytes.
    pub unpacked: u64,
    /// Where the local header is, from the start of the zip. May lie past its end.
    pub header_offset: u64,
}

impl Entry {
    /// Whether Go takes it for a directory, which has no content whatever the header says.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.name.ends_with(b"/")
    }

    /// Where the data starts, which only the local header tells.
    ///
    /// # Errors
    /// [`ZipError::Truncated`] or [`ZipError::NotAZip`] when there is no local header where there should be one.
    pub fn data_offset(&self, zip: &dyn ReadAt) -> Result<u64, ZipError> {
        Ok(record::Local::read(zip, self.header_offset)?.data_offset)
    }
}

/// A zip's directory.
#[derive(Clone, Debug)]
pub struct Archive {
    entries: Vec<Entry>,
    unpacked: u64,
    directory_offset: u64,
}

impl Archive {
    /// Reads the directory of `zip` as Go's `archive/zip` does.
    ///
    /// # Errors
    /// [`ZipError`]: not a zip, cut off, or over a limit of this module.
    pub fn read(zip: &dyn ReadAt) -> Result<Self, ZipError> {
        if zip.len() > MAX_ZIP {
            return Err(ZipError::Oversize { what: "the zip".into(), size: zip.len(), limit: MAX_ZIP });
        }
        let end = End::find(zip)?;
        let mut archive = Self { entries: Vec::new(), unpacked: 0, directory_offset: end.start() };
        let mut names = 0_u64;
        record::each(zip, &end, &mut |record| {
            names += record.name.len() as u64;
            archive.unpacked = archive.unpacked.saturating_add(record.unpacked);
            if archive.entries.len() == MAX_FILES || names > MAX_DIRECTORY {
                return Err(ZipError::TooManyFiles);
            }
            archive.entries.push(record.into_entry(&end));
            Ok(())
        })?;
        if archive.unpacked > MAX_ZIP {
            return Err(ZipError::Oversize { what: "the unpacked zip".into(), size: archive.unpacked, limit: MAX_ZIP });
        }
        Ok(archive)
    }

    /// The files in the order of the directory.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The sum of all unpacked lengths in bytes, at most [`MAX_ZIP`].
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.unpacked
    }
}

/// The content of one file, at most `limit` bytes of it.
///
/// # Errors
/// [`ZipError::Oversize`] when the directory declares more than `limit`; else what is wrong with the bytes.
pub fn read_file(zip: &dyn ReadAt, entry: &Entry, limit: u64) -> Result<Vec<u8>, ZipError> {
    check_size(entry, limit)?;
    let mut content = Vec::new();
    Inflater::new().each(zip, entry, &mut |bytes| content.extend_from_slice(bytes))?;
    Ok(content)
}

fn check_size(entry: &Entry, limit: u64) -> Result<(), ZipError> {
    if entry.unpacked > limit {
        return Err(ZipError::Oversize { what: error::show(&entry.name), size: entry.unpacked, limit });
    }
    Ok(())
}

/// Reads exactly `buf` from `offset` on, and tells a zip that ends before from a medium that fails.
pub(crate) fn read_at(zip: &dyn ReadAt, offset: u64, buf: &mut [u8], what: &'static str) -> Result<(), ZipError> {
    match offset.checked_add(buf.len() as u64) {
        Some(end) if end <= zip.len() => zip.read_exact_at(offset, buf).map_err(ZipError::Read),
        _ => Err(ZipError::Truncated { what }),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|raw| raw.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|raw| raw.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|raw| raw.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests;
