//! How a fetch ended: who brought what, and what is lacking and why.

use libp2p::PeerId;

use super::super::error::FetchError;
use super::Plan;
use crate::domain::blob::BlobId;

/// What one peer contributed to a fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerShare {
    /// Who.
    pub peer: PeerId,
    /// Bytes of blobs that came from it first.
    pub bytes: u64,
    /// Blobs that came from it first.
    pub blobs: u64,
    /// Blobs it was asked for and does not have.
    pub missing: u64,
    /// Bytes of right blobs that another peer had brought before.
    pub wasted: u64,
}

/// What came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FetchReport {
    /// Bytes of all blobs.
    pub bytes: u64,
    /// How many blobs.
    pub blobs: u64,
    /// Every peer that was considered.
    pub peers: Vec<PeerShare>,
}

/// What did not come, each blob under one heading.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shortfall {
    /// Every peer was asked and none has it.
    pub missing: Vec<BlobId>,
    /// Somebody who may have it did not answer, or there is nobody to ask.
    pub unreachable: Vec<BlobId>,
    /// It came with wrong bytes only.
    pub forged: Vec<BlobId>,
}

impl Plan {
    /// Who brought what so far.
    #[must_use]
    pub fn report(&self) -> FetchReport {
        let peers: Vec<PeerShare> = self.peers.iter().map(|peer| peer.share).collect();
        let done = self.items.iter().filter(|item| item.done);
        let bytes = done.clone().map(|item| u64::from(item.len)).sum();
        FetchReport { bytes, blobs: done.count() as u64, peers }
    }

    /// What is lacking so far, and why.
    #[must_use]
    pub fn shortfall(&self) -> Shortfall {
        let mut shortfall = Shortfall::default();
        for (at, item) in (0..).zip(&self.items).filter(|(_, item)| !item.done) {
            let unasked = self.peers.is_empty() || self.peers.iter().any(|peer| !peer.lacks.has(at));
            if item.forged {
                shortfall.forged.push(item.id);
            } else if unasked || item.failed {
                shortfall.unreachable.push(item.id);
            } else {
                shortfall.missing.push(item.id);
            }
        }
        shortfall
    }

    /// The end of a fetch as a result. What is worst is what is said: forgery before failure before miss.
    ///
    /// # Errors
    /// [`FetchError`] lists what is lacking under the worst heading.
    pub fn outcome(&self) -> Result<FetchReport, FetchError> {
        let Shortfall { missing, unreachable, forged } = self.shortfall();
        if !forged.is_empty() {
            let peers = self.peers.iter().filter(|peer| peer.forged).map(|peer| peer.id).collect();
            return Err(FetchError::Forged { ids: forged, peers });
        }
        if !unreachable.is_empty() {
            let gone = |peer: &super::Peer| if peer.up { None } else { Some("disconnected".to_owned()) };
            let why = |peer: &super::Peer| peer.out.clone().or_else(|| gone(peer)).or_else(|| peer.trouble.clone());
            let peers = self.peers.iter().filter_map(|peer| Some((peer.id, why(peer)?))).collect();
            return Err(FetchError::Unreachable { ids: unreachable, peers });
        }
        if !missing.is_empty() {
            return Err(FetchError::Missing { ids: missing, asked: self.peers.len() });
        }
        Ok(self.report())
    }
}
