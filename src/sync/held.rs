//! The store as what a node serves its peers from: nothing in here can fetch.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use crate::domain::blob::BlobId;
use crate::domain::manifest::{Envelope, Manifest, ManifestId};
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::engine::spread::{Item, Part};
use crate::mirror::Blocks;
use crate::mirror::databases::state_fact;
use crate::spread::Holdings;
use crate::store::{Location, Store};
use crate::swarm::Membership;
use crate::transfer::Held;
use crate::transfer::digest::Digests;

/// About the bytes of a page of a recipe: it is cut between 16 and 64 KiB.
const PAGE_BYTES: u64 = 32 << 10;

/// [`Held`] over the store.
pub struct StoreHeld {
    store: Store,
    /// The ids of the catalog with these digests, as long as somebody works with them: no memory for a node at rest.
    ids: Mutex<Option<(Digests, Weak<[ManifestId]>)>>,
    blocks: Blocks,
    membership: Arc<Membership>,
}

impl StoreHeld {
    /// Serves from `store`, but for what is blocked, and the orders that `membership` follows.
    #[must_use]
    pub fn new(store: Store, blocks: Blocks, membership: Arc<Membership>) -> Self {
        Self { store, ids: Mutex::default(), blocks, membership }
    }

    /// Whether an envelope may be passed on.
    fn passes(&self, envelope: &Bytes) -> bool {
        if self.blocks.now().is_empty() {
            return true;
        }
        let manifest = Envelope::decode(envelope).ok().and_then(|envelope| Manifest::decode(&envelope.manifest).ok());
        manifest.is_some_and(|manifest| !self.blocks.has(&manifest.module))
    }
}

impl Held for StoreHeld {
    fn blobs(&self, ids: &[BlobId], budget: usize) -> io::Result<Vec<Option<Bytes>>> {
        let located = self.store.locations(ids).map_err(io::Error::other)?;
        let located = &located[..located.len().min(within(&located, budget))];
        let held: Vec<Location> = located.iter().copied().flatten().collect();
        let mut bytes = self.store.read_many(&held).map_err(io::Error::other)?.into_iter();
        Ok(located.iter().map(|location| location.and_then(|_| bytes.next())).collect())
    }

    fn digests(&self) -> io::Result<Digests> {
        Ok(self.store.catalog_digests())
    }

    fn manifest_ids(&self) -> io::Result<Arc<[ManifestId]>> {
        let digests = self.store.catalog_digests();
        let mut kept = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let still = kept.as_ref().filter(|(of, _)| *of == digests).and_then(|(_, ids)| ids.upgrade());
        Ok(still.unwrap_or_else(|| {
            let ids: Arc<[ManifestId]> = self.store.catalog_ids().into();
            // The catalog may have grown in between: then these ids stand under digests that nobody asks for again.
            *kept = Some((digests, Arc::downgrade(&ids)));
            ids
        }))
    }

    fn envelopes(&self, ids: &[ManifestId], budget: usize) -> io::Result<Vec<Option<Bytes>>> {
        let mut taken = 0;
        let mut found = Vec::new();
        for id in ids {
            if taken >= budget && !found.is_empty() {
                break;
            }
            let envelope = self.store.manifest_by_id(id).map_err(io::Error::other)?;
            let envelope = envelope.filter(|envelope| self.passes(envelope));
            taken += envelope.as_ref().map_or(0, Bytes::len);
            found.push(envelope);
        }
        Ok(found)
    }

    fn lookup(&self, module: &ModuleVersion) -> io::Result<Option<Bytes>> {
        if self.blocks.has(module) {
            return Ok(None);
        }
        Ok(self.store.manifest(module).map_err(io::Error::other)?.map(|held| held.envelope))
    }

    fn versions(&self, module: &ModulePath) -> io::Result<Vec<Version>> {
        let versions = self.store.versions(module).map_err(io::Error::other)?;
        let versions = versions.into_iter().map(|held| held.version);
        Ok(versions.filter(|version| !self.blocks.has_version(module, version)).collect())
    }

    fn sumdb_state(&self, database: &str) -> io::Result<Option<Bytes>> {
        let fact = self.store.fact(&state_fact(database)).map_err(io::Error::other)?;
        Ok(fact.map(|fact| fact.value))
    }

    fn orders(&self, newer_than: u64) -> io::Result<Option<Bytes>> {
        let current = self.membership.orders();
        Ok((current.orders.serial > newer_than).then(|| current.signed.clone()))
    }
}

impl Holdings for StoreHeld {
    fn holds(&self, item: &Item) -> io::Result<Option<u64>> {
        let Some(envelope) = self.store.manifest_by_id(&item.manifest).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let manifest = Envelope::decode(&envelope).map_err(io::Error::other)?.manifest;
        let module = Manifest::decode(&manifest).map_err(io::Error::other)?.module;
        let held = self.store.manifest(&module).map_err(io::Error::other)?;
        let Some(held) = held.filter(|held| held.id == item.manifest && !self.blocks.has(&module)) else {
            return Ok(None);
        };
        let Some(zip) = &held.manifest.zip else { return Ok(None) };
        Ok(match item.part {
            Part::Chunks => held.complete.then_some(zip.len),
            Part::Pages => {
                let all = held.complete || self.store.missing(&zip.pages).map_err(io::Error::other)?.is_empty();
                all.then_some(u64::from(item.slices) * PAGE_BYTES)
            }
        })
    }
}

/// How many of the first blobs it takes for their bytes to reach `budget`; at least one.
fn within(located: &[Option<Location>], budget: usize) -> usize {
    let mut bytes = 0;
    let more = located.iter().take_while(|location| {
        let open = bytes < budget;
        bytes += location.map_or(0, |location| location.len() as usize);
        open
    });
    more.count().max(1)
}
