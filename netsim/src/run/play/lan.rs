//! One LAN on which machines find and dial each other: it drives the engine's [`beacon`] and [`neighbours`].
//!
//! What the swarm does between the two is a model. A dial takes [`DIAL_TRIPS`] round trips; a machine that is off does not answer for
//! [`UNREACHABLE`]; a broadcast reaches every machine that is on; who is asked for members names some of its neighbours at random.
//!
//! [`beacon`]: modswarm::engine::beacon
//! [`neighbours`]: modswarm::engine::neighbours

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::time::Duration;

use modswarm::engine::beacon::{self, Beacon, Identity};
use modswarm::engine::neighbours::{self, Goal, How, Miss, Neighbours, limits};
use modswarm::sync::limits::MEMBERS_TOLD;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::wire;

/// Round trips of a dial: TCP, negotiation and noise, yamux, identify.
const DIAL_TRIPS: u32 = 5;
/// So long a machine that is off, or a packet filter, keeps a dial waiting.
const UNREACHABLE: Duration = Duration::from_secs(3);
/// The port on which all listen.
const PORT: u16 = 6638;

/// A peer id: as long as those of libp2p.
pub(super) type Peer = [u8; 38];
/// Names a machine; it is its address too.
pub(super) type Place = usize;

/// How far machines are from each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Air {
    pub(super) latency: Duration,
    /// Up to so much is added to each delivery.
    pub(super) jitter: Duration,
}

/// One machine.
pub(super) struct Machine {
    peer: Peer,
    on: bool,
    neighbours: Neighbours<Peer, Place>,
    beacon: Beacon<(), Place>,
    tick: Option<Duration>,
    /// Connections with each other machine.
    links: BTreeMap<Place, u32>,
    /// When it dialled.
    pub(super) dials: Vec<Duration>,
    /// Beacons sent, and their bytes with headers.
    pub(super) beacons: (u64, u64),
    /// When it first had as many neighbours as it looks for.
    pub(super) content: Option<Duration>,
    /// Heard somebody else with its own identity.
    pub(super) copy: bool,
}

enum Happening {
    On,
    Tick,
    Packet {
        from: Place,
        bytes: Rc<[u8]>,
    },
    /// The dial has come to its end.
    Dialled {
        whom: Place,
        goal: Goal<Peer>,
        peer: Option<Peer>,
    },
    NoAnswer {
        goal: Goal<Peer>,
    },
    /// Another machine has closed its connections with this one.
    Closed {
        by: Place,
    },
    Told {
        members: Vec<(Peer, Place)>,
    },
}

/// The LAN.
pub(super) struct Lan {
    air: Air,
    rng: StdRng,
    now: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64, Place)>>,
    happenings: BTreeMap<u64, Happening>,
    next: u64,
    pub(super) machines: Vec<Machine>,
    /// Since when the network is in one piece.
    pub(super) whole_since: Option<Duration>,
    /// When the last connection was made or closed.
    pub(super) settled: Duration,
}

impl Lan {
    pub(super) fn new(seed: u64, air: Air) -> Self {
        Self {
            air,
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next: 0,
            machines: Vec::new(),
            whole_since: None,
            settled: Duration::ZERO,
        }
    }

    /// A peer id.
    pub(super) fn identity(&mut self) -> Peer {
        let mut peer = [0; 38];
        self.rng.fill(&mut peer[..]);
        peer
    }

    /// Adds a machine that is switched on at a random time up to `within`.
    pub(super) fn add(&mut self, peer: Peer, within: Duration) {
        let identity = Identity { site: [0; 8], peer: peer.to_vec(), nonce: self.rng.random() };
        let at = within.mul_f64(self.rng.random());
        self.machines.push(Machine {
            peer,
            on: false,
            neighbours: Neighbours::new(peer, Vec::new(), self.rng.random(), at),
            beacon: Beacon::new(identity, self.rng.random()),
            tick: None,
            links: BTreeMap::new(),
            dials: Vec::new(),
            beacons: (0, 0),
            content: None,
            copy: false,
        });
        self.schedule(at, self.machines.len() - 1, Happening::On);
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, end: Duration) {
        while let Some(Reverse((at, number, place))) = self.queue.peek().copied().filter(|due| due.0.0 <= end) {
            self.queue.pop();
            self.now = at;
            if let Some(happening) = self.happenings.remove(&number) {
                self.happen(place, happening);
            }
        }
        self.now = end;
    }

