//! How many questions may go to the source: token buckets, one for each peer and one for all. Pure: time is an
//! argument.

use std::collections::HashMap;
use std::time::Instant;

use libp2p::PeerId;

use super::limits;

/// A bucket's measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Questions at once, after a pause.
    pub burst: u32,
    /// Questions a second in the long run.
    pub per_second: u32,
}

/// What peers may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Each.
    pub peer: Rate,
    /// All together.
    pub all: Rate,
}

/// What is left of an [`Allowance`].
#[derive(Debug)]
pub struct Budget {
    allowance: Allowance,
    all: Bucket,
    peers: HashMap<PeerId, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: f64::from(rate.burst), at: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(rate.per_second);
        self.tokens = (self.tokens + grown).min(f64::from(rate.burst));
        self.at = self.at.max(now);
    }
}

impl Budget {
    /// All of it is left.
    #[must_use]
    pub fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, all: Bucket::full(allowance.all, now), peers: HashMap::new() }
    }

    /// Takes one question of `peer` off, if there is one left for it and one for all. A question that is not allowed
    /// costs nothing: neither does a peer that floods use up what the others have.
    pub fn take(&mut self, peer: PeerId, now: Instant) -> bool {
        let Allowance { peer: rate, all } = self.allowance;
        if self.peers.len() >= limits::MAX_COUNTED && !self.peers.contains_key(&peer) {
            self.peers.retain(|_, bucket| {
                bucket.fill(rate, now);
                bucket.tokens < f64::from(rate.burst)
            });
            if self.peers.len() >= limits::MAX_COUNTED {
                return false;
            }
        }
        let own = self.peers.entry(peer).or_insert_with(|| Bucket::full(rate, now));
        own.fill(rate, now);
        self.all.fill(all, now);
        let allowed = own.tokens >= 1.0 && self.all.tokens >= 1.0;
        if allowed {
            own.tokens -= 1.0;
            self.all.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SMALL: Allowance =
        Allowance { peer: Rate { burst: 3, per_second: 2 }, all: Rate { burst: 5, per_second: 10 } };

    fn taken(budget: &mut Budget, peer: PeerId, now: Instant) -> usize {
        (0..100).filter(|_| budget.take(peer, now)).count()
    }

    #[test]
    fn a_peer_has_its_burst_and_then_its_rate() {
        let (start, peer) = (Instant::now(), PeerId::random());
        let mut budget = Budget::new(SMALL, start);
        assert_eq!(taken(&mut budget, peer, start), 3);
        assert_eq!(taken(&mut budget, peer, start + Duration::from_millis(499)), 0);
        assert_eq!(taken(&mut budget, peer, start + Duration::from_millis(500)), 1);
        assert_eq!(taken(&mut budget, peer, start + Duration::from_secs(3600)), 3, "it does not pile up");
        assert_eq!(taken(&mut budget, peer, start), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn all_together_have_a_bound_and_one_that_floods_takes_from_nobody() {
        let start = Instant::now();
        let mut budget = Budget::new(SMALL, start);
        let peers: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
        let each: Vec<usize> = peers.iter().map(|peer| taken(&mut budget, *peer, start)).collect();
        assert_eq!(each, [3, 2, 0], "a hundred attempts cost the first one three");
        let later = start + Duration::from_millis(100);
        assert_eq!(taken(&mut budget, peers[2], later), 1);
    }

    #[test]
    fn identities_without_end_take_no_memory_without_end() {
        let start = Instant::now();
        let all = Rate { burst: u32::MAX, per_second: 1 };
        let mut budget = Budget::new(Allowance { all, ..SMALL }, start);
        let many = (0..limits::MAX_COUNTED + 10).filter(|_| budget.take(PeerId::random(), start)).count();
        assert_eq!(many, limits::MAX_COUNTED);
        assert_eq!(budget.peers.len(), limits::MAX_COUNTED);
        // A second later all of them are full again, and are forgotten for somebody new.
        assert!(budget.take(PeerId::random(), start + Duration::from_secs(1)));
        assert_eq!(budget.peers.len(), 1);
    }
}
