//! The checksum databases that a node was told of with `--sumdb`: proving what comes from upstream.
//!
//! Without any, a node is open: it proves nothing and asks for no proof ([`Trust::open`]). With one or more, a module
//! version is published only with the proof that one of them has recorded exactly its bytes.
//!
//! ```text
//!  upstream ──go.mod, zip──> hashes ─────────┐
//!     └─────lookup, tiles──> Client ──proof──┴─> the door ──> catalog
//!                              └── tiles, head ──> Shelf (blobs and a fact)
//! ```
//! One [`Client`] per database, since one head is believed per database; any number of lookups share it, and the tiles
//! that one of them brought serve the next.

mod admit;
mod answer;
mod keeper;
mod limits;
mod offer;
mod ops;
mod pinned;
mod shelf;
mod status;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use crate::domain::manifest::{Envelope, Proof};
use crate::domain::module::ModuleVersion;
use crate::domain::note::Verifier;
use crate::domain::site::Publishers;
use crate::domain::sumdb::state::StateId;
use crate::domain::sumdb::{Record, SumdbProof, SumdbSpec};
use crate::domain::trust::Trust;
use crate::store::{Held, Stamp, Store};
use crate::sumdb::{Client, ClientError, Kind, Server};
use crate::upstream::Upstream;
use crate::verified::VerifiedManifest;

use super::memory::Cache;
use super::mutable::unix_now;
use super::source::SourceError;
pub use admit::admit;
use limits::LOOKUPS_BYTES;
pub use offer::Offered;
use offer::Seen;
use ops::UpstreamOps;
use pinned::{Records, Turn};
use shelf::Shelf;
pub use shelf::state_fact;

/// A state of a database (`name+hash of its key`) that this node made: to be announced.
pub type StateNews = (String, StateId);

/// Of what an answer to a lookup follows: the catalog, moves of the pinned head, tiles that were lost.
type LookupStamp = (Stamp, u64, u64);

/// The databases of a node, in the order in which they are asked. A handle that is cheap to clone.
#[derive(Clone, Default)]
pub struct Databases {
    all: Arc<[Arc<Database>]>,
    trust: Arc<Trust>,
}

/// One database.
pub struct Database {
    verifier: Verifier,
    shelf: Arc<Shelf>,
    /// On a node that has an upstream.
    client: Option<Client<UpstreamOps>>,
    /// What is answered. It is changed only by the one who has the turn.
    server: RwLock<Server>,
    records: Mutex<Records>,
    /// Seconds since 1970.
    pinned_at: AtomicU64,
    /// Why the last attempt to pin with the upstream's help failed.
    trouble: Mutex<Option<String>>,
    turn: tokio::sync::Mutex<Turn>,
    /// Held while the offer of a peer is looked at; nothing else waits for it.
    offers: tokio::sync::Mutex<Seen>,
    /// Counts changes of what is answered.
    moved: watch::Sender<u64>,
    /// There is a new record, or somebody waits.
    wake: Notify,
    /// Somebody waits.
    urgent: Notify,
    news: mpsc::Sender<StateNews>,
    /// Answers to lookups.
    lookups: Cache<ModuleVersion, LookupStamp, Bytes>,
}

/// A proof, and what it proves.
pub(super) struct Proven {
    pub(super) proof: SumdbProof,
    pub(super) record: Record,
}

impl Databases {
    /// The databases of `specs`, asked by way of `upstream` where there is one. Of no specs: an open node. `news` gets every
    /// state that this node makes.
    ///
    /// # Errors
    /// [`ClientError`] when what is stored of one cannot be used.
    pub async fn open(
        specs: &[SumdbSpec],
        store: &Store,
        upstream: Option<&Arc<Upstream>>,
        news: &mpsc::Sender<StateNews>,
    ) -> Result<Self, ClientError> {
        let mut all = Vec::new();
        for spec in specs {
            let database = Database::open(spec, store, upstream, news.clone()).await?;
            database.restore().await;
            database.recall_forks().await;
            all.push(Arc::new(database));
        }
        let trust = Trust::sumdb(specs.iter().map(|spec| spec.verifier().clone()).collect());
        Ok(Self { all: all.into(), trust: trust.into() })
    }

    /// The same, but for the modules of `publishers`: those are taken from them alone, and no database is asked for
    /// them.
    #[must_use]
    pub fn with_publishers(self, publishers: Publishers) -> Self {
        let trust = Trust::clone(&self.trust).with_publishers(publishers);
        Self { trust: trust.into(), ..self }
    }

