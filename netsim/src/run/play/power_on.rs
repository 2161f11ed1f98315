//! A site is switched on: nobody knows anybody.

use std::time::Duration;

use super::ascending;
use super::lan::{Air, Lan};
use crate::run::figure::{Figure, Figures};
use crate::run::report::Played;
use crate::run::scenario::PowerOn;

/// Neighbours that a node should have.
const FIT: std::ops::RangeInclusive<u32> = 8..=12;

/// Plays it.
pub(super) fn play(scenario: &PowerOn, seed: u64) -> Played {
    let mut lan = Lan::new(seed, Air { latency: scenario.latency.0, jitter: scenario.jitter.0 });
    for _ in 0..scenario.nodes {
        let peer = lan.identity();
        lan.add(peer, scenario.within.0);
    }
    lan.run_until(scenario.watch.0);
    let mut figures = Figures::default();
    graph(&lan, scenario.watch.0, &mut figures);
    let completions = ascending(lan.machines.iter().filter_map(|machine| machine.content));
    Played { figures, completions, counted: lan.machines.len(), bound: None, notes: Vec::new() }
}

/// What the network looks like at the end, and what it took.
pub(super) fn graph(lan: &Lan, watch: Duration, figures: &mut Figures) {
    let count = f64::from(u32::try_from(lan.machines.len()).unwrap_or(u32::MAX));
    let degrees: Vec<u32> = (0..lan.machines.len()).map(|place| lan.degree(place)).collect();
    let fit = degrees.iter().filter(|degree| FIT.contains(degree)).count();
    let dials = |since: Duration| {
        lan.machines
            .iter()
            .map(move |machine| machine.dials.iter().filter(|at| **at >= since).count())
            .map(|dials| f64::from(u32::try_from(dials).unwrap_or(u32::MAX)))
    };
    let beacons: u64 = lan.machines.iter().map(|machine| machine.beacons.0).sum();
    figures.put(Figure::Components, lan.components().into());
    figures.put(Figure::DegreeFit, super::ratio(fit as u64, degrees.len() as u64));
    figures.put(Figure::DegreeLeast, degrees.iter().copied().min().unwrap_or_default().into());
    figures.put(Figure::DegreeMost, degrees.iter().copied().max().unwrap_or_default().into());
    figures.put(Figure::DialsMean, dials(Duration::ZERO).sum::<f64>() / count);
    figures.put(Figure::DialsMost, dials(Duration::ZERO).fold(0.0, f64::max));
    figures.put(Figure::DialsLate, dials(watch / 2).fold(0.0, f64::max));
    if let Some(since) = lan.whole_since {
        figures.put(Figure::Connected, since.as_secs_f64());
    }
    figures.put(Figure::Settled, lan.settled.as_secs_f64());
    figures.put(Figure::Beacons, super::ratio(beacons, lan.machines.len() as u64));
}
