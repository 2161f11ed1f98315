//! The catalog's way through the site: announcements by gossip, and what gossip missed by comparing catalogs.
//!
//! Gossip is a doorbell: it forgets after seconds and drops what is too much. So every connection begins with a comparison
//! of catalogs, and one is repeated with a random neighbour every [`limits::RECONCILE_EVERY`]. A manifest that arrives either
//! way goes through the door into the store; its blobs are fetched when somebody asks for them.
//!
//! The states of checksum databases go the same two ways: announced by the seed that made one, and asked for with each
//! comparison. Whether a state is believed is for [`Database::offered`] to say.

mod announcement;
mod held;
pub mod limits;
mod members;
mod replicas;

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use libp2p::PeerId;
use rand::seq::IteratorRandom as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::domain::sumdb::state::StateId;
use crate::mirror::Intake;
use crate::mirror::databases::{Database, Offered, StateNews};
use crate::mirror::source::SourceError;
use crate::store::Accepted;
use crate::swarm::{AnnouncementId, SwarmHandle, SwarmNews, Verdict};
use crate::transfer::Fetcher;
use crate::verified::VerifiedManifest;
use announcement::Announcement;
pub use held::StoreHeld;
pub use members::Members;
pub use replicas::Replicas;

/// What the catalog's traffic needs.
#[derive(Clone)]
pub struct Sync {
    /// The network.
    pub swarm: SwarmHandle,
    /// For questions to a peer.
    pub fetcher: Fetcher,
    /// This node's catalog, to compare others with.
    pub held: Arc<StoreHeld>,
    /// The way into the store.
    pub intake: Intake,
}

