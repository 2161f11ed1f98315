//! The streams to all peers: two each, one for bulk and one for small things.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::{PeerId, StreamProtocol};
use libp2p_stream::Control;
use tokio::sync::watch;

use super::judge::Judge;
use super::lane::{Lane, LaneTask};
use super::limits;
use super::traffic::{Meter, Traffic};
use super::wire;

/// The two streams of one peer.
#[derive(Clone)]
pub(super) struct Link {
    /// For fetches of many bytes.
    pub(super) bulk: Lane,
    /// For questions and small fetches, which do not stand behind bulk here.
    pub(super) small: Lane,
    pub(super) meter: Arc<Meter>,
}

/// What all clones of a fetcher share.
pub(super) struct Links {
    pub(super) control: Control,
    pub(super) connected: watch::Receiver<Arc<[PeerId]>>,
    pub(super) judge: Arc<Judge>,
    pub(super) traffic: Traffic,
    pub(super) links: Mutex<HashMap<PeerId, Link>>,
    pub(super) numbers: AtomicU64,
}

impl Links {
    /// A number that no other question of this process has.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The connected peers that are not banned.
    pub(super) fn usable_peers(&self) -> Vec<PeerId> {
        let connected = Arc::clone(&self.connected.borrow());
        connected.iter().filter(|peer| !self.judge.is_banned(peer)).copied().collect()
    }

    /// The streams to a peer, which are opened when something is asked.
    pub(super) fn link(&self, peer: PeerId) -> Link {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= limits::MAX_LINKS && !links.contains_key(&peer) {
            let connected = Arc::clone(&self.connected.borrow());
            links.retain(|peer, _| connected.contains(peer));
        }
        links.entry(peer).or_insert_with(|| self.new_link(peer)).clone()
    }

    fn new_link(&self, peer: PeerId) -> Link {
        let gate = Arc::default();
        let meter = self.traffic.meter(peer);
        let lane = |protocol| {
            Lane::spawn(LaneTask {
                peer,
                protocol: StreamProtocol::new(protocol),
                control: self.control.clone(),
                connected: self.connected.clone(),
                judge: Arc::clone(&self.judge),
                meter: Arc::clone(&meter),
                gate: Arc::clone(&gate),
            })
        };
        Link { bulk: lane(wire::BLOBS), small: lane(wire::CATALOG), meter: Arc::clone(&meter) }
    }
}
