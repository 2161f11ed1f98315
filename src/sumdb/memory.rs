//! [`Ops`] in memory: for tests, and for looking something up without keeping anything.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{self, BoxFuture};

use super::{Ops, OpsError};
use crate::domain::tlog::Tile;

/// Keeps everything in memory and asks a function for the rest.
pub struct MemoryOps<U> {
    upstream: U,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    head: Option<Vec<u8>>,
    tiles: HashMap<(u8, u64), Bytes>,
}

impl<U> MemoryOps<U>
where
    U: Fn(&str) -> Result<Option<Bytes>, OpsError> + Send + Sync,
{
    /// Nothing is kept yet; `upstream` answers for a path as [`Ops::fetch`] does.
    pub fn new(upstream: U) -> Self {
        Self { upstream, kept: Mutex::default() }
    }

    /// The data that is kept of a tile, as wide as it is kept.
    pub fn kept_tile(&self, tile: Tile) -> Option<Bytes> {
        self.kept().tiles.get(&(tile.level(), tile.n())).cloned()
    }

    /// Puts anything in the place of a tile, as a damaged disk would.
    pub fn put_tile(&self, tile: Tile, data: Bytes) {
        self.kept().tiles.insert((tile.level(), tile.n()), data);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<U> fmt::Debug for MemoryOps<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryOps").finish_non_exhaustive()
    }
}

impl<U> Ops for MemoryOps<U>
where
    U: Fn(&str) -> Result<Option<Bytes>, OpsError> + Send + Sync,
{
    fn fetch<'a>(&'a self, path: &'a str, limit: usize) -> BoxFuture<'a, Result<Option<Bytes>, OpsError>> {
        let answer = (self.upstream)(path).and_then(|body| match body {
            Some(body) if body.len() > limit => {
                Err(format!("{} bytes came, over the limit of {limit}", body.len()).into())
            }
            body => Ok(body),
        });
        future::ready(answer).boxed()
    }

    fn load_tile(&self, tile: Tile) -> BoxFuture<'_, Result<Option<Bytes>, OpsError>> {
        future::ready(Ok(self.kept_tile(tile).filter(|data| data.len() >= tile.data_len()))).boxed()
    }

    fn save_tiles(&self, tiles: Vec<(Tile, Bytes)>) -> BoxFuture<'_, Result<(), OpsError>> {
        let mut kept = self.kept();
        for (tile, data) in tiles {
            let place = kept.tiles.entry((tile.level(), tile.n())).or_default();
            if place.len() <= data.len() {
                *place = data;
            }
        }
        future::ready(Ok(())).boxed()
    }

    fn load_head(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, OpsError>> {
        future::ready(Ok(self.kept().head.clone())).boxed()
    }

    fn save_head<'a>(&'a self, note: &'a [u8]) -> BoxFuture<'a, Result<(), OpsError>> {
        self.kept().head = Some(note.into());
        future::ready(Ok(())).boxed()
    }
}
