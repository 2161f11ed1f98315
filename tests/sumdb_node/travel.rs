//! The pinned head and its tiles on their way through a site: from seeds to nodes that never see a database.

use std::sync::{Arc, RwLock};

use modswarm::admin::{Status, TreeLine};
use modswarm::domain::note::Verifier;
use modswarm::domain::sumdb::SignedHead;

use super::client::{assert_proves, empty_client, is_supported, prove};
use super::common::node::{NodeOptions, TestNode};
use super::common::{FixtureModule, FixtureProxy, make_module, process};
use super::sumdb::{FixtureDb, NAME};
use super::{Site, file, mount, record};

/// Waits until a node has pinned the head of so many records.
async fn wait_for_head(node: &TestNode, size: u64, key: &str) {
    let pins = |status: &Status| {
        status.sumdb.iter().filter_map(|line| line.head.as_ref()).any(|head| head.tree.records == size)
    };
    node.wait_until(pins).await;
    assert_eq!(head_of(node, key).await, Some(size), "what the status says is what is answered");
}

async fn head_of(node: &TestNode, key: &str) -> Option<u64> {
    let got = node.get(&format!("/sumdb/{NAME}/latest")).await;
    let head = SignedHead::open(NAME, got.body.to_vec(), &[Verifier::parse(key).unwrap()]);
    (got.status == 200).then(|| head.unwrap().tree().size)
}

async fn seed_all(seed: &TestNode, modules: &[FixtureModule]) {
    for module in modules {
        assert_eq!(seed.get(&file(module, ".zip")).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_saw_the_database_answers_for_it_when_all_others_are_gone() {
    let site = Site::start().await;
    let key = site.key();
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    // This one hears of everything by gossip, the next one comes when all is said.
    let early = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&key)).await;
    early.wait_for(1, 0).await;
    seed_all(&seed, &site.modules).await;
    early.wait_for(1, 3).await;
    assert_proves(&early, &site.modules, &key).await;
    for module in &site.modules {
        assert_eq!(early.get(&file(module, ".zip")).await.body, module.zip);
    }
    let Site { upstream, modules, .. } = site;
    drop(upstream);
    seed.stop().await;
    let late = TestNode::start(NodeOptions::peer_of(&[&early]).proving(&key)).await;
    late.wait_for(1, 3).await;
    for module in &modules {
        assert_eq!(late.get(&file(module, ".zip")).await.body, module.zip);
    }
    assert_proves(&late, &modules, &key).await;
    early.stop().await;
    assert_proves(&late, &modules, &key).await;
    let alone = TestNode::start_in(late.stop().await, NodeOptions::default().proving(&key)).await;
    assert_proves(&alone, &modules, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_seeds_the_highest_head_wins_and_an_older_one_changes_nothing() {
    let site = Site::start().await;
    let key = site.key();
    let [first, second, third] = &site.modules[..] else { panic!("three modules") };
    let early = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    seed_all(&early, std::slice::from_ref(first)).await;
    assert_proves(&early, std::slice::from_ref(first), &key).await;
    let older = head_of(&early, &key).await.unwrap();
    let dir = early.stop().await;

    (0..500).for_each(|n| _ = site.db.write().unwrap().add_filler(30_000 + n));
    let newer = site.db.read().unwrap().size();
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    seed_all(&seed, &[second.clone(), third.clone()]).await;
    wait_for_head(&seed, newer, &key).await;
    let node = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&key)).await;
    wait_for_head(&node, newer, &key).await;

    // A node comes back that has the older head, and a module that nobody else has.
    let back = TestNode::start_in(dir, NodeOptions::peer_of(&[&node, &seed]).proving(&key)).await;
    // The seed shows it the way, and brings the tiles of its module under the newer head.
    wait_for_head(&back, newer, &key).await;
    for node in [&back, &node, &seed] {
        node.wait_for(1, 3).await;
        assert_eq!(head_of(node, &key).await, Some(newer), "never back");
    }
    let client = empty_client(&back, &key).await;
    let seen = site.db.read().unwrap().head_at(older);
    client.accept(seen.note().into()).await.unwrap();
    for module in &site.modules {
        prove(&client, module, &key).await.unwrap();
    }
    seed.stop().await;
    for node in [&back, &node] {
        assert_proves(node, &site.modules, &key).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_heads_that_come_later_reach_a_node_that_is_connected() {
    let site = Site::start().await;
    let key = site.key();
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    let node = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&key)).await;
    node.wait_for(1, 0).await;
    for n in 0..4_u64 {
        let module = make_module("example.com/steps", &format!("v1.{n}.0"), &[]);
        {
            let mut db = site.db.write().unwrap();
            record(&mut db, &module);
            (0..200).for_each(|filler| _ = db.add_filler(40_000 + 1000 * n + filler));
        }
        site.upstream.add(&module);
        seed_all(&seed, std::slice::from_ref(&module)).await;
        node.wait_for(1, n + 1).await;
        // At once: the lookup waits for its tiles, it does not fail.
        assert!(is_supported(&node).await);
        let client = empty_client(&node, &key).await;
        prove(&client, &module, &key).await.unwrap();
    }
}

/// A database of the same key with another history of the same length.
fn fork_of(site: &Site, module: &FixtureModule) -> FixtureDb {
    let mut fork = FixtureDb::new(NAME);
    record(&mut fork, module);
    while fork.size() < site.db.read().unwrap().size() {
        fork.add_filler(50_000 + fork.size());
    }
    fork
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_refused_and_the_evidence_kept() {
    let site = Site::start().await;
    let key = site.key();
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    seed_all(&seed, &site.modules).await;
    let node = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&key)).await;
    node.wait_for(1, 3).await;
    assert_proves(&node, &site.modules, &key).await;
    let dir = node.stop().await;

    let elsewhere = make_module("example.com/elsewhere", "v1.0.0", &[]);
    let fork = Arc::new(RwLock::new(fork_of(&site, &elsewhere)));
    let upstream = FixtureProxy::start(std::slice::from_ref(&elsewhere)).await;
    mount(&upstream, &fork);
    let other = TestNode::start(NodeOptions::seed(&upstream.url()).proving(&key)).await;
    seed_all(&other, std::slice::from_ref(&elsewhere)).await;
    assert_proves(&other, std::slice::from_ref(&elsewhere), &key).await;

    let node = TestNode::start_in(dir, NodeOptions::peer_of(&[&other]).proving(&key)).await;
    // The manifest is proven by a head that the database did sign; its lookup cannot be answered under another.
    node.wait_for(1, 4).await;
    assert_proves(&node, &site.modules, &key).await;
    let good = site.db.read().unwrap().note();
    assert_eq!(node.get(&format!("/sumdb/{NAME}/latest")).await.body, good);
    assert_keeps_evidence(node, &site, &fork).await;
}

