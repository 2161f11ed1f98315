//! Gossip from a peer that writes its messages by hand.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::io::AsyncWriteExt as _;
use libp2p::identity::Keypair;
use libp2p::{Stream, StreamProtocol};
use modswarm::swarm::{SwarmNews, Verdict, limits};
use modswarm::transfer::plan::Rules;

use super::common::{ANY, Node, blobs, mute, node, wants, within};

/// The protocol of gossipsub.
const MESHSUB: &str = "/meshsub/1.1.0";
/// The topic of the catalog.
const TOPIC: &str = "modswarm/1/manifests";

/// A protobuf field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len()), bytes].concat()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
    out
}

/// A liar that speaks gossipsub without gossipsub.
struct Gossiper {
    node: Node,
    key: Keypair,
    stream: Stream,
    sequence: AtomicU64,
}

impl Gossiper {
    async fn start(victim: &Node) -> Self {
        let key = Keypair::generate_ed25519();
        let node = mute(key.clone(), ANY, &[victim.address()]).await;
        node.connected_to(1).await;
        let mut control = node.handle.stream_control();
        let stream = control.open_stream(victim.id, StreamProtocol::new(MESHSUB)).await.unwrap();
        Self { node, key, stream, sequence: AtomicU64::new(1) }
    }

    /// A message with the signature of this peer.
    fn signed(&self, topic: &str, data: &[u8]) -> Vec<u8> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let from = self.node.id.to_bytes();
        let message = [field(1, &from), field(2, data), field(3, &sequence), field(4, topic.as_bytes())].concat();
        let signature = self.key.sign(&[&b"libp2p-pubsub:"[..], &message].concat()).unwrap();
        [message, field(5, &signature)].concat()
    }

    /// Sends messages in one frame. One that cannot be sent is what the victim wants.
    async fn publish(&mut self, messages: &[Vec<u8>]) {
        let rpc: Vec<u8> = messages.iter().flat_map(|message| field(2, message)).collect();
        self.raw(&[varint(rpc.len()), rpc].concat()).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }
}

/// What arrives next at the victim.
async fn next(victim: &mut Node) -> (libp2p::PeerId, Vec<u8>) {
    let news = victim.news(|news| matches!(news, SwarmNews::Announcement { .. })).await;
    let SwarmNews::Announcement { id, from, bytes } = news else { unreachable!() };
    victim.handle.report(id, from, Verdict::Ignore).unwrap();
    (from, bytes.to_vec())
}

#[tokio::test]
async fn only_signed_messages_of_the_own_topic_within_the_limit_arrive() {
    within(async {
        let mut victim = node(&[]).await;
        let mut liar = Gossiper::start(&victim).await;
        let stranger = Keypair::generate_ed25519();
        let mut forged = liar.signed(TOPIC, b"signed by somebody else");
        let start = forged.len() - 64;
        forged[start..].copy_from_slice(&stranger.sign(b"something").unwrap());
        let mut unsigned = liar.signed(TOPIC, b"not signed");
        unsigned.truncate(unsigned.len() - 66);
        let refused = [
            liar.signed("modswarm/1/manifests/other-site", b"of another topic"),
            liar.signed("modswarm/2/manifests", b"of another version"),
            liar.signed("", b"of no topic"),
            liar.signed(TOPIC, &vec![7; limits::MAX_ANNOUNCEMENT + 1]),
            forged,
            unsigned,
        ];
        for (round, message) in refused.iter().enumerate() {
            let good = format!("after {round}").into_bytes();
            let good_message = liar.signed(TOPIC, &good);
            // The good one comes behind the bad one on the same stream: when it is there, the bad one would be, too.
            liar.publish(&[message.clone(), good_message]).await;
            assert_eq!(next(&mut victim).await, (liar.node.id, good), "round {round}");
        }
        assert_eq!(victim.handle.peers().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_gossip_cost_the_stream_and_an_honest_peer_is_still_heard_and_served() {
    within(async {
        let mut victim = node(&[]).await;
        victim.hold(&blobs(1, 4, 1000));
        let honest = node(&[victim.address()]).await;
        honest.connected_to(1).await;
        victim.news(|news| *news == SwarmNews::Subscribed(honest.id)).await;
        let too_long = [varint(limits::MAX_GOSSIP_MESSAGE + 1), vec![0; 100]].concat();
        let lies = [
            vec![0xff; 4096],
            too_long,
            varint(usize::MAX >> 1),
            vec![3, 0x12, 0x7f, 0],
            b"GET / HTTP/1.1\r\n".to_vec(),
        ];
        for (round, lie) in lies.iter().enumerate() {
            let mut liar = Gossiper::start(&victim).await;
            liar.raw(lie).await;
            let text = format!("honest {round}").into_bytes();
            honest.handle.announce(text.clone().into()).unwrap();
            assert_eq!(next(&mut victim).await, (honest.id, text));
            let (report, _) = honest.fetch(wants(&blobs(1, 4, 1000)), Rules::default()).await;
            assert_eq!(report.unwrap().blobs, 4);
        }
    })
    .await;
}

#[tokio::test]
async fn a_flood_that_nobody_reads_is_dropped_and_counted_and_the_node_still_serves() {
    within(async {
        let victim = node(&[]).await;
        victim.hold(&blobs(1, 8, 100_000));
        let honest = node(&[victim.address()]).await;
        honest.connected_to(1).await;
        let mut liar = Gossiper::start(&victim).await;
        let flood = async {
            // More than the queue of news takes; nobody reads it here.
            for round in 0..300_u32 {
                let garbage = |n: u32| [&(round * 8 + n).to_le_bytes()[..], &[7; 4000]].concat();
                let messages: Vec<Vec<u8>> = (0..8).map(|n| liar.signed(TOPIC, &garbage(n))).collect();
                liar.publish(&messages).await;
            }
        };
        let fetch = async {
            for _ in 0..3 {
                let (report, _) = honest.fetch(wants(&blobs(1, 8, 100_000)), Rules::default()).await;
                assert_eq!(report.unwrap().blobs, 8);
            }
        };
        tokio::join!(flood, fetch);
        while victim.handle.dropped_news() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(victim.handle.dropped_news() <= 2400 && victim.news.len() <= limits::NEWS);
    })
    .await;
}
