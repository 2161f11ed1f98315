//! One item that this node wants, or holds while neighbours want it; and what to offer of it to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::limits::SLICE_BYTES;
use super::neighbour::Neighbour;
use super::{Bitfield, Held, Item, Message, Rules};

/// One item.
#[derive(Debug)]
pub(super) struct Swarm<P> {
    pub(super) item: Item,
    sizes: Option<Arc<[u32]>>,
    /// Whether the rest is wanted; not when all is held.
    pub(super) wants: bool,
    pub(super) held: Bitfield,
    /// How many slices are held.
    pub(super) count: u32,
    /// Who takes part in it.
    pub(super) neighbours: BTreeMap<P, Neighbour>,
    /// Who was told what is held here.
    pub(super) told: BTreeSet<P>,
    /// How many neighbours hold each slice.
    copies: Vec<u32>,
    /// To how many each slice is offered or on its way from here.
    flying: Vec<u32>,
    /// How often each slice was given from here.
    sent: Vec<u32>,
    /// What is on its way here, by slice: from one neighbour, or from two in the end game.
    pub(super) incoming: BTreeMap<u32, Vec<Incoming<P>>>,
    /// Bytes given, for the fair share of the line among items.
    pub(super) given: u64,
    /// When something was last heard that brings the item nearer.
    pub(super) news: Duration,
    /// When a slice last landed, or the item was wanted, or it was told that it is stuck all the same.
    pub(super) landed: Duration,
    /// Whether it was told that it is stuck, since the last news.
    pub(super) stuck_told: bool,
    /// How long slices take to come, on average.
    pub(super) pace: Option<Duration>,
}

/// A slice on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Incoming<P> {
    pub(super) from: P,
    /// When it was asked for.
    pub(super) since: Duration,
    /// When bytes last came from there.
    pub(super) moved: Duration,
    /// How much of it has come, and bytes of all of it.
    pub(super) got: u64,
    pub(super) size: u64,
    /// Whether it may come from a second one too.
    pub(super) open: bool,
}

impl<P> Incoming<P> {
    /// Whether so many hundredths of it have come, or no more is left than `lead` bytes.
    pub(super) fn is_nearly_in(&self, hundredths: u64, lead: u64) -> bool {
        self.got * 100 >= self.size * hundredths || self.got.saturating_add(lead) >= self.size
    }
}

impl<P: Copy + Ord> Swarm<P> {
    pub(super) fn new(item: Item, held: Bitfield, now: Duration) -> Self {
        let slices = item.slices as usize;
        Self {
            item,
            sizes: None,
            wants: false,
            count: held.count(),
            held,
            neighbours: BTreeMap::new(),
            told: BTreeSet::new(),
            copies: vec![0; slices],
            flying: vec![0; slices],
            sent: vec![0; slices],
            incoming: BTreeMap::new(),
            given: 0,
            news: now,
            landed: now,
            stuck_told: false,
            pace: None,
        }
    }

    pub(super) fn set_sizes(&mut self, sizes: Arc<[u32]>) {
        self.sizes = Some(sizes).filter(|sizes| sizes.len() == self.item.slices as usize);
    }

    /// Bytes of a slice.
    pub(super) fn size(&self, slice: u32) -> u64 {
        let told = self.sizes.as_ref().and_then(|sizes| sizes.get(slice as usize));
        u64::from(told.copied().unwrap_or(SLICE_BYTES))
    }

    /// Bytes of all of them.
    pub(super) fn total(&self) -> u64 {
        (0..self.item.slices).map(|slice| self.size(slice)).sum()
    }

    pub(super) fn has_all(&self) -> bool {
        self.count == self.item.slices
    }

    /// What is held here, to be told to others.
    pub(super) fn have(&self) -> Message {
        let held = if self.has_all() { Held::All } else { Held::Some(self.held.clone()) };
        Message::Have { item: self.item, held, wants: self.wants }
    }

    /// Something was heard that brings the item nearer.
    pub(super) fn news(&mut self, now: Duration) {
        self.news = now;
        self.stuck_told = false;
    }

    /// The neighbour's entry, made if it is new.
    pub(super) fn neighbour(&mut self, peer: P, now: Duration) -> &mut Neighbour {
        self.neighbours.entry(peer).or_insert_with(|| Neighbour::new(self.item.slices, now))
    }

    /// A neighbour says what it holds and whether it wants the rest. `true` if that is more than it ever said.
    pub(super) fn says(&mut self, peer: P, held: &Held, wants: bool, now: Duration) -> bool {
        let held = match held {
            Held::All => Bitfield::all(self.item.slices),
            Held::Some(held) => held.clone(),
        };
        let neighbour = self.neighbours.entry(peer).or_insert_with(|| Neighbour::new(self.item.slices, now));
        for slice in 0..self.item.slices {
            let copies = &mut self.copies[slice as usize];
            *copies = *copies + u32::from(held.has(slice)) - u32::from(neighbour.held.has(slice));
        }
        neighbour.count = held.count();
        neighbour.held = held;
        neighbour.wants = wants && !neighbour.has_all();
        (neighbour.busy, neighbour.coming) = (false, Bitfield::none(self.item.slices));
        let more = neighbour.count > neighbour.most;
        if more {
            (neighbour.most, neighbour.progress) = (neighbour.count, now);
        }
        more
    }