/// Waits until a node has the evidence of a fork that a peer has shown it, and checks that it is still there and told
/// after a restart.
async fn assert_keeps_evidence(node: TestNode, site: &Site, fork: &Arc<RwLock<FixtureDb>>) {
    node.wait_until(|status| !status.sumdb[0].forks.is_empty()).await;
    let found = node.status().await.sumdb.remove(0).forks.remove(0);
    let alone = TestNode::start_in(node.stop().await, NodeOptions::default().proving(&site.key())).await;
    // What was proven by the other history's head is known, and never answered for under this one.
    alone.wait_until(|status| (status.sumdb[0].records, status.sumdb[0].waiting) == (3, 1)).await;
    let status = alone.status().await;
    let [kept] = status.sumdb[0].forks.as_slice() else { panic!("{:?}", status.sumdb) };
    assert_eq!((kept.found_at, &kept.report), (found.found_at, &found.report));
    assert!(kept.report.contains("has signed two histories"), "{}", kept.report);
    for db in [&site.db, fork] {
        let head = db.read().unwrap().head().tree();
        let told = Some(TreeLine { records: head.size, hash: head.hash.to_string() });
        assert!(kept.older == told || kept.newer == told, "{kept:?}");
        assert!(kept.report.contains(&head.hash.to_string()), "{}", kept.report);
    }
    let shown = process::run(&["status", "--data", alone.data().to_str().unwrap()]).await;
    assert!(shown.stdout.starts_with(&format!("!!! THE CHECKSUM DATABASE {NAME} HAS FORKED")), "{}", shown.stdout);
}
