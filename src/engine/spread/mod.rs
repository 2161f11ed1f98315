//! Spreading: many nodes want the same item at the same time, and each byte should cross each line once.
//!
//! *The one who sends decides.* A node that wants an item tells its neighbours what it has of it; whoever has room on its line
//! offers the rarest slice to the neighbour who has least; that one takes or declines it, and asks for the slice's blobs
//! over the transfer protocol. So no two neighbours send the same slice, no line is asked for more than it carries,
//! and the first holder (which sends each slice once before it repeats any: super-seeding, BEP 16) does not become the
//! bottleneck. The bound is that of Mundinger, Weber and Weiss (2008): `(1 + floor(log2 N) / M) * B / u` for N
//! receivers of B bytes in M slices over lines of u bytes per second.
//!
//! Nothing here touches a byte of content: what arrives is checked by the transfer layer against the blobs' names.

mod bitfield;
mod downloads;
mod hearing;
mod housekeeping;
pub mod limits;
mod message;
mod meter;
mod neighbour;
mod swarm;
#[cfg(test)]
mod tests;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

pub use bitfield::Bitfield;
use hearing::Heard;
pub use limits::Rules;
pub use message::{Held, Item, Message, Part, Why};
use meter::Meter;
use swarm::Swarm;
use uploads::Uploads;

/// What happened; `P` names a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<P> {
    /// A neighbour can be talked to.
    PeerUp(P),
    /// It cannot any more.
    PeerDown(P),
    /// It said something.
    Message(P, Message),
    /// This node wants an item.
    Want {
        /// Which.
        item: Item,
        /// Bytes of each slice; as many as the item has slices.
        sizes: Arc<[u32]>,
        /// What is held of it.
        held: Bitfield,
    },
    /// This node does not want it any more (what is under way is cancelled).
    Unwant(Item),
    /// The answer to [`Action::Look`]: whether all of the item is held here.
    Looked {
        /// Which.
        item: Item,
        /// Whether all of it is held.
        all: bool,
    },
    /// Bytes of each slice of an item that is held, after [`Event::Looked`]. Not needed: without it every slice counts as
    /// [`limits::SLICE_BYTES`].
    Sizes {
        /// Which.
        item: Item,
        /// Bytes of each slice; as many as the item has slices.
        sizes: Arc<[u32]>,
    },
    /// A slice that was fetched has arrived, is checked, and may be passed on.
    Landed {
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
    },
    /// A fetch has failed; it is over.
    Failed {
        /// From whom it was to come.
        from: P,
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
        /// How.
        failure: Failure,
    },
    /// Bytes went out to, or came in from, a neighbour: progress, and the rate of a line.
    Moved {
        /// Which neighbour.
        peer: P,
        /// Bytes sent to it since the last time.
        sent: u64,
        /// Bytes received from it since the last time.
        received: u64,
    },
    /// The deadline that the engine named has come.
    Tick,
}

/// How a fetch failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The peer does not have what it offered, or could not read it.
    Missing,
    /// The connection broke.
    Broken,
    /// Wrong bytes; the transfer layer has counted that already.
    Forged,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action<P> {
    /// Tell a neighbour something.
    Send(P, Message),
    /// Look whether this node holds an item: the answer is [`Event::Looked`].
    Look(Item),
    /// Ask a neighbour for the blobs of a slice. It ends with [`Event::Landed`], [`Event::Failed`] or [`Action::Cancel`].
    Fetch {
        /// Whom.
        from: P,
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
    },
    /// Stop a fetch: the slice came from elsewhere, or the neighbour brings nothing. Where a slice was fetched from two, both are cancelled
    /// when it has landed from one of them: to cancel what is over does nothing.
    Cancel {
        /// From whom it was to come.
        from: P,
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
    },
    /// All slices of an item that was wanted are here.
    Complete(Item),
    /// Nobody among the neighbours brings this item, and none is about to: it must be had otherwise.
    Stuck(Item),
    /// A neighbour broke a rule.
    Blame(P, &'static str),
}

/// A node's part in the spreading of all items: a state machine. Whoever drives it tells it what happens and does what it says; it
/// keeps no time of its own and touches no bytes.
#[derive(Debug)]
pub struct Spread<P> {
    rules: Rules,
    rng: StdRng,
    now: Duration,
    /// Who can be talked to.
    peers: BTreeSet<P>,
    /// What this node wants, or holds while neighbours want it.
    items: BTreeMap<Item, Swarm<P>>,
    /// What neighbours have said of other items.
    heard: Heard<P>,
    /// What is offered or on its way out.
    uploads: Uploads<P>,
    /// Bytes per second out, and in.
    up: Meter,
    down: Meter,
    due: Option<Duration>,
    actions: Vec<Action<P>>,
}

impl<P: Copy + Ord + Hash + Debug> Spread<P> {
    /// One that takes part in nothing yet. The seed breaks ties.
    #[must_use]
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            rules,
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            peers: BTreeSet::new(),
            items: BTreeMap::new(),
            heard: Heard::default(),
            uploads: Uploads::default(),
            up: Meter::default(),
            down: Meter::default(),
            due: None,
            actions: Vec::new(),
        }
    }

    /// Takes in what happened, and says what is to be done, in this order. `now` is any clock that does not go back.
    pub fn handle(&mut self, event: Event<P>, now: Duration) -> Vec<Action<P>> {
        self.now = self.now.max(now);
        match event {
            Event::PeerUp(peer) => self.peer_up(peer),
            Event::PeerDown(peer) => self.peer_down(peer),
            Event::Message(peer, message) => self.message(peer, message),
            Event::Want { item, sizes, held } => self.want(item, sizes, held),
            Event::Unwant(item) => self.unwant(item),
            Event::Looked { item, all } => self.looked(item, all),
            Event::Sizes { item, sizes } => self.sizes(item, sizes),
            Event::Landed { item, slice } => self.landed(item, slice),
            Event::Failed { from, item, slice, failure } => self.failed(from, item, slice, failure),
            Event::Moved { peer, sent, received } => self.moved(peer, sent, received),
            Event::Tick => {}
        }
        self.keep_house();
        self.serve();
        self.due = self.next_due();
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Tick`] is due, if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.due
    }

    /// How many neighbours are known to want an item, and how many to hold all of it.
    #[must_use]
    pub fn crowd(&self, item: Item) -> (usize, usize) {
        self.items.get(&item).map_or((0, 0), |swarm| {
            let count =
                |which: fn(&neighbour::Neighbour) -> bool| swarm.neighbours.values().filter(|n| which(n)).count();
            (count(|n| n.wants), count(neighbour::Neighbour::has_all))
        })
    }

    fn send(&mut self, to: P, message: Message) {
        self.actions.push(Action::Send(to, message));
    }

    fn blame(&mut self, peer: P, why: &'static str) {
        self.actions.push(Action::Blame(peer, why));
    }
}
