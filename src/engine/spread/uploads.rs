//! What goes out: whom to offer what, and how much at a time.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use rand::Rng;

use super::limits::HOLD_BACK_SLICES;
use super::swarm::Swarm;
use super::{Item, Message, Spread, Why};

/// What is offered or on its way out.
#[derive(Debug)]
pub(super) struct Uploads<P> {
    out: BTreeMap<(P, Item, u32), Out>,
    bytes: u64,
}

/// One slice of it.
#[derive(Clone, Copy, Debug)]
struct Out {
    bytes: u64,
    /// How much of that is out.
    out: u64,
    /// When it was accepted, if it was.
    accepted: Option<Duration>,
    /// When it was offered, was accepted, or last moved.
    moved: Duration,
}

impl<P> Default for Uploads<P> {
    fn default() -> Self {
        Self { out: BTreeMap::new(), bytes: 0 }
    }
}

impl<P: Copy + Ord> Uploads<P> {
    fn insert(&mut self, key: (P, Item, u32), bytes: u64, now: Duration) {
        match self.out.insert(key, Out { bytes, out: 0, accepted: None, moved: now }) {
            None => self.bytes += bytes,
            Some(before) => self.bytes = self.bytes - before.bytes + bytes,
        }
    }

    fn remove(&mut self, key: (P, Item, u32)) -> bool {
        let out = self.out.remove(&key);
        self.bytes -= out.map_or(0, |out| out.bytes);
        out.is_some()
    }

    /// Nothing of an item is of use any more.
    pub(super) fn forget(&mut self, item: Item) {
        self.out.retain(|key, _| key.1 != item);
        self.bytes = self.out.values().map(|out| out.bytes).sum();
    }

    /// How many slices are on it.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }
}

