//! L0: a simulated network in virtual time, for the state machines of [`modswarm::engine`].
//!
//! A [`World`] holds nodes, each a [`Machine`] with a line of its own (bytes per second up and down), and links between them. Everything
//! follows from the seed: the same seed gives the same run, event for event.
//!
//! ```text
//! let mut world = World::new(seed, Settings::default());
//! let nodes: Vec<NodeId> = (0..20).map(|n| world.add(machine(n), Line::even(12_500_000))).collect();
//! for (a, b) in topology::dialled(&nodes, 6, &mut world.rng()) { world.connect(a, b, Duration::from_millis(1)) }
//! world.at(Duration::from_millis(5), nodes[3], |machine, now| machine.want(item, now));
//! world.run_until(Duration::from_secs(2));
//! world.crash(nodes[0]);
//! world.run_while(Duration::from_secs(60), |world| !world.nodes().all(|node| world.stats(node).done.is_some()));
//! println!("{:?}", world.stats(nodes[3]));
//! ```
//!
//! * *Messages* arrive in order per link and direction after the link's latency and the time that their bytes take on the sender's
//!   line. What is on its way when a link is cut is lost.
//! * *Bulk*: [`Output::Fetch`] asks another node for something that only the two machines understand; [`Machine::serves`] says how many
//!   bytes that is there. The uplink serves what it was asked for in that order, in pieces of [`Settings::piece`]; a
//!   fetch whose receiver cannot keep up does not hold up the next one. Both ends hear [`Input::Moved`] now and then, the receiver
//!   [`Input::Landed`] or [`Input::Failed`] once, unless it cancels.
//! * *Time*: a machine is ticked at its [`Machine::deadline`], and sees a clock of its own ([`World::skew`]).
//! * *Faults*: [`World::crash`], [`World::vanish`], [`World::restart`], [`World::cut`], [`World::heal`], [`World::stall`], [`World::corrupt`],
//!   [`World::set_line`]. A machine may also just lie: it is anything that implements [`Machine`].
//! * *Ready to use*: [`spreading::Node`] is a node that spreads items with the product's engine, or lies; [`flash::Crowd`] is a world of
//!   those that all want one item, and what came of it beside the bound.
//! * *Figures*: [`World::stats`], one [`Stats`] per node; what else is wanted is kept by the machines ([`World::machine`]).

mod bulk;
mod faults;
pub(crate) mod flash;
mod net;
pub(crate) mod spreading;
#[cfg(test)]
mod tests;
mod thin;
pub(crate) mod topology;

use std::fmt::Debug;
use std::time::Duration;

pub(crate) use net::World;

/// Names a node of a world: the number in the order of [`World::add`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct NodeId(pub(crate) u32);

/// A node's program: a state machine that neither waits nor reads a clock.
pub(crate) trait Machine {
    /// What it says to others.
    type Message;
    /// Names what can be fetched from another node.
    type Bulk: Copy + Eq + Debug;

    /// Takes in what happened and says what is to be done. `now` is this node's clock.
    fn handle(
        &mut self,
        input: Input<Self::Message, Self::Bulk>,
        now: Duration,
    ) -> Vec<Output<Self::Message, Self::Bulk>>;

    /// When it wants an [`Input::Tick`], by its own clock.
    fn deadline(&self) -> Option<Duration>;

    /// How many bytes it would send for this now; `None`: it does not have it.
    fn serves(&self, bulk: Self::Bulk) -> Option<u64>;
}

/// What happened to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Input<M, B> {
    /// A link is up.
    PeerUp(NodeId),
    /// A link is down.
    PeerDown(NodeId),
    /// A message came.
    Message(NodeId, M),
    /// Bytes moved in bulk, to or from a neighbour.
    Moved {
        /// Which one.
        peer: NodeId,
        /// Bytes sent to it.
        sent: u64,
        /// Bytes received from it.
        received: u64,
    },
    /// What was fetched is here, and is what it should be.
    Landed {
        /// From whom.
        from: NodeId,
        /// What.
        bulk: B,
    },
    /// What was fetched does not come.
    Failed {
        /// From whom it was to come.
        from: NodeId,
        /// What.
        bulk: B,
        /// Why.
        failure: Failure,
    },
    /// The deadline has come.
    Tick,
}

/// Why something that was fetched does not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// The other one does not have it.
    Missing,
    /// The link went down.
    Broken,
    /// Wrong bytes came, all of them.
    Forged,
}

/// What a node does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Output<M, B> {
    /// Say something to a neighbour. Without a link it is lost.
    Send {
        /// To whom.
        to: NodeId,
        /// Bytes of it on the wire.
        bytes: u64,
        /// What.
        message: M,
    },
    /// Ask for something in bulk.
    Fetch {
        /// Whom.
        from: NodeId,
        /// What.
        bulk: B,
    },
    /// Stop a fetch; nothing more is heard of it.
    Cancel {
        /// From whom it was to come.
        from: NodeId,
        /// What.
        bulk: B,
    },
    /// Note in the figures that this node has what it wanted, at this time.
    Done,
}

/// The shorthand for what a machine does.
pub(crate) type Outputs<M> = Vec<Output<<M as Machine>::Message, <M as Machine>::Bulk>>;

/// A node's line, in bytes per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// What it sends at most.
    pub(crate) up: u64,
    /// What it receives at most.
    pub(crate) down: u64,
}

impl Line {
    /// As fast up as down.
    pub(crate) fn even(rate: u64) -> Self {
        Self { up: rate, down: rate }
    }
}

/// What holds for a whole world.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Settings {
    /// How far the rate of one fetch is off the sender's line at most, up or down: 0.05 is 5 %. Drawn anew for each.
    pub(crate) jitter: f64,
    /// How far the delay of one message is off its link's latency at most, upwards only, as a share of it.
    pub(crate) latency_jitter: f64,
    /// Bytes that an uplink sends of one fetch before it looks whether there is something else.
    pub(crate) piece: u64,
    /// Bytes after which both ends hear [`Input::Moved`].
    pub(crate) report: u64,
    /// How long it takes to notice that a node has vanished, or that a link was cut in the middle.
    pub(crate) notice: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { jitter: 0.05, latency_jitter: 0.1, piece: 64 << 10, report: 64 << 10, notice: Duration::from_secs(15) }
    }
}

/// One node's figures.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Stats {
    /// When it last said [`Output::Done`], by the world's clock.
    pub(crate) done: Option<Duration>,
    /// Bytes sent in bulk, whether or not they were of use.
    pub(crate) bulk_sent: u64,
    /// Bytes received in bulk, whether or not they were of use.
    pub(crate) bulk_received: u64,
    /// Messages sent.
    pub(crate) messages_sent: u64,
    /// Bytes of messages sent.
    pub(crate) message_bytes_sent: u64,
    /// Messages received.
    pub(crate) messages_received: u64,
    /// Bytes of messages received.
    pub(crate) message_bytes_received: u64,
    /// Times that it was ticked.
    pub(crate) ticks: u64,
}
