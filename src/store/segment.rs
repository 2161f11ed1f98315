//! Segments: append-only files of records, the truth of the store.
//!
//! ```text
//! header   256   two copies of: magic 8, format 2, zero 2, number 4, store key 32, zero 64, BLAKE3 of those 16
//! records        see `record`
//! footer         see `footer`, once the segment is sealed
//! ```
//! The header is there twice because the store key is in it, without which no record can be told from noise.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::disk::DiskFile;
use super::entries::{Entries, Entry, Tally};
use super::error::StoreError;
use super::footer::{Footer, FooterError, PageCache};
use super::record::{HEADER, Header, Kind, StoreKey};
use super::scan;
use crate::domain::blob::BlobId;

/// Length of a segment's header in bytes: the first record is here.
pub(super) const SEGMENT_HEADER: u64 = 256;
/// The newest format that this version reads, and the one it writes.
pub(super) const FORMAT: u16 = 1;
const SEGMENT_MAGIC: [u8; 8] = *b"MSwSEG\r\n";
const COPY: usize = 128;
const COPY_CHECKED: usize = COPY - 16;

/// What the header of a segment says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentHead {
    Good(StoreKey),
    Newer(u16),
    Bad,
}

/// The header of segment `number`.
pub(super) fn encode_head(number: u32, key: &StoreKey) -> Vec<u8> {
    let mut copy = [0; COPY];
    copy[..8].copy_from_slice(&SEGMENT_MAGIC);
    copy[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    copy[12..16].copy_from_slice(&number.to_le_bytes());
    copy[16..48].copy_from_slice(&key.0);
    let sum = blake3::hash(&copy[..COPY_CHECKED]);
    copy[COPY_CHECKED..].copy_from_slice(&sum.as_bytes()[..16]);
    copy.repeat(2)
}

/// Reads a header from either of its copies.
pub(super) fn read_head(file: &dyn DiskFile) -> io::Result<SegmentHead> {
    for offset in [0, COPY as u64] {
        let mut copy = [0; COPY];
        match file.read_exact_at(offset, &mut copy) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(SegmentHead::Bad),
            Err(error) => return Err(error),
        }
        let sum = blake3::hash(&copy[..COPY_CHECKED]);
        if copy[..8] == SEGMENT_MAGIC && copy[COPY_CHECKED..] == sum.as_bytes()[..16] {
            let format = u16::from_le_bytes([copy[8], copy[9]]);
            let mut key = [0; 32];
            key.copy_from_slice(&copy[16..48]);
            return Ok(if format > FORMAT { SegmentHead::Newer(format) } else { SegmentHead::Good(StoreKey(key)) });
        }
    }
    Ok(SegmentHead::Bad)
}

/// The file name of segment `number`.
pub(super) fn file_name(number: u32) -> String {
    format!("{number:08}.seg")
}

/// The number in a segment's file name.
pub(super) fn number_of(path: &Path) -> Option<u32> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    stem.parse().ok().filter(|number| file_name(*number).strip_suffix(".seg") == Some(stem))
}

/// One segment, open for reading.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    key: StoreKey,
    index: RwLock<Index>,
    /// Offsets of records that were read and were not what they should be: not held any more.
    bad: RwLock<HashSet<u64>>,
}

#[derive(Debug)]
enum Index {
    Memory(Entries),
    Sealed(Footer),
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey")
    }
}

impl Segment {
    /// A segment whose index is in memory.
    pub(super) fn in_memory(
        number: u32,
        path: PathBuf,
        file: Arc<dyn DiskFile>,
        key: StoreKey,
        entries: Entries,
    ) -> Self {
        Self { number, path, file, key, index: RwLock::new(Index::Memory(entries)), bad: RwLock::default() }
    }

    /// A sealed segment.
    pub(super) fn sealed(number: u32, path: PathBuf, file: Arc<dyn DiskFile>, key: StoreKey, footer: Footer) -> Self {
        Self { number, path, file, key, index: RwLock::new(Index::Sealed(footer)), bad: RwLock::default() }
    }

    pub(super) fn tally(&self) -> Tally {
        match &*read(&self.index) {
            Index::Memory(entries) => entries.tally,
            Index::Sealed(footer) => footer.tally,
        }
    }

