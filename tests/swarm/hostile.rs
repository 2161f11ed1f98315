//! Peers that lie, stall, break off or flood.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::identity::Keypair;
use modswarm::domain::blob::BlobId;
use modswarm::swarm::SwarmNews;
use modswarm::transfer::plan::Rules;
use modswarm::transfer::wire::{self, FrameReader, Reply, Request};
use modswarm::transfer::{FetchError, Held as _, ServeLimits, limits};

use super::common::{ANY, Node, Raw, blobs, frame, mute, node, quick, serving, speak, wants, within};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Lie {
    WrongBytes,
    WrongLength,
    FarTooLong,
    HugeHeader,
    NoFrame,
    WrongRequest,
    WrongIndex,
    Twice,
    SecondHello,
    Cut,
    Nothing,
}

async fn tell(lie: Lie, mut raw: Raw) {
    while let Some((request, ids)) = raw.want().await {
        let long = u32::try_from(limits::MAX_PAYLOAD + 1).unwrap();
        match lie {
            Lie::WrongBytes => {
                for index in (0..).take(ids.len()) {
                    raw.piece(request, index, &[0; 1000]).await;
                }
            }
            Lie::WrongLength => {
                for index in (0..).take(ids.len()) {
                    raw.piece(request, index, &[0; 1001]).await;
                }
            }
            Lie::FarTooLong => raw.say(Reply::Piece { request, index: 0, len: long }).await,
            Lie::HugeHeader => raw.raw(&u32::MAX.to_le_bytes()).await,
            Lie::NoFrame => raw.raw(&[3, 0, 0, 0, 255, 255, 255]).await,
            Lie::WrongRequest => raw.say(Reply::Missing { request: request ^ (1 << 40), index: 0 }).await,
            Lie::WrongIndex => raw.say(Reply::Missing { request, index: u32::MAX }).await,
            Lie::Twice => {
                raw.say(Reply::Missing { request, index: 1 }).await;
                raw.say(Reply::Missing { request, index: 1 }).await;
            }
            Lie::SecondHello => raw.say(Reply::Hello { version: wire::VERSION }).await,
            Lie::Cut => {
                raw.say(Reply::Piece { request, index: 0, len: 1000 }).await;
                raw.raw(&[0; 500]).await;
                return;
            }
            Lie::Nothing => {}
        }
    }
}

async fn liar(lie: Lie) -> Node {
    let liar = mute(Keypair::generate_ed25519(), ANY, &[]).await;
    speak(&liar, move |raw| tell(lie, raw));
    liar
}

/// The honest peer's copy wins whatever the other one does; says whether the liar was banned.
async fn honest_copy_wins(lie: Lie) -> bool {
    let honest = node(&[]).await;
    let liar = liar(lie).await;
    let mut node = node(&[honest.address(), liar.address()]).await;
    node.connected_to(2).await;
    let all = blobs(1, 400, 1000);
    honest.hold(&all);
    let mut rounds = 0;
    // A ban takes two lies, and in one fetch there may be no occasion for the second one.
    while rounds < 4 && !node.fetcher.is_banned(&liar.id) {
        let rules = Rules { batch_ids: 50, ..quick() };
        let (report, got) = node.fetch(wants(&all), rules).await;
        let report = report.unwrap_or_else(|err| panic!("{lie:?}: {err}"));
        assert_eq!((got.len(), report.blobs), (400, 400), "{lie:?}");
        let share = report.peers.iter().find(|share| share.peer == liar.id);
        assert!(share.is_none_or(|share| share.blobs == 0), "{lie:?}: {report:?}");
        rounds += 1;
    }
    let banned = node.fetcher.is_banned(&liar.id);
    if banned {
        node.news(|news| *news == SwarmNews::Disconnected(liar.id)).await;
    }
    assert!(!node.fetcher.is_banned(&honest.id));
    banned
}

#[tokio::test]
async fn an_honest_copy_wins_over_wrong_bytes_and_broken_rules_and_the_liar_is_banned() {
    for lie in [Lie::WrongBytes, Lie::WrongLength, Lie::FarTooLong, Lie::HugeHeader, Lie::NoFrame] {
        assert!(within(honest_copy_wins(lie)).await, "{lie:?}");
    }
    for lie in [Lie::WrongRequest, Lie::WrongIndex, Lie::Twice, Lie::SecondHello] {
        assert!(within(honest_copy_wins(lie)).await, "{lie:?}");
    }
}

