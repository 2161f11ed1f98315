//! The footer of a sealed segment: its records in order of id, read a page at a time.
//!
//! ```text
//! pages     P * 4096   85 entries of (id 32, offset 8, length 4, kind 1, zero 3), page number 4, entries 4, check 8
//! fences    P * 32     the first id of each page
//! bloom     B * 64     see `bloom`
//! trailer   128        counts, ranges, check over fences and bloom, check over itself
//! ```
//! Every page has its own keyed check, so one lookup reads and proves 4 KiB, and a flipped bit is an error and never a
//! silent miss. Only the fences (0.4 bytes per record) and, while they fit the budget, the filter stay in memory. The
//! fences take the place of a 256-way fan-out table: a binary search in memory gives the one page to read.

use std::io;

use super::bloom;
use super::disk::DiskFile;
use super::entries::{Entries, Entry, Tally};
use super::limits::{MAX_PAYLOAD, MAX_SEQ};
use super::record::{HEADER, Kind, StoreKey, id_at, le32, le64};
use crate::domain::blob::BlobId;

/// Length of the trailer in bytes; it ends the file.
pub(super) const TRAILER: usize = 128;
const TRAILER_MAGIC: [u8; 8] = *b"MSwFOOT1";
const TRAILER_CHECKED: usize = TRAILER - 16;
const PAGE: usize = 4096;
const PAGE_CHECKED: usize = PAGE - 8;
const ENTRY: usize = 48;
const PER_PAGE: usize = 85;

/// Why a footer did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FooterError {
    #[error("a check sum in the footer does not match")]
    Damaged,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The last page that was read: ids that are asked for in order share their pages.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    page: Option<(u32, Vec<u8>)>,
}

/// A sealed segment's index.
#[derive(Debug)]
pub(super) struct Footer {
    /// Where the records end and the pages begin.
    pub(super) start: u64,
    pub(super) tally: Tally,
    fences: Vec<BlobId>,
    bloom: Bloom,
    blocks: u32,
}

#[derive(Debug)]
enum Bloom {
    Resident(Vec<u8>),
    OnDisk(u64),
}

impl Footer {
    /// Writes down `entries` behind the records of a segment, which end at `start`. The caller syncs.
    pub(super) fn write(file: &dyn DiskFile, start: u64, entries: &Entries, key: &StoreKey) -> io::Result<()> {
        let mut out = Vec::with_capacity(entries.iter().len().div_ceil(PER_PAGE) * PAGE);
        let all: Vec<Entry> = entries.iter().collect();
        for (number, page) in (0_u32..).zip(all.chunks(PER_PAGE)) {
            encode_page(&mut out, number, page, key);
        }
        let tables = out.len();
        all.chunks(PER_PAGE).for_each(|page| out.extend_from_slice(page[0].id.as_bytes()));
        let blocks = bloom::blocks_for(all.len());
        out.extend_from_slice(&bloom::build(blocks, all.iter().map(|entry| &entry.id)));
        let sum: [u8; 16] = key.check(&out[tables..]);
        let mut trailer = [0; TRAILER];
        trailer[..8].copy_from_slice(&TRAILER_MAGIC);
        trailer[8..16].copy_from_slice(&start.to_le_bytes());
        trailer[16..20].copy_from_slice(&entries.tally.records.to_le_bytes());
        trailer[20..24].copy_from_slice(&entries.tally.blobs.to_le_bytes());
        trailer[24..28].copy_from_slice(&blocks.to_le_bytes());
        trailer[32..40].copy_from_slice(&entries.tally.bytes.to_le_bytes());
        trailer[40..48].copy_from_slice(&entries.tally.max_seq.to_le_bytes());
        trailer[48..64].copy_from_slice(&sum);
        let check: [u8; 16] = key.check(&trailer[..TRAILER_CHECKED]);
        trailer[TRAILER_CHECKED..].copy_from_slice(&check);
        out.extend_from_slice(&trailer);
        file.write_all_at(start, &out)
    }

