//! The pinned head: which records it answers for, how it moves, and how it is kept.
//!
//! Records come with manifests, tiles with proofs (on a seed) or with a state (from a peer), and neither waits for the
//! other. A record whose tiles are not all here *waits*; it is *admitted* when they are, and from then on no head is
//! pinned under which it could not be proven. So `supported` stays true while a site is being seeded, and a lookup of
//! a record that waits is put off for a moment instead of being refused.
//!
//! The state is the durable form: its root is a fact that is set before the server answers by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError, RwLockReadGuard};
use std::time::Instant;

use bytes::Bytes;

use super::Database;
use super::limits::SCAN_PAGE;
use super::shelf::state_fact;
use super::unix_now;
use crate::domain::blob::BlobId;
use crate::domain::manifest::{Envelope, ManifestId, Proof};
use crate::domain::sumdb::SignedHead;
use crate::domain::sumdb::state::{State, StateId, StoredTile, closed, decode_page, encode_pages};
use crate::domain::tlog::{Hash, Tile};
use crate::mirror::source::SourceError;
use crate::store::StoreError;
use crate::sumdb::{MAX_OLD_HEADS, OpsError, PinError, Server, tiles_for_consistency, tiles_for_record};
use crate::verified::VerifiedBlob;

/// Records of the catalog.
#[derive(Default)]
pub(super) struct Records {
    pub(super) admitted: BTreeSet<u64>,
    /// With the time since when each waits.
    pub(super) waiting: BTreeMap<u64, Instant>,
}

impl Records {
    /// Takes a record on, and says whether it is news.
    fn wait(&mut self, id: u64) -> bool {
        !self.admitted.contains(&id) && {
            let known = self.waiting.len();
            self.waiting.entry(id).or_insert_with(Instant::now);
            self.waiting.len() > known
        }
    }

    fn admit(&mut self, id: u64) {
        self.waiting.remove(&id);
        self.admitted.insert(id);
    }
}

/// What only the one may touch who changes the server.
#[derive(Default)]
pub(super) struct Turn {
    /// Whether the records of the catalog were read.
    scanned: bool,
    /// The state that is kept and handed on.
    pub(super) state: Option<StateId>,
    /// Sizes of heads of which peers have shown that they are pinned somewhere in this site; to be helped along.
    pub(super) heard: BTreeSet<u64>,
}

impl Turn {
    /// Notes the size of a head that is pinned somewhere in the site.
    pub(super) fn hear(&mut self, size: u64) {
        self.heard.insert(size);
        while self.heard.len() > MAX_OLD_HEADS {
            self.heard.pop_first();
        }
    }
}

/// A state that was kept, read again.
struct Kept {
    id: StateId,
    /// Seconds since 1970 at which its head was pinned.
    at: u64,
    state: State,
    head: SignedHead,
    tiles: Vec<StoredTile>,
}

/// Why the pinned head stays where it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum StayError {
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error("the tiles of {0} records that are answered for are missing under the tree head of {1} records")]
    Uncovered(usize, u64),
    #[error("the pinned tree head cannot be kept: {0}")]
    Keep(OpsError),
}

impl Database {
    pub(super) fn server(&self) -> RwLockReadGuard<'_, Server> {
        // It is replaced whole, or gets one record or tile: a panic elsewhere leaves nothing half done.
        self.server.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pinned(&self) -> Option<SignedHead> {
        self.server().pinned().cloned()
    }

    /// Seconds since 1970 at which the pinned head was pinned here.
    pub(super) fn pinned_at(&self) -> u64 {
        self.pinned_at.load(Ordering::Relaxed)
    }

    /// Whether a client with an empty cache can prove record `id` under the pinned head, with what is held now.
    pub(super) fn is_covered(&self, id: u64) -> bool {
        let size = self.server().pinned().map_or(0, |head| head.tree().size);
        id < size && self.shelf.covers(&tiles_for_record(id, size))
    }

    /// Takes a record of the catalog on.
    pub(in crate::mirror) fn note(&self, id: u64) {
        if self.records().wait(id) {
            self.wake.notify_one();
        }
    }

