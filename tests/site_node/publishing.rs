//! Publishing on one node: what is taken, what is refused with which words, and what stays as it is.

use bytes::Bytes;
use modswarm::admin::{PUBLISH_PATH, PublishAnswer, PublishRequest, TOKEN_HEADER};
use modswarm::domain::publication::Publication;

use super::common::node::{NodeOptions, TestNode, get};
use super::common::{FixtureModule, make_module};
use super::{PREFIX, assert_serves, file, lib, publication, publish, request, stranger, submit, team, with_policy};

async fn node() -> TestNode {
    TestNode::start(with_policy(NodeOptions::default())).await
}

#[tokio::test]
async fn what_is_published_is_served_and_listed_also_after_a_restart() {
    let node = node().await;
    let module = lib("v1.0.0", "package lib\n");
    let (status, said) = submit(&node, &request(&module, &team()), &module.zip).await;
    assert_eq!(status, 200, "{said}");
    let answer: PublishAnswer = serde_json::from_str(&said).unwrap();
    let signed = publication(&module);
    assert_eq!(answer.module, format!("{PREFIX}/lib@v1.0.0"));
    assert_eq!((answer.h1, answer.go_mod_h1), (signed.zip_h1.to_string(), signed.go_mod_h1.to_string()));
    assert_eq!((answer.already, answer.zip_bytes), (false, module.zip.len() as u64));
    assert!(answer.stored_bytes > 0);
    assert_serves(&node, &module).await;
    let node = TestNode::start_in(node.stop().await, with_policy(NodeOptions::default())).await;
    assert_serves(&node, &module).await;
    assert_eq!(node.get(&format!("/{PREFIX}/lib/@v/list")).await.text(), "v1.0.0\n");
    assert_eq!(node.get(&format!("/{PREFIX}/lib/@latest")).await.body, module.info);
}

