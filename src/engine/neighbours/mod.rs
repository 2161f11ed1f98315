//! Neighbours: whom to dial and when, whom to keep, whom to let go. Pure decisions; time and randomness are arguments.
//!
//! * A *static* peer is dialled for ever, with exponential back-off and jitter, and counts towards nothing.
//! * A *found* peer (heard on the LAN, told of by a neighbour, remembered from the last run) is a candidate. While there are
//!   fewer than [`TARGET`](limits::TARGET) neighbours, or fewer than [`OWN_LEAST`](limits::OWN_LEAST) of this node's own
//!   choice, a *random* candidate is dialled, one after the other at random times: so the graph is random and connected, and
//!   no machine is everybody's neighbour. Remembered peers come last.
//! * Of two nodes that find each other one dials at once, and the other only when nothing came within
//!   [`GRACE`](limits::GRACE) (its packets may get lost, or a firewall may let only one direction through). Which one is a
//!   coin that both throw alike ([`first`]). By the ids' order alone the highest of 300 nodes would have some 37 neighbours (8 + 8 ln(300/8)).
//! * With more than [`HIGH`](limits::HIGH) neighbours for a while an idle one is let go, rarely. Who was let go and comes back
//!   needs this node (it may know no other) and is kept, so nothing swings.
//!
//! A driver calls [`Neighbours::handle`] with what happened and at [`Neighbours::deadline`], and does what it says.

mod choice;
pub mod limits;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

/// Something to reach, the key of a dial under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Goal<P> {
    /// The static address with this place in the configuration.
    Static(usize),
    /// A peer that was found.
    Found(P),
}

/// How a peer was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum How {
    /// It is announced on the LAN now.
    Lan,
    /// A neighbour told of it.
    Hearsay,
    /// It was a neighbour in an earlier run.
    Remembered,
}

/// Why a dial led to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Miss {
    /// Nobody answered, or not the one who was meant.
    Unreachable,
    /// The address is one of this node's own.
    Ourselves,
    /// Another machine answered with this node's identity.
    Clone,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<P, A> {
    /// A peer was found at an address.
    Found(P, A, How),
    /// An address is no longer announced.
    Lost(P, A),
    /// A connection with a peer stands, perhaps not the first; with the dial that led to it, if it was one of ours.
    Connected(P, Option<Goal<P>>),
    /// The last connection with a peer is gone.
    Disconnected(P),
    /// A dial led to nothing.
    Failed(Goal<P>, Miss),
    /// Bytes that somebody wanted were exchanged with a neighbour: it is not idle.
    Used(P),
    /// Never dial this peer again: it is banned, or no node of this project.
    Banned(P),
    /// An interface came or went: whoever could not be reached perhaps can be now.
    NetworkChanged,
    /// [`Neighbours::deadline`] has come.
    Tick,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action<P, A> {
    /// Dial. It ends with [`Event::Connected`] or [`Event::Failed`] with the same goal.
    Dial {
        /// What for.
        goal: Goal<P>,
        /// Who must answer; `None` takes whoever does.
        peer: Option<P>,
        /// Where, one or more.
        addresses: Vec<A>,
    },
    /// Close the connections with a neighbour that there is no need of.
    Close(P),
    /// Ask a neighbour for other members.
    Ask(P),
}

/// What is known of a peer, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known<P, A> {
    /// Who, if that is known.
    pub peer: Option<P>,
    /// Where.
    pub addresses: Vec<A>,
    /// How it was found; `None` for a static peer.
    pub how: Option<How>,
    /// The key of its dials.
    pub goal: Goal<P>,
    /// How it stands.
    pub standing: Standing,
    /// Dials in a row that led to nothing.
    pub failures: u32,
}

/// How a peer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Connected.
    Up,
    /// Being dialled.
    Trying,
    /// Not dialled before this moment; a found peer then only if more neighbours are wanted.
    Wait(Duration),
    /// This node itself, or banned.
    Never,
}

struct Target<P, A> {
    peer: Option<P>,
    /// Who answered last at an address that names no peer: when that one comes in by itself, there is no need to dial.
    answered: Option<P>,
    addresses: Vec<A>,
    how: Option<How>,
    standing: Standing,
    failures: u32,
}

struct Neighbour {
    since: Duration,
    /// This node dialled it, as one that was found.
    own: bool,
    used: Duration,
    /// It was let go before, and came back.
    needs_us: bool,
    closing: bool,
}

/// The neighbours of one node.
pub struct Neighbours<P, A> {
    me: P,
    rng: SmallRng,
    fixed: Vec<Target<P, A>>,
    found: BTreeMap<P, Target<P, A>>,
    up: BTreeMap<P, Neighbour>,
    /// Found peers that are being dialled.
    trying: BTreeSet<P>,
    banned: BTreeSet<P>,
    trimmed: BTreeMap<P, Duration>,
    /// No found peer is dialled before this moment, so that not all are dialled at once.
    next_pick: Duration,
    /// No found peer can be dialled before this moment: a lower bound, so that not all are looked at with each event.
    next_candidate: Option<Duration>,
    over_since: Option<Duration>,
    next_trim: Duration,
    next_ask: Duration,
    ask_wait: Duration,
}