    /// Reads the trailer and the tables of a file of `len` bytes; `resident` says whether the filter may stay in memory.
    ///
    /// `Damaged` where there is no footer, too: a segment that was not sealed has none.
    pub(super) fn open(file: &dyn DiskFile, len: u64, key: &StoreKey, resident: bool) -> Result<Self, FooterError> {
        let at = len.checked_sub(TRAILER as u64).ok_or(FooterError::Damaged)?;
        let mut trailer = [0; TRAILER];
        file.read_exact_at(at, &mut trailer)?;
        if trailer[..8] != TRAILER_MAGIC || trailer[TRAILER_CHECKED..] != key.check::<16>(&trailer[..TRAILER_CHECKED]) {
            return Err(FooterError::Damaged);
        }
        let tally = Tally {
            records: le32(&trailer, 16),
            blobs: le32(&trailer, 20),
            bytes: le64(&trailer, 32),
            max_seq: le64(&trailer, 40),
        };
        let (start, blocks) = (le64(&trailer, 8), le32(&trailer, 24));
        let pages = (tally.records as usize).div_ceil(PER_PAGE);
        let tables = start.saturating_add(pages as u64 * PAGE as u64);
        let tables_len = pages as u64 * 32 + u64::from(blocks) * bloom::BLOCK as u64;
        // Bounded by the length of the file, before memory is taken.
        if blocks == 0 || tables.checked_add(tables_len) != Some(at) || tally.max_seq > MAX_SEQ {
            return Err(FooterError::Damaged);
        }
        let mut bytes = vec![0; usize::try_from(tables_len).map_err(|_| FooterError::Damaged)?];
        file.read_exact_at(tables, &mut bytes)?;
        if trailer[48..64] != key.check::<16>(&bytes) {
            return Err(FooterError::Damaged);
        }
        let bits = bytes.split_off(pages * 32);
        let fences = (0..pages).map(|page| id_at(&bytes, page * 32)).collect();
        let bloom = if resident { Bloom::Resident(bits) } else { Bloom::OnDisk(tables + pages as u64 * 32) };
        Ok(Self { start, tally, fences, bloom, blocks })
    }

    /// Bytes of memory that the filter takes.
    pub(super) fn bloom_bytes(&self) -> u64 {
        match &self.bloom {
            Bloom::Resident(bits) => bits.len() as u64,
            Bloom::OnDisk(_) => 0,
        }
    }

    /// All records of that id and kind.
    pub(super) fn find(
        &self,
        file: &dyn DiskFile,
        key: &StoreKey,
        id: &BlobId,
        kind: Kind,
        cache: &mut PageCache,
    ) -> Result<Vec<Entry>, FooterError> {
        if !self.may_hold(file, id)? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let first = self.fences.partition_point(|fence| fence < id).saturating_sub(1);
        for number in (first..self.fences.len()).take_while(|number| self.fences[*number] <= *id) {
            let page = self.page(file, key, number, cache)?;
            found.extend(entries(page).filter(|entry| entry.id == *id && entry.kind == kind));
        }
        Ok(found)
    }

    /// Hands every record to `take`, page by page.
    pub(super) fn for_each(
        &self,
        file: &dyn DiskFile,
        key: &StoreKey,
        mut take: impl FnMut(Entry),
    ) -> Result<(), FooterError> {
        let mut cache = PageCache::default();
        for number in 0..self.fences.len() {
            entries(self.page(file, key, number, &mut cache)?).for_each(&mut take);
        }
        Ok(())
    }

    fn may_hold(&self, file: &dyn DiskFile, id: &BlobId) -> Result<bool, FooterError> {
        let at = bloom::block_of(id, self.blocks) as usize * bloom::BLOCK;
        match &self.bloom {
            Bloom::Resident(bits) => Ok(bloom::may_hold(&bits[at..at + bloom::BLOCK], id)),
            // Read without its check: a bit that flips to 0 here is a miss until the next start, which checks it.
            Bloom::OnDisk(start) => {
                let mut block = [0; bloom::BLOCK];
                file.read_exact_at(start + at as u64, &mut block)?;
                Ok(bloom::may_hold(&block, id))
            }
        }
    }

