//! Fetching blobs from nodes that behave.

use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::Keypair;
use modswarm::domain::blob::BlobId;
use modswarm::transfer::plan::Rules;
use modswarm::transfer::{FetchError, Held, MemoryHeld, ServeLimits, serve};
use modswarm::verified::VerifiedBlob;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::common::{ANY, blobs, ids_of, mute, node, serving, speak, wants, within};

#[tokio::test]
async fn blobs_of_every_length_come_whole() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        let mut all = Vec::new();
        for len in [8, 9, 4096, 65_536, 65_537, 1 << 20] {
            all.extend(blobs(1, 2, len));
        }
        all.push(bytes::Bytes::new());
        a.hold(&all);
        let wants = wants(&all);
        let (report, got) = b.fetch(wants.clone(), Rules::default()).await;
        let report = report.unwrap();
        assert_eq!(got.iter().map(VerifiedBlob::id).collect::<Vec<_>>(), ids_of(&wants));
        let total: u64 = wants.iter().map(|(_, len)| u64::from(*len)).sum();
        assert_eq!((report.bytes, report.blobs, report.peers[0].bytes), (total, 13, total));
        let (at_b, at_a) = (b.traffic.snapshot(), a.traffic.snapshot());
        assert_eq!((at_b[0].peer, at_b[0].received), (a.id, total));
        assert_eq!((at_a[0].peer, at_a[0].sent), (b.id, total));
    })
    .await;
}

#[tokio::test]
async fn two_holders_share_the_work() {
    within(async {
        let (a, b) = (node(&[]).await, node(&[]).await);
        let c = node(&[a.address(), b.address()]).await;
        c.connected_to(2).await;
        let all = blobs(2, 96, 64 << 10);
        a.hold(&all);
        b.hold(&all);
        let (report, got) = c.fetch(wants(&all), Rules::default()).await;
        let report = report.unwrap();
        assert_eq!(got.len(), all.len());
        assert_eq!(report.peers.len(), 2);
        assert!(report.peers.iter().all(|share| share.bytes > 0), "{report:?}");
        assert_eq!(report.peers.iter().map(|share| share.bytes).sum::<u64>(), 6 << 20);
    })
    .await;
}

#[tokio::test]
async fn what_one_lacks_comes_from_the_other_and_what_nobody_has_is_a_miss() {
    within(async {
        let (a, b) = (node(&[]).await, node(&[]).await);
        let c = node(&[a.address(), b.address()]).await;
        c.connected_to(2).await;
        let all = blobs(3, 301, 1000);
        let (half, rest) = all.split_at(150);
        a.hold(half);
        b.hold(&rest[..150]);
        let (report, got) = c.fetch(wants(&all), Rules::default()).await;
        assert_eq!(got.len(), 300, "all that can be had is had");
        let nobody = BlobId::of(&all[300]);
        assert_eq!(report, Err(FetchError::Missing { ids: vec![nobody], asked: 2 }));
        assert!(c.handle.peers().len() == 2, "to lack something is no fault");
    })
    .await;
}

#[tokio::test]
async fn with_nobody_connected_it_is_a_failure_and_at_once() {
    within(async {
        let a = node(&[]).await;
        let (report, _) = a.fetch(wants(&blobs(4, 1, 10)), Rules::default()).await;
        assert!(matches!(report, Err(FetchError::Unreachable { peers, .. }) if peers.is_empty()));
        let stranger = libp2p::PeerId::random();
        let (sink, _blobs) = mpsc::channel(1);
        let report = a.fetcher.fetch_blobs(wants(&blobs(4, 1, 10)), Some(vec![stranger]), sink).await;
        assert!(
            matches!(&report, Err(FetchError::Unreachable { peers, .. }) if *peers == [(stranger, "disconnected".to_owned())]),
            "{report:?}"
        );
        let (sink, _blobs) = mpsc::channel(1);
        let id = BlobId::of(b"");
        let report = a.fetcher.fetch_blobs(vec![(id, u32::MAX)], None, sink).await;
        assert_eq!(report, Err(FetchError::BadWant { id, len: u32::MAX }));
    })
    .await;
}

