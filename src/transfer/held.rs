//! What a node has to serve from: the store, behind a trait that other things can implement too.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::digest::{self, Digests};
use crate::domain::blob::BlobId;
use crate::domain::manifest::ManifestId;
use crate::domain::module::{ModulePath, ModuleVersion, Version};

/// What this node holds, as far as it may be served. Blocking: the server calls it where that is allowed, a few at a time.
///
/// `None` and an empty list mean "not here"; an error means "could not be read", and a peer is told the difference.
/// Nothing in here may fetch: a peer's question never makes a node ask others.
pub trait Held: Send + Sync + 'static {
    /// The bytes of blobs, in the order of `ids`: for all of them, or for as many (at least one) as it takes for the bytes
    /// to reach `budget`. So one call takes at most `budget` + 1 MiB of memory whatever the ids are.
    ///
    /// # Errors
    /// The medium's.
    fn blobs(&self, ids: &[BlobId], budget: usize) -> io::Result<Vec<Option<Bytes>>>;

    /// One digest for each bucket of the catalog, as [`digest`] defines it.
    ///
    /// # Errors
    /// The medium's.
    fn digests(&self) -> io::Result<Digests>;

    /// The ids of all manifests, each once, in ascending order. Shared while somebody works with them: 32 bytes each.
    ///
    /// # Errors
    /// The medium's.
    fn manifest_ids(&self) -> io::Result<Arc<[ManifestId]>>;

    /// Encoded envelopes, in the order of `ids`, with `budget` as in [`Held::blobs`].
    ///
    /// # Errors
    /// The medium's.
    fn envelopes(&self, ids: &[ManifestId], budget: usize) -> io::Result<Vec<Option<Bytes>>>;

    /// The encoded envelope of one module version.
    ///
    /// # Errors
    /// The medium's.
    fn lookup(&self, module: &ModuleVersion) -> io::Result<Option<Bytes>>;

    /// The versions of a module, in an order that does not change while nothing is added.
    ///
    /// # Errors
    /// The medium's.
    fn versions(&self, module: &ModulePath) -> io::Result<Vec<Version>>;

    /// The encoded id of the state that is held of a checksum database (name and hash of its key). What has none, has none.
    ///
    /// # Errors
    /// The medium's.
    fn sumdb_state(&self, _database: &str) -> io::Result<Option<Bytes>> {
        Ok(None)
    }

    /// The signed orders of the site, if their serial is higher than this one. What is of no closed site has none.
    ///
    /// # Errors
    /// The medium's.
    fn orders(&self, _newer_than: u64) -> io::Result<Option<Bytes>> {
        Ok(None)
    }
}

/// [`Held`] in memory, for tests and simulations. Later insertions are seen at once.
#[derive(Default)]
pub struct MemoryHeld(std::sync::RwLock<Memory>);

#[derive(Default)]
struct Memory {
    blobs: BTreeMap<BlobId, Bytes>,
    envelopes: BTreeMap<ManifestId, Bytes>,
    modules: BTreeMap<String, BTreeMap<String, ManifestId>>,
}

impl MemoryHeld {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a blob and returns its name.
    pub fn insert_blob(&self, bytes: Bytes) -> BlobId {
        let id = BlobId::of(&bytes);
        self.write().blobs.insert(id, bytes);
        id
    }

