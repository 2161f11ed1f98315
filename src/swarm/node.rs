//! The event loop: `select` waits, `apply` never does, one short `on_*` per behaviour.

mod reach;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt as _;
use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, PublishError};
use libp2p::swarm::{ConnectionId, ListenError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, TransportError, identify, ping};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::beacon::{Heard, LanStatus, Wish};
use super::behaviour::{Behaviour, BehaviourEvent, PROTOCOL, TOPIC};
use super::dial::{Dial, Dialler};
use super::peers::{PeerStatus, Peers, Via};
use super::{AnnouncementId, Ask, Command, SwarmError, SwarmNews, Verdict, Views, limits, resolve};
use crate::engine::neighbours::{Event as Neighbour, Goal, How, Miss};

type Event = SwarmEvent<BehaviourEvent>;

/// What the loop waits for besides the network.
pub(super) struct Inputs {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) bans: mpsc::Receiver<PeerId>,
    pub(super) heard: mpsc::Receiver<Heard>,
    pub(super) lan: watch::Receiver<Arc<LanStatus>>,
    pub(super) stop: CancellationToken,
}

enum Input {
    Command(Command),
    Ban(PeerId),
    Heard(Heard),
    Resolved(Dial, io::Result<Vec<Multiaddr>>),
    DialDue,
    Event(Event),
}

/// The state of the loop.
pub(super) struct Node {
    swarm: Swarm<Behaviour>,
    inputs: Inputs,
    dialler: Dialler,
    /// Own dials under way; at most [`limits::MAX_PENDING_OUTGOING`] plus those the transport has yet to refuse.
    attempts: HashMap<ConnectionId, Goal<PeerId>>,
    lookups: JoinSet<(Dial, io::Result<Vec<Multiaddr>>)>,
    peers: Peers,
    news: mpsc::Sender<SwarmNews>,
    dropped: Arc<AtomicU64>,
    status: watch::Sender<Arc<[PeerStatus]>>,
    connected: watch::Sender<Arc<[PeerId]>>,
    listening: watch::Sender<Arc<[Multiaddr]>>,
    asks: watch::Sender<Option<Ask>>,
    wish: watch::Sender<Wish>,
    /// By mDNS, for each interface: how many, and when the last.
    mdns_heard: BTreeMap<String, (u64, SystemTime)>,
}

