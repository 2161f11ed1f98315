//! States that a peer offers, and that may not be what they should be.
//!
//! The liar is a node like any other, but somebody has written into its store what it is to say.

use std::collections::BTreeSet;

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use modswarm::domain::blob::BlobId;
use modswarm::domain::note::Signer;
use modswarm::domain::sumdb::SumdbSpec;
use modswarm::mirror::databases::{Databases, Offered};
use modswarm::store::{Store, StoreOptions};
use modswarm::swarm::{self, SwarmConfig, SwarmNews};
use modswarm::transfer::{Fetcher, Traffic};
use modswarm::verified::VerifiedBlob;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Site;
use super::common::node::{NodeOptions, TestNode};
use super::state::Draft;
use super::sumdb::{FixtureDb, NAME};

/// Writes a state into the store of a node that is not running, as what that node has of the database `id`.
async fn write(draft: Draft, dir: &TempDir, id: &str) {
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let mut blobs = Vec::new();
    let state = draft.write(|bytes| {
        let blob = VerifiedBlob::of(bytes.into()).unwrap();
        let id = blob.id();
        blobs.push(blob);
        id
    });
    store.put(blobs).await.unwrap();
    store.set_fact(&format!("sumdb/{id}/state"), 1, Bytes::from(state.encode())).await.unwrap();
    store.close().await.unwrap();
}

/// A node that says `draft`, and a place of its own from which one database looks at that.
struct Bench {
    liar: TestNode,
    peer: PeerId,
    store: Store,
    fetcher: Fetcher,
    databases: Databases,
    stop: CancellationToken,
    _dir: TempDir,
}

impl Bench {
    async fn new(site: &Site, draft: Draft) -> Self {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), StoreOptions::default()).unwrap());
        let id = site.db.read().unwrap().verifier().id().to_string();
        write(draft, &dir, &id).await;
        let liar = TestNode::start_in(dir, NodeOptions::default()).await;
        let own = tempfile::tempdir().unwrap();
        let store = Store::open(own.path(), StoreOptions::default()).unwrap();
        let stop = CancellationToken::new();
        let config = SwarmConfig {
            identity: Keypair::generate_ed25519(),
            listen: vec![],
            peers: vec![liar.peer_address.parse().unwrap()],
            mdns: false,
            beacon: None,
            remember: None,
        };
        let (swarm, mut news, _) = swarm::start(config, stop.clone()).await.unwrap();
        let fetcher = Fetcher::new(swarm.stream_control(), swarm.connected(), swarm.bans(), Traffic::new());
        let peer = loop {
            if let SwarmNews::Connected(peer) = news.recv().await.unwrap() {
                break peer;
            }
        };
        let spec = SumdbSpec::parse(&site.key()).unwrap();
        let databases = Databases::open(&[spec], &store, None, &mpsc::channel(1).0).await.unwrap();
        Self { liar, peer, store, fetcher, databases, stop, _dir: own }
    }

    /// What becomes of the state that the peer says it has.
    async fn offered(&self) -> Offered {
        let database = self.databases.iter().next().unwrap();
        let state = self.fetcher.sumdb_state(self.peer, &database.id()).await.unwrap().unwrap();
        database.offered(&self.fetcher, self.peer, state).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.liar.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_holds_together_is_taken_from_anybody_and_only_once() {
    let site = Site::start().await;
    let draft = Draft::of(&site.db.read().unwrap());
    let places: Vec<String> = draft.tiles.iter().map(|(tile, _)| tile.to_string()).collect();
    assert_eq!(places, ["tile/8/0/000", "tile/8/0/001", "tile/8/0/002.p/91", "tile/8/1/000.p/2"]);
    let tiles: Vec<BlobId> = draft.tiles.iter().map(|(_, data)| BlobId::of(data)).collect();
    let bench = Bench::new(&site, draft).await;
    assert_eq!(bench.offered().await, Offered::Taken);
    assert_eq!(bench.offered().await, Offered::Known);
    assert_eq!(bench.store.missing(&tiles).unwrap(), []);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_with_a_lie_in_it_is_refused_and_its_sender_blamed() {
    let site = Site::start().await;
    let stranger = FixtureDb::signed_by(Signer::from_secret(NAME, [9; 32]).unwrap());
    let lies = Draft::lies(&site.db.read().unwrap(), &stranger);
    for (what, draft) in lies {
        let forged: BTreeSet<BlobId> = draft.tiles.iter().map(|(_, data)| BlobId::of(data)).collect();
        let forged: Vec<BlobId> = forged.into_iter().collect();
        let bench = Bench::new(&site, draft).await;
        assert_eq!(bench.offered().await, Offered::Refused, "{what}");
        assert!(!bench.fetcher.is_banned(&bench.peer), "{what}: once may be a mistake");
        assert_eq!(bench.offered().await, Offered::Refused, "{what}");
        assert!(bench.fetcher.is_banned(&bench.peer), "{what}: twice is none");
        assert_eq!(bench.store.missing(&forged).unwrap(), forged, "{what}: no tile of it is stored");
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_which_something_is_missing_is_nobodys_lie() {
    let site = Site::start().await;
    let mut draft = Draft::of(&site.db.read().unwrap());
    // Its page names a tile whose blob nobody has.
    draft.lost = Some(BlobId::of(b"lost"));
    let bench = Bench::new(&site, draft).await;
    for _ in 0..3 {
        assert_eq!(bench.offered().await, Offered::NotNow);
    }
    assert!(!bench.fetcher.is_banned(&bench.peer));
    bench.end().await;
}
