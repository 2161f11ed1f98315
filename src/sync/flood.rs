//! How many announcements are taken of whom: decided before any work is done for them.

use std::collections::HashMap;
use std::time::Instant;

use libp2p::PeerId;

use super::limits;

/// Some at once, and so many a second after that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    burst: f64,
    rate: f64,
    left: f64,
    as_of: Instant,
}

impl Bucket {
    pub(super) fn new(burst: u32, rate: u32, now: Instant) -> Self {
        Self { burst: f64::from(burst), rate: f64::from(rate), left: f64::from(burst), as_of: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let gone = now.saturating_duration_since(self.as_of).as_secs_f64();
        self.left = (self.left + gone * self.rate).min(self.burst);
        self.as_of = self.as_of.max(now);
        let has = self.left >= 1.0;
        self.left -= if has { 1.0 } else { 0.0 };
        has
    }
}

/// What to do with an announcement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// Look at it.
    Take,
    /// Leave it.
    Ignore,
    /// Leave it, and its sender is at fault: it floods.
    Flood,
}

struct Neighbour {
    bucket: Bucket,
    since: Instant,
    over: u32,
}

/// The announcements of all neighbours.
pub(super) struct Heard {
    neighbours: HashMap<PeerId, Neighbour>,
    all: Bucket,
    ignored: u64,
}

impl Heard {
    pub(super) fn new(now: Instant) -> Self {
        let all = Bucket::new(limits::TAKEN_BURST, limits::TAKEN_RATE, now);
        Self { neighbours: HashMap::new(), all, ignored: 0 }
    }

    /// One has come from a neighbour.
    pub(super) fn admit(&mut self, from: PeerId, now: Instant) -> Admission {
        if self.neighbours.len() >= limits::HEARD_PEERS && !self.neighbours.contains_key(&from) {
            self.ignored += 1;
            return Admission::Ignore;
        }
        let bucket = Bucket::new(limits::HEARD_BURST, limits::HEARD_RATE, now);
        let neighbour = self.neighbours.entry(from).or_insert(Neighbour { bucket, since: now, over: 0 });
        if neighbour.bucket.take(now) {
            if self.all.take(now) {
                return Admission::Take;
            }
            self.ignored += 1;
            return Admission::Ignore;
        }
        self.ignored += 1;
        if now.saturating_duration_since(neighbour.since) >= limits::FLOOD_WINDOW {
            (neighbour.since, neighbour.over) = (now, 0);
        }
        neighbour.over = neighbour.over.saturating_add(1);
        if neighbour.over == limits::FLOOD {
            (neighbour.since, neighbour.over) = (now, 0);
            return Admission::Flood;
        }
        Admission::Ignore
    }

    /// How many were ignored since the start.
    pub(super) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// A neighbour is gone. One that comes back at once to begin anew has paid a handshake for it.
    pub(super) fn gone(&mut self, peer: &PeerId) {
        self.neighbours.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `rate` announcements a second for `seconds`; how many were taken, and how many floods there were.
    fn run(heard: &mut Heard, from: PeerId, rate: u32, seconds: u32, begin: Instant) -> (u32, u32) {
        let (mut taken, mut floods) = (0, 0);
        for n in 0..rate * seconds {
            match heard.admit(from, begin + Duration::from_secs(1) * n / rate) {
                Admission::Take => taken += 1,
                Admission::Flood => floods += 1,
                Admission::Ignore => {}
            }
        }
        (taken, floods)
    }

    #[test]
    fn a_flood_costs_little_and_is_told_from_a_busy_honest_neighbour() {
        let now = Instant::now();
        let (flooder, honest) = (PeerId::random(), PeerId::random());
        let mut heard = Heard::new(now);
        let (taken, floods) = run(&mut heard, flooder, 10_000, 2, now);
        assert!((200..=310).contains(&taken) && floods >= 2, "{taken} {floods}");
        assert_eq!(heard.ignored(), 20_000 - u64::from(taken));
        let mut heard = Heard::new(now);
        // As much as an honest node can pass on and say: see `limits::FLOOD`.
        let most = limits::TAKEN_RATE + limits::OWN_RATE;
        assert_eq!(run(&mut heard, honest, most + 100, 30, now).1, 0);
        let mut heard = Heard::new(now);
        assert_eq!(run(&mut heard, honest, limits::OWN_RATE, 10, now), (limits::OWN_RATE * 10, 0));
    }

    #[test]
    fn what_is_passed_on_is_bounded_whoever_it_comes_from() {
        let now = Instant::now();
        let mut heard = Heard::new(now);
        let taken: u32 = (0..100).map(|_| run(&mut heard, PeerId::random(), 100, 1, now).0).sum();
        assert!(taken <= limits::TAKEN_BURST + limits::TAKEN_RATE, "{taken}");
        for _ in 0..2 * limits::HEARD_PEERS {
            heard.admit(PeerId::random(), now);
        }
        assert_eq!(heard.neighbours.len(), limits::HEARD_PEERS);
        let peer = *heard.neighbours.keys().next().unwrap();
        heard.gone(&peer);
        assert_eq!(heard.neighbours.len(), limits::HEARD_PEERS - 1);
    }
}
