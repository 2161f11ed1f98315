//! The task that owns the engine: turns what happens into its events, and does what it says.
//!
//! `run` waits; nothing else in here does.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::fetching::{self, Fetched, Shortfall};
use super::lane::LaneTask;
use super::{Ended, Holdings, Landing, Network, Order, Report, limits};
use crate::domain::blob::BlobId;
use crate::engine::spread::{Action, Bitfield, Event, Failure, Item, Message, Rules, Spread};

/// What comes from the streams.
pub(super) enum Input {
    /// A neighbour said something.
    Said(PeerId, Message),
    /// A lane could not be opened, or broke.
    Broken { peer: PeerId, lane: u64 },
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) network: Network,
    pub(super) holdings: Arc<dyn Holdings>,
    pub(super) rules: Rules,
    pub(super) inputs: mpsc::Sender<Input>,
}

struct Lane {
    number: u64,
    messages: mpsc::Sender<Message>,
}

/// An item that this node wants.
struct Wanted {
    lacks: Vec<Vec<(BlobId, u32)>>,
    sink: mpsc::Sender<Landing>,
    done: oneshot::Sender<Report>,
    senders: BTreeSet<PeerId>,
    since: Instant,
}

/// One fetch: from whom, of what, which slice.
type Key = (PeerId, Item, u32);

