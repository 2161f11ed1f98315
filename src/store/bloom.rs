//! A blocked Bloom filter over record ids: one block of 64 bytes decides, so a probe on disk is one small read.
//!
//! 12 bits per record and 6 probes in one block give some 1 % of false hits. Ids are hashes already: their own bits
//! choose block and probes.

use crate::domain::blob::BlobId;

/// Length of one block in bytes.
pub(super) const BLOCK: usize = 64;
const BITS_PER_RECORD: u64 = 12;
const PROBES: usize = 6;

/// How many blocks `records` need.
pub(super) fn blocks_for(records: usize) -> u32 {
    u32::try_from((records as u64 * BITS_PER_RECORD).div_ceil(BLOCK as u64 * 8).max(1)).unwrap_or(u32::MAX)
}

/// Which of `blocks` an id falls into.
pub(super) fn block_of(id: &BlobId, blocks: u32) -> u32 {
    let word = u32::from_le_bytes([id.as_bytes()[8], id.as_bytes()[9], id.as_bytes()[10], id.as_bytes()[11]]);
    u32::try_from((u64::from(word) * u64::from(blocks)) >> 32).unwrap_or(0)
}

/// Whether the block that [`block_of`] chose may hold `id`.
pub(super) fn may_hold(block: &[u8], id: &BlobId) -> bool {
    probes(id).all(|bit| block.get(bit / 8).is_none_or(|byte| byte & (1 << (bit % 8)) != 0))
}

/// A filter of `blocks` blocks over `ids`.
pub(super) fn build<'a>(blocks: u32, ids: impl IntoIterator<Item = &'a BlobId>) -> Vec<u8> {
    let mut bits = vec![0; blocks as usize * BLOCK];
    for id in ids {
        let start = block_of(id, blocks) as usize * BLOCK;
        for bit in probes(id) {
            bits[start + bit / 8] |= 1 << (bit % 8);
        }
    }
    bits
}

/// Bits within a block, from bytes that [`block_of`] does not use.
fn probes(id: &BlobId) -> impl Iterator<Item = usize> + '_ {
    id.as_bytes()[12..12 + 2 * PROBES]
        .chunks_exact(2)
        .map(|pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])) % (BLOCK * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> BlobId {
        BlobId::of(&n.to_le_bytes())
    }

    fn hit(bits: &[u8], blocks: u32, id: &BlobId) -> bool {
        let start = block_of(id, blocks) as usize * BLOCK;
        may_hold(&bits[start..start + BLOCK], id)
    }

    #[test]
    fn every_member_is_found_and_few_others() {
        let ids: Vec<_> = (0..5000).map(id).collect();
        let blocks = blocks_for(ids.len());
        let bits = build(blocks, &ids);
        assert!(ids.iter().all(|id| hit(&bits, blocks, id)));
        let false_hits = (5000..15_000).filter(|n| hit(&bits, blocks, &id(*n))).count();
        assert!(false_hits < 300, "{false_hits} of 10,000");
    }

    #[test]
    fn an_empty_filter_holds_nothing() {
        assert!(!hit(&build(blocks_for(0), []), 1, &id(1)));
    }
}
