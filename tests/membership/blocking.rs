//! Orders that block: a version is gone from all nodes, and comes back.

use std::collections::BTreeSet;
use std::sync::Arc;

use modswarm::domain::membership::{DAY, Orders};
use modswarm::domain::module::{ModulePath, ModuleVersion};
use modswarm::transfer::{Fetcher, Traffic};

use super::common::node::{NodeOptions, TestNode};
use super::common::{FixtureModule, FixtureProxy, make_module};
use super::{Bare, corp, now, order, with_ticket};

fn modules() -> Vec<FixtureModule> {
    let lib = |version, code: &str| make_module("example.com/lib", version, &[("lib.go", code.as_bytes())]);
    vec![lib("v1.0.0", "package lib\n"), lib("v1.1.0", "package lib\n\nconst Bad = 1\n")]
}

fn blocking(serial: u64, blocked: &[&str]) -> Orders {
    let blocked: BTreeSet<_> = blocked.iter().map(|module| ModuleVersion::parse(module).unwrap()).collect();
    Orders { serial, blocked, ..Orders::default() }
}

async fn serial(node: &TestNode, serial: u64) {
    node.wait_until(|status| status.site.as_ref().unwrap().serial == serial).await;
}

const BASE: &str = "/example.com/lib/@v";

/// Everything that a go command can ask of the bad version.
async fn assert_blocked(node: &TestNode) {
    for end in [".zip", ".mod", ".info"] {
        for prefix in ["", "/cached-only"] {
            let got = node.get(&format!("{prefix}{BASE}/v1.1.0{end}")).await;
            let said = got.text();
            let words = "refused: example.com/lib@v1.1.0 is blocked by the orders of this site";
            assert!(got.status == 403 && said.starts_with(words), "{end} {} {said}", got.status);
        }
    }
    assert_eq!(node.get(&format!("{BASE}/list")).await.text(), "v1.0.0\n");
    for query in ["/example.com/lib/@latest", &format!("{BASE}/v1.info")] {
        let latest = node.get(query).await;
        assert!(latest.text().contains("v1.0.0") || latest.status == 403, "{query} {}", latest.text());
        assert!(!latest.text().contains(r#""Version":"v1.1.0""#), "{query} {}", latest.text());
    }
    assert_eq!(node.get(&format!("{BASE}/v1.0.0.zip")).await.status, 200);
}

async fn assert_there(node: &TestNode) {
    assert_eq!(node.get(&format!("{BASE}/v1.1.0.zip")).await.body, modules()[1].zip);
    assert_eq!(node.get(&format!("{BASE}/list")).await.text(), "v1.0.0\nv1.1.0\n");
    assert!(node.get("/example.com/lib/@latest").await.text().contains("v1.1.0"));
}

#[tokio::test]
async fn a_blocked_version_is_gone_from_all_nodes_and_comes_back() {
    let upstream = FixtureProxy::start(&modules()).await;
    let seed = TestNode::start(with_ticket(1, NodeOptions::seed(&upstream.url()))).await;
    let node = TestNode::start(with_ticket(1, NodeOptions::peer_of(&[&seed]))).await;
    node.wait_for_introductions(1).await;
    for version in ["v1.0.0", "v1.1.0"] {
        assert_eq!(node.get(&format!("{BASE}/{version}.zip")).await.status, 200);
    }
    assert_there(&node).await;
    assert_there(&seed).await;

    order(&node, &blocking(1, &["example.com/lib@v1.1.0", "example.com/other@v0.1.0"])).await;
    serial(&seed, 1).await;
    assert_blocked(&node).await;
    assert_blocked(&seed).await;
    assert_eq!(seed.status().await.site.unwrap().blocked, ["example.com/lib@v1.1.0", "example.com/other@v0.1.0"]);

    // Not to peers either; one that has not heard of the orders yet is told of the other version only.
    let member = Bare::member(&corp(), now() + DAY, &[&seed.peer_address]).await;
    member.connected(1).await;
    let fetcher =
        Fetcher::new(member.handle.stream_control(), member.handle.connected(), member.handle.bans(), Traffic::new());
    let lookup = async |version: &str| {
        let asked = fetcher.lookup(&ModuleVersion::parse(&format!("example.com/lib@{version}")).unwrap()).await;
        assert!(asked.failed.is_empty(), "{:?}", asked.failed);
        asked.found.len()
    };
    assert_eq!((lookup("v1.0.0").await, lookup("v1.1.0").await), (1, 0));
    let versions = fetcher.versions(&ModulePath::parse("example.com/lib").unwrap()).await;
    assert_eq!(versions.found[0].1.iter().map(|version| version.as_str()).collect::<Vec<_>>(), ["v1.0.0"]);
    let (sink, mut envelopes) = tokio::sync::mpsc::channel(16);
    let (nothing, none) = (Arc::new(modswarm::transfer::MemoryHeld::new()), Arc::default());
    let report = fetcher.catalog_sync(seed_id(&seed), nothing, none, sink).await.unwrap();
    let mut came = 0;
    while envelopes.recv().await.is_some() {
        came += 1;
    }
    assert_eq!((came, report.gone), (1, 1));

    // A restart does not forget.
    let node = TestNode::start_in(node.stop().await, with_ticket(1, NodeOptions::peer_of(&[&seed]))).await;
    assert_blocked(&node).await;
    order(&seed, &blocking(2, &[])).await;
    serial(&node, 2).await;
    assert_there(&seed).await;
    assert_there(&node).await;
}

fn seed_id(seed: &TestNode) -> libp2p::PeerId {
    super::peer_id(seed)
}

#[tokio::test]
async fn what_is_blocked_before_it_came_does_not_come() {
    let upstream = FixtureProxy::start(&modules()).await;
    let seed = TestNode::start(with_ticket(1, NodeOptions::seed(&upstream.url()))).await;
    order(&seed, &blocking(1, &["example.com/lib@v1.1.0"])).await;
    assert_eq!(seed.get(&format!("{BASE}/v1.0.0.zip")).await.status, 200);
    assert_blocked(&seed).await;
    let node = TestNode::start(with_ticket(1, NodeOptions::peer_of(&[&seed]))).await;
    serial(&node, 1).await;
    node.wait_for_introductions(1).await;
    assert_blocked(&node).await;
    for end in [".zip", ".mod"] {
        assert!(upstream.requests(&format!("{BASE}/v1.1.0{end}")).is_empty(), "nobody asked for its {end}");
    }
    // The only version there is: known and refused, not missing, or a go command would look for it elsewhere.
    order(&seed, &blocking(2, &["example.com/lib@v1.1.0", "example.com/lib@v1.0.0"])).await;
    serial(&node, 2).await;
    let list = node.get(&format!("{BASE}/list")).await;
    assert_eq!((list.status, list.text().as_str()), (200, ""));
    assert_eq!(node.get("/example.com/lib/@latest").await.status, 403);
}