impl<P: Copy + Ord + Hash + Debug> Spread<P> {
    /// Offers what there is room for.
    pub(super) fn serve(&mut self) {
        while self.has_room() {
            let mut turns: Vec<(u64, u64, Item)> = self
                .items
                .values()
                .filter(|swarm| swarm.count > 0 && swarm.is_wanted())
                .map(|swarm| (swarm.given, swarm.total(), swarm.item))
                .collect();
            turns.sort_unstable();
            let start: u32 = self.rng.random();
            let picked = turns.iter().find_map(|&(_, _, item)| {
                let swarm = self.items.get(&item)?;
                let (peer, slice) = swarm.pick(&self.rules, self.patience_out(swarm), self.now, start)?;
                Some((peer, item, slice, swarm.size(slice)))
            });
            let Some((peer, item, slice, bytes)) = picked else { break };
            if let Some(swarm) = self.items.get_mut(&item) {
                swarm.fly(peer, slice, true);
            }
            self.uploads.insert((peer, item, slice), bytes, self.now);
            self.send(peer, Message::Offer { item, slice });
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let out = &self.uploads.out;
        // In a crowd the next one is offered when the running one is nearly out: whom it would do most good is known only then.
        let lead = self.up.carries(self.rules.lead);
        let running = out
            .values()
            .filter(|out| out.out * 100 < out.bytes * self.rules.ahead_out && out.out.saturating_add(lead) < out.bytes);
        let running = running.count();
        let pairs = self.items.values().all(Swarm::is_pair);
        let runs = running > 0 && !pairs;
        let window = if pairs { self.rules.window } else { self.rules.crowd_window };
        let window = self.up.carries(window).min(self.rules.window_bytes);
        (!runs && out.len() < self.rules.slices_out) || self.uploads.bytes < window
    }

    /// How long the only holder leaves its neighbours to each other.
    pub(super) fn patience_out(&self, swarm: &Swarm<P>) -> Duration {
        let slice = self.up.takes(swarm.size(0)).unwrap_or_default();
        self.rules.hold_back.max(slice * HOLD_BACK_SLICES)
    }

    /// A neighbour takes what it was offered.
    pub(super) fn accepted(&mut self, peer: P, item: Item, slice: u32) {
        let Some(swarm) = self.items.get_mut(&item) else { return };
        let Some(neighbour) = swarm.neighbours.get(&peer) else { return };
        if !neighbour.offered.has(slice) {
            return self.blame(peer, "accepted what it was not offered");
        }
        if neighbour.held.has(slice) {
            return;
        }
        swarm.give(peer, slice);
        // If the answer was so long in coming that the offer took no more room, it does now.
        swarm.fly(peer, slice, true);
        let bytes = swarm.size(slice);
        self.uploads.insert((peer, item, slice), bytes, self.now);
        if let Some(out) = self.uploads.out.get_mut(&(peer, item, slice)) {
            out.accepted = Some(self.now);
        }
    }

    /// A neighbour does not take what it was offered, or gives it up.
    pub(super) fn declined(&mut self, peer: P, item: Item, slice: u32, why: Why) {
        self.release(peer, item, slice);
        let now = self.now;
        let Some(swarm) = self.items.get_mut(&item) else { return };
        let Some(neighbour) = swarm.neighbours.get_mut(&peer) else { return };
        match why {
            Why::Held => _ = swarm.got(peer, slice, now),
            Why::Coming => _ = neighbour.coming.set(slice),
            Why::Busy => neighbour.busy = true,
            Why::Unwanted => neighbour.wants = false,
        }
    }

    /// A slice is no longer on its way to a neighbour.
    pub(super) fn release(&mut self, peer: P, item: Item, slice: u32) {
        if self.uploads.remove((peer, item, slice))
            && let Some(swarm) = self.items.get_mut(&item)
        {
            swarm.fly(peer, slice, false);
        }
    }

    /// Nor is anything that the neighbour says it holds.
    pub(super) fn release_held(&mut self, peer: P, item: Item) {
        let Some(neighbour) = self.items.get(&item).and_then(|swarm| swarm.neighbours.get(&peer)) else { return };
        let held: Vec<u32> = (0..item.slices)
            .filter(|&slice| neighbour.flying.has(slice) && (neighbour.held.has(slice) || !neighbour.wants))
            .collect();
        held.into_iter().for_each(|slice| self.release(peer, item, slice));
    }

    /// Nothing of an item is on its way to a neighbour any more.
    pub(super) fn release_all(&mut self, peer: P, item: Item) {
        let out: Vec<u32> =
            self.uploads.out.range((peer, item, 0)..=(peer, item, u32::MAX)).map(|(&(_, _, slice), _)| slice).collect();
        out.into_iter().for_each(|slice| self.release(peer, item, slice));
    }

    /// Bytes went to a neighbour: what it is being sent moves.
    pub(super) fn sent(&mut self, peer: P, bytes: u64) {
        self.up.moved(bytes, self.now);
        let mut to: Vec<&mut Out> =
            self.uploads.out.iter_mut().filter(|((to, ..), _)| *to == peer).map(|(_, out)| out).collect();
        to.sort_by_key(|out| out.accepted);
        let mut left = bytes;
        for out in to {
            out.moved = self.now;
            if out.accepted.is_some() {
                let part = left.min(out.bytes - out.out);
                out.out += part;
                left -= part;
            }
        }
    }

    /// How long what is on its way out may stand still and take room.
    fn silence(&self) -> Duration {
        let queue = self.up.takes(self.uploads.bytes).unwrap_or_default();
        self.rules.answer.max(queue * 2)
    }

    /// When the first of them has stood still for too long.
    pub(super) fn uploads_due(&self) -> Option<Duration> {
        self.uploads.out.values().map(|out| out.moved).min().map(|moved| moved + self.silence())
    }

    /// What stands still takes no more room; who lets it do so comes last from now on.
    pub(super) fn expire_uploads(&mut self) {
        let silence = self.silence();
        let still = self.uploads.out.iter().filter(|(_, out)| out.moved + silence <= self.now);
        for (peer, item, slice) in still.map(|(&key, _)| key).collect::<Vec<_>>() {
            self.release(peer, item, slice);
            if let Some(neighbour) = self.items.get_mut(&item).and_then(|swarm| swarm.neighbours.get_mut(&peer)) {
                neighbour.silences = neighbour.silences.saturating_add(1);
            }
        }
    }
}
