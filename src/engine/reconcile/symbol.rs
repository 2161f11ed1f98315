//! Coded symbols: what they are made of, which key goes into which of them, and how they are written.

use super::limits;
use crate::domain::manifest::ManifestId;

/// The short name of a manifest in one comparison: the first 8 bytes (little endian) of its id's BLAKE3 under the [`Salt`].
pub type Key = u64;

/// What both sides have thrown in for one comparison. Who does not know it cannot make two manifests with one key, or keys
/// that go into the same symbols.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt {
    key: [u8; 32],
    check: (u64, u64),
}

impl Salt {
    /// From what the asking and the answering side have thrown in.
    #[must_use]
    pub fn new(asking: &[u8; 16], answering: &[u8; 16]) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("modswarm 2025 comparison of catalogs: short keys");
        hash.update(asking).update(answering);
        let mut bytes = [0; 48];
        hash.finalize_xof().fill(&mut bytes);
        let mut key = [0; 32];
        key.copy_from_slice(&bytes[..32]);
        Self { key, check: (word(&bytes[32..]), word(&bytes[40..])) }
    }

    /// The short key of a manifest.
    #[must_use]
    pub fn key(&self, id: &ManifestId) -> Key {
        word(blake3::keyed_hash(&self.key, id.as_bytes()).as_bytes())
    }

    /// What tells one key from the xor of several.
    pub(super) fn check(&self, key: Key) -> u64 {
        mix(mix(key ^ self.check.0).wrapping_add(self.check.1))
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt")
    }
}

/// The first 8 bytes, which the callers have.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// A permutation of the 64-bit words without any pattern (the finalizer of `SplitMix64`).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The sequence of symbols that one key goes into: all into the first, and into symbol `i` with the probability
/// `1 / (1 + i/2)` (section 4.2 of the paper), each side computing the same from the key alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    state: u64,
    next: u32,
}

impl Mapping {
    pub(super) fn new(key: Key) -> Self {
        Self { state: mix(key) | 1, next: 0 }
    }

    /// The next symbol; `u32::MAX` stands for none.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    #[allow(clippy::cast_possible_truncation, reason = "a cast from f64 saturates, and that is what is wanted")]
    #[allow(clippy::cast_precision_loss, reason = "it is a random number")]
    pub(super) fn advance(&mut self) {
        self.state = self.state.wrapping_mul(0xda94_2042_e4dd_58b5);
        // The inverse of the distribution of the distance to the next index. Sums, products, quotients and roots of
        // IEEE 754 have one right result, so all machines agree.
        let root = (self.state as f64 + 1.0).sqrt();
        let step = (f64::from(self.next) + 1.5) * (4_294_967_296.0 / root - 1.0);
        self.next = self.next.saturating_add((step.ceil() as u32).max(1));
    }
}

/// A coded symbol: three sums over the keys that go into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Symbol {
    /// The xor of the keys.
    pub keys: u64,
    /// The xor of their check hashes.
    pub checks: u64,
    /// How many there are; of a difference, theirs less ours.
    pub count: i64,
}

