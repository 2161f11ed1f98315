//! Small answers in memory, so that a hit takes no other thread, no look into the index and no decoding.
//!
//! What is kept is kept under a *stamp*: all that it follows from, taken before it was read. It is given out only to who
//! comes with an equal stamp, so nothing here has to be told of changes, and a change that comes while something is
//! being read makes it worthless instead of wrong. For what is read from the catalog the stamp is the store's
//! ([`Store::stamp`](crate::store::Store::stamp)), which moves with every manifest that is accepted, completed, set aside or
//! retracted.
//!
//! Absence is not kept, but for facts: what is not here is looked for elsewhere, which takes longer than the index.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::lists::Known;
use super::outcome::Kind;
use crate::domain::manifest::{GoMod, Manifest};
use crate::domain::module::{ModulePath, ModuleVersion};
use crate::store::Stamp;

/// `.info` and go.mod of module versions, in bytes: twice what the largest module graphs take (some 5,000 versions of
/// 1.2 KB), so that one build after the other finds its graph here.
const FILES_BYTES: usize = 16 << 20;
/// Versions of modules, in bytes: 1,000 modules with 50 versions each.
const KNOWN_BYTES: usize = 4 << 20;
/// What upstreams said, in bytes: the lists of 5,000 modules with 50 versions each.
const FACTS_BYTES: usize = 4 << 20;
/// Lists as they are answered, in bytes: as many as there are of what they are made from.
const LISTS_BYTES: usize = 4 << 20;
/// What one entry takes besides its own bytes: tables, reference counts, the key.
const ENTRY: usize = 250;

/// What an upstream said and when, in unix seconds.
pub(super) type Fact = Option<(u64, Bytes)>;

/// The answers of one mirror.
pub(super) struct Memory {
    pub(super) files: Cache<ModuleVersion, Stamp, Files>,
    pub(super) known: Cache<ModulePath, Stamp, Arc<[Known]>>,
    pub(super) facts: Cache<String, Stamp, Fact>,
    /// Made from the versions of the catalog and from what an upstream said.
    pub(super) lists: Cache<ModulePath, (Stamp, Bytes), Bytes>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            files: Cache::new(FILES_BYTES),
            known: Cache::new(KNOWN_BYTES),
            facts: Cache::new(FACTS_BYTES),
            lists: Cache::new(LISTS_BYTES),
        }
    }
}

/// The small files of a module version; none for one that it does not have, or that is not small.
#[derive(Clone, Default)]
pub(super) struct Files {
    pub(super) info: Option<Bytes>,
    pub(super) go_mod: Option<Bytes>,
}

impl Files {
    pub(super) fn of_manifest(manifest: &Manifest) -> Self {
        let info = (!manifest.info.is_empty()).then(|| Bytes::copy_from_slice(&manifest.info));
        let go_mod = match &manifest.go_mod {
            GoMod::Inline(bytes) => Some(Bytes::copy_from_slice(bytes)),
            GoMod::Blobs { .. } => None,
        };
        Self { info, go_mod }
    }

    pub(super) fn of(self, kind: Kind) -> Option<Bytes> {
        match kind {
            Kind::Info => self.info,
            Kind::GoMod => self.go_mod,
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.info.iter().chain(&self.go_mod).map(Bytes::len).sum()
    }
}

/// What was read last, up to a number of bytes.
///
/// In two halves: what is used goes into the young one, and when that is full, the old one is forgotten and the young
/// one becomes it. So nothing that is used at least once while half of the bytes turn over is forgotten, and keeping
/// it takes no order of use.
pub(super) struct Cache<K, S, V> {
    halves: Mutex<Halves<K, S, V>>,
    limit: usize,
}

struct Halves<K, S, V> {
    young: HashMap<K, Entry<S, V>>,
    old: HashMap<K, Entry<S, V>>,
    /// Of the young half.
    bytes: usize,
}

struct Entry<S, V> {
    stamp: S,
    value: V,
    bytes: usize,
}

impl<K: Hash + Eq, S: PartialEq, V: Clone> Cache<K, S, V> {
    /// A cache of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { halves: Mutex::new(Halves { young: HashMap::new(), old: HashMap::new(), bytes: 0 }), limit }
    }

