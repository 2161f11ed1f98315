//! Keeping the pinned head up with the catalog: one task per database, for as long as the node runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::limits::{PIN_AT_MOST, PIN_QUIET, PIN_RETRY, SETTLE_WAIT};
use super::ops::UpstreamOps;
use super::pinned::Turn;
use super::{Database, Databases};
use crate::domain::sumdb::SignedHead;
use crate::sumdb::{Client, ClientError, Server};

impl Databases {
    /// Works until `stop`.
    pub async fn keep(self, stop: CancellationToken) {
        let work = self.all.iter().map(|database| database.keep_up());
        tokio::select! {
            () = stop.cancelled() => {}
            _ = futures::future::join_all(work) => {}
        }
    }
}

impl Databases {
    /// Waits until every record that this node brought in is answered for, so that the site has what was seeded even if this
    /// node is switched off in the next moment. Not longer than [`SETTLE_WAIT`] for each; says whether all are.
    pub(in crate::mirror) async fn settled(&self) -> bool {
        let mut all = true;
        for database in self.all.iter().filter(|database| database.client.is_some()) {
            all &= database.within(SETTLE_WAIT, || database.records().waiting.is_empty().then_some(())).await.is_some();
        }
        all
    }
}

impl Database {
    async fn keep_up(&self) {
        loop {
            let behind = self.settle().await;
            // What waits for an upstream that was away is tried again; what waits for a peer's state comes with that.
            let retry = if behind && self.client.is_some() { Some(Instant::now() + PIN_RETRY) } else { None };
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
            }
            if self.client.is_some() {
                self.gather().await;
            }
        }
    }

    /// Waits for more records to come, unless somebody waits for these.
    async fn gather(&self) {
        let latest = Instant::now() + PIN_AT_MOST;
        loop {
            tokio::select! {
                () = self.urgent.notified() => break,
                () = sleep_until(latest) => break,
                more = timeout(PIN_QUIET, self.wake.notified()) => if more.is_err() { break },
            }
        }
    }

    /// Admits what can be answered for, and on a seed collects what that takes. Whether records still wait.
    async fn settle(&self) -> bool {
        let mut turn = self.turn.lock().await;
        if let Err(error) = self.scan(&mut turn).await {
            tracing::warn!(database = self.name(), %error, "the records of the catalog cannot be read now");
            return true;
        }
        match &self.client {
            None => self.admit(),
            Some(client) => {
                let pinned = self.pin_upstream(client, &mut turn).await;
                self.note_trouble(pinned.as_ref().err().map(ToString::to_string));
                if let Err(error) = pinned {
                    if let ClientError::Fork(fork) = &error {
                        self.shelf.keep_evidence(fork).await;
                    }
                    tracing::warn!(database = self.name(), %error, "the tiles of new records cannot be had now");
                }
            }
        }
        !self.records().waiting.is_empty()
    }

    /// Brings all tiles that the waiting records need and pins a head that has them.
    async fn pin_upstream(&self, client: &Client<UpstreamOps>, turn: &mut Turn) -> Result<(), ClientError> {
        let waiting: BTreeSet<u64> = self.records().waiting.keys().copied().collect();
        let pinned = self.pinned();
        let helped: BTreeSet<u64> = self.server().old_sizes().collect();
        if waiting.is_empty() && pinned.is_some() && turn.heard.is_subset(&helped) {
            return Ok(());
        }
        let head = self.choose_head(client, pinned.as_ref(), waiting.last().copied()).await?;
        let size = head.tree().size;
        let proof = match &pinned {
            Some(pinned) if pinned.tree() != head.tree() => client.consistency_of(&head, pinned.tree().size).await?,
            _ => Vec::new(),
        };
        // What it will take: all records, and clients of all heads that this site has had.
        let older = helped.into_iter().chain(turn.heard.iter().copied()).chain(pinned.map(|head| head.tree().size));
        let mut planned = Server::restore(Some((*head).clone()), older.filter(|old| *old < size));
        self.shelf.all().into_iter().for_each(|tile| planned.add_tile(tile));
        let admitted = self.records().admitted.clone();
        admitted.iter().chain(&waiting).filter(|id| **id < size).for_each(|id| planned.add_record(*id));
        let missing: Vec<_> = planned.missing().collect();
        client.collect(&head, &missing).await?;
        match self.advance(turn, &head, &proof, &[]).await {
            Ok(Some(state)) => {
                tracing::info!(database = self.name(), size, tiles = missing.len(), "tree head pinned");
                // A full queue is no loss: peers ask for the state when they connect, and now and then.
                let _ = self.news.try_send((self.shelf.id(), state));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(database = self.name(), %error, "the tree head is not pinned"),
        }
        // They are among the older sizes now, or there are later ones that count more.
        turn.heard.clear();
        Ok(())
    }

    /// The pinned head, as long as it has all records: each move costs all nodes a little, and clients that have seen
    /// an older head need more tiles. Else the latest one.
    async fn choose_head(
        &self,
        client: &Client<UpstreamOps>,
        pinned: Option<&SignedHead>,
        highest: Option<u64>,
    ) -> Result<Arc<SignedHead>, ClientError> {
        let has = |head: &SignedHead| highest.is_none_or(|id| id < head.tree().size);
        if let Some(pinned) = pinned.filter(|head| has(head)) {
            return Ok(Arc::new(pinned.clone()));
        }
        let head = match pinned {
            // It may have come from a peer, and then the client has not seen it yet.
            Some(pinned) => Some(client.accept(pinned.note().into()).await?),
            None => client.head(),
        };
        match head.filter(|head| has(head)) {
            Some(head) => Ok(head),
            None => client.refresh().await,
        }
    }
}
