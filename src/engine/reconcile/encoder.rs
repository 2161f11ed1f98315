//! The coded symbols of a set of keys, as many as one likes.

use std::ops::Range;

use super::limits;
use super::symbol::{Key, Mapping, Salt, Symbol};

/// The keys whose first `bits` bits are `prefix`: a large difference is found part by part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Part {
    /// How many bits, at most [`limits::MAX_PART_BITS`]; with none it is all keys.
    pub bits: u8,
    /// Their value.
    pub prefix: u16,
}

impl Part {
    /// All keys.
    pub const ALL: Self = Self { bits: 0, prefix: 0 };

    /// The part with this name; `None` if there is no such part.
    #[must_use]
    pub fn new(bits: u8, prefix: u16) -> Option<Self> {
        (bits <= limits::MAX_PART_BITS && u32::from(prefix) < 1 << bits).then_some(Self { bits, prefix })
    }

    /// The part after it.
    pub(super) fn next(self) -> Option<Self> {
        Self::new(self.bits, self.prefix.checked_add(1)?)
    }

    fn of(self, key: Key) -> u64 {
        key.checked_shr(64 - u32::from(self.bits)).unwrap_or(0)
    }

    /// Whether a key belongs to it.
    #[must_use]
    pub fn contains(self, key: Key) -> bool {
        self.of(key) == u64::from(self.prefix)
    }
}

#[derive(Debug)]
struct Item {
    key: Key,
    mapping: Mapping,
}

/// Makes the symbols of a set, in order and in portions: a portion costs one look at each key and a step for each time that
/// one goes into a symbol of it. 24 bytes of memory per key.
#[derive(Debug)]
pub struct Encoder {
    salt: Salt,
    items: Vec<Item>,
    part: Part,
    range: Range<usize>,
    at: u32,
}

impl Encoder {
    /// For these keys, in any order; one that comes twice counts once.
    #[must_use]
    pub fn new(salt: &Salt, mut keys: Vec<Key>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let items: Vec<Item> = keys.into_iter().map(|key| Item { key, mapping: Mapping::new(key) }).collect();
        Self { salt: salt.clone(), range: 0..items.len(), items, part: Part::ALL, at: 0 }
    }

    /// Begins anew, with a part of the keys.
    pub fn begin(&mut self, part: Part) {
        let start = self.items.partition_point(|item| part.of(item.key) < u64::from(part.prefix));
        let end = self.items.partition_point(|item| part.of(item.key) <= u64::from(part.prefix));
        (self.part, self.range, self.at) = (part, start..end, 0);
        self.items[start..end].iter_mut().for_each(|item| item.mapping = Mapping::new(item.key));
    }

    /// The part at hand, and which symbol of it comes next.
    #[must_use]
    pub fn at(&self) -> (Part, u32) {
        (self.part, self.at)
    }

    /// How many keys the part has.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.range.len() as u64
    }

    /// The place of a key among all keys in ascending order.
    #[must_use]
    pub fn position(&self, key: Key) -> Option<usize> {
        self.items.binary_search_by_key(&key, |item| item.key).ok()
    }

    /// The next `count` symbols.
    pub fn symbols(&mut self, count: u32) -> Vec<Symbol> {
        let (from, to) = (self.at, self.at.saturating_add(count));
        let mut symbols = vec![Symbol::default(); (to - from) as usize];
        for item in &mut self.items[self.range.clone()] {
            if item.mapping.next() >= to {
                continue;
            }
            let check = self.salt.check(item.key);
            while let Some(symbol) = symbols.get_mut((item.mapping.next() - from) as usize) {
                symbol.apply(item.key, check, 1);
                item.mapping.advance();
            }
        }
        self.at = to;
        symbols
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(keys: impl Iterator<Item = Key>) -> Encoder {
        Encoder::new(&Salt::new(&[1; 16], &[2; 16]), keys.collect())
    }

    #[test]
    fn the_order_of_keys_and_the_size_of_portions_do_not_matter() {
        let whole = encoder(0..100).symbols(60);
        let mut other = encoder((0..100).chain(0..50).rev());
        let pieces = [1, 7, 52].map(|count| other.symbols(count)).concat();
        assert_eq!((whole.len(), whole[0].count, &pieces), (60, 100, &whole));
        assert_eq!(other.at(), (Part::ALL, 60));
        other.begin(Part::ALL);
        assert_eq!(other.symbols(60), whole);
    }

    #[test]
    fn the_parts_make_up_the_whole() {
        let keys: Vec<Key> = (0..1000_u64).map(|n| n << 54 | n).collect();
        let mut encoder = encoder(keys.iter().copied());
        for bits in [0, 1, 3, limits::MAX_PART_BITS] {
            let (mut part, mut total) = (Part::new(bits, 0), 0);
            while let Some(at) = part {
                encoder.begin(at);
                assert_eq!(encoder.total(), keys.iter().filter(|key| at.contains(**key)).count() as u64);
                assert_eq!(encoder.symbols(1)[0].count.unsigned_abs(), encoder.total());
                (part, total) = (at.next(), total + encoder.total());
            }
            assert_eq!(total, 1000);
        }
        assert_eq!(Part::new(3, 8), None);
        assert_eq!(Part::new(limits::MAX_PART_BITS + 1, 0), None);
        assert_eq!((encoder.position(keys[3]), encoder.position(1 << 60 | 1)), (Some(3), None));
    }
}
