//! Nodes of a site with publishers of its own: what is published, who takes it, and what nobody outside hears of.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/sumdb.rs"]
mod sumdb;

mod commands;
mod go;
mod private;
mod publishing;
mod travel;

use modswarm::admin::{PUBLISH_PATH, PublishRequest, TOKEN_FILE, TOKEN_HEADER};
use modswarm::domain::dirhash::H1;
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::note::Signer;
use modswarm::domain::publication::Publication;
use modswarm::domain::site::Publishers;

use common::node::{NodeOptions, TestNode};
use common::{FixtureModule, make_module};

/// The prefix that the site's team publishes under.
pub(crate) const PREFIX: &str = "corp.example/team";

/// The team's key.
pub(crate) fn team() -> Signer {
    Signer::from_secret("corp-team", [7; 32]).unwrap()
}

/// Somebody else who calls himself the same.
pub(crate) fn stranger() -> Signer {
    Signer::from_secret("corp-team", [8; 32]).unwrap()
}

/// What all nodes of the site have agreed on.
pub(crate) fn policy() -> Publishers {
    let mut publishers = Publishers::default();
    publishers.add(PREFIX, vec![team().verifier().clone()]).unwrap();
    publishers
}

/// A node of the site.
pub(crate) fn with_policy(options: NodeOptions) -> NodeOptions {
    NodeOptions { publishers: policy(), ..options }
}

/// A module of the team.
pub(crate) fn lib(version: &str, code: &str) -> FixtureModule {
    make_module(&format!("{PREFIX}/lib"), version, &[("lib.go", code.as_bytes()), ("LICENSE", b"ours\n")])
}

/// What there is to sign of a module version.
pub(crate) fn publication(module: &FixtureModule) -> Publication {
    Publication {
        module: ModuleVersion::parse(&format!("{}@{}", module.path, module.version)).unwrap(),
        zip_h1: H1::of_zip(&module.zip.to_vec()).unwrap(),
        go_mod_h1: H1::of_go_mod(&module.go_mod),
        zip_blake3: *blake3::hash(&module.zip).as_bytes(),
        zip_len: module.zip.len() as u64,
        info_blake3: *blake3::hash(&module.info).as_bytes(),
    }
}

/// What is sent to publish a module version.
pub(crate) fn request(module: &FixtureModule, signer: &Signer) -> PublishRequest {
    let note = publication(module).sign(signer).unwrap();
    PublishRequest {
        module: format!("{}@{}", module.path, module.version),
        info: String::from_utf8(module.info.to_vec()).unwrap(),
        note: String::from_utf8(note).unwrap(),
        key: signer.verifier().to_string(),
    }
}

/// Sends a request and a zip to a node; gives status and body of the answer.
pub(crate) async fn submit(node: &TestNode, request: &PublishRequest, zip: &[u8]) -> (u16, String) {
    let token = std::fs::read_to_string(node.data().join(TOKEN_FILE)).unwrap();
    let body = [serde_json::to_string(request).unwrap().as_bytes(), b"\n", zip].concat();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = client.post(format!("{}{PUBLISH_PATH}", node.goproxy)).header(TOKEN_HEADER, token).body(body);
    let response = post.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Publishes a module version as the team does.
pub(crate) async fn publish(node: &TestNode, module: &FixtureModule) {
    let (status, said) = submit(node, &request(module, &team()), &module.zip).await;
    assert_eq!(status, 200, "{said}");
}

/// The path of one of a module version's files.
pub(crate) fn file(module: &FixtureModule, end: &str) -> String {
    format!("/{}/@v/{}{end}", common::escape(&module.path), common::escape(&module.version))
}

/// The node serves these very bytes.
pub(crate) async fn assert_serves(node: &TestNode, module: &FixtureModule) {
    for (end, bytes) in [(".info", &module.info), (".mod", &module.go_mod), (".zip", &module.zip)] {
        let got = node.get(&file(module, end)).await;
        assert_eq!((got.status, &got.body), (200, bytes), "{end} of {}@{}", module.path, module.version);
    }
}
