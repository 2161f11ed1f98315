//! The LAN: the machine's interfaces, and the beacon on each of them (its rules: [`crate::engine::beacon`]).
//!
//! One UDP socket on all addresses hears; to each interface's network a broadcast goes out. The socket shares its port, so
//! several nodes on a machine hear the same. A task of its own does all this, and tells the event loop whom it has
//! heard, over a bounded queue: what does not fit is said again.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::interfaces::{self, Class, Interface};
use super::limits;
use crate::engine::beacon::{Action, Beacon, Event, Identity, MAX_PACKET};

/// How the beacon is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BeaconConfig {
    /// UDP port, the same on all nodes of a LAN: [`limits::BEACON_PORT`] unless a test has its own.
    pub port: u16,
    /// Tag of the site; zeros for an open one. Nodes of another tag are not dialled.
    pub site: [u8; 8],
    /// Only on the loopback interface: for tests.
    pub loopback_only: bool,
}

/// How an interface is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceStatus {
    /// Which.
    pub interface: Interface,
    /// Why no beacon goes out there.
    pub unused: Option<String>,
    /// Beacons sent.
    pub sent: u64,
    /// Beacons of other nodes heard.
    pub heard: u64,
    /// When the last one was heard.
    pub last_heard: Option<SystemTime>,
}

/// How the LAN is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LanStatus {
    /// Every interface that is up.
    pub interfaces: Vec<InterfaceStatus>,
    /// The beacon's port, if it was asked for.
    pub beacon_port: Option<u16>,
    /// Why there is no beacon although it was asked for, or why it cannot be sent.
    pub trouble: Option<String>,
    /// Where other instances with this node's identity were heard.
    pub copies: Vec<IpAddr>,
    /// Where nodes of other sites were heard.
    pub foreign: Vec<IpAddr>,
}

/// What the event loop is told.
pub(super) enum Heard {
    /// A node, and where it can be dialled.
    Found(PeerId, Vec<Multiaddr>),
    /// An interface came or went.
    NetworkChanged,
}

/// What the event loop wants.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Wish {
    /// More neighbours than there are.
    pub(super) seeking: bool,
    /// Where the swarm listens.
    pub(super) listening: Arc<[Multiaddr]>,
}

struct Lan {
    config: Option<BeaconConfig>,
    socket: Option<UdpSocket>,
    beacon: Beacon<Ipv4Addr, IpAddr>,
    start: Instant,
    wish: watch::Receiver<Wish>,
    heard: mpsc::Sender<Heard>,
    status: LanStatus,
    view: watch::Sender<Arc<LanStatus>>,
    /// Interfaces that refused a packet: each is warned of once.
    refused: BTreeSet<String>,
}

/// Starts to listen; the task ends with `stop`.
pub(super) fn start(
    config: Option<BeaconConfig>,
    me: PeerId,
    wish: watch::Receiver<Wish>,
    stop: CancellationToken,
) -> (mpsc::Receiver<Heard>, watch::Receiver<Arc<LanStatus>>) {
    let (heard, queue) = mpsc::channel(limits::HEARD);
    let (view, status) = watch::channel(Arc::default());
    let site = config.map(|config| config.site).unwrap_or_default();
    let identity = Identity { site, peer: me.to_bytes(), nonce: rand::random() };
    let mut lan = Lan {
        config,
        socket: None,
        beacon: Beacon::new(identity, rand::random()),
        start: Instant::now(),
        wish,
        heard,
        status: LanStatus { beacon_port: config.map(|config| config.port), ..LanStatus::default() },
        view,
        refused: BTreeSet::new(),
    };
    lan.open();
    lan.look();
    tokio::spawn(stop.run_until_cancelled_owned(lan.run()));
    (queue, status)
}