    /// How many others a machine is connected with.
    pub(super) fn degree(&self, place: Place) -> u32 {
        let mut peers: Vec<Peer> = self.machines[place].links.keys().map(|other| self.machines[*other].peer).collect();
        peers.sort_unstable();
        peers.dedup();
        u32::try_from(peers.len()).unwrap_or(u32::MAX)
    }

    /// Into how many parts the network falls.
    pub(super) fn components(&self) -> u32 {
        let mut seen = vec![false; self.machines.len()];
        let mut parts = 0;
        for start in 0..self.machines.len() {
            if seen[start] {
                continue;
            }
            parts += 1;
            seen[start] = true;
            let mut next = vec![start];
            while let Some(at) = next.pop() {
                for other in self.machines[at].links.keys() {
                    if !std::mem::replace(&mut seen[*other], true) {
                        next.push(*other);
                    }
                }
            }
        }
        parts
    }

    fn schedule(&mut self, at: Duration, place: Place, happening: Happening) {
        self.queue.push(Reverse((at, self.next, place)));
        self.happenings.insert(self.next, happening);
        self.next += 1;
    }

    fn delay(&mut self) -> Duration {
        self.air.latency + self.air.jitter.mul_f64(self.rng.random())
    }

    fn happen(&mut self, place: Place, happening: Happening) {
        let now = self.now;
        if !self.machines[place].on && !matches!(happening, Happening::On) {
            return;
        }
        match happening {
            Happening::On => {
                self.machines[place].on = true;
                self.tell_beacon(place, beacon::Event::Up(()));
            }
            Happening::Tick => {
                if self.machines[place].tick != Some(now) {
                    return;
                }
                self.machines[place].tick = None;
                self.tell_beacon(place, beacon::Event::Tick);
                self.tell_neighbours(place, neighbours::Event::Tick);
            }
            Happening::Packet { from, bytes } => {
                self.tell_beacon(place, beacon::Event::Heard { on: Some(()), from, bytes: &bytes });
            }
            Happening::Dialled { whom, goal, peer } => self.dialled(place, whom, goal, peer),
            Happening::NoAnswer { goal } => {
                self.tell_neighbours(place, neighbours::Event::Failed(goal, Miss::Unreachable))
            }
            Happening::Closed { by } => {
                let peer = self.machines[by].peer;
                self.machines[place].links.remove(&by);
                if !self.knows(place, peer) {
                    self.tell_neighbours(place, neighbours::Event::Disconnected(peer));
                }
                self.changed();
            }
            Happening::Told { members } => {
                for (peer, at) in members {
                    self.tell_neighbours(place, neighbours::Event::Found(peer, at, How::Hearsay));
                }
            }
        }
        self.wind(place);
    }

    fn knows(&self, place: Place, peer: Peer) -> bool {
        self.machines[place].links.keys().any(|other| self.machines[*other].peer == peer)
    }

    fn dialled(&mut self, place: Place, whom: Place, goal: Goal<Peer>, expected: Option<Peer>) {
        let there = &self.machines[whom];
        let me = self.machines[place].peer;
        let miss = match () {
            () if whom == place => Some(Miss::Ourselves),
            () if there.peer == me => Some(Miss::Clone),
            () if !there.on || expected.is_some_and(|peer| peer != there.peer) => Some(Miss::Unreachable),
            () => None,
        };
        if let Some(miss) = miss {
            return self.tell_neighbours(place, neighbours::Event::Failed(goal, miss));
        }
        let peer = there.peer;
        *self.machines[place].links.entry(whom).or_default() += 1;
        *self.machines[whom].links.entry(place).or_default() += 1;
        self.changed();
        self.tell_neighbours(place, neighbours::Event::Connected(peer, Some(goal)));
        self.tell_neighbours(whom, neighbours::Event::Connected(me, None));
        self.wind(whom);
    }

