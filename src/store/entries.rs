//! Where a record is, and the index of a segment that is still open.
//!
//! The open segment's index is in memory: it changes with every batch, is bounded by the limits of a segment, and is
//! rebuilt at start by one pass over the record headers. Sealing writes it down as a footer.

use std::collections::BTreeMap;

use super::record::{Header, Kind};
use crate::domain::blob::BlobId;

/// One record of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) id: BlobId,
    pub(super) kind: Kind,
    /// Of the record's header, in bytes from the start of the segment.
    pub(super) offset: u64,
    /// Of the payload, in bytes.
    pub(super) len: u32,
}

/// What a segment holds, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub(super) records: u32,
    pub(super) blobs: u32,
    /// Payload bytes of all records.
    pub(super) bytes: u64,
    /// The highest sequence number, 0 without records.
    pub(super) max_seq: u64,
}

/// The records of one segment in order of id, kind and offset.
#[derive(Debug, Default)]
pub(super) struct Entries {
    map: BTreeMap<(BlobId, Kind, u64), u32>,
    pub(super) tally: Tally,
}

impl Entries {
    pub(super) fn insert(&mut self, header: &Header, offset: u64) {
        if self.map.insert((header.id, header.kind, offset), header.len).is_none() {
            self.tally.records += 1;
            self.tally.blobs += u32::from(header.kind == Kind::BLOB);
            self.tally.bytes += u64::from(header.len);
            self.tally.max_seq = self.tally.max_seq.max(header.seq);
        }
    }

    /// All records of that id and kind: a payload that was damaged and stored again is there twice.
    pub(super) fn find(&self, id: &BlobId, kind: Kind) -> impl Iterator<Item = Entry> + '_ {
        let range = (*id, kind, 0)..=(*id, kind, u64::MAX);
        self.map.range(range).map(|(key, len)| entry(key, *len))
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Entry> + '_ {
        self.map.iter().map(|(key, len)| entry(key, *len))
    }
}

fn entry(key: &(BlobId, Kind, u64), len: u32) -> Entry {
    Entry { id: key.0, kind: key.1, offset: key.2, len }
}
