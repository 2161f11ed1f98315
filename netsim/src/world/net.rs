//! The world itself: time, nodes, links and messages.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::bulk::{Flow, FlowId};
use super::thin::Thin;
use super::{Input, Line, Machine, NodeId, Output, Outputs, Settings, Stats};

/// Virtual time: nanoseconds since the world began.
pub(super) type Nanos = u64;

/// What a node is told to do by the test, rather than by another node.
type Told<M> = Box<dyn FnOnce(&mut M, Duration) -> Outputs<M>>;

/// A simulated network; see the module's docs.
pub(crate) struct World<M: Machine> {
    pub(super) settings: Settings,
    pub(super) now: Nanos,
    pub(super) rng: StdRng,
    pub(super) nodes: Vec<Node<M>>,
    pub(super) links: BTreeMap<(NodeId, NodeId), Link>,
    pub(super) flows: BTreeMap<FlowId, Flow<M::Bulk>>,
    pub(super) next_flow: FlowId,
    pub(super) thin: Thin,
    queue: BinaryHeap<Due<M>>,
    next_event: u64,
}

/// One node.
pub(super) struct Node<M: Machine> {
    /// `None` while it is crashed.
    pub(super) machine: Option<M>,
    pub(super) line: Line,
    pub(super) stats: Stats,
    pub(super) neighbours: BTreeSet<NodeId>,
    /// Clock: where it began, and how much faster than the world's it runs, in millionths.
    pub(super) clock: (i64, i64),
    /// What it was asked for in bulk, in that order.
    pub(super) asked: VecDeque<FlowId>,
    /// Whether a piece is on the uplink.
    pub(super) sending: bool,
    /// Until when messages are on the uplink. They go before bulk, which makes up for it with its next piece.
    messages: Nanos,
    pub(super) debt: Nanos,
    /// Until when the downlink is taken.
    pub(super) down_free: Nanos,
    /// Whether its uploads stand still.
    pub(super) stalled: bool,
    /// Whether what it sends in bulk is wrong.
    pub(super) corrupting: bool,
    /// When the next tick is due, if one is.
    tick: Option<Nanos>,
    /// How often it crashed: what was meant for an earlier life is lost.
    pub(super) life: u32,
}

/// A link between two nodes.
pub(super) struct Link {
    pub(super) latency: Nanos,
    pub(super) up: bool,
    /// How often it went up or down: what was under way before is lost.
    pub(super) epoch: u32,
    /// When the last message arrives, to the smaller and to the greater end.
    pub(super) last: [Nanos; 2],
}

/// What is to happen when; the earliest is the greatest, and of those at one time what was named first.
struct Due<M: Machine> {
    at: Nanos,
    number: u64,
    happening: Happening<M>,
}

impl<M: Machine> Ord for Due<M> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<M: Machine> PartialOrd for Due<M> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<M: Machine> PartialEq for Due<M> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<M: Machine> Eq for Due<M> {}

/// What is to happen.
pub(super) enum Happening<M: Machine> {
    /// A message arrives.
    Message { from: NodeId, to: NodeId, epoch: u32, bytes: u64, message: M::Message },
    /// A node learns of something.
    Input { to: NodeId, life: u32, input: Input<M::Message, M::Bulk> },
    /// A node is told something by the test.
    Told { to: NodeId, told: Told<M> },
    /// A node's deadline.
    Tick { to: NodeId, life: u32, at: Nanos },
    /// A question for bulk arrives.
    Asked { flow: FlowId },
    /// A piece has left the sender.
    Left { from: NodeId, flow: FlowId, bytes: u64 },
    /// A piece is at the receiver.
    Arrived { flow: FlowId, to: NodeId, bytes: u64 },
}

pub(super) fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long so many bytes take at a rate, in nanoseconds.
pub(super) fn time_of(bytes: u64, rate: u64) -> Nanos {
    bytes.saturating_mul(1_000_000_000) / rate.max(1)
}