    /// A neighbour holds one more slice. `false` if it was known to.
    pub(super) fn got(&mut self, peer: P, slice: u32, now: Duration) -> bool {
        let neighbour = self.neighbour(peer, now);
        if !neighbour.held.set(slice) {
            return false;
        }
        neighbour.count += 1;
        neighbour.coming.clear(slice);
        neighbour.wants &= !neighbour.has_all();
        if neighbour.offered.has(slice) {
            neighbour.silences = neighbour.silences.saturating_sub(1);
        }
        if neighbour.count > neighbour.most {
            (neighbour.most, neighbour.progress) = (neighbour.count, now);
        }
        self.copies[slice as usize] += 1;
        true
    }

    /// A neighbour takes no part any more.
    pub(super) fn leaves(&mut self, peer: P) {
        let Some(neighbour) = self.neighbours.remove(&peer) else { return };
        for slice in 0..self.item.slices {
            self.copies[slice as usize] -= u32::from(neighbour.held.has(slice));
            self.flying[slice as usize] -= u32::from(neighbour.flying.has(slice));
        }
    }

    /// A slice is offered to a neighbour, or no longer.
    pub(super) fn fly(&mut self, peer: P, slice: u32, flies: bool) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let flying = &mut self.flying[slice as usize];
        if flies {
            neighbour.offered.set(slice);
            *flying += u32::from(neighbour.flying.set(slice));
        } else {
            *flying -= u32::from(neighbour.flying.clear(slice));
        }
    }

    /// A neighbour has taken a slice.
    pub(super) fn give(&mut self, peer: P, slice: u32) {
        self.given = self.given.saturating_add(self.size(slice));
        self.sent[slice as usize] = self.sent[slice as usize].saturating_add(1);
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.give(slice);
        }
    }

    /// Whether any neighbour wants something that is held here.
    pub(super) fn is_wanted(&self) -> bool {
        self.neighbours.values().any(|neighbour| neighbour.wants)
    }

    /// Whether nobody takes part but one.
    pub(super) fn is_pair(&self) -> bool {
        self.neighbours.len() <= 1
    }

    /// Whether this node is the only one around that holds all, in a crowd: each slice goes out once before any goes out again.
    pub(super) fn is_first(&self) -> bool {
        self.has_all() && !self.is_pair() && !self.neighbours.values().any(Neighbour::has_all)
    }

    /// Whether the first holder leaves this slice to the others.
    fn is_spread(&self, slice: u32, rules: &Rules) -> bool {
        let at = slice as usize;
        let copies = self.copies[at] + self.flying[at];
        if self.sent[at] > 0 { copies >= rules.enough_copies } else { self.flying[at] > 0 }
    }

    /// When the first holder looks again after neighbours that get nothing.
    pub(super) fn hold_back_until(&self, hold_back: Duration, now: Duration) -> Option<Duration> {
        let waiting = self.neighbours.values().filter(|neighbour| neighbour.wants && !neighbour.busy);
        let times = waiting.map(|neighbour| neighbour.progress + hold_back).filter(|&time| time > now);
        times.min().filter(|_| self.is_first())
    }

    /// What to offer to whom next: the rarest slice, to the neighbour that has least of those that lack it. `start` breaks ties.
    pub(super) fn pick(&self, rules: &Rules, hold_back: Duration, now: Duration, start: u32) -> Option<(P, u32)> {
        let (slices, count) = (self.item.slices, self.neighbours.len().max(1));
        let from = start as usize % count;
        let takes = self.neighbours.iter().enumerate().filter(|(_, (_, neighbour))| neighbour.wants && !neighbour.busy);
        let mut order: Vec<(u64, usize, P, &Neighbour)> = takes
            .map(|(at, (&peer, neighbour))| (neighbour.share(), (at + count - from) % count, peer, neighbour))
            .collect();
        if order.is_empty() {
            return None;
        }
        order.sort_unstable_by_key(|&(share, turn, ..)| (share, turn));
        let first = self.is_first();
        let may = |slice: u32, to: &Neighbour| {
            // The others get on with it, and the one that is served next to last is not the last for it.
            let patient = first && now < to.progress + hold_back && to.count + rules.last_slices < slices;
            to.lacks(slice) && !(patient && self.is_spread(slice, rules))
        };
        let whom = |slice: u32| order.iter().find(|(_, _, _, to)| may(slice, to)).map(|&(_, _, peer, _)| (peer, slice));
        // One alone is hashing the zip while it comes: in order.
        let start = if self.is_pair() { 0 } else { start % slices };
        let mut rarest: Vec<u32> =
            (0..slices).map(|at| (at + start) % slices).filter(|&slice| self.held.has(slice)).collect();
        if !self.is_pair() {
            rarest.sort_by_key(|&slice| {
                let at = slice as usize;
                (if first { self.sent[at] } else { 0 }, self.copies[at] + self.flying[at])
            });
        }
        rarest.into_iter().find_map(whom)
    }
}