/// A socket that hears broadcasts to `port`, beside those of other nodes on this machine.
fn bind(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    // Elsewhere the option above does not share a port; on Linux this one would need nodes of one user.
    #[cfg(all(unix, not(target_os = "linux")))]
    socket.set_reuse_port(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    UdpSocket::from_std(socket.into())
}

impl Lan {
    fn open(&mut self) {
        let Some(config) = self.config else { return };
        match bind(config.port) {
            Ok(socket) => self.socket = Some(socket),
            Err(err) => {
                let port = config.port;
                tracing::warn!(port, %err, "no beacon: UDP port cannot be used; peers are found by mDNS and --peer only");
                self.status.trouble = Some(format!("UDP port {port} cannot be used: {err}"));
            }
        }
    }

    async fn run(mut self) {
        let mut every = tokio::time::interval(limits::INTERFACES_EVERY);
        let mut buffer = [0; MAX_PACKET + 1];
        loop {
            let due = self.beacon.deadline().filter(|_| self.socket.is_some());
            let at = tokio::time::Instant::from_std(self.start + due.unwrap_or_default());
            tokio::select! {
                _ = every.tick() => self.look(),
                () = tokio::time::sleep_until(at), if due.is_some() => self.tick().await,
                Ok(()) = self.wish.changed() => {
                    let seeking = self.wish.borrow_and_update().seeking;
                    let now = self.now();
                    self.beacon.seek(seeking, now);
                }
                received = receive(self.socket.as_ref(), &mut buffer) => match received {
                    Ok((len, from)) => self.on_packet(&buffer[..len], from.ip()),
                    // An answer to a packet of ours that found nobody, on some systems.
                    Err(err) => {
                        tracing::debug!(%err, "the beacon's socket has trouble");
                        tokio::time::sleep(limits::SOCKET_REST).await;
                    }
                },
            }
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Looks at the interfaces, and tells when they have changed.
    fn look(&mut self) {
        let only_loopback = self.config.is_some_and(|config| config.loopback_only);
        let mut all = match interfaces::list() {
            Ok(all) => all,
            Err(err) => return tracing::debug!(%err, "the interfaces cannot be listed"),
        };
        all.retain(|interface| !only_loopback || interface.class == Class::Loopback);
        if all.iter().eq(self.status.interfaces.iter().map(|known| &known.interface)) {
            return;
        }
        let first = self.status.interfaces.is_empty();
        let used = |known: &[InterfaceStatus]| -> BTreeSet<Ipv4Addr> {
            let used = known.iter().filter(|known| known.unused.is_none());
            used.flat_map(|known| known.interface.broadcasts().map(|(own, _)| own)).collect()
        };
        let before = used(&self.status.interfaces);
        let status = |interface: &Interface| {
            let known = self.status.interfaces.iter().find(|known| known.interface.name == interface.name);
            let new =
                || InterfaceStatus { interface: interface.clone(), unused: None, sent: 0, heard: 0, last_heard: None };
            let unused = interfaces::unused(interface.class, &all).map(ToOwned::to_owned);
            InterfaceStatus { interface: interface.clone(), unused, ..known.cloned().unwrap_or_else(new) }
        };
        self.status.interfaces = all.iter().map(status).collect();
        let after = used(&self.status.interfaces);
        let now = self.now();
        for gone in before.difference(&after) {
            self.beacon.handle(Event::Down(*gone), now);
        }
        for new in after.difference(&before) {
            self.beacon.handle(Event::Up(*new), now);
        }
        if !first {
            tracing::info!("the network interfaces have changed");
            self.tell(Heard::NetworkChanged);
        }
        self.publish();
    }

    async fn tick(&mut self) {
        let now = self.now();
        for action in self.beacon.handle(Event::Tick, now) {
            if let Action::Send(on) = action {
                self.send(on).await;
            }
        }
    }

    /// Sends the beacon into the network of the interface that has the address `on`.
    async fn send(&mut self, on: Ipv4Addr) {
        let (Some(config), Some(socket)) = (self.config, &self.socket) else { return };
        let listening = Arc::clone(&self.wish.borrow().listening);
        let own = listening.iter().filter(|address| interfaces::ip_of(address) == Some(on.into()));
        let mut ports: Vec<u16> = own.filter_map(interfaces::port_of).collect();
        ports.sort_unstable();
        ports.dedup();
        let broadcast = |known: &&mut InterfaceStatus| known.interface.broadcasts().find(|(own, _)| *own == on);
        let Some(known) = self.status.interfaces.iter_mut().find(|known| broadcast(known).is_some()) else { return };
        let Some((_, to)) = known.interface.broadcasts().find(|(own, _)| *own == on) else { return };
        // The swarm does not listen there: nothing to say.
        if ports.is_empty() {
            return;
        }
        match socket.send_to(&self.beacon.packet(&ports), SocketAddrV4::new(to, config.port)).await {
            Ok(_) => {
                known.sent += 1;
                self.refused.remove(&known.interface.name);
            }
            Err(err) => {
                let name = known.interface.name.clone();
                let trouble = format!("the beacon cannot be sent on {name}: {err}");
                if self.refused.insert(name) {
                    tracing::warn!("{trouble}; this node runs without it there");
                }
                self.status.trouble = Some(trouble);
            }
        }
        self.publish();
    }

    fn on_packet(&mut self, bytes: &[u8], from: IpAddr) {
        if self.config.is_some_and(|config| config.loopback_only) && !from.is_loopback() {
            return;
        }
        let at = self.status.interfaces.iter().position(|known| known.interface.reaches(from));
        let on = at.and_then(|at| {
            let status = self.status.interfaces.get(at)?;
            status.interface.broadcasts().map(|(own, _)| own).next()
        });
        let now = self.now();
        for action in self.beacon.handle(Event::Heard { on, from, bytes }, now) {
            match action {
                Action::Found { peer, ports, .. } => {
                    let Ok(peer) = PeerId::from_bytes(&peer) else { continue };
                    if let Some(status) = at.and_then(|at| self.status.interfaces.get_mut(at)) {
                        status.heard += 1;
                        status.last_heard = Some(SystemTime::now());
                    }
                    let address = |port| Multiaddr::from(from).with(Protocol::Tcp(port));
                    self.tell(Heard::Found(peer, ports.into_iter().map(address).collect()));
                }
                Action::Copy(from) => {
                    if note(&mut self.status.copies, from) {
                        tracing::warn!(address = %from, "another node has this node's identity; give one of the two a data directory of its own");
                    }
                }
                Action::Foreign(from) => {
                    note(&mut self.status.foreign, from);
                }
                // Nothing is due by a packet; if it were, the tick brings it.
                Action::Send(_) => {}
            }
        }
        self.publish();
    }

    fn tell(&self, heard: Heard) {
        if self.heard.try_send(heard).is_err() {
            tracing::debug!("more is heard on the LAN than can be taken in; it is said again");
        }
    }

    fn publish(&self) {
        self.view.send_replace(Arc::new(self.status.clone()));
    }
}

/// Puts an address into a short list for people; whether it is new there.
fn note(list: &mut Vec<IpAddr>, ip: IpAddr) -> bool {
    let new = list.len() < limits::MAX_NOTED && !list.contains(&ip);
    if new {
        list.push(ip);
    }
    new
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}
