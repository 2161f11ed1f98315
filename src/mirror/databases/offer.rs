//! States that peers offer: another upstream of the database, believed as little as any.
//!
//! A [`Client`] of its own looks at the offer, with tiles that come out of the offered state instead of over HTTP. So all
//! that is checked of an upstream is checked here: the signature, that the larger tree contains the smaller one (or else
//! the [`Fork`] is kept as evidence), every tile up to the head. What passes goes to the shelf, and the head is pinned
//! if everything that is answered for can be answered under it.
//!
//! A head that is older than the pinned one is compared and not taken; a seed notes its size, so that the site's nodes
//! that have it pinned can be shown the way to a later one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::Database;
use super::limits::{OFFER_BATCH, QUEUE, SEEN};
use super::shelf::Shelf;
use crate::domain::blob::BlobId;
use crate::domain::sumdb::SignedHead;
use crate::domain::sumdb::state::{
    MAX_PAGE, MAX_ROOT, State, StateError, StateId, StoredTile, closed, decode_page, most_pages,
};
use crate::domain::tlog::{Tile, TilePath};
use crate::sumdb::{Client, ClientError, Kind, Ops, OpsError};
use crate::transfer::{FetchError, Fetcher};
use crate::verified::VerifiedBlob;

/// What became of an offered state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It brought something, and this node hands it on.
    Taken,
    /// It is nothing new.
    Known,
    /// It could not be had, or not be shown to continue what is believed.
    NotNow,
    /// It is not to be believed.
    Refused,
}

/// Offered states that brought nothing new.
#[derive(Default)]
pub(super) struct Seen(VecDeque<BlobId>);

impl Seen {
    fn has(&self, root: &BlobId) -> bool {
        self.0.contains(root)
    }

    fn note(&mut self, root: BlobId) {
        if self.0.len() == SEEN {
            self.0.pop_front();
        }
        self.0.push_back(root);
    }
}

/// Why an offer is not taken.
#[derive(Debug, thiserror::Error)]
enum OfferError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Lie(&'static str),
    #[error("{0}")]
    Local(OpsError),
}

impl OfferError {
    /// Whether the peer is at fault. A fork is the database's fault, and a peer that has the other side of it may be honest.
    fn is_lie(&self) -> bool {
        match self {
            Self::State(_) | Self::Lie(_) => true,
            Self::Client(error) => error.kind() == Kind::Forgery && !matches!(error, ClientError::Fork(_)),
            // Wrong bytes were counted against their sender when they came.
            Self::Fetch(_) | Self::Local(_) => false,
        }
    }
}

/// The tiles of an offered state, as something that a client can ask.
struct OfferOps<'a> {
    fetcher: &'a Fetcher,
    shelf: &'a Shelf,
    /// What the offer is compared with. A head that passes is believed when it is pinned and not before: one whose tiles never come would be in the
    /// way of those that do.
    pinned: Option<SignedHead>,
    offered: HashMap<(u8, u64), StoredTile>,
    /// Fetched and not looked at yet: those of one batch.
    at_hand: Mutex<HashMap<BlobId, Bytes>>,
}

impl OfferOps<'_> {
    fn at_hand(&self) -> std::sync::MutexGuard<'_, HashMap<BlobId, Bytes>> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches those of `tiles` that are not on the shelf, all at once.
    async fn bring(&self, tiles: &[StoredTile]) -> Result<(), FetchError> {
        let missing = tiles.iter().filter(|stored| !self.shelf.covers(&[stored.tile]));
        let wants = missing.map(|stored| (stored.blob, stored.tile.data_len())).collect();
        let brought = bring(self.fetcher, wants, None).await?;
        *self.at_hand() = brought;
        Ok(())
    }

    async fn data(&self, wanted: Tile) -> Result<Option<Bytes>, OpsError> {
        let Some(stored) = self.offered.get(&(wanted.level(), wanted.n())) else { return Ok(None) };
        let at_hand = self.at_hand().get(&stored.blob).cloned();
        let data = match at_hand {
            Some(data) => Some(data),
            None => bring(self.fetcher, vec![(stored.blob, stored.tile.data_len())], None).await?.remove(&stored.blob),
        };
        // What is not a whole tile goes on as it is, to be refused for its length.
        Ok(data.map(|data| wanted.cut(&data).map(|cut| data.slice_ref(cut)).unwrap_or(data)))
    }
}

