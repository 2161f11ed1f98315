//! Records: what a segment is made of, each with all that is needed to know what it is.
//!
//! ```text
//! offset  0  magic "MSwR"          4
//!         4  kind                  1   (unknown kinds are kept and skipped)
//!         5  flags                 1   (0; a reader ignores what it does not know)
//!         6  reserved              2   (0)
//!         8  payload length        4   little endian, as all numbers
//!        12  batch                 4   counts the batches of one segment, from 1
//!        16  sequence number       8   one order over all records of a store; survives compaction
//!        24  id                   32   BLAKE3 of the payload, whatever the kind
//!        56  header check          8   of the 56 bytes before, keyed with the store's key
//!        64  payload
//! ```
//! The header check is keyed with a random key of the store: a blob's payload comes from peers and may hold bytes that
//! look like a record, and a scan that looks for the next record after a damaged place must not believe those.

use bincode::{Decode, Encode};

use super::limits::{MAX_FACT, MAX_FACT_KEY, MAX_PAYLOAD, MAX_SEQ};
use crate::domain::blob::BlobId;
use crate::domain::codec::{self, CodecError};
use crate::domain::manifest::ManifestId;

/// Length of a record header in bytes.
pub(super) const HEADER: usize = 64;
/// What every record starts with.
pub(super) const MAGIC: [u8; 4] = *b"MSwR";
const CHECKED: usize = 56;

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Kind(pub(super) u8);

impl Kind {
    /// The payload is a blob.
    pub(super) const BLOB: Self = Self(1);
    /// The payload is an encoded envelope that the catalog accepted.
    pub(super) const MANIFEST: Self = Self(2);
    /// The payload is the 32 bytes of a manifest id: all of its blobs are here and its hashes were verified.
    pub(super) const COMPLETE: Self = Self(3);
    /// The payload is the 32 bytes of a manifest id: it is out of the catalog and is not accepted again.
    pub(super) const RETRACT: Self = Self(5);
    /// The payload is an encoded [`FactRecord`].
    pub(super) const FACT: Self = Self(4);
    /// The payload is the 32 bytes of a manifest id: it is out of the catalog until it is accepted again.
    pub(super) const SET_ASIDE: Self = Self(6);
}

/// The random key of one store: it makes record headers unforgeable for those who only provide payloads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct StoreKey(pub(super) [u8; 32]);

impl StoreKey {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// The first `N` bytes of the keyed hash over `bytes`.
    pub(super) fn check<const N: usize>(&self, bytes: &[u8]) -> [u8; N] {
        let mut sum = [0; N];
        blake3::Hasher::new_keyed(&self.0).update(bytes).finalize_xof().fill(&mut sum);
        sum
    }
}

/// A record's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Payload length in bytes, at most [`MAX_PAYLOAD`].
    pub(super) len: u32,
    pub(super) batch: u32,
    pub(super) seq: u64,
    pub(super) id: BlobId,
}

impl Header {
    pub(super) fn encode(&self, key: &StoreKey) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = self.kind.0;
        out[8..12].copy_from_slice(&self.len.to_le_bytes());
        out[12..16].copy_from_slice(&self.batch.to_le_bytes());
        out[16..24].copy_from_slice(&self.seq.to_le_bytes());
        out[24..CHECKED].copy_from_slice(self.id.as_bytes());
        let check: [u8; 8] = key.check(&out[..CHECKED]);
        out[CHECKED..].copy_from_slice(&check);
        out
    }

    /// `None` for anything that this store did not write.
    pub(super) fn decode(bytes: &[u8], key: &StoreKey) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        if bytes[..4] != MAGIC || bytes[CHECKED..] != key.check::<8>(&bytes[..CHECKED]) {
            return None;
        }
        let (len, seq) = (le32(bytes, 8), le64(bytes, 16));
        if len as usize > MAX_PAYLOAD || seq > MAX_SEQ {
            return None;
        }
        let id = BlobId::from_bytes(bytes[24..CHECKED].try_into().ok()?);
        Some(Self { kind: Kind(bytes[4]), len, batch: le32(bytes, 12), seq, id })
    }

    /// Length of header and payload in bytes.
    pub(super) fn total(&self) -> u64 {
        HEADER as u64 + u64::from(self.len)
    }
}

/// Four bytes of a header as a number; 0 where there are none, which no caller's fixed offsets reach.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Eight bytes of a header as a number; see [`le32`].
pub(super) fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Thirty-two bytes of a header as an id; see [`le32`].
pub(super) fn id_at(bytes: &[u8], at: usize) -> BlobId {
    BlobId::from_bytes(bytes.get(at..at + 32).and_then(|b| b.try_into().ok()).unwrap_or_default())
}

/// A fact: the last one written under a key counts.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(super) struct FactRecord {
    pub(super) key: Vec<u8>,
    /// Unix seconds that the fact is of.
    pub(super) at: u64,
    /// `None`: forgotten.
    pub(super) value: Option<Vec<u8>>,
}

impl FactRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode::<_, { MAX_FACT + MAX_FACT_KEY + 64 }>(bytes)
    }
}

/// The manifest that a [`Kind::COMPLETE`], [`Kind::RETRACT`] or [`Kind::SET_ASIDE`] record is about.
pub(super) fn about(payload: &[u8]) -> Option<ManifestId> {
    payload.try_into().ok().map(BlobId::from_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own")]

    use super::*;

    fn header() -> Header {
        Header { kind: Kind::BLOB, len: 5, batch: 3, seq: 1 << 40, id: BlobId::of(b"hello") }
    }

    #[test]
    fn a_header_survives_and_any_flipped_bit_is_seen() {
        let key = StoreKey([7; 32]);
        let bytes = header().encode(&key);
        assert_eq!(Header::decode(&bytes, &key), Some(header()));
        for bit in 0..HEADER * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, &key), None, "bit {bit}");
        }
    }

    #[test]
    fn a_header_of_another_store_or_with_a_number_that_no_store_gives_is_none() {
        let key = StoreKey([7; 32]);
        assert_eq!(Header::decode(&header().encode(&StoreKey([8; 32])), &key), None);
        for len in [MAX_PAYLOAD as u32 + 1, 1 << 31, u32::MAX] {
            assert_eq!(Header::decode(&Header { len, ..header() }.encode(&key), &key), None);
        }
        assert_eq!(Header::decode(&Header { seq: u64::MAX, ..header() }.encode(&key), &key), None);
        assert!(Header::decode(&Header { seq: MAX_SEQ, ..header() }.encode(&key), &key).is_some());
        assert_eq!(Header::decode(&header().encode(&key)[..63], &key), None);
    }
}
