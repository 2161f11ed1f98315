//! How much of the machine's processors was idle: a figure that was taken while others compiled says so.

use std::fs;

use super::Failure;
use super::report::Figure;

/// Processor time of the whole machine since it was started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    nice: u64,
    idle: u64,
    all: u64,
}

/// What the processors did for a while, in parts of a hundred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spent {
    /// Nothing.
    pub(super) idle: f64,
    /// Work at a low priority, which is not the lab's.
    pub(super) niced: f64,
}

impl Ticks {
    /// Until now.
    pub(super) fn now() -> Result<Self, Failure> {
        Self::parse(&fs::read_to_string("/proc/stat")?).ok_or_else(|| "/proc/stat has another form".into())
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guest times are in user and nice already.
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let numbers: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
        let idle = numbers.get(3)?.checked_add(*numbers.get(4)?)?;
        Some(Self { nice: *numbers.get(1)?, idle, all: numbers.iter().sum() })
    }

    /// What was done since `earlier`.
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn since(self, earlier: Self) -> Spent {
        let all = self.all.saturating_sub(earlier.all);
        let percent = |part: u64| if all == 0 { 0.0 } else { 100.0 * part as f64 / all as f64 };
        Spent {
            idle: percent(self.idle.saturating_sub(earlier.idle)),
            niced: percent(self.nice.saturating_sub(earlier.nice)),
        }
    }
}

impl Spent {
    /// Both, for a report.
    pub(super) fn figures(self, meanwhile: &str) -> [Figure; 2] {
        [
            Figure::told(format!("processors idle{meanwhile}"), self.idle, "%"),
            Figure::told(format!("processors on niced work{meanwhile}"), self.niced, "%"),
        ]
    }
}

/// Processors of this machine.
pub(super) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_what_waits_and_guests_are_not_counted_twice() {
        let first = Ticks::parse("cpu  80 20 50 800 50 0 0 0 77 0\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!(first, Ticks { nice: 20, idle: 850, all: 1000 });
        let later = Ticks::parse("cpu  130 120 50 825 75 0 0 0 99 0\n").unwrap();
        assert_eq!(later.since(first), Spent { idle: 25.0, niced: 50.0 });
        assert_eq!(first.since(first), Spent { idle: 0.0, niced: 0.0 });
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3", "cpu  1 2 x 4 5 6 7 8"] {
            assert_eq!(Ticks::parse(text), None, "{text}");
        }
    }
}