impl Ops for OfferOps<'_> {
    fn fetch<'a>(&'a self, path: &'a str, _limit: usize) -> BoxFuture<'a, Result<Option<Bytes>, OpsError>> {
        async move {
            match TilePath::parse(path) {
                Ok(TilePath::Hashes(tile)) => self.data(tile).await,
                _ => Ok(None),
            }
        }
        .boxed()
    }

    fn load_tile(&self, tile: Tile) -> BoxFuture<'_, Result<Option<Bytes>, OpsError>> {
        self.shelf.load(tile).boxed()
    }

    fn save_tiles(&self, tiles: Vec<(Tile, Bytes)>) -> BoxFuture<'_, Result<(), OpsError>> {
        self.shelf.save(tiles).boxed()
    }

    fn load_head(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, OpsError>> {
        future::ready(Ok(self.pinned.as_ref().map(|head| head.note().into()))).boxed()
    }

    fn save_head<'a>(&'a self, _note: &'a [u8]) -> BoxFuture<'a, Result<(), OpsError>> {
        future::ready(Ok(())).boxed()
    }
}

impl Database {
    /// Looks at the state that `peer` says it has, and takes what is new and true of it. One at a time.
    pub async fn offered(&self, fetcher: &Fetcher, peer: PeerId, id: StateId) -> Offered {
        let mut seen = self.offers.lock().await;
        if seen.has(&id.root) || self.turn.lock().await.state.is_some_and(|own| own.root == id.root) {
            return Offered::Known;
        }
        let database = self.name();
        match self.look_at(fetcher, peer, id).await {
            Ok(taken) => {
                seen.note(id.root);
                if taken { Offered::Taken } else { Offered::Known }
            }
            Err(OfferError::Client(ClientError::Fork(fork))) => {
                tracing::error!(%peer, database, "the state of the peer was refused: it is of another history");
                self.shelf.keep_evidence(&fork).await;
                Offered::NotNow
            }
            Err(error) if error.is_lie() => {
                tracing::warn!(%peer, database, %error, "the state of the peer was refused");
                fetcher.blame(peer, &error);
                Offered::Refused
            }
            Err(error) => {
                tracing::info!(%peer, database, %error, "the state of the peer cannot be taken now");
                Offered::NotNow
            }
        }
    }

    /// Whether the state brought anything.
    async fn look_at(&self, fetcher: &Fetcher, peer: PeerId, id: StateId) -> Result<bool, OfferError> {
        let state = self.fetch_root(fetcher, peer, id).await?;
        let head = SignedHead::open(self.name(), state.head.clone(), std::slice::from_ref(&self.verifier));
        let head = head.map_err(ClientError::from)?;
        if head.tree().size != id.size {
            return Err(OfferError::Lie("its head has another size than was announced"));
        }
        if state.pages.len() > most_pages(head.tree().size) {
            return Err(OfferError::Lie("it has more pages than its tree can fill"));
        }
        if let Some(client) = &self.client {
            // With an upstream both directions can be compared. If that is away, the offer has to speak for itself.
            match client.accept(head.note().into()).await {
                Err(error @ ClientError::Fork(_)) => return Err(error.into()),
                Err(error) => tracing::debug!(%peer, %error, "the upstream does not help to compare tree heads"),
                Ok(_) => {}
            }
        }
        let pinned = self.pinned();
        let older = pinned.as_ref().is_some_and(|pinned| head.tree().size < pinned.tree().size);
        let tiles = if older { Vec::new() } else { self.fetch_pages(fetcher, peer, &state, head.tree().size).await? };
        let offered = tiles.iter().map(|stored| ((stored.tile.level(), stored.tile.n()), *stored)).collect();
        let ops = OfferOps { fetcher, shelf: &self.shelf, pinned, offered, at_hand: Mutex::default() };
        let client = Client::open(ops, self.verifier.clone()).await?;
        client.accept(head.note().into()).await?;
        if older {
            return Ok(self.help_along(head.tree().size).await);
        }
        for batch in tiles.chunks(OFFER_BATCH) {
            client.ops().bring(batch).await?;
            let batch: Vec<Tile> = batch.iter().map(|stored| stored.tile).collect();
            client.collect(&head, &batch).await?;
        }
        let moved = self.pin_offered(&client, &head, &state.old_sizes).await?;
        if let Some(own) = &self.client {
            // Its tiles are on the shelf now, so this asks nobody; if it fails, the next pin does it.
            let _ = own.accept(head.note().into()).await;
        }
        Ok(moved)
    }

