//! What can go wrong with a transfer: *miss*, *failure* and *forgery* are three different things.

use std::fmt;
use std::io;

use libp2p::PeerId;

use crate::domain::blob::{BlobId, MAX_BLOB};

/// Blobs that did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Every peer was asked and none has them.
    #[error("{} that were asked for: none of {asked} peers has {}", blobs(ids), First(ids))]
    Missing {
        /// What nobody has.
        ids: Vec<BlobId>,
        /// How many peers were asked.
        asked: usize,
    },
    /// Somebody may have them, but could not be asked or did not answer.
    #[error("{} could not be fetched: {}; try again when a peer that has them is back", blobs(ids), Reasons(peers))]
    Unreachable {
        /// What did not come.
        ids: Vec<BlobId>,
        /// Who failed, and how; empty when no peer is connected.
        peers: Vec<(PeerId, String)>,
    },
    /// Somebody sent other bytes than these, and nobody sent the right ones.
    #[error("{} came with wrong bytes from peer {}, and no other peer has {}", blobs(ids), Peers(peers), First(ids))]
    Forged {
        /// What came only in wrong copies.
        ids: Vec<BlobId>,
        /// Who sent them.
        peers: Vec<PeerId>,
    },
    /// A length that no blob has.
    #[error("blob {id} is said to have {len} bytes, over the limit of {MAX_BLOB}; whoever names it is wrong")]
    BadWant {
        /// Which blob.
        id: BlobId,
        /// Its supposed length in bytes.
        len: u32,
    },
    /// The receiver of the blobs is gone.
    #[error("the receiver of the fetched blobs is gone")]
    Closed,
}

/// A question about the catalog that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The stream to the peer cannot be opened or broke.
    #[error("peer {peer} could not be asked: {reason}")]
    Unreachable {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: String,
    },
    /// The peer does not answer.
    #[error("peer {peer} did not answer in time")]
    Silent {
        /// Who.
        peer: PeerId,
    },
    /// The peer cannot read its own store.
    #[error("peer {peer} could not read its store")]
    Failed {
        /// Who.
        peer: PeerId,
    },
    /// The peer compares catalogs with enough others.
    #[error("peer {peer} has no time to compare catalogs now")]
    Busy {
        /// Who.
        peer: PeerId,
    },
    /// There is more to find than memory is allowed for.
    #[error("the catalog of peer {peer} differs too much from this node's to be compared")]
    TooDifferent {
        /// Who.
        peer: PeerId,
    },
    /// The peer answers what cannot be.
    #[error("peer {peer} gave a false answer: {reason}")]
    Forged {
        /// Who.
        peer: PeerId,
        /// What is wrong with it.
        reason: String,
    },
    /// This node cannot read its own catalog.
    #[error("the own catalog cannot be read: {0}")]
    Local(#[from] io::Error),
    /// The receiver of the envelopes is gone.
    #[error("the receiver of the fetched manifests is gone")]
    Closed,
}

/// A server for a protocol runs on this swarm already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this swarm serves this protocol already; there can be only one server")]
pub struct AlreadyServing;

fn blobs(ids: &[BlobId]) -> String {
    match ids {
        [_] => "1 blob".into(),
        ids => format!("{} blobs", ids.len()),
    }
}

struct First<'a>(&'a [BlobId]);

impl fmt::Display for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => write!(f, "them"),
            [id] => write!(f, "{id}"),
            [id, rest @ ..] => write!(f, "{id} and {} more", rest.len()),
        }
    }
}

struct Peers<'a>(&'a [PeerId]);

impl fmt::Display for Peers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, peer) in self.0.iter().enumerate() {
            write!(f, "{}{peer}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

struct Reasons<'a>(&'a [(PeerId, String)]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "no peer is connected");
        }
        for (at, (peer, reason)) in self.0.iter().enumerate() {
            write!(f, "{}peer {peer}: {reason}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_says_what_happened_to_what() {
        let (one, two) = (BlobId::of(b"one"), BlobId::of(b"two"));
        let peer = PeerId::random();
        let text = FetchError::Missing { ids: vec![one, two], asked: 3 }.to_string();
        assert_eq!(text, format!("2 blobs that were asked for: none of 3 peers has {one} and 1 more"));
        let text = FetchError::Unreachable { ids: vec![one], peers: vec![] }.to_string();
        assert!(text.starts_with("1 blob could not be fetched: no peer is connected; try again"), "{text}");
        let text =
            FetchError::Unreachable { ids: vec![one], peers: vec![(peer, "silent for 10 s".into())] }.to_string();
        assert!(text.contains(&format!("peer {peer}: silent for 10 s; try again")), "{text}");
        let text = FetchError::Forged { ids: vec![one], peers: vec![peer] }.to_string();
        assert_eq!(text, format!("1 blob came with wrong bytes from peer {peer}, and no other peer has {one}"));
    }
}
