//! Numbers for people: sizes, rates, medians.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Failure;

/// Reads `100MB`, `200M`, `64KiB`, `1000`; powers of ten without an `i`, as in figures of disks and lines.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "K" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("write a number and a unit, as in 100MB".into()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(|| "not a size".into())
}

/// Several measurements of one thing.
#[derive(Serialize, Clone, Default, Debug)]
pub(crate) struct Series {
    /// The one in the middle (the lower one of an even count).
    pub(crate) median: f64,
    /// All, in order of time.
    pub(crate) all: Vec<f64>,
}

impl Series {
    /// Adds a measurement.
    pub(crate) fn push(&mut self, value: f64) {
        self.all.push((value * 100.0).round() / 100.0);
        let mut sorted = self.all.clone();
        sorted.sort_by(f64::total_cmp);
        self.median = sorted.get((sorted.len() - 1) / 2).copied().unwrap_or_default();
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.all.iter().map(|value| format!("{value:.0}")).collect();
        write!(f, "{:>7.1}  ({})", self.median, all.join(" "))
    }
}

/// MB/s, powers of ten.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9)
}

/// MB, powers of ten.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A hundredth is 1.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

/// MB/s of writing `bytes` one after the other to a new file in `dir`, with the fsync at the end.
pub(crate) fn disk_rate(dir: &Path, bytes: u64) -> Result<f64, Failure> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let piece = super::fixture::noise(4 << 20, 99);
    let begin = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(piece.len()).min(piece.len());
        file.write_all(&piece[..part])?;
        left -= part as u64;
    }
    file.sync_data()?;
    Ok(rate(bytes, begin.elapsed()))
}
