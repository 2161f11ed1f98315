//! From the symbols of a peer to what its set and the own one do not have in common.

use std::collections::HashSet;

use super::encoder::{Encoder, Part};
use super::limits;
use super::symbol::{Key, Mapping, Salt, Symbol};

/// Symbols that no set has: they were made up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its summary of its catalog is of no catalog: {0}")]
pub struct Nonsense(pub &'static str);

struct Found {
    key: Key,
    sign: i64,
    mapping: Mapping,
}

/// Takes symbols in portions, subtracts the own ones, and peels: a symbol with one key left gives that key, which is taken
/// out of all symbols that it went into, and so on.
pub(super) struct Decoder {
    salt: Salt,
    own: Encoder,
    /// Of the difference, less what was found.
    symbols: Vec<Symbol>,
    found: Vec<Found>,
    keys: HashSet<Key>,
    steps: u64,
}

impl Decoder {
    pub(super) fn new(salt: &Salt, own: Vec<Key>) -> Self {
        Self {
            salt: salt.clone(),
            own: Encoder::new(salt, own),
            symbols: Vec::new(),
            found: Vec::new(),
            keys: HashSet::new(),
            steps: 0,
        }
    }

    /// Begins anew with a part.
    pub(super) fn begin(&mut self, part: Part) {
        self.own.begin(part);
        (self.symbols, self.found, self.keys, self.steps) = (Vec::new(), Vec::new(), HashSet::new(), 0);
    }

    pub(super) fn part(&self) -> Part {
        self.own.at().0
    }

    /// How many symbols there are so far.
    pub(super) fn at(&self) -> u32 {
        self.own.at().1
    }

    /// How many own keys the part has.
    pub(super) fn total(&self) -> u64 {
        self.own.total()
    }

    /// Takes the next symbols of the peer. Whether all of the difference is known.
    ///
    /// # Errors
    /// [`Nonsense`]; it is of no use after that.
    pub(super) fn add(&mut self, theirs: &[Symbol]) -> Result<bool, Nonsense> {
        let from = self.symbols.len();
        let ours = self.own.symbols(u32::try_from(theirs.len()).map_err(|_| Nonsense("it is too long"))?);
        self.symbols.extend(theirs.iter().zip(ours).map(|(theirs, ours)| theirs.less(ours)));
        for found in &mut self.found {
            let check = self.salt.check(found.key);
            while let Some(symbol) = self.symbols.get_mut(found.mapping.next() as usize) {
                symbol.apply(found.key, check, -found.sign);
                found.mapping.advance();
                self.steps += 1;
            }
        }
        let pure = (from..self.symbols.len()).filter(|at| self.symbols[*at].pure(&self.salt).is_some());
        let mut ready: Vec<usize> = pure.collect();
        while let Some(at) = ready.pop() {
            // It may have come to nothing by another one that had the same key.
            if let Some((key, sign)) = self.symbols[at].pure(&self.salt) {
                self.find(key, sign, &mut ready)?;
            }
        }
        if self.symbols.first().is_none_or(|first| !first.is_zero()) {
            return Ok(false);
        }
        // Every key goes into the first symbol: where that is empty, all are.
        let over = self.symbols.iter().all(Symbol::is_zero);
        over.then_some(true).ok_or(Nonsense("its symbols contradict each other"))
    }

    fn find(&mut self, key: Key, sign: i64, ready: &mut Vec<usize>) -> Result<(), Nonsense> {
        if !self.keys.insert(key) {
            return Err(Nonsense("a key is in it twice"));
        }
        if !self.part().contains(key) || (sign < 0) != self.own.position(key).is_some() {
            return Err(Nonsense("a key is in it that cannot be"));
        }
        if self.found.len() >= self.symbols.len() {
            return Err(Nonsense("it has more keys than symbols"));
        }
        let (check, mut mapping) = (self.salt.check(key), Mapping::new(key));
        while let Some(symbol) = self.symbols.get_mut(mapping.next() as usize) {
            symbol.apply(key, check, -sign);
            if symbol.pure(&self.salt).is_some() {
                ready.push(mapping.next() as usize);
            }
            mapping.advance();
            self.steps += 1;
        }
        self.found.push(Found { key, sign, mapping });
        let each = (self.symbols.len() + self.found.len()) as u64;
        if self.steps > limits::SPARE_STEPS + each * limits::STEPS_EACH {
            return Err(Nonsense("its keys were chosen to cost time"));
        }
        Ok(())
    }

    /// What was found: the keys that only the peer has, and those that only this side has.
    pub(super) fn result(&self) -> (Vec<Key>, Vec<Key>) {
        let of = |sign| self.found.iter().filter(move |found| found.sign == sign).map(|found| found.key).collect();
        (of(1), of(-1))
    }

    /// About how many keys differ, from how far the counts are off: symbol `i` has `d p (1-p)` of variance
    /// around its share of the net difference, if `p` is its density and `d` the size of the difference.
    #[allow(clippy::cast_possible_truncation, reason = "a cast from f64 saturates, and that is what is wanted")]
    #[allow(clippy::cast_precision_loss, reason = "it is an estimate")]
    pub(super) fn estimate(&self) -> u64 {
        let Some((first, rest)) = self.symbols.split_first() else { return 0 };
        let rest = &rest[..rest.len().min(limits::ESTIMATED_FROM)];
        let net = first.count as f64;
        let (mut sum, mut of) = (0.0, 0.0);
        for (index, symbol) in (1_u32..).zip(rest) {
            let density = 2.0 / (2.0 + f64::from(index));
            let off = symbol.count as f64 - net * density;
            sum += off * off / (density * (1.0 - density));
            of += 1.0;
        }
        let left = if of > 0.0 { sum / of } else { 0.0 };
        // A count from a liar may be anything.
        (self.found.len() as u64).saturating_add(left.max(net.abs()) as u64)
    }
}
