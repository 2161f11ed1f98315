//! Deadlines: what is to be done when nothing happens.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use super::limits::{STUCK_ANYWAY, TICK};
use super::swarm::Swarm;
use super::{Action, Item, Spread};

impl<P: Copy + Ord + Hash + Debug> Spread<P> {
    /// Does what is due, and forgets what nobody needs.
    pub(super) fn keep_house(&mut self) {
        // What all hold is of no more use to anybody.
        let useless = self.items.values().filter(|swarm| !swarm.wants && !swarm.is_wanted());
        for item in useless.map(|swarm| swarm.item).collect::<Vec<Item>>() {
            self.uploads.forget(item);
            self.items.remove(&item);
        }
        if self.due.is_none_or(|due| due > self.now) {
            return;
        }
        self.expire_uploads();
        for item in self.items.keys().copied().collect::<Vec<Item>>() {
            self.expire_fetches(item);
            let stuck = self.items.get(&item).and_then(|swarm| self.stuck_at(swarm));
            if let Some(swarm) = self.items.get_mut(&item)
                && stuck.is_some_and(|at| at <= self.now)
            {
                (swarm.stuck_told, swarm.landed) = (true, self.now);
                self.actions.push(Action::Stuck(item));
            }
        }
    }

    /// When an item is stuck if nothing happens.
    fn stuck_at(&self, swarm: &Swarm<P>) -> Option<Duration> {
        if !swarm.wants {
            return None;
        }
        let anyway = swarm.landed + self.rules.stuck * STUCK_ANYWAY;
        let quiet = match swarm.neighbours.is_empty() {
            true => self.rules.stuck_alone,
            false => self.rules.stuck,
        };
        let quiet = (swarm.incoming.is_empty() && !swarm.stuck_told).then_some(swarm.news + quiet);
        Some(quiet.map_or(anyway, |quiet| quiet.min(anyway)))
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let has_room = self.has_room();
        let of_items = self.items.values().flat_map(|swarm| {
            let hold_back = has_room.then(|| swarm.hold_back_until(self.patience_out(swarm), self.now)).flatten();
            [self.fetches_due(swarm), self.stuck_at(swarm), hold_back]
        });
        let due = of_items.chain([self.uploads_due()]).flatten().min();
        due.map(|due| due.max(self.now + TICK))
    }
}
