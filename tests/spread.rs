//! Several nodes want the same large version at the same time.

#![allow(clippy::unwrap_used)]

mod common;

use std::io;
use std::sync::Arc;

use common::node::{NodeOptions, TestNode};
use common::peer::TestPeer;
use common::proxy::FixtureProxy;
use common::{FixtureModule, make_module, noise};
use futures::AsyncWriteExt as _;
use futures::future::join_all;
use libp2p::StreamProtocol;
use modswarm::engine::spread::{Item, Rules};
use modswarm::spread::{self, Holdings, Network};
use modswarm::transfer::{Fetcher, Traffic};

/// Some 6 MB that no compressor makes smaller: 24 slices.
const BYTES: usize = 6 << 20;

const ZIP: &str = "/example.com/large/@v/v1.0.0.zip";

fn large() -> FixtureModule {
    make_module("example.com/large", "v1.0.0", &[("data.bin", &noise(BYTES, 1))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_most_of_it_from_each_other() {
    let module = large();
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(seed.get(ZIP).await.status, 200);
    let mut crowd: Vec<TestNode> = Vec::new();
    for _ in 0..6 {
        let neighbours: Vec<&TestNode> = [&seed].into_iter().chain(&crowd).collect();
        let node = TestNode::start(NodeOptions::peer_of(&neighbours)).await;
        crowd.push(node);
    }
    for node in &crowd {
        node.wait_for(crowd.len(), 1).await;
    }
    let got = join_all(crowd.iter().map(|node| node.get(ZIP))).await;
    for got in got {
        assert!(got.status == 200 && got.body == module.zip, "{} {}", got.status, got.text());
    }
    let sent = seed.status().await.traffic.sent;
    let alone = (crowd.len() * module.zip.len()) as u64;
    assert!(sent >= module.zip.len() as u64, "it came from the seed at least once");
    assert!(sent * 2 < alone, "the seed sent {sent} bytes; {alone} if each had fetched alone");
}

/// Says that it holds whatever it is asked for.
struct Boaster;

impl Holdings for Boaster {
    fn holds(&self, _: &Item) -> io::Result<Option<u64>> {
        Ok(Some(BYTES as u64))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_offers_what_it_does_not_have_keeps_nobody_from_it() {
    let module = large();
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(seed.get(ZIP).await.status, 200);
    let liar = TestPeer::start().await;
    // It has the recipe, so that it is asked for the rest, and none of the rest.
    let pages = liar.manifest_of(&module, |_| false).zip.unwrap().pages;
    let swarm = &liar.swarm;
    let network = Network {
        control: swarm.stream_control(),
        connected: swarm.connected(),
        fetcher: Fetcher::new(swarm.stream_control(), swarm.connected(), swarm.bans(), Traffic::new()),
        traffic: Traffic::new(),
    };
    spread::start(network, Arc::new(Boaster), Rules::default(), liar.stop.clone()).unwrap();
    let peers = vec![liar.address.clone(), seed.peer_address.clone()];
    let node = TestNode::start(NodeOptions { peers, ..NodeOptions::default() }).await;
    node.wait_for(2, 1).await;
    let got = node.get(ZIP).await;
    assert!(got.status == 200 && got.body == module.zip, "{} {}", got.status, got.text());
    assert!(!pages.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_messages_cannot_be_is_banned() {
    let node = TestNode::start(NodeOptions::default()).await;
    let liar = TestPeer::start_with(&[&node.peer_address]).await;
    node.wait_for(1, 0).await;
    let id = node.status().await.peer_id.parse().unwrap();
    let long = u32::MAX.to_le_bytes();
    let unknown = [1, 0, 0, 0, 200];
    for garbage in [&long[..], &unknown[..]] {
        let protocol = StreamProtocol::new(spread::wire::SPREAD);
        let mut stream = liar.swarm.stream_control().open_stream(id, protocol).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.flush().await.unwrap();
    }
    node.wait_until(|status| status.peers.is_empty()).await;
}
