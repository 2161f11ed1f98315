//! A version is announced on a large site; then nothing happens.
//!
//! The gossip is a model of gossipsub as the daemon configures it, since libp2p reads the real clock: the announcer tells all its
//! neighbours, everybody else hands a message on to its mesh of six as soon as it is checked, and once a second tells up to six other
//! neighbours which messages it has; who lacks one asks for it.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom as _;

use super::{ascending, idle, put_some, when, wire};
use crate::run::figure::{Figure, Figures};
use crate::run::report::Played;
use crate::run::scenario::Announce;
use crate::world::{Input, Line, Machine, NodeId, Output, Outputs, Settings, World, topology};

/// gossipsub's mesh: it grafts up to so many,
const MESH: usize = 6;
/// and keeps at most so many.
const MESH_HIGH: usize = 12;
/// How often gossipsub tells others what it has.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How many it tells.
const LAZY: usize = 6;
/// For how many heartbeats it tells of a message.
const HISTORY: u32 = 3;
/// When the announcement is made: the links are up by then.
const BEGIN: Duration = Duration::from_secs(1);
/// So long it is watched how far the announcement comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What gossipsub says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Say {
    Publish,
    IHave,
    IWant,
}

/// How one node gossips about one message.
pub(super) struct Gossip {
    mesh: BTreeSet<NodeId>,
    neighbours: BTreeSet<NodeId>,
    rng: SmallRng,
    /// Bytes of the message on the wire.
    bytes: u64,
    /// What a node needs to check it.
    check: Duration,
    /// Takes it and does not hand it on.
    mute: bool,
    /// When it came.
    pub(super) heard: Option<Duration>,
    from: Option<NodeId>,
    hand_on: Option<Duration>,
    heartbeat: Duration,
    told: u32,
    asked: bool,
    /// How often it came.
    pub(super) copies: u64,
}

impl Gossip {
    pub(super) fn new(seed: u64, bytes: u64, check: Duration, mute: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let heartbeat = HEARTBEAT.mul_f64(rng.random());
        Self {
            mesh: BTreeSet::new(),
            neighbours: BTreeSet::new(),
            rng,
            bytes,
            check,
            mute,
            heard: None,
            from: None,
            hand_on: None,
            heartbeat,
            told: 0,
            asked: false,
            copies: 0,
        }
    }

    /// Says something new to all neighbours.
    pub(super) fn announce(&mut self, now: Duration) -> Outputs<Self> {
        self.heard = Some(now);
        self.heartbeat = now + HEARTBEAT.mul_f64(self.rng.random());
        self.neighbours.iter().map(|to| self.publish(*to)).collect()
    }

    fn publish(&self, to: NodeId) -> Output<Say, u8> {
        Output::Send { to, bytes: wire::gossip(self.bytes), message: Say::Publish }
    }

    fn take(&mut self, from: NodeId, now: Duration) {
        self.copies += 1;
        if self.heard.is_none() {
            self.heard = Some(now);
            self.from = Some(from);
            self.hand_on = Some(now + self.check);
            self.heartbeat = self.heartbeat.max(now + self.check) + HEARTBEAT.mul_f64(self.rng.random());
        }
    }

    fn tell(&mut self) -> Outputs<Self> {
        self.told += 1;
        let others = self.neighbours.difference(&self.mesh).copied();
        let chosen = others.choose_multiple(&mut self.rng, LAZY);
        chosen.into_iter().map(|to| Output::Send { to, bytes: wire::control(), message: Say::IHave }).collect()
    }
}

impl Machine for Gossip {
    type Message = Say;
    type Bulk = u8;

