//! Reaching others: what the rules of [`crate::engine::neighbours`] ask for is done here, and they hear what came of it.

use std::num::NonZeroU8;
use std::time::SystemTime;

use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, mdns};

use super::super::dial::{Dial, Discovery, MdnsHeard};
use super::super::interfaces::{ip_of, rank};
use super::super::remember::Memory;
use super::{Ask, Neighbour, Node, limits, resolve};
use crate::engine::neighbours::{Action, Goal, How, Miss};

impl Node {
    /// Tells the rules what happened, and does what they say.
    pub(super) fn drive(&mut self, event: Neighbour<PeerId, Multiaddr>) {
        for action in self.dialler.handle(event) {
            match action {
                Action::Dial { goal, peer, addresses } => self.start_dial(Dial { goal, peer, addresses }),
                Action::Close(peer) => {
                    tracing::debug!(%peer, "more neighbours than needed; an idle one is let go");
                    // An error means that it is disconnected already.
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
                Action::Ask(peer) => {
                    self.asks.send_modify(|ask| {
                        let number = ask.map_or(0, |ask| ask.number.wrapping_add(1));
                        *ask = Some(Ask { peer, number });
                    });
                }
            }
        }
        let seeking = self.dialler.seeking();
        self.wish.send_if_modified(|wish| std::mem::replace(&mut wish.seeking, seeking) != seeking);
    }

    fn start_dial(&mut self, mut dial: Dial) {
        if dial.addresses.iter().any(resolve::is_name) {
            self.lookups.spawn(async move {
                let address = dial.addresses.first().cloned().unwrap_or_else(Multiaddr::empty);
                let found = resolve::resolve(&address).await;
                (dial, found)
            });
            return;
        }
        let lan = std::sync::Arc::clone(&self.inputs.lan.borrow());
        let interfaces: Vec<_> = lan.interfaces.iter().map(|status| status.interface.clone()).collect();
        dial.addresses.sort_by_key(|address| rank(address, &interfaces));
        self.dial(dial);
    }

    pub(super) fn dial(&mut self, dial: Dial) {
        let Some(first) = dial.addresses.first().cloned() else {
            self.dialler.note(dial.goal, "its name stands for no address");
            return self.drive(Neighbour::Failed(dial.goal, Miss::Unreachable));
        };
        let opts = match dial.peer {
            Some(peer) => DialOpts::peer_id(peer)
                .addresses(dial.addresses)
                .override_dial_concurrency_factor(NonZeroU8::new(limits::DIALS_PER_PEER).unwrap_or(NonZeroU8::MIN))
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .allocate_new_port()
                .build(),
            None => DialOpts::unknown_peer_id().address(first).allocate_new_port().build(),
        };
        let id = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => drop(self.attempts.insert(id, dial.goal)),
            Err(err) => self.missed(dial.goal, &err),
        }
    }

    pub(super) fn missed(&mut self, goal: Goal<PeerId>, err: &DialError) {
        let miss = match err {
            // libp2p takes a node's own listening addresses out of every dial.
            DialError::NoAddresses => Miss::Ourselves,
            DialError::LocalPeerId { address } => {
                tracing::warn!(%address, "another node has this node's identity; give one of the two a data directory of its own");
                Miss::Clone
            }
            DialError::WrongPeerId { obtained, address } => {
                // Addresses on a LAN change hands: only one that was typed in is worth a warning.
                if matches!(goal, Goal::Static(_)) {
                    tracing::warn!(%address, %obtained, "another peer answers at a static address than the one it names");
                }
                Miss::Unreachable
            }
            err => {
                tracing::debug!(?goal, %err, "a dial led to nothing");
                Miss::Unreachable
            }
        };
        self.dialler.note(goal, &reason(err));
        self.drive(Neighbour::Failed(goal, miss));
    }

    /// Somebody was found, one way or another.
    pub(super) fn found(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, how: How) {
        for address in addresses {
            self.drive(Neighbour::Found(peer, address, how));
        }
    }

    /// Tells of the peers of the last run.
    pub(crate) fn remembered(&mut self, memory: &Memory) {
        for (peer, known) in memory {
            self.found(*peer, known.addresses.clone(), How::Remembered);
        }
    }

    pub(super) fn used(&mut self, peers: &[PeerId]) {
        for peer in peers {
            self.peers.used(*peer);
            self.drive(Neighbour::Used(*peer));
        }
    }

    pub(super) fn on_mdns(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    self.count_mdns(&address);
                    self.drive(Neighbour::Found(peer, address, How::Lan));
                }
            }
            mdns::Event::Expired(lost) => {
                for (peer, address) in lost {
                    self.drive(Neighbour::Lost(peer, address));
                }
            }
        }
    }

    fn count_mdns(&mut self, address: &Multiaddr) {
        let lan = self.inputs.lan.borrow();
        let reached = ip_of(address).and_then(|ip| lan.interfaces.iter().find(|known| known.interface.reaches(ip)));
        if let Some(known) = reached {
            let count = self.mdns_heard.entry(known.interface.name.clone()).or_insert((0, SystemTime::UNIX_EPOCH));
            *count = (count.0 + 1, SystemTime::now());
        }
    }

    pub(super) fn discovery(&self) -> Discovery {
        let heard = |(name, (count, last)): (&String, &(u64, SystemTime))| MdnsHeard {
            interface: name.clone(),
            count: *count,
            last: *last,
        };
        Discovery {
            lan: (**self.inputs.lan.borrow()).clone(),
            mdns: self.swarm.behaviour().mdns.is_enabled().then(|| self.mdns_heard.iter().map(heard).collect()),
            seeking: self.dialler.seeking(),
            neighbours: self.dialler.degree(),
            known: self.dialler.known(&self.peers.status()),
        }
    }
}

/// An error of a dial in few words.
fn reason(err: &DialError) -> String {
    match err {
        DialError::NoAddresses => "it is an address of this node itself".into(),
        DialError::LocalPeerId { .. } => "a copy of this node answers there".into(),
        DialError::WrongPeerId { obtained, .. } => format!("another peer answers there, {obtained}"),
        DialError::Transport(errors) => {
            let words = errors.iter().map(|(address, err)| {
                let mut cause: &dyn std::error::Error = err;
                while let Some(source) = cause.source() {
                    cause = source;
                }
                // Which address it was is clear if there is one only.
                if errors.len() == 1 { cause.to_string() } else { format!("{}: {cause}", without_peer(address)) }
            });
            words.collect::<Vec<_>>().join("; ")
        }
        err => err.to_string(),
    }
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, libp2p::multiaddr::Protocol::P2p(_))).collect()
}