impl Sync {
    /// Runs until `stop`: `news` is what the network says, `own` and `states` are what this node brought in by itself.
    pub async fn run(
        self,
        mut news: mpsc::Receiver<SwarmNews>,
        mut own: mpsc::Receiver<VerifiedManifest>,
        mut states: mpsc::Receiver<StateNews>,
        stop: CancellationToken,
    ) {
        let mut every = interval_at(Instant::now() + limits::RECONCILE_EVERY, limits::RECONCILE_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let comparisons = Arc::new(Semaphore::new(limits::COMPARISONS));
        let mut work = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(manifest) = own.recv() => self.announce(Announcement::of(&manifest)),
                Some((database, state)) = states.recv() => self.announce(Announcement::of_state(database, state)),
                Some(event) = news.recv() => self.on_news(event, &mut work, &comparisons),
                _ = every.tick() => {
                    let neighbour = self.swarm.peers().iter().map(|peer| peer.id).choose(&mut rand::rng());
                    if let Some(peer) = neighbour {
                        self.meet(peer, &mut work, &comparisons);
                    }
                }
                Some(_) = work.join_next(), if !work.is_empty() => {}
            }
        }
        work.shutdown().await;
    }

    fn on_news(&self, event: SwarmNews, work: &mut JoinSet<()>, comparisons: &Arc<Semaphore>) {
        match event {
            SwarmNews::Connected(peer) => {
                tracing::info!(%peer, "peer connected");
                self.meet(peer, work, comparisons);
            }
            SwarmNews::Disconnected(peer) => tracing::info!(%peer, "peer disconnected"),
            SwarmNews::Subscribed(_) => {}
            SwarmNews::Announcement { id, from, bytes } if work.len() < limits::IN_WORK => {
                let this = self.clone();
                work.spawn(async move {
                    let verdict = this.take_announcement(from, &bytes).await;
                    this.report(id, from, verdict);
                });
            }
            SwarmNews::Announcement { id, from, .. } => self.report(id, from, Verdict::Ignore),
        }
    }

    fn announce(&self, bytes: Bytes) {
        if let Err(error) = self.swarm.announce(bytes) {
            tracing::debug!(%error, "not announced; the comparison of catalogs will bring it");
        }
    }

    /// Asks a peer for what it has and this node has not.
    fn meet(&self, peer: PeerId, work: &mut JoinSet<()>, comparisons: &Arc<Semaphore>) {
        work.spawn(self.clone().compare(peer, Arc::clone(comparisons)));
        for database in self.intake.databases().iter() {
            work.spawn(self.clone().ask_state(peer, Arc::clone(database)));
        }
    }

    fn report(&self, id: AnnouncementId, from: PeerId, verdict: Verdict) {
        // Without a report the message goes no further and is forgotten: the same as to ignore it.
        if let Err(error) = self.swarm.report(id, from, verdict) {
            tracing::debug!(%error, "verdict not reported");
        }
    }

    async fn take_announcement(&self, from: PeerId, bytes: &[u8]) -> Verdict {
        let envelope = match Announcement::decode(bytes) {
            Ok(Announcement::Envelope(envelope)) => Bytes::from(envelope),
            Ok(Announcement::Id(id)) => match self.fetcher.envelope(from, id).await {
                Ok(Some(envelope)) => envelope,
                _ => return Verdict::Ignore,
            },
            Ok(Announcement::Sumdb { database, state }) => {
                let known = self.intake.databases().iter().find(|known| known.id() == database);
                return match known {
                    Some(known) => self.take_state(from, known, state).await,
                    None => Verdict::Ignore,
                };
            }
            Err(error) => {
                tracing::warn!(peer = %from, %error, "announcement refused");
                return Verdict::Reject;
            }
        };
        self.take(from, envelope).await
    }

    /// Asks a peer which state of a database it has, and takes that if it is news.
    async fn ask_state(self, peer: PeerId, database: Arc<Database>) {
        match self.fetcher.sumdb_state(peer, &database.id()).await {
            Ok(Some(state)) => {
                self.take_state(peer, &database, state).await;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%peer, %error, "its state of a checksum database is not known"),
        }
    }

    async fn take_state(&self, from: PeerId, database: &Database, state: StateId) -> Verdict {
        match database.offered(&self.fetcher, from, state).await {
            Offered::Taken => Verdict::Accept,
            Offered::Known | Offered::NotNow => Verdict::Ignore,
            Offered::Refused => Verdict::Reject,
        }
    }

    /// Takes a manifest through the door into the catalog.
    async fn take(&self, from: PeerId, envelope: Bytes) -> Verdict {
        let manifest = match VerifiedManifest::check(envelope, self.intake.trust()) {
            Ok(manifest) => manifest,
            Err(error) if error.is_fault() => {
                self.fetcher.blame(from, &error);
                return Verdict::Reject;
            }
            Err(error) => {
                tracing::debug!(peer = %from, %error, "manifest ignored");
                return Verdict::Ignore;
            }
        };
        let module = manifest.manifest().module.clone();
        match self.intake.accept(manifest).await {
            Ok(Accepted::New) => {
                tracing::debug!(%module, peer = %from, "manifest accepted");
                Verdict::Accept
            }
            Ok(_) => Verdict::Ignore,
            Err(SourceError::Forged(error)) => {
                tracing::warn!(peer = %from, error, "manifest refused");
                Verdict::Reject
            }
            Err(error) => {
                tracing::warn!(%module, %error, "manifest not stored");
                Verdict::Ignore
            }
        }
    }

    /// Brings what `peer` has in its catalog and this node has not.
    async fn compare(self, peer: PeerId, comparisons: Arc<Semaphore>) {
        let Ok(_permit) = comparisons.acquire().await else { return };
        let (sink, envelopes) = mpsc::channel(limits::ACCEPT_AT_ONCE);
        let compare = self.fetcher.catalog_sync(peer, self.held.clone(), Arc::default(), sink);
        let envelopes = stream::unfold(envelopes, |mut envelopes| async move {
            envelopes.recv().await.map(|envelope| (envelope, envelopes))
        });
        let taken = envelopes.map(|envelope| self.take(peer, envelope)).buffer_unordered(limits::ACCEPT_AT_ONCE);
        let count = taken.filter(|verdict| std::future::ready(*verdict == Verdict::Accept)).count();
        let (compared, new) = tokio::join!(compare, count);
        if let Err(error) = compared {
            tracing::debug!(%peer, %error, "catalogs not compared to the end");
        }
        if new > 0 {
            tracing::info!(%peer, new, "catalog completed");
        }
    }
}
