//! How nodes find each other: by the beacon, by what they remember, and by what a neighbour tells. Loopback only.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use modswarm::swarm::{self, BeaconConfig, PeerState, SwarmConfig, SwarmHandle, SwarmNews, Via};
use modswarm::sync::Members;
use modswarm::transfer::Traffic;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The watchdog of every test: far above what any takes, so that it says "hangs" and never "slow".
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), work).await.expect("the test hangs")
}

#[derive(Default)]
struct Options {
    peers: Vec<Multiaddr>,
    beacon: Option<BeaconConfig>,
    remember: Option<PathBuf>,
    identity: Option<Keypair>,
    listen: Option<Multiaddr>,
}

struct Node {
    handle: SwarmHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _news: mpsc::Receiver<SwarmNews>,
}

async fn start(options: Options) -> Node {
    let config = SwarmConfig {
        identity: options.identity.unwrap_or_else(Keypair::generate_ed25519),
        listen: vec![options.listen.unwrap_or_else(|| "/ip4/127.0.0.1/tcp/0".parse().unwrap())],
        peers: options.peers,
        mdns: false,
        beacon: options.beacon,
        remember: options.remember,
    };
    let stop = CancellationToken::new();
    let (handle, news, task) = swarm::start(config, stop.clone()).await.unwrap();
    Members::new(handle.clone(), Traffic::new()).run(stop.clone()).unwrap();
    Node { handle, stop, task, _news: news }
}

impl Node {
    fn id(&self) -> PeerId {
        self.handle.local_peer_id()
    }

    fn address(&self) -> Multiaddr {
        self.handle.listen_addrs()[0].clone().with_p2p(self.id()).unwrap()
    }

    async fn connected_to(&self, peer: PeerId) {
        self.handle.connected().wait_for(|peers| peers.contains(&peer)).await.unwrap();
    }

