//! The catalog's way through the site: announcements by gossip, and what gossip missed by comparing catalogs.
//!
//! Gossip is a doorbell: it forgets after seconds and drops what is too much. So every connection begins with a comparison
//! of catalogs, and one is repeated with a random neighbour every [`limits::RECONCILE_EVERY`]. A manifest that arrives either
//! way goes through the door into the store; its blobs are fetched when somebody asks for them.
//!
//! * *Nobody can flood a site.* Announcements are counted for each neighbour before anything is done for them, and for all
//!   of them together, which bounds what is passed on. What is too much is ignored; what no honest neighbour can send
//!   is a fault.
//! * *Who has much to say says that there is much.* A seed that brings in thousands of versions announces some of them, and then
//!   that its catalog has changed; the neighbours compare, and say the same to theirs.
//! * *What is sought far away is found* by [`Seeker`]: a holder that is no neighbour connects.
//!
//! The states of checksum databases go the same two ways: announced by the seed that made one, and asked for with each
//! comparison. Whether a state is believed is for [`Database::offered`] to say.
//!
//! So do the orders of a closed site ([`SiteOrders`]).

mod announcement;
mod flood;
mod held;
mod left_out;
pub mod limits;
mod meetings;
mod members;
mod orders;
mod replicas;
mod seek;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use libp2p::PeerId;
use rand::seq::IteratorRandom as _;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::domain::blob::BlobId;
use crate::domain::digest;
use crate::domain::manifest::{Envelope, ManifestId};
use crate::domain::sumdb::state::StateId;
use crate::mirror::Intake;
use crate::mirror::databases::{Database, Offered, StateNews};
use crate::mirror::source::SourceError;
use crate::store::Accepted;
use crate::swarm::{AnnouncementId, SwarmHandle, SwarmNews, Verdict};
use crate::transfer::Fetcher;
use crate::verified::VerifiedManifest;
use announcement::Announcement;
use flood::{Admission, Bucket, Heard};
pub use held::StoreHeld;
use left_out::LeftOut;
use meetings::Meetings;
pub use members::Members;
pub use orders::{Keep, OrdersError, SiteOrders};
pub use replicas::Replicas;
pub use seek::Seeker;
use seek::{Answering, Sought};

/// The catalog's traffic.
#[derive(Clone)]
pub struct Sync {
    swarm: SwarmHandle,
    fetcher: Fetcher,
    held: Arc<StoreHeld>,
    intake: Intake,
    /// The orders of the site.
    orders: Arc<SiteOrders>,
    answering: Answering,
    left_out: Arc<Mutex<LeftOut>>,
    /// Whether the neighbours are to be told that the catalog has changed.
    changed: Arc<Notify>,
}

/// What only the loop knows.
struct Now {
    work: JoinSet<()>,
    comparisons: Arc<Semaphore>,
    heard: Heard,
    meetings: Meetings,
    own: Bucket,
}

