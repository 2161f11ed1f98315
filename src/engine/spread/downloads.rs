//! What comes in: which offers to accept, and what to do when it does not come.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::limits::{MAX_SLICES, OVERDUE_SLICES, PROGRESS_SLICES};
use super::swarm::{Incoming, Swarm};
use super::{Action, Bitfield, Failure, Item, Message, Spread, Why};

impl<P: Copy + Ord + Hash + Debug> Spread<P> {
    pub(super) fn want(&mut self, item: Item, sizes: Arc<[u32]>, held: Bitfield) {
        let is_item = (1..=MAX_SLICES).contains(&item.slices) && sizes.len() == item.slices as usize;
        if !is_item || !held.is_for(item.slices) || self.items.get(&item).is_some_and(|swarm| swarm.wants) {
            return;
        }
        self.items.remove(&item).into_iter().for_each(|before| self.hand_over(&before));
        self.take_part(item, held);
        let Some(swarm) = self.items.get_mut(&item) else { return };
        swarm.set_sizes(sizes);
        swarm.wants = !swarm.has_all();
        if !swarm.wants {
            return self.actions.push(Action::Complete(item));
        }
        for peer in self.peers.iter().copied().collect::<Vec<_>>() {
            self.tell(peer, item);
        }
    }

    /// An item that was thought to be held is wanted after all: what is known of the neighbours is kept.
    fn hand_over(&mut self, before: &Swarm<P>) {
        for (&peer, neighbour) in &before.neighbours {
            self.release_all(peer, before.item);
            let held = super::Held::Some(neighbour.held.clone());
            self.heard.note(peer, before.item, held, neighbour.wants, &self.rules);
        }
    }

    pub(super) fn unwant(&mut self, item: Item) {
        let Some(swarm) = self.items.get(&item).filter(|swarm| swarm.wants) else { return };
        let fetches: Vec<(P, u32)> = swarm.fetches().collect();
        let told: Vec<P> = swarm.told.iter().copied().collect();
        fetches.into_iter().for_each(|(from, slice)| self.actions.push(Action::Cancel { from, item, slice }));
        for peer in told {
            self.release_all(peer, item);
            self.send(peer, Message::Leave { item });
        }
        self.items.remove(&item).into_iter().for_each(|before| self.hand_over(&before));
        self.room_again(None);
    }

    pub(super) fn sizes(&mut self, item: Item, sizes: Arc<[u32]>) {
        if let Some(swarm) = self.items.get_mut(&item) {
            swarm.set_sizes(sizes);
        }
    }

    /// A neighbour offers a slice.
    pub(super) fn offered(&mut self, peer: P, item: Item, slice: u32) {
        let answer = self.judge(peer, item, slice);
        let (now, message) = (
            self.now,
            match answer {
                None => Message::Accept { item, slice },
                Some(why) => Message::Decline { item, slice, why },
            },
        );
        self.send(peer, message);
        let Some(swarm) = self.items.get_mut(&item) else { return };
        match answer {
            None => {
                swarm.news(now);
                let incoming =
                    Incoming { from: peer, since: now, moved: now, open: false, got: 0, size: swarm.size(slice) };
                swarm.incoming.entry(slice).or_default().push(incoming);
                let others = swarm.neighbours.iter_mut().filter(|(other, _)| **other != peer);
                // They leave this node alone until they hear from it.
                let others = others.map(|(&other, neighbour)| (other, neighbour.put_off = true).0).collect::<Vec<P>>();
                self.actions.push(Action::Fetch { from: peer, item, slice });
                others.into_iter().for_each(|other| self.send(other, Message::Coming { item, slice }));
            }
            Some(Why::Busy | Why::Coming) => swarm.neighbour(peer, now).put_off = true,
            Some(Why::Held | Why::Unwanted) => {}
        }
    }

    /// Why an offer is declined, if it is.
    fn judge(&self, peer: P, item: Item, slice: u32) -> Option<Why> {
        let Some(swarm) = self.items.get(&item) else { return Some(Why::Unwanted) };
        if swarm.held.has(slice) {
            return Some(Why::Held);
        }
        let neighbour = swarm.neighbours.get(&peer);
        if !swarm.wants || neighbour.is_some_and(|neighbour| !neighbour.is_trusted()) {
            return Some(Why::Unwanted);
        }
        let better =
            swarm.neighbours.values().any(|other| other.held.has(slice) && other.is_trusted() && !other.is_slow());
        if better && neighbour.is_some_and(|neighbour| neighbour.is_slow()) {
            return Some(Why::Coming);
        }
        if let Some(incoming) = swarm.incoming.get(&slice) {
            let second = incoming.len() == 1 && incoming[0].open && incoming[0].from != peer && swarm.ends();
            return (!second).then_some(Why::Coming);
        }
        (!self.takes(swarm, slice)).then_some(Why::Busy)
    }