    pub(super) fn bloom_bytes(&self) -> u64 {
        match &*read(&self.index) {
            Index::Memory(_) => 0,
            Index::Sealed(footer) => footer.bloom_bytes(),
        }
    }

    /// Makes records findable. Only for the open segment, after its batch is durable.
    pub(super) fn publish(&self, records: &[(u64, Header)]) {
        if let Index::Memory(entries) = &mut *write(&self.index) {
            records.iter().for_each(|(offset, header)| entries.insert(header, *offset));
        }
    }

    /// Writes the footer behind the records, which end at `end`, and reads it from there from now on.
    ///
    /// On an error the records are as they were, and so is their index in memory.
    pub(super) fn seal(&self, end: u64, resident: bool) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("seal", &self.path, error);
        if let Index::Memory(entries) = &*read(&self.index) {
            let done = Footer::write(&*self.file, end, entries, &self.key).and_then(|()| self.file.sync());
            if let Err(error) = done {
                // A half written footer is only in the way: the next start would cut it off.
                let _ = self.file.set_len(end);
                return Err(failed(error));
            }
        }
        let len = self.file.len().map_err(failed)?;
        match Footer::open(&*self.file, len, &self.key, resident) {
            Ok(footer) => {
                *write(&self.index) = Index::Sealed(footer);
                Ok(())
            }
            Err(FooterError::Io(error)) => Err(failed(error)),
            Err(error @ FooterError::Damaged) => Err(failed(io::Error::other(error))),
        }
    }

    /// Where a record is that was not found damaged.
    pub(super) fn find(&self, id: &BlobId, kind: Kind, cache: &mut PageCache) -> Result<Option<Entry>, StoreError> {
        let found = match &*read(&self.index) {
            Index::Memory(entries) => return Ok(entries.find(id, kind).find(|entry| self.is_good(entry))),
            Index::Sealed(footer) => {
                footer.find(&*self.file, &self.key, id, kind, cache).map_err(|e| (e, footer.start))
            }
        };
        match found {
            Ok(found) => Ok(found.into_iter().find(|entry| self.is_good(entry))),
            Err((error, end)) => {
                *cache = PageCache::default();
                self.fall_back(error, end)?;
                match &*read(&self.index) {
                    Index::Memory(entries) => Ok(entries.find(id, kind).find(|entry| self.is_good(entry))),
                    Index::Sealed(_) => Ok(None),
                }
            }
        }
    }

    /// Every record that is no blob, in order of offset.
    pub(super) fn catalog_records(&self) -> Result<Vec<Entry>, StoreError> {
        let mut found = Vec::new();
        let mut take = |entry: Entry| {
            if entry.kind != Kind::BLOB {
                found.push(entry);
            }
        };
        let failed = match &*read(&self.index) {
            Index::Memory(entries) => {
                entries.iter().for_each(&mut take);
                None
            }
            Index::Sealed(footer) => {
                footer.for_each(&*self.file, &self.key, &mut take).err().map(|error| (error, footer.start))
            }
        };
        if let Some((error, end)) = failed {
            self.fall_back(error, end)?;
            return self.catalog_records();
        }
        found.sort_by_key(|entry| entry.offset);
        Ok(found)
    }

    /// Reads a record whole and proves it: the header, that it is the one that is wanted, and the payload.
    pub(super) fn read(&self, entry: &Entry) -> Result<(Header, Vec<u8>), StoreError> {
        let mut bytes = vec![0; HEADER + entry.len as usize];
        match self.file.read_exact_at(entry.offset, &mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(self.give_up(entry)),
            Err(error) => return Err(StoreError::io("read", &self.path, error)),
        }
        let payload = bytes.split_off(HEADER);
        match Header::decode(&bytes, &self.key) {
            Some(header) if header.id == entry.id && header.len == entry.len && BlobId::of(&payload) == entry.id => {
                Ok((header, payload))
            }
            _ => Err(self.give_up(entry)),
        }
    }

    /// Reads the payloads of neighbours, in order of their offset, with one read.
    pub(super) fn read_run(&self, entries: &[Entry]) -> Result<Vec<Result<Bytes, StoreError>>, StoreError> {
        let end_of = |entry: &Entry| entry.offset + HEADER as u64 + u64::from(entry.len);
        let Some(start) = entries.first().map(|entry| entry.offset) else { return Ok(Vec::new()) };
        let end = entries.iter().map(end_of).max().unwrap_or(start);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        match self.file.read_exact_at(start, &mut bytes) {
            Ok(()) => {}
            // The file was cut: each record for itself says which are gone.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(entries.iter().map(|entry| self.read(entry).map(|(_, payload)| payload.into())).collect());
            }
            Err(error) => return Err(StoreError::io("read", &self.path, error)),
        }
        let bytes = Bytes::from(bytes);
        let cut = |entry: &Entry| {
            let begin = usize::try_from(entry.offset - start).ok()? + HEADER;
            let payload = bytes.slice(begin..begin + entry.len as usize);
            (BlobId::of(&payload) == entry.id).then_some(payload)
        };
        Ok(entries.iter().map(|entry| cut(entry).ok_or_else(|| self.give_up(entry))).collect())
    }

    /// Notes that a record is damaged: it is not held any more and can be stored again.
    pub(super) fn give_up(&self, entry: &Entry) -> StoreError {
        if write(&self.bad).insert(entry.offset) {
            tracing::warn!(id = %entry.id, segment = %self.path.display(), offset = entry.offset, len = entry.len,
                "a record is damaged on disk and was given up");
        }
        StoreError::Damaged { id: entry.id, path: self.path.clone(), offset: entry.offset }
    }

    /// How many records were given up since the start.
    pub(super) fn damaged(&self) -> usize {
        read(&self.bad).len()
    }

    fn is_good(&self, entry: &Entry) -> bool {
        !read(&self.bad).contains(&entry.offset)
    }

    /// Replaces a damaged footer by an index in memory, made from the records themselves.
    fn fall_back(&self, error: FooterError, end: u64) -> Result<(), StoreError> {
        if let FooterError::Io(error) = error {
            return Err(StoreError::io("read", &self.path, error));
        }
        let mut index = write(&self.index);
        if matches!(*index, Index::Sealed(_)) {
            tracing::warn!(segment = %self.path.display(), "a footer is damaged; the segment was read again instead");
            let scan = scan::scan(&*self.file, end, &self.key).map_err(|e| StoreError::io("read", &self.path, e))?;
            *index = Index::Memory(entries_of(&scan.records));
        }
        Ok(())
    }
}