    /// Whether a record can be where an entry says.
    fn holds(&self, entry: &Entry) -> bool {
        let end = entry.offset.checked_add(HEADER as u64 + u64::from(entry.len));
        entry.len as usize <= MAX_PAYLOAD && end.is_some_and(|end| end <= self.start)
    }

    fn page<'a>(
        &self,
        file: &dyn DiskFile,
        key: &StoreKey,
        number: usize,
        cache: &'a mut PageCache,
    ) -> Result<&'a [u8], FooterError> {
        let wanted = u32::try_from(number).map_err(|_| FooterError::Damaged)?;
        let (held, mut bytes) = cache.page.take().unwrap_or((u32::MAX, vec![0; PAGE]));
        if held != wanted {
            file.read_exact_at(self.start + number as u64 * PAGE as u64, &mut bytes)?;
            let good = bytes[PAGE_CHECKED..] == key.check::<8>(&bytes[..PAGE_CHECKED]);
            // The key of a store is in its files, so a check that fits is no proof: memory is taken for a record's length.
            if !good || le32(&bytes, PER_PAGE * ENTRY) != wanted || !entries(&bytes).all(|entry| self.holds(&entry)) {
                return Err(FooterError::Damaged);
            }
        }
        Ok(&cache.page.insert((wanted, bytes)).1)
    }
}

fn encode_page(out: &mut Vec<u8>, number: u32, page: &[Entry], key: &StoreKey) {
    let begin = out.len();
    for entry in page {
        out.extend_from_slice(entry.id.as_bytes());
        out.extend_from_slice(&entry.offset.to_le_bytes());
        out.extend_from_slice(&entry.len.to_le_bytes());
        out.extend_from_slice(&[entry.kind.0, 0, 0, 0]);
    }
    out.resize(begin + PER_PAGE * ENTRY, 0);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&u32::try_from(page.len()).unwrap_or(0).to_le_bytes());
    let check: [u8; 8] = key.check(&out[begin..]);
    out.extend_from_slice(&check);
}

