//! The store: what a node holds, kept so that the plug may be pulled at any moment.
//!
//! # Shape
//! ```text
//!  put, accept, complete, set_fact           get, has, read_many, manifest, versions, ...
//!        │ async, bounded queue                    │ blocking, any thread
//!        v                                         v
//!     writer (one thread, one fsync per batch)   ids -> footers and Bloom filters of sealed segments,
//!        │                                         │     a map for the open one
//!        v                                         v
//!     dir/segments/00000001.seg ...  append-only records, the truth
//!     dir/index/                     sled, derived: manifests, versions, facts; rebuilt when it is not to be believed
//!     dir/lock                       one `Store` per directory
//! ```
//! Keys and values are apart, as in WiscKey: bulk bytes are written once, and the database over them stays small.
//! Not even the index of the bulk is in sled: measured, 4 million entries cost it 250 MB of memory and 0.8 GB of disk;
//! a footer costs 0.4 bytes of memory per record and is read a page at a time.
//!
//! # Invariants
//! * Only what [`crate::verified`] let through enters, and every read is checked again: a disk is not trusted either.
//! * What was acknowledged is on the disk. What was not may be there after a crash, whole, or not at all.
//! * A record says what it is (kind, length, id, order) and proves it; nothing outside its segment is needed to read it.
//! * Nothing is appended behind damage, and damage costs the record it is in, not those behind it. A damaged blob
//!   becomes one that is not held, and can be stored again.
//! * Sequence numbers give all records one order that survives being moved; the index is "the highest number wins".
//!
//! # Bounds
//! All in [`limits`]. Memory does not grow with the bytes held: 32 bytes per manifest, 0.4 bytes per record for fences,
//! 1.5 for the filter up to a budget, and the open segment's index. One file handle per segment.
//!
//! # Not here (yet)
//! Compaction, quota, eviction and scrubbing; records have what they need (sequence numbers, room for kinds and flags).
//! What a recipe means: the store knows pages as blobs, so *that all chunks are here* is the word of who completes.

mod bloom;
mod catalog;
mod changes;
pub mod disk;
mod entries;
mod error;
mod file;
mod footer;
mod index;
pub mod limits;
mod lock;
mod rebuild;
mod record;
mod recover;
mod scan;
mod segment;
mod segments;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::catalog::{Accepted, Held, HeldVersion};
pub use self::changes::Stamp;
pub use self::error::StoreError;
pub use self::file::FileBytes;
pub use self::index::Fact;
pub use self::segments::Location;
pub use self::shared::Stats;

use self::limits::{BLOCKING_CALLS, MAX_FACT, MAX_PUT_BYTES, SEGMENT_BYTES, WRITE_QUEUE};
use self::record::Kind;
use self::segment::read;
use self::shared::{FACT, Shared, fact_key, wanted_key};
use self::writer::{Request, Writer};
use crate::domain::blob::BlobId;
use crate::domain::digest::Digests;
use crate::domain::manifest::ManifestId;
use crate::domain::module::{ModulePath, ModuleVersion};
use crate::verified::{VerifiedBlob, VerifiedManifest};

/// How a store is opened. The defaults are right for everything but tests.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// A segment is sealed once it is this long, in bytes.
    pub segment_bytes: u64,
    /// What the segments are on.
    pub disk: Arc<dyn disk::Disk>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES, disk: Arc::new(disk::StdDisk) }
    }
}

/// Something that was asked for and not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The module path, as it was asked for.
    pub module: String,
    /// A version or a query such as `latest`.
    pub query: String,
    /// When it was last noted, in unix seconds.
    pub asked_at: u64,
}

/// A handle on an open store; clones share it.
///
/// The `async` methods may be called anywhere. All others block on the disk: call them through [`Store::run`].
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // Dropped first: it waits for the writer, which has the other `Shared`.
    writer: WriterHandle,
    shared: Arc<Shared>,
    blocking: Arc<Semaphore>,
}

#[derive(Debug)]
struct WriterHandle {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed; whoever still waited got `Closed`.
            let _ = thread.join();
        }
    }
}

