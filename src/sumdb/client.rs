//! Asking a checksum database, believing nothing that is not proven (x/mod/sumdb, `client.go`).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::error::incomplete;
use super::{ClientError, Fork, Ops, OpsError};
use crate::domain::module::ModuleVersion;
use crate::domain::note::Verifier;
use crate::domain::sumdb::{Lookup, MAX_HEAD, MAX_LOOKUP, SignedHead, SumdbProof};
use crate::domain::tlog::{
    Hash, Hashes as _, Node, Plan, Proven, TILE_HEIGHT, Tile, TileError, TreeHead, prove_record, prove_tree,
    record_hash, tree_hash, tree_nodes,
};

/// How many tiles are asked for at a time: they are small, and a plan for one record has about six.
const FETCHES: usize = 8;

/// How many tiles [`Client::collect`] holds at a time: half a megabyte of them.
const BATCH: usize = 64;

/// How many older heads are remembered as consistent: an upstream's caches answer with many of the last days' heads.
const KNOWN_HEADS: usize = 1024;

/// A client of one checksum database. Any number of tasks may use it at a time.
#[derive(Debug)]
pub struct Client<O> {
    ops: O,
    keys: [Verifier; 1],
    state: Mutex<State>,
    /// Held while the head moves forward, so that heads are saved in the order in which they are believed.
    moving: futures::lock::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    head: Option<Arc<SignedHead>>,
    /// Heads that our head was shown to contain.
    known: HashSet<TreeHead>,
}

/// Where the data of a tile came from.
struct Fetched {
    data: Bytes,
    stored: bool,
}

impl<O: Ops> Client<O> {
    /// A client of the database whose key is `verifier`, with the head that was saved last.
    ///
    /// Without a saved head, the first head that the database signs is believed.
    ///
    /// # Errors
    /// [`ClientError::Store`] and [`ClientError::StoredHead`] when the saved head cannot be read.
    pub async fn open(ops: O, verifier: Verifier) -> Result<Self, ClientError> {
        let keys = [verifier];
        let stored = ops.load_head().await.map_err(|source| store_error(&keys, "tree head", source))?;
        let head = stored.map(|note| SignedHead::open(keys[0].name(), note, &keys)).transpose();
        let head = head.map_err(ClientError::StoredHead)?.map(Arc::new);
        let state = Mutex::new(State { head, known: HashSet::new() });
        Ok(Self { ops, keys, state, moving: futures::lock::Mutex::new(()) })
    }

