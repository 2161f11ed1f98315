//! When to ask again, and when to give up.

use std::time::Duration;

use super::error::{About, UpstreamError, Why};

/// Exponential back-off with full jitter: the wait before attempt `n + 1` is a random share of `min(cap, base * 2^n)`.
///
/// Full jitter, because the nodes of a site that lost the same upstream at the same moment must not come back at the
/// same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure.
    pub base: Duration,
    /// The longest wait after any failure.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after failure number `attempt` (from 0); `random` is from 0 to 1 and chooses the share.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        let most = self.base.saturating_mul(factor).min(self.cap);
        let share = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
        most.mul_f64(share).min(most)
    }
}

/// What came of one attempt that gave nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Asking again would change nothing.
    Final(UpstreamError),
    /// Asking again may help.
    Again {
        /// What happened.
        why: Why,
        /// What `Retry-After` asked for.
        after: Option<Duration>,
    },
}

impl Trouble {
    pub(super) fn again(why: Why) -> Self {
        Self::Again { why, after: None }
    }
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Self {
        Self::Final(error)
    }
}

/// The attempts at one answer from one proxy.
#[derive(Debug)]
pub(super) struct Tries {
    retries: u32,
    backoff: Backoff,
    max_retry_after: Duration,
    /// Attempts in all.
    made: u32,
    /// Attempts since the last one that brought something.
    fruitless: u32,
}

impl Tries {
    pub(super) fn new(retries: u32, backoff: Backoff, max_retry_after: Duration) -> Self {
        Self { retries, backoff, max_retry_after, made: 0, fruitless: 0 }
    }

    /// The attempt that is about to be told as failed brought so much that it does not count.
    pub(super) fn progressed(&mut self) {
        self.fruitless = 0;
    }

    /// How long to wait before the next attempt, or the error when there is none.
    pub(super) fn failed(
        &mut self,
        about: About<'_>,
        trouble: Trouble,
        random: f64,
    ) -> Result<Duration, UpstreamError> {
        let (why, after) = match trouble {
            Trouble::Final(error) => return Err(error),
            Trouble::Again { why, after } => (why, after.unwrap_or_default()),
        };
        self.made = self.made.saturating_add(1);
        let before = self.fruitless;
        self.fruitless = before.saturating_add(1);
        if after > self.max_retry_after {
            let status = if let Why::Status(status) = why { status } else { 0 };
            return Err(about.failed(self.made, Why::ComeBack { status, after }));
        }
        if self.fruitless > self.retries {
            return Err(about.failed(self.made, why));
        }
        Ok(after.saturating_add(self.backoff.delay(before, random)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About<'static> = About { what: "a thing", upstream: "https://proxy.example" };
    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

    fn tries(retries: u32) -> Tries {
        Tries::new(retries, BACKOFF, Duration::from_secs(60))
    }

    fn status(code: u16, after: Option<u64>) -> Trouble {
        Trouble::Again { why: Why::Status(code), after: after.map(Duration::from_secs) }
    }

    #[test]
    fn back_off_doubles_up_to_its_cap_and_jitter_takes_a_share() {
        let most: Vec<_> = (0..6).map(|attempt| BACKOFF.delay(attempt, 1.0).as_millis()).collect();
        assert_eq!(most, [100, 200, 400, 800, 1600, 2000]);
        assert_eq!(BACKOFF.delay(2, 0.25), Duration::from_millis(100));
        assert_eq!(BACKOFF.delay(2, 0.0), Duration::ZERO);
        assert_eq!(BACKOFF.delay(u32::MAX, 1.0), BACKOFF.cap);
    }

    #[test]
    fn back_off_takes_any_random_number_and_any_duration() {
        for random in [f64::NAN, f64::INFINITY, -1.0, 7.0] {
            assert!(BACKOFF.delay(1, random) <= Duration::from_millis(200), "{random}");
        }
        let huge = Backoff { base: Duration::MAX, cap: Duration::from_secs(9) };
        assert_eq!(huge.delay(40, 1.0), Duration::from_secs(9));
    }

    #[test]
    fn attempts_are_counted_and_the_last_reason_is_told() {
        let mut tries = tries(2);
        assert_eq!(tries.failed(ABOUT, status(500, None), 1.0).unwrap(), Duration::from_millis(100));
        assert_eq!(tries.failed(ABOUT, status(502, None), 1.0).unwrap(), Duration::from_millis(200));
        let error = tries.failed(ABOUT, status(503, None), 1.0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "https://proxy.example did not give a thing in 3 attempts: it answered with status 503; look at the line \
             to it, then ask again"
        );
    }

    #[test]
    fn retry_after_is_a_floor_under_the_jitter_and_too_long_is_the_end() {
        let wait = tries(2).failed(ABOUT, status(429, Some(60)), 0.5).unwrap();
        assert_eq!(wait, Duration::from_millis(60_050));
        let error = tries(2).failed(ABOUT, status(429, Some(61)), 0.5).unwrap_err();
        assert!(error.to_string().contains("status 429 and asks to come back in 61 s"), "{error}");
    }

    #[test]
    fn an_attempt_that_brought_something_does_not_count() {
        let mut tries = tries(1);
        for _ in 0..10 {
            tries.progressed();
            assert_eq!(
                tries.failed(ABOUT, Trouble::again(Why::Cut { got: 1 }), 1.0).unwrap(),
                Duration::from_millis(100)
            );
        }
        let error = tries.failed(ABOUT, Trouble::again(Why::Cut { got: 1 }), 1.0).unwrap_err();
        assert!(matches!(error, UpstreamError::Failed { attempts: 11, why: Why::Cut { got: 1 }, .. }), "{error}");
    }
}
