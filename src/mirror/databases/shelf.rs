//! What a node keeps of a checksum database: tiles as blobs, so that they travel like everything else, and the head that
//! is believed as a fact.
//!
//! Where each tile is stands in memory, 60 bytes a tile, and there are hardly more tiles than module versions. What is to
//! survive a restart is in the *state* (see the `pinned` module): a tile that is in none is fetched again when it is needed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::unix_now;
use crate::domain::blob::BlobId;
use crate::domain::note::Verifier;
use crate::domain::sumdb::SignedHead;
use crate::domain::tlog::Tile;
use crate::store::{Store, StoreError};
use crate::sumdb::{Fork, OpsError};
use crate::verified::VerifiedBlob;

/// The key of the fact that holds the id of the state of a database (name and hash of its key).
#[must_use]
pub fn state_fact(database: &str) -> String {
    fact_key(database, "state")
}

fn fact_key(database: &str, what: &str) -> String {
    format!("sumdb/{database}/{what}")
}

/// What the keys of facts start with that are evidence, after the database.
pub(super) const FORK: &str = "fork/";

/// See the module's documentation.
pub(super) struct Shelf {
    verifier: Verifier,
    store: Store,
    tiles: Mutex<HashMap<(u8, u64), (u16, BlobId)>>,
    /// Tiles that were found damaged.
    losses: AtomicU64,
    /// Size of the head in the fact; held while that is written, so that it never becomes an older one.
    head: tokio::sync::Mutex<u64>,
}

impl Shelf {
    pub(super) fn new(verifier: &Verifier, store: Store) -> Self {
        Self {
            verifier: verifier.clone(),
            store,
            tiles: Mutex::default(),
            losses: AtomicU64::new(0),
            head: tokio::sync::Mutex::new(0),
        }
    }

    /// Name of the database and hash of its key: what another key signed is of another database.
    pub(super) fn id(&self) -> String {
        self.verifier.id().to_string()
    }

    pub(super) fn fact_key(&self, what: &str) -> String {
        fact_key(&self.id(), what)
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether all of `tiles` are held, or wider versions of them.
    pub(super) fn covers(&self, tiles: &[Tile]) -> bool {
        let held = self.tiles();
        let has = |tile: &Tile| held.get(&(tile.level(), tile.n())).is_some_and(|(width, _)| *width >= tile.width());
        tiles.iter().all(has)
    }

    /// How many tiles were found damaged so far: as long as it is the same, no fewer tiles are held.
    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// All tiles, as wide as they are held.
    pub(super) fn all(&self) -> Vec<Tile> {
        self.tiles().iter().filter_map(|(&(level, n), &(width, _))| Tile::new(level, n, width)).collect()
    }

    /// All tiles of a tree of `size` records, as wide as that has them, with the width in which each is held, and its blob.
    pub(super) fn of_tree(&self, size: u64) -> Vec<(Tile, (u16, BlobId))> {
        let wide_enough = |(&(level, n), &(width, id)): (&(u8, u64), &(u16, BlobId))| {
            let tile = Tile::new(level, n, 1)?.in_tree(size).filter(|tile| tile.width() <= width)?;
            Some((tile, (width, id)))
        };
        self.tiles().iter().filter_map(wide_enough).collect()
    }

    /// Notes where tiles are whose blobs are in the store, and that were authenticated before.
    pub(super) fn fill(&self, tiles: impl IntoIterator<Item = (Tile, BlobId)>) {
        let mut held = self.tiles();
        for (tile, id) in tiles {
            let place = held.entry((tile.level(), tile.n())).or_insert((0, id));
            if place.0 < tile.width() {
                *place = (tile.width(), id);
            }
        }
    }

    /// The data of a tile or of a wider version of it. One whose blob is damaged is not there.
    pub(super) async fn load(&self, tile: Tile) -> Result<Option<Bytes>, OpsError> {
        let place = (tile.level(), tile.n());
        let Some((_, id)) = self.tiles().get(&place).copied().filter(|(width, _)| *width >= tile.width()) else {
            return Ok(None);
        };
        match self.store.run(move |store| store.get(&id)).await {
            Ok(Some(data)) => Ok(Some(data)),
            Ok(None) | Err(StoreError::Damaged { .. }) => {
                self.tiles().remove(&place);
                self.losses.fetch_add(1, Ordering::Release);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps tiles that were authenticated; a narrower one never takes the place of a wider one.
    pub(super) async fn save(&self, tiles: Vec<(Tile, Bytes)>) -> Result<(), OpsError> {
        let mut blobs = Vec::new();
        let mut named = Vec::new();
        for (tile, data) in tiles {
            let blob = VerifiedBlob::of(data)?;
            named.push((tile, blob.id()));
            blobs.push(blob);
        }
        self.store.put(blobs).await?;
        self.fill(named);
        Ok(())
    }

    /// The signed head that is believed.
    pub(super) async fn load_head(&self) -> Result<Option<Vec<u8>>, OpsError> {
        let key = self.fact_key("head");
        Ok(self.store.run(move |store| store.fact(&key)).await?.map(|fact| fact.value.to_vec()))
    }

    /// Keeps a head, unless a later one is kept: more than one client may be at work on a database.
    pub(super) async fn save_head(&self, note: &[u8]) -> Result<(), OpsError> {
        let mut kept = self.head.lock().await;
        let size_of = |note: Vec<u8>| {
            let head = SignedHead::open(self.verifier.name(), note, std::slice::from_ref(&self.verifier));
            head.map(|head| head.tree().size)
        };
        if *kept == 0
            && let Some(stored) = self.load_head().await?
        {
            *kept = size_of(stored)?;
        }
        let size = size_of(note.to_vec())?;
        if size > *kept {
            self.store.set_fact(&self.fact_key("head"), unix_now(), Bytes::copy_from_slice(note)).await?;
            *kept = size;
        }
        Ok(())
    }

    /// Keeps the evidence that the database has signed two histories, and says so where an operator looks.
    pub(super) async fn keep_evidence(&self, fork: &Fork) {
        let (older, newer) = (fork.older.tree(), fork.newer.tree());
        tracing::error!(database = self.verifier.name(), report = fork.report(), "the checksum database has forked");
        let key = self.fact_key(&format!("{FORK}{}-{}/{}", older.size, newer.size, newer.hash));
        let known = {
            let key = key.clone();
            self.store.run(move |store| store.fact(&key)).await.is_ok_and(|fact| fact.is_some())
        };
        if !known && let Err(error) = self.store.set_fact(&key, unix_now(), fork.report().into()).await {
            tracing::error!(%error, "the evidence of the fork is in the log only");
        }
    }

    fn tiles(&self) -> MutexGuard<'_, HashMap<(u8, u64), (u16, BlobId)>> {
        // Every change is a single insertion or removal: a panic elsewhere leaves nothing half done.
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::note::Signer;
    use crate::store::StoreOptions;

    #[tokio::test]
    async fn a_tile_that_has_gone_is_a_loss() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let signer = Signer::from_secret("sum.example", [1; 32]).unwrap();
        let shelf = Shelf::new(signer.verifier(), store);
        let tile = Tile::new(0, 0, 1).unwrap();
        shelf.fill([(tile, BlobId::of(b"not in the store"))]);
        assert!(shelf.covers(&[tile]));
        assert_eq!(shelf.load(tile).await.unwrap(), None);
        assert_eq!((shelf.losses(), shelf.covers(&[tile])), (1, false));
    }
}
