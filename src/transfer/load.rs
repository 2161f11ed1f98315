//! From a request to its answers: blocking reads from what is [`Held`], in portions of bounded size.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use libp2p::PeerId;

use super::held::Held;
use super::limits;
use super::sketches::Sketches;
use super::wire::{Reply, Request, VersionsPage};
use crate::domain::codec;
use crate::domain::manifest::ManifestId;
use crate::domain::module::{ModulePath, ModuleVersion, Version};

/// One answer to write.
#[derive(Debug)]
pub(super) enum Out {
    /// Bytes, for a request's index.
    Piece(u64, u32, Bytes),
    /// A header alone.
    Bare(Reply),
}

/// A request of which some has been answered.
pub(super) struct Loader {
    peer: PeerId,
    request: Request,
    /// How many of the things asked for are answered.
    at: usize,
    count: usize,
}

impl Loader {
    pub(super) fn new(peer: PeerId, request: Request) -> Self {
        let count = match &request {
            Request::Want { ids, .. } | Request::Envelopes { ids, .. } => ids.len(),
            Request::EnvelopesByKey { keys, .. } => keys.len(),
            Request::Cancel { .. } => 0,
            _ => 1,
        };
        Self { peer, request, at: 0, count }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at >= self.count
    }

    /// Loads the next portion where blocking is allowed. Whatever goes wrong becomes an answer that says so.
    pub(super) async fn load(mut self, held: Arc<dyn Held>, sketches: &Arc<Sketches>) -> (Self, Vec<Out>) {
        let turn = match self.request {
            Request::Sketch { .. } => sketches.turn().await,
            _ => None,
        };
        let (sketches, peer) = (Arc::clone(sketches), self.peer);
        let (number, at, count) = (self.request.number(), self.at, self.count);
        let work = tokio::task::spawn_blocking(move || {
            let outs = self.portion(held.as_ref(), &sketches);
            drop(turn);
            (self, outs)
        });
        work.await.unwrap_or_else(|err| {
            tracing::error!(%err, "reading for a peer ended badly");
            let done = Self { peer, request: Request::Cancel { request: number }, at: count, count };
            (done, failed(number, at, count))
        })
    }

    fn portion(&mut self, held: &dyn Held, sketches: &Arc<Sketches>) -> Vec<Out> {
        let number = self.request.number();
        let loaded = match &self.request {
            Request::Want { ids, .. } => held.blobs(&ids[self.at..], limits::SERVE_BUDGET),
            Request::Envelopes { ids, budget, .. } => {
                held.envelopes(&ids[self.at..], limits::SERVE_BUDGET.min(*budget as usize))
            }
            Request::EnvelopesByKey { nonce, keys, budget, .. } => {
                let ids = sketches.ids(self.peer, nonce, &keys[self.at..]);
                known(held, &ids, limits::SERVE_BUDGET.min(*budget as usize))
            }
            Request::Sketch { .. } => sketches.page(self.peer, held, &self.request).map(|piece| vec![piece]),
            request => one(held, request).map(|piece| vec![piece]),
        };
        let loaded = loaded.and_then(|pieces| {
            let sane = (1..=self.count - self.at).contains(&pieces.len());
            sane.then_some(pieces).ok_or_else(|| io::Error::other("the store answered more or less than was asked"))
        });
        let pieces = match loaded {
            Ok(pieces) => pieces,
            Err(err) => {
                tracing::warn!(%err, "cannot read what a peer asks for");
                return failed(number, std::mem::replace(&mut self.at, self.count), self.count);
            }
        };
        let mut outs: Vec<Out> = (self.at..).zip(pieces).map(|(index, piece)| out(number, index, piece)).collect();
        self.at += outs.len();
        if matches!(self.request, Request::Envelopes { .. } | Request::EnvelopesByKey { .. }) && !self.is_done() {
            outs.push(Out::Bare(Reply::Later { request: number, index: short(self.at) }));
            self.at = self.count;
        }
        outs
    }
}

/// The answer to a question with one.
fn one(held: &dyn Held, request: &Request) -> io::Result<Option<Bytes>> {
    match request {
        Request::Lookup { path, version, .. } => {
            // What is no module version is held by nobody.
            let module = ModulePath::parse(path).and_then(|path| Ok((path, Version::parse(version)?)));
            module.map_or(Ok(None), |(path, version)| held.lookup(&ModuleVersion { path, version }))
        }
        Request::Versions { path, skip, .. } => {
            let versions = ModulePath::parse(path).map_or(Ok(Vec::new()), |path| held.versions(&path))?;
            Ok(Some(versions_page(&versions, *skip as usize)))
        }
        Request::Sumdb { database, .. } => held.sumdb_state(database),
        Request::Orders { newer_than, .. } => held.orders(*newer_than),
        _ => Ok(None),
    }
}

