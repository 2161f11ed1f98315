//! The catalog's way through a site of real nodes: floods, much news at once, what nobody takes, and what is far away.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::node::{NodeOptions, TestNode, WATCHDOG};
use common::peer::{Announcement, TestPeer};
use common::proxy::FixtureProxy;
use common::{FixtureModule, make_module, noise};
use modswarm::domain::codec;
use modswarm::domain::manifest::{ManifestId, Proof};
use modswarm::domain::note::Signer;
use modswarm::domain::publication::Publication;

fn module(path: &str, minor: usize) -> FixtureModule {
    make_module(path, &format!("v1.{minor}.0"), &[("data.bin", &noise(3000, minor as u64))])
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_a_node_with_announcements_is_shown_the_door_and_the_others_are_served() {
    let node = TestNode::start(NodeOptions::default()).await;
    let flooder = TestPeer::start_with(&[&node.peer_address]).await;
    let honest = TestPeer::start_with(&[&node.peer_address]).await;
    node.wait_until(|status| status.peers.len() == 2).await;
    flooder.announce(&Announcement::Id(ManifestId::of(b"first"))).await;
    let flood = async {
        let mut connected = flooder.swarm.connected();
        for n in 0_u64.. {
            if connected.borrow_and_update().is_empty() {
                return;
            }
            let id = Announcement::Id(ManifestId::of(&n.to_le_bytes()));
            if flooder.swarm.announce(codec::encode(&id).into()).is_err() {
                // Its own queue is full: it says as much as it can.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    tokio::time::timeout(WATCHDOG, flood).await.expect("the flood goes on");
    node.wait_until(|status| status.peers.iter().all(|peer| peer.id == honest.id.to_string())).await;
    honest.offer(&module("example.com/lib", 0), |_| {});
    honest.announce_changed().await;
    node.wait_for(1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_brings_in_much_at_once_keeps_its_neighbours_and_they_get_all_of_it() {
    let modules: Vec<_> = (0..300).map(|n| module("example.com/many", n)).collect();
    let upstream = FixtureProxy::start(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    let far = TestNode::start(NodeOptions::peer_of(&[&node])).await;
    node.wait_until(|status| status.peers.len() == 2).await;
    for some in modules.chunks(20) {
        let gets = some.iter().map(|module| {
            let path = format!("/example.com/many/@v/{}.mod", module.version);
            let seed = &seed;
            async move { assert_eq!(seed.get(&path).await.status, 200) }
        });
        futures::future::join_all(gets).await;
    }
    node.wait_for(2, 300).await;
    far.wait_for(1, 300).await;
    let known = node.status().await.peer_id;
    assert!(seed.status().await.peers.iter().any(|peer| peer.id == known), "nobody is banned for having much to say");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_own_policy_does_not_let_in_is_fetched_once() {
    let peer = TestPeer::start().await;
    let signer = Signer::from_secret("stranger", [7; 32]).unwrap();
    for minor in 0..5 {
        peer.offer_proven(&module("corp.example/lib", minor), |manifest| {
            Proof::Published(Publication::of(manifest).unwrap().sign(&signer).unwrap())
        });
    }
    peer.offer(&module("example.com/lib", 0), |_| {});
    let node = TestNode::start(NodeOptions { peers: vec![peer.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, 1).await;
    assert_eq!(peer.envelopes_asked(), 6);
    for minor in 1..3 {
        peer.offer(&module("example.com/lib", minor), |_| {});
        peer.announce_changed().await;
        node.wait_for(1, minor as u64 + 1).await;
        assert_eq!(peer.envelopes_asked(), 6 + minor, "only what is new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_node_at_the_other_end_of_the_site_holds_is_obtained() {
    let library = make_module("example.com/lib", "v1.0.0", &[("data.bin", &noise(300_000, 1))]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&library)).await;
    // C is the seed; B sees A and C; A and C do not see each other.
    let c = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(c.get("/example.com/lib/@v/v1.0.0.zip").await.status, 200);
    drop(upstream);
    let b = TestNode::start(NodeOptions::peer_of(&[&c])).await;
    b.wait_for(1, 1).await;
    let a = TestNode::start(NodeOptions::peer_of(&[&b])).await;
    a.wait_for(1, 1).await;
    let got = async {
        // Gossip needs a moment until all have subscribed to each other, and nothing tells of that from outside.
        loop {
            let got = a.get("/example.com/lib/@v/v1.0.0.zip").await;
            if got.status == 200 {
                return got;
            }
        }
    };
    let got = tokio::time::timeout(WATCHDOG, got).await.expect("it is never obtained");
    assert!(got.body == library.zip);
    assert_eq!(b.status().await.store.zips, 0, "not by the way of the one in the middle");
    a.wait_until(|status| status.peers.len() == 2).await;
}
