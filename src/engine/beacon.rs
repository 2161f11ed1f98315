//! The beacon: when to shout on a LAN "I am here", and what is heard there.
//!
//! Trickle ([RFC 6206](https://www.rfc-editor.org/rfc/rfc6206)), one timer for each interface: a beacon is sent once in an interval
//! at a random time of its second half, the interval doubles from [`INTERVAL_LEAST`] to [`INTERVAL_MOST`], and who has heard
//! enough others in an interval keeps silent. So a LAN of a thousand settled nodes carries a handful of packets in four
//! minutes, and not a thousand.
//!
//! Suppression alone would hide nodes, so a beacon says whether its sender is *seeking* neighbours:
//!
//! * A seeking node's beacon is never redundant in its first [`EAGER`] intervals: only it carries that node's address.
//! * Who hears a seeking node, and has long been quiet, starts anew with the shortest interval: within a second
//!   [`ENOUGH`] of the others answer, a random few of all that are there, and the rest has heard these and keeps silent.
//!
//! Packets are hostile until parsed: of a fixed form, counted for each source, and the address is that of the packet
//! with the announced port, never one from inside it.

mod packet;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub use packet::{BadPacket, MAX_PACKET, MAX_PEER, MAX_PORTS, Packet};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// The shortest interval (RFC 6206: Imin). A node that is switched on is found within it.
pub const INTERVAL_LEAST: Duration = Duration::from_secs(1);
/// The longest interval: eight doublings. Ten neighbours that each shout once in it cost 4 bytes a second.
pub const INTERVAL_MOST: Duration = Duration::from_secs(256);
/// Beacons heard in an interval that make one's own redundant (RFC 6206: k).
pub const ENOUGH: u32 = 3;
/// The same for a node that is seeking, after its first [`EAGER`] intervals: it may be alone with others that seek in vain.
pub const ENOUGH_SEEKING: u32 = 16;
/// Intervals in which a seeking node is silenced by nobody.
pub const EAGER: u32 = 3;
/// An interval up to so long is no reason to start anew: the next beacon comes soon.
pub const SOON: Duration = Duration::from_secs(4);
/// Instances of nodes that are remembered as heard; more than that and the oldest count as new again.
pub const MAX_HEARD: usize = 2048;
/// Packets that one source may send at once.
pub const SOURCE_BURST: u32 = 10;
/// The time in which a source earns one more packet.
pub const SOURCE_EVERY: Duration = Duration::from_secs(1);
/// Sources that are counted. When all are in use, a packet of a further one is dropped.
pub const MAX_SOURCES: usize = 1024;

/// What happened; `I` names an interface, `S` the source address of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a, I, S> {
    /// An interface can be sent on.
    Up(I),
    /// It is gone.
    Down(I),
    /// A packet came.
    Heard {
        /// On which interface, if its source belongs to the network of one.
        on: Option<I>,
        /// From where.
        from: S,
        /// What.
        bytes: &'a [u8],
    },
    /// [`Beacon::deadline`] has come.
    Tick,
}

/// What is to be done, or known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action<I, S> {
    /// Send this node's beacon.
    Send(I),
    /// A node was heard.
    Found {
        /// On which interface.
        on: Option<I>,
        /// From where.
        from: S,
        /// Its id, as bytes; not checked.
        peer: Vec<u8>,
        /// The TCP ports on which it says it listens, at that address.
        ports: Vec<u16>,
    },
    /// Another instance says that it is this very node: a copied data directory.
    Copy(S),
    /// A node of another site was heard.
    Foreign(S),
}

/// Who this node is in its beacons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Tag of the site; zeros for an open one.
    pub site: [u8; 8],
    /// The node's id, at most [`MAX_PEER`] bytes.
    pub peer: Vec<u8>,
    /// Random, of this run.
    pub nonce: [u8; 8],
}

/// The timer of one interface.
struct Trickle {
    interval: Duration,
    /// When this node speaks in this interval; `None` when it has, or kept silent.
    at: Option<Duration>,
    end: Duration,
    heard: u32,
    intervals: u32,
}

impl Trickle {
    fn start(interval: Duration, intervals: u32, now: Duration, rng: &mut SmallRng) -> Self {
        let at = now + interval.mul_f64(0.5 + rng.random::<f64>() / 2.0);
        Self { interval, at: Some(at), end: now + interval, heard: 0, intervals }
    }

    fn due(&self) -> Duration {
        self.at.unwrap_or(self.end)
    }
}

struct Source {
    tokens: u32,
    at: Duration,
}

/// The beacons of one node.
pub struct Beacon<I, S> {
    identity: Identity,
    seeking: bool,
    rng: SmallRng,
    timers: BTreeMap<I, Trickle>,
    heard: BTreeSet<[u8; 8]>,
    order: VecDeque<[u8; 8]>,
    sources: BTreeMap<S, Source>,
}

