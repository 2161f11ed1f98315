//! How far a crowd is, seen from its lines.

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
        Ok(Self { begin: Instant::now(), seen: Seen { bytes, got: vec![0; before.len()], before }, lines })
    }

    /// Looks at the counters.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        self.seen.note(&Line::received(&self.lines)?);
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
}

/// What the counters have said.
struct Seen {
    bytes: u64,
    before: Vec<u64>,
    got: Vec<u64>,
}

impl Seen {
    fn note(&mut self, counters: &[u64]) {
        self.got = counters.iter().zip(&self.before).map(|(now, before)| now.saturating_sub(*before)).collect();
    }

    fn is_half(&self) -> bool {
        median(self.got.iter().copied()).is_some_and(|got| got >= self.bytes / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_of_the_median_and_of_what_came_since_the_start() {
        let mut seen = Seen { bytes: 100, before: vec![5, 10, 0], got: vec![0; 3] };
        assert!(!seen.is_half());
        // Only one of three has half.
        seen.note(&[105, 59, 10]);
        assert!(!seen.is_half());
        seen.note(&[105, 60, 10]);
        assert!(seen.is_half());
    }
}