impl<P: Copy + Ord + Hash, A: Clone + Eq + Hash> Neighbours<P, A> {
    /// For node `me` with these static addresses, each perhaps with the peer that must answer there.
    #[must_use]
    pub fn new(me: P, fixed: Vec<(Option<P>, A)>, seed: u64, now: Duration) -> Self {
        let target = |(peer, address): (Option<P>, A)| {
            let standing = if peer == Some(me) { Standing::Never } else { Standing::Wait(now) };
            Target { peer, answered: None, addresses: vec![address], how: None, standing, failures: 0 }
        };
        Self {
            me,
            rng: SmallRng::seed_from_u64(seed),
            fixed: fixed.into_iter().map(target).collect(),
            found: BTreeMap::new(),
            up: BTreeMap::new(),
            trying: BTreeSet::new(),
            banned: BTreeSet::new(),
            trimmed: BTreeMap::new(),
            next_pick: now,
            next_candidate: None,
            over_since: None,
            next_trim: now,
            next_ask: now,
            ask_wait: limits::ASK_FIRST,
        }
    }

    /// Takes in what happened; what is due now is to be done.
    pub fn handle(&mut self, event: Event<P, A>, now: Duration) -> Vec<Action<P, A>> {
        match event {
            Event::Found(peer, address, how) => self.on_found(peer, address, how, now),
            Event::Lost(peer, address) => self.on_lost(peer, &address),
            Event::Connected(peer, goal) => self.on_connected(peer, goal, now),
            Event::Disconnected(peer) => self.on_disconnected(peer, now),
            Event::Failed(goal, miss) => self.on_failed(goal, miss, now),
            Event::Used(peer) => {
                if let Some(up) = self.up.get_mut(&peer) {
                    up.used = now;
                }
            }
            Event::Banned(peer) => self.on_banned(peer),
            Event::NetworkChanged => self.on_network(now),
            Event::Tick => {}
        }
        self.act(now)
    }

    fn on_found(&mut self, peer: P, address: A, how: How, now: Duration) {
        if peer == self.me || self.banned.contains(&peer) {
            return;
        }
        if let Some(target) = self.found.get_mut(&peer) {
            // Who is announced on the LAN is not hearsay any more. An old peer at a new address is worth a try at once.
            target.how = target.how.min(Some(how));
            if !target.addresses.contains(&address) {
                if target.addresses.len() >= limits::MAX_ADDRESSES {
                    target.addresses.remove(0);
                }
                target.addresses.push(address);
                if how == How::Lan && target.failures > 0 && matches!(target.standing, Standing::Wait(_)) {
                    target.failures = 0;
                    target.standing = Standing::Wait(now);
                    self.candidate(now);
                }
            }
            return;
        }
        if self.found.len() >= limits::MAX_FOUND && !self.make_room() {
            return;
        }
        let grace = if first(&self.me, &peer) { Duration::ZERO } else { limits::GRACE };
        let wait = if how == How::Remembered { limits::REMEMBERED_AFTER } else { grace };
        let standing = if self.up.contains_key(&peer) { Standing::Up } else { Standing::Wait(now + wait) };
        self.candidate(now + wait);
        if self.found.is_empty() && self.next_pick <= now {
            self.next_pick = now + self.spread();
        }
        let addresses = vec![address];
        self.found.insert(
            peer,
            Target { peer: Some(peer), answered: None, addresses, how: Some(how), standing, failures: 0 },
        );
    }

    /// Forgets a peer that could not be reached, an invented one perhaps.
    fn make_room(&mut self) -> bool {
        let away = |target: &Target<P, A>| match target.standing {
            Standing::Wait(_) => target.failures > 0,
            Standing::Never => true,
            Standing::Up | Standing::Trying => false,
        };
        let worst = self.found.iter().filter(|(_, target)| away(target)).max_by_key(|(_, target)| target.failures);
        match worst.map(|(peer, _)| *peer) {
            Some(peer) => self.found.remove(&peer).is_some(),
            None => false,
        }
    }

    fn on_lost(&mut self, peer: P, address: &A) {
        let Some(target) = self.found.get_mut(&peer) else { return };
        target.addresses.retain(|known| known != address);
        if target.addresses.is_empty() {
            self.found.remove(&peer);
            self.trying.remove(&peer);
        }
    }

    fn on_connected(&mut self, peer: P, goal: Option<Goal<P>>, now: Duration) {
        if let Some(Goal::Static(at)) = goal
            && let Some(target) = self.fixed.get_mut(at)
        {
            target.answered = Some(peer);
            // A second connection with one who is there already.
            target.standing = Standing::Up;
        }
        self.trying.remove(&peer);
        let needs_us = self.trimmed.get(&peer).is_some_and(|at| now < *at + limits::TRIM_REST);
        let own = matches!(goal, Some(Goal::Found(_)));
        self.up.entry(peer).or_insert_with(|| {
            self.ask_wait = limits::ASK_FIRST;
            self.next_ask = self.next_ask.min(now + limits::ASK_FIRST);
            Neighbour { since: now, own, used: now, needs_us, closing: false }
        });
        let fixed = self.fixed.iter_mut().filter(|target| target.is(peer));
        for target in fixed.chain(self.found.get_mut(&peer)) {
            if target.standing != Standing::Never {
                target.standing = Standing::Up;
            }
        }
    }

