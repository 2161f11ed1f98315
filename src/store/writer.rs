//! The one writer: a thread that gathers what many callers ask for into batches of one fsync each.
//!
//! A batch is written behind the last durable record, synced, published in the indexes, and only then acknowledged.
//! When writing fails nothing of the batch counts: its callers get the error and the segment is cut back. When
//! *syncing* fails nobody knows what is on the disk (Linux reports a failed write-back once and then forgets it), so
//! that segment is never written again: the next batch opens a new one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::catalog::{Accepted, Row, decide};
use super::error::StoreError;
use super::index::{Change, Fact, version_key};
use super::limits::{
    BATCH_BYTES, BATCH_REQUESTS, CHECKPOINT_CHANGES, MAX_WANTED, SEGMENT_RECORDS, WANTED_RENEW, WRITE_APART,
    WRITE_BUFFER,
};
use super::record::{FactRecord, Header, Kind};
use super::recover::OpenSegment;
use super::segment::{SEGMENT_HEADER, Segment, encode_head, file_name, write};
use super::shared::Shared;
use crate::domain::blob::BlobId;
use crate::domain::manifest::ManifestId;
use crate::verified::{VerifiedBlob, VerifiedManifest};

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What callers ask of the writer.
pub(super) enum Request {
    Put { blobs: Vec<VerifiedBlob>, done: Answer<()> },
    Accept { manifest: Box<VerifiedManifest>, done: Answer<Accepted> },
    Complete { id: ManifestId, done: Answer<()> },
    Retract { id: ManifestId, done: Answer<()> },
    SetAside { ids: Vec<ManifestId>, done: Answer<()> },
    Fact { key: Vec<u8>, fact: Option<Fact>, done: Answer<()> },
    Wanted { key: Vec<u8>, at: u64, done: Answer<bool> },
    NotWanted { key: Vec<u8>, done: Answer<()> },
    Close { done: Answer<()> },
}

impl Request {
    /// What it will add to a batch, in bytes, about.
    fn weight(&self) -> usize {
        match self {
            Self::Put { blobs, .. } => blobs.iter().map(|blob| blob.bytes().len()).sum(),
            Self::Accept { manifest, .. } => manifest.envelope().len(),
            Self::Fact { fact, .. } => fact.as_ref().map_or(0, |fact| fact.value.len()),
            Self::Complete { .. } | Self::Retract { .. } | Self::SetAside { .. } => 0,
            Self::Wanted { .. } | Self::NotWanted { .. } | Self::Close { .. } => 0,
        }
    }
}

/// Who waits for a batch, and for what answer when it is durable.
enum Waiter {
    Unit(Answer<()>),
    Accepted(Answer<Accepted>, Accepted),
    Noted(Answer<bool>, bool),
}

impl Waiter {
    fn answer(self, outcome: Result<(), StoreError>) {
        // A caller that left does not want to know.
        match self {
            Self::Unit(done) => drop(done.send(outcome)),
            Self::Accepted(done, accepted) => drop(done.send(outcome.map(|()| accepted))),
            Self::Noted(done, noted) => drop(done.send(outcome.map(|()| noted))),
        }
    }
}

/// A batch while it is gathered.
#[derive(Default)]
struct Batch {
    records: Vec<(Header, Bytes)>,
    changes: Vec<Change>,
    blobs: HashSet<BlobId>,
    /// Rows that this batch will have made: later requests of the batch see them.
    rows: HashMap<Vec<u8>, Row>,
    /// Manifests that this batch takes out of the catalog for good.
    retracted: HashSet<ManifestId>,
    /// Manifests that this batch takes out of the catalog until they are accepted again.
    aside: HashSet<ManifestId>,
    /// The wanted list as this batch will leave it, where it touches it: when it was asked for.
    wanted: HashMap<Vec<u8>, Option<u64>>,
    /// Blob writers: they need the segment only. Catalog writers need the index too.
    putters: Vec<Waiter>,
    catalogers: Vec<Waiter>,
}

impl Batch {
    fn takes_out(&self, id: &ManifestId) -> bool {
        self.retracted.contains(id) || self.aside.contains(id)
    }
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) open: Option<OpenSegment>,
    pub(super) next_number: u32,
    /// The last sequence number that was given out.
    pub(super) seq: u64,
    /// The highest sequence number of a durable record; a failed batch leaves it behind `seq`.
    pub(super) durable: u64,
    /// What the last checkpoint of the index was told.
    pub(super) flushed: u64,
    /// Entries of the wanted list.
    pub(super) wanted: usize,
    /// Changes that the index would lose in a crash (and get back from the segments).
    pub(super) unflushed: usize,
    /// The index missed a change: it must not claim to have seen it.
    pub(super) index_behind: bool,
}

