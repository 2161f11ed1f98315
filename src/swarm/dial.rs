//! Whom to dial and when: pure decisions, with time and randomness as arguments.
//!
//! Two kinds of goals. A *static* address is dialled for ever, with exponential back-off and jitter. A *discovered*
//! peer is dialled while its address is fresh, and only while there are fewer than
//! [`ENOUGH_PEERS`](limits::ENOUGH_PEERS) connections; of two nodes that discover each other the one with the lower
//! peer id dials at once and the other one only when nothing came within [`DIAL_GRACE`](limits::DIAL_GRACE) (its
//! packets may get lost, or a firewall may let only one direction through). Nobody dials itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::limits;

/// Something to reach, the key of a dial under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Goal {
    /// The static address with this place in the configuration.
    Static(usize),
    /// A discovered peer.
    Found(PeerId),
}

/// One dial to start now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Dial {
    pub(super) goal: Goal,
    pub(super) peer: Option<PeerId>,
    pub(super) addresses: Vec<Multiaddr>,
}

/// Why a dial led to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Miss {
    /// Nobody answered, or not the one who was meant.
    Unreachable,
    /// The address is one of this node's own.
    Ourselves,
    /// Another machine answered with this node's identity.
    Clone,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Wait(Instant),
    Trying,
    Up(PeerId, Instant),
    Never,
}

struct Target {
    peer: Option<PeerId>,
    /// Who answered last at an address that names no peer: when that one comes in by itself, there is no need to dial.
    answered: Option<PeerId>,
    addresses: Vec<Multiaddr>,
    state: State,
    failures: u32,
}

impl Target {
    fn new(peer: Option<PeerId>, addresses: Vec<Multiaddr>, state: State) -> Self {
        Self { peer, answered: None, addresses, state, failures: 0 }
    }

    fn is(&self, peer: PeerId) -> bool {
        self.peer.or(self.answered) == Some(peer)
    }

    fn retry(&mut self, now: Instant, jitter: f64) {
        self.state = State::Wait(now + back_off(self.failures, jitter));
        self.failures = self.failures.saturating_add(1);
    }
}

/// The dialling policy of one node.
pub(super) struct Dialler {
    me: PeerId,
    fixed: Vec<Target>,
    found: HashMap<PeerId, Target>,
}

impl Dialler {
    /// A policy for node `me` with these static addresses, each perhaps with `/p2p/<peer id>` at its end.
    pub(super) fn new(me: PeerId, fixed: &[Multiaddr], now: Instant) -> Self {
        let target = |address: &Multiaddr| {
            let peer = peer_of(address);
            let state = if peer == Some(me) { State::Never } else { State::Wait(now) };
            Target::new(peer, vec![address.clone()], state)
        };
        Self { me, fixed: fixed.iter().map(target).collect(), found: HashMap::new() }
    }

    /// A peer was discovered on the LAN; `jitter` in 0..1.
    pub(super) fn found(&mut self, peer: PeerId, address: Multiaddr, now: Instant, jitter: f64) {
        if peer == self.me {
            return;
        }
        if let Some(target) = self.found.get_mut(&peer) {
            if !target.addresses.contains(&address) && target.addresses.len() < limits::MAX_FOUND_ADDRESSES {
                target.addresses.push(address);
            }
            return;
        }
        if self.found.len() >= limits::MAX_FOUND {
            return;
        }
        let grace = if self.me < peer { Duration::ZERO } else { limits::DIAL_GRACE };
        let state = State::Wait(now + grace + limits::DIAL_SPREAD.mul_f64(jitter));
        self.found.insert(peer, Target::new(Some(peer), vec![address], state));
    }

    /// A discovered address is no longer announced.
    pub(super) fn lost(&mut self, peer: PeerId, address: &Multiaddr) {
        let Some(target) = self.found.get_mut(&peer) else { return };
        target.addresses.retain(|known| known != address);
        if target.addresses.is_empty() {
            self.found.remove(&peer);
        }
    }

    /// Never dial this peer again (it is banned, or no node of this project).
    pub(super) fn forget(&mut self, peer: PeerId) {
        let fixed = self.fixed.iter_mut().filter(|target| target.is(peer));
        fixed.chain(self.found.get_mut(&peer)).for_each(|target| target.state = State::Never);
    }

