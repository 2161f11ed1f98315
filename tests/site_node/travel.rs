//! Published modules on their way through a site, and the nodes that do not know their publisher.

use modswarm::domain::manifest::{Manifest, Proof};
use modswarm::domain::note::Signer;
use modswarm::domain::publication::Publication;

use super::common::node::{NodeOptions, TestNode};
use super::common::peer::TestPeer;
use super::common::{FixtureProxy, make_module};
use super::{PREFIX, assert_serves, file, lib, policy, publish, request, stranger, submit, team, with_policy};

fn signed(by: Signer) -> impl FnOnce(&Manifest) -> Proof {
    move |manifest| Proof::Published(Publication::of(manifest).unwrap().sign(&by).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_publishes_all_nodes_of_the_policy_serve() {
    let first = TestNode::start(with_policy(NodeOptions::default())).await;
    let early = TestNode::start(with_policy(NodeOptions::peer_of(&[&first]))).await;
    early.wait_for(1, 0).await;
    let modules = [lib("v1.0.0", "package lib\n"), lib("v1.1.0", "package lib // better\n")];
    for module in &modules {
        publish(&first, module).await;
    }
    // This one hears of it by gossip, the next one by comparing catalogs, and from it alone.
    early.wait_for(1, 2).await;
    for module in &modules {
        assert_serves(&early, module).await;
    }
    first.stop().await;
    let late = TestNode::start(with_policy(NodeOptions::peer_of(&[&early]))).await;
    late.wait_for(1, 2).await;
    for module in &modules {
        assert_serves(&late, module).await;
    }
    assert_eq!(late.get(&format!("/{PREFIX}/lib/@v/list")).await.text(), "v1.0.0\nv1.1.0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_policy_neither_takes_nor_passes_on_and_bans_nobody() {
    let public = make_module("example.com/public", "v1.0.0", &[("a.go", b"package a\n")]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&public)).await;
    let inside = TestNode::start(with_policy(NodeOptions::seed(&upstream.url()))).await;
    // More of them than it takes faults for a ban; some before the two meet, one behind.
    let early: Vec<_> = (0..4).map(|n| lib(&format!("v1.{n}.0"), "package lib\n")).collect();
    for module in &early {
        publish(&inside, module).await;
    }
    let open = TestNode::start(NodeOptions::peer_of(&[&inside])).await;
    let behind = TestNode::start(with_policy(NodeOptions::peer_of(&[&open]))).await;
    open.wait_for(2, 0).await;
    behind.wait_for(1, 0).await;
    let gossiped = lib("v1.9.0", "package lib // gossiped\n");
    publish(&inside, &gossiped).await;
    assert_eq!(inside.get(&file(&public, ".zip")).await.status, 200);
    // The public one comes through, behind all the others.
    open.wait_for(2, 1).await;
    assert_serves(&open, &public).await;
    behind.wait_for(1, 1).await;
    assert_serves(&behind, &public).await;
    for module in early.iter().chain([&gossiped]) {
        let got = open.get(&file(module, ".info")).await;
        assert_eq!(got.status, 403, "{}", got.text());
        assert!(got.text().contains("no prefix in the site file of this node covers it"), "{}", got.text());
        let got = behind.get(&file(module, ".info")).await.status;
        // Neighbours tell each other of neighbours: the two that have the policy may have met, past the one that has not.
        assert!(got == 404 || has_met(&behind, &inside).await, "{got}");
    }
    let status = open.status().await;
    assert_eq!((status.store.versions, status.peers.len()), (1, 2), "it takes none of them and bans nobody");
    assert!(behind.status().await.store.versions == 1 || has_met(&behind, &inside).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_signature_is_refused_and_a_forged_one_is_counted() {
    let peer = TestPeer::start().await;
    for n in 0..4 {
        peer.offer_proven(&lib(&format!("v1.{n}.0"), "package lib // bad\n"), signed(stranger()));
    }
    let good = lib("v0.9.0", "package lib\n");
    peer.offer_proven(&good, signed(team()));
    let options = || NodeOptions { peers: vec![peer.address.clone()], publishers: policy(), ..NodeOptions::default() };
    let node = TestNode::start(options()).await;
    // It takes what is good from a peer that has more than it believes.
    node.wait_for(1, 1).await;
    assert_serves(&node, &good).await;
    let got = node.get(&file(&lib("v1.0.0", ""), ".zip")).await;
    assert_eq!(got.status, 403);
    let said = got.text();
    assert!(said.contains("signed by none of the keys") && said.contains(&format!("the prefix {PREFIX}")), "{said}");
    assert_eq!(node.status().await.store.versions, 1);

    // In the team's name, for something that the team has not signed.
    for n in 0..2 {
        let module = lib(&format!("v1.9.{n}"), "package lib // forged\n");
        peer.offer_proven(&module, |manifest| {
            let other = Publication { zip_len: 1, ..Publication::of(manifest).unwrap() };
            Proof::Published(other.sign(&team()).unwrap())
        });
        let got = node.get(&file(&module, ".zip")).await;
        assert_eq!(got.status, 503, "{}", got.text());
        assert!(got.text().contains("the publication is of another zip"), "{}", got.text());
    }
    node.wait_until(|status| status.peers.is_empty()).await;
    assert_eq!(node.status().await.store.versions, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_publishers_of_one_version_each_node_keeps_the_first() {
    let (mine, yours) = (lib("v1.0.0", "package lib // mine\n"), lib("v1.0.0", "package lib // yours\n"));
    let (a, b) = (
        TestNode::start(with_policy(NodeOptions::default())).await,
        TestNode::start(with_policy(NodeOptions::default())).await,
    );
    publish(&a, &mine).await;
    publish(&b, &yours).await;
    let marker = lib("v1.0.1", "package lib\n");
    let both = TestNode::start(with_policy(NodeOptions::peer_of(&[&a]))).await;
    both.wait_for(1, 1).await;
    // The second one knows another v1.0.0; what it has besides is taken.
    let late = TestNode::start_in(both.stop().await, with_policy(NodeOptions::peer_of(&[&a, &b]))).await;
    late.wait_for(2, 1).await;
    publish(&b, &marker).await;
    late.wait_for(2, 2).await;
    assert_serves(&late, &mine).await;
    let (status, said) = submit(&late, &request(&yours, &team()), &yours.zip).await;
    assert!(status == 409 && said.contains("published already with other content"), "{said}");
    assert_serves(&b, &yours).await;
    assert_serves(&a, &mine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_sets_aside_and_the_old_one_brings_back() {
    let keeper = TestNode::start(with_policy(NodeOptions::default())).await;
    let module = lib("v1.0.0", "package lib\n");
    publish(&keeper, &module).await;
    let node = TestNode::start(with_policy(NodeOptions::peer_of(&[&keeper]))).await;
    node.wait_for(1, 1).await;
    assert_serves(&node, &module).await;
    // No policy any more: not even what is held is served.
    let open = TestNode::start_in(node.stop().await, NodeOptions::default()).await;
    assert_eq!(open.get(&file(&module, ".zip")).await.status, 404);
    assert_eq!(open.status().await.store.versions, 0);
    // With the policy, it comes in again from a peer that has it...
    let again = TestNode::start_in(open.stop().await, with_policy(NodeOptions::peer_of(&[&keeper]))).await;
    again.wait_for(1, 1).await;
    assert_serves(&again, &module).await;
    // ...or from its publisher.
    let open = TestNode::start_in(again.stop().await, NodeOptions::default()).await;
    assert_eq!(open.status().await.store.versions, 0);
    let alone = TestNode::start_in(open.stop().await, with_policy(NodeOptions::default())).await;
    publish(&alone, &module).await;
    assert_serves(&alone, &module).await;
}

async fn has_met(node: &TestNode, other: &TestNode) -> bool {
    let other = other.status().await.peer_id;
    node.status().await.peers.iter().any(|peer| peer.id == other)
}