impl Sync {
    /// Over `swarm`, asking peers with `fetcher`; `held` is this node's catalog, to compare others with, and `intake` the way
    /// into it.
    #[must_use]
    pub fn new(
        swarm: SwarmHandle,
        fetcher: Fetcher,
        held: Arc<StoreHeld>,
        intake: Intake,
        orders: Arc<SiteOrders>,
    ) -> Self {
        let answering = Answering::new(swarm.clone(), intake.clone());
        Self { swarm, fetcher, held, intake, orders, answering, left_out: Arc::default(), changed: Arc::default() }
    }

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
        let closed = self.orders.membership().site().is_some();
        let mut orders = self.orders.membership().order_changes();
        let begin = std::time::Instant::now();
        let mut now = Now {
            work: JoinSet::new(),
            comparisons: Arc::new(Semaphore::new(limits::COMPARISONS)),
            heard: Heard::new(begin),
            meetings: Meetings::default(),
            own: Bucket::new(limits::OWN_BURST, limits::OWN_RATE, begin),
        };
        let tell_changes = self.clone().tell_changes();
        now.work.spawn(tell_changes);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(manifest) = own.recv() => {
                    if now.own.take(std::time::Instant::now()) {
                        self.announce(Announcement::of(&manifest));
                    } else {
                        self.changed.notify_one();
                    }
                }
                Some((database, state)) = states.recv() => self.announce(Announcement::of_state(database, state)),
                Ok(()) = orders.changed(), if closed => {
                    let current = orders.borrow_and_update().clone();
                    self.announce(Announcement::of_orders(current.orders.serial, &current.signed));
                }
                Some(event) = news.recv() => self.on_news(event, &mut now),
                _ = every.tick() => {
                    let neighbour = self.swarm.peers().iter().map(|peer| peer.id).choose(&mut rand::rng());
                    if let Some(peer) = neighbour {
                        self.meet(peer, Duration::ZERO, &mut now);
                    }
                }
                Some(_) = now.work.join_next() => {}
            }
        }
        now.work.shutdown().await;
    }

    /// Says that the catalog has changed when it has, and not all the time.
    async fn tell_changes(self) {
        loop {
            self.changed.notified().await;
            let sum = digest::sum(&self.intake.store().catalog_digests());
            self.announce(Announcement::Changed { sum }.encode());
            tokio::time::sleep(limits::CHANGED_EVERY).await;
        }
    }

    fn on_news(&self, event: SwarmNews, now: &mut Now) {
        match event {
            SwarmNews::Connected(peer) => {
                tracing::info!(%peer, "peer connected");
                let first = self.swarm.local_peer_id() < peer;
                self.meet(peer, if first { Duration::ZERO } else { limits::MEET_GRACE }, now);
            }
            SwarmNews::Disconnected(peer) => {
                tracing::info!(%peer, "peer disconnected");
                now.heard.gone(&peer);
                now.meetings.gone(&peer);
            }
            SwarmNews::Subscribed(_) => {}
            SwarmNews::Announcement { id, from, bytes } => match now.heard.admit(from, std::time::Instant::now()) {
                Admission::Take if now.work.len() < places(&bytes) => self.on_announcement(id, from, &bytes, now),
                Admission::Take | Admission::Ignore => self.report(id, from, Verdict::Ignore),
                Admission::Flood => {
                    let ignored = now.heard.ignored();
                    tracing::warn!(peer = %from, ignored, "peer floods this node with announcements");
                    self.fetcher.blame(from, &"it floods this node with announcements");
                    self.report(id, from, Verdict::Ignore);
                }
            },
        }
    }

    /// An announcement that is to be looked at: what takes time becomes a task.
    fn on_announcement(&self, id: AnnouncementId, from: PeerId, bytes: &Bytes, now: &mut Now) {
        let verdict = match Announcement::decode(bytes) {
            Ok(Announcement::Changed { sum }) => {
                if sum != digest::sum(&self.intake.store().catalog_digests())
                    && let Some(wait) = now.meetings.arrange(from, Duration::ZERO, std::time::Instant::now())
                {
                    now.work.spawn(self.clone().compare(from, wait, Arc::clone(&now.comparisons)));
                }
                // Who has caught up says so to its own neighbours.
                Verdict::Ignore
            }
            Ok(Announcement::Seek { id, seeker, addresses, .. }) => match Sought::read(id, &seeker, addresses) {
                Some(sought) => {
                    let (verdict, answer) = self.answering.heard(sought);
                    answer.into_iter().for_each(|answer| drop(now.work.spawn(answer)));
                    verdict
                }
                None => Verdict::Reject,
            },
            Ok(Announcement::Answer { id, seeker, .. }) => self.answering.answered(&seek::wanted(&id, &seeker)),
            Ok(announcement) => {
                let this = self.clone();
                now.work.spawn(async move {
                    let verdict = this.take_announcement(from, announcement).await;
                    this.report(id, from, verdict);
                });
                return;
            }
            Err(error) => {
                tracing::warn!(peer = %from, %error, "announcement refused");
                Verdict::Reject
            }
        };
        self.report(id, from, verdict);
    }

    fn announce(&self, bytes: Bytes) {
        if let Err(error) = self.swarm.announce(bytes) {
            tracing::debug!(%error, "not announced; the comparison of catalogs will bring it");
        }
    }

    /// Asks a peer for what it has and this node has not.
    fn meet(&self, peer: PeerId, wait: Duration, now: &mut Now) {
        if let Some(wait) = now.meetings.arrange(peer, wait, std::time::Instant::now()) {
            now.work.spawn(self.clone().compare(peer, wait, Arc::clone(&now.comparisons)));
        }
        for database in self.intake.databases().iter() {
            now.work.spawn(self.clone().ask_state(peer, Arc::clone(database)));
        }
        if self.orders.membership().site().is_some() {
            let (this, known) = (self.clone(), self.orders.membership().orders().orders.serial);
            now.work.spawn(async move {
                this.take_orders(peer, known).await;
            });
        }
    }

    fn report(&self, id: AnnouncementId, from: PeerId, verdict: Verdict) {
        // Without a report the message goes no further and is forgotten: the same as to ignore it.
        if let Err(error) = self.swarm.report(id, from, verdict) {
            tracing::debug!(%error, "verdict not reported");
        }
    }

    async fn take_announcement(&self, from: PeerId, announcement: Announcement) -> Verdict {
        let envelope = match announcement {
            Announcement::Envelope(envelope) => Bytes::from(envelope),
            Announcement::Id(id) if self.is_left_out(&id) => return Verdict::Ignore,
            Announcement::Id(id) => match self.fetcher.envelope(from, id).await {
                Ok(Some(envelope)) => envelope,
                _ => return Verdict::Ignore,
            },
            Announcement::Sumdb { database, state } => {
                let known = self.intake.databases().iter().find(|known| known.id() == database);
                return match known {
                    Some(known) => self.take_state(from, known, state).await,
                    None => Verdict::Ignore,
                };
            }
            Announcement::Orders { serial, .. } => {
                let known = self.orders.membership().orders().orders.serial;
                // Equal serials: of two orders that were made at the same time all nodes follow the same one.
                let ask = serial >= known && self.orders.membership().site().is_some();
                return if ask { self.take_orders(from, serial.saturating_sub(1)).await } else { Verdict::Ignore };
            }
            _ => return Verdict::Ignore,
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

    /// Asks a peer for orders newer than these, and follows them if they are newer than those that count.
    async fn take_orders(&self, from: PeerId, newer_than: u64) -> Verdict {
        let signed = match self.fetcher.orders(from, newer_than).await {
            Ok(Some(signed)) => signed,
            Ok(None) => return Verdict::Ignore,
            Err(error) => {
                tracing::debug!(peer = %from, %error, "its orders are not known");
                return Verdict::Ignore;
            }
        };
        match self.orders.take(signed).await {
            Ok(_) => Verdict::Accept,
            Err(OrdersError::Invalid(error)) => {
                self.fetcher.blame(from, &error);
                Verdict::Reject
            }
            Err(OrdersError::Old { .. } | OrdersError::Open) => Verdict::Ignore,
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
        let manifest = match VerifiedManifest::check(envelope.clone(), self.intake.trust()) {
            Ok(manifest) => manifest,
            Err(error) if error.is_fault() => {
                self.fetcher.blame(from, &error);
                return Verdict::Reject;
            }
            Err(error) => {
                tracing::debug!(peer = %from, %error, "manifest ignored");
                if let Ok(envelope) = Envelope::decode(&envelope) {
                    self.leave_out(BlobId::of(&envelope.manifest));
                }
                return Verdict::Ignore;
            }
        };
        let (id, module) = (manifest.id(), manifest.manifest().module.clone());
        if self.intake.blocks().has(&module) {
            tracing::debug!(%module, peer = %from, "the site's orders block it");
            return Verdict::Ignore;
        }
        match self.intake.accept(manifest).await {
            Ok(Accepted::New) => {
                tracing::debug!(%module, peer = %from, "manifest accepted");
                Verdict::Accept
            }
            Ok(accepted) => {
                if let Accepted::Superseded { .. } = accepted {
                    self.leave_out(id);
                }
                Verdict::Ignore
            }
            Err(SourceError::Forged(error)) => {
                self.leave_out(id);
                tracing::warn!(peer = %from, error, "manifest refused");
                Verdict::Reject
            }
            Err(error) => {
                tracing::warn!(%module, %error, "manifest not stored");
                Verdict::Ignore
            }
        }
    }

    /// Brings what `peer` has in its catalog and this node has not, after a while.
    async fn compare(self, peer: PeerId, wait: Duration, comparisons: Arc<Semaphore>) {
        tokio::time::sleep(wait).await;
        let Ok(_permit) = comparisons.acquire().await else { return };
        let (sink, envelopes) = mpsc::channel(limits::ACCEPT_AT_ONCE);
        let left_out = self.left_out().all(&self.rule(), std::time::Instant::now());
        let compare = self.fetcher.catalog_sync(peer, self.held.clone(), left_out, sink);
        let envelopes = stream::unfold(envelopes, |mut envelopes| async move {
            envelopes.recv().await.map(|envelope| (envelope, envelopes))
        });
        let taken = envelopes.map(|envelope| self.take(peer, envelope)).buffer_unordered(limits::ACCEPT_AT_ONCE);
        let count = taken.filter(|verdict| std::future::ready(*verdict == Verdict::Accept)).count();
        let (compared, new) = tokio::join!(compare, count);
        match compared {
            Ok(report) => tracing::debug!(%peer, ?report, "catalogs compared"),
            Err(error) => tracing::debug!(%peer, %error, "catalogs not compared to the end"),
        }
        if new > 0 {
            tracing::info!(%peer, new, "catalog completed");
            self.changed.notify_one();
        }
    }

    /// By which manifests are let in.
    fn rule(&self) -> String {
        self.intake.trust().fingerprint()
    }

    fn left_out(&self) -> MutexGuard<'_, LeftOut> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave_out(&self, id: ManifestId) {
        self.left_out().insert(&self.rule(), id, std::time::Instant::now());
    }

    fn is_left_out(&self, id: &ManifestId) -> bool {
        self.left_out().contains(&self.rule(), id, std::time::Instant::now())
    }
}

/// How much may be in work for this announcement to be looked at.
fn places(announcement: &[u8]) -> usize {
    limits::IN_WORK + if Announcement::is_of_orders(announcement) { limits::ORDERS_IN_WORK } else { 0 }
}
