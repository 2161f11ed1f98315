//! Who gets which want: pure policy of one fetch, with time as an argument.
//!
//! A list of wants, cut into batches of about 1 MiB or 256 ids as peers have room. Every answer, failure and silence comes
//! in as a call; [`Plan::poll`] says what to ask and what to cancel now. The rules:
//!
//! * A peer starts with a window of one batch and earns up to [`Rules::peer_window`] with what it delivers, so a peer that
//!   has nothing is asked for little. It gets the next batch before the last one has arrived.
//! * A peer that lacks more than it brought is left alone as long as another one brings.
//! * Who lacks an id, or sent wrong bytes for it, is not asked for that id again.
//! * A peer that brings nothing for [`Rules::progress`] loses its wants to others; it comes last from then on, and after
//!   [`Rules::max_stalls`] times not at all.
//! * When nothing is left to hand out, a want outstanding for [`Rules::end_game`] is also given to one idle peer.
//! * All that is asked for or not yet taken over by the reader stays under [`Rules::fetch_window`]: a slow reader slows
//!   the peers down and takes no memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use libp2p::PeerId;

use crate::domain::blob::BlobId;

mod outcome;
mod peer;
mod pick;
mod rules;

pub use outcome::{FetchReport, PeerShare, Shortfall};
use peer::Peer;
pub use rules::Rules;

/// What is to be done now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ask a peer for these blobs, by name and length.
    Ask {
        /// Whom.
        peer: PeerId,
        /// Under which number.
        request: u64,
        /// What, in the order of the answers' indices.
        items: Vec<(BlobId, u32)>,
    },
    /// Tell a peer that nothing more is wanted of a request.
    Cancel {
        /// Whom.
        peer: PeerId,
        /// Which request.
        request: u64,
    },
}

struct Item {
    id: BlobId,
    len: u32,
    /// Requests in which it is outstanding.
    holders: u8,
    done: bool,
    /// Somebody sent wrong bytes for it.
    forged: bool,
    /// Somebody could not read it.
    failed: bool,
}

struct Pending {
    peer: usize,
    items: Vec<u32>,
    answered: Vec<bool>,
    unanswered: usize,
    asked: Instant,
}

impl Pending {
    fn open(&self) -> impl Iterator<Item = u32> + '_ {
        self.items.iter().zip(&self.answered).filter(|(_, answered)| !**answered).map(|(item, _)| *item)
    }
}

/// The state of one fetch.
pub struct Plan {
    rules: Rules,
    items: Vec<Item>,
    by_id: HashMap<BlobId, u32>,
    /// Items to hand out; may hold some that are done or given out by now, which are passed over.
    todo: VecDeque<u32>,
    todo_bytes: u64,
    remaining: usize,
    peers: Vec<Peer>,
    requests: BTreeMap<u64, Pending>,
    cancels: Vec<Action>,
    /// Arrived, and not yet taken over by the reader.
    unread_bytes: u64,
    unread_ids: usize,
    /// A blob came for which other requests are outstanding too.
    overtaken: bool,
    stuck: bool,
}

impl Plan {
    /// A plan for these blobs, each with the length that it has at most; repetitions are dropped.
    #[must_use]
    pub fn new(wants: impl IntoIterator<Item = (BlobId, u32)>, rules: Rules) -> Self {
        let mut items = Vec::new();
        let mut by_id = HashMap::new();
        for (id, len) in wants {
            by_id.entry(id).or_insert_with(|| {
                items.push(Item { id, len, holders: 0, done: false, forged: false, failed: false });
                u32::try_from(items.len() - 1).unwrap_or(u32::MAX)
            });
        }
        Self {
            rules,
            todo: (0..).take(items.len()).collect(),
            todo_bytes: items.iter().map(|item| u64::from(item.len)).sum(),
            remaining: items.len(),
            items,
            by_id,
            peers: Vec::new(),
            requests: BTreeMap::new(),
            cancels: Vec::new(),
            unread_bytes: 0,
            unread_ids: 0,
            overtaken: false,
            stuck: false,
        }
    }

    /// A peer is connected and may be asked.
    pub fn peer_up(&mut self, id: PeerId, now: Instant) {
        match self.peers.iter_mut().find(|peer| peer.id == id) {
            Some(peer) => peer.up = true,
            None => self.peers.push(Peer::new(id, self.items.len(), &self.rules, now)),
        }
    }

    /// A peer is no longer connected; what it was asked for goes to others.
    pub fn peer_down(&mut self, id: PeerId) {
        if let Some(at) = self.find(id) {
            self.peers[at].up = false;
            self.take_back_all(at);
        }
    }

    /// A peer is not to be asked any more.
    pub fn peer_out(&mut self, id: PeerId, why: &str) {
        if let Some(at) = self.find(id) {
            self.peers[at].out = Some(why.into());
            self.take_back_all(at);
        }
    }