impl Store {
    /// Opens the store in `dir`, or makes one there. Blocking; takes as long as reading the open segment's record
    /// headers, and longer when an index has to be rebuilt.
    ///
    /// # Errors
    /// `InUse`, `Unusable`, `NewerFormat`; `Full` and `Io` when the disk does not let it.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let opened = shared::open(dir, options)?;
        let shared = Arc::new(opened.shared);
        let writer = Writer {
            wanted: shared.count_wanted()?,
            shared: Arc::clone(&shared),
            open: opened.open,
            next_number: opened.next_number,
            seq: opened.seq,
            durable: opened.seq,
            flushed: opened.seq,
            unflushed: 0,
            index_behind: false,
        };
        let (requests, queue) = mpsc::channel(WRITE_QUEUE);
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(queue))
            .map_err(|error| StoreError::unusable(dir, error))?;
        let writer = WriterHandle { requests: Some(requests), thread: Some(thread) };
        let blocking = Arc::new(Semaphore::new(BLOCKING_CALLS));
        Ok(Self { inner: Arc::new(Inner { writer, shared, blocking }) })
    }

    /// Runs a blocking call on a thread for such, at most [`BLOCKING_CALLS`] at once.
    ///
    /// # Errors
    /// What `call` says; `Closed` when the runtime is shutting down. A panic in `call` goes on in the caller.
    pub async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.inner.blocking).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let store = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let done = call(&store);
            // The store before the permit: who gets the next permit may be waiting to be the last.
            drop(store);
            drop(permit);
            done
        });
        match task.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StoreError::Closed),
            },
        }
    }

    /// Stores blobs and returns when they are durable. Calls at the same time share an fsync; what is held already, or
    /// twice in the call, is written once. A caller that stops waiting does not stop the write.
    ///
    /// # Errors
    /// `TooMuch` over [`MAX_PUT_BYTES`]; `Full` and `Io` when nothing of it counts as stored.
    pub async fn put(&self, blobs: Vec<VerifiedBlob>) -> Result<(), StoreError> {
        let len = blobs.iter().map(|blob| blob.bytes().len() as u64).sum();
        if len > MAX_PUT_BYTES as u64 {
            return Err(StoreError::TooMuch { what: "a put", len, limit: MAX_PUT_BYTES as u64 });
        }
        if blobs.is_empty() {
            return Ok(());
        }
        self.ask(|done| Request::Put { blobs, done }).await
    }

    /// Offers a manifest to the catalog and returns when what became of it is durable; see [`Accepted`].
    ///
    /// # Errors
    /// `BadKey` and `TooMuch` for names that cannot be keys; `Full`, `Io`, `Index` when it is not kept.
    pub async fn accept(&self, manifest: VerifiedManifest) -> Result<Accepted, StoreError> {
        self.ask(|done| Request::Accept { manifest: Box::new(manifest), done }).await
    }

    /// Notes durably that everything a manifest names is held and its hashes were verified. To be called when the
    /// `put` of the last blob has returned: this record is then ordered after all of them.
    ///
    /// # Errors
    /// `UnknownManifest` if it is not (or no more) in the catalog; `Incomplete` if a page is missing; `Full`, `Io`,
    /// `Index` when it is not kept.
    pub async fn complete(&self, id: ManifestId) -> Result<(), StoreError> {
        self.ask(|done| Request::Complete { id, done }).await
    }

    /// Takes a manifest out of the catalog, durably: what it names turned out not to be what it claims. Its blobs stay, since others may
    /// name them too. It is not accepted again.
    ///
    /// # Errors
    /// `Full`, `Io`, `Index` when that is not kept.
    pub async fn retract(&self, id: ManifestId) -> Result<(), StoreError> {
        self.ask(|done| Request::Retract { id, done }).await
    }

    /// Takes manifests out of the catalog, durably, as if they had never been offered: the rule by which they were taken has changed. Each is
    /// accepted again when it is offered again, and is then as complete as it was.
    ///
    /// # Errors
    /// `Full`, `Io`, `Index` when that is not kept.
    pub async fn set_aside(&self, ids: Vec<ManifestId>) -> Result<(), StoreError> {
        self.ask(|done| Request::SetAside { ids, done }).await
    }

    /// Sets a small durable fact: a pin, or an answer that changes, with the time `at` (unix seconds) that it is of.
    ///
    /// # Errors
    /// `TooMuch` over [`MAX_FACT`] bytes or for a long key; `Full`, `Io`, `Index` when it is not kept.
    pub async fn set_fact(&self, key: &str, at: u64, value: Bytes) -> Result<(), StoreError> {
        if value.len() > MAX_FACT {
            return Err(StoreError::TooMuch { what: "a fact", len: value.len() as u64, limit: MAX_FACT as u64 });
        }
        let key = fact_key(key)?;
        self.ask(|done| Request::Fact { key, fact: Some(Fact { at, value }), done }).await
    }

    /// Forgets a fact.
    ///
    /// # Errors
    /// `Full`, `Io`, `Index` when that is not kept.
    pub async fn forget_fact(&self, key: &str) -> Result<(), StoreError> {
        let key = fact_key(key)?;
        self.ask(|done| Request::Fact { key, fact: None, done }).await
    }

    /// Notes that something was asked for and not there, at `now` unix seconds; at most once an hour each. Says whether
    /// it is on the list afterwards: a list of [`limits::MAX_WANTED`] takes no more.
    ///
    /// # Errors
    /// `BadKey` and `TooMuch` for what cannot be a key; `Full`, `Io`, `Index` when it is not kept.
    pub async fn note_wanted(&self, module: &str, query: &str, now: u64) -> Result<bool, StoreError> {
        let key = wanted_key(module, query)?;
        self.ask(|done| Request::Wanted { key, at: now, done }).await
    }

    /// Takes something off the wanted list.
    ///
    /// # Errors
    /// As [`Store::note_wanted`].
    pub async fn no_longer_wanted(&self, module: &str, query: &str) -> Result<(), StoreError> {
        let key = wanted_key(module, query)?;
        self.ask(|done| Request::NotWanted { key, done }).await
    }

    /// Writes what is queued, flushes the index and stops the writer. Whoever has another clone can still read; the
    /// directory is free for another process when the last clone is gone. (Dropping the last clone does the same as
    /// this, but blocks for it.)
    ///
    /// # Errors
    /// When the index cannot be flushed. Nothing is lost by it.
    pub async fn close(self) -> Result<(), StoreError> {
        let closed = match self.ask(|done| Request::Close { done }).await {
            Err(StoreError::Closed) => Ok(()),
            other => other,
        };
        // Waits for the thread and lets sled go, neither of which belongs on an async thread.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
        closed
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let requests = self.inner.writer.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(request(done)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// Reading. Everything here blocks on the disk, except where it says otherwise.
impl Store {
    /// A blob's bytes; `None` if it is not held.
    ///
    /// # Errors
    /// `Damaged` the first time that it turns out to be damaged (then it is not held any more); `Io`.
    pub fn get(&self, id: &BlobId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.inner.shared.segments.get(id, Kind::BLOB)?.map(|(_, bytes)| bytes))
    }

    /// Whether a blob is held.
    ///
    /// # Errors
    /// `Io`.
    pub fn has(&self, id: &BlobId) -> Result<bool, StoreError> {
        Ok(self.inner.shared.segments.find(id, Kind::BLOB)?.is_some())
    }

    /// Those of `ids` that are not held, in their order.
    ///
    /// # Errors
    /// `Io`.
    pub fn missing(&self, ids: &[BlobId]) -> Result<Vec<BlobId>, StoreError> {
        let found = self.locations(ids)?;
        Ok(ids.iter().zip(found).filter(|(_, found)| found.is_none()).map(|(id, _)| *id).collect())
    }

    /// Where blobs are, in the order of `ids`, resolved in one pass over the indexes.
    ///
    /// # Errors
    /// `Io`.
    pub fn locations(&self, ids: &[BlobId]) -> Result<Vec<Option<Location>>, StoreError> {
        self.inner.shared.segments.find_many(ids)
    }

    /// Reads one blob from where it is.
    ///
    /// # Errors
    /// `Damaged` if it is not there (any more); `Io`.
    pub fn read(&self, location: Location) -> Result<Bytes, StoreError> {
        let mut one = self.read_many(&[location])?;
        one.pop().ok_or(StoreError::Closed)
    }

    /// Reads blobs from where they are, in the order of `locations`; neighbours come with one read.
    ///
    /// To stream many, take slices of [`Location::within`] a budget: the slices are read one after the other and memory
    /// stays flat.
    ///
    /// # Errors
    /// `TooMuch` over [`limits::READ_MANY_BYTES`] together; `Damaged` for the first that is; `Io`.
    pub fn read_many(&self, locations: &[Location]) -> Result<Vec<Bytes>, StoreError> {
        self.inner.shared.segments.read_many(locations)
    }

    /// Finds and reads blobs, in the order of `ids`; neighbours come with one read.
    ///
    /// # Errors
    /// As [`Store::read_many`].
    pub fn get_many(&self, ids: &[BlobId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.inner.shared.segments.get_many(ids)
    }

    /// The manifest of a module version.
    ///
    /// # Errors
    /// `Index`, `Io`, `Damaged`; `BadKey` and `TooMuch` for names that cannot be keys.
    pub fn manifest(&self, module: &ModuleVersion) -> Result<Option<Held>, StoreError> {
        self.inner.shared.manifest(module)
    }

    /// The encoded envelope of a manifest of the catalog. One that was replaced by a fuller one is not there any more.
    ///
    /// # Errors
    /// `Index`, `Io`, `Damaged`.
    pub fn manifest_by_id(&self, id: &ManifestId) -> Result<Option<Bytes>, StoreError> {
        self.inner.shared.envelope(id)
    }

    /// The held versions of a module, in the order of their bytes (not that of versions).
    ///
    /// # Errors
    /// `Index`; `BadKey` and `TooMuch` for a path that cannot be a key.
    pub fn versions(&self, path: &ModulePath) -> Result<Vec<HeldVersion>, StoreError> {
        self.inner.shared.versions(path)
    }

    /// The next [`limits::MODULES_PAGE`] module paths behind `after`, in the order of their bytes; none at the end.
    ///
    /// # Errors
    /// `Index`.
    pub fn modules(&self, after: Option<&ModulePath>) -> Result<Vec<ModulePath>, StoreError> {
        self.inner.shared.modules(after)
    }

    /// The ids of all manifests in order. From memory.
    #[must_use]
    pub fn catalog_ids(&self) -> Vec<ManifestId> {
        read(&self.inner.shared.ids).all()
    }

    /// One sum per first byte over the ids of the catalog: two nodes whose sums are equal hold the same. From memory.
    #[must_use]
    pub fn catalog_digests(&self) -> Digests {
        read(&self.inner.shared.ids).digests()
    }

    /// The ids that start with a byte, in order. From memory.
    #[must_use]
    pub fn catalog_bucket(&self, first: u8) -> Vec<ManifestId> {
        read(&self.inner.shared.ids).bucket(first)
    }

    /// The stamp of what [`Store::manifest`] and [`Store::versions`] say of a module, to be taken before they are asked. From
    /// memory. As long as it is the same, so is what they say.
    #[must_use]
    pub fn stamp(&self, path: &ModulePath) -> Stamp {
        self.inner.shared.changes.stamp(path.as_str().as_bytes())
    }

    /// The stamp of what [`Store::fact`] says of a key, as [`Store::stamp`] is of a module.
    #[must_use]
    pub fn fact_stamp(&self, key: &str) -> Stamp {
        self.inner.shared.changes.stamp(&[FACT, key.as_bytes()].concat())
    }

    /// A fact that was set and not forgotten.
    ///
    /// # Errors
    /// `Index`; `TooMuch` for a long key.
    pub fn fact(&self, key: &str) -> Result<Option<Fact>, StoreError> {
        self.inner.shared.fact(key)
    }

    /// All facts whose key starts with `prefix`, with their keys.
    ///
    /// # Errors
    /// As [`Store::fact`].
    pub fn facts(&self, prefix: &str) -> Result<Vec<(String, Fact)>, StoreError> {
        self.inner.shared.facts(prefix)
    }

    /// What was asked for and not there.
    ///
    /// # Errors
    /// `Index`.
    pub fn wanted(&self) -> Result<Vec<Wanted>, StoreError> {
        self.inner.shared.wanted()
    }

    /// How the store stands. Asks the operating system for the length of each segment, no more.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.shared.stats()
    }
}
