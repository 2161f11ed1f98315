//! What neighbours say: who has what, who wants what.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use super::limits::{LOOK_AGAIN, MAX_SLICES};
use super::swarm::Swarm;
use super::{Action, Bitfield, Held, Item, Message, Rules, Spread};

/// What neighbours have said of items in which this node has no part: it may come to want them soon.
#[derive(Debug)]
pub(super) struct Heard<P> {
    items: BTreeMap<Item, Said<P>>,
    /// Of which items each neighbour has spoken, the longest ago first.
    by: BTreeMap<P, VecDeque<Item>>,
}

/// What was said of one item.
#[derive(Debug)]
struct Said<P> {
    by: BTreeMap<P, (Held, bool)>,
    /// Until when it need not be looked for.
    looked: Option<Duration>,
}

impl<P> Default for Heard<P> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), by: BTreeMap::new() }
    }
}

impl<P: Copy + Ord> Heard<P> {
    /// Notes what a neighbour has said; the oldest goes for it where a bound is reached.
    pub(super) fn note(&mut self, peer: P, item: Item, held: Held, wants: bool, rules: &Rules) {
        let said = self.items.entry(item).or_insert_with(|| Said { by: BTreeMap::new(), looked: None });
        if said.by.insert(peer, (held, wants)).is_none() {
            let by = self.by.entry(peer).or_default();
            by.push_back(item);
            if by.len() > rules.heard_per_peer.max(1)
                && let Some(oldest) = by.front().copied()
            {
                self.forget(peer, oldest);
            }
        }
        // The one that has said most pays.
        while self.by.values().map(VecDeque::len).sum::<usize>() > rules.heard.max(1) {
            let most = self.by.iter().max_by_key(|(_, items)| items.len());
            let Some((peer, oldest)) = most.and_then(|(&peer, items)| Some((peer, *items.front()?))) else { break };
            self.forget(peer, oldest);
        }
    }

    fn forget(&mut self, peer: P, item: Item) {
        if let Some(said) = self.items.get_mut(&item) {
            said.by.remove(&peer);
            if said.by.is_empty() {
                self.items.remove(&item);
            }
        }
        if let Some(by) = self.by.get_mut(&peer) {
            by.retain(|&one| one != item);
            if by.is_empty() {
                self.by.remove(&peer);
            }
        }
    }

    fn forget_peer(&mut self, peer: P) {
        for item in self.by.remove(&peer).unwrap_or_default() {
            self.forget(peer, item);
        }
    }

    /// All that was said of an item, which is not noted here any more.
    pub(super) fn take(&mut self, item: Item) -> BTreeMap<P, (Held, bool)> {
        let said = self.items.remove(&item).map(|said| said.by).unwrap_or_default();
        for peer in said.keys() {
            if let Some(by) = self.by.get_mut(peer) {
                by.retain(|&one| one != item);
                if by.is_empty() {
                    self.by.remove(peer);
                }
            }
        }
        said
    }

    /// How many times something is noted.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.items.values().map(|said| said.by.len()).sum()
    }
}

impl<P: Copy + Ord + Hash + Debug> Spread<P> {
    pub(super) fn peer_up(&mut self, peer: P) {
        if !self.peers.insert(peer) {
            return;
        }
        let wanted: Vec<Item> = self.items.values().filter(|swarm| swarm.wants).map(|swarm| swarm.item).collect();
        wanted.into_iter().for_each(|item| self.tell(peer, item));
    }

    pub(super) fn peer_down(&mut self, peer: P) {
        if !self.peers.remove(&peer) {
            return;
        }
        self.heard.forget_peer(peer);
        for item in self.items.keys().copied().collect::<Vec<_>>() {
            self.leave(peer, item);
        }
    }

    /// Tells a neighbour what is held of an item.
    pub(super) fn tell(&mut self, peer: P, item: Item) {
        let Some(swarm) = self.items.get_mut(&item).filter(|_| self.peers.contains(&peer)) else { return };
        swarm.told.insert(peer);
        if let Some(neighbour) = swarm.neighbours.get_mut(&peer) {
            neighbour.put_off = false;
        }
        let have = swarm.have();
        self.send(peer, have);
    }

