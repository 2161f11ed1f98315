//! Cutting an item into slices, alike on every node.

use std::ops::Range;

/// Bytes of the smallest slice, but the last: below it each costs more in messages than it gains.
pub const MIN_SLICE: u64 = 512 << 10;
/// Bytes after which a slice ends in any case: what a node holds in memory of one that is coming.
pub const MAX_SLICE: u64 = 4 << 20;
/// Slices that an item is cut into where the bounds above allow: with `N` receivers the last one is done after
/// `1 + floor(log2 N) / M` times what the bytes take on one line, so with 128 a thousand receivers cost 8 %.
pub const SLICES: u64 = 128;

/// Cuts blobs of these lengths, in the order of the recipe and each named once, into runs of about equal bytes. Every node
/// that has the recipe gets the same.
#[must_use]
pub fn cut(lens: &[u32]) -> Vec<Range<usize>> {
    let total: u64 = lens.iter().map(|len| u64::from(*len)).sum();
    let target = (total / SLICES).clamp(MIN_SLICE, MAX_SLICE);
    let mut slices = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, len) in lens.iter().enumerate() {
        bytes += u64::from(*len);
        if bytes >= target {
            slices.push(from..at + 1);
            (from, bytes) = (at + 1, 0);
        }
    }
    if from < lens.len() {
        slices.push(from..lens.len());
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::spread::limits::MAX_SLICES;
    use proptest::prelude::*;

    #[test]
    fn slices_are_as_large_as_the_item_asks_for() {
        let cases: &[(usize, u32, usize, usize)] = &[
            // blobs, bytes each, slices, blobs of the first
            (0, 0, 0, 0),
            (1, 7, 1, 1),
            (100, 1 << 10, 1, 100),
            (1024, 1 << 10, 2, 512),
            (21, 1 << 20, 21, 1),
            (200, 1 << 20, 100, 2),
            (500, 1 << 20, 125, 4),
        ];
        for &(blobs, bytes, slices, first) in cases {
            let cut = cut(&vec![bytes; blobs]);
            assert_eq!(
                (cut.len(), cut.first().map_or(0, ExactSizeIterator::len)),
                (slices, first),
                "{blobs} of {bytes}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_blob_is_in_one_slice_and_no_slice_is_too_long(lens in prop::collection::vec(0_u32..=1 << 20, 0..2000)) {
            let cut = cut(&lens);
            let mut next = 0;
            for slice in &cut {
                prop_assert_eq!(slice.start, next);
                prop_assert!(!slice.is_empty());
                let bytes: u64 = lens[slice.clone()].iter().map(|len| u64::from(*len)).sum();
                prop_assert!(bytes < MAX_SLICE + (1 << 20));
                next = slice.end;
            }
            prop_assert_eq!(next, lens.len());
            prop_assert!(cut.len() <= MAX_SLICES as usize);
        }
    }
}
