//! Closed sites: who gets in, who is put out, and what a site's orders do on all of its nodes.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;

mod blocking;
mod commands;
mod joining;
mod revoking;
mod strangers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use libp2p::identity::Keypair;
use modswarm::admin::{ORDERS_PATH, TOKEN_FILE, TOKEN_HEADER};
use modswarm::domain::membership::{Certificate, DAY, Orders, Roles, Terms, TicketId, TicketSecret};
use modswarm::domain::note::Signer;
use modswarm::domain::site::ClosedSite;
use modswarm::swarm::{self, Current, Membership, SwarmConfig, SwarmHandle, SwarmNews};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use common::node::{NodeOptions, TestNode, WATCHDOG};

/// Within so long a revoked node has to be cut off from nodes that are connected with each other.
pub(crate) const CUT_OFF: Duration = Duration::from_secs(5);

/// The site's key.
pub(crate) fn corp() -> Signer {
    Signer::from_secret("corp", [1; 32]).unwrap()
}

/// Another site of the same name.
pub(crate) fn rival() -> Signer {
    Signer::from_secret("corp", [2; 32]).unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn ticket_id(number: u8) -> TicketId {
    TicketId([number; 16])
}

/// A ticket of a site; each number is another one.
pub(crate) fn ticket(key: &Signer, number: u8, roles: Roles) -> TicketSecret {
    let terms = Terms { not_before: now(), not_after: now() + 365 * DAY, max_days: 30, roles };
    TicketSecret::issue(key, ticket_id(number), [number; 32], &terms).unwrap()
}

/// A node that joins with a ticket of the site.
pub(crate) fn with_ticket(number: u8, options: NodeOptions) -> NodeOptions {
    let ticket = Some(ticket(&corp(), number, Roles::ALL));
    NodeOptions { closed: Some(ClosedSite { key: corp().verifier().clone(), ticket }), ..options }
}

pub(crate) fn peer_id(node: &TestNode) -> PeerId {
    node.node_file().peer_id.parse().unwrap()
}

/// Hands orders to a node; gives status and body of the answer.
pub(crate) async fn give(node: &TestNode, signed: Vec<u8>) -> (u16, String) {
    let token = std::fs::read_to_string(node.data().join(TOKEN_FILE)).unwrap();
    modswarm::upstream::install_crypto();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = client.post(format!("{}{ORDERS_PATH}", node.node_file().http)).header(TOKEN_HEADER, token).body(signed);
    let response = post.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Gives a node orders that it has to follow.
pub(crate) async fn order(node: &TestNode, orders: &Orders) {
    let (status, said) = give(node, orders.sign(&corp()).unwrap()).await;
    assert_eq!((status, said), (200, orders.serial.to_string()));
}

/// Orders that revoke machines.
pub(crate) fn revoking(serial: u64, peers: &[PeerId]) -> Orders {
    let peers: BTreeSet<Vec<u8>> = peers.iter().map(|peer| peer.to_bytes()).collect();
    Orders { serial, peers, ..Orders::default() }
}

/// A network stack without a node, in a site or in none.
pub(crate) struct Bare {
    pub(crate) handle: SwarmHandle,
    pub(crate) address: String,
    pub(crate) id: PeerId,
    _news: mpsc::Receiver<SwarmNews>,
    _stop: DropGuard,
}

impl Bare {
    pub(crate) async fn open(peers: &[&str]) -> Self {
        Self::start(Keypair::generate_ed25519(), Membership::open(), peers).await
    }

    /// A member by a certificate of this key, which counts until then.
    pub(crate) async fn member(key: &Signer, not_after: u64, peers: &[&str]) -> Self {
        let identity = Keypair::generate_ed25519();
        let peer = identity.public().to_peer_id().to_bytes();
        let bytes = Certificate::sign(key, &peer, Roles::ALL, now() - 30 * DAY, not_after);
        let certificate = Certificate::open(&bytes, key.verifier()).unwrap();
        let membership = Membership::closed(key.verifier().clone(), certificate, Current::default(), now);
        Self::start(identity, membership, peers).await
    }

    async fn start(identity: Keypair, membership: Membership, peers: &[&str]) -> Self {
        let stop = CancellationToken::new();
        let config = SwarmConfig {
            identity,
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
            mdns: false,
            beacon: None,
            remember: None,
        };
        let (handle, news, _) = swarm::join(config, Arc::new(membership), stop.clone()).await.unwrap();
        let (address, id) = (handle.listen_addrs()[0].to_string(), handle.local_peer_id());
        Self { handle, address, id, _news: news, _stop: stop.drop_guard() }
    }

    /// Waits until it has this many connected peers.
    pub(crate) async fn connected(&self, count: usize) {
        let mut connected = self.handle.connected();
        let there = tokio::time::timeout(WATCHDOG, connected.wait_for(|peers| peers.len() == count)).await;
        there.expect("never connected as wanted").unwrap();
    }

    /// Waits until it was refused so often, or has refused; gives why.
    pub(crate) async fn refused(&self, times: u64) -> String {
        let mut refusals = self.handle.refusal_changes();
        let often = refusals.wait_for(|all| all.iter().any(|refusal| refusal.times >= times));
        let all = tokio::time::timeout(WATCHDOG, often).await.expect("never refused").unwrap();
        all.iter().find(|refusal| refusal.times >= times).unwrap().why.to_string()
    }
}
