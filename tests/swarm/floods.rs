//! Clients that cut, stall, flood and take all they can get. While they do, an honest peer is served.

use std::sync::Arc;
use std::time::Duration;

use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use modswarm::domain::blob::BlobId;
use modswarm::transfer::plan::Rules;
use modswarm::transfer::wire::{self, FrameReader, Reply, Request};
use modswarm::transfer::{FetchError, MemoryHeld, ServeLimits, limits};

use super::common::{Node, Raw, blobs, frame, node, serving, wants, within};

/// Deadlines with which a test does not wait long.
fn impatient() -> ServeLimits {
    let soon = Duration::from_millis(200);
    ServeLimits { write: soon, rest: soon, ..ServeLimits::default() }
}

/// A server of a few blobs with `limits`, a client that is up to no good, and one that is not.
async fn three(limits: ServeLimits) -> (Node, Node, Node) {
    let held: Arc<MemoryHeld> = Arc::default();
    let server = serving(&[], Arc::clone(&held) as _, held, limits).await;
    server.hold(&blobs(4, 8, 20_000));
    let (bad, good) = (node(&[server.address()]).await, node(&[server.address()]).await);
    bad.connected_to(1).await;
    good.connected_to(1).await;
    (server, bad, good)
}

/// The honest client gets everything.
async fn served(good: &Node) {
    let (report, got) = good.fetch(wants(&blobs(4, 8, 20_000)), Rules::default()).await;
    assert_eq!((report.unwrap().blobs, got.len()), (8, 8));
}

/// A stream to the server, once the greeting is there.
async fn open(from: &Node, to: &Node, protocol: &'static str) -> Raw {
    loop {
        let stream = from.handle.stream_control().open_stream(to.id, StreamProtocol::new(protocol)).await.unwrap();
        let (reader, writer) = stream.split();
        let mut raw = Raw { reader: FrameReader::new(reader), writer };
        // One that the accept queue dropped, or that came while the one before was still being taken down.
        if let Ok(Some(Reply::Hello { version: wire::VERSION })) = raw.reader.reply().await {
            return raw;
        }
    }
}

fn one_of_each() -> Vec<Request> {
    let (id, path) = (BlobId::of(b"unknown"), "m.example/a".to_owned());
    vec![
        Request::Want { request: 1, ids: vec![id; 3] },
        Request::Cancel { request: 1 },
        Request::Sketch {
            request: 2,
            nonce: [7; 16],
            part: (10, 1023),
            from: u32::MAX,
            count: u32::MAX,
            total: u64::MAX,
            sum: [0; 16],
        },
        Request::EnvelopesByKey { request: 3, nonce: [7; 16], keys: vec![[255; 8]], budget: u32::MAX },
        Request::Envelopes { request: 4, ids: vec![id], budget: u32::MAX },
        Request::Lookup { request: 5, path: path.clone(), version: "no version".into() },
        Request::Versions { request: 6, path, skip: u32::MAX },
        Request::Sumdb { request: 7, database: "nobody knows".into() },
    ]
}

#[tokio::test]
async fn a_request_cut_anywhere_costs_its_own_stream() {
    within(async {
        let (server, bad, good) = three(ServeLimits::default()).await;
        for request in one_of_each() {
            let whole = frame(&request);
            for cut in [1, 3, 4, 5, whole.len() / 2, whole.len() - 1] {
                let mut raw = open(&bad, &server, wire::CATALOG).await;
                raw.raw(&whole[..cut.min(whole.len() - 1)]).await;
                raw.writer.close().await.unwrap();
                assert!(!matches!(raw.reader.reply().await, Ok(Some(_))), "{request:?} cut at {cut} has an answer");
            }
        }
        served(&good).await;
        assert_eq!(server.handle.peers().len(), 2, "a cable may be the reason");
    })
    .await;
}

