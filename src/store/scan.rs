//! Reading a segment from its start, record by record: what is done with one that has no footer to be believed.
//!
//! A header that does not check is stepped over by looking for the next one that does, so one bad place costs the
//! record that it is in. What follows the last good record is the *tail*: a batch that was being written when the
//! power went. Batches are synced one after the other, so only the last one in a file can be torn, and only its
//! payloads are verified here (every read verifies its own).

use std::io;

use super::disk::DiskFile;
use super::limits::SCAN_WINDOW;
use super::record::{HEADER, Header, MAGIC, StoreKey};
use super::segment::SEGMENT_HEADER;
use crate::domain::blob::BlobId;

/// A place that is no record, between records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gap {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The records of a segment.
#[derive(Debug)]
pub(super) struct Scan {
    /// In order of their offset.
    pub(super) records: Vec<(u64, Header)>,
    /// Places that cannot be read and are followed by records.
    pub(super) gaps: Vec<Gap>,
    /// Where the last good record ends.
    pub(super) end: u64,
}

/// Reads the headers of the first `len` bytes of `file` and verifies the last batch.
pub(super) fn scan(file: &dyn DiskFile, len: u64, key: &StoreKey) -> io::Result<Scan> {
    let mut window = Window { file, len, start: 0, bytes: Vec::new() };
    let mut records = Vec::new();
    let mut at = SEGMENT_HEADER;
    while at < len {
        match window.header(at, key)? {
            Some(header) if at + header.total() <= len => {
                records.push((at, header));
                at += header.total();
            }
            // Its length is proven, so nothing can follow it.
            Some(_) => break,
            None => match window.next_magic(at + 1)? {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    drop_torn(file, &mut records)?;
    Ok(with_gaps(records))
}

/// Drops the records of the last batch whose payload is not what their id says.
fn drop_torn(file: &dyn DiskFile, records: &mut Vec<(u64, Header)>) -> io::Result<()> {
    let Some(last) = records.last().map(|(_, header)| header.batch) else { return Ok(()) };
    let begin = records.iter().rposition(|(_, header)| header.batch != last).map_or(0, |before| before + 1);
    let mut kept = begin;
    for at in begin..records.len() {
        let (offset, header) = records[at];
        let mut payload = vec![0; header.len as usize];
        file.read_exact_at(offset + HEADER as u64, &mut payload)?;
        if BlobId::of(&payload) == header.id {
            records[kept] = records[at];
            kept += 1;
        }
    }
    records.truncate(kept);
    Ok(())
}

fn with_gaps(records: Vec<(u64, Header)>) -> Scan {
    let (mut gaps, mut end) = (Vec::new(), SEGMENT_HEADER);
    for (offset, header) in &records {
        if *offset > end {
            gaps.push(Gap { offset: end, len: offset - end });
        }
        end = offset + header.total();
    }
    Scan { records, gaps, end }
}

/// A piece of the file in memory, moved along: thousands of small records cost one read.
struct Window<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    fn header(&mut self, at: u64, key: &StoreKey) -> io::Result<Option<Header>> {
        Ok(Header::decode(self.from(at, HEADER)?, key))
    }

    /// The next place from `at` on that starts like a record.
    fn next_magic(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        loop {
            let bytes = self.from(at, SCAN_WINDOW)?;
            if bytes.len() < MAGIC.len() {
                return Ok(None);
            }
            if let Some(found) = bytes.windows(MAGIC.len()).position(|place| place == MAGIC) {
                return Ok(Some(at + found as u64));
            }
            at += (bytes.len() - MAGIC.len() + 1) as u64;
        }
    }

    /// What is at `at`: `wanted` bytes or more, fewer only at the end of the file.
    fn from(&mut self, at: u64, wanted: usize) -> io::Result<&[u8]> {
        let end = at.saturating_add(wanted as u64).min(self.len);
        if at < self.start || end > self.start + self.bytes.len() as u64 {
            let take = usize::try_from(self.len.saturating_sub(at)).map_or(SCAN_WINDOW, |left| left.min(SCAN_WINDOW));
            self.bytes.resize(take, 0);
            self.start = at;
            self.file.read_exact_at(at, &mut self.bytes)?;
        }
        Ok(usize::try_from(at - self.start).ok().and_then(|skip| self.bytes.get(skip..)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own")]

    use super::super::record::Kind;
    use super::*;

    const KEY: StoreKey = StoreKey([3; 32]);

    /// Records of three batches; returns the bytes and where each starts.
    fn sample() -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut starts) = (vec![0; SEGMENT_HEADER as usize], Vec::new());
        for (seq, batch) in [1, 1, 2, 2, 3, 3].into_iter().enumerate() {
            let payload = vec![seq as u8; 50 + seq];
            let id = BlobId::of(&payload);
            starts.push(bytes.len() as u64);
            let header = Header { kind: Kind::BLOB, len: payload.len() as u32, batch, seq: seq as u64 + 1, id };
            bytes.extend_from_slice(&header.encode(&KEY));
            bytes.extend_from_slice(&payload);
        }
        (bytes, starts)
    }

    fn scanned(bytes: &[u8]) -> Scan {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(0, bytes).unwrap();
        scan(&file, bytes.len() as u64, &KEY).unwrap()
    }

    fn offsets(scan: &Scan) -> Vec<u64> {
        scan.records.iter().map(|(offset, _)| *offset).collect()
    }

    #[test]
    fn a_bad_header_costs_its_own_record_only() {
        let (bytes, starts) = sample();
        assert_eq!(offsets(&scanned(&bytes)), starts);
        for victim in 0..5 {
            let mut bad = bytes.clone();
            bad[starts[victim] as usize + 8] ^= 0x40;
            let scan = scanned(&bad);
            let others: Vec<u64> = starts.iter().copied().filter(|start| *start != starts[victim]).collect();
            assert_eq!(offsets(&scan), others);
            assert_eq!(scan.gaps, [Gap { offset: starts[victim], len: starts[victim + 1] - starts[victim] }]);
            assert_eq!(scan.end, bytes.len() as u64);
        }
    }

    #[test]
    fn a_file_cut_anywhere_gives_the_records_before() {
        let (bytes, starts) = sample();
        for len in SEGMENT_HEADER as usize..bytes.len() {
            let scan = scanned(&bytes[..len]);
            let whole = starts.iter().skip(1).filter(|start| **start <= len as u64).count();
            assert_eq!(offsets(&scan), starts[..whole], "cut at {len}");
            assert!(scan.gaps.is_empty());
        }
    }

    #[test]
    fn a_torn_payload_in_the_last_batch_is_dropped_and_one_before_is_left_to_its_reader() {
        let (mut bytes, starts) = sample();
        *bytes.last_mut().unwrap() ^= 1;
        let scan = scanned(&bytes);
        assert_eq!((offsets(&scan), scan.end), (starts[..5].to_vec(), starts[5]));
        let (mut bytes, starts) = sample();
        bytes[starts[1] as usize - 1] ^= 1;
        assert_eq!(offsets(&scanned(&bytes)), starts);
    }

    #[test]
    fn bytes_that_look_like_a_record_inside_a_payload_are_not_one() {
        let inner = Header { kind: Kind::MANIFEST, len: 0, batch: 1, seq: 9, id: BlobId::of(b"") };
        let payload = inner.encode(&StoreKey([0; 32]));
        let outer = Header { kind: Kind::BLOB, len: HEADER as u32, batch: 1, seq: 1, id: BlobId::of(&payload) };
        let mut bytes = vec![0; SEGMENT_HEADER as usize];
        bytes.extend_from_slice(&outer.encode(&KEY));
        bytes[SEGMENT_HEADER as usize + 9] ^= 1;
        bytes.extend_from_slice(&payload);
        assert!(scanned(&bytes).records.is_empty());
    }

    #[test]
    fn records_are_found_behind_a_gap_longer_than_the_window() {
        let (bytes, starts) = sample();
        let mut holed = bytes[..starts[1] as usize].to_vec();
        holed.resize(holed.len() + 3 * SCAN_WINDOW + 17, b'M');
        holed.extend_from_slice(&bytes[starts[1] as usize..]);
        let scan = scanned(&holed);
        assert_eq!((scan.records.len(), scan.gaps.len()), (6, 1));
    }
}
