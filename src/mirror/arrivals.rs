//! Chunks on their way into the store, for those who read the zip while it is still coming.
//!
//! A zip is hashed as its chunks land, not afterwards: then the network and the hashing share the time, and most chunks are
//! hashed from memory and not read from the disk again. What is handed out are the bytes of a [`VerifiedBlob`], or what
//! the store gives under the same name (and proves again): both hash to that name, so it does not matter which of them
//! was hashed.
//!
//! Nobody who stores ever waits for a reader. A reader that falls behind by more than [`RECENT`] reads from the store.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::domain::blob::BlobId;
use crate::store::Store;
use crate::verified::VerifiedBlob;

/// Bytes of the chunks that landed last and are kept for readers: what is being stored is among them, so they cost little
/// more than that does.
const RECENT: usize = 8 << 20;
/// Waiting readers are woken for so many bytes at once: waking one takes as long as hashing 16 KiB.
const WAKE: usize = 256 << 10;

/// The chunks of one fetch.
#[derive(Debug)]
pub(super) struct Arrivals {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug)]
struct State {
    /// Wanted, and not acknowledged by the store.
    unstored: HashSet<BlobId>,
    recent: HashMap<BlobId, Bytes>,
    /// The keys of `recent`, the oldest first.
    order: VecDeque<BlobId>,
    recent_bytes: usize,
    /// Bytes that landed since readers were woken.
    unannounced: usize,
    open: bool,
}

impl Arrivals {
    /// `unstored` are the chunks that will come; all others are in the store.
    pub(super) fn new(unstored: HashSet<BlobId>) -> Self {
        let state = State {
            unstored,
            recent: HashMap::new(),
            order: VecDeque::new(),
            recent_bytes: 0,
            unannounced: 0,
            open: true,
        };
        Self { state: Mutex::new(state), news: Condvar::new() }
    }

    /// Chunks have come and are about to be stored.
    pub(super) fn landed(&self, blobs: &[VerifiedBlob]) {
        let mut state = self.lock();
        for blob in blobs {
            if state.recent.insert(blob.id(), blob.bytes().clone()).is_none() {
                state.order.push_back(blob.id());
                state.recent_bytes += blob.bytes().len();
                state.unannounced += blob.bytes().len();
            }
        }
        while state.recent_bytes > RECENT
            && let Some(oldest) = state.order.pop_front()
        {
            let bytes = state.recent.remove(&oldest).map_or(0, |bytes| bytes.len());
            state.recent_bytes -= bytes;
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
        }
        state.unannounced = 0;
        self.news.notify_all();
    }

    /// Nothing more comes. Who waits for what is not there gets an error.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.news.notify_all();
    }

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
        let mut state = self.lock();
        while ids.first().is_some_and(|first| state.is_awaited(first)) {
            if !state.open {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the fetch ended before all was here"));
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let there = ids.iter().take_while(|id| !state.is_awaited(id));
        Ok(there.map(|id| state.recent.get(id).cloned()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_awaited(&self, id: &BlobId) -> bool {
        self.unstored.contains(id) && !self.recent.contains_key(id)
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
        arrivals.landed(&[blobs[0].clone(), blobs[2].clone()]);
        assert_eq!(arrivals.take(&ids, &store).unwrap(), [blobs[0].bytes().clone()]);
        assert_eq!(arrivals.take(&[], &store).unwrap(), [] as [Bytes; 0]);
    }

    #[tokio::test]
    async fn a_reader_waits_and_what_it_missed_comes_from_the_store() {
        let (_dir, store) = store();
        let blobs: Vec<VerifiedBlob> = (0..40).map(|seed| blob(seed, 1 << 20)).collect();
        let ids: Vec<BlobId> = blobs.iter().map(VerifiedBlob::id).collect();
        let arrivals = arrivals(&blobs);
        let reader = thread::spawn({
            let (arrivals, store, ids) = (Arc::clone(&arrivals), store.clone(), ids.clone());
            move || -> Vec<Bytes> {
                let mut got = Vec::new();
                while got.len() < ids.len() {
                    got.extend(arrivals.take(&ids[got.len()..], &store).unwrap());
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
        assert!(arrivals.wait(&ids[..1]).unwrap()[0].is_none());
        let wanted: Vec<Bytes> = blobs.iter().map(|blob| blob.bytes().clone()).collect();
        assert_eq!(tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap(), wanted);
    }

    #[test]
    fn a_fetch_that_ends_early_leaves_nobody_waiting() {
        let (_dir, store) = store();
        let blobs = [blob(1, 10)];
        let arrivals = arrivals(&blobs);
        let reader = thread::spawn({
            let arrivals = Arc::clone(&arrivals);
            move || arrivals.take(&[blob(1, 10).id()], &store).unwrap_err().to_string()
        });
        drop(Closing(&arrivals));
        assert_eq!(reader.join().unwrap(), "the fetch ended before all was here");
    }

    #[test]
    fn a_chunk_that_is_nowhere_is_named() {
        let (_dir, store) = store();
        let id = blob(1, 10).id();
        let error = arrivals(&[]).take(&[id], &store).unwrap_err();
        assert_eq!(error.to_string(), format!("chunk {id} is not in the store"));
    }
}
