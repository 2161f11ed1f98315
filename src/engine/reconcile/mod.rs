//! Comparing catalogs: two nodes find out which manifests only one of them has, at the price of what differs and not of what
//! they have.
//!
//! *Rateless set reconciliation* (Yang, Gilad, Alizadeh: Practical Rateless Set Reconciliation, SIGCOMM 2024). A side sends
//! coded symbols of its set, as many as the other one asks for. Each symbol is the xor of some keys, the xor of their
//! check hashes, and their count. The other one subtracts the symbols of its own set, by which what both have goes away, and
//! peels what is left. About 1.35 symbols of 17 to 18 bytes are needed per key of the difference (1.7 for a dozen), wherever
//! in the order of things those keys are and whatever the size of the sets.
//!
//! * **Keys** are 8 bytes of a manifest's id hashed under a [`Salt`] of this one comparison, to which both sides
//!   contribute. So nobody can make ids ahead of time that collide or that spoil the symbols.
//! * **How much to ask for**: the answering side begins with what the difference of the counts suggests ([`first_symbols`]).
//!   From how far the counts are off, the asking side estimates the size of the difference, and asks for the rest.
//! * **A large difference** is found in [`Part`]s by the first bits of the keys, so that memory stays bounded.
//! * **Made-up symbols** are found out ([`Nonsense`]) or lead to keys that the peer cannot serve; the work for them is bounded
//!   by the number of symbols, and that by the counts of both sides.
//!
//! Why not range-based reconciliation (negentropy), as the first design had it: it is good where what differs stands together,
//! and dear where it is scattered. Manifest ids are hashes, the order of arrival is another one on every node, and there is
//! no time on which nodes agree; so it is always scattered here. `netsim bench catchup` measures both.

mod decoder;
mod encoder;
pub mod limits;
mod symbol;

pub use decoder::Nonsense;
pub use encoder::{Encoder, Part};
pub use symbol::{Key, Salt, Symbol, pack, unpack};

use decoder::Decoder;

/// What to ask a peer for: symbols `from` to `from + count` of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Which part.
    pub part: Part,
    /// The first symbol.
    pub from: u32,
    /// How many, at most [`limits::PAGE_SYMBOLS`].
    pub count: u32,
}

/// What came of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// More symbols are needed.
    Ask(Ask),
    /// The difference of a part is known.
    Found {
        /// What only the peer has.
        missing: Vec<Key>,
        /// What only this side has.
        extra: Vec<Key>,
        /// The next part; with none that was all.
        next: Option<Ask>,
    },
    /// The difference is larger than what can be found with the memory that is allowed for it.
    TooLarge,
}

/// The asking side of one comparison.
pub struct Reconcile {
    decoder: Decoder,
    estimated: u64,
}

/// How many symbols to begin with, for a set of `ours` keys and one of `theirs`.
#[must_use]
pub fn first_symbols(ours: u64, theirs: u64) -> u32 {
    first(ours.abs_diff(theirs))
}

fn first(difference: u64) -> u32 {
    page(enough(difference).max(u64::from(limits::FIRST_SYMBOLS)))
}

/// Symbols with which a difference of this size is usually known: 1.4 each, and some for the scatter of small ones.
fn enough(difference: u64) -> u64 {
    let each = difference.saturating_mul(7) / 5;
    each.saturating_add(12 + difference.isqrt())
}

fn page(symbols: u64) -> u32 {
    u32::try_from(symbols).unwrap_or(u32::MAX).min(limits::PAGE_SYMBOLS)
}

impl Reconcile {
    /// Of the own keys with a peer's. The first answer is that to all keys, from symbol 0 on.
    #[must_use]
    pub fn new(salt: &Salt, own: Vec<Key>) -> Self {
        Self { decoder: Decoder::new(salt, own), estimated: 0 }
    }

    /// The peer has sent the symbols that it was asked for, or fewer; its part has `total` keys.
    ///
    /// # Errors
    /// [`Nonsense`], which no honest peer sends.
    pub fn answer(&mut self, total: u64, symbols: &[Symbol]) -> Result<Action, Nonsense> {
        if total > limits::MAX_CATALOG {
            return Err(Nonsense("it says that it has more manifests than there can be"));
        }
        if symbols.is_empty() {
            return Err(Nonsense("it has no symbols"));
        }
        if self.decoder.at() == 0 && symbols[0].count != i64::try_from(total).unwrap_or(i64::MAX) {
            return Err(Nonsense("its first symbol does not count all keys"));
        }
        if self.decoder.add(symbols)? {
            let (missing, extra) = self.decoder.result();
            let next = self.decoder.part().next().map(|part| self.begin(part));
            return Ok(Action::Found { missing, extra, next });
        }
        let at = u64::from(self.decoder.at());
        if at > limits::SPARE_SYMBOLS + 2 * (total + self.decoder.total()) {
            return Err(Nonsense("no catalogs of these sizes differ so much"));
        }
        let estimated = self.decoder.estimate().min(total.saturating_add(self.decoder.total()));
        let whole = self.decoder.part().bits == 0;
        if whole && estimated > limits::MAX_DIFFERENCE {
            return Ok(Action::Ask(self.split(estimated)));
        }
        if at >= u64::from(limits::MAX_SYMBOLS) {
            return Ok(if whole { Action::Ask(self.split(estimated)) } else { Action::TooLarge });
        }
        // By the estimate, but at least a quarter and at most three times more than there is: it is good to a quarter at first.
        let more = enough(estimated).saturating_sub(at).max(at / 4).max(12);
        let more = if at > 1000 { more } else { more.min(at.saturating_mul(50)) };
        let count = page(more).min(limits::MAX_SYMBOLS - self.decoder.at());
        Ok(Action::Ask(Ask { part: self.decoder.part(), from: self.decoder.at(), count }))
    }

    /// Goes on in parts that each have about [`limits::PART_DIFFERENCE`] of the difference.
    fn split(&mut self, estimated: u64) -> Ask {
        let parts = estimated.div_ceil(limits::PART_DIFFERENCE).max(2).next_power_of_two();
        let bits = u8::try_from(parts.trailing_zeros()).unwrap_or(u8::MAX).min(limits::MAX_PART_BITS);
        self.estimated = estimated >> bits;
        self.begin(Part { bits, prefix: 0 })
    }

    fn begin(&mut self, part: Part) -> Ask {
        self.decoder.begin(part);
        Ask { part, from: 0, count: first(self.estimated) }
    }
}

#[cfg(test)]
mod tests;
