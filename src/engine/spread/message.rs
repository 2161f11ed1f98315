//! What nodes say to each other about an item.

use bincode::{Decode, Encode};

use super::Bitfield;
use crate::domain::manifest::ManifestId;

/// What part of a module version is spread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum Part {
    /// The recipe's pages.
    Pages,
    /// The chunks that the recipe names.
    Chunks,
}

/// What is spread: a part of a module version, cut into slices in a way that all nodes compute alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Item {
    /// The module version's manifest.
    pub manifest: ManifestId,
    /// Which part of it.
    pub part: Part,
    /// Into how many slices it is cut, 1 to [`MAX_SLICES`](super::limits::MAX_SLICES). As it is part of the name, two nodes that cut differently
    /// speak of different items, and a liar's number confuses nobody.
    pub slices: u32,
}

/// Which slices of an item a node holds.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Held {
    /// All of them.
    All,
    /// Those whose bit is set; exactly as many bits as the item has slices.
    Some(Bitfield),
}

/// Why an offer is declined.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Why {
    /// It is held already.
    Held,
    /// It is on its way from somebody else.
    Coming,
    /// As much is on its way as this node takes at a time.
    Busy,
    /// This node does not want the item (any more).
    Unwanted,
}

/// What nodes say to each other.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Message {
    /// What the sender has of an item, and whether it wants the rest. To one who did not say so before it is also a question: he
    /// answers with his own, if he has any of it or wants it.
    Have {
        /// Which item.
        item: Item,
        /// What is held of it.
        held: Held,
        /// Whether the rest is wanted: may be offered.
        wants: bool,
    },
    /// One more slice is held.
    Got {
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
    },
    /// The sender has room on its line now and would send this slice.
    Offer {
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
    },
    /// The offer is taken: the sender of this asks for the slice's blobs in the same moment (see [`Action::Fetch`](super::Action::Fetch)).
    Accept {
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
    },
    /// The offer is not taken.
    Decline {
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
        /// Why.
        why: Why,
    },
    /// A slice is on its way to the sender of this from somebody else, and it takes no more for the moment: until it [has got](Self::Got) one
    /// or is [ready](Self::Ready).
    Coming {
        /// Which item.
        item: Item,
        /// Which slice.
        slice: u32,
    },
    /// What is on its way to the sender of this is nearly there: it takes one more.
    Ready {
        /// Which item.
        item: Item,
    },
    /// The sender neither wants nor gives anything of this item any more.
    Leave {
        /// Which item.
        item: Item,
    },
}

impl Message {
    /// The item that it is about.
    #[must_use]
    pub fn item(&self) -> Item {
        match self {
            Self::Have { item, .. }
            | Self::Got { item, .. }
            | Self::Offer { item, .. }
            | Self::Accept { item, .. }
            | Self::Decline { item, .. }
            | Self::Coming { item, .. }
            | Self::Ready { item }
            | Self::Leave { item } => *item,
        }
    }
}