#[tokio::test]
async fn half_a_request_that_is_never_finished_costs_its_own_stream_after_the_deadline() {
    within(async {
        let (server, bad, good) = three(impatient()).await;
        for request in one_of_each() {
            let whole = frame(&request);
            let mut raw = open(&bad, &server, wire::CATALOG).await;
            raw.raw(&whole[..whole.len() - 1]).await;
            served(&good).await;
            // The stream ends though this side keeps it open.
            assert!(!matches!(raw.reader.reply().await, Ok(Some(_))), "{request:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn every_kind_of_question_about_what_is_unknown_has_an_answer_in_its_place() {
    within(async {
        let (server, bad, good) = three(ServeLimits::default()).await;
        let mut raw = open(&bad, &server, wire::CATALOG).await;
        for request in one_of_each() {
            raw.raw(&frame(&request)).await;
        }
        let mut answered = Vec::new();
        while answered.last() != Some(&7) {
            match raw.reader.reply().await.unwrap().unwrap() {
                Reply::Piece { request, len, .. } => {
                    raw.reader.skip(len, limits::MAX_PAYLOAD).await.unwrap();
                    answered.push(request);
                }
                Reply::Missing { request, .. } | Reply::Failed { request, .. } => answered.push(request),
                other => panic!("{other:?}"),
            }
        }
        answered.dedup();
        // Number 1 was cancelled in the same breath: what was on its way by then came all the same.
        answered.retain(|number| *number != 1);
        assert_eq!(answered, [2, 3, 4, 5, 6, 7]);
        served(&good).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_client_never_says_ends_its_stream() {
    within(async {
        let (server, bad, good) = three(ServeLimits::default()).await;
        let long = "m".repeat(limits::MAX_NAME + 1);
        let breaks = [
            frame(&Reply::Later { request: 9, index: 9 })[..7].to_vec(),
            frame(&Request::Versions { request: 1, path: long.clone(), skip: 0 }),
            frame(&Request::Lookup { request: 1, path: "a".into(), version: long.clone() }),
            frame(&Request::Sumdb { request: 1, database: long }),
            frame(&Request::Envelopes { request: 1, ids: vec![BlobId::of(b""); limits::MAX_IDS + 1], budget: 1 }),
            frame(&Request::Want { request: 1, ids: vec![BlobId::of(b""); 2 * limits::MAX_IDS] }),
            [&(u32::try_from(limits::MAX_REQUEST).unwrap() + 1).to_le_bytes()[..], &[0; 64]].concat(),
            // A list that says to have 2^63 entries.
            [&[11, 0, 0, 0, 0, 1, 253][..], &(1_u64 << 63).to_le_bytes()].concat(),
        ];
        for bytes in breaks {
            let mut raw = open(&bad, &server, wire::BLOBS).await;
            raw.raw(&bytes).await;
            assert!(!matches!(raw.reader.reply().await, Ok(Some(_))), "{}", bytes.escape_ascii());
        }
        served(&good).await;
    })
    .await;
}

#[tokio::test]
async fn questions_whose_answers_are_never_read_are_read_ahead_to_a_bound_and_then_dropped() {
    within(async {
        let (server, bad, good) = three(impatient()).await;
        let mut raw = open(&bad, &server, wire::CATALOG).await;
        let mut number = 0;
        let id = BlobId::of(&blobs(4, 8, 20_000)[0]);
        // 20 kB of answer for 40 bytes of question: the server stops reading when nobody takes them, and then drops the stream.
        loop {
            let mut many = Vec::new();
            for _ in 0..512 {
                many.extend(frame(&Request::Want { request: number, ids: vec![id] }));
                number += 1;
            }
            if raw.writer.write_all(&many).await.is_err() || raw.writer.flush().await.is_err() {
                break;
            }
            assert!(number < 1 << 20, "it goes on reading");
        }
        served(&good).await;
        let sent = server.traffic.snapshot().iter().find(|traffic| traffic.peer == bad.id).map_or(0, |it| it.sent);
        assert!(sent < 64 << 20, "{sent} bytes went into buffers");
        // It may come back and behave.
        drop(raw);
        served(&bad).await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_wants_for_unknown_blobs_is_answered_and_keeps_nobody_out() {
    const WANTS: u64 = 400;
    within(async {
        let (server, bad, good) = three(ServeLimits::default()).await;
        let Raw { mut reader, mut writer } = open(&bad, &server, wire::BLOBS).await;
        let ask = async {
            for request in 0..WANTS {
                let id = |n: usize| BlobId::of(&[&request.to_le_bytes()[..], &n.to_le_bytes()].concat());
                let ids = (0..limits::MAX_IDS).map(id).collect();
                writer.write_all(&frame(&Request::Want { request, ids })).await.unwrap();
            }
            writer.flush().await.unwrap();
        };
        let read = async {
            for request in 0..WANTS {
                for index in 0..u32::try_from(limits::MAX_IDS).unwrap() {
                    assert_eq!(reader.reply().await.unwrap(), Some(Reply::Missing { request, index }));
                }
            }
        };
        let honest = async {
            for _ in 0..5 {
                served(&good).await;
            }
        };
        tokio::join!(ask, read, honest);
        assert_eq!(server.handle.peers().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn streams_beyond_those_of_all_peers_are_refused_with_a_reason_and_come_back_when_there_is_room() {
    within(async {
        let (server, bad, good) = three(ServeLimits { streams_per_peer: 4, streams: 4, ..impatient() }).await;
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(open(&bad, &server, wire::BLOBS).await);
        }
        let small = wants(&blobs(4, 1, 20_000));
        let (report, _) = good.fetch(small.clone(), Rules { max_failures: 1, ..Rules::default() }).await;
        let Err(err @ FetchError::Unreachable { .. }) = report else { panic!("{report:?}") };
        assert!(err.to_string().contains(&format!("peer {}: ", server.id)), "{err}");
        assert!(!good.fetcher.is_banned(&server.id), "no fault: the server may just be busy");
        // Whoever holds the streams is gone: the others have them.
        bad.stop.cancel();
        server.connected_to(1).await;
        let (report, got) = good.fetch(small, Rules::default()).await;
        assert_eq!((report.unwrap().blobs, got.len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn streams_of_protocols_that_nobody_serves_are_refused_at_any_speed() {
    within(async {
        let (server, bad, good) = three(ServeLimits::default()).await;
        let mut control = bad.handle.stream_control();
        for round in 0..200 {
            let name = StreamProtocol::try_from_owned(format!("/nobody/{round}")).unwrap();
            assert!(control.open_stream(server.id, name).await.is_err());
        }
        served(&good).await;
        served(&bad).await;
    })
    .await;
}