    pub(super) fn message(&mut self, peer: P, message: Message) {
        if !self.peers.contains(&peer) {
            return;
        }
        let item = message.item();
        if item.slices == 0 || item.slices > MAX_SLICES {
            return self.blame(peer, "spoke of an item of no slices, or of too many");
        }
        match message {
            Message::Have { held, wants, .. } => self.have(peer, item, held, wants),
            Message::Leave { .. } => {
                self.heard.forget(peer, item);
                self.leave(peer, item);
            }
            Message::Got { slice, .. }
            | Message::Offer { slice, .. }
            | Message::Accept { slice, .. }
            | Message::Coming { slice, .. }
            | Message::Decline { slice, .. }
                if slice >= item.slices =>
            {
                self.blame(peer, "spoke of a slice that the item does not have");
            }
            Message::Coming { slice, .. } => self.coming(peer, item, slice),
            Message::Ready { .. } => self.ready(peer),
            Message::Got { slice, .. } => self.got(peer, item, slice),
            Message::Offer { slice, .. } => self.offered(peer, item, slice),
            Message::Accept { slice, .. } => self.accepted(peer, item, slice),
            Message::Decline { slice, why, .. } => self.declined(peer, item, slice, why),
        }
    }

    fn have(&mut self, peer: P, item: Item, held: Held, wants: bool) {
        if let Held::Some(held) = &held
            && !held.is_for(item.slices)
        {
            return self.blame(peer, "sent a bitfield of the wrong length");
        }
        let Some(swarm) = self.items.get_mut(&item) else {
            return self.unknown(peer, item, held, wants);
        };
        let first = !swarm.neighbours.contains_key(&peer);
        if swarm.says(peer, &held, wants, self.now) {
            swarm.news(self.now);
        }
        // One that wants it has perhaps forgotten what it was told when it did not.
        let answer = !swarm.told.contains(&peer) || (first && wants);
        self.release_held(peer, item);
        if answer {
            self.tell(peer, item);
        }
    }

    /// Something was said of an item in which this node has no part.
    fn unknown(&mut self, peer: P, item: Item, held: Held, wants: bool) {
        self.heard.note(peer, item, held, wants, &self.rules);
        let now = self.now;
        if let Some(said) = self.heard.items.get_mut(&item)
            && wants
            && said.looked.is_none_or(|until| until <= now)
        {
            said.looked = Some(now + LOOK_AGAIN);
            self.actions.push(Action::Look(item));
        }
    }

    pub(super) fn looked(&mut self, item: Item, all: bool) {
        if !all || item.slices == 0 || item.slices > MAX_SLICES || self.items.contains_key(&item) {
            return;
        }
        self.take_part(item, Bitfield::all(item.slices));
        let wanting = self.items[&item].neighbours.iter().filter(|(_, neighbour)| neighbour.wants);
        let wanting: Vec<P> = wanting.map(|(&peer, _)| peer).collect();
        wanting.into_iter().for_each(|peer| self.tell(peer, item));
    }

    /// Begins with an item, knowing what was said of it.
    pub(super) fn take_part(&mut self, item: Item, held: Bitfield) {
        let mut swarm = Swarm::new(item, held, self.now);
        for (peer, (held, wants)) in self.heard.take(item) {
            swarm.says(peer, &held, wants, self.now);
        }
        // It takes its turn from now on, rather than making up for the past.
        swarm.given = self.items.values().map(|other| other.given).min().unwrap_or(0);
        self.items.insert(item, swarm);
    }

    /// A neighbour takes one more, of whatever it was offered.
    fn ready(&mut self, peer: P) {
        for swarm in self.items.values_mut() {
            if let Some(neighbour) = swarm.neighbours.get_mut(&peer) {
                neighbour.busy = false;
            }
        }
    }

    /// A neighbour gets a slice from somebody else.
    fn coming(&mut self, peer: P, item: Item, slice: u32) {
        let neighbour = self.items.get_mut(&item).and_then(|swarm| swarm.neighbours.get_mut(&peer));
        if let Some(neighbour) = neighbour {
            neighbour.coming.set(slice);
            neighbour.busy = true;
        }
    }

    fn got(&mut self, peer: P, item: Item, slice: u32) {
        self.ready(peer);
        let Some(swarm) = self.items.get_mut(&item) else { return };
        if !swarm.neighbours.contains_key(&peer) {
            return;
        }
        if swarm.got(peer, slice, self.now) {
            swarm.news(self.now);
        } else {
            self.blame(peer, "got the same slice twice");
        }
        self.release(peer, item, slice);
    }

    /// A neighbour takes no part in an item any more, or is gone.
    fn leave(&mut self, peer: P, item: Item) {
        self.release_all(peer, item);
        self.drop_fetches(peer, item);
        if let Some(swarm) = self.items.get_mut(&item) {
            swarm.leaves(peer);
            swarm.told.remove(&peer);
        }
    }
}