pub(super) struct Driver {
    network: Network,
    holdings: Arc<dyn Holdings>,
    inputs: mpsc::Sender<Input>,
    engine: Spread<PeerId>,
    begun: Instant,
    neighbours: HashSet<PeerId>,
    lanes: HashMap<PeerId, Lane>,
    wanted: HashMap<Item, Wanted>,
    fetches: JoinSet<(Key, u64, Fetched)>,
    /// The fetches that the engine counts on, each with its number: what an older one of the same key brings is old.
    running: HashMap<Key, (u64, AbortHandle)>,
    looks: JoinSet<(Item, Option<u64>)>,
    turns: Arc<Semaphore>,
    /// Bytes sent and received of each neighbour that the engine knows of.
    moved: HashMap<PeerId, (u64, u64)>,
    events: VecDeque<Event<PeerId>>,
    numbers: u64,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            network: parts.network,
            holdings: parts.holdings,
            inputs: parts.inputs,
            engine: Spread::new(parts.rules, rand::random()),
            begun: Instant::now(),
            neighbours: HashSet::new(),
            lanes: HashMap::new(),
            wanted: HashMap::new(),
            fetches: JoinSet::new(),
            running: HashMap::new(),
            looks: JoinSet::new(),
            turns: Arc::new(Semaphore::new(limits::LOOKS)),
            moved: HashMap::new(),
            events: VecDeque::new(),
            numbers: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut inputs: mpsc::Receiver<Input>,
        stop: CancellationToken,
    ) {
        let mut connected = self.network.connected.clone();
        let mut every = interval(limits::MOVED);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.meet();
        loop {
            let due = self.engine.deadline().map(|deadline| self.begun + deadline);
            let at = due.unwrap_or_else(Instant::now);
            let active = due.is_some() || !self.wanted.is_empty();
            tokio::select! {
                () = stop.cancelled() => return,
                Some(order) = orders.recv() => self.order(order),
                Some(input) = inputs.recv() => self.input(input),
                Some(ended) = self.fetches.join_next(), if !self.fetches.is_empty() => {
                    // An error is a fetch that was cancelled; the engine knows.
                    if let Ok((key, number, fetched)) = ended {
                        self.fetched(key, number, &fetched);
                    }
                }
                Some(looked) = self.looks.join_next(), if !self.looks.is_empty() => match looked {
                    Ok((item, held)) => self.looked(item, held),
                    Err(error) => tracing::error!(%error, "a look into the store ended badly"),
                },
                Ok(()) = connected.changed() => self.meet(),
                _ = every.tick(), if active => self.measure(),
                () = tokio::time::sleep_until(at), if due.is_some() => self.tell(Event::Tick),
            }
        }
    }

    /// Somebody on this node wants something.
    fn order(&mut self, order: Order) {
        let Order { item, lacks, sink, done } = order;
        // A number of lists that does not fit is a mistake of the caller; another way to fetch has none.
        let refused = if self.wanted.contains_key(&item) {
            Some(Ended::Already)
        } else {
            (lacks.is_empty() || lacks.len() != item.slices as usize).then_some(Ended::Stuck)
        };
        if let Some(why) = refused {
            let _ = done.send(Report { senders: BTreeSet::new(), end: Err(why) });
            return;
        }
        let mut held = Bitfield::none(item.slices);
        (0..).zip(&lacks).filter(|(_, lacks)| lacks.is_empty()).for_each(|(slice, _)| _ = held.set(slice));
        let bytes = |lacks: &Vec<(BlobId, u32)>| lacks.iter().fold(0_u32, |sum, (_, len)| sum.saturating_add(*len));
        let sizes = lacks.iter().map(bytes).collect();
        let (slices, bytes) =
            (item.slices - held.count(), lacks.iter().map(|lacks| u64::from(bytes(lacks))).sum::<u64>());
        tracing::debug!(manifest = %item.manifest, part = ?item.part, slices, bytes, "wanted in slices");
        self.wanted.insert(item, Wanted { lacks, sink, done, senders: BTreeSet::new(), since: Instant::now() });
        self.tell(Event::Want { item, sizes, held });
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Said(peer, message) if self.neighbours.contains(&peer) => self.tell(Event::Message(peer, message)),
            // The connection is gone, or the word that it stands comes later than its first message: it says it again then.
            Input::Said(..) => {}
            Input::Broken { peer, lane } => {
                if self.lanes.get(&peer).is_some_and(|current| current.number == lane) {
                    self.restart(peer);
                }
            }
        }
    }

    /// What was said to a neighbour did not all reach it: both begin anew.
    fn restart(&mut self, peer: PeerId) {
        self.lanes.remove(&peer);
        if self.neighbours.contains(&peer) {
            self.tell(Event::PeerDown(peer));
            self.tell(Event::PeerUp(peer));
        }
    }

    fn meet(&mut self) {
        let connected: HashSet<PeerId> = self.network.connected.borrow().iter().copied().collect();
        let gone: Vec<PeerId> = self.neighbours.difference(&connected).copied().collect();
        let new: Vec<PeerId> = connected.difference(&self.neighbours).copied().collect();
        self.neighbours = connected;
        for peer in gone {
            self.lanes.remove(&peer);
            self.moved.remove(&peer);
            self.tell(Event::PeerDown(peer));
        }
        for peer in new {
            self.tell(Event::PeerUp(peer));
        }
    }

    /// What moved since the last time; and who does not want any more what he wanted.
    fn measure(&mut self) {
        for traffic in self.network.traffic.snapshot() {
            if !self.neighbours.contains(&traffic.peer) {
                continue;
            }
            let last = self.moved.insert(traffic.peer, (traffic.sent, traffic.received));
            let (sent, received) = last.unwrap_or((traffic.sent, traffic.received));
            let (sent, received) = (traffic.sent.saturating_sub(sent), traffic.received.saturating_sub(received));
            if sent > 0 || received > 0 {
                self.tell(Event::Moved { peer: traffic.peer, sent, received });
            }
        }
        let gone = self.wanted.iter().filter(|(_, wanted)| wanted.done.is_closed() || wanted.sink.is_closed());
        let gone: Vec<Item> = gone.map(|(item, _)| *item).collect();
        for item in gone {
            self.finish(item, Ended::NotStored);
        }
    }

    fn fetched(&mut self, key: Key, number: u64, fetched: &Fetched) {
        let (from, item, slice) = key;
        let current = self.running.get(&key).is_some_and(|(running, _)| *running == number);
        if current {
            self.running.remove(&key);
        }
        let Some(wanted) = self.wanted.get_mut(&item) else { return };
        let Some(lacks) = wanted.lacks.get_mut(slice as usize) else { return };
        if !fetched.stored.is_empty() {
            wanted.senders.insert(from);
            lacks.retain(|(id, _)| !fetched.stored.contains(id));
        }
        let whole = lacks.is_empty();
        match fetched.end {
            Err(Shortfall::NotStored) => self.finish(item, Ended::NotStored),
            _ if whole => self.tell(Event::Landed { item, slice }),
            Err(Shortfall::Peer(failure)) if current => self.tell(Event::Failed { from, item, slice, failure }),
            Ok(()) if current => self.tell(Event::Failed { from, item, slice, failure: Failure::Missing }),
            _ => {}
        }
    }

    /// Tells the engine, and does what it says, until it has nothing more to say.
    fn tell(&mut self, event: Event<PeerId>) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            let now: Duration = self.begun.elapsed();
            for action in self.engine.handle(event, now) {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action<PeerId>) {
        match action {
            Action::Send(peer, message) => self.send(peer, message),
            Action::Look(item) => self.look(item),
            Action::Fetch { from, item, slice } => self.fetch((from, item, slice)),
            Action::Cancel { from, item, slice } => {
                if let Some((_, task)) = self.running.remove(&(from, item, slice)) {
                    task.abort();
                }
            }
            Action::Complete(item) => {
                if let Some(Wanted { done, senders, since, .. }) = self.wanted.remove(&item) {
                    let (took, from) = (since.elapsed(), senders.len());
                    tracing::debug!(manifest = %item.manifest, part = ?item.part, ?took, from, "all slices are here");
                    // Who asked may have gone meanwhile; what came is stored.
                    let _ = done.send(Report { senders, end: Ok(()) });
                }
            }
            Action::Stuck(item) => self.finish(item, Ended::Stuck),
            Action::Blame(peer, why) => self.network.fetcher.blame(peer, &why),
        }
    }

    /// Ends a wish before all is here.
    fn finish(&mut self, item: Item, why: Ended) {
        let Some(Wanted { done, senders, .. }) = self.wanted.remove(&item) else { return };
        let _ = done.send(Report { senders, end: Err(why) });
        self.events.push_back(Event::Unwant(item));
        self.running.retain(|(_, of, _), (_, task)| {
            let other = *of != item;
            if !other {
                task.abort();
            }
            other
        });
    }

    fn send(&mut self, peer: PeerId, message: Message) {
        if !self.neighbours.contains(&peer) {
            return;
        }
        if !self.lanes.contains_key(&peer) {
            let lane = self.open(peer);
            self.lanes.insert(peer, lane);
        }
        let sent = self.lanes.get(&peer).is_some_and(|lane| lane.messages.try_send(message).is_ok());
        if !sent {
            tracing::debug!(%peer, "a neighbour does not read what it is told of spreading");
            self.lanes.remove(&peer);
            self.events.push_back(Event::PeerDown(peer));
            self.events.push_back(Event::PeerUp(peer));
        }
    }

    fn open(&mut self, peer: PeerId) -> Lane {
        let (messages, queue) = mpsc::channel(limits::LANE_QUEUE);
        let number = self.number();
        let task = LaneTask {
            peer,
            number,
            control: self.network.control.clone(),
            connected: self.network.connected.clone(),
            inputs: self.inputs.clone(),
        };
        tokio::spawn(task.run(queue));
        Lane { number, messages }
    }

    fn look(&mut self, item: Item) {
        if self.looks.len() >= limits::MAX_LOOKS {
            self.events.push_back(Event::Looked { item, all: false });
            return;
        }
        let (holdings, turns) = (Arc::clone(&self.holdings), Arc::clone(&self.turns));
        self.looks.spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return (item, None) };
            let looked = tokio::task::spawn_blocking(move || holdings.holds(&item)).await;
            let held = match looked {
                Ok(Ok(held)) => held,
                Ok(Err(error)) => {
                    tracing::warn!(manifest = %item.manifest, %error, "cannot look up what a neighbour asks for");
                    None
                }
                Err(_) => None,
            };
            (item, held)
        });
    }

    fn looked(&mut self, item: Item, held: Option<u64>) {
        self.tell(Event::Looked { item, all: held.is_some() });
        if let Some(bytes) = held {
            // Slices are of about equal size, and that is enough to tell how long one takes.
            let each = u32::try_from(bytes / u64::from(item.slices.max(1))).unwrap_or(u32::MAX).max(1);
            self.tell(Event::Sizes { item, sizes: vec![each; item.slices as usize].into() });
        }
    }

    fn fetch(&mut self, key: Key) {
        let (from, item, slice) = key;
        let wants = self.wanted.get(&item).and_then(|wanted| {
            let lacks = wanted.lacks.get(slice as usize)?;
            Some((lacks.clone(), wanted.sink.clone()))
        });
        let Some((lacks, sink)) = wants else {
            self.events.push_back(Event::Failed { from, item, slice, failure: Failure::Broken });
            return;
        };
        let number = self.number();
        let fetcher = self.network.fetcher.clone();
        let task = self.fetches.spawn(async move { (key, number, fetching::fetch(fetcher, from, lacks, sink).await) });
        if let Some((_, before)) = self.running.insert(key, (number, task)) {
            before.abort();
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}
