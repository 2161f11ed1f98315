//! Answers out of memory: each change of the catalog shows in the next answer, whoever reads meanwhile.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use modswarm::domain::blob::BlobId;
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{Envelope, GoMod, Manifest, Proof, ZipRef};
use modswarm::domain::module::{ModulePath, ModuleVersion, Version};
use modswarm::domain::pattern::PrefixPatterns;
use modswarm::domain::request;
use modswarm::domain::trust::Trust;
use modswarm::mirror::databases::Databases;
use modswarm::mirror::outcome::{Body, Outcome};
use modswarm::mirror::source::{Source, SourceError, Want, Work};
use modswarm::mirror::{Intake, Mirror, MirrorOptions, Reach};
use modswarm::store::{Accepted, Store, StoreOptions};
use modswarm::verified::VerifiedManifest;
use tempfile::TempDir;

const INFO: &str = "/example.com/m/@v/v1.0.0.info";
const GO_MOD: &str = "/example.com/m/@v/v1.0.0.mod";
const LIST: &str = "/example.com/m/@v/list";

/// A mirror that has its store alone.
#[derive(Clone)]
struct Alone {
    store: Store,
    mirror: Mirror,
    _dir: Arc<TempDir>,
}

/// An upstream that cannot be reached.
struct Away;

impl Source for Away {
    fn name(&self) -> &'static str {
        "away"
    }

    fn is_upstream(&self) -> bool {
        true
    }

    fn obtain<'a>(&'a self, _want: &'a Want, _intake: &'a Intake) -> Work<'a, ()> {
        Box::pin(async { Err(SourceError::Failed("away".into())) })
    }

    fn list<'a>(&'a self, _path: &'a ModulePath) -> Work<'a, BTreeSet<Version>> {
        Box::pin(async { Err(SourceError::Failed("away".into())) })
    }
}

impl Alone {
    fn new() -> Self {
        Self::with(Vec::new())
    }

    fn with(sources: Vec<Arc<dyn Source>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let intake = Intake::new(store.clone(), Databases::default(), None);
        let mirror = Mirror::new(MirrorOptions {
            intake,
            sources,
            seeds: None,
            fresh: Duration::from_secs(60),
            private: PrefixPatterns::default(),
        });
        Self { store, mirror, _dir: dir.into() }
    }

    async fn accept(&self, manifest: &Manifest) -> Accepted {
        let envelope = Envelope { manifest: manifest.encode(), proof: Proof::None }.encode();
        self.store.accept(VerifiedManifest::check(envelope.into(), &Trust::open()).unwrap()).await.unwrap()
    }

    /// The body, or nothing for a miss.
    async fn ask(&self, path: &str) -> Option<String> {
        self.ask_within(path, Reach::StoreOnly).await
    }

