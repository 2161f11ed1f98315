//! Facts 23 to 27: what a node says when it has no answer, and what the user of the go command sees of it.

use crate::common::go::{go, no_go_command};
use crate::common::node::{NodeOptions, TestNode};
use crate::common::process::Ended;
use crate::common::wire::{ask, get, send};
use crate::common::{Fault, FixtureModule, FixtureProxy, make_module, noise};

const LIST: &str = "/example.com/m/@v/list";
const INFO: &str = "/example.com/m/@v/v1.0.0.info";
const ZIP: &str = "/example.com/m/@v/v1.0.0.zip";

fn module() -> FixtureModule {
    make_module("example.com/m", "v1.0.0", &[("m.go", b"package m\n"), ("data", &noise(50_000, 1))])
}

/// A node that knows `module` from a seed which is gone.
async fn left_alone(module: &FixtureModule) -> TestNode {
    let upstream = FixtureProxy::start(std::slice::from_ref(module)).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(seed.get(ZIP).await.status, 200);
    let node = TestNode::start(NodeOptions::peer_of(&[&seed])).await;
    node.wait_for(1, 1).await;
    seed.stop().await;
    node.wait_until(|status| status.peers.is_empty()).await;
    node
}

/// What a user sees who downloads `module` through `goproxy`.
async fn download(goproxy: &str, module: &str) -> Ended {
    let home = tempfile::tempdir().unwrap();
    go(home.path(), home.path(), goproxy, &["mod", "download", module]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_23_a_miss_lets_the_go_command_go_on_to_the_next_proxy_and_a_refusal_does_not() {
    if no_go_command().await {
        return;
    }
    let (module, next) = (module(), FixtureProxy::start(&[module()]).await);
    let upstream = FixtureProxy::start(&[]).await;
    for status in [404, 410] {
        upstream.always(INFO, Fault::Status(status));
        upstream.always(ZIP, Fault::Status(status));
        let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
        assert_eq!(node.get(INFO).await.status, 404);
        let ended = download(&format!("{},{}", node.goproxy, next.url()), "example.com/m@v1.0.0").await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let asked = next.total();
    upstream.add(&module);
    upstream.always(INFO, Fault::Status(403));
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(node.get(INFO).await.status, 403);
    let ended = download(&format!("{},{}", node.goproxy, next.url()), "example.com/m@v1.0.0").await;
    assert_eq!((ended.code, next.total()), (Some(1), asked), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_24_what_is_known_and_cannot_be_had_now_sends_nobody_to_the_next_proxy() {
    if no_go_command().await {
        return;
    }
    let (module, next) = (module(), FixtureProxy::start(&[module()]).await);
    let away = left_alone(&module).await;
    let down = FixtureProxy::start(&[]).await;
    down.always(INFO, Fault::Status(502));
    let failing = TestNode::start(NodeOptions::seed(&down.url())).await;
    for (node, path) in [(&away, ZIP), (&failing, INFO)] {
        let got = node.get(path).await;
        assert_eq!((got.status, &got.headers["retry-after"]), (503, &"5".parse().unwrap()), "{}", got.text());
        let ended = download(&format!("{},{}", node.goproxy, next.url()), "example.com/m@v1.0.0").await;
        assert_eq!((ended.code, next.total()), (Some(1), 0), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_25_the_user_of_the_go_command_reads_one_sentence_on_each_kind_of_failure() {
    if no_go_command().await {
        return;
    }
    let module = module();
    let alone = TestNode::start(NodeOptions::default()).await;
    let away = left_alone(&module).await;
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    upstream.always("/example.com/secret/@v/v1.0.0.info", Fault::Status(403));
    let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let gone = FixtureProxy::start(&[]).await.url();
    let cut_off = TestNode::start(NodeOptions::seed(&gone)).await;
    for (node, module, want) in [
        (
            &alone,
            "example.com/none@v1.0.0",
            "info: 404 Not Found\n\tserver response: no node of this site has example.com/none@v1.0.0: \
             `modswarm seed example.com/none@v1.0.0` on a node that has an upstream brings it in",
        ),
        (
            &away,
            "example.com/m@v1.9.9",
            "info: 404 Not Found\n\tserver response: no node of this site has example.com/m@v1.9.9 (but other \
             versions, up to v1.0.0): `modswarm seed example.com/m@v1.9.9` on a node that has an upstream brings it in",
        ),
        (
            &away,
            "example.com/m@v1.0.0",
            "zip: 503 Service Unavailable\n\tserver response: unavailable: example.com/m@v1.0.0 cannot be had from the peers \
             now: 1 blob could not be fetched: no peer is connected; try again when a peer that has them is back",
        ),
        (
            &seed,
            "example.com/none@v1.0.0",
            "info: 404 Not Found\n\tserver response: not found: the fixture has no /example.com/none/@v/v1.0.0.info",
        ),
        (
            &seed,
            "example.com/secret@v1.0.0",
            "info: 403 Forbidden\n\tserver response: refused: UPSTREAM refuses the info of example.com/secret@v1.0.0 with \
             status 403 (\"fixture: status 403\"): check the URL, the credentials and that proxy's policy",
        ),
        (
            &cut_off,
            "example.com/m@v1.0.0",
            "info: 503 Service Unavailable\n\tserver response: unavailable: UPSTREAM did not give the info of \
             example.com/m@v1.0.0 in 5 attempts: it cannot be reached (Connection refused (os error 111)); look at the line \
             to it, then ask again",
        ),
    ] {
        let ended = download(&node.goproxy, module).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let told = ended.stderr.replace(&upstream.url(), "UPSTREAM").replace(&gone, "UPSTREAM");
        let (path, version) = module.split_once('@').unwrap();
        let from = format!("go: {module}: reading {}/{path}/@v/{version}.", node.goproxy);
        assert_eq!(told.trim_end(), from + want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_25_an_error_body_is_short_printable_text() {
    let upstream = FixtureProxy::start(&[]).await;
    let noisy = format!("\n\n\u{1b}[31mred\u{7}\n{}", "line\n".repeat(50));
    upstream.always(INFO, Fault::Answer(404, vec![], noisy.into()));
    upstream.always(ZIP, Fault::Answer(403, vec![], "<html>".into()));
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    for target in [INFO, ZIP, LIST, "/x", "/%1b%5b31m", "/-", "/example.com/m/@v/a%0ab.info"] {
        let got = get(&node.goproxy, target).await;
        assert!(got.status >= 400, "{target}");
        assert_eq!(got.header("content-type"), "text/plain; charset=utf-8", "{target}");
        let text = String::from_utf8(got.body).unwrap();
        assert!((1..=8).contains(&text.lines().count()) && text.ends_with('\n'), "{target}: {text:?}");
        assert!(!text.lines().next().unwrap().trim().is_empty(), "{target}: {text:?}");
        assert!(text.lines().flat_map(str::chars).all(|c| !c.is_control()), "{target}: {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_26_the_go_command_asks_once_and_a_node_asks_again() {
    let module = module();
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    if !no_go_command().await {
        upstream.script(INFO, [Fault::Status(503)]);
        let ended = download(&upstream.url(), "example.com/m@v1.0.0").await;
        assert_eq!((ended.code, upstream.count(INFO)), (Some(1), 1), "{ended:?}");
    }
    let before = upstream.count(INFO);
    for path in [INFO, ZIP] {
        upstream.script(path, [Fault::Status(503), Fault::HangUp]);
    }
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let got = node.get(ZIP).await;
    assert_eq!((got.status, got.body), (200, module.zip.clone()));
    assert_eq!(upstream.count(INFO) - before, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_26_a_node_goes_on_fetching_when_the_client_has_left() {
    let module = module();
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    upstream.hold();
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let client = send(&node.goproxy, "GET", ZIP, &[]).await;
    upstream.wait_in_flight(2).await;
    drop(client);
    // `.info` and go.mod, then the zip.
    upstream.release(3);
    node.wait_until(|status| status.store.zips == 1).await;
    assert_eq!(get(&node.goproxy, &format!("/cached-only{ZIP}")).await.body, module.zip);
    assert_eq!(upstream.count(ZIP), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_27_every_answer_says_that_it_depends_on_the_header() {
    let module = module();
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let no_fetch = [("Disable-Module-Fetch", "true")];
    for target in [INFO, ZIP, LIST, "/example.com/m/@latest", "/example.com/m/@v/v1.info"] {
        for got in [
            ask(&node.goproxy, "GET", target, &no_fetch).await,
            ask(&node.goproxy, "GET", target, &[("disable-module-fetch", "TRUE")]).await,
            get(&node.goproxy, &format!("/cached-only{target}")).await,
        ] {
            assert_eq!((got.status, got.header("vary")), (404, "Disable-Module-Fetch"), "{target}: {}", got.text());
        }
    }
    assert_eq!(upstream.total(), 0);
    for target in [ZIP, LIST, "/example.com/m/@latest"] {
        assert_eq!(
            ask(&node.goproxy, "GET", target, &[("Disable-Module-Fetch", "false")]).await.status,
            200,
            "{target}"
        );
    }
    for target in [INFO, ZIP, LIST, "/example.com/m/@latest"] {
        for got in [
            ask(&node.goproxy, "GET", target, &no_fetch).await,
            get(&node.goproxy, &format!("/cached-only{target}")).await,
            get(&node.goproxy, target).await,
        ] {
            assert_eq!((got.status, got.header("vary")), (200, "Disable-Module-Fetch"), "{target}: {}", got.text());
        }
    }
    // No module, and so no way around the header either.
    for target in ["/cached-only", "/cached-only/", "/cached-onlyx/example.com/m/@v/list"] {
        assert_eq!(get(&node.goproxy, target).await.status, 404, "{target}");
    }
}
