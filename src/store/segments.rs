//! All segments of a store, and reading across them.

use std::sync::{Arc, RwLock};

use bytes::Bytes;

use super::entries::Entry;
use super::error::StoreError;
use super::footer::PageCache;
use super::limits::{BLOOM_MEMORY, READ_GAP, READ_MANY_BYTES, READ_RUN};
use super::record::{HEADER, Kind};
use super::segment::{Segment, read, write};
use crate::domain::blob::BlobId;

/// Where a blob is. Good until its segment is compacted away: then reading it says `Damaged`, and asking anew helps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    segment: u32,
    entry: Entry,
}

impl Location {
    /// Which blob.
    #[must_use]
    pub fn id(&self) -> BlobId {
        self.entry.id
    }

    /// Length of the blob in bytes.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.entry.len
    }

    /// Whether it is the empty blob.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entry.len == 0
    }

    /// How many of `locations`, from the first on, `budget` bytes hold; one at least, unless there is none.
    ///
    /// The slices in which a long list is given to [`super::Store::read_many`], so that memory stays flat.
    #[must_use]
    pub fn within(locations: &[Self], budget: u64) -> usize {
        let mut left = budget;
        let fit = locations.iter().take_while(|location| {
            let fits = u64::from(location.entry.len) <= left;
            left = left.saturating_sub(u64::from(location.entry.len));
            fits
        });
        fit.count().max(1).min(locations.len())
    }
}

/// The segments in order of their number; the last may be open.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Readers take a look at it with one reference, however many there are.
    list: RwLock<Arc<Vec<Arc<Segment>>>>,
}

impl Segments {
    pub(super) fn add(&self, segment: Arc<Segment>) {
        Arc::make_mut(&mut write(&self.list)).push(segment);
    }

    pub(super) fn remove(&self, number: u32) {
        Arc::make_mut(&mut write(&self.list)).retain(|segment| segment.number != number);
    }

    /// A look at the list as it is now.
    pub(super) fn all(&self) -> Arc<Vec<Arc<Segment>>> {
        Arc::clone(&read(&self.list))
    }

    /// Whether one more filter may stay in memory.
    pub(super) fn bloom_fits(&self) -> bool {
        read(&self.list).iter().map(|segment| segment.bloom_bytes()).sum::<u64>() < BLOOM_MEMORY
    }

    fn by_number(&self, number: u32) -> Option<Arc<Segment>> {
        let list = read(&self.list);
        list.binary_search_by_key(&number, |segment| segment.number).ok().map(|at| Arc::clone(&list[at]))
    }

    /// Finds one record, the newest first.
    pub(super) fn find(&self, id: &BlobId, kind: Kind) -> Result<Option<Location>, StoreError> {
        for segment in self.all().iter().rev() {
            if let Some(entry) = segment.find(id, kind, &mut PageCache::default())? {
                return Ok(Some(Location { segment: segment.number, entry }));
            }
        }
        Ok(None)
    }

    /// Finds many blobs in one pass: each page of each footer is read once at most.
    pub(super) fn find_many(&self, ids: &[BlobId]) -> Result<Vec<Option<Location>>, StoreError> {
        let mut found = vec![None; ids.len()];
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_unstable_by_key(|at| ids[*at]);
        for segment in self.all().iter().rev() {
            let mut cache = PageCache::default();
            let mut left = Vec::with_capacity(order.len());
            for at in order {
                match segment.find(&ids[at], Kind::BLOB, &mut cache)? {
                    Some(entry) => found[at] = Some(Location { segment: segment.number, entry }),
                    None => left.push(at),
                }
            }
            if left.is_empty() {
                break;
            }
            order = left;
        }
        Ok(found)
    }

