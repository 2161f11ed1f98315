//! A node's data directory was copied to a second machine, and both run.

use std::time::Duration;

use super::lan::{Air, Lan};
use super::{ascending, power_on, ratio};
use crate::run::figure::{Figure, Figures};
use crate::run::report::Played;
use crate::run::scenario::Twins;

/// All are switched on within so long.
const WITHIN: Duration = Duration::from_secs(5);

/// Plays it.
pub(super) fn play(scenario: &Twins, seed: u64) -> Played {
    let mut lan = Lan::new(seed, Air { latency: scenario.latency.0, jitter: scenario.jitter.0 });
    let twin = lan.identity();
    for place in 0..scenario.nodes {
        let peer = if place < 2 { twin } else { lan.identity() };
        lan.add(peer, WITHIN);
    }
    lan.run_until(scenario.watch.0);
    let mut figures = Figures::default();
    power_on::graph(&lan, scenario.watch.0, &mut figures);
    let noticed = lan.machines.iter().take(2).filter(|machine| machine.copy).count();
    figures.put(Figure::Noticed, ratio(noticed as u64, 2));
    let completions = ascending(lan.machines.iter().filter_map(|machine| machine.content));
    let twins: Vec<u32> = (0..2).map(|place| lan.degree(place)).collect();
    let notes = vec![format!("the two have {} and {} neighbours", twins[0], twins[1])];
    Played { figures, completions, counted: lan.machines.len(), bound: None, notes }
}
