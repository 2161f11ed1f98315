//! What a node with a checksum database takes in, from upstream and from peers.

use std::sync::{Arc, RwLock};

use modswarm::domain::note::Signer;

use super::common::node::{NodeOptions, TestNode};
use super::common::{Fault, FixtureModule, FixtureProxy, copy_dir, make_module};
use super::sumdb::{FixtureDb, NAME};
use super::{Site, file, mount, record};

async fn assert_serves(node: &TestNode, module: &FixtureModule) {
    for (end, want) in [(".info", &module.info), (".mod", &module.go_mod), (".zip", &module.zip)] {
        let got = node.get(&file(module, end)).await;
        assert_eq!(got.status, 200, "{}: {}", file(module, end), got.text());
        assert_eq!(&got.body, want);
    }
}

/// The same version with other contents: consistent in itself.
fn changed(module: &FixtureModule) -> FixtureModule {
    make_module(&module.path, &module.version, &[("lib.go", b"package lib // not the author's\n")])
}

#[tokio::test(flavor = "multi_thread")]
async fn proven_versions_go_from_node_to_node() {
    let site = Site::start().await;
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    for module in &site.modules {
        assert_serves(&seed, module).await;
    }
    let second = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&site.key())).await;
    second.wait_for(1, 3).await;
    for module in &site.modules {
        assert_serves(&second, module).await;
    }
    let third = TestNode::start(NodeOptions::peer_of(&[&second]).proving(&site.key())).await;
    third.wait_for(1, 3).await;
    seed.stop().await;
    for module in &site.modules {
        assert_serves(&third, module).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lookup_proves_a_version_however_it_is_asked_for_and_tiles_are_shared() {
    let site = Site::start().await;
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    let [first, second, _] = &site.modules[..] else { panic!("three modules") };
    assert_eq!(seed.get(&file(first, ".mod")).await.body, first.go_mod);
    assert_serves(&seed, first).await;
    let lookup = |module: &FixtureModule| format!("/sumdb/{NAME}/lookup/{}@{}", module.path, module.version);
    assert_eq!(site.upstream.count(&lookup(first)), 1, "the zip is proven by the record that the go.mod came with");
    assert_serves(&seed, second).await;
    assert_eq!(site.upstream.count(&lookup(second)), 1);
    let tiles = ["tile/8/0/001", "tile/8/0/002.p/91", "tile/8/1/000.p/2"];
    for tile in tiles {
        assert_eq!(site.upstream.count(&format!("/sumdb/{NAME}/{tile}")), 1, "{tile}");
    }
    // The proof of a version that is completed later needs no database at all.
    let third = &site.modules[2];
    assert_eq!(seed.get(&file(third, ".mod")).await.status, 200);
    for path in ["supported", "latest", "lookup/example.com/!upper@v0.1.0"] {
        site.upstream.always(&format!("/sumdb/{NAME}/{path}"), Fault::Status(403));
    }
    assert_serves(&seed, third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_whose_bytes_are_not_the_recorded_ones_stores_nothing() {
    let site = Site::start().await;
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    let good = &site.modules[0];
    let bad = changed(good);
    site.upstream.put(&file(good, ".zip"), &bad.zip);
    let got = seed.get(&file(good, ".zip")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("the zip of example.com/lib@v1.0.0 has the hash"), "{}", got.text());
    assert!(got.text().contains("but sum.example says"), "{}", got.text());
    site.upstream.put(&file(good, ".mod"), b"module example.com/lib\n\nrequire example.com/evil v1.0.0\n");
    let got = seed.get(&file(good, ".mod")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("the go.mod of example.com/lib@v1.0.0 has the hash"), "{}", got.text());
    let store = seed.status().await.store;
    assert_eq!(store.versions, 0);
    // The tiles of the proof are held, and nothing of the zip.
    assert!(store.disk_bytes < 64 << 10, "{store:?}");
    site.upstream.add(good);
    assert_serves(&seed, good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_a_failure_and_a_forgery_of_the_database_are_told_apart() {
    let site = Site::start().await;
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    // Not recorded: it exists, and is not taken.
    let unknown = make_module("example.com/private", "v1.0.0", &[]);
    site.upstream.add(&unknown);
    let got = seed.get(&file(&unknown, ".mod")).await;
    assert_eq!(got.status, 403, "{}", got.text());
    assert!(got.text().contains("the checksum database sum.example does not know example.com/private@v1.0.0"));
    // Not there at all, and then the database is not even asked.
    let got = seed.get("/example.com/nowhere/@v/v1.0.0.mod").await;
    assert_eq!(got.status, 404, "{}", got.text());
    assert_eq!(site.upstream.count(&format!("/sumdb/{NAME}/lookup/example.com/nowhere@v1.0.0")), 0);
    // The record of another module, valid in itself (CVE-2026-42501).
    let [first, second, third] = &site.modules[..] else { panic!("three modules") };
    let other = site.db.read().unwrap().answer("lookup/example.com/!upper@v0.1.0").unwrap();
    site.upstream.put(&format!("/sumdb/{NAME}/lookup/example.com/lib@v1.0.0"), &other);
    let got = seed.get(&file(first, ".zip")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("does not have exactly the lines of example.com/lib@v1.0.0"), "{}", got.text());
    // A forged tile (CVE-2026-56864, CVE-2026-56865): every single bit counts.
    let tile = format!("/sumdb/{NAME}/tile/8/0/001");
    let mut forged = site.db.read().unwrap().answer("tile/8/0/001").unwrap();
    forged[5] ^= 1;
    site.upstream.put(&tile, &forged);
    let got = seed.get(&file(second, ".zip")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("tiles of the checksum database sum.example are not to be trusted"), "{}", got.text());
    // Unreachable: a failure, never a miss.
    site.upstream.always(&format!("/sumdb/{NAME}/lookup/example.com/!upper@v0.1.0"), Fault::Status(403));
    let got = seed.get(&file(third, ".mod")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("the checksum database sum.example cannot be asked"), "{}", got.text());
    assert_eq!(seed.status().await.store.versions, 0, "nothing is stored of what is not proven");
}

/// A node that offers another first module than `site`'s, proven by `db` if that is given.
async fn liar(site: &Site, db: Option<FixtureDb>) -> (TestNode, FixtureProxy) {
    let bad = changed(&site.modules[0]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&bad)).await;
    let mut options = NodeOptions::seed(&upstream.url());
    if let Some(mut db) = db {
        record(&mut db, &bad);
        options = options.proving(&db.key());
        mount(&upstream, &Arc::new(RwLock::new(db)));
    }
    let node = TestNode::start(options).await;
    assert_serves(&node, &bad).await;
    (node, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_a_proof_or_with_one_of_another_key_is_refused_and_in_the_end_banned() {
    let site = Site::start().await;
    let module = &site.modules[0];
    let other_key = FixtureDb::signed_by(Signer::from_secret(NAME, [1; 32]).unwrap());
    let refusals = ["comes without a proof", "no known key has signed the note"];
    for (db, why) in [None, Some(other_key)].into_iter().zip(refusals) {
        let (liar, _upstream) = liar(&site, db).await;
        let node = TestNode::start(NodeOptions::peer_of(&[&liar]).proving(&site.key())).await;
        node.wait_for(1, 0).await;
        let got = node.get(&file(module, ".zip")).await;
        assert_eq!(got.status, 503, "that somebody lies is no miss: {}", got.text());
        assert!(got.text().contains(why), "{}", got.text());
        // Once when the catalogs are compared, once for the question above: that is a ban.
        node.wait_until(|status| status.peers.is_empty()).await;
        let status = node.status().await;
        assert_eq!((status.store.versions, status.store.blobs), (0, 0));
        // What is right comes in from others.
        let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
        assert_serves(&seed, module).await;
        let node = TestNode::start_in(node.stop().await, NodeOptions::peer_of(&[&seed]).proving(&site.key())).await;
        node.wait_for(1, 1).await;
        assert_serves(&node, module).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_without_a_proof_is_set_aside_when_proofs_are_wanted() {
    let site = Site::start().await;
    let first = &site.modules[0];
    let bad = changed(&site.modules[1]);
    site.upstream.put(&file(&bad, ".zip"), &bad.zip);
    let open = TestNode::start(NodeOptions::seed(&site.upstream.url())).await;
    assert_serves(&open, first).await;
    assert_eq!(open.get(&file(&bad, ".zip")).await.body, bad.zip);
    assert_eq!(open.get(&format!("/sumdb/{NAME}/supported")).await.status, 404);
    let dir = open.stop().await;

    // Without an upstream nothing of it is served, listed or passed on.
    let strict = TestNode::start_in(dir, NodeOptions::default().proving(&site.key())).await;
    for end in [".info", ".mod", ".zip"] {
        assert_eq!(strict.get(&file(first, end)).await.status, 404, "{end}");
    }
    assert_eq!(strict.status().await.store.versions, 0);
    let dir = strict.stop().await;

    // With one it is proven, or refused.
    let strict = TestNode::start_in(dir, NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    assert_serves(&strict, first).await;
    let got = strict.get(&file(&bad, ".zip")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    let dir = strict.stop().await;

    // A restart by the same rule keeps what was proven, and so does an open node.
    for options in [NodeOptions::default().proving(&site.key()), NodeOptions::default()] {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        let node = TestNode::start_in(copy, options).await;
        assert_serves(&node, first).await;
    }
}