#[tokio::test]
async fn a_cut_or_silent_stream_costs_time_and_no_ban() {
    for lie in [Lie::Cut, Lie::Nothing] {
        assert!(!within(honest_copy_wins(lie)).await, "{lie:?}: a cable may be the reason");
    }
}

#[tokio::test]
async fn a_lone_liar_is_a_forgery_that_names_it_and_a_lone_mute_is_a_failure() {
    within(async {
        let all = blobs(1, 2, 1000);
        let liar_peer = liar(Lie::WrongBytes).await;
        let asker = node(&[liar_peer.address()]).await;
        asker.connected_to(1).await;
        let (report, got) = asker.fetch(wants(&all), quick()).await;
        let Err(err @ FetchError::Forged { .. }) = report else { panic!("{report:?}") };
        assert!(err.to_string().contains(&format!("wrong bytes from peer {}", liar_peer.id)), "{err}");
        assert!(got.is_empty());

        let mute_peer = liar(Lie::Nothing).await;
        let asker = node(&[mute_peer.address()]).await;
        asker.connected_to(1).await;
        let (report, _) = asker.fetch(wants(&all), quick()).await;
        let Err(FetchError::Unreachable { peers, .. }) = report else { panic!("{report:?}") };
        assert_eq!(peers, [(mute_peer.id, "brought nothing for 1.0 s".to_owned())]);

        let deaf = mute(Keypair::generate_ed25519(), ANY, &[]).await;
        let asker = node(&[deaf.address()]).await;
        asker.connected_to(1).await;
        let (report, _) = asker.fetch(wants(&all), Rules { max_failures: 1, ..Rules::default() }).await;
        let Err(err @ FetchError::Unreachable { .. }) = report else { panic!("{report:?}") };
        assert!(err.to_string().contains("does not support /modswarm/catalog/1"), "{err}");
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_vanishes_in_the_middle_is_replaced() {
    within(async {
        let all = blobs(2, 64, 64 << 10);
        let stays = node(&[]).await;
        let leaves = mute(Keypair::generate_ed25519(), ANY, &[]).await;
        stays.hold(&all);
        let (held, stop) = (Arc::clone(&stays.held), leaves.stop.clone());
        // Brings three blobs, honestly, and is gone.
        speak(&leaves, move |mut raw| {
            let (held, stop) = (Arc::clone(&held), stop.clone());
            async move {
                let Some((request, ids)) = raw.want().await else { return };
                for (index, bytes) in (0..3).zip(held.blobs(&ids, usize::MAX).unwrap()) {
                    raw.piece(request, index, &bytes.unwrap()).await;
                }
                stop.cancel();
                std::future::pending().await
            }
        });
        let asker = node(&[stays.address(), leaves.address()]).await;
        asker.connected_to(2).await;
        let (report, got) = asker.fetch(wants(&all), Rules::default()).await;
        assert_eq!((report.unwrap().blobs, got.len()), (64, 64));
        assert!(!asker.fetcher.is_banned(&leaves.id));
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_on_arrival_is_opened_again() {
    within(async {
        let holder = mute(Keypair::generate_ed25519(), ANY, &[]).await;
        let opened = Arc::new(AtomicUsize::new(0));
        let all = blobs(3, 1, 1000);
        let (count, bytes) = (Arc::clone(&opened), all[0].clone());
        let mut control = holder.handle.stream_control();
        let mut incoming = control.accept(StreamProtocol::new(wire::CATALOG)).unwrap();
        tokio::spawn(async move {
            use futures::StreamExt as _;
            while let Some((_, stream)) = incoming.next().await {
                if count.fetch_add(1, Ordering::Relaxed) < 2 {
                    continue;
                }
                let (reader, writer) = stream.split();
                let mut raw = Raw { reader: FrameReader::new(reader), writer };
                raw.say(Reply::Hello { version: wire::VERSION }).await;
                while let Some((request, _)) = raw.want().await {
                    raw.piece(request, 0, &bytes).await;
                }
            }
        });
        let asker = node(&[holder.address()]).await;
        asker.connected_to(1).await;
        for _ in 0..3 {
            let (report, got) = asker.fetch(wants(&all), Rules::default()).await;
            assert_eq!((report.unwrap().blobs, got.len()), (1, 1));
        }
        assert_eq!(opened.load(Ordering::Relaxed), 3, "and then used for everything");
    })
    .await;
}

/// A client's end of a stream in the test's hands, after the greeting.
async fn open(from: &Node, to: &Node) -> Option<Raw> {
    let mut control = from.handle.stream_control();
    let stream = control.open_stream(to.id, StreamProtocol::new(wire::BLOBS)).await.unwrap();
    let (reader, writer) = stream.split();
    let mut raw = Raw { reader: FrameReader::new(reader), writer };
    match raw.reader.reply().await {
        Ok(Some(Reply::Hello { version: wire::VERSION })) => Some(raw),
        _ => None,
    }
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_dropped_and_others_are_served() {
    within(async {
        let limits = ServeLimits { write: Duration::from_millis(200), ..ServeLimits::default() };
        let held: Arc<modswarm::transfer::MemoryHeld> = Arc::default();
        let server = serving(&[], Arc::clone(&held) as _, held, limits).await;
        let all = blobs(4, 4, 1 << 20);
        let ids: Vec<BlobId> = all.iter().map(|bytes| server.held.insert_blob(bytes.clone())).collect();
        let greedy = node(&[server.address()]).await;
        greedy.connected_to(1).await;
        let mut raw = open(&greedy, &server).await.unwrap();
        for request in 0..10 {
            let ids = ids.iter().cycle().take(limits::MAX_IDS).copied().collect();
            raw.raw(&frame(&Request::Want { request, ids })).await;
        }
        let other = node(&[server.address()]).await;
        other.connected_to(1).await;
        let (report, _) = other.fetch(wants(&all), Rules::default()).await;
        assert_eq!(report.unwrap().blobs, 4);
        // The server gives up; what it had sent until then is at most what the connection buffers.
        while raw.writer.write_all(&frame(&Request::Cancel { request: 99 })).await.is_ok() {
            if raw.writer.flush().await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let sent = server.traffic.snapshot().iter().find(|traffic| traffic.peer == greedy.id).unwrap().sent;
        assert!(sent < 64 << 20, "{sent} of 2560 MiB");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_breaks_the_rules_loses_its_stream() {
    within(async {
        let server = node(&[]).await;
        let client = node(&[server.address()]).await;
        client.connected_to(1).await;
        let twice = Request::Want { request: 1, ids: vec![BlobId::of(b"x"); 256] };
        let breaks: [Vec<u8>; 4] = [
            u32::MAX.to_le_bytes().to_vec(),
            vec![2, 0, 0, 0, 9, 9],
            frame(&Request::Want { request: 1, ids: vec![] }),
            [frame(&twice), frame(&twice), frame(&twice), frame(&twice)].concat(),
        ];
        for bytes in breaks {
            let mut raw = open(&client, &server).await.unwrap();
            raw.raw(&bytes).await;
            while let Ok(Some(reply)) = raw.reader.reply().await {
                assert!(matches!(reply, Reply::Missing { request: 1, .. }));
            }
        }
        assert_eq!(server.handle.peers().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn one_peer_gets_a_bounded_number_of_streams() {
    within(async {
        let server = node(&[]).await;
        let client = node(&[server.address()]).await;
        client.connected_to(1).await;
        let mut open_streams = Vec::new();
        let mut refused = 0;
        // Some are dropped by the accept queue; only what was greeted counts.
        for _ in 0..3 * limits::STREAMS_PER_PEER {
            match open(&client, &server).await {
                Some(raw) => open_streams.push(raw),
                None => refused += 1,
            }
        }
        assert_eq!(open_streams.len(), limits::STREAMS_PER_PEER);
        assert_eq!(refused, 2 * limits::STREAMS_PER_PEER);
        // A stream that ends makes room.
        drop(open_streams);
        while open(&client, &server).await.is_none() {}
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_want_ends_early() {
    within(async {
        let server = node(&[]).await;
        let client = node(&[server.address()]).await;
        client.connected_to(1).await;
        let id = server.held.insert_blob(vec![7; 1 << 20].into());
        let mut raw = open(&client, &server).await.unwrap();
        raw.raw(&frame(&Request::Want { request: 1, ids: vec![id; 256] })).await;
        raw.raw(&frame(&Request::Cancel { request: 1 })).await;
        raw.raw(&frame(&Request::Want { request: 2, ids: vec![BlobId::of(b"x")] })).await;
        let mut pieces = 0;
        loop {
            match raw.reader.reply().await.unwrap().unwrap() {
                Reply::Piece { request: 1, len, .. } => {
                    raw.reader.skip(len, limits::MAX_PAYLOAD).await.unwrap();
                    pieces += 1;
                }
                reply => {
                    assert_eq!(reply, Reply::Missing { request: 2, index: 0 });
                    break;
                }
            }
        }
        assert!(pieces < 256, "{pieces}");
    })
    .await;
}
