//! A set of slices, one bit each.

use bincode::{Decode, Encode};

/// Which of an item's slices: bit `n % 8` of byte `n / 8` stands for slice `n`; unused bits at the end are zero.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub struct Bitfield(Vec<u8>);

impl Bitfield {
    /// For `slices` slices, none of them set.
    #[must_use]
    pub fn none(slices: u32) -> Self {
        Self(vec![0; slices.div_ceil(8) as usize])
    }

    /// For `slices` slices, all of them set.
    #[must_use]
    pub fn all(slices: u32) -> Self {
        let mut all = Self::none(slices);
        (0..slices).for_each(|slice| _ = all.set(slice));
        all
    }

    /// Whether it could be one for `slices` slices: its length is right and no bit beyond is set.
    #[must_use]
    pub fn is_for(&self, slices: u32) -> bool {
        let spare = slices % 8;
        self.0.len() == slices.div_ceil(8) as usize
            && (spare == 0 || self.0.last().is_none_or(|last| last >> spare == 0))
    }

    /// Whether a slice is in it; what lies beyond its end is not.
    #[must_use]
    pub fn has(&self, slice: u32) -> bool {
        self.0.get(slice as usize / 8).is_some_and(|byte| byte & (1 << (slice % 8)) != 0)
    }

    /// Adds a slice; `false` if it was there, or lies beyond the end.
    pub fn set(&mut self, slice: u32) -> bool {
        match self.0.get_mut(slice as usize / 8) {
            Some(byte) if *byte & (1 << (slice % 8)) == 0 => {
                *byte |= 1 << (slice % 8);
                true
            }
            _ => false,
        }
    }

    /// Takes a slice out; `false` if it was not there.
    pub fn clear(&mut self, slice: u32) -> bool {
        let had = self.has(slice);
        if had {
            self.0[slice as usize / 8] &= !(1 << (slice % 8));
        }
        had
    }

    /// How many are in it.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitfield_knows_its_length() {
        for slices in 1..40 {
            let all = Bitfield::all(slices);
            assert!(all.is_for(slices) && Bitfield::none(slices).is_for(slices), "{slices}");
            assert_eq!(all.count(), slices);
            assert!(all.has(slices - 1) && !all.has(slices));
            assert!(!all.is_for(slices + 8) && (slices < 2 || !all.is_for(slices - 1)));
        }
    }

    #[test]
    fn a_slice_is_set_and_cleared_once() {
        let mut some = Bitfield::none(10);
        assert!(some.set(9) && !some.set(9) && some.has(9));
        assert!(!some.set(200), "beyond the end");
        assert!(some.clear(9) && !some.clear(9) && some.count() == 0);
    }
}