    /// Whether one more slice may come in.
    fn takes(&self, swarm: &Swarm<P>, slice: u32) -> bool {
        let all: usize = self.items.values().map(|swarm| swarm.incoming.len()).sum();
        let bytes = |swarm: &Swarm<P>| swarm.incoming.keys().map(|&slice| swarm.size(slice)).sum::<u64>();
        let bytes = self.items.values().map(bytes).sum::<u64>() + swarm.size(slice);
        let window = match swarm.is_pair() {
            true => self.rules.window_bytes,
            false => self.down.carries(self.rules.crowd_window).min(self.rules.window_bytes),
        };
        let fetches = self.items.values().flat_map(|swarm| swarm.incoming.values().flatten());
        let runs = fetches.filter(|fetch| !self.is_nearly_there(fetch)).count() > 0;
        (!runs && all < self.rules.slices_in)
            || bytes <= window
            || (swarm.incoming.is_empty() && all < self.rules.slices_in_all)
    }

    fn is_nearly_there(&self, fetch: &Incoming<P>) -> bool {
        fetch.open || fetch.is_nearly_in(self.rules.ahead_in, self.down.carries(self.rules.lead))
    }

    pub(super) fn landed(&mut self, item: Item, slice: u32) {
        let now = self.now;
        let Some(swarm) = self.items.get_mut(&item).filter(|swarm| swarm.wants && slice < item.slices) else { return };
        let ended = swarm.incoming.remove(&slice).unwrap_or_default();
        if !swarm.held.set(slice) {
            return;
        }
        swarm.count += 1;
        swarm.landed = now;
        swarm.news(now);
        if let [one] = ended[..] {
            let took = now.saturating_sub(one.since);
            swarm.pace = Some(swarm.pace.map_or(took, |pace| (pace * 3 + took) / 4));
            swarm.neighbour(one.from, now).stalls = 0;
        }
        let complete = swarm.has_all();
        swarm.wants = !complete;
        if swarm.incoming.is_empty() {
            swarm.neighbours.values_mut().for_each(|neighbour| neighbour.put_off = false);
        }
        let others: Vec<P> = swarm.neighbours.keys().copied().collect();
        if let [first, second] = ended[..] {
            // From which of them it came is not known here.
            for from in [first.from, second.from] {
                self.actions.push(Action::Cancel { from, item, slice });
            }
        }
        others.into_iter().for_each(|peer| self.send(peer, Message::Got { item, slice }));
        if complete {
            self.actions.push(Action::Complete(item));
        }
        self.room_again(Some(item));
    }

    pub(super) fn failed(&mut self, from: P, item: Item, slice: u32, failure: Failure) {
        let now = self.now;
        if !self.stop(from, item, slice) {
            return;
        }
        if let Some(swarm) = self.items.get_mut(&item)
            && failure != Failure::Broken
        {
            let neighbour = swarm.neighbour(from, now);
            neighbour.false_offers = neighbour.false_offers.saturating_add(1);
        }
        self.again(from, item, slice);
    }

    /// A fetch is over without its slice. `false` if there was none.
    fn stop(&mut self, from: P, item: Item, slice: u32) -> bool {
        let Some(swarm) = self.items.get_mut(&item) else { return false };
        let Some(fetches) = swarm.incoming.get_mut(&slice) else { return false };
        let before = fetches.len();
        fetches.retain(|fetch| fetch.from != from);
        let stopped = fetches.len() < before;
        if fetches.is_empty() {
            swarm.incoming.remove(&slice);
        }
        stopped
    }

    /// A slice that was coming does not come: the one that was to send it hears so, and those that were put off may offer it.
    fn again(&mut self, from: P, item: Item, slice: u32) {
        self.send(from, Message::Decline { item, slice, why: Why::Coming });
        if let Some(swarm) = self.items.get_mut(&item) {
            // Others have their turn now.
            swarm.news(self.now);
            // It is to say so itself that it has it again.
            swarm.neighbour(from, self.now).put_off = false;
        }
        self.room_again(None);
    }

    /// There is room for one more slice: who was put off and does not hear of that otherwise is told.
    fn room_again(&mut self, landed: Option<Item>) {
        let hears = |peer: &P| {
            let swarm = landed.and_then(|item| self.items.get(&item));
            swarm.is_some_and(|swarm| swarm.neighbours.contains_key(peer))
        };
        let mut tell: Vec<(P, Item)> = Vec::new();
        for swarm in self.items.values().filter(|swarm| swarm.wants) {
            let put_off = swarm.neighbours.iter().filter(|(peer, neighbour)| neighbour.put_off && !hears(peer));
            tell.extend(put_off.map(|(&peer, _)| (peer, swarm.item)));
        }
        tell.into_iter().for_each(|(peer, item)| self.tell(peer, item));
    }

    /// Stops all that is coming of an item from a neighbour.
    pub(super) fn drop_fetches(&mut self, from: P, item: Item) {
        let Some(swarm) = self.items.get(&item) else { return };
        let slices: Vec<u32> = swarm.fetches().filter(|fetch| fetch.0 == from).map(|fetch| fetch.1).collect();
        for &slice in &slices {
            self.stop(from, item, slice);
            self.actions.push(Action::Cancel { from, item, slice });
        }
        if let Some(swarm) = self.items.get_mut(&item)
            && !slices.is_empty()
        {
            swarm.neighbour(from, self.now).put_off = false;
            self.room_again(None);
        }
    }

