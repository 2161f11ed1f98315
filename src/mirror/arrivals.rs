//! Chunks on their way into the store, for those who read the zip while it is still coming.
//!
//! A zip is hashed as its chunks land, not afterwards: then the network and the hashing share the time, and most chunks are
//! hashed from memory and not read from the disk again. What is handed out are the bytes of a [`VerifiedBlob`], or what
//! the store gives under the same name (and proves again): both hash to that name, so it does not matter which of them
//! was hashed.
//!
//! A chunk stays in memory until every reader has had it and the store has it. Where readers fall behind by [`CROWD`], the
//! fetch waits for them ([`Arrivals::room`]), as reading chunks back costs more than that: they would be copied and proven
//! once more, by each reader. It does not wait when all readers wait themselves, for a chunk that comes out of order, and never
//! for longer than [`PATIENCE`]: then the oldest chunks leave memory when others come, and are read from the store.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::domain::blob::BlobId;
use crate::store::Store;
use crate::verified::VerifiedBlob;

/// Bytes of the chunks that are kept for readers: what is being stored is among them, so they cost little more than that does.
const RECENT: usize = 12 << 20;
/// Bytes that landed and were not read by everyone, at which no more should come. What comes at once is up to 8 MiB.
const CROWD: usize = 4 << 20;
/// Waiting readers are woken for so many bytes at once: waking one takes as long as hashing 16 KiB.
const WAKE: usize = 256 << 10;
/// The fetch waits no longer than this for readers that are behind: inflating [`CROWD`] takes a tenth of it.
const PATIENCE: Duration = Duration::from_millis(500);
/// Names of chunks that have left memory are removed from the order when there are this many and half of all are such.
const ORDER_SLACK: usize = 256;
/// Readers of one zip: each is a bit.
const MAX_READERS: u32 = u8::BITS;

/// The chunks of one fetch.
#[derive(Debug)]
pub(super) struct Arrivals {
    state: Mutex<State>,
    news: Condvar,
    room: Notify,
}

#[derive(Debug)]
struct State {
    /// Wanted, and not acknowledged by the store.
    unstored: HashSet<BlobId>,
    recent: HashMap<BlobId, Recent>,
    /// The keys of `recent`, the oldest first, and some that have left it.
    order: VecDeque<BlobId>,
    recent_bytes: usize,
    /// Those bytes of them that somebody has not had.
    unread: usize,
    /// Bytes that landed since readers were woken.
    unannounced: usize,
    open: bool,
    /// The bits of those who read.
    readers: u8,
    /// The bits of those who wait for a chunk.
    waiting: u8,
}

#[derive(Debug)]
struct Recent {
    bytes: Bytes,
    /// The bits of those who have had it.
    had: u8,
}

/// Who reads: chunks are kept for him until he goes.
#[derive(Debug)]
pub(super) struct Reader {
    arrivals: Arc<Arrivals>,
    bit: u8,
}

impl Arrivals {
    /// `unstored` are the chunks that will come; all others are in the store.
    pub(super) fn new(unstored: HashSet<BlobId>) -> Self {
        let state = State {
            unstored,
            recent: HashMap::new(),
            order: VecDeque::new(),
            recent_bytes: 0,
            unread: 0,
            unannounced: 0,
            open: true,
            readers: 0,
            waiting: 0,
        };
        Self { state: Mutex::new(state), news: Condvar::new(), room: Notify::new() }
    }

    /// One more who reads. What landed before is not kept for him.
    pub(super) fn reader(self: &Arc<Self>) -> Reader {
        let mut state = self.lock();
        // More than there are bits share the last one: then some read from the store, and nothing else changes.
        let bit = 1 << state.readers.trailing_ones().min(MAX_READERS - 1);
        state.readers |= bit;
        state.recount();
        drop(state);
        Reader { arrivals: Arc::clone(self), bit }
    }

    /// Chunks have come and are about to be stored.
    pub(super) fn landed(&self, blobs: &[VerifiedBlob]) {
        let mut state = self.lock();
        for blob in blobs {
            let (id, len) = (blob.id(), blob.bytes().len());
            if !state.recent.contains_key(&id) {
                state.recent.insert(id, Recent { bytes: blob.bytes().clone(), had: 0 });
                state.order.push_back(id);
                state.recent_bytes += len;
                state.unread += if state.readers == 0 { 0 } else { len };
                state.unannounced += len;
            }
        }
        if state.order.len() > 2 * state.recent.len() + ORDER_SLACK {
            let State { order, recent, .. } = &mut *state;
            order.retain(|id| recent.contains_key(id));
        }
        while state.recent_bytes > RECENT
            && let Some(oldest) = state.order.pop_front()
        {
            state.forget(&oldest);
        }
        if state.unannounced >= WAKE {
            state.unannounced = 0;
            self.news.notify_all();
        }
    }

    /// The store has acknowledged chunks.
    pub(super) fn stored(&self, ids: &[BlobId]) {
        let mut state = self.lock();
        for id in ids {
            state.unstored.remove(id);
            if state.recent.get(id).is_some_and(|chunk| chunk.is_read(state.readers)) {
                state.forget(id);
            }
        }
        state.unannounced = 0;
        self.news.notify_all();
    }

