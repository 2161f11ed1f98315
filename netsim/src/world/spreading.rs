//! A node that spreads items with the engine of the product, and nodes that only pretend to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use modswarm::engine::spread::{self, Action, Bitfield, Event, Held, Item, Message, Rules, Spread};

use super::{Failure, Input, Machine, NodeId, Output, Outputs};

/// How a node behaves towards others.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Conduct {
    /// As it should.
    #[default]
    Honest,
    /// Offers what it does not have.
    Boaster,
    /// Takes, and never says that it got anything.
    Drain,
    /// Accepts offers, and never asks for the bytes.
    Idler,
}

/// What is spread in a world.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Its name.
    pub(crate) item: Item,
    /// Bytes of its slices.
    pub(crate) sizes: Arc<[u32]>,
}

impl Load {
    /// One of so many slices of the same size; the number tells it from others.
    pub(crate) fn even(number: u8, slices: u32, bytes: u32) -> Self {
        let manifest = spread_name(number);
        let item = Item { manifest, part: spread::Part::Chunks, slices };
        Self { item, sizes: vec![bytes; slices as usize].into() }
    }

    /// Bytes of all slices.
    pub(crate) fn bytes(&self) -> u64 {
        self.sizes.iter().map(|&size| u64::from(size)).sum()
    }
}

fn spread_name(number: u8) -> modswarm::domain::manifest::ManifestId {
    modswarm::domain::blob::BlobId::of(&[number])
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    spread: Spread<NodeId>,
    conduct: Conduct,
    /// What is on its disk.
    disk: BTreeMap<Item, (Load, Bitfield)>,
    /// When it had all of each item that it wanted.
    pub(crate) complete: BTreeMap<Item, Duration>,
    /// When it was told that an item is stuck.
    pub(crate) stuck: Vec<(Item, Duration)>,
    /// Whom it blamed for what.
    pub(crate) blamed: Vec<(NodeId, &'static str)>,
    wanted: usize,
}

impl Node {
    /// One that holds nothing.
    pub(crate) fn new(rules: Rules, seed: u64, conduct: Conduct) -> Self {
        Self {
            spread: Spread::new(rules, seed),
            conduct,
            disk: BTreeMap::new(),
            complete: BTreeMap::new(),
            stuck: Vec::new(),
            blamed: Vec::new(),
            wanted: 0,
        }
    }

    /// Puts all of an item on its disk.
    pub(crate) fn hold(&mut self, load: &Load) {
        self.disk.insert(load.item, (load.clone(), Bitfield::all(load.item.slices)));
    }

    /// The same machine after a restart: what is on its disk, and nothing else.
    pub(crate) fn restarted(self, rules: Rules, seed: u64) -> Self {
        Self { disk: self.disk, ..Self::new(rules, seed, self.conduct) }
    }

    /// How many slices of an item are on its disk.
    pub(crate) fn holds(&self, item: Item) -> u32 {
        self.disk.get(&item).map_or(0, |(_, held)| held.count())
    }

    /// It comes to want an item, beginning with what is on its disk.
    pub(crate) fn want(&mut self, load: &Load, now: Duration) -> Outputs<Self> {
        self.wanted += 1;
        let none = || (load.clone(), Bitfield::none(load.item.slices));
        let (_, held) = self.disk.entry(load.item).or_insert_with(none);
        let event = Event::Want { item: load.item, sizes: Arc::clone(&load.sizes), held: held.clone() };
        self.event(event, now)
    }

    fn event(&mut self, event: Event<NodeId>, now: Duration) -> Outputs<Self> {
        let mut outputs = Vec::new();
        let mut actions = self.spread.handle(event, now);
        actions.reverse();
        while let Some(action) = actions.pop() {
            match action {
                Action::Send(to, message) => outputs.extend(self.say(to, message)),
                Action::Look(item) => {
                    let all = self.conduct == Conduct::Boaster || self.holds(item) == item.slices;
                    let mut more = self.spread.handle(Event::Looked { item, all }, now);
                    if let Some((load, _)) = self.disk.get(&item).filter(|_| all) {
                        let sizes = Arc::clone(&load.sizes);
                        more.extend(self.spread.handle(Event::Sizes { item, sizes }, now));
                    }
                    actions.extend(more.into_iter().rev());
                }
                Action::Fetch { .. } if self.conduct == Conduct::Idler => {}
                Action::Fetch { from, item, slice } => outputs.push(Output::Fetch { from, bulk: (item, slice) }),
                Action::Cancel { from, item, slice } => outputs.push(Output::Cancel { from, bulk: (item, slice) }),
                Action::Complete(item) => {
                    self.complete.insert(item, now);
                    if self.complete.len() == self.wanted {
                        outputs.push(Output::Done);
                    }
                }
                Action::Stuck(item) => self.stuck.push((item, now)),
                Action::Blame(peer, why) => self.blamed.push((peer, why)),
            }
        }
        outputs
    }

    /// What it says in the end, if it is not honest.
    fn say(&self, to: NodeId, message: Message) -> Option<Output<Message, (Item, u32)>> {
        let message = match (self.conduct, message) {
            (Conduct::Drain, Message::Got { .. }) => return None,
            (Conduct::Drain, Message::Have { item, .. }) => {
                Message::Have { item, held: Held::Some(Bitfield::none(item.slices)), wants: true }
            }
            (_, message) => message,
        };
        Some(Output::Send { to, bytes: bytes(&message), message })
    }
}

/// Bytes of a message on the wire, about: the item's name, and what else there is.
fn bytes(message: &Message) -> u64 {
    let more = match message {
        Message::Have { held: Held::Some(_), item, .. } => 4 + u64::from(item.slices.div_ceil(8)),
        Message::Have { .. } => 2,
        Message::Leave { .. } | Message::Ready { .. } => 0,
        Message::Got { .. } | Message::Offer { .. } | Message::Accept { .. } | Message::Coming { .. } => 2,
        Message::Decline { .. } => 3,
    };
    40 + more
}

impl Machine for Node {
    type Message = Message;
    type Bulk = (Item, u32);

    fn handle(&mut self, input: Input<Message, (Item, u32)>, now: Duration) -> Outputs<Self> {
        let event = match input {
            Input::PeerUp(peer) => Event::PeerUp(peer),
            Input::PeerDown(peer) => Event::PeerDown(peer),
            Input::Message(from, message) => Event::Message(from, message),
            Input::Moved { peer, sent, received } => Event::Moved { peer, sent, received },
            Input::Landed { bulk: (item, slice), .. } => {
                if let Some((_, held)) = self.disk.get_mut(&item) {
                    held.set(slice);
                }
                Event::Landed { item, slice }
            }
            Input::Failed { from, bulk: (item, slice), failure } => {
                let failure = match failure {
                    Failure::Missing => spread::Failure::Missing,
                    Failure::Broken => spread::Failure::Broken,
                    Failure::Forged => spread::Failure::Forged,
                };
                Event::Failed { from, item, slice, failure }
            }
            Input::Tick => Event::Tick,
        };
        self.event(event, now)
    }

    fn deadline(&self) -> Option<Duration> {
        self.spread.deadline()
    }

    fn serves(&self, (item, slice): (Item, u32)) -> Option<u64> {
        let (load, held) = self.disk.get(&item)?;
        held.has(slice).then(|| load.sizes.get(slice as usize).map(|&size| u64::from(size)))?
    }
}
