//! What the site does not have, a seed obtains: once for all, and with every kind of failure kept apart.

use modswarm::store::{Store, StoreOptions};

use super::common::node::{NodeOptions, TestNode, WATCHDOG, get};
use super::common::{Fault, FixtureProxy, make_module, noise};
use super::{file, knows_all, versions, workstation};

#[tokio::test(flavor = "multi_thread")]
async fn what_five_workstations_want_at_once_is_fetched_once_and_arrives_byte_for_byte() {
    let module = make_module("example.com/big", "v1.0.0", &[("a.go", b"package big\n"), ("b.bin", &noise(3 << 20, 1))]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let nodes = futures::future::join_all((0..5).map(|_| workstation(&seed))).await;
    let zip = file(&module, ".zip");
    for got in futures::future::join_all(nodes.iter().map(|node| node.get(&zip))).await {
        assert_eq!((got.status, &got.body), (200, &module.zip));
    }
    assert_eq!(upstream.count(&zip), 1);
    for (end, want) in [(".info", &module.info), (".mod", &module.go_mod)] {
        assert_eq!(nodes[0].get(&file(&module, end)).await.body, want);
        assert_eq!(upstream.count(&file(&module, end)), 1, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_go_mod_comes_alone_and_its_zip_when_it_is_asked_for() {
    let [old, _] = versions();
    let upstream = FixtureProxy::start(std::slice::from_ref(&old)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = workstation(&seed).await;
    assert_eq!(node.get(&file(&old, ".mod")).await.body, old.go_mod);
    assert_eq!(upstream.count(&file(&old, ".zip")), 0);
    assert_eq!(node.get(&file(&old, ".zip")).await.body, old.zip);
    // The site has it now, whoever leaves.
    drop(upstream);
    seed.stop().await;
    let other = TestNode::start(NodeOptions::peer_of(&[&node])).await;
    other.wait_for(1, 1).await;
    assert_eq!(other.get(&file(&old, ".zip")).await.body, old.zip);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_is_proven_outside_once_for_the_whole_site() {
    let upstream = FixtureProxy::start(&versions()).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let (one, two) = (workstation(&seed).await, workstation(&seed).await);
    for (path, asked) in [
        ("/example.com/lib/@v/v9.9.9.info", "/example.com/lib/@v/v9.9.9.info"),
        ("/example.com/@v/list", "/example.com/@v/list"),
        // What has no list has no latest version.
        ("/example.com/none/@latest", "/example.com/none/@v/list"),
    ] {
        assert_eq!(one.get(path).await.status, 404, "{path}");
        assert!(upstream.count(asked) > 0, "{path}");
        let asked = upstream.total();
        for node in [&two, &one] {
            let got = node.get(path).await;
            assert_eq!(got.status, 404, "{path}: {}", got.text());
        }
        assert_eq!(upstream.total(), asked, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_seed_a_miss_is_told_and_noted_as_wanted() {
    let upstream = FixtureProxy::start(&versions()).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = workstation(&seed).await;
    seed.stop().await;
    node.wait_until(|status| status.peers.is_empty()).await;
    let got = node.get("/example.com/lib/@v/v1.0.0.zip").await;
    assert_eq!(got.status, 404, "{}", got.text());
    assert!(
        got.text().contains("`modswarm seed example.com/lib@v1.0.0` on a node that has an upstream"),
        "{}",
        got.text()
    );
    assert_eq!(upstream.total(), 0);
    let dir = node.stop().await;
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let wanted: Vec<String> = store.wanted().unwrap().iter().map(|it| format!("{}@{}", it.module, it.query)).collect();
    assert_eq!(wanted, ["example.com/lib@v1.0.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_is_503_with_its_reason_and_one_that_refuses_is_403() {
    let [old, new] = versions();
    let upstream = FixtureProxy::start(&[old.clone(), new.clone()]).await;
    upstream.always(&file(&old, ".info"), Fault::Html);
    upstream.always(&file(&new, ".info"), Fault::Status(403));
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = workstation(&seed).await;
    let got = node.get(&file(&old, ".zip")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert!(got.text().contains("HTML page"), "{}", got.text());
    assert_eq!(node.get(&file(&new, ".zip")).await.status, 403);
    // Nothing of that is remembered as a miss.
    upstream.always(&file(&old, ".info"), Fault::None);
    assert_eq!(node.get(&file(&old, ".zip")).await.body, old.zip);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_whose_line_is_down_is_none_but_for_what_the_site_knows() {
    let [old, new] = versions();
    let upstream = FixtureProxy::start(&[old.clone(), new.clone()]).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = workstation(&seed).await;
    assert_eq!(node.get(&file(&old, ".zip")).await.body, old.zip);
    drop(upstream);
    for path in ["/example.com/@v/list", "/example.com/lib/sub/@v/v1.0.0.info", "/example.com/none/@latest"] {
        let got = node.get(path).await;
        assert!(
            got.status == 404 && got.text().contains("it cannot be reached"),
            "{path}: {} {}",
            got.status,
            got.text()
        );
        assert_eq!(seed.get(path).await.status, 503, "the seed itself is to ask, and cannot: {path}");
    }
    let got = node.get(&file(&new, ".zip")).await;
    assert!(got.status == 503 && got.text().contains("it cannot be reached"), "{} {}", got.status, got.text());
    assert_eq!(node.get("/example.com/lib/@v/list").await.text(), "v1.0.0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_stops_in_the_middle_is_a_failure() {
    let [old, _] = versions();
    let upstream = FixtureProxy::start(std::slice::from_ref(&old)).await;
    upstream.hold();
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = workstation(&seed).await;
    let path = file(&old, ".zip");
    let asking = node.get(&path);
    let stopping = async {
        upstream.wait_in_flight(2).await;
        seed.stop().await;
    };
    let (got, ()) = tokio::time::timeout(WATCHDOG, async { tokio::join!(asking, stopping) }).await.unwrap();
    assert_eq!(got.status, 503, "{}", got.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_does_not_stop_the_fetch() {
    let [old, _] = versions();
    let upstream = FixtureProxy::start(std::slice::from_ref(&old)).await;
    upstream.hold();
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = workstation(&seed).await;
    let url = format!("{}{}", node.goproxy, file(&old, ".zip"));
    let client = tokio::spawn(async move { get(&url).await });
    tokio::time::timeout(WATCHDOG, upstream.wait_in_flight(2)).await.expect("the upstream was never asked");
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    upstream.release(10);
    node.wait_until(|status| status.store.zips == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_seeds_one_is_enough_and_a_miss_of_one_is_none_while_the_other_fails() {
    let [old, new] = versions();
    let (full, poor) = (FixtureProxy::start(&[old.clone(), new.clone()]).await, FixtureProxy::start(&[]).await);
    let one = TestNode::start(NodeOptions::seed(&full.url())).await;
    let two = TestNode::start(NodeOptions::seed(&poor.url())).await;
    let node = knows_all(NodeOptions::peer_of(&[&one, &two])).await;
    assert_eq!(node.get(&file(&old, ".zip")).await.body, old.zip);
    full.always(&file(&new, ".info"), Fault::Html);
    let got = node.get(&file(&new, ".mod")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert_eq!(node.get("/example.com/lib/@v/v1.2.0.mod").await.status, 404, "both say so");
}