    /// A connection with `peer` stands; `goal` is the dial that led to it, if it was one of ours.
    pub(super) fn connected(&mut self, peer: PeerId, goal: Option<Goal>, now: Instant) {
        if let Some(Goal::Static(at)) = goal
            && let Some(target) = self.fixed.get_mut(at)
        {
            target.answered = Some(peer);
        }
        let fixed = self.fixed.iter_mut().filter(|target| target.is(peer));
        for target in fixed.chain(self.found.get_mut(&peer)) {
            if !matches!(target.state, State::Up(..) | State::Never) {
                target.state = State::Up(peer, now);
            }
        }
    }

    /// The last connection with `peer` is gone.
    pub(super) fn disconnected(&mut self, peer: PeerId, now: Instant, jitter: f64) {
        for target in self.fixed.iter_mut().chain(self.found.get_mut(&peer)) {
            if let State::Up(up, since) = target.state
                && up == peer
            {
                if now.saturating_duration_since(since) >= limits::STABLE {
                    target.failures = 0;
                }
                target.retry(now, jitter);
            }
        }
    }

    /// A dial led to nothing.
    pub(super) fn failed(&mut self, goal: Goal, miss: Miss, now: Instant, jitter: f64) {
        let Some(target) = self.target(goal) else { return };
        // A connection may have come in by itself while the dial was under way.
        if target.state != State::Trying {
            return;
        }
        match miss {
            Miss::Unreachable => target.retry(now, jitter),
            Miss::Ourselves => target.state = State::Never,
            Miss::Clone => target.state = State::Wait(now + limits::REDIAL_CLONE),
        }
    }

    /// The dials that are due; each is under way from now on, until [`Self::connected`] or [`Self::failed`].
    pub(super) fn due(&mut self, now: Instant, connected: usize) -> Vec<Dial> {
        let mut dials = Vec::new();
        let fixed = self.fixed.iter_mut().enumerate().map(|(at, target)| (Goal::Static(at), target));
        let found = self.found.iter_mut().map(|(peer, target)| (Goal::Found(*peer), target));
        for (goal, target) in fixed.chain(found) {
            if !matches!(target.state, State::Wait(at) if at <= now) {
                continue;
            }
            if matches!(goal, Goal::Found(_)) && connected + dials.len() >= limits::ENOUGH_PEERS {
                target.state = State::Wait(now + limits::ENOUGH_RECHECK);
                continue;
            }
            target.state = State::Trying;
            dials.push(Dial { goal, peer: target.peer, addresses: target.addresses.clone() });
        }
        dials
    }

    /// When [`Self::due`] has something again.
    pub(super) fn wake(&self) -> Option<Instant> {
        let waits = self.fixed.iter().chain(self.found.values()).filter_map(|target| match target.state {
            State::Wait(at) => Some(at),
            _ => None,
        });
        waits.min()
    }

    fn target(&mut self, goal: Goal) -> Option<&mut Target> {
        match goal {
            Goal::Static(at) => self.fixed.get_mut(at),
            Goal::Found(peer) => self.found.get_mut(&peer),
        }
    }
}

/// The wait after `failures` failures in a row: doubling, with half of it random so that a site whose switch came back
/// does not dial in step.
fn back_off(failures: u32, jitter: f64) -> Duration {
    let full = limits::REDIAL_FIRST.saturating_mul(1 << failures.min(16)).min(limits::REDIAL_LONGEST);
    full.mul_f64(0.5 + jitter / 2.0)
}