    /// A connection was made or closed.
    fn changed(&mut self) {
        self.settled = self.now;
        if self.machines.iter().all(|machine| machine.on) && self.components() == 1 {
            self.whole_since.get_or_insert(self.now);
        } else {
            self.whole_since = None;
        }
    }

    fn tell_beacon(&mut self, place: Place, event: beacon::Event<'_, (), Place>) {
        let now = self.now;
        for action in self.machines[place].beacon.handle(event, now) {
            match action {
                beacon::Action::Send(()) => self.broadcast(place),
                beacon::Action::Found { from, peer, .. } => {
                    if let Ok(peer) = Peer::try_from(peer) {
                        self.tell_neighbours(place, neighbours::Event::Found(peer, from, How::Lan));
                    }
                }
                beacon::Action::Copy(_) => self.machines[place].copy = true,
                beacon::Action::Foreign(_) => {}
            }
        }
    }

    fn broadcast(&mut self, from: Place) {
        let bytes: Rc<[u8]> = self.machines[from].beacon.packet(&[PORT]).into();
        let sent = &mut self.machines[from].beacons;
        *sent = (sent.0 + 1, sent.1 + bytes.len() as u64 + wire::UDP_IP);
        for to in (0..self.machines.len()).filter(|to| *to != from) {
            if self.machines[to].on {
                let at = self.now + self.delay();
                self.schedule(at, to, Happening::Packet { from, bytes: Rc::clone(&bytes) });
            }
        }
    }

    fn tell_neighbours(&mut self, place: Place, event: neighbours::Event<Peer, Place>) {
        let now = self.now;
        let machine = &mut self.machines[place];
        let actions = machine.neighbours.handle(event, now);
        if machine.content.is_none() && machine.neighbours.degree() >= limits::TARGET {
            machine.content = Some(now);
        }
        let seeking = machine.neighbours.seeking();
        machine.beacon.seek(seeking, now);
        for action in actions {
            match action {
                neighbours::Action::Dial { goal, peer, addresses } => self.dial(place, goal, peer, &addresses),
                neighbours::Action::Close(peer) => self.close(place, peer),
                neighbours::Action::Ask(peer) => self.ask(place, peer),
            }
        }
    }

    fn dial(&mut self, place: Place, goal: Goal<Peer>, peer: Option<Peer>, addresses: &[Place]) {
        self.machines[place].dials.push(self.now);
        let whom = addresses.iter().copied().find(|at| self.machines[*at].on);
        let trips = self.delay() * 2 * DIAL_TRIPS;
        match whom {
            Some(whom) => self.schedule(self.now + trips, place, Happening::Dialled { whom, goal, peer }),
            None => self.schedule(self.now + UNREACHABLE, place, Happening::NoAnswer { goal }),
        }
    }

    fn close(&mut self, place: Place, peer: Peer) {
        let others: Vec<Place> =
            self.machines[place].links.keys().copied().filter(|other| self.machines[*other].peer == peer).collect();
        for other in others {
            self.machines[place].links.remove(&other);
            let at = self.now + self.delay();
            self.schedule(at, other, Happening::Closed { by: place });
        }
        self.changed();
        self.tell_neighbours(place, neighbours::Event::Disconnected(peer));
    }

    fn ask(&mut self, place: Place, peer: Peer) {
        let Some(whom) = self.machines[place].links.keys().copied().find(|at| self.machines[*at].peer == peer) else {
            return;
        };
        let known = self.machines[whom].links.keys().copied().filter(|other| *other != place);
        let members = known.choose_multiple(&mut self.rng, MEMBERS_TOLD);
        let members = members.into_iter().map(|at| (self.machines[at].peer, at)).collect();
        let at = self.now + self.delay() * 2;
        self.schedule(at, place, Happening::Told { members });
    }

    /// Sets the alarm for a machine's next deadline.
    fn wind(&mut self, place: Place) {
        let machine = &mut self.machines[place];
        let due = [machine.neighbours.deadline(), machine.beacon.deadline()].into_iter().flatten().min();
        let Some(due) = due.map(|due| due.max(self.now)) else { return };
        if machine.tick.is_none_or(|tick| due < tick) {
            machine.tick = Some(due);
            self.schedule(due, place, Happening::Tick);
        }
    }
}
