//! The end records: where a zip's directory is.

use super::record::{self, Buffered};
use super::{ReadAt, ZipError, read_at, u16_at, u32_at, u64_at};

/// Length of the end record without its comment, in bytes.
pub(crate) const END_LEN: usize = 22;
/// Length of the zip64 locator, in bytes.
pub(crate) const LOCATOR_LEN: usize = 20;
/// Length of the zip64 end record, in bytes.
pub(crate) const END64_LEN: usize = 56;

const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const LOCATOR_SIGNATURE: &[u8] = b"PK\x06\x07";
const END64_SIGNATURE: &[u8] = b"PK\x06\x06";
/// How far back Go looks for the end record: first 1 KiB, then 65 KiB.
const SEARCHED: [u64; 2] = [1 << 10, 65 << 10];

/// The directory's place, as Go's `readDirectoryEnd` finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// How many files the end record claims.
    pub(crate) files: u64,
    /// What has to be added to every offset in the zip: its `baseOffset`. Negative in some broken zips that Go reads.
    pub(crate) base: i128,
    /// The directory's offset as claimed, without `base`.
    pub(crate) directory: u64,
}

impl End {
    /// Looks for the end record from the back, and for the zip64 one where that says so.
    pub(crate) fn find(zip: &dyn ReadAt) -> Result<Self, ZipError> {
        let (mut at, record) = last_end(zip)?;
        let mut files = u64::from(u16_at(&record, 10));
        let mut size = u64::from(u32_at(&record, 12));
        let mut directory = u64::from(u32_at(&record, 16));
        // 0xffff for the size is Go's slip for 0xffffffff; it is followed, since it decides what Go reads.
        if (files == 0xffff || size == 0xffff || directory == 0xffff_ffff)
            && let Some(at64) = locate64(zip, at)?
        {
            let mut record = [0; END64_LEN];
            read_at(zip, at64, &mut record, "the zip64 end record")?;
            if !record.starts_with(END64_SIGNATURE) {
                return Err(ZipError::NotAZip("there is no zip64 end record where it should be"));
            }
            at = at64;
            (files, size, directory) = (u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48));
        }
        let mut end = Self { files, base: i128::from(at) - i128::from(size) - i128::from(directory), directory };
        let start = end.base + i128::from(directory);
        let fits = |value| i64::try_from(value).is_ok();
        if !fits(size) || !fits(directory) || start < 0 || start >= i128::from(zip.len()) {
            return Err(ZipError::NotAZip("its directory lies outside of it"));
        }
        // Go has seen zips with a wrong directory size: a directory that is found without `base` wins.
        if end.base > 0 && matches!(record::next(&mut Buffered::new(zip, directory)), Ok(Some(_))) {
            end.base = 0;
        }
        Ok(end)
    }

    /// Where the directory starts.
    pub(crate) fn start(&self) -> u64 {
        self.shift(self.directory)
    }

    /// An offset as claimed in the zip, counted from the first byte; `u64::MAX` for one before it.
    pub(crate) fn shift(&self, offset: u64) -> u64 {
        u64::try_from(self.base + i128::from(offset)).unwrap_or(u64::MAX)
    }
}

/// Go's `findSignatureInBlock`: the last end record whose comment fits.
fn last_end(zip: &dyn ReadAt) -> Result<(u64, Vec<u8>), ZipError> {
    for back in SEARCHED {
        let back = back.min(zip.len());
        let start = zip.len() - back;
        let mut block = vec![0; usize::try_from(back).unwrap_or(0)];
        read_at(zip, start, &mut block, "its end record")?;
        let found = block.windows(END_LEN).rposition(|record| record.starts_with(END_SIGNATURE));
        let fits = |at: &usize| at + END_LEN + usize::from(u16_at(&block[*at..], 20)) <= block.len();
        if let Some(at) = found.filter(fits) {
            return Ok((start + at as u64, block[at..at + END_LEN].to_vec()));
        }
        if back == zip.len() {
            break;
        }
    }
    Err(ZipError::NotAZip("it has no end record, so it is something else or cut off"))
}

/// Go's `findDirectory64End`.
fn locate64(zip: &dyn ReadAt, end: u64) -> Result<Option<u64>, ZipError> {
    let Some(at) = end.checked_sub(LOCATOR_LEN as u64) else { return Ok(None) };
    let mut locator = [0; LOCATOR_LEN];
    read_at(zip, at, &mut locator, "the zip64 locator")?;
    let one_disk = u32_at(&locator, 4) == 0 && u32_at(&locator, 16) == 1;
    let offset = u64_at(&locator, 8);
    Ok((locator.starts_with(LOCATOR_SIGNATURE) && one_disk && i64::try_from(offset).is_ok()).then_some(offset))
}