    /// Reads the records of the whole catalog, once.
    pub(super) async fn scan(&self, turn: &mut Turn) -> Result<(), SourceError> {
        if turn.scanned {
            return Ok(());
        }
        let store = self.shelf.store();
        for page in store.catalog_ids().chunks(SCAN_PAGE) {
            let (page, name) = (page.to_vec(), self.name().to_owned());
            let ids = store.run(move |store| records_of(store, &page, &name)).await;
            let ids = ids.map_err(|error| SourceError::Local(error.to_string()))?;
            let mut records = self.records();
            ids.into_iter().for_each(|id| _ = records.wait(id));
        }
        turn.scanned = true;
        Ok(())
    }

    /// Admits the waiting records whose tiles are here. The one who calls has the turn.
    pub(super) fn admit(&self) {
        let waiting: Vec<u64> = self.records().waiting.keys().copied().collect();
        let covered: Vec<u64> = waiting.into_iter().filter(|id| self.is_covered(*id)).collect();
        let size = self.server().pinned().map_or(0, |head| head.tree().size);
        for id in &covered {
            let mut server = self.server.write().unwrap_or_else(PoisonError::into_inner);
            tiles_for_record(*id, size).into_iter().for_each(|tile| server.add_tile(tile));
            server.add_record(*id);
        }
        let mut records = self.records();
        covered.iter().for_each(|id| records.admit(*id));
        drop(records);
        if !covered.is_empty() {
            self.moved.send_modify(|moves| *moves += 1);
        }
    }

    /// Pins `head`, which may be the pinned one with more tiles, and keeps the state of it. `proof` shows that it contains
    /// the pinned one. Clients that have seen heads of the sizes `old` are helped along as far as there are tiles for them.
    /// Returns the state if it is another one than before.
    ///
    /// # Errors
    /// [`StayError`], and then everything is as it was.
    pub(super) async fn advance(
        &self,
        turn: &mut Turn,
        head: &SignedHead,
        proof: &[Hash],
        old: &[u64],
    ) -> Result<Option<StateId>, StayError> {
        let size = head.tree().size;
        let mut next = self.with_tiles(head, turn.heard.iter().chain(old).copied());
        if next.pinned().is_some_and(|pinned| pinned.tree() != head.tree()) || next.pinned().is_none() {
            next.pin(head.clone(), proof)?;
        }
        let (admitted, waiting) = {
            let records = self.records();
            (records.admitted.clone(), records.waiting.keys().copied().collect::<Vec<u64>>())
        };
        let covered = |id: &u64| *id < size && self.shelf.covers(&tiles_for_record(*id, size));
        let uncovered = admitted.iter().filter(|id| !covered(id)).count();
        if uncovered > 0 {
            return Err(StayError::Uncovered(uncovered, size));
        }
        let new: Vec<u64> = waiting.into_iter().filter(covered).collect();
        admitted.iter().chain(&new).for_each(|id| next.add_record(*id));
        let old_sizes = next.old_sizes().collect();
        // The pinned one stays if this one differs only in who else has signed it.
        let head = next.pinned().unwrap_or(head);
        let moves = self.pinned().is_none_or(|pinned| pinned.tree() != head.tree());
        let at = if moves { unix_now() } else { self.pinned_at() };
        let state = self.keep(head, old_sizes, at).await.map_err(StayError::Keep)?;
        *self.server.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.pinned_at.store(at, Ordering::Relaxed);
        let mut records = self.records();
        new.into_iter().for_each(|id| records.admit(id));
        drop(records);
        self.moved.send_modify(|moves| *moves += 1);
        let before = turn.state.replace(state);
        Ok(Some(state).filter(|_| before != Some(state)))
    }

    /// The server as it is, with all tiles of the shelf, and with those older sizes that can be helped along under `head`.
    fn with_tiles(&self, head: &SignedHead, more_old: impl Iterator<Item = u64>) -> Server {
        let size = head.tree().size;
        let (pinned, mut old): (Option<SignedHead>, BTreeSet<u64>) = {
            let server = self.server();
            (server.pinned().cloned(), server.old_sizes().collect())
        };
        old.extend(more_old);
        old.retain(|old| *old < size && self.shelf.covers(&tiles_for_consistency(*old, size)));
        let mut next = Server::restore(pinned, old);
        self.shelf.all().into_iter().for_each(|tile| next.add_tile(tile));
        next
    }