    /// Adds an envelope of which the caller knows what it is.
    pub fn insert_envelope(&self, id: ManifestId, module: &ModuleVersion, envelope: Bytes) {
        let mut memory = self.write();
        memory.envelopes.insert(id, envelope);
        let versions = memory.modules.entry(module.path.as_str().into()).or_default();
        versions.insert(module.version.as_str().into(), id);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Memory> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Memory> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn up_to_budget(map: &BTreeMap<BlobId, Bytes>, ids: &[BlobId], budget: usize) -> Vec<Option<Bytes>> {
    let mut taken = 0;
    let mut found = Vec::new();
    for id in ids {
        if taken >= budget && !found.is_empty() {
            break;
        }
        let bytes = map.get(id).cloned();
        taken += bytes.as_ref().map_or(0, Bytes::len);
        found.push(bytes);
    }
    found
}

impl Held for MemoryHeld {
    fn blobs(&self, ids: &[BlobId], budget: usize) -> io::Result<Vec<Option<Bytes>>> {
        Ok(up_to_budget(&self.read().blobs, ids, budget))
    }

    fn digests(&self) -> io::Result<Digests> {
        Ok(digest::of(self.read().envelopes.keys()))
    }

    fn manifest_ids(&self) -> io::Result<Arc<[ManifestId]>> {
        Ok(self.read().envelopes.keys().copied().collect())
    }

    fn envelopes(&self, ids: &[ManifestId], budget: usize) -> io::Result<Vec<Option<Bytes>>> {
        Ok(up_to_budget(&self.read().envelopes, ids, budget))
    }

    fn lookup(&self, module: &ModuleVersion) -> io::Result<Option<Bytes>> {
        let memory = self.read();
        let id = memory.modules.get(module.path.as_str()).and_then(|all| all.get(module.version.as_str()));
        Ok(id.and_then(|id| memory.envelopes.get(id)).cloned())
    }

    fn versions(&self, module: &ModulePath) -> io::Result<Vec<Version>> {
        let memory = self.read();
        let texts = memory.modules.get(module.as_str()).into_iter().flat_map(BTreeMap::keys);
        Ok(texts.filter_map(|text| Version::parse(text).ok()).collect())
    }
}

/// The rules of [`Held`] as a test, to be run on every implementation.
///
/// `held` must hold exactly `blobs` and `envelopes`; at least two blobs that are not empty, and at least one envelope.
///
/// # Panics
/// When a rule is broken.
pub fn conformance(held: &dyn Held, blobs: &[Bytes], envelopes: &[(ManifestId, ModuleVersion, Bytes)]) {
    let read = "reading what is held";
    let absent = BlobId::of(b"a blob that nobody has");
    let ids: Vec<BlobId> = blobs.iter().map(|bytes| BlobId::of(bytes)).collect();
    let mut asked = ids.clone();
    asked.insert(1, absent);
    asked.push(ids[0]);
    let mut wanted: Vec<Option<Bytes>> = blobs.iter().cloned().map(Some).collect();
    wanted.insert(1, None);
    wanted.push(Some(blobs[0].clone()));
    assert_eq!(
        held.blobs(&asked, usize::MAX).expect(read),
        wanted,
        "in the order of the ids, with gaps and repetitions"
    );
    assert_eq!(held.blobs(&[], 1).expect(read), [], "nothing asked, nothing answered");
    assert_eq!(held.blobs(&ids, 1).expect(read), [Some(blobs[0].clone())], "the budget ends the answer");
    assert_eq!(held.blobs(&ids, 0).expect(read).len(), 1, "at least one is answered");

    let manifests: Vec<ManifestId> = envelopes.iter().map(|(id, ..)| *id).collect();
    assert_eq!(held.digests().expect(read), digest::of(&manifests), "a digest covers exactly what is held");
    let mut sorted = manifests.clone();
    sorted.sort_unstable();
    let listed = held.manifest_ids().expect(read);
    assert_eq!(listed[..], sorted, "all manifests, sorted, each once");
    assert_eq!(held.manifest_ids().expect(read), listed, "whether somebody has the list still");
    drop(listed);
    assert_eq!(held.manifest_ids().expect(read)[..], sorted, "or not");
    let bytes: Vec<Option<Bytes>> = envelopes.iter().map(|(.., bytes)| Some(bytes.clone())).collect();
    assert_eq!(held.envelopes(&manifests, usize::MAX).expect(read), bytes);
    assert_eq!(held.envelopes(&[absent], 1).expect(read), [None], "a blob's name is no manifest's");
    for (_, module, bytes) in envelopes {
        assert_eq!(held.lookup(module).expect(read).as_ref(), Some(bytes));
        let versions = held.versions(&module.path).expect(read);
        assert!(versions.contains(&module.version), "{module} is among the versions of its module");
        assert_eq!(versions, held.versions(&module.path).expect(read), "the order of versions is stable");
        let other = ModulePath::parse(&format!("{}/none", module.path)).expect("a longer path");
        assert_eq!(held.versions(&other).expect(read), []);
        let other = ModuleVersion { path: other, version: module.version.clone() };
        assert_eq!(held.lookup(&other).expect(read), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_twin_keeps_the_rules() {
        let held = MemoryHeld::new();
        let blobs: Vec<Bytes> = ["one", "two", "three"].map(Bytes::from).into();
        blobs.iter().for_each(|bytes| assert_eq!(held.insert_blob(bytes.clone()), BlobId::of(bytes)));
        let envelopes: Vec<_> = ["v1.0.0", "v1.1.0"]
            .map(|version| {
                let module = ModuleVersion::parse(&format!("example.com/m@{version}")).unwrap();
                (BlobId::of(version.as_bytes()), module, Bytes::from(version))
            })
            .into();
        envelopes.iter().for_each(|(id, module, bytes)| held.insert_envelope(*id, module, bytes.clone()));
        conformance(&held, &blobs, &envelopes);
    }
}
