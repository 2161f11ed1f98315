//! Seeds as a service to their site: obtaining, freshness, and seeds that lie, stay silent or are flooded.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/sumdb.rs"]
mod sumdb;

mod fresh;
mod go;
mod hostile;
mod liars;
mod obtain;
mod proven;
mod rules;

use std::time::Duration;

use futures::future::BoxFuture;
use modswarm::asking::{Answer, Question, Seed, ServeRules, serve};

use common::node::{Got, NodeOptions, TestNode};
use common::peer::TestPeer;
use common::{FixtureModule, escape, make_module};

/// The path of one of a module version's files.
pub(crate) fn file(module: &FixtureModule, end: &str) -> String {
    format!("/{}/@v/{}{end}", escape(&module.path), escape(&module.version))
}

/// Two versions of one module.
pub(crate) fn versions() -> [FixtureModule; 2] {
    ["v1.0.0", "v1.1.0"].map(|version| {
        let code = format!("package lib\n\nconst Version = \"{version}\"\n");
        make_module("example.com/lib", version, &[("lib.go", code.as_bytes())])
    })
}

/// A node that takes no answer for fresh.
pub(crate) fn never_fresh(options: NodeOptions) -> NodeOptions {
    options.fresh(Duration::ZERO)
}

/// A workstation that knows its seed.
pub(crate) async fn workstation(seed: &TestNode) -> TestNode {
    knows_all(NodeOptions::peer_of(&[seed])).await
}

/// A node that knows which of its peers are seeds.
pub(crate) async fn knows_all(options: NodeOptions) -> TestNode {
    let peers = options.peers.len();
    let node = TestNode::start(options).await;
    node.wait_for_introductions(peers).await;
    node
}

pub(crate) fn age(got: &Got) -> Option<u64> {
    got.headers.get("age").map(|age| age.to_str().unwrap().parse().unwrap())
}

/// What a test says when it is asked: `None` never answers.
type Says = dyn Fn(&Question) -> Option<Answer> + Send + Sync;

/// A seed that says what a test wants.
struct Scripted(Box<Says>);

impl Seed for Scripted {
    fn at_hand<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Option<Answer>> {
        Box::pin(std::future::ready(None))
    }

    fn seek<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer> {
        match (self.0)(question) {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// Makes a peer a seed that says what a test wants.
pub(crate) fn answer_with(
    peer: &TestPeer,
    rules: ServeRules,
    says: impl Fn(&Question) -> Option<Answer> + Send + Sync + 'static,
) {
    serve(peer.swarm.stream_control(), std::sync::Arc::new(Scripted(Box::new(says))), rules, peer.stop.clone())
        .unwrap();
}
