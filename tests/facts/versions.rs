//! Facts 9 to 14: which versions there are, and which one a text stands for.

use super::fixtures::{MAIN, PSEUDO, queries, upstream};
use crate::common::go::{forget_modules, go, no_go_command};
use crate::common::node::{NodeOptions, TestNode};
use crate::common::process::{NodeProcess, run};
use crate::common::{Fault, FixtureProxy, make_module};

/// What an `.info` is about.
async fn version_of(node: &TestNode, path: &str) -> (u16, String) {
    let got = node.get(path).await;
    let json: serde_json::Value = serde_json::from_slice(&got.body).unwrap_or_default();
    (got.status, json["Version"].as_str().unwrap_or_default().to_owned())
}

async fn hold(node: &TestNode, path: &str, versions: &[&str]) {
    for version in versions {
        let got = node.get(&format!("/{path}/@v/{version}.zip")).await;
        assert_eq!(got.status, 200, "{path}@{version}: {}", got.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_09_a_query_is_mutable_and_a_version_is_not() {
    let upstream = upstream().await;
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    for (path, query, version) in queries() {
        let info = format!("/{path}/@v/{query}.info");
        assert_eq!(version_of(&node, &info).await, (200, version.to_owned()), "{info}");
        assert_eq!(node.get(&info).await.headers["cache-control"], "public, max-age=60", "{info}");
    }
    let canonical = format!("/example.com/lib/@v/{MAIN}.info");
    assert_eq!(version_of(&node, &canonical).await, (200, MAIN.to_owned()));
    assert_eq!(node.get(&canonical).await.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(version_of(&node, "/example.com/lib/@v/nonsense.info").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_09_prefixes_and_short_hashes_need_no_network() {
    let upstream = upstream().await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    hold(&seed, "example.com/lib", &["v0.9.0", "v1.0.0", "v1.0.1", "v1.2.0-rc.1", MAIN]).await;
    hold(&seed, "example.com/old", &["v1.0.0", "v2.0.0+incompatible"]).await;
    let node = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    node.wait_for(1, 7).await;
    drop(upstream);
    let dir = node.stop().await;
    let alone = TestNode::start_in(dir, NodeOptions::default()).await;
    for (query, version) in [
        ("lib/@v/v1", "v1.0.1"),
        ("lib/@v/v1.0", "v1.0.1"),
        ("lib/@v/v1.2", "v1.2.0-rc.1"),
        ("lib/@v/v0", "v0.9.0"),
        ("lib/@v/abcdefa", MAIN),
        ("lib/@v/abcdefabcdef", MAIN),
        ("lib/@v/abcdefabcdef0123456789abcdef0123456789ab", MAIN),
        ("old/@v/v2", "v2.0.0+incompatible"),
    ] {
        let got = version_of(&alone, &format!("/example.com/{query}.info")).await;
        assert_eq!(got, (200, version.to_owned()), "{query}");
    }
    for query in ["lib/@v/main", "lib/@v/v3", "lib/@v/abcdef", "lib/@v/fedcbafedcba", "none/@v/v1"] {
        assert_eq!(alone.get(&format!("/example.com/{query}.info")).await.status, 404, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_10_incompatible_stays_in_the_version_the_path_and_the_zip() {
    let upstream = upstream().await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    for spelling in ["v2.0.0+incompatible", "v2.0.0%2Bincompatible"] {
        let base = format!("/example.com/old/@v/{spelling}");
        assert_eq!(version_of(&seed, &format!("{base}.info")).await, (200, "v2.0.0+incompatible".to_owned()));
        let zip = seed.get(&format!("{base}.zip")).await.body;
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
        assert_eq!(zip.by_index(0).unwrap().name(), "example.com/old@v2.0.0+incompatible/p.go");
    }
    assert_eq!(seed.get("/example.com/old/@v/v2.0.0.zip").await.status, 404, "no such version without the suffix");
    assert_eq!(seed.get("/example.com/lib/v2/@v/v2.0.0+incompatible.zip").await.status, 404, "a path has its major");
    let node = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    node.wait_for(1, 1).await;
    assert_eq!(node.get("/example.com/old/@v/list").await.text(), "v2.0.0+incompatible\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_11_and_12_a_pseudo_version_is_served_and_never_listed_and_an_empty_list_is_no_404() {
    let upstream = upstream().await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    hold(&seed, "example.com/pseudo", &[PSEUDO]).await;
    let node = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    node.wait_for(1, 1).await;
    for node in [&seed, &node] {
        for end in ["info", "mod", "zip"] {
            assert_eq!(node.get(&format!("/example.com/pseudo/@v/{PSEUDO}.{end}")).await.status, 200, "{end}");
        }
        let list = node.get("/example.com/pseudo/@v/list").await;
        assert_eq!((list.status, list.text().as_str()), (200, ""), "exists, without tags");
        assert_eq!(node.get("/example.com/none/@v/list").await.status, 404, "unknown");
    }
}

#[tokio::test]
async fn fact_12_a_list_never_shrinks_and_what_it_names_can_be_served() {
    const LIST: &str = "/example.com/lib/@v/list";
    let (dir, second, upstream) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), upstream().await);
    // Each list is asked for anew.
    let seed = NodeProcess::start(dir.path(), &["--upstream", &upstream.url(), "--fresh", "0s"]).await;
    let get = |node: &NodeProcess, path: &str| {
        let url = format!("{}{path}", node.goproxy);
        async move { crate::common::node::get(&url).await }
    };
    for version in ["v1.0.0", "v1.0.1"] {
        assert_eq!(get(&seed, &format!("/example.com/lib/@v/{version}.zip")).await.status, 200);
    }
    let all = "v0.9.0\nv1.0.0\nv1.0.1\nv1.1.0\nv1.2.0-rc.1\n";
    assert_eq!(get(&seed, LIST).await.text(), all);
    // The upstream takes versions back, does not know the module, fails: what was listed stays listed, once, sorted.
    for fault in ["v1.0.1\nv0.9.0\nv0.9.0\n", ""] {
        upstream.always(LIST, Fault::Answer(200, vec![], fault.into()));
        assert_eq!(get(&seed, LIST).await.text(), all);
    }
    for status in [404, 410, 403, 500] {
        upstream.always(LIST, Fault::Status(status));
        let got = get(&seed, LIST).await;
        assert!(got.status == 200 && got.text().contains("v1.0.0\nv1.0.1\n"), "{status}: {}", got.text());
    }
    // A peer lists what can be had in the site, and all of that can be had. The seed is asked for nothing newer: what it says
    // of this module fails.
    let node = NodeProcess::start(second.path(), &["--peer", &seed.peer_address().await]).await;
    node.wait_until(|status| status.store.versions == 2).await;
    upstream.always("/example.com/lib/@latest", Fault::Status(500));
    let listed = get(&node, LIST).await.text();
    assert_eq!(listed, "v1.0.0\nv1.0.1\n");
    for version in listed.lines() {
        for end in ["info", "mod", "zip"] {
            assert_eq!(get(&node, &format!("/example.com/lib/@v/{version}.{end}")).await.status, 200, "{version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_13_latest_is_a_release_a_pre_release_or_a_pseudo_version_also_offline() {
    let ladder = ["v0.0.0-20190501000000-0123456789ab", "v1.0.0-rc.1", "v1.0.0-rc.2", "v0.5.0", "v1.0.0"];
    let modules = ladder.map(|version| make_module("example.com/m", version, &[("m.go", b"package m\n")]));
    let upstream = FixtureProxy::start(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let node = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    for (count, version) in ladder.iter().enumerate() {
        hold(&seed, "example.com/m", &[version]).await;
        node.wait_for(1, count as u64 + 1).await;
        // A release counts before any pre-release, however high that is. The seed, if it were asked, could get more.
        let got = node.get("/cached-only/example.com/m/@latest").await;
        assert_eq!((got.status, got.body), (200, modules[count].info.clone()), "{version}");
        assert_eq!(got.headers["cache-control"], "public, max-age=60");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_13_where_latest_is_missing_the_list_decides_and_where_it_fails_nothing_does() {
    for (status, want) in [(404, 200), (410, 200), (403, 403), (500, 503)] {
        let upstream = upstream().await;
        upstream.always("/example.com/lib/@latest", Fault::Status(status));
        let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
        let got = node.get("/example.com/lib/@latest").await;
        assert_eq!(got.status, want, "{status}: {}", got.text());
    }
}

#[tokio::test]
async fn fact_14_retractions_and_deprecations_come_with_what_is_seeded() {
    if no_go_command().await {
        return;
    }
    let (dir, second, home) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let upstream = upstream().await;
    // A proxy that does not offer what retracts itself as the latest: the list decides.
    upstream.put("/example.com/dep/@latest", br#"{"Version":"v1.0.0"}"#);
    let seed = NodeProcess::seed(dir.path(), &upstream.url()).await;
    let wanted = ["example.com/dep@v1.1.0", "example.com/gone@v1.0.0", "example.com/lib@v1.0.0"];
    let seeded = run(&[&["seed", "--data", seed.data()], &wanted[..]].concat()).await;
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
    assert!(seeded.stdout.contains("3 more fetched as the latest"), "{}", seeded.stdout);
    let store = seed.status().await.store;
    assert_eq!((store.versions, store.zips), (6, 5), "lib's latest takes nothing back, so its go.mod is enough");
    drop(upstream);
    let node = NodeProcess::start(second.path(), &["--peer", &seed.peer_address().await]).await;
    node.wait_until(|status| status.store.versions == 6).await;
    assert_eq!(seed.end("TERM").await.code, Some(0));

    let app = home.path().join("app");
    std::fs::create_dir(&app).unwrap();
    let requires: String = wanted.iter().map(|it| format!("require {}\n", it.replace('@', " "))).collect();
    std::fs::write(app.join("go.mod"), format!("module example.com/app\n\ngo 1.21\n\n{requires}")).unwrap();
    for (line, want) in [
        ("list -m -versions example.com/dep", "example.com/dep v1.2.0\n"),
        ("list -m -retracted -versions example.com/dep", "example.com/dep v1.1.0 v1.2.0\n"),
        (
            "list -mod=mod -m -u all",
            "example.com/app\nexample.com/dep v1.1.0 (retracted) [v1.2.0]\nexample.com/gone v1.0.0 [v1.0.1] (deprecated)\n\
             example.com/lib v1.0.0\n",
        ),
    ] {
        forget_modules(home.path());
        let ended = go(home.path(), &app, &node.goproxy, &line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), want), "go {line}: {}", ended.stderr);
    }
}
