//! Lists, `@latest` and branches: how old they may be, what is said meanwhile, and how the site learns of what is new.

use super::common::node::{Got, NodeOptions, TestNode, WATCHDOG};
use super::common::peer::TestPeer;
use super::common::{Fault, FixtureProxy, make_module};
use super::{age, file, knows_all, never_fresh, versions, workstation};

const LIST: &str = "/example.com/lib/@v/list";
const LATEST: &str = "/example.com/lib/@latest";
const BRANCH: &str = "/example.com/lib/@v/main.info";
/// More requests than a test makes.
const ALL: usize = 1000;

/// Asks until the answer is as wanted; each time it must be one.
async fn until(node: &TestNode, path: &str, wanted: impl Fn(&Got) -> bool) -> Got {
    let asking = async {
        loop {
            let got = node.get(path).await;
            assert_eq!(got.status, 200, "{path}: {}", got.text());
            if wanted(&got) {
                return got;
            }
            // It is asked again and again: there is no event to wait for from outside.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WATCHDOG, asking).await.expect("the answer never came")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_told_after_the_refresh_and_the_old_ones_meanwhile() {
    let [old, new] = versions();
    let upstream = FixtureProxy::start(std::slice::from_ref(&old)).await;
    let seed = TestNode::start(never_fresh(NodeOptions::seed(&upstream.url()))).await;
    let node = knows_all(never_fresh(NodeOptions::peer_of(&[&seed]))).await;
    // Nothing is known of it yet, so this waits for the seed.
    let got = node.get(LIST).await;
    assert_eq!((got.status, got.text()), (200, "v1.0.0\n".into()));
    assert!(age(&got).is_some());

    upstream.hold();
    upstream.add(&new);
    let got = node.get(LIST).await;
    assert_eq!(got.text(), "v1.0.0\n", "the upstream is not waited for");
    assert!(age(&got).is_some(), "a seed has confirmed it once");
    assert_eq!(node.get(LATEST).await.body, old.info);
    upstream.release(ALL);
    until(&node, LIST, |got| got.text() == "v1.0.0\nv1.1.0\n").await;
    let got = node.get(LATEST).await;
    assert_eq!((&got.body, age(&got).is_some()), (&new.info, true));
    assert_eq!(node.get(&file(&new, ".zip")).await.body, new.zip, "what is listed can be served");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fresh_is_not_asked_again() {
    let [old, new] = versions();
    let upstream = FixtureProxy::start(std::slice::from_ref(&old)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let (one, two) = (workstation(&seed).await, workstation(&seed).await);
    let got = one.get(LIST).await;
    assert_eq!((got.text(), age(&got).is_some()), ("v1.0.0\n".into(), true));
    // The other one has heard of the version by now, perhaps, and then asks the seed behind its first answer.
    until(&two, LIST, |got| age(got).is_some()).await;
    upstream.add(&new);
    for node in [&one, &two, &seed] {
        assert_eq!(node.get(LIST).await.text(), "v1.0.0\n");
        assert_eq!(node.get(LATEST).await.body, old.info);
    }
    assert_eq!((upstream.count(LIST), upstream.count(LATEST)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_seed_has_confirmed_has_no_age() {
    let [old, _] = versions();
    let peer = TestPeer::start().await;
    peer.offer(&old, |_| {});
    let node = knows_all(NodeOptions { peers: vec![peer.address.clone()], ..NodeOptions::default() }).await;
    node.wait_for(1, 1).await;
    for path in [LIST, LATEST] {
        let got = node.get(path).await;
        assert_eq!((got.status, age(&got)), (200, None), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_with_a_slow_upstream_gives_what_it_knows_and_a_list_never_shrinks() {
    let [old, new] = versions();
    let upstream = FixtureProxy::start(&[old.clone(), new.clone()]).await;
    let seed = TestNode::start(never_fresh(NodeOptions::seed(&upstream.url()))).await;
    assert_eq!(seed.get(LIST).await.text(), "v1.0.0\nv1.1.0\n");
    assert_eq!(seed.get(LATEST).await.body, new.info);
    upstream.hold();
    for (path, want) in [(LIST, "v1.0.0\nv1.1.0\n".as_bytes()), (LATEST, &new.info)] {
        let got = tokio::time::timeout(WATCHDOG, seed.get(path)).await.expect("the upstream was waited for");
        assert_eq!((&got.body[..], age(&got).is_some()), (want, true), "{path}");
    }
    upstream.release(ALL);
    upstream.put(LIST, b"v1.1.0\n");
    until(&seed, LIST, |_| upstream.count(LIST) > 2).await;
    for fault in [Fault::None, Fault::Status(404), Fault::Html] {
        upstream.always(LIST, fault);
        let got = seed.get(LIST).await;
        assert_eq!((got.status, got.text()), (200, "v1.0.0\nv1.1.0\n".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_resolved_by_a_seed_and_remembered() {
    const PSEUDO: &str = "v1.0.1-0.20240102030405-0123456789ab";
    let [old, _] = versions();
    let head = make_module("example.com/lib", PSEUDO, &[("lib.go", b"package lib // head\n")]);
    let upstream = FixtureProxy::start(&[old, head.clone()]).await;
    upstream.put(BRANCH, &head.info);
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = workstation(&seed).await;
    for _ in 0..2 {
        let got = node.get(BRANCH).await;
        assert_eq!((got.status, &got.body), (200, &head.info), "{}", got.text());
        assert!(age(&got).is_some());
    }
    assert_eq!(upstream.count(BRANCH), 1);
    assert_eq!(node.get(&file(&head, ".zip")).await.body, head.zip);
    assert_eq!(node.get("/example.com/lib/@v/0123456789ab.info").await.body, head.info, "fact 9: without a question");
    assert_eq!(node.get("/example.com/lib/@v/nowhere.info").await.status, 404);
    // What the branch stood for is still known when the seed is gone.
    seed.stop().await;
    node.wait_until(|status| status.peers.is_empty()).await;
    let dir = node.stop().await;
    let node = TestNode::start_in(dir, never_fresh(NodeOptions::default())).await;
    assert_eq!(node.get(BRANCH).await.body, head.info);
}
