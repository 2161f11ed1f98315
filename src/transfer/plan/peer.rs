//! What a plan knows of one peer.

use std::time::Instant;

use libp2p::PeerId;

use super::Rules;
use super::outcome::PeerShare;

/// A set of item numbers, one bit each.
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    pub(super) fn set(&mut self, at: u32) {
        if let Some(word) = self.0.get_mut(at as usize / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub(super) fn has(&self, at: u32) -> bool {
        self.0.get(at as usize / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}

pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) up: bool,
    /// Why it is not asked any more.
    pub(super) out: Option<String>,
    /// The last thing that went wrong with it.
    pub(super) trouble: Option<String>,
    pub(super) forged: bool,
    /// Items it need not be asked for: it said that it lacks them, or what it sent was no good.
    pub(super) lacks: Bits,
    /// Nothing on the list is for it, until something is put back.
    pub(super) exhausted: bool,
    pub(super) requests: usize,
    pub(super) bytes: u64,
    pub(super) ids: usize,
    pub(super) window: u64,
    pub(super) stalls: u32,
    pub(super) failures: u32,
    pub(super) pause_until: Option<Instant>,
    pub(super) last: Instant,
    mark: u64,
    pub(super) share: PeerShare,
}

impl Peer {
    pub(super) fn new(id: PeerId, items: usize, rules: &Rules, now: Instant) -> Self {
        Self {
            id,
            up: true,
            out: None,
            trouble: None,
            forged: false,
            lacks: Bits::new(items),
            exhausted: false,
            requests: 0,
            bytes: 0,
            ids: 0,
            window: rules.batch_bytes,
            stalls: 0,
            failures: 0,
            pause_until: None,
            last: now,
            mark: 0,
            share: PeerShare { peer: id, bytes: 0, blobs: 0, missing: 0, wasted: 0 },
        }
    }

    pub(super) fn usable(&self, now: Instant) -> bool {
        self.up && self.out.is_none() && !self.pauses(now)
    }

    /// Whether it will be usable by itself later on.
    pub(super) fn pauses(&self, now: Instant) -> bool {
        self.up && self.out.is_none() && self.pause_until.is_some_and(|until| until > now)
    }

    /// Whether a whole batch fits into its window.
    pub(super) fn has_room(&self, batch: u64, rules: &Rules) -> bool {
        self.requests == 0 || (self.bytes + batch <= self.window && self.ids + rules.batch_ids <= rules.peer_ids)
    }

    /// Whether it lacks more than it has, as far as one knows.
    pub(super) fn is_dry(&self) -> bool {
        self.share.missing > self.share.blobs
    }

    pub(super) fn delivered(&mut self, len: u64, new: bool, rules: &Rules) {
        self.window = (self.window + len).min(rules.peer_window);
        if new {
            self.share.bytes += len;
            self.share.blobs += 1;
        } else {
            self.share.wasted += len;
        }
    }

    pub(super) fn progress(&mut self, received: u64, now: Instant, rules: &Rules) {
        if received.saturating_sub(self.mark) >= rules.progress_bytes {
            self.mark = received;
            self.last = now;
        }
    }
}
