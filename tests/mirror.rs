//! The main job on fixture modules: a seed with an upstream, nodes with peers only, and what an upstream or a peer may do wrong.

#![allow(clippy::unwrap_used)]

mod common;

use common::node::{NodeOptions, TestNode, get};
use common::peer::TestPeer;
use common::{Fault, FixtureModule, FixtureProxy, make_module, noise};

fn modules() -> Vec<FixtureModule> {
    let big = noise(3 << 20, 7);
    vec![
        make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n"), ("data.bin", &big)]),
        make_module("example.com/lib", "v1.1.0", &[("lib.go", b"package lib // newer\n"), ("data.bin", &big)]),
        make_module("example.com/Upper", "v0.1.0", &[("upper.go", b"package upper\n")]),
    ]
}

async fn assert_serves(node: &TestNode, module: &FixtureModule) {
    let base = format!("/{}/@v/{}", common::escape(&module.path), common::escape(&module.version));
    for (end, want) in [(".info", &module.info), (".mod", &module.go_mod), (".zip", &module.zip)] {
        let got = node.get(&format!("{base}{end}")).await;
        assert_eq!(got.status, 200, "{base}{end}: {}", got.text());
        assert_eq!(&got.body, want, "{base}{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_seed_fetches_its_peers_serve_byte_for_byte_without_it() {
    let modules = modules();
    let upstream = FixtureProxy::start(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    for module in &modules {
        assert_serves(&seed, module).await;
    }
    let second = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    second.wait_for(1, 3).await;
    for module in &modules {
        assert_serves(&second, module).await;
    }
    // A version that came from a peer is served to others: the third node never sees the seed.
    let third = TestNode::start(NodeOptions::peer_of(&[&second])).await;
    seed.stop().await;
    third.wait_for(1, 3).await;
    for module in &modules {
        assert_serves(&third, module).await;
    }
    // And is still there after a restart, alone.
    let dir = third.stop().await;
    second.stop().await;
    let alone = TestNode::start_in(dir, NodeOptions::default()).await;
    for module in &modules {
        assert_serves(&alone, module).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_cost_the_upstream_one_fetch() {
    let modules = modules();
    let upstream = FixtureProxy::start(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let url = format!("{}/example.com/lib/@v/v1.0.0.zip", seed.goproxy);
    let clients: Vec<_> = (0..16)
        .map(|_| {
            tokio::spawn({
                let url = url.clone();
                async move { get(&url).await }
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.unwrap().body, modules[0].zip);
    }
    assert_eq!(upstream.count("/example.com/lib/@v/v1.0.0.zip"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_latest_work_on_a_node_without_an_upstream() {
    let modules = modules();
    let upstream = FixtureProxy::start(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_serves(&seed, &modules[0]).await;
    assert_eq!(seed.get("/example.com/lib/@v/list").await.text(), "v1.0.0\nv1.1.0\n");
    let second = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    second.wait_for(1, 1).await;
    seed.stop().await;
    second.wait_until(|status| status.peers.is_empty()).await;
    assert_eq!(second.get("/example.com/lib/@v/list").await.text(), "v1.0.0\n", "what is listed can be served");
    assert_eq!(second.get("/example.com/lib/@latest").await.body, modules[0].info);
    assert_eq!(second.get("/example.com/lib/@v/v1.info").await.body, modules[0].info);
    for path in [
        "/example.com/@v/list",
        "/example.com/none/@latest",
        "/example.com/lib/@v/v1.1.0.zip",
        "/example.com/@v/v1.0.0.info",
    ] {
        assert_eq!(second.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_lies_stores_nothing() {
    let good = make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n")]);
    let other = make_module("example.com/other", "v1.0.0", &[("lib.go", b"package lib\n")]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&good)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let zip = "/example.com/lib/@v/v1.0.0.zip";
    let cut = &good.zip[..good.zip.len() - 30];
    for (bytes, word) in [
        (&other.zip[..], "holds nothing of that module"),
        (cut, "zip"),
        (b"<html>please log in</html>", "zip"),
        (b"", "zip"),
    ] {
        upstream.put(zip, bytes);
        let got = seed.get(zip).await;
        assert_eq!(got.status, 503, "{}", got.text());
        assert!(got.text().contains(word), "{} should say {word}", got.text());
        assert_eq!(seed.status().await.store.zips, 0);
    }
    upstream.put("/example.com/lib/@v/v1.0.0.info", b"<html>please log in</html>");
    assert_eq!(seed.get("/example.com/lib/@v/v1.0.0.info").await.status, 503);
    assert_eq!(seed.status().await.store.versions, 0, "nothing is stored of a version whose parts do not fit");
    // The upstream comes to its senses, and nothing of the past is in the way.
    upstream.add(&good);
    assert_serves(&seed, &good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_24_a_failing_upstream_is_never_a_miss() {
    let upstream = FixtureProxy::start(&modules()).await;
    upstream.always("/example.com/lib/@v/v1.0.0.info", Fault::Status(403));
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(seed.get("/example.com/lib/@v/v1.0.0.info").await.status, 403);
    assert_eq!(seed.get("/example.com/lib/@v/v9.0.0.info").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_23_known_but_unreachable_is_503() {
    let modules = modules();
    let upstream = FixtureProxy::start(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_serves(&seed, &modules[0]).await;
    let second = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    second.wait_for(1, 1).await;
    seed.stop().await;
    let got = second.get("/example.com/lib/@v/v1.0.0.zip").await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert_eq!(
        second.get("/example.com/lib/@v/v1.0.0.mod").await.body,
        modules[0].go_mod,
        "the manifest has the go.mod"
    );
    assert_eq!(second.get("/cached-only/example.com/lib/@v/v1.0.0.zip").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_13_an_upstream_without_latest_is_asked_for_its_list() {
    let modules = modules();
    let upstream = FixtureProxy::start(&modules).await;
    upstream.always("/example.com/lib/@latest", Fault::Status(404));
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let got = seed.get("/example.com/lib/@latest").await;
    assert_eq!((got.status, got.body), (200, modules[1].info.clone()));
    upstream.always("/example.com/!upper/@latest", Fault::Status(403));
    assert_eq!(seed.get("/example.com/!upper/@latest").await.status, 403, "a refusal is not a miss");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_goes_on_after_a_restart_with_what_had_landed() {
    let files: Vec<(String, Vec<u8>)> = (0..40_u64).map(|n| (format!("f{n}.bin"), noise(5000, n))).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let module = make_module("example.com/lib", "v1.0.0", &files);
    // The recipe's pages come last out of a split, and nothing can be fetched without them.
    let first = TestPeer::start().await;
    first.offer_some(&module, |place| !(15..40).contains(&place), |_| {});
    let second = TestPeer::start().await;
    second.offer_some(&module, |place| place >= 15, |_| {});
    let peer = |peer: &TestPeer| NodeOptions { peers: vec![peer.address.clone()], ..NodeOptions::default() };
    let node = TestNode::start(peer(&first)).await;
    node.wait_for(1, 1).await;
    assert_eq!(node.get("/example.com/lib/@v/v1.0.0.zip").await.status, 503, "nobody has all of it");
    let dir = node.stop().await;
    drop(first);
    let node = TestNode::start_in(dir, peer(&second)).await;
    node.wait_for(1, 1).await;
    let got = node.get("/example.com/lib/@v/v1.0.0.zip").await;
    assert_eq!((got.status, got.body), (200, module.zip.clone()));
}