    /// Writes the state of a head that was pinned at `at`: tiles, pages, root, and last the fact that this is it.
    async fn keep(&self, head: &SignedHead, old_sizes: Vec<u64>, at: u64) -> Result<StateId, OpsError> {
        let size = head.tree().size;
        let mut tiles = Vec::new();
        for (tile, (width, blob)) in closed(self.shelf.of_tree(size), size) {
            let blob = if width == tile.width() { blob } else { self.cut(tile).await? };
            tiles.push(StoredTile { tile, blob });
        }
        let pages = encode_pages(tiles).into_iter().map(|page| VerifiedBlob::of(page.into()));
        let pages = pages.collect::<Result<Vec<_>, _>>()?;
        let ids = pages.iter().map(VerifiedBlob::id).collect();
        let state = State { database: self.shelf.id(), head: head.note().into(), old_sizes, pages: ids };
        let root = VerifiedBlob::of(state.encode().into())?;
        let id = StateId { size, root: root.id() };
        let store = self.shelf.store();
        store.put(pages.into_iter().chain([root]).collect()).await?;
        store.set_fact(&state_fact(&self.shelf.id()), at, id.encode().into()).await?;
        Ok(id)
    }

    /// The blob of a tile that is held wider than the head's tree has it.
    async fn cut(&self, tile: Tile) -> Result<BlobId, OpsError> {
        let wider = self.shelf.load(tile).await?.ok_or("a tile has gone")?;
        let cut = tile.cut(&wider).map(|cut| wider.slice_ref(cut)).ok_or("a tile is too short")?;
        let blob = VerifiedBlob::of(cut)?;
        let id = blob.id();
        self.shelf.store().put(vec![blob]).await?;
        Ok(id)
    }

    /// Takes up the state that was kept, if there is one that can be used.
    pub(super) async fn restore(&self) {
        match self.kept().await {
            Ok(None) => {}
            Ok(Some(Kept { id, at, state, head, tiles })) => {
                let mut server = Server::restore(Some(head), state.old_sizes);
                tiles.iter().for_each(|stored| server.add_tile(stored.tile));
                self.shelf.fill(tiles.into_iter().map(|stored| (stored.tile, stored.blob)));
                *self.server.write().unwrap_or_else(PoisonError::into_inner) = server;
                self.pinned_at.store(at, Ordering::Relaxed);
                self.turn.lock().await.state = Some(id);
            }
            Err(error) => {
                let database = self.name();
                tracing::warn!(database, %error, "the kept state of the checksum database is not usable and is fetched again");
            }
        }
    }

    async fn kept(&self) -> Result<Option<Kept>, OpsError> {
        let (key, store) = (state_fact(&self.shelf.id()), self.shelf.store());
        let Some(fact) = store.run(move |store| store.fact(&key)).await? else { return Ok(None) };
        let id = StateId::decode(&fact.value)?;
        let root = store.run(move |store| store.get(&id.root)).await?.ok_or("its root is not in the store")?;
        let state = State::decode(&root)?;
        let head = SignedHead::open(self.name(), state.head.clone(), std::slice::from_ref(&self.verifier))?;
        let mut tiles = Vec::new();
        for page in state.pages.clone() {
            let page: Bytes = store.run(move |store| store.get(&page)).await?.ok_or("a page is not in the store")?;
            tiles.extend(decode_page(&page)?);
        }
        Ok(Some(Kept { id, at: fact.at, state, head, tiles }))
    }
}

fn records_of(store: &crate::store::Store, ids: &[ManifestId], database: &str) -> Result<Vec<u64>, StoreError> {
    let mut records = Vec::new();
    for id in ids {
        let Some(envelope) = store.manifest_by_id(id)? else { continue };
        if let Ok(Envelope { proof: Proof::Sumdb(proof), .. }) = Envelope::decode(&envelope)
            && proof.database == database
        {
            records.push(proof.index);
        }
    }
    Ok(records)
}