impl Node {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        fixed: &[Multiaddr],
        inputs: Inputs,
        news: mpsc::Sender<SwarmNews>,
        wish: watch::Sender<Wish>,
    ) -> (Self, Views) {
        let dialler = Dialler::new(*swarm.local_peer_id(), fixed);
        let (asks, asks_view) = watch::channel(None);
        let (status, peers_view) = watch::channel(Arc::default());
        let (connected, connected_view) = watch::channel(Arc::default());
        let (listening, listening_view) = watch::channel(Arc::default());
        let views = Views { peers: peers_view, connected: connected_view, listening: listening_view, asks: asks_view };
        let node = Self {
            swarm,
            inputs,
            dialler,
            attempts: HashMap::new(),
            lookups: JoinSet::new(),
            peers: Peers::default(),
            news,
            dropped: Arc::default(),
            status,
            connected,
            listening,
            asks,
            wish,
            mdns_heard: BTreeMap::new(),
        };
        (node, views)
    }

    pub(super) fn local(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    pub(super) fn stream_control(&self) -> libp2p_stream::Control {
        self.swarm.behaviour().streams.new_control()
    }

    pub(super) fn dropped_news(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Listens on every address and waits until each has reported what it is.
    pub(super) async fn listen(&mut self, addresses: &[Multiaddr]) -> Result<(), SwarmError> {
        for address in addresses {
            resolve::check_listen(address)?;
            let id = self.swarm.listen_on(address.clone()).map_err(|err| match err {
                TransportError::Other(reason) => resolve::listen_error(address, reason),
                TransportError::MultiaddrNotSupported(address) => SwarmError::ListenAddress { address },
            })?;
            tokio::time::timeout(limits::LISTEN, self.first_address(id))
                .await
                .map_err(|_| SwarmError::NoListener { address: address.clone() })?;
        }
        Ok(())
    }

    async fn first_address(&mut self, listener: ListenerId) {
        loop {
            let event = self.swarm.select_next_some().await;
            let found = matches!(&event, SwarmEvent::NewListenAddr { listener_id, .. } if *listener_id == listener);
            self.on_event(event);
            if found {
                return;
            }
        }
    }

    pub(super) async fn run(mut self) {
        while let Some(input) = self.select().await {
            self.apply(input);
        }
        tracing::debug!("the swarm has stopped");
    }

    async fn select(&mut self) -> Option<Input> {
        let due = self.dialler.wake().map(tokio::time::Instant::from_std);
        let at = due.unwrap_or_else(tokio::time::Instant::now);
        loop {
            tokio::select! {
                () = self.inputs.stop.cancelled() => return None,
                Some(command) = self.inputs.commands.recv() => return Some(Input::Command(command)),
                Some(peer) = self.inputs.bans.recv() => return Some(Input::Ban(peer)),
                Some(heard) = self.inputs.heard.recv() => return Some(Input::Heard(heard)),
                Some(lookup) = self.lookups.join_next() => match lookup {
                    Ok((dial, found)) => return Some(Input::Resolved(dial, found)),
                    Err(err) => tracing::error!(%err, "a name lookup was aborted"),
                },
                () = tokio::time::sleep_until(at), if due.is_some() => return Some(Input::DialDue),
                event = self.swarm.select_next_some() => return Some(Input::Event(event)),
            }
        }
    }

    fn apply(&mut self, input: Input) {
        match input {
            Input::Command(Command::Announce(bytes)) => self.announce(bytes),
            Input::Command(Command::Report { id, from, verdict }) => self.report(&id, &from, verdict),
            Input::Command(Command::Found(peer, addresses)) => self.found(peer, addresses, How::Hearsay),
            Input::Command(Command::Used(peers)) => self.used(&peers),
            // Who asked may have gone.
            Input::Command(Command::Discovery(answer)) => drop(answer.send(self.discovery())),
            Input::Ban(peer) => self.ban(peer),
            Input::Heard(Heard::Found(peer, addresses)) => self.found(peer, addresses, How::Lan),
            Input::Heard(Heard::NetworkChanged) => self.drive(Neighbour::NetworkChanged),
            Input::Resolved(dial, Ok(addresses)) => self.dial(Dial { addresses, ..dial }),
            Input::Resolved(dial, Err(err)) => {
                tracing::debug!(address = ?dial.addresses, %err, "cannot look up a static peer's name");
                self.dialler.note(dial.goal, &format!("its name cannot be looked up: {err}"));
                self.drive(Neighbour::Failed(dial.goal, Miss::Unreachable));
            }
            Input::DialDue => self.drive(Neighbour::Tick),
            Input::Event(event) => self.on_event(event),
        }
    }

    fn announce(&mut self, bytes: Bytes) {
        match self.swarm.behaviour_mut().gossip.publish(IdentTopic::new(TOPIC), bytes) {
            // Said already, or nobody to say it to: catch-up tells those who come later.
            Ok(_) | Err(PublishError::Duplicate | PublishError::NoPeersSubscribedToTopic) => {}
            Err(err) => tracing::warn!(%err, "an announcement was not sent"),
        }
    }

    fn report(&mut self, id: &AnnouncementId, from: &PeerId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        self.swarm.behaviour_mut().gossip.report_message_validation_result(&id.0, from, acceptance);
    }

    fn ban(&mut self, peer: PeerId) {
        tracing::warn!(%peer, "peer is banned until this node restarts");
        self.drive(Neighbour::Banned(peer));
        self.swarm.behaviour_mut().gossip.blacklist_peer(&peer);
        self.swarm.behaviour_mut().blocked.block_peer(peer);
    }

    fn on_event(&mut self, event: Event) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, cause = cause.map(|err| err.to_string()), "connection closed");
                self.on_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(goal) = self.attempts.remove(&connection_id) {
                    self.missed(goal, &error);
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => match error {
                ListenError::LocalPeerId { .. } => {
                    tracing::warn!(address = %send_back_addr, "a node with this node's identity dialled in; give one of the two a data directory of its own");
                }
                error => tracing::debug!(address = %send_back_addr, %error, "an incoming connection failed"),
            },
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => self.on_listening(),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "a listener is gone");
                self.on_listening();
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener has trouble"),
            _ => {}
        }
    }

    fn on_established(&mut self, peer: PeerId, id: ConnectionId, endpoint: ConnectedPoint) {
        let goal = self.attempts.remove(&id);
        let (address, via) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => (address, self.dialler.via(goal)),
            ConnectedPoint::Listener { send_back_addr, .. } => (send_back_addr, Via::Incoming),
        };
        tracing::debug!(%peer, %address, ?via, "connected");
        let first = self.peers.opened(peer, id, address, via);
        self.drive(Neighbour::Connected(peer, goal));
        if first {
            self.publish_peers();
            self.tell(SwarmNews::Connected(peer));
        } else {
            self.publish_status();
        }
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        if self.peers.closed(peer, id) {
            self.drive(Neighbour::Disconnected(peer));
            self.publish_peers();
            self.tell(SwarmNews::Disconnected(peer));
        } else {
            self.publish_status();
        }
    }

    fn on_listening(&self) {
        let listening: Arc<[Multiaddr]> = self.swarm.listeners().cloned().collect();
        self.wish.send_modify(|wish| wish.listening = Arc::clone(&listening));
        self.listening.send_replace(listening);
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Mdns(event) => self.on_mdns(event),
            BehaviourEvent::Ping(event) => self.on_ping(&event),
            BehaviourEvent::Streams(()) => {}
            BehaviourEvent::Blocked(never) | BehaviourEvent::Limits(never) => match never {},
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source: from, message_id, message } => {
                let id = AnnouncementId(message_id);
                if message.data.len() > limits::MAX_ANNOUNCEMENT {
                    tracing::debug!(peer = %from, bytes = message.data.len(), "an announcement is over the limit");
                    return self.report(&id, &from, Verdict::Reject);
                }
                let news = SwarmNews::Announcement { id: id.clone(), from, bytes: message.data.into() };
                if !self.tell(news) {
                    // Nobody will judge it; free its place in gossipsub's cache.
                    self.report(&id, &from, Verdict::Ignore);
                }
            }
            gossipsub::Event::Subscribed { peer_id, .. } => drop(self.tell(SwarmNews::Subscribed(peer_id))),
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "peer is slow to take gossip")
            }
            _ => {}
        }
    }

    fn on_identify(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id, info, .. } = event else { return };
        if info.protocol_version == PROTOCOL {
            let protocols = info.protocols.iter().map(AsRef::as_ref);
            self.peers.identified(peer_id, &info.agent_version, protocols);
            self.peers.listens(peer_id, &info.listen_addrs);
            self.publish_status();
        } else {
            tracing::info!(peer = %peer_id, speaks = %info.protocol_version, "peer is no modswarm node of this version; disconnecting");
            self.drive(Neighbour::Banned(peer_id));
            // An error means that it is disconnected already.
            let _ = self.swarm.disconnect_peer_id(peer_id);
        }
    }

    fn on_ping(&mut self, event: &ping::Event) {
        match &event.result {
            Ok(rtt) => {
                self.peers.pong(event.peer, *rtt);
                self.publish_status();
            }
            Err(ping::Failure::Unsupported) => {}
            Err(err) => {
                if self.peers.ping_failed(event.peer) {
                    tracing::info!(peer = %event.peer, %err, "peer does not answer pings; closing the connection");
                    self.swarm.close_connection(event.connection);
                }
            }
        }
    }

    fn publish_status(&self) {
        self.status.send_replace(self.peers.status());
    }

    fn publish_peers(&self) {
        self.publish_status();
        self.connected.send_replace(self.peers.ids());
    }

    /// Whether somebody will read it.
    fn tell(&self, news: SwarmNews) -> bool {
        let told = self.news.try_send(news).is_ok();
        if !told {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        told
    }
}
