//! When catalogs are compared with which neighbour: not twice in the same second, whatever the reasons are.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::limits;

/// When the last comparison with each neighbour began, or will begin.
#[derive(Debug, Default)]
pub(super) struct Meetings(HashMap<PeerId, Instant>);

impl Meetings {
    /// There is a reason to compare, after `wait` at the earliest. Gives the time until the comparison is to begin; `None` if one is
    /// about to begin anyway, and will find it.
    pub(super) fn arrange(&mut self, peer: PeerId, wait: Duration, now: Instant) -> Option<Duration> {
        let last = self.0.get(&peer).copied();
        if last.is_some_and(|last| last > now) {
            return None;
        }
        let begin = last.map_or(now + wait, |last| (last + limits::APART).max(now + wait));
        self.0.insert(peer, begin);
        Some(begin.saturating_duration_since(now))
    }

    /// A neighbour is gone.
    pub(super) fn gone(&mut self, peer: &PeerId) {
        self.0.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_followed_by_a_comparison_and_many_by_few() {
        let (mut meetings, peer, now) = (Meetings::default(), PeerId::random(), Instant::now());
        assert_eq!(meetings.arrange(peer, Duration::ZERO, now), Some(Duration::ZERO));
        let second = Duration::from_secs(1);
        assert_eq!(meetings.arrange(peer, Duration::ZERO, now + second), Some(limits::APART - second), "not at once");
        assert_eq!(meetings.arrange(peer, Duration::ZERO, now + second), None, "that one will do");
        assert_eq!(meetings.arrange(PeerId::random(), second, now), Some(second));
        assert_eq!(meetings.arrange(peer, second, now + 60 * second), Some(second));
        meetings.gone(&peer);
        assert_eq!(meetings.arrange(peer, Duration::ZERO, now + 60 * second), Some(Duration::ZERO));
    }
}