/// The envelopes of those manifests that are known; a gap stays a gap.
fn known(held: &dyn Held, ids: &[Option<ManifestId>], budget: usize) -> io::Result<Vec<Option<Bytes>>> {
    let there: Vec<ManifestId> = ids.iter().copied().flatten().collect();
    let mut found = if there.is_empty() { Vec::new() } else { held.envelopes(&there, budget)? }.into_iter();
    // As many as the budget has let through; the gaps before them do not count.
    Ok(ids.iter().map_while(|id| id.map_or(Some(None), |_| found.next())).collect())
}

/// As many versions as fit, by count and by bytes.
fn versions_page(versions: &[Version], skip: usize) -> Bytes {
    let rest = versions.get(skip..).unwrap_or_default();
    let mut room = limits::MAX_VERSIONS_PAGE - 64;
    let fits = |version: &&Version| {
        let len = version.as_str().len() + 9;
        let fits = len <= room;
        room = room.saturating_sub(len);
        fits
    };
    let page: Vec<String> =
        rest.iter().take(limits::VERSIONS_PAGE).take_while(fits).map(|version| version.as_str().to_owned()).collect();
    let more = page.len() < rest.len() && !page.is_empty();
    codec::encode(&VersionsPage { versions: page, more }).into()
}

fn out(request: u64, index: usize, piece: Option<Bytes>) -> Out {
    let index = short(index);
    match piece {
        Some(bytes) => Out::Piece(request, index, bytes),
        None => Out::Bare(Reply::Missing { request, index }),
    }
}

fn failed(request: u64, from: usize, to: usize) -> Vec<Out> {
    (from..to).map(|index| Out::Bare(Reply::Failed { request, index: short(index) })).collect()
}

/// An index of a request, which has at most [`limits::MAX_IDS`].
fn short(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::blob::BlobId;
    use crate::domain::digest::Digests;
    use crate::transfer::held::MemoryHeld;

    struct Broken;

    impl Held for Broken {
        fn blobs(&self, ids: &[BlobId], _: usize) -> io::Result<Vec<Option<Bytes>>> {
            match ids.len() {
                3 => Err(io::Error::other("disk")),
                2 => Ok(vec![]),
                _ => panic!("a bug in a store"),
            }
        }
        fn digests(&self) -> io::Result<Digests> {
            Err(io::Error::other("disk"))
        }
        fn manifest_ids(&self) -> io::Result<Arc<[ManifestId]>> {
            Err(io::Error::other("disk"))
        }
        fn envelopes(&self, _: &[ManifestId], _: usize) -> io::Result<Vec<Option<Bytes>>> {
            Err(io::Error::other("disk"))
        }
        fn lookup(&self, _: &ModuleVersion) -> io::Result<Option<Bytes>> {
            Err(io::Error::other("disk"))
        }
        fn versions(&self, _: &ModulePath) -> io::Result<Vec<Version>> {
            Err(io::Error::other("disk"))
        }
    }

    fn loader(request: Request) -> Loader {
        Loader::new(PeerId::random(), request)
    }

    #[tokio::test]
    async fn a_store_that_fails_or_answers_nonsense_is_a_failure_and_never_a_miss() {
        for count in 1..=3 {
            let ids = vec![BlobId::of(b"x"); count];
            let (loader, outs) =
                loader(Request::Want { request: 1, ids }).load(Arc::new(Broken), &Arc::default()).await;
            assert!(loader.is_done());
            assert_eq!(outs.len(), count);
            assert!(outs.iter().all(|out| matches!(out, Out::Bare(Reply::Failed { request: 1, .. }))), "{outs:?}");
        }
        let sketch =
            Request::Sketch { request: 1, nonce: [0; 16], part: (0, 0), from: 0, count: 0, total: 0, sum: [0; 16] };
        let (_, outs) = loader(sketch).load(Arc::new(Broken), &Arc::default()).await;
        assert!(matches!(outs[..], [Out::Bare(Reply::Failed { request: 1, index: 0 })]));
    }

    #[tokio::test]
    async fn memory_for_an_answer_is_bounded_whatever_is_asked() {
        let held = MemoryHeld::new();
        let big = held.insert_blob(Bytes::from(vec![7; limits::SERVE_BUDGET]));
        let held: Arc<dyn Held> = Arc::new(held);
        let mut loader = loader(Request::Want { request: 1, ids: vec![big; limits::MAX_IDS] });
        let mut portions = 0;
        while !loader.is_done() {
            let (back, outs) = loader.load(Arc::clone(&held), &Arc::default()).await;
            assert_eq!(outs.len(), 1);
            (loader, portions) = (back, portions + 1);
        }
        assert_eq!(portions, limits::MAX_IDS);
    }

    #[test]
    fn pages_hold_everything_once_in_order() {
        let long = |n: usize| Version::parse(&format!("v0.0.{n}-{}", "x".repeat(400))).unwrap();
        let versions: Vec<Version> = (0..2000).map(long).collect();
        let mut seen = Vec::new();
        loop {
            let page = versions_page(&versions, seen.len());
            let page: VersionsPage = codec::decode::<_, { limits::MAX_VERSIONS_PAGE }>(&page).unwrap();
            seen.extend(page.versions);
            if !page.more {
                break;
            }
        }
        assert!(seen.iter().eq(versions.iter().map(Version::as_str)));
    }
}