impl Writer {
    /// Works until the last sender is gone or someone asks to close.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut closers = Vec::new();
        while closers.is_empty() {
            let Some(first) = requests.blocking_recv() else { break };
            let (mut weight, mut count, mut next) = (0, 0, Some(first));
            let mut batch = Batch::default();
            while let Some(request) = next {
                weight += request.weight();
                count += 1;
                match request {
                    Request::Close { done } => closers.push(done),
                    other => self.stage(other, &mut batch),
                }
                let more = weight < BATCH_BYTES && count < BATCH_REQUESTS && closers.is_empty();
                next = if more { requests.try_recv().ok() } else { None };
            }
            self.finish(batch);
        }
        let closed = self.checkpoint();
        // Who asked too late gets `Closed`: their answer channels are dropped with the queue.
        drop(requests);
        if let Err(error) = &closed {
            tracing::warn!(%error, "the index was not flushed; it is brought up to date at the next start");
        }
        drop(self);
        closers.into_iter().for_each(|done| drop(done.send(closed.clone())));
    }

    /// Puts what a request needs into the batch; one that is refused is answered at once.
    fn stage(&mut self, request: Request, batch: &mut Batch) {
        match request {
            Request::Put { blobs, done } => match self.stage_blobs(blobs, batch) {
                Ok(()) => batch.putters.push(Waiter::Unit(done)),
                Err(error) => drop(done.send(Err(error))),
            },
            Request::Accept { manifest, done } => match self.stage_manifest(&manifest, batch) {
                Ok(accepted) => batch.catalogers.push(Waiter::Accepted(done, accepted)),
                Err(error) => drop(done.send(Err(error))),
            },
            Request::Complete { id, done } => match self.stage_complete(id, batch) {
                Ok(()) => batch.catalogers.push(Waiter::Unit(done)),
                Err(error) => drop(done.send(Err(error))),
            },
            Request::Retract { id, done } => {
                self.stage_retract(id, batch);
                batch.catalogers.push(Waiter::Unit(done));
            }
            Request::SetAside { ids, done } => {
                ids.into_iter().for_each(|id| self.stage_set_aside(id, batch));
                batch.catalogers.push(Waiter::Unit(done));
            }
            Request::Fact { key, fact, done } => {
                self.stage_fact(key, fact, batch);
                batch.catalogers.push(Waiter::Unit(done));
            }
            Request::NotWanted { key, done } => match self.stage_not_wanted(key, batch) {
                Ok(()) => batch.catalogers.push(Waiter::Unit(done)),
                Err(error) => drop(done.send(Err(error))),
            },
            Request::Wanted { key, at, done } => match self.stage_wanted(key, at, batch) {
                Ok(noted) => batch.catalogers.push(Waiter::Noted(done, noted)),
                Err(error) => drop(done.send(Err(error))),
            },
            Request::Close { done } => drop(done),
        }
    }

    fn record(&mut self, batch: &mut Batch, kind: Kind, id: BlobId, payload: Bytes) -> u64 {
        self.seq += 1;
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        batch.records.push((Header { kind, len, batch: 0, seq: self.seq, id }, payload));
        self.seq
    }

    fn stage_blobs(&mut self, blobs: Vec<VerifiedBlob>, batch: &mut Batch) -> Result<(), StoreError> {
        let ids: Vec<BlobId> = blobs.iter().map(VerifiedBlob::id).collect();
        let held = self.shared.segments.find_many(&ids)?;
        for (blob, _) in blobs.into_iter().zip(held).filter(|(_, held)| held.is_none()) {
            if batch.blobs.insert(blob.id()) {
                self.record(batch, Kind::BLOB, blob.id(), blob.bytes().clone());
            }
        }
        Ok(())
    }

    fn stage_manifest(&mut self, manifest: &VerifiedManifest, batch: &mut Batch) -> Result<Accepted, StoreError> {
        let key = version_key(&manifest.manifest().module)?;
        let id = manifest.id();
        if batch.retracted.contains(&id) || self.shared.index.is_retracted(&id)? {
            return Ok(Accepted::Retracted);
        }
        let record = BlobId::of(manifest.envelope());
        let mut row = Row::of(self.seq + 1, manifest.id(), record, manifest.manifest());
        let held = match batch.rows.get(&key) {
            Some(row) => Some(row.clone()),
            None => self.shared.index.row(&key)?.filter(|row| !batch.takes_out(&row.id)),
        };
        let accepted = decide(held.as_ref(), &row);
        if let Accepted::New | Accepted::Replaced { .. } = accepted {
            row.seq = self.record(batch, Kind::MANIFEST, record, manifest.envelope().clone());
            batch.rows.insert(key.clone(), row.clone());
            batch.changes.push(Change::Manifest { key, row, envelope: manifest.envelope().clone() });
        }
        Ok(accepted)
    }

    /// The blobs of a complete manifest were acknowledged before this call, so they are in earlier batches: a crash
    /// cannot keep this record and lose them. What is checked here are the pages and the go.mod, which it names itself.
    fn stage_complete(&mut self, id: ManifestId, batch: &mut Batch) -> Result<(), StoreError> {
        let held = self.shared.manifest_by_id(&id)?.ok_or(StoreError::UnknownManifest(id))?;
        if held.complete {
            return Ok(());
        }
        let named = super::shared::named_blobs(&held.manifest);
        let found = self.shared.segments.find_many(&named)?;
        if let Some((missing, _)) = named.into_iter().zip(found).find(|(_, found)| found.is_none()) {
            return Err(StoreError::Incomplete { id, missing });
        }
        let payload = Bytes::copy_from_slice(id.as_bytes());
        self.record(batch, Kind::COMPLETE, BlobId::of(&payload), payload);
        batch.changes.push(Change::Complete(id));
        Ok(())
    }

    /// Later requests of the same batch must not build upon the row, so it is struck there too.
    fn stage_retract(&mut self, id: ManifestId, batch: &mut Batch) {
        let payload = Bytes::copy_from_slice(id.as_bytes());
        self.record(batch, Kind::RETRACT, BlobId::of(&payload), payload);
        batch.rows.retain(|_, row| row.id != id);
        batch.retracted.insert(id);
        batch.changes.push(Change::Retract(id));
    }

    fn stage_set_aside(&mut self, id: ManifestId, batch: &mut Batch) {
        let payload = Bytes::copy_from_slice(id.as_bytes());
        let seq = self.record(batch, Kind::SET_ASIDE, BlobId::of(&payload), payload);
        batch.rows.retain(|_, row| row.id != id);
        batch.aside.insert(id);
        batch.changes.push(Change::SetAside { id, seq });
    }

    fn stage_fact(&mut self, key: Vec<u8>, fact: Option<Fact>, batch: &mut Batch) {
        let (at, value) = fact.as_ref().map_or((0, None), |fact| (fact.at, Some(fact.value.to_vec())));
        let payload = Bytes::from(FactRecord { key: key.clone(), at, value }.encode());
        let seq = self.record(batch, Kind::FACT, BlobId::of(&payload), payload);
        batch.changes.push(Change::Fact { key, seq, fact });
    }

    /// Whether it is on the list afterwards: a list that is full takes no more.
    fn stage_wanted(&mut self, key: Vec<u8>, at: u64, batch: &mut Batch) -> Result<bool, StoreError> {
        match self.wanted_at(&key, batch)? {
            Some(held) if at < held.saturating_add(WANTED_RENEW) => return Ok(true),
            None if self.wanted >= MAX_WANTED => return Ok(false),
            None => self.wanted += 1,
            Some(_) => {}
        }
        batch.wanted.insert(key.clone(), Some(at));
        self.stage_fact(key, Some(Fact { at, value: Bytes::new() }), batch);
        Ok(true)
    }

    fn stage_not_wanted(&mut self, key: Vec<u8>, batch: &mut Batch) -> Result<(), StoreError> {
        if self.wanted_at(&key, batch)?.is_some() {
            self.wanted = self.wanted.saturating_sub(1);
            batch.wanted.insert(key.clone(), None);
            self.stage_fact(key, None, batch);
        }
        Ok(())
    }

    fn wanted_at(&self, key: &[u8], batch: &Batch) -> Result<Option<u64>, StoreError> {
        match batch.wanted.get(key) {
            Some(at) => Ok(*at),
            None => Ok(self.shared.index.fact(key)?.map(|fact| fact.at)),
        }
    }

    /// Writes, syncs, publishes, acknowledges.
    fn finish(&mut self, batch: Batch) {
        let written = if batch.records.is_empty() { Ok(()) } else { self.commit(&batch.records) };
        let applied = written.clone().and_then(|()| self.apply(&batch.changes));
        batch.putters.into_iter().for_each(|waiter| waiter.answer(written.clone()));
        batch.catalogers.into_iter().for_each(|waiter| waiter.answer(applied.clone()));
        if let Err(error) = &written {
            tracing::warn!(%error, records = batch.records.len(), "a batch could not be written");
            self.recount_wanted();
        }
        self.roll_if_full();
        if self.unflushed >= CHECKPOINT_CHANGES
            && let Err(error) = self.checkpoint()
        {
            tracing::warn!(%error, "the index could not be flushed");
        }
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            let moved = self.shared.index.apply(change).inspect_err(|_| {
                self.index_behind = true;
                self.shared.changes.note_all();
            })?;
            moved.key.iter().for_each(|key| self.shared.changes.note(key));
            let mut ids = write(&self.shared.ids);
            moved.before.iter().for_each(|row| ids.remove(row));
            moved.after.iter().for_each(|row| ids.insert(row));
            self.unflushed += 1;
        }
        Ok(())
    }

    /// Makes records durable and findable, all or none.
    fn commit(&mut self, records: &[(Header, Bytes)]) -> Result<(), StoreError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.create_segment()?,
        };
        open.batch += 1;
        match self.write_records(&open, records) {
            Ok((placed, end)) => match open.segment.file.sync() {
                Ok(()) => {
                    self.shared.count_sync();
                    self.durable = placed.last().map_or(self.durable, |(_, header)| header.seq);
                    open.segment.publish(&placed);
                    open.end = end;
                    self.open = Some(open);
                    Ok(())
                }
                Err(error) => {
                    let error = StoreError::io("sync", &open.segment.path, error);
                    self.abandon(&open);
                    Err(error)
                }
            },
            Err(error) => {
                let error = StoreError::io("write", &open.segment.path, error);
                let file = &open.segment.file;
                match file.set_len(open.end).and_then(|()| file.sync()) {
                    Ok(()) => self.open = Some(open),
                    Err(_) => self.abandon(&open),
                }
                Err(error)
            }
        }
    }

    /// Writes records behind the last durable one; returns where each is, and where the last ends.
    fn write_records(
        &self,
        open: &OpenSegment,
        records: &[(Header, Bytes)],
    ) -> std::io::Result<(Vec<(u64, Header)>, u64)> {
        let (mut placed, mut at, mut written) = (Vec::with_capacity(records.len()), open.end, open.end);
        let mut buffer = Vec::with_capacity(WRITE_BUFFER.min(records.iter().map(|(_, p)| p.len() + 64).sum()));
        for (header, payload) in records {
            let header = Header { batch: open.batch, ..*header };
            placed.push((at, header));
            at += header.total();
            buffer.extend_from_slice(&header.encode(&self.shared.key));
            let apart = payload.len() >= WRITE_APART;
            if !apart {
                buffer.extend_from_slice(payload);
            }
            if apart || buffer.len() >= WRITE_BUFFER {
                open.segment.file.write_all_at(written, &buffer)?;
                written += buffer.len() as u64;
                buffer.clear();
            }
            if apart {
                open.segment.file.write_all_at(written, payload)?;
                written = at;
            }
        }
        if !buffer.is_empty() {
            open.segment.file.write_all_at(written, &buffer)?;
        }
        Ok((placed, at))
    }

    fn create_segment(&mut self) -> Result<OpenSegment, StoreError> {
        let (disk, dir) = (&*self.shared.disk, &self.shared.segment_dir);
        let (number, path) = (self.next_number, dir.join(file_name(self.next_number)));
        // Never used again, even if making it fails half way.
        self.next_number += 1;
        let failed = |error| StoreError::io("create", &path, error);
        let file = disk.open(&path, true).map_err(failed)?;
        let made = file
            .write_all_at(0, &encode_head(number, &self.shared.key))
            .and_then(|()| file.sync())
            .and_then(|()| disk.sync_dir(dir));
        if let Err(error) = made {
            let _ = disk.remove(&path);
            return Err(failed(error));
        }
        let segment = Arc::new(Segment::in_memory(
            number,
            path.clone(),
            file,
            self.shared.key,
            super::entries::Entries::default(),
        ));
        self.shared.segments.add(Arc::clone(&segment));
        Ok(OpenSegment { segment, end: SEGMENT_HEADER, batch: 0 })
    }

    /// Gives up a segment for writing. What was durable in it stays readable; the next start seals it.
    fn abandon(&self, open: &OpenSegment) {
        tracing::warn!(segment = %open.segment.path.display(), "a segment is not written any more, as its disk failed");
        let _ = open.segment.file.set_len(open.end);
        if open.end == SEGMENT_HEADER {
            self.shared.segments.remove(open.segment.number);
            let _ = self.shared.disk.remove(&open.segment.path);
        }
    }

    fn roll_if_full(&mut self) {
        let full = |open: &OpenSegment| {
            open.end >= self.shared.segment_bytes
                || open.segment.tally().records as usize >= SEGMENT_RECORDS
                || open.batch == u32::MAX
        };
        if let Some(open) = self.open.take_if(|open| full(open))
            && let Err(error) = open.segment.seal(open.end, self.shared.segments.bloom_fits())
        {
            tracing::warn!(%error, "a segment could not be sealed; its index stays in memory until the next start");
        }
    }

    /// Flushes the index, unless it missed something: then the next start brings it up to date.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.index_behind || self.flushed == self.durable {
            return Ok(());
        }
        self.unflushed = 0;
        self.shared.index.checkpoint(self.durable)?;
        self.flushed = self.durable;
        Ok(())
    }

    fn recount_wanted(&mut self) {
        if let Ok(count) = self.shared.count_wanted() {
            self.wanted = count;
        }
    }
}
