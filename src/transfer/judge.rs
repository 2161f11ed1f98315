//! Who lied how often, and who is banned for it.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use libp2p::PeerId;
use tokio::sync::mpsc;

use super::limits;

/// Counts faults. A peer with [`limits::MAX_FAULTS`] of them is banned as long as the process lives.
///
/// The table has one entry per peer that lied, so it grows by one for a handshake and a forgery each; the swarm's limits
/// on connections make that slow, and an entry is 40 bytes.
pub(super) struct Judge {
    faults: Mutex<HashMap<PeerId, u32>>,
    bans: mpsc::Sender<PeerId>,
}

impl Judge {
    pub(super) fn new(bans: mpsc::Sender<PeerId>) -> Self {
        Self { faults: Mutex::default(), bans }
    }

    /// A peer sent what no honest peer sends.
    pub(super) fn fault(&self, peer: PeerId, what: &dyn Display) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let count = faults.entry(peer).or_default();
        *count = count.saturating_add(1);
        let count = *count;
        drop(faults);
        tracing::warn!(%peer, fault = count, %what, "peer sent wrong data");
        if count == limits::MAX_FAULTS && self.bans.try_send(peer).is_err() {
            // It stays banned here all the same: nothing is asked of it any more.
            tracing::warn!(%peer, "peer is banned but could not be disconnected");
        }
    }

    pub(super) fn is_banned(&self, peer: &PeerId) -> bool {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.get(peer).is_some_and(|count| *count >= limits::MAX_FAULTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_faults_are_one_ban() {
        let (bans, mut banned) = mpsc::channel(4);
        let judge = Judge::new(bans);
        let (liar, other) = (PeerId::random(), PeerId::random());
        judge.fault(liar, &"wrong bytes");
        assert!(!judge.is_banned(&liar));
        assert!(banned.try_recv().is_err());
        judge.fault(liar, &"wrong bytes");
        judge.fault(liar, &"and again");
        assert!(judge.is_banned(&liar) && !judge.is_banned(&other));
        assert_eq!(banned.try_recv(), Ok(liar));
        assert!(banned.try_recv().is_err(), "one ban, not one for each further fault");
    }
}
