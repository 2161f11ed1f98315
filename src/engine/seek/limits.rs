//! Every bound of seeking, with its unit and its reason.

use std::time::Duration;

/// How long a seek is remembered: a seeker has given up by then, and may seek again.
pub const REMEMBERED: Duration = Duration::from_secs(10);
/// Seeks that are remembered, of all seekers: 26 a second on a whole site. What comes on top is not passed on.
pub const SEEKS: usize = 256;
/// Seeks of one seeker that are remembered: a build that misses more has other troubles.
pub const SEEKS_EACH: usize = 16;
/// So many holders answer a seek: one may be slow, and one may be gone.
pub const ANSWERS: u32 = 3;
/// The longest wait before a holder answers: a developer waits for it.
pub const WAIT: Duration = Duration::from_millis(800);
/// In so many steps of [`WAIT`] the share of holders that have answered doubles: 256 holders are told apart, and a step
/// (100 ms) is what gossip takes through a site.
pub const STEPS: f64 = 8.0;
/// Dials in a second that seeks can make a node do.
pub const DIALS: usize = 2;
/// The second.
pub const DIALS_IN: Duration = Duration::from_secs(1);