    /// Each database.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Database>> {
        self.all.iter()
    }

    /// What a manifest needs to be taken.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The database that proves a manifest, and its record there: to be noted when the manifest is in the catalog.
    pub(super) fn record_of(&self, manifest: &VerifiedManifest) -> Option<(Arc<Database>, u64)> {
        let Proof::Sumdb(proof) = manifest.proof() else { return None };
        let database = self.all.iter().find(|database| database.name() == proof.database)?;
        Some((Arc::clone(database), proof.index))
    }

    /// The proof for a module version: the one that it is held with, or a new one. `None` on an open node.
    ///
    /// # Errors
    /// As [`Database::prove`], by the gravest of what the databases say.
    pub(super) async fn prove(
        &self,
        module: &ModuleVersion,
        held: Option<&Held>,
    ) -> Result<Option<Proven>, SourceError> {
        if self.trust.is_open() {
            return Ok(None);
        }
        if let Some(proven) = held.and_then(|held| proven_before(module, held)) {
            return Ok(Some(proven));
        }
        let mut worst = SourceError::Miss(format!("no checksum database can be asked for {module}"));
        for database in &*self.all {
            match database.prove(module).await {
                Ok(proof) => return Ok(Some(read(module, proof)?)),
                Err(error) => worst = super::graver(worst, error),
            }
        }
        Err(worst)
    }
}

/// The proof that a manifest of the catalog came with: it was checked at the door, and its record names both hashes.
fn proven_before(module: &ModuleVersion, held: &Held) -> Option<Proven> {
    match Envelope::decode(&held.envelope).ok()?.proof {
        Proof::Sumdb(proof) => read(module, proof).ok(),
        Proof::None | Proof::Published(_) => None,
    }
}

fn read(module: &ModuleVersion, proof: SumdbProof) -> Result<Proven, SourceError> {
    let record = Record::parse(proof.index, &proof.record, module);
    let record = record.map_err(|error| SourceError::Forged(error.to_string()))?;
    Ok(Proven { proof, record })
}

impl Database {
    async fn open(
        spec: &SumdbSpec,
        store: &Store,
        upstream: Option<&Arc<Upstream>>,
        news: mpsc::Sender<StateNews>,
    ) -> Result<Self, ClientError> {
        let verifier = spec.verifier().clone();
        let shelf = Arc::new(Shelf::new(&verifier, store.clone()));
        let client = match upstream {
            None => None,
            Some(upstream) => {
                let ops = UpstreamOps::new(spec.name(), Arc::clone(upstream), Arc::clone(&shelf));
                Some(Client::open(ops, verifier.clone()).await?)
            }
        };
        Ok(Self {
            verifier,
            shelf,
            client,
            server: RwLock::default(),
            records: Mutex::default(),
            pinned_at: AtomicU64::new(0),
            trouble: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            offers: tokio::sync::Mutex::default(),
            moved: watch::Sender::new(0),
            wake: Notify::new(),
            urgent: Notify::new(),
            news,
            lookups: Cache::new(LOOKUPS_BYTES),
        })
    }

    /// Its name, as it stands in URLs.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// Its name and the hash of its key, by which nodes tell databases apart.
    #[must_use]
    pub fn id(&self) -> String {
        self.shelf.id()
    }

    /// Asks for the record of a module version and proves that it is in the log.
    ///
    /// # Errors
    /// [`SourceError::Refused`] when the database does not know the module version: it may well exist, so this is not a
    /// miss, but without a proof it is not taken. [`SourceError::Failed`] when that could not be found out now, and
    /// [`SourceError::Forged`] when the answer is not to be believed.
    async fn prove(&self, module: &ModuleVersion) -> Result<SumdbProof, SourceError> {
        let Some(client) = &self.client else {
            return Err(SourceError::Miss(format!("this node has no way to ask {} for {module}", self.name())));
        };
        match client.prove(module).await {
            Ok(proof) => Ok(proof),
            Err(error) => Err(self.give_up(error).await),
        }
    }

    fn note_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a client's error means here; the evidence of a fork is kept.
    async fn give_up(&self, error: ClientError) -> SourceError {
        if let ClientError::Fork(fork) = &error {
            self.shelf.keep_evidence(fork).await;
        }
        match error.kind() {
            Kind::Miss => SourceError::Refused(error.to_string()),
            Kind::Failure => SourceError::Failed(error.to_string()),
            Kind::Forgery => SourceError::Forged(error.to_string()),
        }
    }
}
