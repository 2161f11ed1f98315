//! Who was refused at the door and why, for the log and for the one who wonders.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use libp2p::{Multiaddr, PeerId};
use tokio::sync::watch;

use super::limits;
use crate::domain::membership::{MemberError, TicketId};

/// Why a peer is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// Both are of closed sites, and not of the same one.
    #[error("it belongs to another site")]
    OtherSite,
    /// It is of an open site and this node of a closed one.
    #[error("it has no membership: its site file names no site")]
    Stranger,
    /// It is of a closed site and this node of an open one.
    #[error("it belongs to a closed site, and the site file of this node names none")]
    Closed,
    /// The site's orders revoke it.
    #[error("its membership was revoked")]
    Revoked,
    /// The site's orders revoke the ticket that it joined with.
    #[error("its membership was made with the ticket {0}, which was revoked")]
    TicketRevoked(TicketId),
    /// Its certificate does not hold, or not any more.
    #[error("its membership does not count: {0}")]
    Invalid(MemberError),
    /// It says something else than a node of this project does.
    #[error("it does not greet as a modswarm node of this version does: {0}")]
    NotOurs(MemberError),
    /// It greets at such length.
    #[error("it does not greet as a modswarm node of this version does: {0} bytes")]
    TooLong(usize),
    /// It says nothing.
    #[error("it said nothing about its site within {} s", limits::GREETING.as_secs())]
    Silent,
    /// It hung up on this node's greeting: it has refused this node.
    #[error(
        "it hung up when this node said where it belongs: it is of another site, or does not accept this machine's \
         membership (its own log says which)"
    )]
    HungUp,
}

/// A peer that was refused, or that refused this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Where it is, or where it came from the last time.
    pub address: Multiaddr,
    /// Who it is; it has proven that.
    pub peer: PeerId,
    /// Why.
    pub why: Why,
    /// When it was the last time.
    pub when: SystemTime,
    /// How often since the node was started, as far as it is remembered.
    pub times: u64,
}

/// The last refusals.
pub(super) struct Refusals {
    /// With the time of the last line in the log.
    known: VecDeque<(Refusal, Instant)>,
    view: watch::Sender<Arc<[Refusal]>>,
}

impl Refusals {
    pub(super) fn new() -> (Self, watch::Receiver<Arc<[Refusal]>>) {
        let (view, receiver) = watch::channel(Arc::default());
        (Self { known: VecDeque::new(), view }, receiver)
    }

    /// Notes a refusal. Both ends dial again and again, so the log gets one line in [`limits::REFUSAL_LOG`] for each
    /// peer and reason.
    pub(super) fn note(&mut self, peer: PeerId, address: Multiaddr, why: Why, now: Instant) {
        let at = self.known.iter().position(|(known, _)| known.peer == peer && known.why == why);
        let before = at.and_then(|at| self.known.remove(at));
        let due = |last: &Instant| now.saturating_duration_since(*last) >= limits::REFUSAL_LOG;
        let tell = before.as_ref().is_none_or(|(_, last)| due(last));
        if tell {
            tracing::warn!(%peer, %address, "peer {peer} at {address} is refused: {why}");
        }
        let (times, last) = before.map_or((0, now), |(known, last)| (known.times, last));
        let refusal = Refusal { address, peer, why, when: SystemTime::now(), times: times + 1 };
        if self.known.len() >= limits::MAX_REFUSALS {
            self.known.pop_front();
        }
        self.known.push_back((refusal, if tell { now } else { last }));
        self.view.send_replace(self.known.iter().map(|(known, _)| known.clone()).collect());
    }
}

impl Refusal {
    /// How long ago it was the last time.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.when.elapsed().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_peer_and_reason_and_only_the_last_are_kept() {
        let (mut refusals, view) = Refusals::new();
        let (peer, now) = (PeerId::random(), Instant::now());
        for port in 1..4_u16 {
            let address = format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap();
            refusals.note(peer, address, Why::Stranger, now);
        }
        refusals.note(peer, Multiaddr::empty(), Why::Revoked, now);
        let seen = view.borrow().clone();
        assert_eq!((seen.len(), seen[0].times, seen[1].times), (2, 3, 1));
        assert_eq!(seen[0].address.to_string(), "/ip4/192.0.2.1/tcp/3");
        for _ in 0..2 * limits::MAX_REFUSALS {
            refusals.note(PeerId::random(), Multiaddr::empty(), Why::Silent, now);
        }
        assert_eq!(view.borrow().len(), limits::MAX_REFUSALS);
    }
}
