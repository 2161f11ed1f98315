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
pub mod limits;
mod message;

use std::sync::Arc;

pub use bitfield::Bitfield;
pub use message::{Held, Item, Message, Part, Why};

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
    /// Stop a fetch: the slice came from elsewhere, or the neighbour brings nothing.
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
