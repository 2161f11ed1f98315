//! Facts 1 to 8: routing and escaping, on the wire.

use super::fixtures::{modules, upstream};
use crate::common::go::{go, no_go_command};
use crate::common::node::{NodeOptions, TestNode};
use crate::common::process::{NodeProcess, READY, run};
use crate::common::wire::{authority, get};
use crate::common::{FixtureProxy, make_module};

const CASE: &str = "/example.com/%21upper/%21case/@v/v1.0.0-%21r%21c.1.mod";

#[tokio::test]
async fn fact_01_and_06_what_the_go_command_sends() {
    if no_go_command().await {
        return;
    }
    let (home, upstream) = (tempfile::tempdir().unwrap(), upstream().await);
    let args = ["mod", "download", "-json", "example.com/Upper/Case@v1.0.0-RC.1"];
    let ended = go(home.path(), home.path(), &upstream.url(), &args).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let requests = upstream.all_requests();
    assert!(requests.iter().any(|request| request.target == CASE), "{requests:?}");
    for request in requests {
        assert!(!request.target.contains('!'), "{request:?}");
        assert_eq!((request.method.as_str(), &*request.headers["accept-encoding"]), ("GET", "gzip"));
        for conditional in ["range", "if-none-match", "if-modified-since"] {
            assert!(!request.headers.contains_key(conditional), "{request:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_01_both_spellings_of_a_bang_are_answered_with_the_same_bytes() {
    let upstream = upstream().await;
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let want = modules().into_iter().find(|module| module.version == "v1.0.0-RC.1").unwrap();
    for target in
        [CASE, "/example.com/!upper/!case/@v/v1.0.0-!r!c.1.mod", "/example.com/%21upper/!case/@v/v1.0.0-!r%21c.1.mod"]
    {
        let got = get(&node.goproxy, target).await;
        assert_eq!((got.status, got.body), (200, want.go_mod.to_vec()), "{target}");
    }
    assert_eq!(get(&node.goproxy, "/example.com/%2521upper/%2521case/@v/list").await.status, 404, "decoded once only");
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_02_03_05_and_08_what_asks_for_nothing_is_404_and_asks_nobody() {
    let upstream = upstream().await;
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    for target in [
        // 2: escaping of path and version, each for itself.
        "/example.com/Upper/@v/list",
        "/example.com/!!upper/@v/list",
        "/example.com/!0/@v/list",
        "/example.com/upper!/@v/list",
        "/example.com/lib/@v/v1.0.0-RC.1.info",
        "/example.com/lib/@v/v1.0.0-!.mod",
        "/example.com/%/@v/list",
        "/example.com/%ff/@v/list",
        // 3: paths that no module has.
        "/lib/@v/list",
        "/example.com/aux/@latest",
        "/example.com/lib/v1/@v/list",
        "/gopkg.in/yaml/@v/list",
        "/example.com/a%00b/@v/list",
        // 5: paths that are not clean.
        "//example.com/lib/@v/list",
        "/example.com//lib/@v/list",
        "/example.com/x/../lib/@v/list",
        "/example.com/x/%2e%2e/lib/@v/list",
        "/example.com/lib/@v/list/",
        "/example.com/lib/@latest/",
        "/example.com/lib/@v/v1.0.0.zip/",
        // 8: versions that are not canonical, and the go command's own words.
        "/example.com/lib/@v/v1.mod",
        "/example.com/lib/@v/v1.0.zip",
        "/example.com/lib/@v/main.zip",
        "/example.com/lib/@v/v1.0.0+meta.mod",
        "/example.com/lib/@v/v2.0.0.zip",
        "/example.com/lib/@v/latest.info",
        "/example.com/lib/@v/upgrade.info",
        "/example.com/lib/@v/patch.info",
    ] {
        let got = get(&node.goproxy, target).await;
        assert_eq!(got.status, 404, "{target}: {}", got.text());
        assert!(got.text().starts_with("not found: ") && got.text().len() > 20, "{target}: {}", got.text());
    }
    assert_eq!(upstream.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_04_paths_that_differ_in_case_are_two_modules() {
    let both = [("rsc.io/quote", &b"package quote\n"[..]), ("rsc.io/QUOTE", b"package QUOTE\n")]
        .map(|(path, code)| make_module(path, "v1.5.2", &[("q.go", code)]));
    let upstream = FixtureProxy::start(&both).await;
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    for round in ["fetched", "held"] {
        for (target, module) in ["/rsc.io/quote", "/rsc.io/!q!u!o!t!e"].iter().zip(&both) {
            let got = node.get(&format!("{target}/@v/v1.5.2.zip")).await;
            assert_eq!((got.status, got.body), (200, module.zip.clone()), "{target} {round}");
        }
    }
}

#[tokio::test]
async fn fact_05_everything_of_the_goproxy_is_below_the_prefix_and_the_admin_api_is_not() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), upstream().await);
    let node = NodeProcess::start(dir.path(), &["--upstream", &upstream.url(), "--http-prefix", "/go/mod"]).await;
    let base = format!("http://{}", authority(&node.goproxy));
    assert_eq!(node.goproxy, format!("{base}/go/mod"), "{READY}");
    let file = node.node_file();
    assert_eq!((&file.http, &file.goproxy), (&base, &node.goproxy));
    assert_eq!(node.status().await.goproxy, node.goproxy);
    let env = run(&["env", "--data", node.data()]).await;
    let line = format!("export GOPROXY='{}'", node.goproxy);
    assert!(env.code == Some(0) && env.stdout.lines().any(|it| it == line), "{env:?}");
    let seeded = run(&["seed", "example.com/dep@latest", "--data", node.data()]).await;
    assert_eq!(seeded.code, Some(0), "the command finds the API: {seeded:?}");

    let file = "/example.com/dep/@v/v1.2.0.mod";
    for (target, status) in [
        (format!("/go/mod{file}"), 200),
        (format!("/go/mod/cached-only{file}"), 200),
        ("/-/status".into(), 200),
        (file.into(), 404),
        (format!("/cached-only{file}"), 404),
        (format!("/cached-only/go/mod{file}"), 404),
        (format!("/go/modx{file}"), 404),
        (format!("/go/mod/{file}"), 404),
        (format!("/go//mod{file}"), 404),
        (format!("/go/x/../mod{file}"), 404),
        ("/go/mod".into(), 404),
        ("/go/mod/".into(), 404),
        ("/go/mod/-/status".into(), 404),
        ("/sumdb/sum.example/supported".into(), 404),
        ("/go/mod/sumdb/sum.example/supported".into(), 404),
    ] {
        let got = get(&base, &target).await;
        assert_eq!(got.status, status, "{target}: {}", got.text());
    }
    assert!(get(&base, file).await.text().contains("below /go/mod"));
    if !no_go_command().await {
        let listed = go(dir.path(), dir.path(), &node.goproxy, &["list", "-m", "-versions", "example.com/dep"]).await;
        assert_eq!(listed.stdout, "example.com/dep v1.0.0 v1.2.0\n", "{listed:?}");
    }
}