    /// What was kept under this very stamp.
    pub(super) fn get(&self, key: &K, stamp: &S) -> Option<V> {
        let mut halves = self.lock();
        if let Some(entry) = halves.young.get(key) {
            return (entry.stamp == *stamp).then(|| entry.value.clone());
        }
        let (key, entry) = halves.old.remove_entry(key)?;
        if entry.stamp != *stamp {
            return None;
        }
        let value = entry.value.clone();
        self.insert(&mut halves, key, entry);
        Some(value)
    }

    /// Keeps what was read after `stamp` was taken; `bytes` is what key and value have.
    pub(super) fn put(&self, key: K, stamp: S, value: V, bytes: usize) {
        let bytes = bytes + ENTRY;
        // One that takes the place of many is not worth it.
        if bytes <= self.limit / 16 {
            self.insert(&mut self.lock(), key, Entry { stamp, value, bytes });
        }
    }

    fn insert(&self, halves: &mut Halves<K, S, V>, key: K, entry: Entry<S, V>) {
        if halves.bytes + entry.bytes > self.limit / 2 {
            halves.old = std::mem::take(&mut halves.young);
            halves.bytes = 0;
        }
        halves.bytes += entry.bytes;
        if let Some(before) = halves.young.insert(key, entry) {
            halves.bytes -= before.bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Halves<K, S, V>> {
        // After a panic in between, `bytes` may be off by one entry until the halves are changed next.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(cache: &Cache<u32, u8, u32>) -> usize {
        let halves = cache.lock();
        let sum = |half: &HashMap<u32, Entry<u8, u32>>| half.values().map(|entry| entry.bytes).sum::<usize>();
        assert_eq!(sum(&halves.young), halves.bytes);
        sum(&halves.young) + sum(&halves.old)
    }

    #[test]
    fn what_was_kept_under_another_stamp_is_not_given_out() {
        let cache = Cache::new(100 * ENTRY);
        cache.put(1, 1, 10, 0);
        assert_eq!((cache.get(&1, &1), cache.get(&1, &2), cache.get(&2, &1)), (Some(10), None, None));
        // Who read before the change and comes late takes the place, but nobody believes it.
        cache.put(1, 2, 20, 0);
        cache.put(1, 1, 10, 0);
        assert_eq!(cache.get(&1, &2), None);
        cache.put(1, 2, 20, 0);
        assert_eq!(cache.get(&1, &2), Some(20));
        assert_eq!(held(&cache), ENTRY);
    }

    #[test]
    fn what_is_used_stays_and_the_bytes_are_bounded() {
        let cache = Cache::new(100 * ENTRY);
        cache.put(0, 1, 0, 0);
        for n in 1..1000 {
            cache.put(n, 1, n, 0);
            assert_eq!(cache.get(&0, &1), Some(0), "after {n}");
            assert!(held(&cache) <= 100 * ENTRY);
        }
        assert_eq!((cache.get(&999, &1), cache.get(&500, &1)), (Some(999), None));
        cache.put(1, 1, 1, 100 * ENTRY / 16);
        assert_eq!(cache.get(&1, &1), None, "too large");
    }

    #[test]
    fn an_old_entry_with_another_stamp_goes() {
        let cache = Cache::new(20 * ENTRY);
        (0..15).for_each(|n| cache.put(n, 1, n, 0));
        let before = held(&cache);
        assert_eq!(cache.get(&0, &2), None);
        assert_eq!(held(&cache), before - ENTRY);
        assert_eq!(cache.get(&0, &1), None);
    }
}