    /// A blob with the right bytes arrived, perhaps for a request that was cancelled since. Whether it is new.
    pub fn got(&mut self, request: u64, index: u32, id: BlobId, now: Instant) -> bool {
        let answered = self.answer(request, index, now).map(|(peer, _)| peer);
        let Some(item) = self.by_id.get(&id).and_then(|at| self.items.get_mut(*at as usize)) else { return false };
        let len = u64::from(item.len);
        let new = !std::mem::replace(&mut item.done, true);
        if new {
            self.overtaken |= item.holders > 0;
            self.remaining -= 1;
            self.unread_bytes += len;
            self.unread_ids += 1;
        }
        if let Some(peer) = answered {
            self.peers[peer].delivered(len, new, &self.rules);
        }
        new
    }

    /// The reader took over a blob.
    pub fn delivered(&mut self, id: BlobId) {
        let len = self.by_id.get(&id).and_then(|at| self.items.get(*at as usize)).map_or(0, |item| item.len);
        self.unread_bytes = self.unread_bytes.saturating_sub(u64::from(len));
        self.unread_ids = self.unread_ids.saturating_sub(1);
    }

    /// A peer does not have it.
    pub fn missing(&mut self, request: u64, index: u32, now: Instant) {
        if let Some((peer, item)) = self.answer(request, index, now) {
            self.peers[peer].lacks.set(item);
            self.peers[peer].share.missing += 1;
            self.put_back(item);
        }
    }

    /// A peer could not read it.
    pub fn failed(&mut self, request: u64, index: u32, now: Instant) {
        if let Some((peer, item)) = self.answer(request, index, now) {
            self.peers[peer].lacks.set(item);
            self.peers[peer].trouble.get_or_insert_with(|| "could not read its store".into());
            self.items[item as usize].failed = true;
            self.put_back(item);
        }
    }

    /// A peer sent other bytes.
    pub fn forged(&mut self, request: u64, index: u32, now: Instant) {
        if let Some((peer, item)) = self.answer(request, index, now) {
            self.peers[peer].lacks.set(item);
            self.peers[peer].forged = true;
            self.items[item as usize].forged = true;
            self.put_back(item);
        }
    }

    /// A request as a whole came to nothing: its stream broke or never opened.
    pub fn broken(&mut self, request: u64, why: &str, now: Instant) {
        let Some(at) = self.take_back(request) else { return };
        let rules = &self.rules;
        let peer = &mut self.peers[at];
        peer.failures += 1;
        peer.trouble = Some(why.into());
        peer.pause_until = Some(now + rules.pause * peer.failures);
        if peer.failures >= rules.max_failures {
            peer.out = Some(why.into());
            self.take_back_all(at);
        }
    }

    /// A request could not even be queued: its stream has more to write than it takes.
    pub fn refused(&mut self, request: u64, now: Instant) {
        if let Some(at) = self.take_back(request) {
            self.peers[at].pause_until = Some(now + self.rules.pause);
        }
    }

    /// So many bytes have come from a peer by now, whatever for.
    pub fn progress(&mut self, id: PeerId, received: u64, now: Instant) {
        if let Some(at) = self.find(id) {
            self.peers[at].progress(received, now, &self.rules);
        }
    }

