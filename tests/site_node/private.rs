//! What nobody outside of the site hears of.

use modswarm::admin::{SEED_PATH, TOKEN_FILE, TOKEN_HEADER};
use modswarm::domain::pattern::PrefixPatterns;

use super::common::node::{NodeOptions, TestNode};
use super::common::{FixtureModule, FixtureProxy, make_module};
use super::{PREFIX, file, lib, publish, with_policy};

/// All that can be asked for a module.
fn questions(module: &FixtureModule) -> Vec<String> {
    let path = &module.path;
    let mut all: Vec<String> = [".info", ".mod", ".zip"].map(|end| file(module, end)).into();
    all.extend(
        ["@v/list", "@latest", "@v/main.info", "@v/v1.info", "@v/0123456.info"].map(|end| format!("/{path}/{end}")),
    );
    all
}

async fn seed(node: &TestNode, query: &str) -> String {
    let token = std::fs::read_to_string(node.data().join(TOKEN_FILE)).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = client.post(format!("{}{SEED_PATH}", node.goproxy)).header(TOKEN_HEADER, token);
    let response = post.json(&serde_json::json!({ "queries": [query] })).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

#[tokio::test]
async fn fact_33_private_modules_are_404_without_a_word_to_any_upstream() {
    // The names are taken in public, too: by somebody else.
    let by_pattern = make_module("git.corp.example/secret", "v1.0.0", &[("a.go", b"package a\n")]);
    let by_prefix = lib("v1.9.9", "package lib // not ours\n");
    let public = make_module("corp.example/teams", "v1.0.0", &[("a.go", b"package a\n")]);
    let upstream = FixtureProxy::start(&[by_pattern.clone(), by_prefix.clone(), public.clone()]).await;
    let private: PrefixPatterns = "*.corp.example,example.com/x".parse().unwrap();
    let node = TestNode::start(NodeOptions { private, ..with_policy(NodeOptions::seed(&upstream.url())) }).await;
    for (module, words) in [(&by_pattern, "--private has *.corp.example"), (&by_prefix, "modswarm publish")] {
        for question in questions(module) {
            let got = node.get(&question).await;
            assert_eq!(got.status, 404, "{question}");
            assert!(got.text().contains(words), "{question}: {}", got.text());
        }
        for query in ["latest", "main", "v1.0.0", "v1.9.9"] {
            let said = seed(&node, &format!("{}@{query}", module.path)).await;
            assert!(said.contains("\"failed\":1") && said.contains(words), "{said}");
        }
    }
    assert_eq!(upstream.total(), 0, "not one request");
    for question in [file(&public, ".zip"), "/corp.example/teams/@v/list".into()] {
        assert_eq!(node.get(&question).await.status, 200, "{question}: what is not private is asked for");
    }
    assert!(upstream.total() > 0);

    publish(&node, &lib("v1.0.0", "package lib\n")).await;
    let asked = upstream.total();
    assert_eq!(node.get(&format!("/{PREFIX}/lib/@v/list")).await.text(), "v1.0.0\n", "only what is published");
    assert!(node.get(&format!("/{PREFIX}/lib/@latest")).await.text().contains("v1.0.0"));
    assert_eq!(upstream.total(), asked);
}

#[tokio::test]
async fn what_an_upstream_said_before_a_module_was_private_is_not_used_any_more() {
    let squatted = lib("v1.9.9", "package lib // not ours\n");
    let upstream = FixtureProxy::start(std::slice::from_ref(&squatted)).await;
    let before = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let (list, latest) = (format!("/{PREFIX}/lib/@v/list"), format!("/{PREFIX}/lib/@latest"));
    assert_eq!(before.get(&list).await.text(), "v1.9.9\n");
    assert_eq!(before.get(&latest).await.body, squatted.info);
    assert_eq!(before.get(&file(&squatted, ".zip")).await.body, squatted.zip);
    let asked = upstream.total();
    let node = TestNode::start_in(before.stop().await, with_policy(NodeOptions::seed(&upstream.url()))).await;
    for question in [&list, &latest, &file(&squatted, ".zip"), &file(&squatted, ".info")] {
        assert_eq!(node.get(question).await.status, 404, "{question}");
    }
    let ours = lib("v1.0.0", "package lib\n");
    publish(&node, &ours).await;
    assert_eq!(node.get(&list).await.text(), "v1.0.0\n");
    assert_eq!(node.get(&latest).await.body, ours.info);
    assert_eq!(upstream.total(), asked);
}
