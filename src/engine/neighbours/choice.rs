//! What is due: dials, questions, and neighbours that are let go.

use std::hash::Hash;
use std::time::Duration;

use rand::Rng as _;
use rand::seq::IteratorRandom as _;

use super::{Action, Goal, How, Known, Neighbours, Standing, limits};

impl<P: Copy + Ord + Hash, A: Clone + Eq + Hash> Neighbours<P, A> {
    /// When [`Event::Tick`](super::Event::Tick) is wanted next; never in the past after [`Neighbours::handle`].
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let fixed = self.fixed.iter().filter_map(|target| waits(target.standing)).min();
        let pick = self.next_candidate.filter(|_| self.wants_pick()).map(|at| at.max(self.next_pick));
        let ask = (self.seeking() && !self.up.is_empty()).then_some(self.next_ask);
        let trim = self.over_since.map(|since| (since + limits::TRIM_AFTER).max(self.next_trim));
        [fixed, pick, ask, trim].into_iter().flatten().min()
    }

    /// Whether more neighbours are wanted than there are.
    #[must_use]
    pub fn seeking(&self) -> bool {
        self.degree() < limits::TARGET
    }

    /// Neighbours, static ones not counted.
    #[must_use]
    pub fn degree(&self) -> usize {
        self.up.iter().filter(|(peer, up)| !up.closing && !self.is_fixed(**peer)).count()
    }

    /// How a peer was found, if it was.
    #[must_use]
    pub fn how(&self, peer: &P) -> Option<How> {
        self.found.get(peer).and_then(|target| target.how)
    }

    /// Everybody who is known of, for people.
    #[must_use]
    pub fn known(&self) -> Vec<Known<P, A>> {
        let fixed = self.fixed.iter().enumerate().map(|(at, target)| (Goal::Static(at), target));
        let found = self.found.iter().map(|(peer, target)| (Goal::Found(*peer), target));
        let known = |(goal, target): (Goal<P>, &super::Target<P, A>)| Known {
            peer: target.peer.or(target.answered),
            addresses: target.addresses.clone(),
            how: target.how,
            goal,
            standing: target.standing,
            failures: target.failures,
        };
        fixed.chain(found).map(known).collect()
    }

    pub(super) fn act(&mut self, now: Duration) -> Vec<Action<P, A>> {
        let mut actions = Vec::new();
        for (at, target) in self.fixed.iter_mut().enumerate() {
            if matches!(target.standing, Standing::Wait(due) if due <= now) {
                target.standing = Standing::Trying;
                let (goal, addresses) = (Goal::Static(at), target.addresses.clone());
                actions.push(Action::Dial { goal, peer: target.peer, addresses });
            }
        }
        if now >= self.next_pick && self.next_candidate.is_some_and(|at| at <= now) && self.wants_pick() {
            actions.extend(self.pick(now));
        }
        actions.extend(self.trim(now));
        actions.extend(self.ask(now));
        actions
    }

    fn wants_pick(&self) -> bool {
        let neighbours = || self.up.iter().filter(|(peer, up)| !up.closing && !self.is_fixed(**peer));
        let own = neighbours().filter(|(_, up)| up.own).count();
        let trying = self.trying.len();
        let all = neighbours().count() + trying;
        let wanted = all < limits::TARGET || (own + trying < limits::OWN_LEAST && all < limits::HIGH);
        wanted && trying < limits::DIALS_AT_ONCE && own + trying < limits::OWN_MOST
    }

    /// A random candidate; a remembered one only when there is no other.
    fn pick(&mut self, now: Duration) -> Option<Action<P, A>> {
        let due = |target: &super::Target<P, A>| matches!(target.standing, Standing::Wait(at) if at <= now);
        let candidates = || self.found.iter().filter(|(_, target)| due(target));
        let fresh = candidates().filter(|(_, target)| target.how != Some(How::Remembered)).map(|(peer, _)| *peer);
        let mut rng = self.rng.clone();
        let chosen = fresh.choose(&mut rng).or_else(|| candidates().map(|(peer, _)| *peer).choose(&mut rng));
        self.rng = rng;
        let rest = self.found.iter().filter(|(peer, _)| Some(**peer) != chosen);
        self.next_candidate = rest.filter_map(|(_, target)| waits(target.standing)).min();
        let chosen = chosen?;
        self.trying.insert(chosen);
        self.next_pick = now + self.spread().max(Duration::from_millis(1));
        let target = self.found.get_mut(&chosen)?;
        target.standing = Standing::Trying;
        // The newest address first.
        let addresses = target.addresses.iter().rev().cloned().collect();
        Some(Action::Dial { goal: Goal::Found(chosen), peer: Some(chosen), addresses })
    }

    fn trim(&mut self, now: Duration) -> Option<Action<P, A>> {
        if self.degree() <= limits::HIGH {
            self.over_since = None;
            return None;
        }
        let since = *self.over_since.get_or_insert(now);
        if now < (since + limits::TRIM_AFTER).max(self.next_trim) {
            return None;
        }
        self.next_trim = now + limits::TRIM_EVERY.mul_f64(0.5 + self.rng.random::<f64>());
        let mut rng = self.rng.clone();
        let surplus = self.up.iter().filter(|(peer, up)| {
            let idle = now.saturating_sub(up.used) >= limits::TRIM_IDLE;
            idle && !up.closing && !up.needs_us && !self.is_fixed(**peer)
        });
        let chosen = surplus.map(|(peer, _)| *peer).choose(&mut rng);
        self.rng = rng;
        let chosen = chosen?;
        self.up.get_mut(&chosen)?.closing = true;
        self.trimmed.retain(|_, at| now < *at + limits::TRIM_REST);
        if self.trimmed.len() >= limits::MAX_TRIMMED {
            self.trimmed.pop_first();
        }
        self.trimmed.insert(chosen, now);
        Some(Action::Close(chosen))
    }

    fn ask(&mut self, now: Duration) -> Option<Action<P, A>> {
        if now < self.next_ask || !self.seeking() {
            return None;
        }
        let chosen = self.up.keys().copied().choose(&mut self.rng)?;
        self.next_ask = now + self.ask_wait.mul_f64(0.75 + self.rng.random::<f64>() / 2.0);
        self.ask_wait = (self.ask_wait * 2).min(limits::ASK_LONGEST);
        Some(Action::Ask(chosen))
    }
}

fn waits(standing: Standing) -> Option<Duration> {
    match standing {
        Standing::Wait(at) => Some(at),
        _ => None,
    }
}
