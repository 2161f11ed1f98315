//! What a seed answers for its checksum database.

use super::client::{assert_proves, empty_client, is_supported, prove};
use super::common::Fault;
use super::common::node::{NodeOptions, TestNode};
use super::sumdb::NAME;
use super::{Site, file};

fn path(question: &str) -> String {
    format!("/sumdb/{NAME}/{question}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_answers_for_what_it_holds_and_brings_what_it_does_not() {
    let site = Site::start().await;
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    // Nothing is held yet: it is all brought from upstream.
    assert_proves(&seed, &site.modules, &site.key()).await;
    assert_eq!(
        seed.get(&format!("/cached-only{}", file(&site.modules[0], ".zip"))).await.status,
        404,
        "no zip is fetched"
    );
    // From here on it needs nobody.
    let Site { upstream, modules, .. } = &site;
    for end in [".mod", ".zip"] {
        assert_eq!(seed.get(&file(&modules[0], end)).await.status, 200);
    }
    for question in ["supported", "latest"] {
        upstream.always(&path(question), Fault::Status(403));
    }
    assert_proves(&seed, modules, &site.key()).await;
    let key = site.key();
    let dir = seed.stop().await;
    // Not even its upstream is there after a restart.
    let alone = TestNode::start_in(dir, NodeOptions::default().proving(&key)).await;
    assert_proves(&alone, modules, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_28_answers_are_the_databases_own_and_say_how_long_they_last() {
    let site = Site::start().await;
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    assert_eq!(seed.get(&file(&site.modules[0], ".mod")).await.status, 200);
    let db = |question: &str| site.db.read().unwrap().answer(question).unwrap();
    for (question, kind, life) in [
        ("supported", "text/plain; charset=utf-8", "public, max-age=60"),
        ("latest", "text/plain; charset=utf-8", "public, max-age=60"),
        ("lookup/example.com/lib@v1.0.0", "text/plain; charset=utf-8", "public, max-age=60"),
        ("tile/8/0/001", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("tile/8/0/002.p/91", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("tile/8/0/002.p/17", "application/octet-stream", "public, max-age=31536000, immutable"),
        // Held by nobody before: a client with another head may ask for it.
        ("tile/8/0/000", "application/octet-stream", "public, max-age=31536000, immutable"),
    ] {
        let got = seed.get(&path(question)).await;
        assert_eq!((got.status, got.body.as_ref()), (200, db(question).as_slice()), "{question}: {}", got.text());
        let header = |name: &str| got.headers[name].to_str().unwrap().to_owned();
        assert_eq!((header("content-type").as_str(), header("cache-control").as_str()), (kind, life), "{question}");
    }
    for question in ["tile/8/0/002.p/92", "tile/8/0/009", "tile/8/data/000", "tile/4/0/000", "lookup/nonsense", "other"]
    {
        assert_eq!(seed.get(&path(question)).await.status, 404, "{question}");
    }
    for name in ["sum.golang.org", "other.example", "sum.example.org"] {
        assert_eq!(seed.get(&format!("/sumdb/{name}/supported")).await.status, 404, "{name}");
        assert_eq!(site.upstream.count(&format!("/sumdb/{name}/supported")), 0, "no open proxy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_29_the_head_moves_only_when_a_record_needs_it_and_old_clients_go_along() {
    let site = Site::start().await;
    let key = site.key();
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    let client = empty_client(&seed, &key).await;
    prove(&client, &site.modules[0], &key).await.unwrap();
    let before = client.head().unwrap().tree().size;
    let lookup = path("lookup/example.com/lib@v1.0.0");
    let under_the_first = seed.get(&lookup).await.body;
    assert_eq!(seed.get(&lookup).await.body, under_the_first);
    // The log grows, and a record that was in it before needs no other head.
    let newcomer = super::common::make_module("example.com/new", "v1.0.0", &[]);
    {
        let mut db = site.db.write().unwrap();
        (0..700).for_each(|n| _ = db.add_filler(20_000 + n));
        super::record(&mut db, &newcomer);
    }
    prove(&client, &site.modules[1], &key).await.unwrap();
    assert_eq!(client.head().unwrap().tree().size, before);
    // One that came later does.
    site.upstream.add(&newcomer);
    prove(&client, &newcomer, &key).await.unwrap();
    assert_eq!(client.head().unwrap().tree().size, before + 701);
    let body = site.db.read().unwrap().answer("lookup/example.com/lib@v1.0.0").unwrap();
    assert_eq!(seed.get(&lookup).await.body, body, "under the head that is pinned now");
    assert_ne!(body, under_the_first);
    assert_proves(&seed, &site.modules, &key).await;
    // A client that has seen the first head and nothing since is helped along without the database.
    let old = site.db.read().unwrap().head_at(before);
    let dir = seed.stop().await;
    let alone = TestNode::start_in(dir, NodeOptions::default().proving(&key)).await;
    let behind = empty_client(&alone, &key).await;
    behind.accept(old.note().into()).await.unwrap();
    prove(&behind, &newcomer, &key).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_28_an_isolated_node_answers_for_nothing_that_the_site_does_not_have() {
    let site = Site::start().await;
    let empty = TestNode::start(NodeOptions::default().proving(&site.key())).await;
    assert!(!is_supported(&empty).await);
    let [line] = &empty.status().await.sumdb[..] else { panic!("one database was told") };
    assert!(!line.supported && line.head.is_none(), "{line:?}");
    assert!(line.why_not.as_ref().unwrap().contains("connect this node with a seed"), "{line:?}");
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
    prove(&empty_client(&seed, &site.key()).await, &site.modules[0], &site.key()).await.unwrap();
    let alone = TestNode::start_in(seed.stop().await, NodeOptions::default().proving(&site.key())).await;
    assert!(is_supported(&alone).await);
    let got = alone.get(&path("lookup/example.com/!upper@v0.1.0")).await;
    assert_eq!(got.status, 404, "{}", got.text());
    assert_eq!(alone.get(&path("tile/8/0/000")).await.status, 404);
    let open = TestNode::start(NodeOptions::seed(&site.upstream.url())).await;
    assert!(!is_supported(&open).await, "a node that was told of no database");
    assert!(open.status().await.sumdb.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_the_head_and_what_waits_for_whom() {
    let site = Site::start().await;
    let key = site.key();
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    assert_proves(&seed, &site.modules, &key).await;
    let line = seed.status().await.sumdb.remove(0);
    let head = line.head.as_ref().unwrap();
    let tree = site.db.read().unwrap().head().tree();
    assert_eq!((line.name.as_str(), line.supported, &line.why_not), (NAME, true, &None));
    assert_eq!((line.records, line.waiting, &line.trouble), (3, 0, &None));
    assert_eq!((head.tree.records, &head.tree.hash), (tree.size, &tree.hash.to_string()));
    assert!(line.forks.is_empty());
    // A new record that the pinned head does not have moves it.
    let newcomer = super::common::make_module("example.com/new", "v1.0.0", &[]);
    {
        let mut db = site.db.write().unwrap();
        (0..700).for_each(|n| _ = db.add_filler(20_000 + n));
        super::record(&mut db, &newcomer);
    }
    site.upstream.add(&newcomer);
    prove(&empty_client(&seed, &key).await, &newcomer, &key).await.unwrap();
    let moved = seed.status().await.sumdb.remove(0);
    assert_eq!((moved.head.unwrap().tree.records, moved.records), (tree.size + 701, 4));
    // The pinned head is as old after a restart as it was before.
    let pinned_at = seed.status().await.sumdb.remove(0).head.unwrap().pinned_at;
    let alone = TestNode::start_in(seed.stop().await, NodeOptions::default().proving(&key)).await;
    alone.wait_until(|status| status.sumdb[0].records == 4).await;
    assert_eq!(alone.status().await.sumdb.remove(0).head.unwrap().pinned_at, pinned_at);
}
