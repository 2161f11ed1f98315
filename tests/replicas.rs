//! What one node brings in, a few others hold soon, without anybody asking.

#![allow(clippy::unwrap_used)]

mod common;

use common::node::{NodeOptions, TestNode};
use common::proxy::FixtureProxy;
use common::{make_module, noise};

#[tokio::test(flavor = "multi_thread")]
async fn on_a_small_site_every_version_outlives_the_node_that_brought_it() {
    let modules: Vec<_> = (0..4)
        .map(|n| make_module("example.com/lib", &format!("v1.{n}.0"), &[("data.bin", &noise(200_000, n))]))
        .collect();
    let upstream = FixtureProxy::start(&modules).await;
    let seed = TestNode::start(NodeOptions { replicas: 3, ..NodeOptions::seed(&upstream.url()) }).await;
    let nodes = [
        TestNode::start(NodeOptions { replicas: 3, ..NodeOptions::peer_of(&[&seed]) }).await,
        TestNode::start(NodeOptions { replicas: 3, ..NodeOptions::peer_of(&[&seed]) }).await,
    ];
    for module in &modules {
        assert_eq!(seed.get(&format!("/example.com/lib/@v/{}.zip", module.version)).await.status, 200);
    }
    for node in &nodes {
        node.wait_until(|status| status.store.zips == modules.len() as u64).await;
    }
    drop(upstream);
    seed.stop().await;
    for node in &nodes {
        for module in &modules {
            let got = node.get(&format!("/example.com/lib/@v/{}.zip", module.version)).await;
            assert!(got.status == 200 && got.body == module.zip, "{} {}", module.version, got.status);
        }
        assert_eq!(node.get("/example.com/lib/@v/list").await.text(), "v1.0.0\nv1.1.0\nv1.2.0\nv1.3.0\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_told_to_hold_nothing_by_itself_does_not() {
    let module = make_module("example.com/lib", "v1.0.0", &[("data.bin", &noise(200_000, 1))]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let seed = TestNode::start(NodeOptions { replicas: 3, ..NodeOptions::seed(&upstream.url()) }).await;
    let idle = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    let node = TestNode::start(NodeOptions { replicas: 3, ..NodeOptions::peer_of(&[&seed]) }).await;
    assert_eq!(seed.get("/example.com/lib/@v/v1.0.0.zip").await.status, 200);
    // Both hear of it in the same way; when the one has it, the other would.
    node.wait_until(|status| status.store.zips == 1).await;
    idle.wait_for(1, 1).await;
    assert_eq!(idle.status().await.store.zips, 0);
}
