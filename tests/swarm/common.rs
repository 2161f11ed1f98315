//! A whole node in a test, and a peer that speaks the protocol by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use modswarm::domain::blob::BlobId;
use modswarm::domain::codec;
use modswarm::swarm::{self, SwarmConfig, SwarmHandle, SwarmNews};
use modswarm::transfer::plan::Rules;
use modswarm::transfer::wire::{self, FrameReader, Reply, Request};
use modswarm::transfer::{FetchError, FetchReport, Fetcher, Held, MemoryHeld, ServeLimits, Traffic, serve};
use modswarm::verified::VerifiedBlob;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A free port on loopback.
pub(crate) const ANY: &str = "/ip4/127.0.0.1/tcp/0";

/// The watchdog of every test: far above what any takes, so that it says "hangs" and never "slow".
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("the test hangs")
}

pub(crate) struct Node {
    pub(crate) id: PeerId,
    pub(crate) handle: SwarmHandle,
    pub(crate) news: mpsc::Receiver<SwarmNews>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    pub(crate) fetcher: Fetcher,
    pub(crate) traffic: Traffic,
    pub(crate) held: Arc<MemoryHeld>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Numbers with which a silent peer is noticed soon.
pub(crate) fn quick() -> Rules {
    Rules { progress: Duration::from_secs(1), end_game: Duration::from_millis(100), ..Rules::default() }
}

/// A node that serves what is put into `held`.
pub(crate) async fn node(peers: &[Multiaddr]) -> Node {
    let held = Arc::new(MemoryHeld::new());
    serving(peers, Arc::clone(&held) as Arc<dyn Held>, held, ServeLimits::default()).await
}

pub(crate) async fn serving(
    peers: &[Multiaddr],
    serves: Arc<dyn Held>,
    held: Arc<MemoryHeld>,
    limits: ServeLimits,
) -> Node {
    let mut node = mute(Keypair::generate_ed25519(), ANY, peers).await;
    node.held = held;
    serve(node.handle.stream_control(), serves, limits, node.traffic.clone(), node.stop.clone()).unwrap();
    node
}

/// A node that serves nothing: the base of a liar.
pub(crate) async fn mute(identity: Keypair, listen: &str, peers: &[Multiaddr]) -> Node {
    let config = SwarmConfig {
        identity,
        listen: vec![listen.parse().unwrap()],
        peers: peers.to_vec(),
        mdns: false,
        beacon: None,
        remember: None,
    };
    let stop = CancellationToken::new();
    let (handle, news, task) = swarm::start(config, stop.clone()).await.unwrap();
    let traffic = Traffic::new();
    let fetcher = Fetcher::new(handle.stream_control(), handle.connected(), handle.bans(), traffic.clone());
    let id = handle.local_peer_id();
    Node { id, handle, news, stop, task, fetcher, traffic, held: Arc::default() }
}

impl Node {
    pub(crate) fn address(&self) -> Multiaddr {
        self.handle.listen_addrs()[0].clone().with_p2p(self.id).unwrap()
    }

    /// Puts blobs into what the node serves.
    pub(crate) fn hold(&self, blobs: &[Bytes]) {
        for bytes in blobs {
            self.held.insert_blob(bytes.clone());
        }
    }

    pub(crate) async fn connected_to(&self, count: usize) {
        self.handle.connected().wait_for(|peers| peers.len() == count).await.unwrap();
    }

    pub(crate) async fn news(&mut self, wanted: impl Fn(&SwarmNews) -> bool) -> SwarmNews {
        loop {
            let news = self.news.recv().await.unwrap();
            if wanted(&news) {
                return news;
            }
        }
    }

    /// Fetches and collects; what came is sorted by id.
    pub(crate) async fn fetch(
        &self,
        wants: Vec<(BlobId, u32)>,
        rules: Rules,
    ) -> (Result<FetchReport, FetchError>, Vec<VerifiedBlob>) {
        let (sink, mut blobs) = mpsc::channel(16);
        let fetcher = self.fetcher.clone().with_rules(rules);
        let collect = async {
            let mut all = Vec::new();
            while let Some(blob) = blobs.recv().await {
                all.push(blob);
            }
            all.sort_unstable_by_key(VerifiedBlob::id);
            all
        };
        tokio::join!(fetcher.fetch_blobs(wants, None, sink), collect)
    }
}

/// `count` blobs of `len` bytes, each different, and the same for the same `seed`.
pub(crate) fn blobs(seed: u8, count: usize, len: usize) -> Vec<Bytes> {
    let blob = |n: usize| {
        let mut bytes = vec![seed; len];
        let number = n.to_le_bytes();
        bytes[..number.len()].copy_from_slice(&number);
        Bytes::from(bytes)
    };
    (0..count).map(blob).collect()
}

pub(crate) fn wants(blobs: &[Bytes]) -> Vec<(BlobId, u32)> {
    blobs.iter().map(|bytes| (BlobId::of(bytes), u32::try_from(bytes.len()).unwrap())).collect()
}

pub(crate) fn ids_of(wants: &[(BlobId, u32)]) -> Vec<BlobId> {
    let mut ids: Vec<BlobId> = wants.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids
}

/// The server's end of a stream in a test's own hands.
pub(crate) struct Raw {
    pub(crate) reader: FrameReader<ReadHalf<Stream>>,
    pub(crate) writer: WriteHalf<Stream>,
}

impl Raw {
    pub(crate) async fn say(&mut self, reply: Reply) {
        self.raw(&frame(&reply)).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // The other side may have thrown the stream away by now: that is what the test is about.
        let _ = self.writer.write_all(bytes).await;
        let _ = self.writer.flush().await;
    }

    pub(crate) async fn piece(&mut self, request: u64, index: u32, payload: &[u8]) {
        self.say(Reply::Piece { request, index, len: u32::try_from(payload.len()).unwrap() }).await;
        self.raw(payload).await;
    }

    /// The next want.
    pub(crate) async fn want(&mut self) -> Option<(u64, Vec<BlobId>)> {
        loop {
            match self.reader.request().await {
                Ok(Some(Request::Want { request, ids })) => return Some((request, ids)),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

pub(crate) fn frame(header: &impl bincode::Encode) -> Vec<u8> {
    let header = codec::encode(header);
    let mut frame = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(header);
    frame
}

/// Makes `node` answer every stream, greeting included, with `speak`.
pub(crate) fn speak<F>(node: &Node, speak: impl Fn(Raw) -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut control = node.handle.stream_control();
    let accept = [wire::BLOBS, wire::CATALOG].map(|protocol| control.accept(StreamProtocol::new(protocol)).unwrap());
    let mut incoming = futures::stream::select_all(accept);
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            let (reader, writer) = stream.split();
            let mut raw = Raw { reader: FrameReader::new(reader), writer };
            raw.say(Reply::Hello { version: wire::VERSION }).await;
            tokio::spawn(speak(raw));
        }
    });
}
