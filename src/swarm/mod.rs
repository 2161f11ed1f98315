//! The swarm: owns the libp2p [`Swarm`](libp2p::Swarm), finds peers, keeps connections, carries announcements.
//!
//! One task runs the event loop. It *waits* in one place (a `select` over commands, bans, name lookups, the next dial and
//! the libp2p events) and what it does with an input is never asynchronous, so nothing that happens in it can hold up
//! the pings and handshakes of all peers. **Bulk bytes never pass through it**: blobs go over streams that the transfer
//! layer opens through [`SwarmHandle::stream_control`], from the connection's own task straight to the one who reads.
//!
//! * Down go commands, over a bounded queue that is never waited for. Up come [`SwarmNews`] over a bounded queue: if
//!   nobody reads, news is dropped and counted ([`SwarmHandle::dropped_news`]). What is *true now* (who is connected, on
//!   which addresses the node listens) is in watch channels, so a reader that missed news misses no fact.
//! * Transport: TCP (no delay) + Noise + Yamux. A dial never binds to the listening port: that is for hole punching, and
//!   meets the old connection's `TIME_WAIT` when a peer restarts.
//! * Whom to dial and whom to keep are pure rules ([`crate::engine::neighbours`]), and so is when to shout on the LAN
//!   ([`crate::engine::beacon`]); every bound is in [`limits`].
//! * Peers are found by mDNS, by the beacon on each interface that leads to a LAN, among those remembered on disk, and by
//!   what neighbours tell ([`SwarmHandle::found`]). All are hints: who answers is told by the handshake.
//! * Announcements are gossipsub messages under strict validation: signed, named by content, passed on only after the
//!   receiver's [`SwarmHandle::report`]. They are a doorbell and may be lost; catalog catch-up finds what they missed.
//!
//! Not in here: what announcements mean, who may join a site, storage, HTTP.

mod beacon;
mod behaviour;
mod dial;
mod error;
mod interfaces;
pub mod limits;
mod node;
mod peers;
mod remember;
mod resolve;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use beacon::{BeaconConfig, InterfaceStatus, LanStatus};
pub use dial::{Discovery, KnownPeer, MdnsHeard, PeerState};
pub use error::SwarmError;
pub use interfaces::{Class, Interface, is_local};
pub use peers::{PeerStatus, Via};

/// What a swarm is started with.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// The node's key pair; its public half is the peer id.
    pub identity: Keypair,
    /// Where to listen: `/ip4/ADDRESS/tcp/PORT` or `/ip6/…`; port 0 takes a free one. May be empty: a node that only dials.
    pub listen: Vec<Multiaddr>,
    /// Static peers, dialled for ever: an IP address or DNS name, a TCP port, and perhaps `/p2p/PEER-ID`, without which
    /// whoever answers there is taken.
    pub peers: Vec<Multiaddr>,
    /// Whether to find peers on the LAN by mDNS. Where the system has no multicast a warning is logged and the node runs.
    pub mdns: bool,
    /// The beacon on the LAN, if it is wanted. Where it cannot be sent a warning is logged and the node runs.
    pub beacon: Option<BeaconConfig>,
    /// The file in which peers are remembered over a restart, if they are to be.
    pub remember: Option<PathBuf>,
}

/// A neighbour that could be asked for other members, since this node has too few; see [`SwarmHandle::asks`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Whom.
    pub peer: PeerId,
    /// Counts up, so that the same neighbour twice is news.
    pub number: u64,
}

/// Names one announcement that waits for its [`Verdict`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AnnouncementId(libp2p::gossipsub::MessageId);

/// What a receiver thinks of an announcement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is right: pass it on.
    Accept,
    /// It breaks a rule that every node knows: do not pass it on, and its sender is at fault.
    Reject,
    /// Not for this node to judge: do not pass it on, and nobody is at fault.
    Ignore,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SwarmNews {
    /// The first connection with a peer stands.
    Connected(PeerId),
    /// The last connection with a peer is gone.
    Disconnected(PeerId),
    /// A peer has subscribed to announcements: from now on [`SwarmHandle::announce`] reaches it.
    Subscribed(PeerId),
    /// An announcement came in. It goes no further until [`SwarmHandle::report`].
    Announcement {
        /// What to report under.
        id: AnnouncementId,
        /// The neighbour it came from, not necessarily its author.
        from: PeerId,
        /// The content, at most [`limits::MAX_ANNOUNCEMENT`] bytes.
        bytes: Bytes,
    },
}

enum Command {
    Announce(Bytes),
    Report { id: AnnouncementId, from: PeerId, verdict: Verdict },
    Found(PeerId, Vec<Multiaddr>),
    Used(Vec<PeerId>),
    Discovery(oneshot::Sender<Discovery>),
}

