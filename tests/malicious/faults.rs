//! An upstream that fails, through a node: the client never gets a 404 for it, which would send a go command with `,direct` to
//! the internet with a path that may be private.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use modswarm::domain::pattern::PrefixPatterns;
use modswarm::domain::request;
use modswarm::mirror::databases::Databases;
use modswarm::mirror::outcome::Outcome;
use modswarm::mirror::{FromUpstream, Intake, Mirror, MirrorOptions, Reach};
use modswarm::store::{Store, StoreOptions};
use modswarm::upstream::{Upstream, UpstreamOptions};

use crate::common::node::{NodeOptions, TestNode};
use crate::common::upstream::options;
use crate::common::{Fault, FixtureProxy, make_module};
use crate::site::Site;
use crate::sumdb::NAME;

const PATHS: [&str; 6] = [
    "/example.com/lib/@v/list",
    "/example.com/lib/@latest",
    "/example.com/lib/@v/main.info",
    "/example.com/lib/@v/v1.0.0.info",
    "/example.com/lib/@v/v1.0.0.mod",
    "/example.com/lib/@v/v1.0.0.zip",
];

/// What fails at once, or after so many bytes of an answer.
fn faults() -> Vec<Fault> {
    let statuses = [500, 501, 502, 503, 504, 429].map(Fault::Status);
    let cut = [Fault::HangUp, Fault::CutAfter(0), Fault::CutAfter(3), Fault::Raw(b"HTTP/1.1 200".to_vec())];
    statuses.into_iter().chain(cut).chain([Fault::ContentLength("400000".into())]).collect()
}

async fn upstream_with(fault: &Fault) -> FixtureProxy {
    let upstream =
        FixtureProxy::start(&[make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n")])]).await;
    upstream.put("/example.com/lib/@v/main.info", br#"{"Version":"v1.0.0"}"#);
    for path in PATHS {
        upstream.always(path, fault.clone());
    }
    upstream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_failure_and_a_cut_body_are_503_at_the_client_and_nothing_is_stored() {
    // A node asks again, with waits between: all at once, or it would take minutes.
    let attacks = faults().into_iter().map(async |fault| {
        let upstream = upstream_with(&fault).await;
        let seed = TestNode::start(NodeOptions::seed(&upstream.url())).await;
        let answers = join_all(PATHS.map(|path| seed.get(path))).await;
        for (path, got) in PATHS.iter().zip(answers) {
            assert_eq!(got.status, 503, "{fault:?}: {path}: {}", got.text());
            assert!(got.text().contains(&upstream.host()), "{fault:?}: it names the upstream: {}", got.text());
        }
        let store = seed.status().await.store;
        assert_eq!((store.versions, store.blobs), (0, 0), "{fault:?}");
        seed.stop().await;
    });
    join_all(attacks).await;
}

/// A mirror over an upstream that is given up soon.
async fn impatient(dir: &std::path::Path, list: &str) -> Mirror {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let short = Duration::from_millis(200);
    let options = UpstreamOptions { retries: 0, answer_timeout: short, progress_timeout: short, ..options(list) };
    let source = FromUpstream::new(Arc::new(Upstream::new(options).unwrap()), dir.to_owned());
    let intake = Intake::new(store, Databases::default(), None);
    Mirror::new(MirrorOptions {
        intake,
        sources: vec![Arc::new(source)],
        seeds: None,
        fresh: Duration::from_secs(60),
        private: PrefixPatterns::default(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_before_and_within_an_answer_is_unavailable_and_no_miss() {
    for fault in [Fault::StallAfter(0), Fault::StallAfter(3), Fault::Drip(Duration::from_millis(50))] {
        let upstream = upstream_with(&fault).await;
        let dir = tempfile::tempdir().unwrap();
        let mirror = impatient(dir.path(), &upstream.url()).await;
        for path in PATHS {
            let outcome = mirror.answer(request::parse(path).unwrap(), Reach::All).await;
            assert!(matches!(outcome, Outcome::Unavailable { .. }), "{fault:?}: {path}: {outcome:?}");
        }
    }
    // Nothing is said at all.
    let upstream = upstream_with(&Fault::None).await;
    upstream.hold();
    let dir = tempfile::tempdir().unwrap();
    let mirror = impatient(dir.path(), &upstream.url()).await;
    for path in PATHS {
        let outcome = mirror.answer(request::parse(path).unwrap(), Reach::All).await;
        assert!(matches!(outcome, Outcome::Unavailable { .. }), "{path}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_checksum_database_is_503_at_the_client_and_nothing_is_stored() {
    let attacks = [Fault::Status(500), Fault::Status(403), Fault::HangUp, Fault::CutAfter(20)].map(async |fault| {
        let site = Site::start().await;
        let questions = ["supported", "latest", "lookup/example.com/lib@v1.0.0", "tile/8/0/001", "tile/8/1/000.p/2"];
        for question in questions {
            // A file takes the place of what is mounted, and then the fault that of the file.
            let path = format!("/sumdb/{NAME}/{question}");
            site.upstream.put(&path, &site.db.read().unwrap().answer(question).unwrap());
            if question != "supported" {
                site.upstream.always(&path, fault.clone());
            }
        }
        let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&site.key())).await;
        for end in [".mod", ".zip"] {
            let got = seed.get(&format!("/example.com/lib/@v/v1.0.0{end}")).await;
            assert_eq!(got.status, 503, "{fault:?}: {}", got.text());
            assert!(got.text().contains(NAME), "{fault:?}: {}", got.text());
        }
        assert_eq!(seed.status().await.store.versions, 0, "{fault:?}");
        seed.stop().await;
    });
    join_all(attacks).await;
}