    /// Name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        self.keys[0].name()
    }

    /// The implementation of [`Ops`] that it was opened with.
    pub const fn ops(&self) -> &O {
        &self.ops
    }

    /// The latest head that is believed.
    #[must_use]
    pub fn head(&self) -> Option<Arc<SignedHead>> {
        self.state().head.clone()
    }

    /// Looks up a module version and proves its record against the latest head.
    ///
    /// # Errors
    /// [`ClientError`]; its [`kind`](ClientError::kind) tells a miss from a failure from a forgery.
    pub async fn prove(&self, module: &ModuleVersion) -> Result<SumdbProof, ClientError> {
        let path = format!("lookup/{}@{}", module.path.escaped(), module.version.escaped());
        let Some(body) = self.fetch(&path, MAX_LOOKUP).await? else {
            return Err(ClientError::Unknown { database: self.database().into(), module: module.to_string() });
        };
        let Lookup { record, head } = Lookup::parse(&body, module)?;
        let head = self.accept(head).await?;
        let tree = head.tree();
        let forged = || ClientError::NotInLog {
            database: self.database().into(),
            module: module.to_string(),
            id: record.id,
            size: tree.size,
        };
        let leaf = Node::leaf(record.id).filter(|leaf| leaf.is_in(tree.size)).ok_or_else(forged)?;
        let proven = self.read(tree, [leaf]).await?;
        if proven.hash(leaf) != Some(record_hash(&record.text)) {
            return Err(forged());
        }
        let path = prove_record(tree.size, record.id, &proven)?;
        let (index, record) = (record.id, record.text);
        Ok(SumdbProof { database: self.database().into(), index, record, path, head: head.note().into() })
    }

    /// Asks the database for its newest head and moves there.
    ///
    /// # Errors
    /// As [`Client::accept`], and a failure when the database cannot be asked.
    pub async fn refresh(&self) -> Result<Arc<SignedHead>, ClientError> {
        match self.fetch("latest", MAX_HEAD).await? {
            Some(note) => self.accept(note.into()).await,
            None => Err(ClientError::Incomplete { database: self.database().into(), path: "latest".into() }),
        }
    }

    /// Takes a signed head from anywhere and gives the latest one that is believed then: the new one, if its tree is larger
    /// and contains the tree of the one before, or else still that one, if its tree contains the new one's.
    ///
    /// # Errors
    /// [`ClientError::Fork`] with the evidence when neither contains the other; [`ClientError::Head`] when it is not signed.
    pub async fn accept(&self, note: Vec<u8>) -> Result<Arc<SignedHead>, ClientError> {
        let seen = Arc::new(SignedHead::open(self.database(), note, &self.keys)?);
        loop {
            let latest = self.head();
            if let Some(latest) = latest.as_ref().filter(|latest| seen.tree().size <= latest.tree().size) {
                if !self.state().known.contains(&seen.tree()) {
                    self.check_contains(latest, &seen).await?;
                    self.remember(seen.tree());
                }
                return Ok(latest.clone());
            }
            let _moving = self.moving.lock().await;
            if self.head() != latest {
                // Another task has moved it meanwhile.
                continue;
            }
            if let Some(latest) = &latest {
                self.check_contains(&seen, latest).await?;
            }
            let saved = self.ops.save_head(seen.note()).await;
            saved.map_err(|source| store_error(&self.keys, "tree head", source))?;
            self.state().head = Some(seen.clone());
            return Ok(seen);
        }
    }

    /// The proof that the latest head contains the tree of its first `old` records, and that head: what another node needs
    /// to move its own head forward. Without a head, or for more records than it has, `None`.
    ///
    /// # Errors
    /// [`ClientError`] when tiles for it cannot be had.
    pub async fn consistency(&self, old: u64) -> Result<Option<(Arc<SignedHead>, Vec<Hash>)>, ClientError> {
        let Some(head) = self.head().filter(|head| (1..=head.tree().size).contains(&old)) else { return Ok(None) };
        let proof = self.consistency_of(&head, old).await?;
        Ok(Some((head, proof)))
    }

    /// The proof that the tree of `head` contains the tree of its first `old` records, which is 1 at least and not more than it has.
    ///
    /// # Errors
    /// As [`Client::consistency`].
    pub async fn consistency_of(&self, head: &SignedHead, old: u64) -> Result<Vec<Hash>, ClientError> {
        let proven = self.read(head.tree(), tree_nodes(old)).await?;
        Ok(prove_tree(head.tree().size, old, &proven)?)
    }

    /// Sees to it that tiles are in the store, as wide as the tree of `head` has them. Tiles that it has no part of are
    /// passed over.
    ///
    /// # Errors
    /// [`ClientError`] when one cannot be had or is forged; those before it are stored then.
    pub async fn collect(&self, head: &SignedHead, tiles: &[Tile]) -> Result<(), ClientError> {
        for batch in tiles.chunks(BATCH) {
            let first = |tile: &Tile| Node::new(tile.level() * TILE_HEIGHT, tile.n() << TILE_HEIGHT);
            let in_tree = |node: &Node| node.is_in(head.tree().size);
            self.read(head.tree(), batch.iter().filter_map(first).filter(in_tree)).await?;
        }
        Ok(())
    }

    /// Shows that the tree of `older` is the beginning of the tree of `newer`.
    async fn check_contains(&self, newer: &SignedHead, older: &SignedHead) -> Result<(), ClientError> {
        let (now, then) = (newer.tree(), older.tree());
        if now == then || then.size == 0 {
            return Ok(());
        }
        let (shown, proof, tiles) = if now.size == then.size {
            // Both are signed, so no tile is needed to see it.
            (now.hash, Vec::new(), Vec::new())
        } else {
            let (proven, tiles) = self.look(now, tree_nodes(then.size)).await?;
            (tree_hash(then.size, &proven)?, prove_tree(now.size, then.size, &proven)?, tiles)
        };
        if shown == then.hash {
            // Not before: those of another history would be in the place of the true ones.
            return self.save(tiles).await;
        }
        let (older, newer) = (older.clone(), newer.clone());
        Err(Box::new(Fork { database: self.database().into(), older, newer, shown, proof }).into())
    }

    /// Notes a head that the latest one was shown to contain. Later ones contain it then, too.
    fn remember(&self, tree: TreeHead) {
        let mut state = self.state();
        if state.known.len() >= KNOWN_HEADS {
            state.known.clear();
        }
        state.known.insert(tree);
    }

    /// Reads hashes of `nodes` in `tree` as [`Client::look`] does, and stores the tiles.
    async fn read(&self, tree: TreeHead, nodes: impl IntoIterator<Item = Node>) -> Result<Proven<Bytes>, ClientError> {
        let (proven, new) = self.look(tree, nodes).await?;
        self.save(new).await?;
        Ok(proven)
    }

    async fn save(&self, tiles: Vec<(Tile, Bytes)>) -> Result<(), ClientError> {
        if tiles.is_empty() {
            return Ok(());
        }
        self.ops.save_tiles(tiles).await.map_err(|source| store_error(&self.keys, "tile", source))
    }

    /// Reads hashes of `nodes` in `tree` out of tiles from the store or from upstream, all of them authenticated, and gives
    /// the tiles that are not in the store.
    async fn look(
        &self,
        tree: TreeHead,
        nodes: impl IntoIterator<Item = Node>,
    ) -> Result<(Proven<Bytes>, Vec<(Tile, Bytes)>), ClientError> {
        let plan = Plan::new(tree, nodes)?;
        let fetched = self.gather(&plan, true).await?;
        let stored: Vec<bool> = fetched.iter().map(|fetched| fetched.stored).collect();
        let checked = plan.authenticate(fetched.into_iter().map(|fetched| fetched.data).collect());
        let (proven, stored) = match checked {
            Ok(proven) => (proven, stored),
            Err(damaged) if stored.contains(&true) => {
                // Not upstream's fault before it is shown: a stored tile may have rotted. Fetch them all anew.
                tracing::warn!(database = self.database(), %damaged, "stored tiles do not fit, fetching them again");
                let fetched = self.gather(&plan, false).await?;
                let data = fetched.into_iter().map(|fetched| fetched.data).collect();
                (plan.authenticate(data).map_err(|source| self.tile_error(source))?, vec![false; stored.len()])
            }
            Err(source) => return Err(self.tile_error(source)),
        };
        let new = proven.tiles().zip(stored).filter(|(_, stored)| !stored);
        let new = new.map(|((tile, data), _)| (tile, data.clone())).collect();
        Ok((proven, new))
    }

    async fn gather(&self, plan: &Plan, from_store: bool) -> Result<Vec<Fetched>, ClientError> {
        let tiles: Vec<Tile> = plan.tiles().to_vec();
        let fetches = tiles.into_iter().map(|tile| self.tile(tile, from_store));
        futures::stream::iter(fetches).buffered(FETCHES).try_collect().await
    }

    /// One tile that may be anything: from the store, from upstream, or, where upstream has only the full one by now, cut
    /// from that.
    async fn tile(&self, tile: Tile, from_store: bool) -> Result<Fetched, ClientError> {
        if from_store {
            let stored = self.ops.load_tile(tile).await.map_err(|source| store_error(&self.keys, "tile", source))?;
            if let Some(data) = stored.as_ref().and_then(|wider| tile.cut(wider).map(|cut| wider.slice_ref(cut))) {
                return Ok(Fetched { data, stored: true });
            }
        }
        let limit = tile.full().data_len();
        if let Some(data) = self.fetch(&tile.to_string(), limit).await? {
            return Ok(Fetched { data, stored: false });
        }
        if !tile.is_full()
            && let Some(full) = self.fetch(&tile.full().to_string(), limit).await?
        {
            // What is not a whole tile goes on as it is, to be refused for its length.
            let data = tile.cut(&full).filter(|_| full.len() == limit).map(|cut| full.slice_ref(cut)).unwrap_or(full);
            return Ok(Fetched { data, stored: false });
        }
        Err(incomplete(self.database(), tile))
    }

    async fn fetch(&self, path: &str, limit: usize) -> Result<Option<Bytes>, ClientError> {
        self.ops.fetch(path, limit).await.map_err(|source| ClientError::Upstream {
            database: self.database().into(),
            path: path.into(),
            source,
        })
    }

    fn tile_error(&self, source: TileError) -> ClientError {
        ClientError::Tile { database: self.database().into(), source }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment or insertion: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn store_error(keys: &[Verifier; 1], what: &'static str, source: OpsError) -> ClientError {
    ClientError::Store { database: keys[0].name().into(), what, source }
}
