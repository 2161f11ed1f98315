//! A checksum database behind the upstream, for its client.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::shelf::Shelf;
use crate::domain::tlog::Tile;
use crate::mirror::flight::Flights;
use crate::sumdb::{Ops, OpsError};
use crate::upstream::{Upstream, UpstreamError};

type Fetched = Result<Option<Bytes>, Arc<str>>;

/// [`Ops`] over the upstream and the shelf.
pub(super) struct UpstreamOps {
    name: String,
    upstream: Arc<Upstream>,
    shelf: Arc<Shelf>,
    /// Lookups go on side by side, and nearly all of them want the same few tiles of the upper levels.
    flights: Flights<String, Fetched>,
}

impl UpstreamOps {
    pub(super) fn new(name: &str, upstream: Arc<Upstream>, shelf: Arc<Shelf>) -> Self {
        Self { name: name.into(), upstream, shelf, flights: Flights::default() }
    }
}

impl Ops for UpstreamOps {
    fn fetch<'a>(&'a self, path: &'a str, limit: usize) -> BoxFuture<'a, Result<Option<Bytes>, OpsError>> {
        async move {
            let (upstream, name, owned) = (Arc::clone(&self.upstream), self.name.clone(), path.to_owned());
            let work = || async move {
                match upstream.sumdb(&name, &owned).await {
                    Ok(body) => Ok(Some(body)),
                    Err(UpstreamError::NotFound { .. }) => Ok(None),
                    Err(error) => Err(error.to_string().into()),
                }
            };
            match self.flights.join(path.to_owned(), work).await? {
                Ok(Some(body)) if body.len() > limit => {
                    Err(format!("{} bytes came, over the limit of {limit}", body.len()).into())
                }
                Ok(body) => Ok(body),
                Err(why) => Err(why.as_ref().into()),
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
        self.shelf.load_head().boxed()
    }

    fn save_head<'a>(&'a self, note: &'a [u8]) -> BoxFuture<'a, Result<(), OpsError>> {
        self.shelf.save_head(note).boxed()
    }
}