    /// The peers that have something outstanding.
    pub fn busy_peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.iter().filter(|peer| peer.requests > 0).map(|peer| peer.id)
    }

    /// Every peer that was considered so far.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.iter().map(|peer| peer.id)
    }

    /// Whether a request is outstanding.
    #[must_use]
    pub fn has(&self, request: u64) -> bool {
        self.requests.contains_key(&request)
    }

    /// Whether all that can come has come and was taken over by the reader.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.unread_ids == 0 && (self.remaining == 0 || self.stuck)
    }

    /// What to do now; `number` gives numbers for requests.
    pub fn poll(&mut self, now: Instant, mut number: impl FnMut() -> u64) -> Vec<Action> {
        self.take_from_silent(now);
        let mut asks = Vec::new();
        while let Some(at) = self.next_peer(now) {
            let items = self.take(at);
            if items.is_empty() {
                self.peers[at].exhausted = true;
            } else {
                asks.push(self.ask(at, items, number(), now));
            }
        }
        for at in 0..self.peers.len() {
            let items = self.end_game(at, now);
            if !items.is_empty() {
                asks.push(self.ask(at, items, number(), now));
            }
        }
        self.cancel_what_is_done();
        self.stuck =
            self.requests.is_empty() && self.unread_ids == 0 && !self.peers.iter().any(|peer| peer.pauses(now));
        let mut actions = std::mem::take(&mut self.cancels);
        actions.extend(asks);
        actions
    }

    /// When [`Self::poll`] has something to do although nothing happened; `None` if that is never.
    #[must_use]
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        let pauses = self.peers.iter().filter(|peer| peer.pauses(now)).filter_map(|peer| peer.pause_until);
        let deadlines = self.peers.iter().filter(|peer| peer.requests > 0).map(|peer| peer.last + self.rules.progress);
        let ages = self.requests.values().map(|pending| pending.asked + self.rules.end_game).filter(|age| *age > now);
        pauses.chain(deadlines).chain(ages).min()
    }

    fn find(&self, id: PeerId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == id)
    }

    fn take_from_silent(&mut self, now: Instant) {
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            let silence = now.saturating_duration_since(peer.last);
            if peer.requests == 0 || silence < self.rules.progress {
                continue;
            }
            peer.stalls += 1;
            peer.window = self.rules.min_batch_bytes;
            let why = format!("brought nothing for {:.1} s", self.rules.progress.as_secs_f64());
            if peer.stalls >= self.rules.max_stalls {
                peer.out = Some(why.clone());
            }
            peer.trouble = Some(why);
            self.take_back_all(at);
        }
    }

    fn ask(&mut self, at: usize, items: Vec<u32>, request: u64, now: Instant) -> Action {
        let mut wants = Vec::with_capacity(items.len());
        for item in &items {
            let want = &mut self.items[*item as usize];
            want.holders += 1;
            wants.push((want.id, want.len));
        }
        let peer = &mut self.peers[at];
        if peer.requests == 0 {
            peer.last = now;
        }
        peer.requests += 1;
        peer.ids += wants.len();
        peer.bytes += wants.iter().map(|(_, len)| u64::from(*len)).sum::<u64>();
        let answered = vec![false; items.len()];
        let unanswered = items.len();
        self.requests.insert(request, Pending { peer: at, items, answered, unanswered, asked: now });
        Action::Ask { peer: self.peers[at].id, request, items: wants }
    }

    /// Books one answer; `None` if nothing of the kind is outstanding.
    fn answer(&mut self, request: u64, index: u32, now: Instant) -> Option<(usize, u32)> {
        let pending = self.requests.get_mut(&request)?;
        let answered = pending.answered.get_mut(index as usize).filter(|answered| !**answered)?;
        *answered = true;
        pending.unanswered -= 1;
        let (at, item) = (pending.peer, pending.items[index as usize]);
        let peer = &mut self.peers[at];
        peer.last = now;
        self.release(at, item);
        if self.requests.get(&request).is_some_and(|pending| pending.unanswered == 0) {
            self.requests.remove(&request);
            self.peers[at].requests -= 1;
        }
        Some((at, item))
    }

    fn release(&mut self, at: usize, item: u32) {
        let want = &mut self.items[item as usize];
        want.holders -= 1;
        self.peers[at].ids -= 1;
        self.peers[at].bytes -= u64::from(want.len);
    }

    /// Puts an item on the list again, at its head, unless it is done or somebody else has it.
    fn put_back(&mut self, item: u32) {
        let want = &self.items[item as usize];
        if !want.done && want.holders == 0 {
            self.todo.push_front(item);
            self.todo_bytes += u64::from(want.len);
            self.peers.iter_mut().for_each(|peer| peer.exhausted = false);
        }
    }

    /// Ends a request; what is unanswered in it goes back on the list. Returns the peer.
    fn take_back(&mut self, request: u64) -> Option<usize> {
        let pending = self.requests.remove(&request)?;
        self.peers[pending.peer].requests -= 1;
        let open: Vec<u32> = pending.open().collect();
        for item in open.into_iter().rev() {
            self.release(pending.peer, item);
            self.put_back(item);
        }
        Some(pending.peer)
    }

    fn take_back_all(&mut self, at: usize) {
        let of_peer = |(number, pending): (&u64, &Pending)| (pending.peer == at).then_some(*number);
        let numbers: Vec<u64> = self.requests.iter().filter_map(of_peer).collect();
        for request in numbers.into_iter().rev() {
            self.take_back(request);
            self.cancels.push(Action::Cancel { peer: self.peers[at].id, request });
        }
    }

    fn cancel_what_is_done(&mut self) {
        if !std::mem::take(&mut self.overtaken) {
            return;
        }
        let done = |pending: &Pending| pending.open().all(|item| self.items[item as usize].done);
        let idle: Vec<u64> = self.requests.iter().filter(|(_, pending)| done(pending)).map(|(at, _)| *at).collect();
        for request in idle {
            if let Some(at) = self.take_back(request) {
                self.cancels.push(Action::Cancel { peer: self.peers[at].id, request });
            }
        }
    }
}

#[cfg(test)]
mod tests;