impl<M: Machine> World<M> {
    /// An empty one.
    pub(crate) fn new(seed: u64, settings: Settings) -> Self {
        Self {
            settings,
            now: 0,
            rng: StdRng::seed_from_u64(seed),
            nodes: Vec::new(),
            links: BTreeMap::new(),
            flows: BTreeMap::new(),
            next_flow: 0,
            thin: Thin::default(),
            queue: BinaryHeap::new(),
            next_event: 0,
        }
    }

    /// Adds a node.
    pub(crate) fn add(&mut self, machine: M, line: Line) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            machine: Some(machine),
            line,
            stats: Stats::default(),
            neighbours: BTreeSet::new(),
            clock: (0, 0),
            asked: VecDeque::new(),
            sending: false,
            messages: 0,
            debt: 0,
            down_free: 0,
            stalled: false,
            corrupting: false,
            tick: None,
            life: 0,
        });
        self.wind(id);
        id
    }

    /// Links two nodes; both hear of it after the latency.
    pub(crate) fn connect(&mut self, a: NodeId, b: NodeId, latency: Duration) {
        if a == b {
            return;
        }
        let latency = nanos(latency);
        self.links.entry(key(a, b)).or_insert(Link { latency, up: false, epoch: 0, last: [0; 2] }).latency = latency;
        self.node_mut(a).neighbours.insert(b);
        self.node_mut(b).neighbours.insert(a);
        self.heal(a, b);
    }

    /// Random numbers that follow from the seed, for a topology or the like.
    pub(crate) fn rng(&mut self) -> StdRng {
        StdRng::seed_from_u64(self.rng.random())
    }

    /// The time.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// All nodes, crashed or not.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<M> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    /// A node's program; `None` while it is crashed.
    pub(crate) fn machine(&self, node: NodeId) -> Option<&M> {
        self.node(node).machine.as_ref()
    }

    /// A node's figures.
    pub(crate) fn stats(&self, node: NodeId) -> Stats {
        self.node(node).stats
    }

    /// Does something to a node's program at a time: what its user would do. A crashed node misses it.
    pub(crate) fn at(
        &mut self,
        time: Duration,
        to: NodeId,
        told: impl FnOnce(&mut M, Duration) -> Outputs<M> + 'static,
    ) {
        self.schedule(nanos(time).max(self.now), Happening::Told { to, told: Box::new(told) });
    }

    /// Lets time pass up to a moment.
    pub(crate) fn run_until(&mut self, time: Duration) {
        self.run_while(time, |_| true);
        self.now = self.now.max(nanos(time));
    }

    /// Lets time pass up to a moment, or until a condition no longer holds (it is asked after every event), or nothing is left to
    /// happen. Returns whether the condition still holds.
    pub(crate) fn run_while(&mut self, until: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let until = nanos(until);
        while self.queue.peek().is_some_and(|due| due.at <= until) {
            let Some(due) = self.queue.pop() else { break };
            self.now = due.at;
            self.happen(due.happening);
            if !condition(self) {
                return false;
            }
        }
        true
    }

    pub(super) fn node(&self, id: NodeId) -> &Node<M> {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node<M> {
        &mut self.nodes[id.0 as usize]
    }

    pub(super) fn schedule(&mut self, at: Nanos, happening: Happening<M>) {
        self.queue.push(Due { at, number: self.next_event, happening });
        self.next_event += 1;
    }

    /// Tells a node something at a time, if it still lives the same life.
    pub(super) fn inform(&mut self, at: Nanos, to: NodeId, input: Input<M::Message, M::Bulk>) {
        let life = self.node(to).life;
        self.schedule(at, Happening::Input { to, life, input });
    }

    fn happen(&mut self, happening: Happening<M>) {
        match happening {
            Happening::Message { from, to, epoch, bytes, message } => {
                if self.links.get(&key(from, to)).is_some_and(|link| link.up && link.epoch == epoch) {
                    let stats = &mut self.node_mut(to).stats;
                    stats.messages_received += 1;
                    stats.message_bytes_received += bytes;
                    self.input(to, Input::Message(from, message));
                }
            }
            Happening::Input { to, life, input } => {
                if self.node(to).life == life {
                    self.input(to, input);
                }
            }
            Happening::Told { to, told } => {
                let now = self.clock(to);
                if let Some(machine) = self.node_mut(to).machine.as_mut() {
                    let outputs = told(machine, now);
                    self.apply(to, outputs);
                }
            }
            Happening::Tick { to, life, at } => self.tick(to, life, at),
            Happening::Asked { flow } => self.asked(flow),
            Happening::Left { from, flow, bytes } => self.left(from, flow, bytes),
            Happening::Arrived { flow, to, bytes } => self.arrived(flow, to, bytes),
        }
    }

    fn tick(&mut self, to: NodeId, life: u32, at: Nanos) {
        if self.node(to).life != life || self.node(to).tick != Some(at) {
            return;
        }
        let now = self.clock(to);
        let node = self.node_mut(to);
        node.tick = None;
        let due = node.machine.as_ref().and_then(Machine::deadline).is_some_and(|due| due <= now);
        if due {
            node.stats.ticks += 1;
            self.input(to, Input::Tick);
        } else {
            self.wind(to);
        }
    }

    pub(super) fn input(&mut self, to: NodeId, input: Input<M::Message, M::Bulk>) {
        let now = self.clock(to);
        if let Some(machine) = self.node_mut(to).machine.as_mut() {
            let outputs = machine.handle(input, now);
            self.apply(to, outputs);
        }
    }

    fn apply(&mut self, from: NodeId, outputs: Outputs<M>) {
        for output in outputs {
            match output {
                Output::Send { to, bytes, message } => self.send(from, to, bytes, message),
                Output::Fetch { from: whom, bulk } => self.fetch(from, whom, bulk),
                Output::Cancel { from: whom, bulk } => self.cancel(from, whom, bulk),
                Output::Done => {
                    let now = Duration::from_nanos(self.now);
                    self.node_mut(from).stats.done = Some(now);
                }
            }
        }
        self.wind(from);
    }

    fn send(&mut self, from: NodeId, to: NodeId, bytes: u64, message: M::Message) {
        let jitter = 1.0 + self.rng.random_range(0.0..=self.settings.latency_jitter.max(0.0));
        let now = self.now;
        let node = self.node_mut(from);
        let takes = time_of(bytes, node.line.up);
        node.messages = node.messages.max(now) + takes;
        node.debt += takes;
        node.stats.messages_sent += 1;
        node.stats.message_bytes_sent += bytes;
        let gone = node.messages;
        let Some(link) = self.links.get_mut(&key(from, to)) else { return };
        if !link.up {
            return;
        }
        let last = &mut link.last[usize::from(to > from)];
        *last = (*last).max(gone + scaled(link.latency, jitter));
        let (at, epoch) = (*last, link.epoch);
        self.schedule(at, Happening::Message { from, to, epoch, bytes, message });
    }

    /// What a node's clock shows.
    pub(super) fn clock(&self, node: NodeId) -> Duration {
        let (offset, drift) = self.node(node).clock;
        let now = i128::from(self.now);
        let shows = i128::from(offset) + now + now * i128::from(drift) / 1_000_000;
        Duration::from_nanos(u64::try_from(shows.max(0)).unwrap_or(u64::MAX))
    }

    /// Sets the alarm for a node's deadline.
    pub(super) fn wind(&mut self, id: NodeId) {
        let Some(deadline) = self.node(id).machine.as_ref().and_then(Machine::deadline) else { return };
        let (offset, drift) = self.node(id).clock;
        let shown = i128::from(nanos(deadline)) - i128::from(offset);
        // Rounded up: a tick that comes too early would come again and again.
        let world = (shown * 1_000_000 / (1_000_000 + i128::from(drift)) + i128::from(drift != 0)).max(0);
        let at = u64::try_from(world).unwrap_or(u64::MAX).max(self.now);
        let node = self.node_mut(id);
        if node.tick.is_none_or(|tick| at < tick) {
            node.tick = Some(at);
            let life = node.life;
            self.schedule(at, Happening::Tick { to: id, life, at });
        }
    }
}

/// How a link is named.
pub(super) fn key(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

/// A time, made longer or shorter.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(super) fn scaled(time: Nanos, by: f64) -> Nanos {
    (time as f64 * by) as Nanos
}