    /// Whether chunks should stop coming for a moment, as they are not read as fast as they land.
    pub(super) fn is_crowded(&self) -> bool {
        let state = self.lock();
        state.unread >= CROWD && state.waiting != state.readers
    }

    /// Waits until somebody has read, but not for ever; to be asked again then.
    pub(super) async fn room(&self) -> bool {
        tokio::time::timeout(PATIENCE, self.room.notified()).await.is_ok()
    }

    /// Nothing more comes. Who waits for what is not there gets an error.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.news.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// The first of `ids`, waited for, and as many of those that follow as are there now. Blocking.
    ///
    /// # Errors
    /// `ConnectionAborted` when the fetch ended without the first one; `NotFound` when the store lost one; the disk's.
    pub(super) fn take(&self, ids: &[BlobId], store: &Store) -> io::Result<Vec<Bytes>> {
        let here = self.wait(ids)?;
        let absent: Vec<BlobId> = here.iter().zip(ids).filter(|(here, _)| here.is_none()).map(|(_, id)| *id).collect();
        let mut read = store.get_many(&absent).map_err(io::Error::other)?.into_iter().zip(absent);
        let bytes = here.into_iter().map(|here| match here {
            Some(bytes) => Ok(bytes),
            None => match read.next() {
                Some((Some(bytes), _)) => Ok(bytes),
                Some((None, id)) => Err(not_held(&id)),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        });
        bytes.collect()
    }

    /// As [`Self::take`]; `None` for what is in the store and not in memory.
    fn wait(&self, ids: &[BlobId]) -> io::Result<Vec<Option<Bytes>>> {
        let mut state = self.arrivals.lock();
        while ids.first().is_some_and(|first| state.is_awaited(first)) {
            if !state.open {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the fetch ended before all was here"));
            }
            state.waiting |= self.bit;
            self.arrivals.room.notify_one();
            state = self.arrivals.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting &= !self.bit;
        }
        let count = ids.iter().take_while(|id| !state.is_awaited(id)).count();
        let there = ids[..count].iter().map(|id| state.had_by(self.bit, id)).collect();
        self.arrivals.room.notify_one();
        Ok(there)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.arrivals.lock();
        state.readers &= !self.bit;
        state.waiting &= !self.bit;
        state.recount();
        self.arrivals.room.notify_one();
    }
}

impl State {
    fn is_awaited(&self, id: &BlobId) -> bool {
        self.unstored.contains(id) && !self.recent.contains_key(id)
    }

    /// Gives a chunk out of memory, and lets go of it when all have had it and the store has it.
    fn had_by(&mut self, reader: u8, id: &BlobId) -> Option<Bytes> {
        let chunk = self.recent.get_mut(id)?;
        let bytes = chunk.bytes.clone();
        let before = chunk.is_read(self.readers);
        chunk.had |= reader;
        if chunk.is_read(self.readers) {
            self.unread -= if before { 0 } else { bytes.len() };
            if !self.unstored.contains(id) {
                self.forget(id);
            }
        }
        Some(bytes)
    }

    fn forget(&mut self, id: &BlobId) {
        if let Some(chunk) = self.recent.remove(id) {
            self.recent_bytes -= chunk.bytes.len();
            self.unread -= if chunk.is_read(self.readers) { 0 } else { chunk.bytes.len() };
        }
    }

    /// After the readers have become others.
    fn recount(&mut self) {
        let unread = |chunk: &Recent| if chunk.is_read(self.readers) { 0 } else { chunk.bytes.len() };
        self.unread = self.recent.values().map(unread).sum();
    }
}

impl Recent {
    fn is_read(&self, readers: u8) -> bool {
        self.had & readers == readers
    }
}

/// A chunk that should be in the store and is not.
pub(super) fn not_held(id: &BlobId) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("chunk {id} is not in the store"))
}

