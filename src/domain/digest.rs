//! Digests of a catalog: 256 numbers, and their [`sum`], from which two nodes see at once whether their catalogs are equal.
//!
//! A manifest belongs to the bucket that the first byte of its id names, and a bucket's digest is the wrapping sum of one
//! number per manifest. So a store keeps digests up to date with one addition per insertion, in any order.
//!
//! This finds honest differences; it is no proof. Somebody who makes manifests at will can make two sets with equal
//! sums, and thereby hide his own manifests, not those of others.

use super::manifest::ManifestId;

/// A digest for each bucket.
pub type Digests = [u64; 256];

/// The bucket of a manifest: the first byte of its id.
#[must_use]
pub fn bucket(id: &ManifestId) -> u8 {
    id.as_bytes()[0]
}

/// What a manifest adds to its bucket's digest: bytes 8 to 16 of its id, little endian.
#[must_use]
pub fn term(id: &ManifestId) -> u64 {
    let [_, _, _, _, _, _, _, _, a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The BLAKE3 of all digests, cut to 16 bytes: two catalogs with the same sum hold the same, as far as digests can tell.
#[must_use]
pub fn sum(digests: &Digests) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    digests.iter().for_each(|digest| {
        hash.update(&digest.to_le_bytes());
    });
    let mut sum = [0; 16];
    hash.finalize_xof().fill(&mut sum);
    sum
}

/// Adds a manifest that was not counted yet.
pub fn add(digests: &mut Digests, id: &ManifestId) {
    let digest = &mut digests[usize::from(bucket(id))];
    *digest = digest.wrapping_add(term(id));
}

/// Takes a manifest that was counted out again.
pub fn remove(digests: &mut Digests, id: &ManifestId) {
    let digest = &mut digests[usize::from(bucket(id))];
    *digest = digest.wrapping_sub(term(id));
}

/// The digests of a set of manifests, each named once.
pub fn of<'a>(ids: impl IntoIterator<Item = &'a ManifestId>) -> Digests {
    let mut digests = [0; 256];
    ids.into_iter().for_each(|id| add(&mut digests, id));
    digests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::BlobId;

    #[test]
    fn the_order_does_not_matter_and_every_id_does() {
        let ids: Vec<ManifestId> = (0..1000_u32).map(|n| BlobId::of(&n.to_le_bytes())).collect();
        assert_eq!(of(&ids), of(ids.iter().rev()));
        let without = of(&ids[1..]);
        let differs: Vec<usize> = (0..256).filter(|at| without[*at] != of(&ids)[*at]).collect();
        assert_eq!(differs, [usize::from(bucket(&ids[0]))]);
        assert!(sum(&of(&ids)) == sum(&of(ids.iter().rev())) && sum(&of(&ids)) != sum(&without));
    }
}
