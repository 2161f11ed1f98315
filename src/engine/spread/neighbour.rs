//! What is known of one neighbour's part in one item.

use std::time::Duration;

use super::Bitfield;
use super::limits::{FALSE_OFFERS, GIVEN, STALLS};

/// One neighbour, as far as one item goes.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    slices: u32,
    /// What it says it holds.
    pub(super) held: Bitfield,
    /// How many slices that is.
    pub(super) count: u32,
    /// The most it ever said: only more than that is news.
    pub(super) most: u32,
    /// Whether it wants the rest.
    pub(super) wants: bool,
    /// What it said is coming to it from others.
    pub(super) coming: Bitfield,
    /// Whether it said that it takes no more for the moment.
    pub(super) busy: bool,
    /// What is offered or on its way to it from here.
    pub(super) flying: Bitfield,
    /// What it was ever offered from here.
    pub(super) offered: Bitfield,
    /// What it was given once, and twice.
    given: [Bitfield; GIVEN as usize],
    /// How often it took something, or was offered something, and no more was heard of that.
    pub(super) silences: u32,
    /// Whether an offer of its was put off that would be welcome again when something fails.
    pub(super) put_off: bool,
    /// When it last got something.
    pub(super) progress: Duration,
    /// Fetches from it that stood still.
    pub(super) stalls: u8,
    /// Fetches from it that brought nothing, or the wrong thing.
    pub(super) false_offers: u8,
}

impl Neighbour {
    pub(super) fn new(slices: u32, now: Duration) -> Self {
        let none = || Bitfield::none(slices);
        Self {
            slices,
            held: none(),
            count: 0,
            most: 0,
            wants: false,
            coming: none(),
            busy: false,
            flying: none(),
            offered: none(),
            given: [none(), none()],
            silences: 0,
            put_off: false,
            progress: now,
            stalls: 0,
            false_offers: 0,
        }
    }

    /// Whether it says that it holds all.
    pub(super) fn has_all(&self) -> bool {
        self.count == self.slices
    }

    /// Whether this slice may be offered to it.
    pub(super) fn lacks(&self, slice: u32) -> bool {
        !(self.held.has(slice)
            || self.flying.has(slice)
            || self.coming.has(slice)
            || self.given[GIVEN as usize - 1].has(slice))
    }

    /// It takes a slice.
    pub(super) fn give(&mut self, slice: u32) {
        let _ = self.given.iter_mut().any(|given| given.set(slice));
    }

    /// How much it has, for the order in which neighbours are served: those that do not say what became of what they took come last.
    pub(super) fn share(&self) -> u64 {
        let has = self.count + self.coming.count() + self.flying.count();
        u64::from(has) + (u64::from(self.silences) << 32)
    }

    /// Whether it is still to be believed when it offers something.
    pub(super) fn is_trusted(&self) -> bool {
        self.false_offers < FALSE_OFFERS
    }

    /// Whether its fetches stand still.
    pub(super) fn is_slow(&self) -> bool {
        self.stalls >= STALLS
    }
}
