//! Scenarios: the engine's own code in a simulated network, in virtual time.
//!
//! | module | job |
//! |---|---|
//! | [`scenario`] | the TOML file, raw and checked |
//! | [`shipped`] | the scenarios that are part of the program |
//! | [`play`] | one file for each kind of scenario: it drives the engine and measures |
//! | [`figure`] | what is measured, limits, checks |
//! | [`bound`] | the least time that a flash crowd can take |
//! | [`report`], [`plot`] | table, JSON, SVG |
//!
//! A run depends on nothing but the scenario and the seed: no clock, no system randomness, no order of threads. So a run that
//! breaks a limit can be repeated with the seed that its table names.

mod bound;
mod figure;
mod play;
mod plot;
mod report;
mod scenario;
mod shipped;
mod units;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use report::{Report, Run};
use scenario::Scenario;

/// Runs of one scenario at most.
const MAX_RUNS: u64 = 1000;

/// What to play.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Names of scenarios, files (*.toml), or `all` for all that are shipped.
    #[arg(required = true, value_name = "SCENARIO|FILE|all")]
    scenarios: Vec<String>,
    /// The first seed; without --seeds the only one. Without it: those that the scenario names.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many seeds, one run each.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=MAX_RUNS))]
    seeds: Option<u64>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Draw the completion times of the one scenario into this file.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// Plays, prints, and says whether every limit holds: the exit code is 1 if one does not.
///
/// # Errors
/// A scenario that cannot be read, a file that cannot be written.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let holds = execute(args, &mut std::io::stdout().lock())?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether every limit holds.
fn execute(args: &Args, out: &mut impl Write) -> Result<bool, Box<dyn Error>> {
    let mut scenarios = Vec::new();
    for name in &args.scenarios {
        scenarios.extend(shipped::find(name)?);
    }
    if args.plot.is_some() && scenarios.len() != 1 {
        return Err("--plot draws one scenario; name one".into());
    }
    for scenario in &mut scenarios {
        scenario.seeds = seeds(&scenario.seeds, args.seed, args.seeds);
    }
    let reports = play_all(&scenarios)?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report::json(&reports))?)?;
    } else {
        for report in &reports {
            report.table(out)?;
            writeln!(out)?;
        }
        report::legend(&reports, out)?;
    }
    if let (Some(file), Some(report)) = (&args.plot, reports.first()) {
        let svg = plot::svg(report).ok_or_else(|| {
            format!("nothing in {} completes at a time, so there is nothing to plot", report.scenario.name)
        })?;
        std::fs::write(file, svg).map_err(|err| format!("cannot write {}: {err}", file.display()))?;
    }
    Ok(reports.iter().all(Report::holds))
}

/// Which seeds are run: `first` and the ones after it, or those of the scenario and, if they are too few, the ones after its last.
fn seeds(own: &[u64], first: Option<u64>, count: Option<u64>) -> Vec<u64> {
    let wanted = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    match (first, count) {
        (Some(first), count) => (0..count.unwrap_or(1)).map(|more| first.wrapping_add(more)).collect(),
        (None, None) => own.to_vec(),
        (None, Some(_)) => {
            let last = own.iter().copied().max().unwrap_or_default();
            own.iter().copied().chain((1..).map(|more| last.wrapping_add(more))).take(wanted).collect()
        }
    }
}

/// Plays all runs, on as many threads as there are cores. The result does not depend on how many.
fn play_all(scenarios: &[Scenario]) -> Result<Vec<Report>, String> {
    let work: Vec<(usize, u64)> = scenarios
        .iter()
        .enumerate()
        .flat_map(|(n, scenario)| scenario.seeds.iter().map(move |seed| (n, *seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<Run, String>>>> = work.iter().map(|_| Mutex::new(None)).collect();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(work.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((n, seed)) = work.get(at) else { break };
                    let scenario = &scenarios[*n];
                    let begin = Instant::now();
                    let played = play::play(&scenario.play, *seed);
                    eprintln!("{}, seed {seed}: {:.1} s", scenario.name, begin.elapsed().as_secs_f64());
                    let run = played
                        .map(|played| Run { seed: *seed, played })
                        .map_err(|err| format!("{} with seed {seed}: {err}", scenario.name));
                    if let Ok(mut slot) = done[at].lock() {
                        *slot = Some(run);
                    }
                }
            });
        }
    });
    let mut runs = done.into_iter().map(|slot| slot.into_inner().ok().flatten().unwrap_or(Err("a run died".into())));
    scenarios
        .iter()
        .map(|scenario| {
            let runs = runs.by_ref().take(scenario.seeds.len()).collect::<Result<Vec<Run>, String>>()?;
            Ok(Report::new(scenario.clone(), runs))
        })
        .collect()
}

#[cfg(test)]
mod tests;
