//! The discrete bound of a flash crowd.

use std::time::Duration;

/// The least time in which `receivers` nodes can have an item of `slices` slices of `slice` bytes from one holder over lines of
/// `rate` bytes per second each way: `(1 + floor(log2 N) / M) * B / u` (Mundinger, Weber and Weiss, "Optimal scheduling of peer-to-peer
/// file dissemination", 2008). Latency is not in it.
pub(crate) fn bound(receivers: u32, slices: u32, bytes: u64, rate: u64) -> Duration {
    let rounds = f64::from(receivers.max(1).ilog2());
    #[allow(clippy::cast_precision_loss, reason = "a scenario's bytes are below 2^53")]
    let once = bytes as f64 / rate.max(1) as f64;
    Duration::from_secs_f64(once * (1.0 + rounds / f64::from(slices.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_paper() {
        // N, M, bytes, rate, seconds: worked out by hand.
        let table = [
            (1, 1, 1_000, 1_000, 1.0),
            (2, 1, 1_000, 1_000, 2.0),
            (3, 1, 1_000, 1_000, 2.0),
            (4, 1, 1_000, 1_000, 3.0),
            (100, 1, 1_000, 1_000, 7.0),
            (100, 8, 8_000, 1_000, 14.0),
            (100, 100, 100_000, 1_000, 106.0),
            (300, 100, 100_000, 1_000, 108.0),
            (20, 20, 20 << 20, 12_500_000, 2.013_266),
        ];
        for (receivers, slices, bytes, rate, seconds) in table {
            let is = bound(receivers, slices, bytes, rate).as_secs_f64();
            assert!((is - seconds).abs() < 1e-5, "{receivers} x {slices}: {is}");
        }
    }
}
