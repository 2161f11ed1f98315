//! Neighbours: the rules of [`crate::engine::neighbours`] with a real clock, and what is known of each peer, for people.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::beacon::LanStatus;
use super::limits;
use super::peers::{PeerStatus, Via};
use crate::engine::neighbours::{Action, Event, Goal, How, Known, Neighbours, Standing};

/// One dial to start.
pub(super) struct Dial {
    pub(super) goal: Goal<PeerId>,
    pub(super) peer: Option<PeerId>,
    pub(super) addresses: Vec<Multiaddr>,
}

/// What mDNS has heard on an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MdnsHeard {
    /// Its name.
    pub interface: String,
    /// Addresses of other nodes.
    pub count: u64,
    /// When the last one came.
    pub last: SystemTime,
}

/// How a known peer stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerState {
    /// It is connected.
    Connected {
        /// How that came about.
        via: Via,
        /// Since when.
        since: SystemTime,
    },
    /// It is being dialled.
    Dialling,
    /// It is not connected, and may be dialled when this time is over. Who was found, and is not static, is then dialled only
    /// if more neighbours are wanted.
    Waiting(Duration),
    /// It is never dialled: it is this node itself, banned, or no node of this project.
    Never,
}

/// What is known of one peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownPeer {
    /// Who, if that is known.
    pub peer: Option<PeerId>,
    /// Where.
    pub addresses: Vec<Multiaddr>,
    /// How it was found; `None` for one that is named in the configuration or that dialled in.
    pub how: Option<How>,
    /// Whether the configuration names it.
    pub fixed: bool,
    /// How it stands.
    pub state: PeerState,
    /// Dials in a row that led to nothing.
    pub failures: u32,
    /// Why the last one did.
    pub reason: Option<String>,
}

/// What a node knows of the LAN and of who is on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Discovery {
    /// The interfaces and the beacon.
    pub lan: LanStatus,
    /// What mDNS has heard; `None` when it does not run.
    pub mdns: Option<Vec<MdnsHeard>>,
    /// Whether more neighbours are wanted.
    pub seeking: bool,
    /// Neighbours, static ones not counted.
    pub neighbours: usize,
    /// Every peer that is known.
    pub known: Vec<KnownPeer>,
}

/// The rules with a clock.
pub(super) struct Dialler {
    neighbours: Neighbours<PeerId, Multiaddr>,
    start: Instant,
    reasons: HashMap<Goal<PeerId>, String>,
}

impl Dialler {
    /// For node `me` with these static addresses, each perhaps with `/p2p/<peer id>` at its end.
    pub(super) fn new(me: PeerId, fixed: &[Multiaddr]) -> Self {
        let fixed = fixed.iter().map(|address| (peer_of(address), address.clone())).collect();
        let neighbours = Neighbours::new(me, fixed, rand::random(), Duration::ZERO);
        Self { neighbours, start: Instant::now(), reasons: HashMap::new() }
    }

    pub(super) fn handle(&mut self, event: Event<PeerId, Multiaddr>) -> Vec<Action<PeerId, Multiaddr>> {
        if let Event::Connected(_, Some(goal)) = &event {
            self.reasons.remove(goal);
        }
        self.neighbours.handle(event, self.start.elapsed())
    }

    /// When [`Event::Tick`] is wanted.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.neighbours.deadline().map(|at| self.start + at)
    }

    pub(super) fn seeking(&self) -> bool {
        self.neighbours.seeking()
    }

    pub(super) fn degree(&self) -> usize {
        self.neighbours.degree()
    }

    /// How a connection came about that this node dialled.
    pub(super) fn via(&self, goal: Option<Goal<PeerId>>) -> Via {
        let Some(Goal::Found(peer)) = goal else { return Via::Static };
        match self.neighbours.how(&peer) {
            Some(How::Hearsay) => Via::Hearsay,
            Some(How::Remembered) => Via::Remembered,
            Some(How::Lan) | None => Via::Lan,
        }
    }

    /// Keeps why a dial led to nothing.
    pub(super) fn note(&mut self, goal: Goal<PeerId>, reason: &str) {
        if self.reasons.len() >= limits::MAX_REASONS {
            self.reasons.clear();
        }
        let printable = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
        self.reasons.insert(goal, printable.take(limits::MAX_REASON).collect());
    }

    /// Everybody who is known, with those of `connected` who came by themselves.
    pub(super) fn known(&self, connected: &[PeerStatus]) -> Vec<KnownPeer> {
        let now = self.start.elapsed();
        let of = |peer: Option<PeerId>| connected.iter().find(|status| Some(status.id) == peer);
        let known = |known: Known<PeerId, Multiaddr>| {
            let state = match (known.standing, of(known.peer)) {
                (_, Some(status)) => PeerState::Connected { via: status.via, since: status.connected_since },
                (Standing::Trying, _) => PeerState::Dialling,
                (Standing::Wait(at), _) => PeerState::Waiting(at.saturating_sub(now)),
                (Standing::Up, None) => PeerState::Waiting(Duration::ZERO),
                (Standing::Never, _) => PeerState::Never,
            };
            KnownPeer {
                peer: known.peer,
                addresses: known.addresses,
                how: known.how,
                fixed: matches!(known.goal, Goal::Static(_)),
                reason: self.reasons.get(&known.goal).cloned(),
                failures: known.failures,
                state,
            }
        };
        let mut all: Vec<KnownPeer> = self.neighbours.known().into_iter().map(known).collect();
        for status in connected {
            if !all.iter().any(|known| known.peer == Some(status.id)) {
                all.push(KnownPeer {
                    peer: Some(status.id),
                    addresses: status.addresses.clone(),
                    how: None,
                    fixed: false,
                    state: PeerState::Connected { via: status.via, since: status.connected_since },
                    failures: 0,
                    reason: None,
                });
            }
        }
        all
    }
}

/// The peer that an address names at its end.
fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}