/// Closes arrivals when it goes, so that no reader outlives the fetch that it waits for, however that ends.
pub(super) struct Closing<'a>(pub(super) &'a Arrivals);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::store::StoreOptions;

    fn blob(seed: u8, len: usize) -> VerifiedBlob {
        VerifiedBlob::of(Bytes::from(vec![seed; len])).unwrap()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        (dir, store)
    }

    fn arrivals(blobs: &[VerifiedBlob]) -> Arc<Arrivals> {
        Arc::new(Arrivals::new(blobs.iter().map(VerifiedBlob::id).collect()))
    }

    #[test]
    fn what_has_landed_is_read_before_it_is_stored_and_no_further_than_the_first_gap() {
        let (_dir, store) = store();
        let blobs = [blob(1, 10), blob(2, 10), blob(3, 10)];
        let ids = blobs.clone().map(|blob| blob.id());
        let arrivals = arrivals(&blobs);
        let reader = arrivals.reader();
        arrivals.landed(&[blobs[0].clone(), blobs[2].clone()]);
        assert_eq!(reader.take(&ids, &store).unwrap(), [blobs[0].bytes().clone()]);
        assert_eq!(reader.take(&ids, &store).unwrap(), [blobs[0].bytes().clone()], "a chunk that comes twice in a zip");
        assert_eq!(reader.take(&[], &store).unwrap(), [] as [Bytes; 0]);
    }

    #[tokio::test]
    async fn a_reader_waits_and_what_it_missed_comes_from_the_store() {
        let (_dir, store) = store();
        let blobs: Vec<VerifiedBlob> = (0..40).map(|seed| blob(seed, 1 << 20)).collect();
        let ids: Vec<BlobId> = blobs.iter().map(VerifiedBlob::id).collect();
        let arrivals = arrivals(&blobs);
        let reader = thread::spawn({
            let (reader, store, ids) = (arrivals.reader(), store.clone(), ids.clone());
            move || -> Vec<Bytes> {
                let mut got = Vec::new();
                while got.len() < ids.len() {
                    got.extend(reader.take(&ids[got.len()..], &store).unwrap());
                }
                got
            }
        });
        for blob in &blobs {
            arrivals.landed(std::slice::from_ref(blob));
            store.put(vec![blob.clone()]).await.unwrap();
            arrivals.stored(&[blob.id()]);
        }
        assert!(arrivals.lock().recent_bytes <= RECENT);
        // The oldest has left memory by now.
        assert!(arrivals.reader().wait(&ids[..1]).unwrap()[0].is_none());
        let wanted: Vec<Bytes> = blobs.iter().map(|blob| blob.bytes().clone()).collect();
        assert_eq!(tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap(), wanted);
    }

    #[test]
    fn a_fetch_that_ends_early_leaves_nobody_waiting() {
        let (_dir, store) = store();
        let blobs = [blob(1, 10)];
        let arrivals = arrivals(&blobs);
        let reader = thread::spawn({
            let reader = arrivals.reader();
            move || reader.take(&[blob(1, 10).id()], &store).unwrap_err().to_string()
        });
        drop(Closing(&arrivals));
        assert_eq!(reader.join().unwrap(), "the fetch ended before all was here");
    }

    #[test]
    fn a_chunk_that_is_nowhere_is_named() {
        let (_dir, store) = store();
        let id = blob(1, 10).id();
        let error = arrivals(&[]).reader().take(&[id], &store).unwrap_err();
        assert_eq!(error.to_string(), format!("chunk {id} is not in the store"));
    }

    #[tokio::test]
    async fn a_chunk_stays_until_all_have_had_it_and_it_is_stored_in_whatever_order() {
        let (_dir, store) = store();
        for stored_first in [true, false] {
            let blobs = [blob(1, 10)];
            let ids = [blobs[0].id()];
            store.put(blobs.to_vec()).await.unwrap();
            let arrivals = arrivals(&blobs);
            let (one, other) = (arrivals.reader(), arrivals.reader());
            arrivals.landed(&blobs);
            if stored_first {
                arrivals.stored(&ids);
            }
            one.take(&ids, &store).unwrap();
            assert_eq!(arrivals.lock().recent_bytes, 10);
            assert_eq!(arrivals.lock().unread, 10, "one has not had it");
            other.take(&ids, &store).unwrap();
            assert_eq!(arrivals.lock().unread, 0);
            if !stored_first {
                assert_eq!(arrivals.lock().recent_bytes, 10, "nobody could read it again");
                arrivals.stored(&ids);
            }
            assert_eq!(arrivals.lock().recent_bytes, 0);
        }
    }

    #[tokio::test]
    async fn a_fetch_waits_for_readers_that_work_and_not_for_those_that_wait_or_are_gone() {
        let (_dir, store) = store();
        let blobs: Vec<VerifiedBlob> = (0..6).map(|seed| blob(seed, 1 << 20)).collect();
        let ids: Vec<BlobId> = blobs.iter().map(VerifiedBlob::id).collect();
        let arrivals = arrivals(&blobs);
        let (fast, slow) = (arrivals.reader(), arrivals.reader());
        arrivals.landed(&blobs[1..]);
        assert!(arrivals.is_crowded());
        fast.take(&ids[1..], &store).unwrap();
        assert!(arrivals.is_crowded(), "one of them is behind");
        slow.take(&ids[1..3], &store).unwrap();
        assert!(arrivals.room().await, "somebody has read");
        assert!(!arrivals.is_crowded());
        arrivals.landed(&blobs[1..2]);
        assert_eq!(arrivals.lock().unread, 3 << 20, "what is here comes again, and changes nothing");

        let third = arrivals.reader();
        assert!(arrivals.is_crowded());
        let waits = thread::spawn(move || third.take(&ids[..1], &store).map(|bytes| bytes.len()));
        while arrivals.lock().waiting == 0 {
            thread::yield_now();
        }
        assert!(arrivals.is_crowded(), "two are at work");
        drop((fast, slow));
        assert!(!arrivals.is_crowded(), "who is left waits for a chunk that comes out of order");
        arrivals.landed(&blobs[..1]);
        assert_eq!(tokio::task::spawn_blocking(move || waits.join().unwrap().unwrap()).await.unwrap(), 1);
    }
}