    async fn ask_within(&self, path: &str, reach: Reach) -> Option<String> {
        match self.mirror.answer(request::parse(path).unwrap(), reach).await {
            Outcome::Found(answer) => match answer.body {
                Body::Bytes(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
                Body::Zip(_) => panic!("a zip"),
            },
            Outcome::Miss { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    /// The same answer twice: the second one comes out of memory.
    async fn ask_twice(&self, path: &str) -> Option<String> {
        let first = self.ask(path).await;
        assert_eq!(self.ask(path).await, first);
        first
    }
}

fn manifest(version: &str) -> Manifest {
    let module = ModuleVersion::parse(&format!("example.com/m@{version}")).unwrap();
    let go_mod = b"module example.com/m\n".to_vec();
    let zip =
        ZipRef { h1: H1::from_bytes([7; 32]), len: 100, blake3: [8; 32], pages: vec![BlobId::of(version.as_bytes())] };
    Manifest {
        info: info(version).into(),
        go_mod_h1: H1::of_go_mod(&go_mod),
        go_mod: GoMod::Inline(go_mod),
        module,
        zip: Some(zip),
    }
}

fn info(version: &str) -> String {
    format!(r#"{{"Version":"{version}","Time":"2019-05-01T00:00:00Z"}}"#)
}

#[tokio::test]
async fn what_was_retracted_or_set_aside_is_not_answered_any_more() {
    let node = Alone::new();
    let (held, other) = (manifest("v1.0.0"), manifest("v1.1.0"));
    assert_eq!(node.ask(INFO).await, None);
    node.accept(&held).await;
    node.accept(&other).await;
    assert_eq!(node.ask_twice(INFO).await, Some(info("v1.0.0")));
    assert_eq!(node.ask_twice(GO_MOD).await.as_deref(), Some("module example.com/m\n"));
    assert_eq!(node.ask_twice(LIST).await.as_deref(), Some("v1.0.0\nv1.1.0\n"));
    node.store.set_aside(vec![held.id()]).await.unwrap();
    for path in [INFO, GO_MOD] {
        assert_eq!(node.ask(path).await, None, "{path}");
    }
    assert_eq!(node.ask(LIST).await.as_deref(), Some("v1.1.0\n"));
    assert_eq!(node.accept(&held).await, Accepted::New);
    assert_eq!(node.ask_twice(INFO).await, Some(info("v1.0.0")));
    assert_eq!(node.ask_twice(LIST).await.as_deref(), Some("v1.0.0\nv1.1.0\n"));
    node.store.retract(held.id()).await.unwrap();
    for path in [INFO, GO_MOD] {
        assert_eq!(node.ask(path).await, None, "{path}");
    }
    assert_eq!(node.ask(LIST).await.as_deref(), Some("v1.1.0\n"));
}

#[tokio::test]
async fn a_fuller_manifest_is_answered_from_at_once() {
    let node = Alone::new();
    let full = manifest("v1.0.0");
    let thin = Manifest { info: Vec::new(), zip: None, ..full.clone() };
    node.accept(&thin).await;
    assert_eq!((node.ask_twice(INFO).await, node.ask_twice(LIST).await.as_deref()), (None, Some("")));
    assert_eq!(node.accept(&full).await, Accepted::Replaced { old: thin.id() });
    assert_eq!(node.ask_twice(INFO).await, Some(info("v1.0.0")));
    assert_eq!(node.ask_twice(LIST).await.as_deref(), Some("v1.0.0\n"));
}

#[tokio::test]
async fn a_list_follows_what_an_upstream_said() {
    let node = Alone::with(vec![Arc::new(Away)]);
    node.accept(&manifest("v1.0.0")).await;
    let listed = async || {
        let first = node.ask_within(LIST, Reach::All).await;
        assert_eq!(node.ask_within(LIST, Reach::All).await, first);
        first.unwrap()
    };
    assert_eq!(listed().await, "v1.0.0\n");
    for (said, all) in [("v0.9.0\n", "v0.9.0\nv1.0.0\n"), ("v1.2.0\nv0.9.0\n", "v0.9.0\nv1.0.0\nv1.2.0\n")] {
        node.store.set_fact("list/example.com/m", 1, said.into()).await.unwrap();
        assert_eq!(listed().await, all);
        assert_eq!(node.ask_twice(LIST).await.as_deref(), Some("v1.0.0\n"), "what this node alone can serve");
    }
    node.store.forget_fact("list/example.com/m").await.unwrap();
    assert_eq!(listed().await, "v1.0.0\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_reads_during_a_change_leaves_nothing_stale_behind() {
    let node = Alone::new();
    let held = manifest("v1.0.0");
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [INFO, GO_MOD, LIST, INFO]
        .map(|path| {
            let (node, done) = (node.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    // Between two reads of one answer the manifest may go: that is a failure, and none of this test's.
                    node.mirror.answer(request::parse(path).unwrap(), Reach::StoreOnly).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .into();
    for round in 0..100 {
        node.accept(&held).await;
        assert_eq!(node.ask(INFO).await, Some(info("v1.0.0")), "round {round}");
        assert_eq!(node.ask(LIST).await.as_deref(), Some("v1.0.0\n"), "round {round}");
        node.store.set_aside(vec![held.id()]).await.unwrap();
        assert_eq!(node.ask(INFO).await, None, "round {round}");
        assert_eq!(node.ask(LIST).await, None, "round {round}");
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}