/// The peer that an address names at its end.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (PeerId, PeerId) {
        let (a, b) = (PeerId::random(), PeerId::random());
        if a < b { (a, b) } else { (b, a) }
    }

    fn at(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn of_two_that_discover_each_other_the_lower_dials_and_the_other_waits_its_grace() {
        let (low, high) = two();
        let now = Instant::now();
        let mut lower = Dialler::new(low, &[], now);
        let mut higher = Dialler::new(high, &[], now);
        lower.found(high, at(1), now, 0.0);
        higher.found(low, at(2), now, 0.0);
        assert_eq!(lower.due(now, 0), [Dial { goal: Goal::Found(high), peer: Some(high), addresses: vec![at(1)] }]);
        assert_eq!(higher.due(now, 0), []);
        assert_eq!(higher.wake(), Some(now + limits::DIAL_GRACE));
        // Nothing came: a firewall on the other side, perhaps.
        assert_eq!(higher.due(now + limits::DIAL_GRACE, 0).len(), 1);
    }

    #[test]
    fn who_is_connected_already_is_not_dialled() {
        let (low, high) = two();
        let now = Instant::now();
        let mut dialler = Dialler::new(high, &[], now);
        dialler.found(low, at(1), now, 0.0);
        dialler.connected(low, None, now);
        assert_eq!(dialler.due(now + limits::DIAL_GRACE, 1), []);
        assert_eq!(dialler.wake(), None);
        // A dial that fails although the connection came from the other side changes nothing.
        dialler.failed(Goal::Found(low), Miss::Unreachable, now, 0.0);
        assert_eq!(dialler.wake(), None);
    }

    #[test]
    fn a_static_peer_is_dialled_for_ever_and_ever_more_slowly() {
        let now = Instant::now();
        let mut dialler = Dialler::new(PeerId::random(), &[at(1)], now);
        let mut clock = now;
        let mut waits = Vec::new();
        for _ in 0..100 {
            let dials = dialler.due(clock, 1000);
            assert_eq!(dials.len(), 1, "static peers are dialled however many connections there are");
            dialler.failed(dials[0].goal, Miss::Unreachable, clock, 1.0);
            let next = dialler.wake().unwrap();
            waits.push(next - clock);
            clock = next;
        }
        assert_eq!(waits[0], limits::REDIAL_FIRST);
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(*waits.last().unwrap(), limits::REDIAL_LONGEST);
    }

    #[test]
    fn the_back_off_is_reset_by_a_lasting_connection_only() {
        let now = Instant::now();
        let peer = PeerId::random();
        let mut dialler = Dialler::new(PeerId::random(), &[at(1)], now);
        let mut flap = |start: Instant, lasts: Duration| {
            let goal = dialler.due(start, 0)[0].goal;
            dialler.connected(peer, Some(goal), start);
            dialler.disconnected(peer, start + lasts, 1.0);
            dialler.wake().unwrap() - (start + lasts)
        };
        let first = flap(now, Duration::ZERO);
        let second = flap(now + Duration::from_secs(100), Duration::ZERO);
        let third = flap(now + Duration::from_secs(200), limits::STABLE);
        assert_eq!(second, first * 2);
        assert_eq!(third, first);
    }

    #[test]
    fn nobody_dials_itself_or_a_copy_of_itself_in_a_loop() {
        let now = Instant::now();
        let me = PeerId::random();
        let mut dialler = Dialler::new(me, &[at(1).with_p2p(me).unwrap(), at(2), at(3)], now);
        dialler.found(me, at(1), now, 0.0);
        let dials = dialler.due(now, 0);
        assert_eq!(dials.iter().map(|dial| dial.goal).collect::<Vec<_>>(), [Goal::Static(1), Goal::Static(2)]);
        dialler.failed(Goal::Static(1), Miss::Ourselves, now, 0.0);
        dialler.failed(Goal::Static(2), Miss::Clone, now, 0.0);
        assert_eq!(dialler.wake(), Some(now + limits::REDIAL_CLONE));
    }

    #[test]
    fn invented_peers_take_bounded_memory_and_no_dials_beyond_enough() {
        let now = Instant::now();
        let mut dialler = Dialler::new(PeerId::random(), &[], now);
        for _ in 0..limits::MAX_FOUND + 10 {
            let peer = PeerId::random();
            (0..20).for_each(|port| dialler.found(peer, at(port), now, 0.0));
        }
        assert_eq!(dialler.found.len(), limits::MAX_FOUND);
        assert!(dialler.found.values().all(|target| target.addresses.len() <= limits::MAX_FOUND_ADDRESSES));
        assert_eq!(dialler.due(now + limits::DIAL_GRACE, 2).len(), limits::ENOUGH_PEERS - 2);
    }

    #[test]
    fn a_banned_peer_and_an_expired_one_are_not_dialled_again() {
        let (low, high) = two();
        let now = Instant::now();
        let mut dialler = Dialler::new(low, &[at(9).with_p2p(high).unwrap()], now);
        let other = PeerId::random();
        dialler.found(high, at(1), now, 0.0);
        dialler.found(other, at(2), now, 0.0);
        dialler.forget(high);
        dialler.lost(other, &at(2));
        assert_eq!(dialler.due(now + limits::DIAL_GRACE, 0), []);
    }
}