/// The index of scanned records.
pub(super) fn entries_of(records: &[(u64, Header)]) -> Entries {
    let mut entries = Entries::default();
    records.iter().for_each(|(offset, header)| entries.insert(header, *offset));
    entries
}

/// Locks for reading. Nothing in here panics while it holds a lock half changed, so poison carries no news.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing; see [`read`].
pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_loss_of_either_copy_and_names_a_newer_format() {
        let key = StoreKey([4; 32]);
        for (flips, want) in [(vec![], true), (vec![3], true), (vec![COPY + 20], true), (vec![3, COPY + 20], false)] {
            let mut bytes = encode_head(7, &key);
            flips.iter().for_each(|at| bytes[*at] ^= 1);
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(0, &bytes).unwrap();
            assert!((read_head(&file).unwrap() == SegmentHead::Good(key)) == want, "{flips:?}");
        }
        let mut bytes = encode_head(7, &key);
        bytes[8] = 2;
        let sum = blake3::hash(&bytes[..COPY_CHECKED]);
        bytes[COPY_CHECKED..COPY].copy_from_slice(&sum.as_bytes()[..16]);
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(0, &bytes).unwrap();
        assert!(read_head(&file).unwrap() == SegmentHead::Newer(2));
    }

    #[test]
    fn only_names_that_the_store_gives_are_segments() {
        assert_eq!(number_of(Path::new("x/00000012.seg")), Some(12));
        for name in ["12.seg", "00000012.seg.bad-1", "+0000012.seg", "00000012.tmp", "99999999999.seg"] {
            assert_eq!(number_of(Path::new(name)), None, "{name}");
        }
    }
}
