//! Whole nodes against peers that lie: what they offer is consistent in itself and still not what it claims.

#![allow(clippy::unwrap_used)]

mod common;

use common::node::{NodeOptions, TestNode};
use common::peer::TestPeer;
use common::{FixtureModule, FixtureProxy, make_module};
use modswarm::domain::blob::BlobId;
use modswarm::domain::dirhash::H1;

fn lib(body: &[u8]) -> FixtureModule {
    make_module("example.com/lib", "v1.0.0", &[("lib.go", body)])
}

const ZIP: &str = "/example.com/lib/@v/v1.0.0.zip";

#[tokio::test(flavor = "multi_thread")]
async fn a_zip_that_does_not_have_the_h1_of_its_manifest_is_not_served_and_the_right_one_takes_its_place() {
    let (right, wrong) = (lib(b"package lib\n"), lib(b"package lib // changed on the way\n"));
    let liar = TestPeer::start().await;
    // The manifest claims the hash of the right zip, and its recipe gives another.
    liar.offer(&wrong, |manifest| manifest.zip.as_mut().unwrap().h1 = H1::of_zip(&right.zip.to_vec()).unwrap());
    let node = TestNode::start(NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, 1).await;
    let got = node.get(ZIP).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("does not have the hash of its manifest"), "{}", got.text());
    assert_eq!(node.status().await.store.zips, 0);

    let upstream = FixtureProxy::start(std::slice::from_ref(&right)).await;
    let seed = TestNode::start(NodeOptions {
        upstream: Some(upstream.url()),
        peers: vec![node.peer_address.clone(), liar.address.clone()],
        ..NodeOptions::default()
    })
    .await;
    assert_eq!(seed.get(ZIP).await.body, right.zip, "a seed that meets the liar first still gets it right");
    let dir = node.stop().await;
    let node = TestNode::start_in(dir, NodeOptions::peer_of(&[&seed])).await;
    node.wait_for(1, 1).await;
    assert_eq!(node.get(ZIP).await.body, right.zip);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zip_with_another_blake3_than_its_manifest_is_not_served() {
    let liar = TestPeer::start().await;
    liar.offer(&lib(b"package lib\n"), |manifest| manifest.zip.as_mut().unwrap().blake3 = [7; 32]);
    let node = TestNode::start(NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, 1).await;
    assert_eq!(node.get(ZIP).await.status, 503);
    assert_eq!(node.status().await.store.zips, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_whose_go_mod_has_another_hash_never_enters_the_catalog() {
    let liar = TestPeer::start().await;
    liar.offer(&lib(b"package lib\n"), |manifest| manifest.go_mod_h1 = H1::from_bytes([1; 32]));
    let honest = make_module("example.com/honest", "v1.0.0", &[("a.go", b"package a\n")]);
    liar.offer(&honest, |_| {});
    let node = TestNode::start(NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, 1).await;
    let got = node.get("/example.com/lib/@v/v1.0.0.mod").await;
    assert_eq!(got.status, 503, "a forgery is no miss: {}", got.text());
    assert!(got.text().contains("its go.mod does not have the hash it claims"), "{}", got.text());
    assert_eq!(node.get("/example.com/lib/@v/list").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_that_promises_more_bytes_than_its_manifest_is_refused() {
    let liar = TestPeer::start().await;
    liar.offer(&lib(b"package lib\n"), |manifest| manifest.zip.as_mut().unwrap().len += 1);
    let node = TestNode::start(NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, 1).await;
    let got = node.get(ZIP).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("recipe"), "{}", got.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_that_nobody_can_fill_does_not_keep_a_seed_from_fetching_the_version() {
    let module = lib(b"package lib\n");
    let liar = TestPeer::start().await;
    liar.offer(&module, |manifest| manifest.zip.as_mut().unwrap().pages = vec![BlobId::of(b"a page that is nowhere")]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let options = NodeOptions { peers: vec![liar.address.clone()], ..NodeOptions::seed(&upstream.url()) };
    let seed = TestNode::start(options).await;
    seed.wait_for(1, 1).await;
    let got = seed.get(ZIP).await;
    assert_eq!((got.status, got.body), (200, module.zip.clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peers_manifest_that_differs_in_its_info_only_is_completed_from_the_upstream() {
    let module = lib(b"package lib\n");
    let peer = TestPeer::start().await;
    peer.offer(&module, |manifest| manifest.info = br#"{"Version":"v1.0.0","Origin":{"VCS":"git"}}"#.to_vec());
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let options = NodeOptions { peers: vec![peer.address.clone()], ..NodeOptions::seed(&upstream.url()) };
    let seed = TestNode::start(options).await;
    seed.wait_for(1, 1).await;
    drop(peer);
    seed.wait_until(|status| status.peers.is_empty()).await;
    let got = seed.get(ZIP).await;
    assert_eq!((got.status, got.body), (200, module.zip.clone()));
    assert_eq!(seed.status().await.store.versions, 1);
}
