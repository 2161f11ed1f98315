//! Answering for checksum databases (GOPROXY.md, facts 28 to 31): out of the store, and on a seed with what it takes from
//! upstream.

use std::time::Duration;

use bytes::Bytes;

use super::limits::{LOOKUP_WAIT, SUPPORTED_WAIT};
use super::{Database, LookupStamp};
use crate::domain::manifest::{Envelope, Proof};
use crate::domain::module::ModuleVersion;
use crate::domain::request::{SumdbRequest, split_sumdb};
use crate::domain::sumdb::Record;
use crate::domain::tlog::{Tile, TilePath};
use crate::mirror::outcome::{Answer, Body, Kind};
use crate::mirror::source::SourceError;
use crate::mirror::{Mirror, Reach};
use crate::store::Store;

fn answer(kind: Kind, bytes: Bytes) -> Answer {
    Answer { kind, body: Body::Bytes(bytes), age: None }
}

impl Mirror {
    /// Answers what follows `/sumdb/`.
    pub(in crate::mirror) async fn sumdb(&self, question: &str, reach: Reach) -> Result<Answer, SourceError> {
        let databases = self.intake().databases();
        let names = databases.all.iter().map(|database| database.name());
        let Some((name, request)) = split_sumdb(question, names) else {
            return Err(SourceError::Miss("this node does not answer for such a checksum database".into()));
        };
        let Some(database) = databases.all.iter().find(|database| database.name() == name) else {
            return Err(SourceError::Miss(format!("this node does not answer for {name}")));
        };
        match request {
            SumdbRequest::Supported => database.supported().await,
            SumdbRequest::Latest => database.latest(),
            SumdbRequest::Tile(path) => database.tile(&path, reach).await,
            SumdbRequest::Lookup(module) => self.lookup(database, module, reach).await,
        }
    }

    /// The record of a module version under the pinned head. What the site does not have is brought first, as for any
    /// other file: on a seed from upstream, elsewhere from the peers.
    async fn lookup(&self, database: &Database, module: ModuleVersion, reach: Reach) -> Result<Answer, SourceError> {
        let stamp = database.stamp(self.intake().store(), &module);
        if let Some(body) = database.lookups.get(&module, &stamp) {
            return Ok(answer(Kind::Lookup, body));
        }
        self.file(module.clone(), Kind::GoMod, reach).await?;
        let wanted = module.clone();
        let held = self.intake().blocking(move |store| store.manifest(&wanted)).await?;
        let proof = held.and_then(|held| Envelope::decode(&held.envelope).ok()).map(|envelope| envelope.proof);
        let Some(Proof::Sumdb(proof)) =
            proof.filter(|proof| matches!(proof, Proof::Sumdb(it) if it.database == database.name()))
        else {
            return Err(SourceError::Miss(format!("{module} is not proven by {}", database.name())));
        };
        let record = Record::parse(proof.index, &proof.record, &module);
        let record = record.map_err(|error| SourceError::Local(error.to_string()))?;
        let body = || if database.is_covered(record.id) { database.server().lookup(&record) } else { None };
        match database.within(LOOKUP_WAIT, body).await {
            Some(body) => {
                let body = Bytes::from(body);
                database.lookups.put(module, stamp, body.clone(), body.len());
                Ok(answer(Kind::Lookup, body))
            }
            None => Err(SourceError::Failed(format!(
                "the tiles of {} that prove {module} have not come yet: ask again when a seed of this site is connected",
                database.name()
            ))),
        }
    }
}

impl Database {
    /// What the answer to the lookup of a module version follows from: the catalog, the pinned head and the tiles.
    fn stamp(&self, store: &Store, module: &ModuleVersion) -> LookupStamp {
        (store.stamp(&module.path), *self.moved.borrow(), self.shelf.losses())
    }

    async fn supported(&self) -> Result<Answer, SourceError> {
        match self.within(SUPPORTED_WAIT, || self.server().supported().then_some(())).await {
            Some(()) => Ok(answer(Kind::Head, Bytes::new())),
            None => Err(SourceError::Miss(format!(
                "this node has no tree head of {} yet: connect it with a seed of the site",
                self.name()
            ))),
        }
    }

    fn latest(&self) -> Result<Answer, SourceError> {
        let none = || SourceError::Miss(format!("this node has no tree head of {} yet", self.name()));
        let head = self.pinned().ok_or_else(none)?;
        Ok(answer(Kind::Head, Bytes::copy_from_slice(head.note())))
    }

    async fn tile(&self, path: &str, reach: Reach) -> Result<Answer, SourceError> {
        let none = || SourceError::Miss(format!("this node does not have {path} of {}", self.name()));
        let Ok(TilePath::Hashes(tile)) = TilePath::parse(path) else { return Err(none()) };
        let load = || async {
            let wider = self.shelf.load(tile).await.map_err(|error| SourceError::Local(error.to_string()))?;
            Ok::<_, SourceError>(wider.and_then(|wider| tile.cut(&wider).map(|cut| wider.slice_ref(cut))))
        };
        if let Some(data) = load().await? {
            return Ok(answer(Kind::Tile, data));
        }
        if reach == Reach::StoreOnly || !self.bring(tile).await? {
            return Err(none());
        }
        load().await?.map(|data| answer(Kind::Tile, data)).ok_or_else(none)
    }

    /// Gets a tile that is not held from upstream: for a client that has seen a head which this site never had. Whether it
    /// could be had at all.
    async fn bring(&self, tile: Tile) -> Result<bool, SourceError> {
        let Some(client) = &self.client else { return Ok(false) };
        let Some(head) = client.head() else { return Ok(false) };
        if tile.in_tree(head.tree().size).is_none_or(|whole| whole.width() < tile.width()) {
            return Ok(false);
        }
        match client.collect(&head, &[tile]).await {
            Ok(()) => Ok(true),
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// What `look` gives, now or within `wait`: it is looked again whenever the pinned head or its tiles have changed.
    pub(super) async fn within<T>(&self, wait: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
        let mut moves = self.moved.subscribe();
        if let Some(found) = look() {
            return Some(found);
        }
        self.urgent.notify_one();
        self.wake.notify_one();
        let looking = async {
            loop {
                if let Some(found) = look() {
                    return Some(found);
                }
                moves.changed().await.ok()?;
            }
        };
        tokio::time::timeout(wait, looking).await.ok().flatten()
    }
}
