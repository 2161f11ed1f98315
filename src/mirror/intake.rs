//! The way into the store that every source uses, and the news that goes out when something has arrived.

use tokio::sync::mpsc;

use super::blocked::Blocks;
use super::databases::Databases;
use super::source::SourceError;
use crate::domain::manifest::{Envelope, Manifest, ManifestId, Proof};
use crate::domain::trust::Trust;
use crate::store::{Accepted, Store, StoreError};
use crate::verified::{VerifiedBlob, VerifiedManifest};

/// The store, and a bell for what is new in it.
#[derive(Clone)]
pub struct Intake {
    store: Store,
    databases: Databases,
    news: Option<mpsc::Sender<VerifiedManifest>>,
    blocks: Blocks,
}

impl Intake {
    /// `databases` say what a manifest needs to be let in. `news` gets every manifest that this node brought in by itself, so that it can be announced. A full queue drops the news:
    /// the catalog's reconciliation makes up for it.
    #[must_use]
    pub fn new(store: Store, databases: Databases, news: Option<mpsc::Sender<VerifiedManifest>>) -> Self {
        Self { store, databases, news, blocks: Blocks::default() }
    }

    /// The same, but for what the site's orders block.
    #[must_use]
    pub fn with_blocks(self, blocks: Blocks) -> Self {
        Self { blocks, ..self }
    }

    /// What the site's orders block.
    #[must_use]
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The checksum databases of this node.
    #[must_use]
    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// What a manifest needs to be let in.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        self.databases.trust()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Stores blobs; when this is `Ok` they are on disk.
    ///
    /// # Errors
    /// [`SourceError::Local`].
    pub async fn put(&self, blobs: Vec<VerifiedBlob>) -> Result<(), SourceError> {
        self.store.put(blobs).await.map_err(|error| local(&error))
    }

    /// Takes a manifest into the catalog, without announcing it: it came from the site.
    ///
    /// # Errors
    /// [`SourceError::Local`], [`SourceError::Forged`] when the catalog holds other bytes under the same version, and
    /// [`SourceError::Refused`] when the version is blocked.
    pub async fn accept(&self, manifest: VerifiedManifest) -> Result<Accepted, SourceError> {
        let module = manifest.manifest().module.clone();
        self.blocks.check(&module)?;
        let id = manifest.id();
        let record = self.databases.record_of(&manifest);
        let accepted = self.store.accept(manifest).await.map_err(|error| local(&error))?;
        if let (Accepted::New | Accepted::Replaced { .. }, Some((database, record))) = (&accepted, record) {
            database.note(record);
        }
        if let Accepted::Conflict { held } = &accepted {
            return Err(SourceError::Forged(format!(
                "{module} came as manifest {id}, but this site has known it as {held}: one of the two is not the published one"
            )));
        }
        if accepted == Accepted::Retracted {
            return Err(SourceError::Forged(format!("manifest {id} of {module} was found to be wrong before")));
        }
        Ok(accepted)
    }

    /// Takes a manifest that this node made itself, marks it complete and announces it. Says whether it is in the catalog now;
    /// if not, another one is, of the same hashes, that says as much.
    ///
    /// # Errors
    /// As [`Intake::accept`].
    pub async fn publish(&self, manifest: &Manifest, proof: Proof) -> Result<bool, SourceError> {
        let envelope = Envelope { manifest: manifest.encode(), proof }.encode();
        let verified = VerifiedManifest::check(envelope.into(), self.trust());
        let verified = verified.map_err(|why| SourceError::Forged(why.to_string()))?;
        let id = verified.id();
        if let Accepted::Superseded { .. } = self.accept(verified.clone()).await? {
            return Ok(false);
        }
        if manifest.zip.is_some() {
            self.complete(id).await?;
        }
        self.announce(verified);
        Ok(true)
    }

    /// Marks a manifest's zip as held and checked.
    ///
    /// # Errors
    /// [`SourceError::Local`].
    pub async fn complete(&self, id: ManifestId) -> Result<(), SourceError> {
        self.store.complete(id).await.map_err(|error| local(&error))
    }

    /// Takes a manifest out of the catalog again, because what it names turned out not to have the hashes that it claims.
    ///
    /// # Errors
    /// [`SourceError::Local`].
    pub async fn withdraw(&self, id: ManifestId, why: &str) -> Result<(), SourceError> {
        tracing::warn!(manifest = %id, why, "manifest withdrawn");
        self.store.retract(id).await.map_err(|error| local(&error))
    }

    /// Rings the bell for a manifest.
    pub fn announce(&self, manifest: VerifiedManifest) {
        if let Some(news) = &self.news {
            // A full queue is no loss: see `new`.
            let _ = news.try_send(manifest);
        }
    }

    /// Runs blocking work on the store off the async threads.
    ///
    /// # Errors
    /// [`SourceError::Local`].
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, SourceError> {
        self.store.run(work).await.map_err(|error| local(&error))
    }
}

/// A failure of this node's own disk, as the one who asked for a module sees it.
pub(super) fn local(error: &StoreError) -> SourceError {
    SourceError::Local(error.to_string())
}