    pub(super) fn moved(&mut self, peer: P, sent: u64, received: u64) {
        if sent > 0 {
            self.sent(peer, sent);
        }
        if received > 0 {
            self.down.moved(received, self.now);
            self.received(peer, received);
        }
    }

    /// Bytes came from a neighbour: all that comes from it moves, and what was asked for first is what comes.
    fn received(&mut self, peer: P, bytes: u64) {
        let (rules, lead) = (self.rules, self.down.carries(self.rules.lead));
        let fetches = self.items.values_mut().flat_map(|swarm| swarm.incoming.values_mut().flatten());
        let mut fetches: Vec<&mut Incoming<P>> = fetches.filter(|fetch| fetch.from == peer).collect();
        fetches.sort_by_key(|fetch| fetch.since);
        let (mut left, mut ready) = (bytes, false);
        for fetch in fetches {
            let nearly = |fetch: &Incoming<P>| fetch.is_nearly_in(rules.ahead_in, lead);
            let before = nearly(fetch);
            let part = left.min(fetch.size - fetch.got);
            (fetch.moved, fetch.got, left) = (self.now, fetch.got + part, left - part);
            // What is all here is heard of in a moment.
            ready |= !before && nearly(fetch) && fetch.got < fetch.size;
        }
        let coming: usize = self.items.values().map(|swarm| swarm.incoming.len()).sum();
        if !ready || coming >= self.rules.slices_in {
            return;
        }
        let mut tell: Vec<(P, Item)> = Vec::new();
        for swarm in self.items.values().filter(|swarm| swarm.wants && !swarm.is_pair()) {
            let holders = swarm.neighbours.iter().filter(|(_, neighbour)| neighbour.count > 0);
            tell.extend(holders.map(|(&peer, _)| (peer, swarm.item)));
        }
        tell.into_iter().for_each(|(peer, item)| self.send(peer, Message::Ready { item }));
    }

    /// How long a fetch of so many bytes may stand still.
    fn patience(&self, bytes: u64) -> Duration {
        self.rules.progress.max(self.down.takes(bytes).unwrap_or_default() * PROGRESS_SLICES)
    }

    /// When the next fetch has stood still for too long, or is overdue.
    pub(super) fn fetches_due(&self, swarm: &Swarm<P>) -> Option<Duration> {
        let fetches = swarm.incoming.iter().flat_map(|(&slice, fetches)| fetches.iter().map(move |one| (slice, one)));
        fetches
            .flat_map(|(slice, one)| {
                let late = one.moved + self.patience(swarm.size(slice));
                [Some(late), self.overdue(swarm, slice)]
            })
            .flatten()
            .min()
    }

    /// When a fetch takes so long that others need not wait for it any more.
    fn overdue(&self, swarm: &Swarm<P>, slice: u32) -> Option<Duration> {
        match swarm.incoming.get(&slice)?.as_slice() {
            [one] if !one.open => Some(match swarm.pace {
                Some(pace) => one.since + pace * OVERDUE_SLICES + self.rules.overdue,
                None => one.moved + self.rules.overdue * 2,
            }),
            _ => None,
        }
    }

    /// Ends fetches that stand still. Past those that are overdue others come in, and in the end game the same ones a second time.
    pub(super) fn expire_fetches(&mut self, item: Item) {
        let Some(swarm) = self.items.get(&item) else { return };
        let (mut late, mut open) = (Vec::new(), Vec::new());
        for (&slice, fetches) in &swarm.incoming {
            let patience = self.patience(swarm.size(slice));
            late.extend(fetches.iter().filter(|one| one.moved + patience <= self.now).map(|one| (one.from, slice)));
            open.extend(self.overdue(swarm, slice).filter(|&due| due <= self.now).map(|_| slice));
        }
        for (from, slice) in late {
            self.stop(from, item, slice);
            self.actions.push(Action::Cancel { from, item, slice });
            if let Some(swarm) = self.items.get_mut(&item) {
                let neighbour = swarm.neighbour(from, self.now);
                neighbour.stalls = neighbour.stalls.saturating_add(1);
            }
            self.again(from, item, slice);
        }
        let Some(swarm) = self.items.get_mut(&item).filter(|_| !open.is_empty()) else { return };
        for slice in &open {
            swarm.incoming.get_mut(slice).into_iter().flatten().for_each(|one| one.open = true);
        }
        let holders = swarm.neighbours.iter().filter(|(_, neighbour)| neighbour.count > 0);
        let holders: Vec<P> = holders.map(|(&peer, _)| peer).collect();
        holders.into_iter().for_each(|peer| self.tell(peer, item));
    }
}

impl<P: Copy + Ord> Swarm<P> {
    /// Whether all that is missing is coming.
    fn ends(&self) -> bool {
        self.incoming.len() == (self.item.slices - self.count) as usize
    }

    /// What is coming, and from whom.
    pub(super) fn fetches(&self) -> impl Iterator<Item = (P, u32)> {
        self.incoming.iter().flat_map(|(&slice, fetches)| fetches.iter().map(move |one| (one.from, slice)))
    }
}
