//! The numbers of the policy.

use std::time::Duration;

use super::super::limits;

/// The numbers of the policy; [`Default`] takes them from [`limits`], where the reasons are.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Bytes of one batch.
    pub batch_bytes: u64,
    /// Bytes below which a batch is not cut.
    pub min_batch_bytes: u64,
    /// Ids of one batch.
    pub batch_ids: usize,
    /// Bytes outstanding at one peer.
    pub peer_window: u64,
    /// Ids outstanding at one peer.
    pub peer_ids: usize,
    /// Bytes outstanding or unread in the whole fetch.
    pub fetch_window: u64,
    /// Ids outstanding or unread in the whole fetch.
    pub fetch_ids: usize,
    /// Peers with something outstanding.
    pub fetch_peers: usize,
    /// Silence after which a peer loses its wants.
    pub progress: Duration,
    /// Bytes that are progress without a complete blob.
    pub progress_bytes: u64,
    /// Silences after which a peer is out.
    pub max_stalls: u32,
    /// Broken streams after which a peer is out.
    pub max_failures: u32,
    /// Age from which a want may be given to a second peer.
    pub end_game: Duration,
    /// Wait before a peer that failed or has no room is asked again.
    pub pause: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            batch_bytes: limits::BATCH_BYTES,
            min_batch_bytes: limits::MIN_BATCH_BYTES,
            batch_ids: limits::MAX_IDS,
            peer_window: limits::PEER_WINDOW,
            peer_ids: limits::PEER_IDS,
            fetch_window: limits::FETCH_WINDOW,
            fetch_ids: limits::FETCH_IDS,
            fetch_peers: limits::FETCH_PEERS,
            progress: limits::PROGRESS,
            progress_bytes: limits::PROGRESS_BYTES,
            max_stalls: limits::MAX_STALLS,
            max_failures: limits::MAX_FAILURES,
            end_game: limits::END_GAME,
            pause: limits::TICK,
        }
    }
}
