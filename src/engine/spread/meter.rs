//! How fast a line is.

use std::time::Duration;

use super::limits::{IDLE, MEASURE};

/// Measures bytes per second while something moves.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Meter {
    since: Option<Duration>,
    last: Duration,
    bytes: u64,
    rate: Option<u64>,
}

impl Meter {
    /// So many bytes have moved since the last time.
    pub(super) fn moved(&mut self, bytes: u64, now: Duration) {
        let Some(since) = self.since.filter(|_| now.saturating_sub(self.last) < IDLE) else {
            // What came before the first look took an unknown time.
            (self.since, self.last, self.bytes) = (Some(now), now, 0);
            return;
        };
        self.last = now;
        self.bytes = self.bytes.saturating_add(bytes);
        let took = now.saturating_sub(since);
        if took >= MEASURE {
            let sample = u128::from(self.bytes) * 1_000_000_000 / took.as_nanos().max(1);
            let sample = u64::try_from(sample).unwrap_or(u64::MAX);
            // A line is as fast as it was seen to be; that it was not used to the full makes it slower only by and by.
            let before = self.rate.unwrap_or(0);
            self.rate = Some(sample.max(before - before / 4));
            (self.since, self.bytes) = (Some(now), 0);
        }
    }

    /// Bytes that it carries in this time, as far as is known.
    pub(super) fn carries(&self, time: Duration) -> u64 {
        let bytes = u128::from(self.rate.unwrap_or(0)) * time.as_nanos() / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long so many bytes take, as far as is known.
    pub(super) fn takes(&self, bytes: u64) -> Option<Duration> {
        let rate = self.rate.filter(|&rate| rate > 0)?;
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_moves_has_a_rate_and_a_pause_does_not_count() {
        let mut meter = Meter::default();
        assert_eq!((meter.carries(MEASURE), meter.takes(1)), (0, None));
        for at in 0..=10 {
            meter.moved(1000, Duration::from_millis(at * 10));
        }
        assert_eq!(meter.carries(Duration::from_secs(1)), 100_000);
        assert_eq!(meter.takes(50_000), Some(Duration::from_millis(500)));
        meter.moved(1000, Duration::from_secs(60));
        assert_eq!(meter.carries(Duration::from_secs(1)), 100_000);
    }

    #[test]
    fn a_line_that_gets_slower_is_known_as_slower_by_and_by() {
        let mut meter = Meter::default();
        (0..=10).for_each(|at| meter.moved(1000, Duration::from_millis(at * 10)));
        (11..=200).for_each(|at| meter.moved(10, Duration::from_millis(at * 10)));
        assert!(meter.carries(Duration::from_secs(1)) < 2_000);
    }
}
