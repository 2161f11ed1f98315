//! One file for each kind of scenario. Each plays one seed and gives back what it measured.

mod announce;
mod catch_up;
mod copied;
mod idle;
mod lan;
mod power_on;
mod revoke;
mod spread;
mod wire;

use std::time::Duration;

use super::figure::{Figure, Figures};
use super::report::Played;
use super::scenario::Play;

/// Plays one seed.
///
/// # Errors
/// What cannot be played.
pub(super) fn play(play: &Play, seed: u64) -> Result<Played, String> {
    match play {
        Play::Spread(scenario) => spread::play(scenario, seed),
        Play::PowerOn(scenario) => Ok(power_on::play(scenario, seed)),
        Play::CatchUp(scenario) => catch_up::play(scenario, seed),
        Play::Announce(scenario) => Ok(announce::play(scenario, seed)),
        Play::Revoke(scenario) => revoke::play(scenario, seed),
        Play::Twins(scenario) => Ok(copied::play(scenario, seed)),
    }
}

/// The completion times, ascending, in seconds.
fn ascending(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut all: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// When so many of `of` were complete; `None` if fewer became so.
fn when(completions: &[f64], share: f64, of: usize) -> Option<f64> {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a few thousand"
    )]
    let place = (share * of as f64).ceil().max(1.0) as usize;
    completions.get(place - 1).copied()
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn put_some(figures: &mut Figures, figure: Figure, value: Option<f64>) {
    if let Some(value) = value {
        figures.put(figure, value);
    }
}