#[tokio::test]
async fn the_same_content_again_is_no_error_and_changes_nothing() {
    let node = node().await;
    let module = lib("v1.0.0", "package lib\n");
    publish(&node, &module).await;
    // A later run of the same release says another time.
    let later =
        FixtureModule { info: r#"{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}"#.into(), ..module.clone() };
    for again in [&module, &later] {
        let (status, said) = submit(&node, &request(again, &team()), &again.zip).await;
        let answer: PublishAnswer = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{status} {said}"));
        assert!(answer.already && answer.stored_bytes == 0, "{said}");
    }
    assert_serves(&node, &module).await;
}

#[tokio::test]
async fn other_content_under_the_same_version_is_refused_and_both_are_named() {
    let node = node().await;
    let (first, second) = (lib("v1.0.0", "package lib\n"), lib("v1.0.0", "package lib // mine\n"));
    publish(&node, &first).await;
    let before = node.status().await.store.blobs;
    let (status, said) = submit(&node, &request(&second, &team()), &second.zip).await;
    assert_eq!(status, 409, "{said}");
    for module in [&first, &second] {
        assert!(said.contains(&publication(module).zip_h1.to_string()), "{said}");
    }
    assert!(said.contains("published already with other content") && said.contains("another version"), "{said}");
    assert_serves(&node, &first).await;
    assert_eq!(node.status().await.store.blobs, before, "nothing of it is stored");
}

#[tokio::test]
async fn who_may_not_publish_is_told_which_line_to_add_to_which_file() {
    let node = node().await;
    let site_file = node.data().join("site.toml").display().to_string();
    let elsewhere = make_module("corp.example/other", "v1.0.0", &[("a.go", b"package a\n")]);
    let line = format!("\"corp.example/other\" = [\"{}\"]", team().verifier());
    let ours = lib("v1.0.0", "package lib\n");
    let both = format!("\"{PREFIX}\" = [\"{}\", \"{}\"]", team().verifier(), stranger().verifier());
    for (module, signer, line, words) in [
        (&elsewhere, team(), line, "no prefix in the site file of this node covers it"),
        (&ours, stranger(), both, "signed by none of the keys"),
    ] {
        let (status, said) = submit(&node, &request(module, &signer), &module.zip).await;
        assert_eq!(status, 409, "{said}");
        for word in [words, &site_file, &line, "[publishers]"] {
            assert!(said.contains(word), "{word} is not in {said}");
        }
        assert_eq!(node.get(&file(module, ".info")).await.status, 404);
    }
    // Without a policy nobody publishes anything.
    let open = TestNode::start(NodeOptions::default()).await;
    let (status, said) = submit(&open, &request(&ours, &team()), &ours.zip).await;
    assert!(status == 409 && said.contains("no prefix in the site file"), "{status} {said}");
    assert_eq!(open.status().await.store.blobs, 0);
}

#[tokio::test]
async fn zip_signature_and_claims_have_to_belong_together() {
    let node = node().await;
    let (module, other) = (lib("v1.0.0", "package lib\n"), lib("v1.0.0", "package lib // other\n"));
    let right = request(&module, &team());
    let renamed = PublishRequest { module: format!("{PREFIX}/lib@v1.0.1"), ..right.clone() };
    let retold = PublishRequest { info: r#"{"Version":"v1.0.0"}"#.into(), ..right.clone() };
    let torn = PublishRequest { note: right.note.replace("v1.0.0", "v1.0.1"), ..right.clone() };
    for (request, zip, words) in [
        (&right, &other.zip, "the publication is of another zip"),
        (&right, &module.zip.slice(..module.zip.len() - 1), "the publication is of another zip"),
        (&right, &module.zip.slice(..0), "the publication is of another zip"),
        (&renamed, &module.zip, "the publication is of another module version"),
        (&retold, &module.zip, "the publication is of another .info"),
        (&torn, &module.zip, "the signature of corp-team"),
    ] {
        let (status, said) = submit(&node, request, zip).await;
        assert!(status == 422 && said.contains(words), "{words}: {status} {said}");
    }
    // What the publisher has signed by mistake is no better.
    let signed = |change: &dyn Fn(&mut Publication), zip: &[u8]| {
        let mut signed = publication(&module);
        (signed.zip_blake3, signed.zip_len) = (*blake3::hash(zip).as_bytes(), zip.len() as u64);
        change(&mut signed);
        PublishRequest { note: String::from_utf8(signed.sign(&team()).unwrap()).unwrap(), ..right.clone() }
    };
    let moved = make_module(&format!("{PREFIX}/lib"), "v1.0.1", &[("lib.go", b"package lib\n")]);
    let zip_h1 = publication(&other).zip_h1;
    for (zip, change, words) in [
        (&other.zip, &|_: &mut Publication| {}, "the zip of corp.example/team/lib@v1.0.0 has the hash"),
        (&moved.zip, &|_| {}, "cannot be published"),
        (&module.zip.slice(9..), &|_| {}, "cannot be published"),
        (&module.zip, &|it| it.go_mod_h1 = zip_h1, "the go.mod of corp.example/team/lib@v1.0.0 has the hash"),
    ] as [(&Bytes, &dyn Fn(&mut Publication), &str); 4]
    {
        let (status, said) = submit(&node, &signed(change, zip), zip).await;
        assert!(status == 422 && said.contains(words), "{words}: {status} {said}");
    }
    assert_eq!(node.status().await.store.versions, 0);
    publish(&node, &module).await;
    assert_serves(&node, &module).await;
}

#[tokio::test]
async fn publishing_needs_the_token() {
    let node = node().await;
    let url = format!("{}{PUBLISH_PATH}", node.goproxy);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for token in ["", "guessed"] {
        let response = client.post(&url).header(TOKEN_HEADER, token).body(vec![0; 9]).send().await.unwrap();
        assert_eq!(response.status(), 403);
        assert!(response.text().await.unwrap().contains("needs the token"));
    }
    assert_eq!(get(&url).await.status, 405);
}
