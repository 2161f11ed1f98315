//! How far a crowd is, seen from its lines: what the go commands do with their processor after the last byte is not in it.

use std::time::{Duration, Instant};

use super::Failure;
use super::net::Line;
use super::site::median;

/// Lines that are to carry so many bytes each.
pub(super) struct Progress<'a> {
    lines: Vec<&'a Line>,
    begin: Instant,
    seen: Seen,
}

impl<'a> Progress<'a> {
    /// From now on.
    pub(super) fn start(lines: Vec<&'a Line>, bytes: u64) -> Result<Self, Failure> {
        let before = Line::received(&lines)?;
        Ok(Self { begin: Instant::now(), seen: Seen { bytes, got: vec![0; before.len()], before, all: None }, lines })
    }

    /// Looks at the counters.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        self.seen.note(&Line::received(&self.lines)?, self.begin.elapsed());
        Ok(())
    }

    /// Whether the median machine has been sent half.
    pub(super) fn is_half(&self) -> bool {
        self.seen.is_half()
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// When each line was first seen to have carried all, with the headers of packets counted; none: never.
    pub(super) fn all(&self) -> Option<Duration> {
        self.seen.all
    }
}

/// What the counters have said.
struct Seen {
    bytes: u64,
    before: Vec<u64>,
    got: Vec<u64>,
    all: Option<Duration>,
}

impl Seen {
    fn note(&mut self, counters: &[u64], at: Duration) {
        self.got = counters.iter().zip(&self.before).map(|(now, before)| now.saturating_sub(*before)).collect();
        if self.got.iter().all(|got| *got >= self.bytes) {
            self.all = self.all.or(Some(at));
        }
    }

    fn is_half(&self) -> bool {
        median(self.got.iter().copied()).is_some_and(|got| got >= self.bytes / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_of_the_median_and_all_is_of_the_last() {
        let mut seen = Seen { bytes: 100, before: vec![5, 10, 0], got: vec![0; 3], all: None };
        assert!(!seen.is_half());
        // Only one of three has half.
        seen.note(&[105, 59, 10], Duration::from_secs(1));
        assert!(!seen.is_half());
        seen.note(&[105, 60, 10], Duration::from_secs(2));
        assert!(seen.is_half());
        assert_eq!(seen.all, None);
        for second in 3..5 {
            seen.note(&[105, 110, 100], Duration::from_secs(second));
            assert_eq!(seen.all, Some(Duration::from_secs(3)), "the first time counts");
        }
    }
}
