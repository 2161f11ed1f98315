//! Several nodes want the same large version at the same time.

#![allow(clippy::unwrap_used)]

mod common;

use common::node::{NodeOptions, TestNode};
use common::proxy::FixtureProxy;
use common::{make_module, noise};
use futures::future::join_all;

/// Some 6 MB that no compressor makes smaller: 24 slices.
const BYTES: usize = 6 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_most_of_it_from_each_other() {
    let module = make_module("example.com/large", "v1.0.0", &[("data.bin", &noise(BYTES, 1))]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(seed.get("/example.com/large/@v/v1.0.0.zip").await.status, 200);
    let mut crowd: Vec<TestNode> = Vec::new();
    for _ in 0..6 {
        let neighbours: Vec<&TestNode> = [&seed].into_iter().chain(&crowd).collect();
        let node = TestNode::start(NodeOptions::peer_of(&neighbours)).await;
        crowd.push(node);
    }
    for node in &crowd {
        node.wait_for(crowd.len(), 1).await;
    }
    let got = join_all(crowd.iter().map(|node| node.get("/example.com/large/@v/v1.0.0.zip"))).await;
    for got in got {
        assert!(got.status == 200 && got.body == module.zip, "{} {}", got.status, got.text());
    }
    let sent = seed.status().await.traffic.sent;
    let alone = (crowd.len() * module.zip.len()) as u64;
    assert!(sent >= module.zip.len() as u64, "it came from the seed at least once");
    assert!(sent * 2 < alone, "the seed sent {sent} bytes; {alone} if each had fetched alone");
}