    /// Reads one record's payload, from another copy if one is damaged; with its sequence number.
    pub(super) fn get(&self, id: &BlobId, kind: Kind) -> Result<Option<(u64, Bytes)>, StoreError> {
        let mut damaged = None;
        // Each turn gives up one record, so this ends.
        while let Some(location) = self.find(id, kind)? {
            let Some(segment) = self.by_number(location.segment) else { break };
            match segment.read(&location.entry) {
                Ok((header, payload)) => return Ok(Some((header.seq, payload.into()))),
                Err(error @ StoreError::Damaged { .. }) => damaged = Some(error),
                Err(error) => return Err(error),
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    /// Reads blobs, neighbours with one read. In the order of `locations`; each is proven or an error of its own.
    fn read_each(&self, locations: &[Location]) -> Result<Vec<Result<Bytes, StoreError>>, StoreError> {
        let len = locations.iter().map(|location| u64::from(location.entry.len)).sum();
        if len > READ_MANY_BYTES {
            return Err(StoreError::TooMuch { what: "a read", len, limit: READ_MANY_BYTES });
        }
        let mut order: Vec<usize> = (0..locations.len()).collect();
        order.sort_unstable_by_key(|at| (locations[*at].segment, locations[*at].entry.offset));
        let mut out: Vec<Option<Result<Bytes, StoreError>>> = vec![None; locations.len()];
        let mut rest = order.as_slice();
        while let Some(first) = rest.first() {
            let (run, after) = rest.split_at(run_length(locations, rest));
            rest = after;
            let entries: Vec<Entry> = run.iter().map(|at| locations[*at].entry).collect();
            let read = match self.by_number(locations[*first].segment) {
                Some(segment) => segment.read_run(&entries)?,
                None => entries.iter().map(|entry| Err(moved(entry))).collect(),
            };
            for (at, bytes) in run.iter().zip(read) {
                out[*at] = Some(bytes);
            }
        }
        Ok(out.into_iter().flatten().collect())
    }

    /// Reads blobs, neighbours with one read.
    pub(super) fn read_many(&self, locations: &[Location]) -> Result<Vec<Bytes>, StoreError> {
        self.read_each(locations)?.into_iter().collect()
    }

    /// Finds and reads blobs.
    pub(super) fn get_many(&self, ids: &[BlobId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let found = self.find_many(ids)?;
        let located: Vec<Location> = found.iter().copied().flatten().collect();
        let mut bytes = self.read_each(&located)?.into_iter();
        found
            .into_iter()
            .zip(ids)
            .map(|(location, id)| match location.and_then(|_| bytes.next()) {
                Some(Err(StoreError::Damaged { .. })) => match self.get(id, Kind::BLOB)? {
                    Some((_, bytes)) => Ok(Some(bytes)),
                    None => Err(damaged_again(&location, id)),
                },
                Some(read) => read.map(Some),
                None => Ok(None),
            })
            .collect()
    }
}

fn moved(entry: &Entry) -> StoreError {
    StoreError::Damaged { id: entry.id, path: "a segment that is gone".into(), offset: entry.offset }
}

fn damaged_again(location: &Option<Location>, id: &BlobId) -> StoreError {
    let (segment, offset) = location.map_or((0, 0), |location| (location.segment, location.entry.offset));
    StoreError::Damaged { id: *id, path: super::segment::file_name(segment).into(), offset }
}

/// How many of `order` one read fetches: the same segment, little between them, bounded as a whole.
fn run_length(locations: &[Location], order: &[usize]) -> usize {
    let end_of = |at: usize| locations[at].entry.offset + HEADER as u64 + u64::from(locations[at].entry.len);
    let Some(first) = order.first().map(|at| locations[*at]) else { return 0 };
    let mut end = end_of(order[0]);
    let more = order[1..].iter().take_while(|at| {
        let next = locations[**at];
        let near = next.segment == first.segment && next.entry.offset <= end + READ_GAP;
        let fits = end_of(**at).saturating_sub(first.entry.offset) <= READ_RUN;
        if near && fits {
            end = end.max(end_of(**at));
        }
        near && fits
    });
    1 + more.count()
}