    async fn fetch_root(&self, fetcher: &Fetcher, peer: PeerId, id: StateId) -> Result<State, OfferError> {
        let root = bring(fetcher, vec![(id.root, MAX_ROOT)], Some(vec![peer])).await?;
        let state = State::decode(root.get(&id.root).map_or(&[], |root| root))?;
        if state.database != self.shelf.id() {
            return Err(OfferError::Lie("it is of another checksum database"));
        }
        self.put(root).await?;
        Ok(state)
    }

    /// The tiles that a state names, upper levels first; all of them such that they can be checked.
    async fn fetch_pages(
        &self,
        fetcher: &Fetcher,
        peer: PeerId,
        state: &State,
        size: u64,
    ) -> Result<Vec<StoredTile>, OfferError> {
        let wants = state.pages.iter().map(|page| (*page, MAX_PAGE)).collect();
        let pages = bring(fetcher, wants, Some(vec![peer])).await?;
        let mut tiles = Vec::new();
        for page in state.pages.iter().filter_map(|page| pages.get(page)) {
            tiles.extend(decode_page(page)?.into_iter().map(|stored| (stored.tile, stored.blob)));
        }
        let count = tiles.len();
        let checkable = closed(tiles, size);
        if checkable.len() != count {
            return Err(OfferError::Lie(
                "it has tiles that are not of its tree, or twice, or without the tiles above them",
            ));
        }
        self.put(pages).await?;
        Ok(checkable.into_iter().map(|(tile, blob)| StoredTile { tile, blob }).collect())
    }

    /// Keeps what others may ask for who hear of the same state by way of this node.
    async fn put(&self, blobs: HashMap<BlobId, Bytes>) -> Result<(), OfferError> {
        let blobs = blobs.into_values().map(VerifiedBlob::of).collect::<Result<Vec<_>, _>>();
        let blobs = blobs.map_err(|error| OfferError::Local(error.into()))?;
        self.shelf.store().put(blobs).await.map_err(|error| OfferError::Local(error.into()))
    }

    async fn pin_offered(
        &self,
        client: &Client<OfferOps<'_>>,
        head: &SignedHead,
        old_sizes: &[u64],
    ) -> Result<bool, OfferError> {
        let mut turn = self.turn.lock().await;
        self.scan(&mut turn).await.map_err(|error| OfferError::Local(error.into()))?;
        let size = head.tree().size;
        // It may have moved since, but never back.
        let pinned = self.pinned().map(|pinned| pinned.tree());
        let proof = match pinned {
            Some(pinned) if pinned.size > size => return Ok(false),
            Some(pinned) if pinned.size < size && pinned.size > 0 => client.consistency_of(head, pinned.size).await?,
            _ => Vec::new(),
        };
        match self.advance(&mut turn, head, &proof, old_sizes).await {
            Ok(state) => {
                if state.is_some() {
                    tracing::info!(database = self.name(), size, "tree head pinned");
                }
                Ok(state.is_some())
            }
            Err(error) => Err(OfferError::Local(error.into())),
        }
    }

    /// A seed sees to it that nodes with this head pinned can be shown that the pinned one continues it.
    async fn help_along(&self, size: u64) -> bool {
        if self.client.is_some() && size > 0 && !self.server().old_sizes().any(|old| old == size) {
            self.turn.lock().await.hear(size);
            self.wake.notify_one();
        }
        false
    }
}

/// Fetches blobs, each with the length in bytes that it has at most, from `from` or from all peers.
async fn bring(
    fetcher: &Fetcher,
    wants: Vec<(BlobId, usize)>,
    from: Option<Vec<PeerId>>,
) -> Result<HashMap<BlobId, Bytes>, FetchError> {
    if wants.is_empty() {
        return Ok(HashMap::new());
    }
    let wants = wants.into_iter().map(|(id, len)| (id, u32::try_from(len).unwrap_or(u32::MAX))).collect();
    let (sink, mut landed) = mpsc::channel::<VerifiedBlob>(QUEUE);
    let gather = async {
        let mut blobs = HashMap::new();
        while let Some(blob) = landed.recv().await {
            blobs.insert(blob.id(), blob.bytes().clone());
        }
        blobs
    };
    let (fetched, blobs) = tokio::join!(fetcher.fetch_blobs(wants, from, sink), gather);
    fetched.map(|_| blobs)
}