#[tokio::test]
async fn twenty_thousand_small_blobs() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        let all = blobs(5, 20_000, 100);
        a.hold(&all);
        let wants = wants(&all);
        let (report, got) = b.fetch(wants.clone(), Rules::default()).await;
        assert_eq!(report.unwrap().blobs, 20_000);
        assert_eq!(got.iter().map(VerifiedBlob::id).collect::<Vec<_>>(), ids_of(&wants));
    })
    .await;
}

#[tokio::test]
async fn many_fetches_at_once_share_two_streams() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        let fetches = (10..30).map(|seed| {
            let all = blobs(seed, 40, if seed % 2 == 0 { 20_000 } else { 100 });
            a.hold(&all);
            b.fetch(wants(&all), Rules::default())
        });
        for (report, got) in futures::future::join_all(fetches).await {
            assert_eq!((report.unwrap().blobs, got.len()), (40, 40));
        }
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_leaves_ends_the_fetch_and_the_stream_serves_the_next() {
    within(async {
        let a = node(&[]).await;
        let b = node(&[a.address()]).await;
        b.connected_to(1).await;
        let all = blobs(6, 64, 64 << 10);
        a.hold(&all);
        let (sink, mut first) = mpsc::channel(1);
        let fetch = b.fetcher.fetch_blobs(wants(&all), None, sink);
        let leave = async {
            first.recv().await.unwrap();
            drop(first);
        };
        let (report, ()) = tokio::join!(fetch, leave);
        assert_eq!(report, Err(FetchError::Closed));
        // Dropped in the middle, too.
        let (sink, mut first) = mpsc::channel(1);
        tokio::select! {
            _ = b.fetcher.fetch_blobs(wants(&all), None, sink) => panic!("it cannot end with a full sink"),
            _ = first.recv() => {}
        }
        let (report, got) = b.fetch(wants(&all), Rules::default()).await;
        assert_eq!((report.unwrap().blobs, got.len()), (64, 64));
        assert!(!b.fetcher.is_banned(&a.id), "late answers are no fault");
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_connects_meanwhile_joins_in() {
    within(async {
        let all = blobs(7, 8, 1000);
        let silent = mute(Keypair::generate_ed25519(), ANY, &[]).await;
        let asked = Arc::new(Notify::new());
        let was_asked = Arc::clone(&asked);
        speak(&silent, move |mut raw| {
            let asked = Arc::clone(&asked);
            async move {
                raw.want().await;
                asked.notify_one();
                std::future::pending().await
            }
        });
        let asker = node(&[silent.address()]).await;
        asker.connected_to(1).await;
        let rules = Rules { end_game: Duration::from_millis(50), ..Rules::default() };
        let join = async {
            was_asked.notified().await;
            let held = Arc::new(MemoryHeld::new());
            all.iter().for_each(|bytes| assert_eq!(held.insert_blob(bytes.clone()), BlobId::of(bytes)));
            serving(&[asker.address()], Arc::clone(&held) as Arc<dyn Held>, held, ServeLimits::default()).await
        };
        let ((report, got), late) = tokio::join!(asker.fetch(wants(&all), rules), join);
        assert_eq!(got.len(), 8);
        assert!(report.unwrap().peers.iter().any(|share| (share.peer, share.blobs) == (late.id, 8)));
    })
    .await;
}

#[tokio::test]
async fn only_one_server_runs_on_a_swarm_until_its_token_ends_it() {
    within(async {
        let a = mute(Keypair::generate_ed25519(), ANY, &[]).await;
        let stop = CancellationToken::new();
        let start = || {
            let held = Arc::clone(&a.held) as Arc<dyn Held>;
            serve(a.handle.stream_control(), held, ServeLimits::default(), a.traffic.clone(), stop.clone())
        };
        let first = start().unwrap();
        let text = start().unwrap_err().to_string();
        assert_eq!(text, "this swarm serves this protocol already; there can be only one server");
        stop.cancel();
        first.await.unwrap();
        assert!(start().is_ok());
    })
    .await;
}
