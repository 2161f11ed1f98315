//! Members: where broadcasts do not reach, a node knows only the address that was typed in, and asks its neighbours for others.
//!
//! ```text
//! asker:  Question                 | one question on a stream, which is asked rarely
//! told:   Hello | Told             | at most 32 random neighbours and where they can be dialled
//! ```
//! Answers are hints to the choice of neighbours ([`crate::engine::neighbours`]) and nothing more: an invented member costs a dial that
//! leads nowhere, and only addresses inside the site's networks are told and taken, or such as the teller dialled itself.
//!
//! Beside it, the swarm is told with whom bytes were exchanged: such neighbours are not let go.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bincode::{Decode, Encode};
use futures::AsyncReadExt as _;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use rand::seq::{IteratorRandom as _, SliceRandom as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::limits;
use crate::swarm::{Ask, PeerStatus, SwarmHandle, Via, is_local};
use crate::transfer::limits as transfer;
use crate::transfer::wire::{FrameError, FrameReader, FrameWriter};
use crate::transfer::{AlreadyServing, Opening, StreamLimits, Traffic, accept_all};

/// The protocol of the streams.
const PROTOCOL: &str = "/modswarm/peers/1";
const VERSION: u8 = 1;

#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Question {
    version: u8,
}

#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
enum Reply {
    /// The stream was accepted.
    Hello { version: u8 },
    /// The answer.
    Told(Vec<Member>),
}

/// One member, in the forms of libp2p.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Member {
    peer: Vec<u8>,
    addresses: Vec<Vec<u8>>,
}

/// Asks and tells.
pub struct Members {
    swarm: SwarmHandle,
    traffic: Traffic,
    counted: Mutex<HashMap<PeerId, (u32, Instant)>>,
    gate: tokio::sync::Mutex<()>,
}

impl Members {
    /// For the node of this swarm.
    #[must_use]
    pub fn new(swarm: SwarmHandle, traffic: Traffic) -> Self {
        Self { swarm, traffic, counted: Mutex::default(), gate: tokio::sync::Mutex::default() }
    }

    /// Asks when the swarm wants more neighbours and tells whoever asks, until `stop`.
    ///
    /// # Errors
    /// [`AlreadyServing`].
    pub fn run(self, stop: CancellationToken) -> Result<JoinHandle<()>, AlreadyServing> {
        let protocol = StreamProtocol::new(PROTOCOL);
        let incoming = self.swarm.stream_control().accept(protocol).map_err(|_| AlreadyServing)?;
        let this = Arc::new(self);
        let teller = Arc::clone(&this);
        let session = move |peer, stream| session(Arc::clone(&teller), peer, stream);
        let (per_peer, all) = limits::MEMBERS_STREAMS;
        let telling = accept_all(incoming, StreamLimits { per_peer, all }, stop.clone(), session);
        Ok(tokio::spawn(async move {
            tokio::select! {
                () = telling => {}
                () = this.ask_when_told() => {}
                () = this.tell_of_traffic() => {}
                () = stop.cancelled() => {}
            }
        }))
    }

    async fn ask_when_told(&self) {
        let mut asks = self.swarm.asks();
        // Ends with the swarm.
        while asks.changed().await.is_ok() {
            let Some(Ask { peer, .. }) = *asks.borrow_and_update() else { continue };
            match tokio::time::timeout(limits::MEMBERS_WAIT, self.ask(peer)).await {
                Ok(Ok(members)) => {
                    tracing::debug!(%peer, members = members.len(), "a neighbour told of other members");
                    for (member, addresses) in members {
                        // A swarm that is busy is told at the next question.
                        let _ = self.swarm.found(member, addresses);
                    }
                }
                Ok(Err(why)) => tracing::debug!(%peer, why, "a neighbour tells of no members"),
                Err(_) => tracing::debug!(%peer, "a neighbour does not tell of members in time"),
            }
        }
        std::future::pending().await
    }

    async fn ask(&self, peer: PeerId) -> Result<Vec<(PeerId, Vec<Multiaddr>)>, String> {
        let connected = self.swarm.connected();
        let opening = Opening { peer, connected: &connected, gate: &self.gate };
        let (mut reader, mut writer) = opening.open(|| self.open(peer)).await?;
        let question = async {
            writer.header(&Question { version: VERSION }).await?;
            writer.flush().await
        };
        question.await.map_err(|err| err.to_string())?;
        match reader.next::<Reply, { limits::MAX_MEMBERS }>().await.map_err(|err| err.to_string())? {
            Some(Reply::Told(members)) => {
                let near = self.is_near(peer);
                Ok(members.into_iter().take(limits::MEMBERS_TOLD).filter_map(|member| take(&member, near)).collect())
            }
            _ => Err("it does not answer as a node of this version does".into()),
        }
    }