/// The way to talk to a running swarm. Cheap to clone; the swarm runs until its cancellation token says otherwise.
#[derive(Clone)]
pub struct SwarmHandle {
    local: PeerId,
    commands: mpsc::Sender<Command>,
    bans: mpsc::Sender<PeerId>,
    control: libp2p_stream::Control,
    views: Views,
    dropped: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Views {
    peers: watch::Receiver<Arc<[PeerStatus]>>,
    connected: watch::Receiver<Arc<[PeerId]>>,
    listening: watch::Receiver<Arc<[Multiaddr]>>,
    asks: watch::Receiver<Option<Ask>>,
}

/// Starts a swarm and returns when every listener has its address.
///
/// It runs until `stop` is cancelled; the join handle ends when the listeners are closed.
///
/// # Errors
/// [`SwarmError`] names the address that cannot be listened on or dialled.
pub async fn start(
    config: SwarmConfig,
    stop: CancellationToken,
) -> Result<(SwarmHandle, mpsc::Receiver<SwarmNews>, JoinHandle<()>), SwarmError> {
    config.peers.iter().try_for_each(resolve::check_peer)?;
    let swarm = behaviour::build(&config.identity, config.mdns)?;
    let (commands, command_queue) = mpsc::channel(limits::COMMANDS);
    let (bans, ban_queue) = mpsc::channel(limits::BANS);
    let (news, news_queue) = mpsc::channel(limits::NEWS);
    let (wish, wishes) = watch::channel(beacon::Wish { seeking: true, ..beacon::Wish::default() });
    let (heard, lan) = beacon::start(config.beacon, *swarm.local_peer_id(), wishes, stop.clone());
    let inputs = node::Inputs { commands: command_queue, bans: ban_queue, heard, lan, stop: stop.clone() };
    let (mut node, views) = node::Node::new(swarm, &config.peers, inputs, news, wish);
    node.listen(&config.listen).await?;
    let remembering = config.remember.map(|path| {
        let memory = remember::load(&path);
        node.remembered(&memory);
        remember::keep(path, memory, views.peers.clone(), stop)
    });
    let handle = SwarmHandle {
        local: node.local(),
        commands,
        bans,
        control: node.stream_control(),
        views,
        dropped: node.dropped_news(),
    };
    let run = async move {
        match remembering {
            Some(remembering) => drop(tokio::join!(node.run(), remembering)),
            None => node.run().await,
        }
    };
    Ok((handle, news_queue, tokio::spawn(run)))
}

impl SwarmHandle {
    /// This node's peer id.
    #[must_use]
    pub fn local_peer_id(&self) -> PeerId {
        self.local
    }

    /// Every connected peer, as of now.
    #[must_use]
    pub fn peers(&self) -> Arc<[PeerStatus]> {
        self.views.peers.borrow().clone()
    }

    /// Every connected peer, and every change of what is known of them.
    #[must_use]
    pub fn peer_changes(&self) -> watch::Receiver<Arc<[PeerStatus]>> {
        self.views.peers.clone()
    }

    /// The ids of the connected peers, and every change of them.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<Arc<[PeerId]>> {
        self.views.connected.clone()
    }

    /// The addresses on which the node listens, with real ports, as of now.
    #[must_use]
    pub fn listen_addrs(&self) -> Arc<[Multiaddr]> {
        self.views.listening.borrow().clone()
    }

    /// Sends an announcement to all that have subscribed. Does not wait, and reaches nobody if nobody is connected.
    ///
    /// # Errors
    /// [`SwarmError::AnnouncementTooLong`], [`SwarmError::Busy`], [`SwarmError::Stopped`].
    pub fn announce(&self, bytes: Bytes) -> Result<(), SwarmError> {
        if bytes.len() > limits::MAX_ANNOUNCEMENT {
            return Err(SwarmError::AnnouncementTooLong(bytes.len()));
        }
        self.command(Command::Announce(bytes))
    }

    /// Says what is to become of an announcement; within a few seconds of its arrival, or gossipsub has forgotten it.
    ///
    /// # Errors
    /// [`SwarmError::Busy`], [`SwarmError::Stopped`].
    pub fn report(&self, id: AnnouncementId, from: PeerId, verdict: Verdict) -> Result<(), SwarmError> {
        self.command(Command::Report { id, from, verdict })
    }

    /// Tells of a peer that may be found at these addresses (at most [`limits::MAX_FOUND_ADDRESSES`] are taken): a hint,
    /// used when more neighbours are wanted.
    ///
    /// # Errors
    /// [`SwarmError::Busy`], [`SwarmError::Stopped`].
    pub fn found(&self, peer: PeerId, mut addresses: Vec<Multiaddr>) -> Result<(), SwarmError> {
        addresses.retain(|address| resolve::check_peer(address).is_ok() && !resolve::is_name(address));
        addresses.truncate(limits::MAX_FOUND_ADDRESSES);
        self.command(Command::Found(peer, addresses))
    }

    /// Tells with whom bytes were exchanged of late: these neighbours are kept, and a late ping is forgiven.
    ///
    /// # Errors
    /// [`SwarmError::Busy`], [`SwarmError::Stopped`].
    pub fn used(&self, peers: Vec<PeerId>) -> Result<(), SwarmError> {
        self.command(Command::Used(peers))
    }

    /// Whom to ask for other members, each time that this node has too few neighbours. Whoever asks tells the answers to
    /// [`Self::found`].
    #[must_use]
    pub fn asks(&self) -> watch::Receiver<Option<Ask>> {
        self.views.asks.clone()
    }

    /// All that is known of the LAN and of who is on it, for people.
    ///
    /// # Errors
    /// [`SwarmError::Busy`], [`SwarmError::Stopped`].
    pub async fn discovery(&self) -> Result<Discovery, SwarmError> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Discovery(answer))?;
        answered.await.map_err(|_| SwarmError::Stopped)
    }

    /// Where the id of a peer goes that is to be disconnected and neither dialled nor let in again until the node restarts.
    #[must_use]
    pub fn bans(&self) -> mpsc::Sender<PeerId> {
        self.bans.clone()
    }

    /// Opens and accepts streams. Long-lived ones only: an incoming stream that is not accepted at once is dropped.
    #[must_use]
    pub fn stream_control(&self) -> libp2p_stream::Control {
        self.control.clone()
    }

    /// News dropped so far because nobody read it.
    #[must_use]
    pub fn dropped_news(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn command(&self, command: Command) -> Result<(), SwarmError> {
        self.commands.try_send(command).map_err(|err| match err {
            mpsc::error::TrySendError::Full(_) => SwarmError::Busy,
            mpsc::error::TrySendError::Closed(_) => SwarmError::Stopped,
        })
    }
}
