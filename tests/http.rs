//! The GOPROXY endpoint as other HTTP clients see it: methods, ranges, validators, headers.

#![allow(clippy::unwrap_used)]

mod common;

use common::node::{NodeOptions, TestNode};
use common::{FixtureModule, FixtureProxy, make_module, noise};
use reqwest::{Method, Response, StatusCode};

const ZIP: &str = "/example.com/lib/@v/v1.0.0.zip";

async fn ask(node: &TestNode, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    modswarm::upstream::install_crypto();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, format!("{}{path}", node.goproxy));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

async fn seeded() -> (FixtureModule, FixtureProxy, TestNode) {
    let files = [("a.go", &b"package a\n"[..]), ("b.bin", &noise(3 << 20, 1)), ("c.bin", &noise(40_000, 2))];
    let module = make_module("example.com/lib", "v1.0.0", &files);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    assert_eq!(node.get(ZIP).await.status, 200);
    (module, upstream, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_06_get_and_head_only() {
    let (module, _upstream, node) = seeded().await;
    let head = ask(&node, Method::HEAD, ZIP, &[]).await;
    assert_eq!(header(&head, "content-length"), module.zip.len().to_string());
    assert_eq!(header(&head, "content-type"), "application/zip");
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let refused = ask(&node, method, ZIP, &[]).await;
        assert_eq!((refused.status().as_u16(), header(&refused, "allow")), (405, "GET, HEAD".into()));
    }
    // gzip is only for those who ask, and a zip does not get smaller by it.
    let plain = ask(&node, Method::GET, "/example.com/lib/@v/v1.0.0.mod", &[("accept-encoding", "gzip")]).await;
    assert_eq!(header(&plain, "content-encoding"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_21_any_range_of_a_zip_is_the_bytes_of_the_zip() {
    let (module, _upstream, node) = seeded().await;
    let len = module.zip.len();
    for (start, end) in [(0, 1), (0, 40), (29, 200), (1 << 20, (1 << 20) + 1), (100, (2 << 20) + 77), (len - 300, len)]
    {
        let part = ask(&node, Method::GET, ZIP, &[("range", &format!("bytes={start}-{}", end - 1))]).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(header(&part, "content-range"), format!("bytes {start}-{}/{len}", end - 1));
        assert_eq!(part.bytes().await.unwrap(), module.zip[start..end], "{start}..{end}");
    }
    let beyond = ask(&node, Method::GET, ZIP, &[("range", &format!("bytes={len}-"))]).await;
    assert_eq!((beyond.status().as_u16(), header(&beyond, "content-range")), (416, format!("bytes */{len}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_21_an_etag_is_the_same_on_all_nodes() {
    let (_module, _upstream, node) = seeded().await;
    let second = TestNode::start(NodeOptions::peer_of(&[&node])).await;
    second.wait_for(1, 1).await;
    for path in [ZIP, "/example.com/lib/@v/v1.0.0.info", "/example.com/lib/@v/v1.0.0.mod"] {
        let (here, there) = (ask(&node, Method::GET, path, &[]).await, ask(&second, Method::GET, path, &[]).await);
        let etag = header(&here, "etag");
        assert!(etag.len() == 66 && etag.starts_with('"'), "{etag}");
        assert_eq!(etag, header(&there, "etag"), "{path}");
        let unchanged = ask(&second, Method::GET, path, &[("if-none-match", &etag)]).await;
        assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_27_no_fetch_when_the_client_says_so() {
    let module = make_module("example.com/lib", "v1.0.0", &[("a.go", b"package a\n")]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&module)).await;
    let node = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let refused = ask(&node, Method::GET, ZIP, &[("disable-module-fetch", "true")]).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "vary")), (404, "Disable-Module-Fetch".into()));
    assert_eq!(node.get(&format!("/cached-only{ZIP}")).await.status, 404);
    assert_eq!(upstream.total(), 0);
    assert_eq!(node.get(ZIP).await.status, 200);
    assert_eq!(node.get(&format!("/cached-only{ZIP}")).await.body, module.zip);
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_07_parent_paths_are_misses_that_cost_the_upstream_one_question() {
    let (_module, upstream, node) = seeded().await;
    for _ in 0..5 {
        assert_eq!(node.get("/example.com/lib/sub/@v/list").await.status, 404);
        assert_eq!(node.get("/example.com/lib/sub/@v/v1.0.0.info").await.status, 404);
    }
    assert_eq!(upstream.count("/example.com/lib/sub/@v/list"), 1);
    assert_eq!(upstream.count("/example.com/lib/sub/@v/v1.0.0.info"), 1);
    let before = upstream.total();
    for path in [
        "/rsc.io/@v/v1",
        "/nodot/@v/list",
        "/example.com/Upper/@v/list",
        "/example.com/lib/@v/../x",
        "/",
        "/favicon.ico",
    ] {
        assert_eq!(node.get(path).await.status, 404, "{path}");
    }
    assert_eq!(upstream.total(), before, "what is no request never leaves the node");
}
