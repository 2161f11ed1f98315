//! The scenarios, one file each. Each builds its machines, runs, and says what came of it.
//!
//! A new one is a file here, a name in [`Scenario`] and a line in [`run`]. An office is a switch of its own; a machine that is plugged into
//! the switches of two of them and runs `netsim relay` is the line between them.

mod flash;
mod idle;
mod storm;

use super::report::Report;
use super::{Failure, Lab, Scenario};

/// Runs the one that was asked for.
pub(super) async fn run(lab: &mut Lab) -> Result<Report, Failure> {
    match lab.args.scenario {
        Scenario::Flash10 => flash::run(lab, false).await,
        Scenario::SeedDies => flash::run(lab, true).await,
        Scenario::Idle => idle::run(lab).await,
        Scenario::Storm => storm::run(lab).await,
    }
}

/// What all reports say of their setting first.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn setting(lab: &Lab) -> Vec<String> {
    let discovery = if lab.args.no_mdns { "the addresses of those before it" } else { "discovery on the LAN only" };
    vec![format!(
        "{} nodes with {discovery}, lines of {:.1} Mbit/s in both directions, CUBIC; this machine: {} processors",
        lab.args.nodes(),
        lab.args.rate as f64 / 1e6,
        super::cpu::count(),
    )]
}
