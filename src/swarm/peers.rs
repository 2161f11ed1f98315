//! Who is connected: the table behind the status page and the list of peers that can be asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use super::interfaces::{ip_of, port_of};
use super::limits;

/// How a connection came about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Via {
    /// The configuration names the address.
    Static,
    /// Found on the LAN, by mDNS or by its beacon, and dialled by this node.
    Lan,
    /// A neighbour told of it, and this node dialled it.
    Hearsay,
    /// It was a neighbour in an earlier run, and this node dialled it.
    Remembered,
    /// The other side dialled.
    Incoming,
}

/// One connected peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Who.
    pub id: PeerId,
    /// The other end's address of every connection with it.
    pub addresses: Vec<Multiaddr>,
    /// Since when there has been a connection without a break.
    pub connected_since: SystemTime,
    /// How the first of the connections came about.
    pub via: Via,
    /// Round trip time of the last ping; `None` until the first one is back.
    pub rtt: Option<Duration>,
    /// What the peer says it runs, such as `modswarm/0.1.0`; at most [`limits::MAX_AGENT`] bytes, printable ASCII.
    pub agent: Option<String>,
    /// The protocols of this project that the peer accepts streams of, as it says; none until it has introduced itself.
    pub protocols: Arc<[String]>,
    /// Where it can be dialled: the address that this node dialled, or, of one that dialled in, the address it came from with
    /// the ports on which it says it listens. Without `/p2p`.
    pub dial: Vec<Multiaddr>,
}

struct Peer {
    connections: Vec<(ConnectionId, Multiaddr, Via)>,
    since: SystemTime,
    rtt: Option<Duration>,
    agent: Option<String>,
    protocols: Arc<[String]>,
    ping_failures: u32,
    used: Option<Instant>,
    dial: Vec<Multiaddr>,
}

/// Every connected peer.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<PeerId, Peer>);

impl Peers {
    /// A connection stands; whether it is the first one with this peer.
    pub(super) fn opened(&mut self, peer: PeerId, id: ConnectionId, address: Multiaddr, via: Via) -> bool {
        let entry = self.0.entry(peer).or_insert_with(|| Peer {
            connections: Vec::new(),
            since: SystemTime::now(),
            rtt: None,
            agent: None,
            protocols: Arc::default(),
            ping_failures: 0,
            used: None,
            dial: Vec::new(),
        });
        if via != Via::Incoming {
            let bare: Multiaddr = address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
            entry.dial.retain(|known| *known != bare);
            entry.dial.insert(0, bare);
            entry.dial.truncate(limits::MAX_FOUND_ADDRESSES);
        }
        entry.connections.push((id, address, via));
        entry.connections.len() == 1
    }

    /// A connection is gone; whether it was the last one with this peer.
    pub(super) fn closed(&mut self, peer: PeerId, id: ConnectionId) -> bool {
        let Some(entry) = self.0.get_mut(&peer) else { return false };
        entry.connections.retain(|(known, ..)| *known != id);
        let last = entry.connections.is_empty();
        if last {
            self.0.remove(&peer);
        }
        last
    }

    /// A ping is back.
    pub(super) fn pong(&mut self, peer: PeerId, rtt: Duration) {
        if let Some(entry) = self.0.get_mut(&peer) {
            entry.rtt = Some(rtt);
            entry.ping_failures = 0;
        }
    }

    /// A ping is lost; whether the connection should be given up.
    pub(super) fn ping_failed(&mut self, peer: PeerId) -> bool {
        let Some(entry) = self.0.get_mut(&peer) else { return false };
        if entry.used.is_some_and(|at| at.elapsed() < limits::PING_FORGIVEN) {
            return false;
        }
        entry.ping_failures += 1;
        entry.ping_failures >= limits::PING_FAILURES
    }

    /// Bytes were exchanged with a peer.
    pub(super) fn used(&mut self, peer: PeerId) {
        if let Some(entry) = self.0.get_mut(&peer) {
            entry.used = Some(Instant::now());
        }
    }

    /// Where a peer says it listens. Only the ports are believed, and only at the address from which it came.
    pub(super) fn listens(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        let Some(entry) = self.0.get_mut(&peer) else { return };
        let came = entry.connections.iter().filter(|(.., via)| *via == Via::Incoming);
        let Some(from) = came.filter_map(|(_, address, _)| ip_of(address)).next() else { return };
        let own = |address: &&Multiaddr| ip_of(address).is_some_and(|ip| ip.is_ipv4() == from.is_ipv4());
        let (exact, other): (Vec<_>, Vec<_>) =
            addresses.iter().filter(own).partition(|address| ip_of(address) == Some(from));
        for port in exact.into_iter().chain(other).filter_map(port_of).filter(|port| *port != 0) {
            let address = Multiaddr::from(from).with(Protocol::Tcp(port));
            if !entry.dial.contains(&address) && entry.dial.len() < limits::MAX_FOUND_ADDRESSES / 2 {
                entry.dial.push(address);
            }
        }
    }

