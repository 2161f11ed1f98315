//! How fast a crowd can get one thing from one machine, at best.
//!
//! With M slices, N nodes and a line of u bytes per second at each of them, the last node has the last slice after
//! `(M + floor(log2 N)) / M` times what the whole takes over one line: the seed sends M slices one after the other, and
//! the last of them doubles its holders with each step.

use modswarm::engine::slices::{MAX_SLICE, MIN_SLICE, SLICES};

/// Number of slices of so many bytes; at least one.
pub(super) fn slices(total: u64) -> u64 {
    total.div_ceil((total / SLICES).clamp(MIN_SLICE, MAX_SLICE)).max(1)
}

/// The bound, in seconds, for `nodes` nodes that get `total` bytes over lines of `rate` bits per second.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn seconds(nodes: usize, total: u64, rate: f64) -> f64 {
    let steps = f64::from(nodes.max(1).ilog2());
    (1.0 + steps / slices(total) as f64) * (total as f64 * 8.0 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_a_128th_within_its_range() {
        const MIB: u64 = 1 << 20;
        let cases =
            [(0, 1), (1, 1), (512 << 10, 1), ((512 << 10) + 1, 2), (25 * MIB, 50), (64 * MIB, 128), (2048 * MIB, 512)];
        for (total, count) in cases {
            assert_eq!(slices(total), count, "{total}");
        }
    }

    #[test]
    fn the_bound_is_the_line_time_and_a_step_for_each_doubling() {
        let total = 25 << 20;
        let line = f64::from(25 << 20) * 8.0 / 1e8;
        for (nodes, steps) in [(0, 0.0), (1, 0.0), (2, 1.0), (10, 3.0), (16, 4.0)] {
            let bound = seconds(nodes, total, 1e8);
            assert!((bound - line * (1.0 + steps / 100.0)).abs() < 1e-9, "{nodes}: {bound}");
        }
    }
}