    /// How the connection with a peer came about at the end that dialled.
    fn via(&self, peer: PeerId) -> Via {
        self.handle.peers().iter().find(|status| status.id == peer).unwrap().via
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A beacon on a port that nobody uses.
fn beacon(site: u8) -> BeaconConfig {
    let free = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    BeaconConfig { port: free.local_addr().unwrap().port(), site: [site; 8], loopback_only: true }
}

#[tokio::test]
async fn nodes_on_one_machine_hear_each_others_beacons_and_connect() {
    within(async {
        let beacon = Some(beacon(0));
        let a = start(Options { beacon, ..Options::default() }).await;
        let b = start(Options { beacon, ..Options::default() }).await;
        a.connected_to(b.id()).await;
        b.connected_to(a.id()).await;
        let vias = [a.via(b.id()), b.via(a.id())];
        assert!(vias.contains(&Via::Lan), "{vias:?}");
        // One that comes later is answered, too.
        let c = start(Options { beacon, ..Options::default() }).await;
        c.connected_to(a.id()).await;
        c.connected_to(b.id()).await;
        let discovery = c.handle.discovery().await.unwrap();
        assert!(discovery.lan.interfaces[0].sent > 0);
        let heard = a.handle.discovery().await.unwrap().lan;
        assert!(heard.interfaces[0].heard > 0 && heard.interfaces[0].last_heard.is_some(), "{heard:?}");
        assert_eq!((discovery.mdns, discovery.seeking, discovery.neighbours), (None, true, 2));
        assert!(discovery.known.iter().all(|known| matches!(known.state, PeerState::Connected { .. })));
    })
    .await;
}

#[tokio::test]
async fn nodes_of_another_site_and_copies_of_a_node_are_heard_and_not_dialled() {
    within(async {
        let ours = beacon(1);
        let theirs = BeaconConfig { site: [2; 8], ..ours };
        let identity = Keypair::generate_ed25519();
        let a = start(Options { beacon: Some(ours), identity: Some(identity.clone()), ..Options::default() }).await;
        let _copy = start(Options { beacon: Some(ours), identity: Some(identity), ..Options::default() }).await;
        let _stranger = start(Options { beacon: Some(theirs), ..Options::default() }).await;
        loop {
            let lan = a.handle.discovery().await.unwrap().lan;
            if lan.copies.len() == 1 && lan.foreign.len() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(a.handle.peers().is_empty());
        assert_eq!(a.handle.discovery().await.unwrap().known, []);
    })
    .await;
}

#[tokio::test]
async fn a_beacon_whose_port_is_taken_does_not_stop_the_node() {
    within(async {
        // Bound without the option to share it.
        let taken = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let beacon = Some(BeaconConfig { port, site: [0; 8], loopback_only: true });
        let a = start(Options { beacon, ..Options::default() }).await;
        let trouble = a.handle.discovery().await.unwrap().lan.trouble.unwrap();
        assert!(trouble.starts_with(&format!("UDP port {port} cannot be used: ")), "{trouble}");
        let b = start(Options { peers: vec![a.address()], ..Options::default() }).await;
        b.connected_to(a.id()).await;
    })
    .await;
}

fn remembered(file: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test]
async fn peers_are_found_again_after_a_restart_by_what_was_remembered() {
    within(async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("peers.json");
        let a = start(Options::default()).await;
        let identity = Keypair::generate_ed25519();
        let first = || Options { remember: Some(file.clone()), identity: Some(identity.clone()), ..Options::default() };
        let b = start(Options { peers: vec![a.address()], ..first() }).await;
        b.connected_to(a.id()).await;
        b.end().await;
        let text = remembered(&file);
        assert_eq!(text["version"], 1);
        assert_eq!(text["peers"][0]["id"], a.id().to_string());
        assert_eq!(text["peers"][0]["addresses"][0], a.handle.listen_addrs()[0].to_string());
        // Nobody tells it of `a` now.
        let b = start(first()).await;
        b.connected_to(a.id()).await;
        assert_eq!(b.via(a.id()), Via::Remembered);
    })
    .await;
}

#[tokio::test]
async fn one_that_was_dialled_remembers_who_dialled_it() {
    within(async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("peers.json");
        let a = start(Options { remember: Some(file.clone()), ..Options::default() }).await;
        let b = start(Options { peers: vec![a.address()], ..Options::default() }).await;
        // Its introduction says on which port it listens.
        let introduced = |peers: &std::sync::Arc<[swarm::PeerStatus]>| peers.iter().any(|peer| !peer.dial.is_empty());
        a.handle.peer_changes().wait_for(introduced).await.unwrap();
        a.end().await;
        assert_eq!(remembered(&file)["peers"][0]["addresses"][0], b.handle.listen_addrs()[0].to_string());
    })
    .await;
}

#[tokio::test]
async fn a_corrupt_file_of_remembered_peers_is_set_aside_and_the_node_runs() {
    within(async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("peers.json");
        std::fs::write(&file, "{\"version\":1,\"peers\":[{").unwrap();
        let a = start(Options { remember: Some(file.clone()), ..Options::default() }).await;
        assert!(!file.exists() && dir.path().join("peers.broken").exists());
        let b = start(Options { peers: vec![a.address()], ..Options::default() }).await;
        b.connected_to(a.id()).await;
    })
    .await;
}

#[tokio::test]
async fn two_that_know_only_a_third_become_neighbours() {
    within(async {
        let b = start(Options::default()).await;
        let a = start(Options { peers: vec![b.address()], ..Options::default() }).await;
        let c = start(Options { peers: vec![b.address()], ..Options::default() }).await;
        a.connected_to(c.id()).await;
        c.connected_to(a.id()).await;
        let vias = [a.via(c.id()), c.via(a.id())];
        assert!(vias.contains(&Via::Hearsay), "{vias:?}");
    })
    .await;
}

#[tokio::test]
async fn why_a_peer_is_not_connected_is_told() {
    within(async {
        let identity = Keypair::generate_ed25519();
        let gone = start(Options { identity: Some(identity.clone()), ..Options::default() }).await;
        let address = gone.address();
        gone.end().await;
        let a = start(Options { peers: vec![address], ..Options::default() }).await;
        loop {
            let known = a.handle.discovery().await.unwrap().known;
            if let Some(reason) = &known[0].reason {
                assert!(reason.contains("refused"), "{reason}");
                assert!(known[0].fixed && known[0].failures > 0);
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
