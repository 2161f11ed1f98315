//! Which parts of the index have changed: for those who keep in memory what they read of it.
//!
//! Who reads takes the [`Stamp`] of a name *first*, then reads, and keeps what it read under that stamp. What is kept is
//! true as long as the stamp of the name is the same. The writer moves the stamp after it has changed the index and before
//! it acknowledges that, so a reader that comes in between keeps the new state under the old stamp, which costs another
//! read; it never keeps the old one under the new.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, 8 bytes each. Names share them, so this is the part of what is kept in memory that a change of one module does
/// *not* make worthless: all but one in 4096.
const COUNTERS: usize = 4096;

/// How often a name, or one that shares its counter, has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp(u64);

/// The counters.
#[derive(Debug)]
pub(super) struct Changes(Box<[AtomicU64]>);

impl Default for Changes {
    fn default() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Changes {
    /// The stamp of everything whose index key has this name: the key up to its first zero byte, which is the path of a
    /// module for all its versions, and the whole key of a fact.
    pub(super) fn stamp(&self, key: &[u8]) -> Stamp {
        Stamp(self.counter(key).map_or(0, |counter| counter.load(Ordering::Acquire)))
    }

    /// To be called after the index was changed under a key, and before anybody is told.
    pub(super) fn note(&self, key: &[u8]) {
        if let Some(counter) = self.counter(key) {
            counter.fetch_add(1, Ordering::Release);
        }
    }

    /// To be called when nobody knows what was changed.
    pub(super) fn note_all(&self) {
        for counter in &self.0 {
            counter.fetch_add(1, Ordering::Release);
        }
    }

    fn counter(&self, key: &[u8]) -> Option<&AtomicU64> {
        let mut hasher = DefaultHasher::new();
        key.split(|byte| *byte == 0).next().unwrap_or_default().hash(&mut hasher);
        // Below COUNTERS.
        #[allow(clippy::cast_possible_truncation)]
        self.0.get(hasher.finish() as usize % COUNTERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_moves_the_stamp_of_its_name_and_hardly_any_other() {
        let changes = Changes::default();
        let names: Vec<String> = (0..1000).map(|n| format!("example.com/m{n}")).collect();
        let stamps = || names.iter().map(|name| changes.stamp(name.as_bytes())).collect::<Vec<_>>();
        let before = stamps();
        changes.note(b"example.com/m7\0v1.0.0");
        let moved = |before: &[Stamp]| stamps().iter().zip(before).filter(|(now, then)| now != then).count();
        assert_ne!(changes.stamp(b"example.com/m7"), before[7]);
        assert!((1..10).contains(&moved(&before)));
        let before = stamps();
        changes.note_all();
        assert_eq!(moved(&before), names.len());
    }
}