impl Symbol {
    /// Adds a key `sign` times.
    pub(super) fn apply(&mut self, key: Key, check: u64, sign: i64) {
        self.keys ^= key;
        self.checks ^= check;
        self.count = self.count.wrapping_add(sign);
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self {
            keys: self.keys ^ other.keys,
            checks: self.checks ^ other.checks,
            count: self.count.wrapping_sub(other.count),
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The one key that is left in it, and its sign; `None` while there are none or several.
    pub(super) fn pure(&self, salt: &Salt) -> Option<(Key, i64)> {
        (matches!(self.count, 1 | -1) && salt.check(self.keys) == self.checks).then_some((self.keys, self.count))
    }
}

/// How many of `total` keys go into symbol `index`, rounded down: counts are written as the difference to that.
fn expected(index: u64, total: u64) -> i64 {
    let expected = u128::from(total) * 2 / (u128::from(index) + 2);
    i64::try_from(expected).unwrap_or(i64::MAX)
}

/// Writes symbols, of which the first is number `from`, of a set of `total` keys: 17 to 18 bytes each.
#[must_use]
pub fn pack(from: u32, total: u64, symbols: &[Symbol]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(symbols.len() * 18);
    for (index, symbol) in (u64::from(from)..).zip(symbols) {
        bytes.extend(symbol.keys.to_le_bytes());
        bytes.extend(symbol.checks.to_le_bytes());
        let off = symbol.count.wrapping_sub(expected(index, total));
        // Zigzag: small numbers of either sign are short.
        let mut rest = (off << 1 ^ off >> 63).cast_unsigned();
        while rest > 0x7f {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push((rest & 0x7f) as u8);
    }
    bytes
}

/// Reads what [`pack`] has written, at most `most` symbols; `None` for anything else.
#[must_use]
pub fn unpack(from: u32, total: u64, mut bytes: &[u8], most: u32) -> Option<Vec<Symbol>> {
    let mut symbols = Vec::with_capacity((bytes.len() / 17).min(most.min(limits::PAGE_SYMBOLS) as usize));
    let mut index = u64::from(from);
    while !bytes.is_empty() {
        if symbols.len() >= most as usize {
            return None;
        }
        let (sums, rest) = bytes.split_at_checked(16)?;
        let len = rest.iter().take(10).position(|byte| *byte < 0x80)? + 1;
        let (count, rest) = rest.split_at_checked(len)?;
        // The last one of ten has a single bit left, and the last one of several is not zero: there is one way to write it.
        if (len == 10 && count[9] > 1) || (len > 1 && count[len - 1] == 0) {
            return None;
        }
        let off = count.iter().rev().fold(0_u64, |off, byte| off << 7 | u64::from(byte & 0x7f));
        let off = (off >> 1).cast_signed() ^ -((off & 1).cast_signed());
        let count = off.wrapping_add(expected(index, total));
        symbols.push(Symbol { keys: word(sums), checks: word(&sums[8..]), count });
        (bytes, index) = (rest, index + 1);
    }
    Some(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::BlobId;

    #[test]
    fn a_key_goes_into_each_symbol_with_the_probability_of_the_paper() {
        const KEYS: u64 = 20_000;
        let mut counts = [0_u64; 200];
        for key in 0..KEYS {
            let mut mapping = Mapping::new(key);
            while let Some(count) = counts.get_mut(mapping.next() as usize) {
                *count += 1;
                mapping.advance();
            }
        }
        assert_eq!(counts[0], KEYS);
        for (index, count) in (0_u64..).zip(counts) {
            let wanted = 2 * KEYS / (2 + index);
            // Six per cent, by which the sampler is off at the beginning, and five standard deviations.
            let off = count.abs_diff(wanted).saturating_sub(wanted * 6 / 100);
            assert!(off.pow(2) <= 25 * wanted + 25, "{count} of {wanted} in symbol {index}");
        }
    }

    #[test]
    fn every_mapping_ends() {
        for state in [1, u64::MAX, 1 << 63 | 1] {
            let mut mapping = Mapping { state, next: u32::MAX - 2 };
            for _ in 0..4 {
                mapping.advance();
            }
            assert_eq!(mapping.next(), u32::MAX);
        }
    }

    #[test]
    fn both_sides_of_a_salt_count_and_the_keys_stay_what_they_are() {
        let id = BlobId::of(b"a manifest");
        let key = |asking, answering| Salt::new(&[asking; 16], &[answering; 16]).key(&id);
        assert_eq!(key(1, 2), 12_580_434_912_902_762_566);
        assert!(key(1, 2) != key(1, 3) && key(1, 2) != key(3, 2) && key(1, 2) != key(2, 1));
    }

    #[test]
    fn symbols_of_any_counts_are_read_as_they_were_written_and_nothing_else_is() {
        let counts = [0, 1, -1, 63, -64, 64, 1000, -100_000, i64::MAX, i64::MIN];
        let symbols = counts.map(|count| Symbol { keys: 7, checks: u64::MAX - 9, count }).to_vec();
        for (from, total) in [(0, 0), (0, 100_000), (5, u64::MAX), (u32::MAX, 1)] {
            let bytes = pack(from, total, &symbols);
            assert_eq!(unpack(from, total, &bytes, 10).as_ref(), Some(&symbols));
            assert_eq!(unpack(from, total, &bytes, 9), None, "more than was asked for");
            assert!(bytes.len() <= symbols.len() * limits::SYMBOL_BYTES);
            for cut in 1..bytes.len() {
                let read = unpack(from, total, &bytes[..cut], 10);
                assert!(read.is_none_or(|read| symbols.starts_with(&read)));
            }
        }
        let with = |count: &[u8]| unpack(0, 0, &[&[0; 16], count].concat(), 1);
        assert!(with(&[0]).is_some() && with(&[0x80, 1]).is_some());
        assert_eq!(with(&[0x80, 0]), None, "written the long way");
        assert_eq!(with(&[0xff; 11]), None);
        assert_eq!(with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
    }

    #[test]
    fn counts_cost_little_more_than_a_byte() {
        let keys = 100_000;
        let mut encoder = super::super::Encoder::new(&Salt::new(&[0; 16], &[0; 16]), (0..keys).map(mix).collect());
        let symbols = encoder.symbols(700);
        let bytes = pack(0, keys, &symbols);
        assert!(bytes.len() < symbols.len() * 18, "{} bytes", bytes.len());
    }
}
