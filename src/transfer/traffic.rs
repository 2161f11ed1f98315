//! Bytes per peer, counted where they pass.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::PeerId;

use super::limits;

/// Payload bytes exchanged with one peer since the node started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerTraffic {
    /// Who.
    pub peer: PeerId,
    /// Payload bytes sent to it.
    pub sent: u64,
    /// Payload bytes that came from it, wrong and unwanted ones included.
    pub received: u64,
}

/// The counters of one peer.
#[derive(Default, Debug)]
pub(super) struct Meter {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Meter {
    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn total_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// The counters of all peers; shared by the client and the server of a node. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub struct Traffic(Arc<Mutex<HashMap<PeerId, Arc<Meter>>>>);

impl Traffic {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every peer that was counted, ordered by peer id.
    #[must_use]
    pub fn snapshot(&self) -> Vec<PeerTraffic> {
        let meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let traffic = |(peer, meter): (&PeerId, &Arc<Meter>)| PeerTraffic {
            peer: *peer,
            sent: meter.sent.load(Ordering::Relaxed),
            received: meter.total_received(),
        };
        let mut all: Vec<PeerTraffic> = meters.iter().map(traffic).collect();
        all.sort_unstable_by_key(|traffic| traffic.peer);
        all
    }

    pub(super) fn meter(&self, peer: PeerId) -> Arc<Meter> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if meters.len() >= limits::MAX_METERED && !meters.contains_key(&peer) {
            meters.retain(|_, meter| Arc::strong_count(meter) > 1);
        }
        Arc::clone(meters.entry(peer).or_default())
    }
}
