//! Seeds that lie: nothing that is not proven or was not asked for enters, and who lies twice is banned.

use bytes::Bytes;
use std::time::Duration;

use modswarm::asking::{Answer, Question, ServeRules};
use modswarm::domain::dirhash::H1;

use super::common::node::{NodeOptions, TestNode};
use super::common::peer::{TestPeer, manifest_of, unproven};
use super::common::{FixtureModule, FixtureProxy, make_module};
use super::sumdb::FixtureDb;
use super::{answer_with, file, knows_all, versions};

fn envelope(module: &FixtureModule) -> Bytes {
    unproven(&manifest_of(module, |_| {}))
}

/// An envelope whose go.mod does not have the hash that it claims.
fn forged(module: &FixtureModule) -> Bytes {
    let mut manifest = manifest_of(module, |_| {});
    manifest.go_mod_h1 = H1::from_bytes([1; 32]);
    unproven(&manifest)
}

fn done(envelopes: Vec<Bytes>) -> Answer {
    Answer::Done { envelopes, age: Duration::ZERO }
}

/// A seed that always answers with these envelopes.
async fn liar(envelopes: Vec<Bytes>) -> TestPeer {
    let peer = TestPeer::start().await;
    answer_with(&peer, ServeRules::default(), move |_| Some(done(envelopes.clone())));
    peer
}

fn peer_of(peer: &TestPeer) -> NodeOptions {
    NodeOptions { peers: vec![peer.address.clone()], ..NodeOptions::default() }
}

/// Asks twice, since one lie may be a mistake; the second one is a ban.
async fn assert_refused_and_banned(node: &TestNode, liar: &TestPeer, paths: [&str; 2], word: &str) {
    for path in paths {
        let got = node.get(path).await;
        assert_eq!(got.status, 503, "{path}: {}", got.text());
        assert!(got.text().contains(word), "{path}: {}", got.text());
        assert!(got.text().contains(&liar.swarm.local_peer_id().to_string()), "{path}: {}", got.text());
    }
    node.wait_until(|status| status.peers.is_empty()).await;
    assert_eq!(node.status().await.store.versions, 0, "nothing of it is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_envelope_is_refused_and_its_sender_banned() {
    let [old, new] = versions();
    // What is right in the same answer is not taken either.
    let liar = liar(vec![envelope(&new), forged(&old)]).await;
    let node = knows_all(peer_of(&liar)).await;
    let paths = ["/example.com/lib/@v/list", "/example.com/lib/@latest"];
    assert_refused_and_banned(&node, &liar, paths, "its go.mod does not have the hash it claims").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_was_not_asked_for_is_refused() {
    let other = make_module("example.com/other", "v1.0.0", &[("a.go", b"package other\n")]);
    let [old, new] = versions();
    for (envelopes, paths) in [
        (vec![envelope(&other)], ["/example.com/lib/@v/list", "/example.com/lib/@v/main.info"]),
        (vec![envelope(&new)], ["/example.com/lib/@v/v1.0.0.zip", "/example.com/lib/@v/v1.0.0.mod"]),
        (vec![envelope(&old), envelope(&new)], ["/example.com/lib/@v/v1.0.0.zip", "/example.com/lib/@v/main.info"]),
        (vec![envelope(&old)], ["/example.com/lib/@v/v1.1.info", "/example.com/lib/@v/v1.2.info"]),
    ] {
        let liar = liar(envelopes).await;
        let node = knows_all(peer_of(&liar)).await;
        assert_refused_and_banned(&node, &liar, paths, "it answers with").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_checksum_database_takes_nothing_unproven_from_a_seed() {
    let [old, _] = versions();
    let liar = liar(vec![envelope(&old)]).await;
    let key = FixtureDb::with_records(3).key();
    let node = knows_all(peer_of(&liar).proving(&key)).await;
    let paths = ["/example.com/lib/@v/v1.0.0.zip", "/example.com/lib/@v/v1.0.0.mod"];
    assert_refused_and_banned(&node, &liar, paths, "comes without a proof").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_seed_delivers_whatever_the_other_one_says() {
    let modules = versions();
    let upstream = FixtureProxy::start(&modules).await;
    let honest = TestNode::start(NodeOptions::seed(&upstream.url())).await;
    let liar = liar(vec![forged(&modules[0])]).await;
    let peers = vec![liar.address.clone(), honest.peer_address.clone()];
    let node = knows_all(NodeOptions { peers, ..NodeOptions::default() }).await;
    for module in &modules {
        assert_eq!(node.get(&file(module, ".zip")).await.body, module.zip);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zip_that_a_seed_says_it_has_and_nobody_gives_is_no_miss() {
    let [old, _] = versions();
    let peer = TestPeer::start().await;
    let answer = done(vec![envelope(&old)]);
    answer_with(&peer, ServeRules::default(), move |question| match question {
        Question::Obtain { .. } => Some(answer.clone()),
        _ => Some(Answer::Miss("no".into())),
    });
    let node = knows_all(peer_of(&peer)).await;
    let got = node.get(&file(&old, ".zip")).await;
    assert_eq!(got.status, 503, "{}", got.text());
    assert_eq!(node.get(&file(&old, ".mod")).await.body, old.go_mod, "the envelope has it");
}