fn entries(page: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    let count = (le32(page, PER_PAGE * ENTRY + 4) as usize).min(PER_PAGE);
    page.chunks_exact(ENTRY).take(count).map(|raw| Entry {
        id: id_at(raw, 0),
        offset: le64(raw, 32),
        len: le32(raw, 40),
        kind: Kind(raw[44]),
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::Header;
    use super::*;

    const KEY: StoreKey = StoreKey([9; 32]);

    fn id(n: u64) -> BlobId {
        BlobId::of(&n.to_le_bytes())
    }

    fn sealed(records: u64) -> (std::fs::File, Entries) {
        let mut entries = Entries::default();
        for n in 0..records {
            let kind = if n % 10 == 0 { Kind::FACT } else { Kind::BLOB };
            entries.insert(&Header { kind, len: 10, batch: 1, seq: n + 1, id: id(n) }, n * 4);
        }
        let file = tempfile::tempfile().unwrap();
        Footer::write(&file, 5000, &entries, &KEY).unwrap();
        (file, entries)
    }

    fn open(file: &std::fs::File, resident: bool) -> Result<Footer, FooterError> {
        Footer::open(file, DiskFile::len(file).unwrap(), &KEY, resident)
    }

    #[test]
    fn every_record_is_found_whether_the_filter_is_in_memory_or_not() {
        for (records, resident) in [(0, true), (1, true), (85, true), (86, false), (1000, true), (1000, false)] {
            let (file, entries) = sealed(records);
            let footer = open(&file, resident).unwrap();
            assert_eq!((footer.tally, footer.start), (entries.tally, 5000));
            let mut cache = PageCache::default();
            for entry in entries.iter() {
                assert_eq!(footer.find(&file, &KEY, &entry.id, entry.kind, &mut cache).unwrap(), [entry]);
                assert_eq!(footer.find(&file, &KEY, &entry.id, Kind::MANIFEST, &mut cache).unwrap(), []);
            }
            for n in records..records + 500 {
                assert_eq!(footer.find(&file, &KEY, &id(n), Kind::BLOB, &mut cache).unwrap(), []);
            }
            let mut all = Vec::new();
            footer.for_each(&file, &KEY, |entry| all.push(entry)).unwrap();
            assert_eq!(all, entries.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_id_that_fills_pages_is_found_whole() {
        let mut entries = Entries::default();
        for n in 0..200 {
            entries.insert(&Header { kind: Kind::FACT, len: 1, batch: 1, seq: n, id: id(7) }, n);
            entries.insert(&Header { kind: Kind::FACT, len: 1, batch: 1, seq: n, id: id(n) }, 1000 + n);
        }
        let file = tempfile::tempfile().unwrap();
        Footer::write(&file, 5000, &entries, &KEY).unwrap();
        let footer = open(&file, true).unwrap();
        assert_eq!(footer.find(&file, &KEY, &id(7), Kind::FACT, &mut PageCache::default()).unwrap().len(), 201);
    }

    #[test]
    fn a_flipped_bit_is_damage_and_never_a_miss() {
        let (file, entries) = sealed(100);
        let len = DiskFile::len(&file).unwrap();
        for at in (5000..len).step_by(7) {
            let mut byte = [0];
            DiskFile::read_exact_at(&file, at, &mut byte).unwrap();
            file.write_all_at(at, &[byte[0] ^ 1]).unwrap();
            let all_found = open(&file, true).and_then(|footer| {
                for entry in entries.iter() {
                    let found = footer.find(&file, &KEY, &entry.id, entry.kind, &mut PageCache::default())?;
                    assert_eq!(found, [entry], "byte {at}");
                }
                Ok(())
            });
            assert!(matches!(all_found, Err(FooterError::Damaged)), "byte {at}");
            file.write_all_at(at, &byte).unwrap();
        }
    }

    #[test]
    fn a_file_without_a_footer_or_with_one_of_another_store_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(matches!(open(&file, true), Err(FooterError::Damaged)));
        file.write_all_at(0, &[0xff; 4096]).unwrap();
        assert!(matches!(open(&file, true), Err(FooterError::Damaged)));
        let (file, _) = sealed(5);
        let len = DiskFile::len(&file).unwrap();
        assert!(matches!(Footer::open(&file, len, &StoreKey([1; 32]), true), Err(FooterError::Damaged)));
        assert!(matches!(Footer::open(&file, len - 1, &KEY, true), Err(FooterError::Damaged)));
    }

    #[test]
    fn an_entry_that_lies_under_a_right_check_is_damage_before_memory_is_taken() {
        let header = |len, seq| Header { kind: Kind::BLOB, len, batch: 1, seq, id: id(1) };
        for (lie, offset) in [(header(u32::MAX, 1), 0), (header(10, 1), u64::MAX - 20), (header(10, 1), 4990)] {
            let mut entries = Entries::default();
            entries.insert(&lie, offset);
            let file = tempfile::tempfile().unwrap();
            Footer::write(&file, 5000, &entries, &KEY).unwrap();
            let found = open(&file, true).unwrap().find(&file, &KEY, &id(1), Kind::BLOB, &mut PageCache::default());
            assert!(matches!(found, Err(FooterError::Damaged)), "{lie:?} at {offset}");
        }
        let mut entries = Entries::default();
        entries.insert(&header(10, u64::MAX), 0);
        let file = tempfile::tempfile().unwrap();
        Footer::write(&file, 5000, &entries, &KEY).unwrap();
        assert!(matches!(open(&file, true), Err(FooterError::Damaged)));
    }
}