    async fn open(&self, peer: PeerId) -> Result<Pipe, String> {
        let mut control = self.swarm.stream_control();
        let opened = control.open_stream(peer, StreamProtocol::new(PROTOCOL)).await;
        let (reader, writer) = opened.map_err(|err| err.to_string())?.split();
        let mut reader = FrameReader::new(reader);
        match reader.next::<Reply, { limits::MAX_MEMBERS }>().await {
            Ok(Some(Reply::Hello { version: VERSION })) => Ok((reader, FrameWriter::new(writer, transfer::WRITE))),
            Ok(_) => Err("it does not greet as a node of this version does".into()),
            Err(err) => Err(err.to_string()),
        }
    }

    /// Whether a neighbour is on this very machine: only its word on loopback addresses means anything here.
    fn is_near(&self, peer: PeerId) -> bool {
        let peers = self.swarm.peers();
        let of = peers.iter().find(|status| status.id == peer);
        of.is_some_and(|status| status.addresses.iter().filter_map(ip_of).any(|ip| ip.is_loopback()))
    }

    async fn tell(&self, peer: PeerId, stream: Stream) -> Result<(), FrameError> {
        let (reader, writer) = stream.split();
        let (mut reader, mut writer) = (FrameReader::new(reader), FrameWriter::new(writer, transfer::WRITE));
        writer.header(&Reply::Hello { version: VERSION }).await?;
        writer.flush().await?;
        if reader.next::<Question, { limits::MAX_MEMBERS_QUESTION }>().await?.is_some() {
            let told = if self.may_ask(peer, Instant::now()) {
                choose(&self.swarm.peers(), peer, self.is_near(peer))
            } else {
                Vec::new()
            };
            writer.header(&Reply::Told(told)).await?;
            writer.flush().await?;
        }
        Ok(())
    }

    /// A token bucket for each peer.
    fn may_ask(&self, peer: PeerId, now: Instant) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let full = limits::MEMBERS_EVERY * limits::MEMBERS_BURST;
        if counted.len() >= limits::MEMBERS_COUNTED {
            counted.retain(|_, (_, at)| now.saturating_duration_since(*at) < full);
        }
        if counted.len() >= limits::MEMBERS_COUNTED && !counted.contains_key(&peer) {
            return false;
        }
        let (left, at) = counted.entry(peer).or_insert((limits::MEMBERS_BURST, now));
        let earned = now.saturating_duration_since(*at).as_secs() / limits::MEMBERS_EVERY.as_secs();
        if earned > 0 {
            *left = left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(limits::MEMBERS_BURST);
            *at = now;
        }
        let allowed = *left > 0;
        *left = left.saturating_sub(1);
        allowed
    }

    async fn tell_of_traffic(&self) {
        let mut every = tokio::time::interval(limits::TRAFFIC_EVERY);
        let mut before: HashMap<PeerId, u64> = HashMap::new();
        loop {
            every.tick().await;
            let now: HashMap<PeerId, u64> =
                self.traffic.snapshot().into_iter().map(|peer| (peer.peer, peer.sent + peer.received)).collect();
            let moved = now.iter().filter(|(peer, bytes)| before.get(*peer).copied().unwrap_or_default() != **bytes);
            let used: Vec<PeerId> = moved.map(|(peer, _)| *peer).collect();
            if !used.is_empty() {
                // Told again in a moment.
                let _ = self.swarm.used(used);
            }
            before = now;
        }
    }
}

type Pipe = (FrameReader<futures::io::ReadHalf<Stream>>, FrameWriter<futures::io::WriteHalf<Stream>>);