impl<I: Copy + Ord, S: Copy + Ord> Beacon<I, S> {
    /// No interface yet; seeking.
    #[must_use]
    pub fn new(identity: Identity, seed: u64) -> Self {
        Self {
            identity,
            seeking: true,
            rng: SmallRng::seed_from_u64(seed),
            timers: BTreeMap::new(),
            heard: BTreeSet::new(),
            order: VecDeque::new(),
            sources: BTreeMap::new(),
        }
    }

    /// Whether this node wants more neighbours than it has. One that begins to seek starts anew on all interfaces.
    pub fn seek(&mut self, seeking: bool, now: Duration) {
        if seeking && !self.seeking {
            for timer in self.timers.values_mut().filter(|timer| timer.interval > SOON) {
                *timer = Trickle::start(INTERVAL_LEAST, 0, now, &mut self.rng);
            }
        }
        self.seeking = seeking;
    }

    /// This node's beacon for the ports on which it listens; the first [`MAX_PORTS`] of them.
    #[must_use]
    pub fn packet(&self, ports: &[u16]) -> Vec<u8> {
        let Identity { site, peer, nonce } = self.identity.clone();
        let ports = ports.iter().copied().take(MAX_PORTS).collect();
        Packet { seeking: self.seeking, site, nonce, ports, peer }.encode()
    }

    /// When [`Event::Tick`] is wanted next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.values().map(Trickle::due).min()
    }

    /// Takes in what happened; what is due now is to be done.
    pub fn handle(&mut self, event: Event<'_, I, S>, now: Duration) -> Vec<Action<I, S>> {
        let mut actions = Vec::new();
        match event {
            Event::Up(on) => {
                let timer = Trickle::start(INTERVAL_LEAST, 0, now, &mut self.rng);
                self.timers.entry(on).or_insert(timer);
            }
            Event::Down(on) => drop(self.timers.remove(&on)),
            // Nothing is sent for a packet alone: what is due is due at the deadline, with a tick.
            Event::Heard { on, from, bytes } => return self.on_heard(on, from, bytes, now).into_iter().collect(),
            Event::Tick => {}
        }
        for (on, timer) in &mut self.timers {
            if timer.at.is_some_and(|at| at <= now) {
                timer.at = None;
                let enough = match self.seeking {
                    false => ENOUGH,
                    true if timer.intervals < EAGER => u32::MAX,
                    true => ENOUGH_SEEKING,
                };
                if timer.heard < enough {
                    actions.push(Action::Send(*on));
                }
            }
            if timer.end <= now {
                let next = (timer.interval * 2).min(INTERVAL_MOST);
                *timer = Trickle::start(next, timer.intervals.saturating_add(1), now, &mut self.rng);
            }
        }
        actions
    }

    fn on_heard(&mut self, on: Option<I>, from: S, bytes: &[u8], now: Duration) -> Option<Action<I, S>> {
        if !self.may_send(from, now) {
            return None;
        }
        let Packet { seeking, site, nonce, ports, peer } = Packet::parse(bytes).ok()?;
        if nonce == self.identity.nonce {
            // A broadcast comes back to its sender.
            return None;
        }
        if site != self.identity.site {
            return Some(Action::Foreign(from));
        }
        if peer == self.identity.peer {
            return Some(Action::Copy(from));
        }
        let new = self.remember(nonce);
        let timer = on.and_then(|on| self.timers.get_mut(&on));
        if let Some(timer) = timer {
            timer.heard = timer.heard.saturating_add(1);
            // One that seeks itself is answered by the dials of those that hear it; it speaks up for newcomers only.
            if seeking && (new || !self.seeking) && timer.interval > SOON {
                *timer = Trickle::start(INTERVAL_LEAST, EAGER, now, &mut self.rng);
            }
        }
        Some(Action::Found { on, from, peer, ports })
    }

    /// Whether this instance was not heard before.
    fn remember(&mut self, nonce: [u8; 8]) -> bool {
        let new = self.heard.insert(nonce);
        if new {
            self.order.push_back(nonce);
            if self.order.len() > MAX_HEARD
                && let Some(oldest) = self.order.pop_front()
            {
                self.heard.remove(&oldest);
            }
        }
        new
    }

    /// A token bucket for each source.
    fn may_send(&mut self, from: S, now: Duration) -> bool {
        let earned = |since: Duration| {
            u32::try_from(now.saturating_sub(since).as_millis() / SOURCE_EVERY.as_millis()).unwrap_or(u32::MAX)
        };
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&from) {
            self.sources.retain(|_, source| source.tokens.saturating_add(earned(source.at)) < SOURCE_BURST);
            if self.sources.len() >= MAX_SOURCES {
                return false;
            }
        }
        let source = self.sources.entry(from).or_insert(Source { tokens: SOURCE_BURST, at: now });
        let gain = earned(source.at);
        if gain > 0 {
            source.tokens = source.tokens.saturating_add(gain).min(SOURCE_BURST);
            source.at = now;
        }
        let allowed = source.tokens > 0;
        source.tokens = source.tokens.saturating_sub(1);
        allowed
    }
}
