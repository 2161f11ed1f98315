//! Asking a checksum database and answering for one, against the fixture database.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use futures::executor::block_on;
use modswarm::domain::dirhash::H1;
use modswarm::domain::module::ModuleVersion;
use modswarm::sumdb::{Client, MemoryOps, OpsError};

#[path = "../common/sumdb.rs"]
mod common;
use common::{FixtureDb, NAME};

mod client;
mod server;

pub(crate) type Upstream = Box<dyn Fn(&str) -> Result<Option<Bytes>, OpsError> + Send + Sync>;
pub(crate) type MemoryClient = Client<MemoryOps<Upstream>>;

pub(crate) const MODULE: &str = "example.com/Wanted@v1.2.3";
pub(crate) const ZIP: H1 = H1::from_bytes([9; 32]);
pub(crate) const GO_MOD: &[u8] = b"module example.com/Wanted\n";

pub(crate) fn module() -> ModuleVersion {
    ModuleVersion::parse(MODULE).unwrap()
}

/// A database in which record `before` is the wanted module's, with `after` records behind it.
pub(crate) fn database(before: u64, after: u64) -> FixtureDb {
    let mut db = FixtureDb::with_records(before);
    db.add(MODULE, GO_MOD, Some(ZIP));
    (before..before + after).for_each(|n| _ = db.add_filler(n));
    db
}

pub(crate) fn open(db: &FixtureDb, upstream: Upstream) -> MemoryClient {
    block_on(Client::open(MemoryOps::new(upstream), db.verifier())).unwrap()
}

/// A database that can grow, or turn into another one, while a client uses it; and what it was asked for.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) db: Arc<RwLock<FixtureDb>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Shared {
    pub(crate) fn new(db: FixtureDb) -> Self {
        Self { db: Arc::new(RwLock::new(db)), asked: Arc::default() }
    }

    pub(crate) fn client(&self) -> MemoryClient {
        let this = self.clone();
        let upstream = move |path: &str| {
            this.asked.lock().unwrap().push(path.into());
            Ok(this.db.read().unwrap().answer(path).map(Bytes::from))
        };
        open(&self.db.read().unwrap(), Box::new(upstream))
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub(crate) fn grow(&self, count: u64) {
        let mut db = self.db.write().unwrap();
        (0..count).for_each(|n| _ = db.add_filler(1_000_000 + n));
    }
}

/// A client whose upstream answers are changed on their way.
pub(crate) fn tampered(
    db: FixtureDb,
    tamper: impl Fn(&str, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
) -> MemoryClient {
    let key = FixtureDb::new(NAME);
    open(&key, Box::new(move |path| Ok(db.answer(path).map(|body| tamper(path, body).into()))))
}