async fn session(members: Arc<Members>, peer: PeerId, stream: Stream) {
    match tokio::time::timeout(limits::MEMBERS_WAIT, members.tell(peer, stream)).await {
        Ok(Ok(())) => {}
        Ok(Err(err)) => tracing::debug!(%peer, %err, "telling a peer of members ended"),
        Err(_) => tracing::debug!(%peer, "a peer that wanted to know of members asked nothing"),
    }
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Whether an address may be told or taken: `near` is for two nodes on one machine.
fn fits(address: &Multiaddr, near: bool) -> bool {
    ip_of(address).is_some_and(|ip| is_local(ip) && (near || !ip.is_loopback()))
}

/// A random few of the neighbours, without the one who asks.
fn choose(peers: &[PeerStatus], asker: PeerId, near: bool) -> Vec<Member> {
    let member = |peer: &PeerStatus| {
        let dialled = peer.via != Via::Incoming;
        let loopback = |address: &Multiaddr| ip_of(address).is_some_and(|ip| ip.is_loopback());
        let usable = |address: &&Multiaddr| fits(address, near) || (dialled && !loopback(address));
        let addresses: Vec<Vec<u8>> =
            peer.dial.iter().filter(usable).take(limits::MEMBER_ADDRESSES).map(Multiaddr::to_vec).collect();
        (!addresses.is_empty()).then(|| Member { peer: peer.id.to_bytes(), addresses })
    };
    let others = peers.iter().filter(|peer| peer.id != asker).filter_map(member);
    let mut chosen = others.choose_multiple(&mut rand::rng(), limits::MEMBERS_TOLD);
    chosen.shuffle(&mut rand::rng());
    chosen
}

/// A member as it was told, if it can be one. Public addresses are taken, too, since the teller may have dialled them: the
/// handshake tells who answers there, and the swarm dials each once or twice.
fn take(member: &Member, near: bool) -> Option<(PeerId, Vec<Multiaddr>)> {
    let peer = PeerId::from_bytes(&member.peer).ok()?;
    let parse = |bytes: &Vec<u8>| Multiaddr::try_from(bytes.clone()).ok();
    let usable = |address: &Multiaddr| {
        let tcp =
            matches!(address.iter().nth(1), Some(Protocol::Tcp(port)) if port != 0) && address.iter().count() == 2;
        let ip = ip_of(address).filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
        tcp && ip.is_some_and(|ip| near || !ip.is_loopback())
    };
    let addresses = member.addresses.iter().take(limits::MEMBER_ADDRESSES).filter_map(parse).filter(usable);
    let addresses: Vec<Multiaddr> = addresses.collect();
    (!addresses.is_empty()).then_some((peer, addresses))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::domain::codec;

    fn status(via: Via, dial: &[&str]) -> PeerStatus {
        PeerStatus {
            id: PeerId::random(),
            addresses: Vec::new(),
            connected_since: SystemTime::now(),
            via,
            rtt: None,
            agent: None,
            protocols: Arc::default(),
            dial: dial.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn told(members: &[Member]) -> Vec<String> {
        let text = |bytes: &Vec<u8>| Multiaddr::try_from(bytes.clone()).unwrap().to_string();
        let mut all: Vec<String> = members.iter().flat_map(|member| member.addresses.iter().map(text)).collect();
        all.sort();
        all
    }

    #[test]
    fn told_are_addresses_inside_the_site_and_those_that_were_dialled() {
        let asker = status(Via::Incoming, &["/ip4/10.0.0.9/tcp/1"]);
        let peers = [
            asker.clone(),
            status(Via::Incoming, &["/ip4/10.0.0.1/tcp/1", "/ip4/203.0.113.1/tcp/1"]),
            status(Via::Static, &["/ip4/203.0.113.2/tcp/1"]),
            status(Via::Incoming, &["/ip4/127.0.0.1/tcp/1"]),
            status(Via::Incoming, &[]),
        ];
        assert_eq!(told(&choose(&peers, asker.id, false)), ["/ip4/10.0.0.1/tcp/1", "/ip4/203.0.113.2/tcp/1"]);
        assert!(told(&choose(&peers, asker.id, true)).contains(&"/ip4/127.0.0.1/tcp/1".to_owned()));
        let many: Vec<PeerStatus> = (0..100).map(|_| status(Via::Incoming, &["/ip4/10.0.0.1/tcp/1"])).collect();
        let chosen = choose(&many, asker.id, false);
        assert_eq!(chosen.len(), limits::MEMBERS_TOLD);
        assert!(codec::encode(&Reply::Told(chosen)).len() <= limits::MAX_MEMBERS);
    }

    #[test]
    fn what_is_told_is_taken_for_a_hint_and_nonsense_for_nothing() {
        let peer = PeerId::random().to_bytes();
        let address = |text: &str| text.parse::<Multiaddr>().unwrap().to_vec();
        let member = |peer: &[u8], addresses: &[&str]| Member {
            peer: peer.to_vec(),
            addresses: addresses.iter().map(|text| address(text)).collect(),
        };
        assert!(take(&member(b"nobody", &["/ip4/10.0.0.1/tcp/1"]), true).is_none());
        let bad = ["/ip4/10.0.0.1/udp/1", "/dns4/evil.example/tcp/1", "/ip4/10.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/1"];
        assert!(take(&member(&peer, &bad), true).is_none());
        assert!(take(&member(&peer, &["/ip4/224.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1"]), false).is_none());
        assert!(take(&Member { peer: peer.clone(), addresses: vec![vec![0xff; 9]] }, true).is_none());
        assert!(take(&member(&peer, &["/ip4/127.0.0.1/tcp/1"]), true).is_some());
        let many = vec![address("/ip4/10.0.0.1/tcp/1"); 100];
        assert_eq!(take(&Member { peer, addresses: many }, false).unwrap().1.len(), limits::MEMBER_ADDRESSES);
    }
}