    /// What a peer says of itself; it may say anything, so it is cut and cleaned.
    pub(super) fn identified<'a>(&mut self, peer: PeerId, agent: &str, protocols: impl IntoIterator<Item = &'a str>) {
        if let Some(entry) = self.0.get_mut(&peer) {
            entry.agent = Some(agent.chars().filter(char::is_ascii_graphic).take(limits::MAX_AGENT).collect());
            let ours = |name: &&str| name.starts_with("/modswarm/") && name.len() <= limits::MAX_PROTOCOL;
            let ours = protocols.into_iter().filter(ours).take(limits::MAX_PROTOCOLS);
            entry.protocols = ours.map(ToOwned::to_owned).collect();
        }
    }

    #[cfg(test)]
    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.0.contains_key(peer)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ids(&self) -> Arc<[PeerId]> {
        self.0.keys().copied().collect()
    }

    pub(super) fn status(&self) -> Arc<[PeerStatus]> {
        let status = |(id, peer): (&PeerId, &Peer)| PeerStatus {
            id: *id,
            addresses: peer.connections.iter().map(|(_, address, _)| address.clone()).collect(),
            connected_since: peer.since,
            via: peer.connections.first().map_or(Via::Incoming, |(.., via)| *via),
            rtt: peer.rtt,
            agent: peer.agent.clone(),
            protocols: Arc::clone(&peer.protocols),
            dial: peer.dial.clone(),
        };
        self.0.iter().map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_there_from_its_first_connection_to_its_last() {
        let mut peers = Peers::default();
        let peer = PeerId::random();
        let (one, two) = (ConnectionId::new_unchecked(1), ConnectionId::new_unchecked(2));
        assert!(peers.opened(peer, one, Multiaddr::empty(), Via::Static));
        assert!(!peers.opened(peer, two, Multiaddr::empty(), Via::Incoming));
        assert_eq!(peers.status()[0].via, Via::Static);
        assert!(!peers.closed(peer, one));
        assert!(peers.contains(&peer));
        assert!(peers.closed(peer, two));
        assert!(!peers.closed(peer, two));
        assert_eq!(peers.len(), 0);
    }

    #[test]
    fn a_lost_ping_is_forgiven_while_bytes_flow_only() {
        let mut peers = Peers::default();
        let peer = PeerId::random();
        peers.opened(peer, ConnectionId::new_unchecked(1), Multiaddr::empty(), Via::Lan);
        peers.pong(peer, Duration::from_millis(3));
        peers.used(peer);
        assert!(!peers.ping_failed(peer));
        assert_eq!(peers.status()[0].rtt, Some(Duration::from_millis(3)));
        let quiet = PeerId::random();
        peers.opened(quiet, ConnectionId::new_unchecked(2), Multiaddr::empty(), Via::Lan);
        assert!(peers.ping_failed(quiet));
    }

    #[test]
    fn where_a_peer_can_be_dialled_is_where_it_came_from_and_not_what_it_says() {
        let mut peers = Peers::default();
        let address = |text: &str| text.parse::<Multiaddr>().unwrap();
        let (dialled, came) = (PeerId::random(), PeerId::random());
        let at = address("/ip4/192.0.2.1/tcp/6638").with_p2p(dialled).unwrap();
        peers.opened(dialled, ConnectionId::new_unchecked(1), at, Via::Static);
        peers.opened(came, ConnectionId::new_unchecked(2), address("/ip4/192.0.2.2/tcp/50000"), Via::Incoming);
        let says: Vec<Multiaddr> = [
            "/ip4/203.0.113.1/tcp/22",
            "/ip6/::1/tcp/5",
            "/ip4/192.0.2.2/tcp/6638",
            "/ip4/10.0.0.1/udp/7",
            "/dns4/x/tcp/1",
        ]
        .map(address)
        .to_vec();
        peers.listens(came, &says);
        peers.listens(dialled, &says);
        let of = |id| peers.status().iter().find(|peer| peer.id == id).unwrap().dial.clone();
        assert_eq!(of(dialled), [address("/ip4/192.0.2.1/tcp/6638")]);
        assert_eq!(of(came), [address("/ip4/192.0.2.2/tcp/6638"), address("/ip4/192.0.2.2/tcp/22")]);
        let many: Vec<Multiaddr> = (1..1000).map(|port| address(&format!("/ip4/192.0.2.2/tcp/{port}"))).collect();
        peers.listens(came, &many);
        assert_eq!(peers.status().iter().map(|peer| peer.dial.len()).max(), Some(limits::MAX_FOUND_ADDRESSES / 2));
    }

    #[test]
    fn what_a_peer_says_of_itself_cannot_fill_a_terminal() {
        let mut peers = Peers::default();
        let peer = PeerId::random();
        peers.opened(peer, ConnectionId::new_unchecked(1), Multiaddr::empty(), Via::Lan);
        let many: Vec<String> = (0..100).map(|n| format!("/modswarm/{n}")).collect();
        let long = format!("/modswarm/{}", "x".repeat(1000));
        let names = ["/other/1", long.as_str()].into_iter().chain(many.iter().map(String::as_str));
        peers.identified(peer, &format!("\x1b[2Jevil{}", "x".repeat(1000)), names);
        let status = &peers.status()[0];
        let agent = status.agent.clone().unwrap();
        assert!(agent.starts_with("[2Jevilx") && agent.len() == limits::MAX_AGENT);
        assert_eq!(*status.protocols, many[..limits::MAX_PROTOCOLS]);
    }
}