    fn on_disconnected(&mut self, peer: P, now: Duration) {
        let Some(gone) = self.up.remove(&peer) else { return };
        let lasted = now.saturating_sub(gone.since) >= limits::STABLE;
        for target in self.fixed.iter_mut().filter(|target| target.is(peer)).chain(self.found.get_mut(&peer)) {
            if target.standing == Standing::Up {
                if lasted {
                    target.failures = 0;
                }
                target.retry(now, self.rng.random());
                if gone.closing && target.how.is_some() {
                    target.standing = Standing::Wait(now + limits::TRIM_REST);
                }
            }
        }
        self.candidate(now);
    }

    fn on_failed(&mut self, goal: Goal<P>, miss: Miss, now: Duration) {
        let jitter = self.rng.random();
        let target = match goal {
            Goal::Static(at) => self.fixed.get_mut(at),
            Goal::Found(peer) => self.found.get_mut(&peer),
        };
        let Some(target) = target else { return };
        if let Goal::Found(peer) = goal {
            self.trying.remove(&peer);
        }
        // A connection may have come in by itself while the dial was under way.
        if target.standing != Standing::Trying {
            return;
        }
        match miss {
            Miss::Unreachable => target.retry(now, jitter),
            Miss::Ourselves => target.standing = Standing::Never,
            Miss::Clone => target.standing = Standing::Wait(now + limits::REDIAL_CLONE),
        }
        if let Goal::Found(peer) = goal
            && target.how == Some(How::Hearsay)
            && target.failures >= limits::GIVE_UP
        {
            self.found.remove(&peer);
        }
        self.candidate(now);
    }

    fn on_banned(&mut self, peer: P) {
        for target in self.fixed.iter_mut().filter(|target| target.is(peer)) {
            target.standing = Standing::Never;
        }
        self.found.remove(&peer);
        self.trying.remove(&peer);
        if self.banned.len() >= limits::MAX_BANNED {
            self.banned.pop_first();
        }
        self.banned.insert(peer);
    }

    fn on_network(&mut self, now: Duration) {
        for target in self.fixed.iter_mut().chain(self.found.values_mut()) {
            if matches!(target.standing, Standing::Wait(_)) && target.failures > 0 {
                target.failures = 0;
                target.standing = Standing::Wait(now + limits::SPREAD_MOST.mul_f64(self.rng.random()));
            }
        }
        self.candidate(now);
        self.ask_wait = limits::ASK_FIRST;
    }

    /// A found peer can perhaps be dialled at this moment.
    fn candidate(&mut self, at: Duration) {
        self.next_candidate = Some(self.next_candidate.map_or(at, |known| known.min(at)));
    }

    /// A random time between two picks.
    fn spread(&mut self) -> Duration {
        let found = u32::try_from(self.found.len()).unwrap_or(u32::MAX);
        let most = limits::SPREAD_PER_PEER.saturating_mul(found).clamp(limits::SPREAD_LEAST, limits::SPREAD_MOST);
        most.mul_f64(self.rng.random())
    }

    fn is_fixed(&self, peer: P) -> bool {
        self.fixed.iter().any(|target| target.is(peer))
    }
}

impl<P: Copy + Ord, A> Target<P, A> {
    fn is(&self, peer: P) -> bool {
        self.peer.or(self.answered) == Some(peer)
    }

    fn retry(&mut self, now: Duration, jitter: f64) {
        let longest = if self.how.is_none() { limits::REDIAL_LONGEST } else { limits::REDIAL_FOUND };
        self.standing = Standing::Wait(now + back_off(self.failures, longest, jitter));
        self.failures = self.failures.saturating_add(1);
    }
}

/// The wait after `failures` failures in a row: doubling, with half of it random so that a site whose switch came back
/// does not dial in step.
fn back_off(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let full = limits::REDIAL_FIRST.saturating_mul(1 << failures.min(16)).min(longest);
    full.mul_f64(0.5 + jitter / 2.0)
}

/// Whether of two nodes it is `me` who dials first: for half of all pairs the lower one, for the others the higher one.
/// Both ends come to the same answer, and so does every node of every version.
pub fn first<P: Ord + Hash>(me: &P, other: &P) -> bool {
    let hash = |id: &P| {
        let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
        id.hash(&mut fnv);
        // The lowest bit of FNV is the parity of the input; the upper half is mixed.
        fnv.0 >> 32
    };
    (me < other) == ((hash(me) ^ hash(other)).count_ones().is_multiple_of(2))
}

/// FNV-1a: the same on every machine, where the standard library's hash may change with its version.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
