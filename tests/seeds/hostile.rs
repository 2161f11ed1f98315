//! Askers that cut, stall, flood and never read, at a seed that goes on answering the others.

use std::time::Duration;

use bytes::Bytes;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use modswarm::asking::wire::{self, Reply, SEED};
use modswarm::asking::{Answer, ServeRules};
use modswarm::domain::codec;
use modswarm::domain::module::ModulePath;
use modswarm::transfer::limits;
use modswarm::transfer::wire::{FrameReader, FrameWriter};

use crate::answer_with;
use crate::common::node::WATCHDOG;
use crate::common::peer::TestPeer;

/// Reads and writes of one stream to the seed, after the greeting.
type Raw = (FrameReader<futures::io::ReadHalf<libp2p::Stream>>, futures::io::WriteHalf<libp2p::Stream>);

/// A seed with short deadlines whose answers are as long as can be.
async fn seed() -> TestPeer {
    let soon = Duration::from_millis(200);
    let seed = TestPeer::start().await;
    let envelopes = vec![Bytes::from(vec![7; limits::MAX_PAYLOAD]); 4];
    answer_with(&seed, ServeRules { write: soon, rest: soon, ..ServeRules::default() }, move |_| {
        Some(Answer::Done { envelopes: envelopes.clone(), age: Duration::ZERO })
    });
    seed
}

async fn asker(seed: &TestPeer) -> TestPeer {
    let asker = TestPeer::start_with(&[&seed.address]).await;
    let connected = async { asker.swarm.connected().wait_for(|peers| peers.contains(&seed.id)).await.map(drop) };
    tokio::time::timeout(WATCHDOG, connected).await.expect("never connected").unwrap();
    asker
}

async fn open(asker: &TestPeer, seed: &TestPeer) -> Raw {
    loop {
        let stream = asker.swarm.stream_control().open_stream(seed.id, StreamProtocol::new(SEED)).await.unwrap();
        let (reader, writer) = stream.split();
        let mut reader = FrameReader::new(reader);
        if matches!(reader.next::<Reply, 64>().await, Ok(Some(Reply::Hello { .. }))) {
            return (reader, writer);
        }
    }
}

fn question() -> wire::Question {
    wire::Question::Newer { path: ModulePath::parse("m.example/a").unwrap() }
}

async fn is_answered(asker: &TestPeer, seed: &TestPeer) {
    let (mut reader, writer) = open(asker, seed).await;
    wire::write_question(&mut FrameWriter::new(writer, WATCHDOG), &question()).await.unwrap();
    let answer = wire::read_answer(&mut reader, WATCHDOG).await.unwrap();
    assert!(matches!(answer, Answer::Done { envelopes, .. } if envelopes.len() == 4));
}

/// A question as it is sent.
async fn sent() -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_question(&mut FrameWriter::new(&mut bytes, WATCHDOG), &question()).await.unwrap();
    bytes
}

#[tokio::test]
async fn half_a_question_and_what_is_none_cost_their_own_stream() {
    let seed = seed().await;
    let (bad, good) = (asker(&seed).await, asker(&seed).await);
    let whole = sent().await;
    let framed = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat();
    let lies = [
        whole[..1].to_vec(),
        whole[..4].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
        framed(&[9; 9]),
        framed(&codec::encode(&(1_u8, "no module at all!".to_owned()))),
        framed(&codec::encode(&(2_u8, "m.example/a".to_owned(), "v1.0.0".to_owned()))),
        framed(&codec::encode(&(2_u8, "m.example/a".to_owned(), "../x".to_owned()))),
    ];
    for lie in lies {
        let (mut reader, mut writer) = open(&bad, &seed).await;
        writer.write_all(&lie).await.unwrap();
        writer.flush().await.unwrap();
        let ended = tokio::time::timeout(WATCHDOG, reader.next::<Reply, 64>()).await.expect("it goes on waiting");
        assert!(!matches!(ended, Ok(Some(_))), "{}", lie.escape_ascii());
        is_answered(&good, &seed).await;
    }
}

#[tokio::test]
async fn answers_that_are_never_read_are_given_up_and_the_others_are_answered() {
    let seed = seed().await;
    let (bad, good) = (asker(&seed).await, asker(&seed).await);
    let whole = sent().await.repeat(64);
    let mut streams = Vec::new();
    for _ in 0..8 {
        let (reader, mut writer) = open(&bad, &seed).await;
        writer.write_all(&whole).await.unwrap();
        writer.flush().await.unwrap();
        streams.push((reader, writer));
    }
    is_answered(&good, &seed).await;
    // The seed gives each of them up, though none is closed on this side.
    let given_up = async {
        for (_, writer) in &mut streams {
            while writer.write_all(&whole).await.is_ok() && writer.flush().await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(WATCHDOG, given_up).await.expect("it goes on waiting");
    is_answered(&good, &seed).await;
    is_answered(&bad, &seed).await;
}
