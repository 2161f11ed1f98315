//! Seeds and nodes that demand proofs: what a seed obtains for the site comes with the proof, or not at all.

use std::sync::{Arc, RwLock};

use modswarm::domain::dirhash::H1;

use super::common::node::{NodeOptions, TestNode};
use super::common::{FixtureModule, FixtureProxy, make_module};
use super::sumdb::{FixtureDb, NAME};
use super::{file, knows_all, versions};

/// An upstream with a checksum database that has recorded `modules`, and the database's key.
pub(crate) async fn upstream(modules: &[FixtureModule]) -> (FixtureProxy, String) {
    let mut db = FixtureDb::with_records(300);
    for module in modules {
        let zip_h1 = H1::of_zip(&module.zip.to_vec()).unwrap();
        db.add(&format!("{}@{}", module.path, module.version), &module.go_mod, Some(zip_h1));
    }
    let key = db.key();
    let db = Arc::new(RwLock::new(db));
    let upstream = FixtureProxy::start(modules).await;
    upstream.mount(&format!("/sumdb/{NAME}/"), move |path| db.read().unwrap().answer(path));
    (upstream, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_seed_obtains_for_the_site_is_proven_and_the_rest_is_refused() {
    let modules = versions();
    let (upstream, key) = upstream(&modules).await;
    let unknown = make_module("example.com/unknown", "v1.0.0", &[("a.go", b"package unknown\n")]);
    upstream.add(&unknown);
    let changed = make_module("example.com/lib", "v1.1.0", &[("lib.go", b"package lib // changed\n")]);
    upstream.put(&file(&changed, ".zip"), &changed.zip);
    let seed = TestNode::start(NodeOptions::seed(&upstream.url()).proving(&key)).await;
    let node = knows_all(NodeOptions::peer_of(&[&seed]).proving(&key)).await;

    let [old, new] = &modules;
    assert_eq!(node.get(&file(old, ".zip")).await.body, old.zip);
    let lookup = node.get(&format!("/sumdb/{NAME}/lookup/example.com/lib@v1.0.0")).await;
    assert_eq!(lookup.status, 200, "{}", lookup.text());
    let got = node.get(&file(new, ".zip")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("does not") || got.text().contains("says"), "{}", got.text());
    assert_eq!(node.get(&file(&unknown, ".zip")).await.status, 403, "no record, no proof");
    assert_eq!(node.status().await.store.zips, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_without_the_database_is_of_no_use_to_a_node_with_it() {
    let modules = versions();
    let (upstream, key) = upstream(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = knows_all(NodeOptions::peer_of(&[&seed]).proving(&key)).await;
    let got = node.get(&file(&modules[0], ".zip")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("comes without a proof"), "{}", got.text());
    assert_eq!(node.status().await.store.versions, 0);
}