    fn handle(&mut self, input: Input<Say, u8>, now: Duration) -> Outputs<Self> {
        match input {
            Input::PeerUp(peer) => {
                self.neighbours.insert(peer);
            }
            Input::PeerDown(peer) => {
                self.neighbours.remove(&peer);
                self.mesh.remove(&peer);
            }
            Input::Message(from, Say::Publish) => self.take(from, now),
            Input::Message(to, Say::IHave) if self.heard.is_none() && !self.asked => {
                self.asked = true;
                return vec![Output::Send { to, bytes: wire::control(), message: Say::IWant }];
            }
            Input::Message(to, Say::IWant) if self.heard.is_some() && !self.mute => return vec![self.publish(to)],
            Input::Tick => {
                if self.hand_on.is_some_and(|at| at <= now) {
                    self.hand_on = None;
                    let to = self.mesh.iter().filter(|to| Some(**to) != self.from && !self.mute);
                    return to.map(|to| self.publish(*to)).collect();
                }
                self.heartbeat = now + HEARTBEAT;
                if !self.mute {
                    return self.tell();
                }
                self.told += 1;
            }
            _ => {}
        }
        Vec::new()
    }

    fn deadline(&self) -> Option<Duration> {
        let tells = self.heard.is_some() && self.hand_on.is_none() && self.told < HISTORY;
        self.hand_on.or(tells.then_some(self.heartbeat))
    }

    fn serves(&self, _: u8) -> Option<u64> {
        None
    }
}

/// Gives everybody a mesh: each grafts random neighbours until it has six.
pub(super) fn graft(links: &[(NodeId, NodeId)], nodes: usize, rng: &mut impl rand::Rng) -> Vec<BTreeSet<NodeId>> {
    let mut all = vec![BTreeSet::new(); nodes];
    for (a, b) in links {
        all[a.0 as usize].insert(*b);
        all[b.0 as usize].insert(*a);
    }
    let mut mesh: Vec<BTreeSet<NodeId>> = vec![BTreeSet::new(); nodes];
    for at in 0..nodes {
        let me = NodeId(u32::try_from(at).unwrap_or(u32::MAX));
        let free = |other: &NodeId| mesh[other.0 as usize].len() < MESH_HIGH && !mesh[at].contains(other);
        let more = MESH.saturating_sub(mesh[at].len());
        for other in all[at].iter().copied().filter(free).choose_multiple(rng, more) {
            mesh[at].insert(other);
            mesh[other.0 as usize].insert(me);
        }
    }
    mesh
}

/// The settings of a world with this latency and jitter.
pub(super) fn settings(latency: Duration, jitter: Duration) -> Settings {
    let share = jitter.as_secs_f64() / latency.as_secs_f64().max(1e-6);
    Settings { latency_jitter: share, ..Settings::default() }
}

/// Plays it.
pub(super) fn play(scenario: &Announce, seed: u64) -> Played {
    let mut world: World<Gossip> = World::new(seed, settings(scenario.latency.0, scenario.jitter.0));
    let mut rng = world.rng();
    let nodes: Vec<NodeId> = (0..scenario.nodes).map(NodeId).collect();
    let dials = (scenario.neighbours / 2).max(1) as usize;
    let links = topology::dialled(&nodes, dials, &mut rng);
    for (node, mesh) in nodes.iter().zip(graft(&links, nodes.len(), &mut rng)) {
        let mute = node.0 != 0 && rng.random_bool(scenario.mute.0);
        let mut gossip = Gossip::new(rng.random(), scenario.bytes.0, scenario.check.0, mute);
        gossip.mesh = mesh;
        world.add(gossip, Line::even(scenario.rate.0));
    }
    for (a, b) in &links {
        world.connect(*a, *b, scenario.latency.0);
    }
    world.at(BEGIN, NodeId(0), Gossip::announce);
    world.run_until(BEGIN + PATIENCE);
    let machines = || world.nodes().filter_map(|node| world.machine(node));
    let heard = ascending(machines().filter_map(|node| node.heard).map(|at| at.saturating_sub(BEGIN)));
    let mut figures = Figures::default();
    put_some(&mut figures, Figure::Reach99, when(&heard, 0.99, nodes.len()));
    put_some(&mut figures, Figure::ReachAll, when(&heard, 1.0, nodes.len()));
    figures.put(Figure::Copies, super::ratio(machines().map(|node| node.copies).sum(), heard.len() as u64));
    let notes = idle::measure(scenario, seed, &mut figures);
    Played { figures, completions: heard, counted: nodes.len(), bound: None, notes }
}
