//! What came out of a scenario: for people as a table, for scripts as JSON.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::figure::{Check, Figure, Figures, Of, median, show};
use super::scenario::Scenario;
use super::units;

/// Version of the JSON: raised when a script that reads it would have to be changed.
const FORMAT: u32 = 1;

/// What one run gave.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Played {
    /// What was measured.
    pub(crate) figures: Figures,
    /// When each of those that count was complete, in seconds, ascending.
    pub(crate) completions: Vec<f64>,
    /// How many count.
    pub(crate) counted: usize,
    /// The bound, in seconds, where there is one.
    pub(crate) bound: Option<f64>,
    /// What the figures do not say, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// One run, by its seed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Run {
    /// The seed: the same one gives the same run.
    pub(crate) seed: u64,
    /// What it gave.
    pub(crate) played: Played,
}

/// A scenario and its runs.
#[derive(Debug)]
pub(crate) struct Report {
    /// What was played.
    pub(crate) scenario: Scenario,
    /// In the order of the seeds.
    pub(crate) runs: Vec<Run>,
    /// Its limits, held against the runs.
    pub(crate) checks: Vec<Check>,
}

impl Report {
    /// Holds the runs against the limits.
    pub(crate) fn new(scenario: Scenario, runs: Vec<Run>) -> Self {
        let values = |figure| runs.iter().map(|run| run.played.figures.get(figure)).collect::<Vec<_>>();
        let checks =
            scenario.limits.iter().map(|(figure, limit)| Check::new(*figure, &values(*figure), *limit)).collect();
        Self { scenario, runs, checks }
    }

    /// Whether every limit holds.
    pub(crate) fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// The bound, if the scenario has one: the same for each seed.
    pub(crate) fn bound(&self) -> Option<f64> {
        self.runs.first().and_then(|run| run.played.bound)
    }

    fn figures(&self) -> Vec<Figure> {
        let measured = self.runs.iter().flat_map(|run| &run.played.figures.0).map(|(figure, _)| *figure);
        let mut all: Vec<Figure> = measured.chain(self.checks.iter().map(|check| check.figure)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The run that shows best that a limit does not hold.
    fn culprit(&self, check: &Check) -> Option<u64> {
        let value = |run: &&Run| run.played.figures.get(check.figure).filter(|value| !value.is_nan());
        self.runs.iter().find(|run| value(run) == check.value).map(|run| run.seed)
    }

    /// The table for people.
    ///
    /// # Errors
    /// What writing says.
    pub(crate) fn table(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}: {}", self.scenario.name, self.scenario.description)?;
        let seeds: Vec<String> = self.runs.iter().map(|run| run.seed.to_string()).collect();
        let bound = self.bound().map(|bound| format!("; bound {}", units::seconds(bound))).unwrap_or_default();
        writeln!(out, "  {} {}{bound}", if seeds.len() == 1 { "seed" } else { "seeds" }, seeds.join(" "))?;
        writeln!(out, "  {:<18}{:>11}{:>11}{:>11}   limit", "figure", "median", "lowest", "highest")?;
        for figure in self.figures() {
            let values: Vec<f64> =
                self.runs.iter().filter_map(|run| run.played.figures.get(figure)).filter(|v| !v.is_nan()).collect();
            let low = values.iter().copied().reduce(f64::min).unwrap_or(f64::NAN);
            let high = values.iter().copied().reduce(f64::max).unwrap_or(f64::NAN);
            let cell = |value| show(figure.unit(), value);
            let (middle, low, high) = (cell(median(&values)), cell(low), cell(high));
            let limit = self.checks.iter().find(|check| check.figure == figure).map(verdict).unwrap_or_default();
            let line = format!("  {:<18}{middle:>11}{low:>11}{high:>11}   {limit}", figure.name());
            writeln!(out, "{}", line.trim_end())?;
        }
        let mut notes: Vec<&String> = self.runs.iter().flat_map(|run| &run.played.notes).collect();
        notes.dedup();
        for note in notes {
            writeln!(out, "  {note}")?;
        }
        for check in self.checks.iter().filter(|check| !check.holds) {
            let seed = self.culprit(check).map(|seed| format!(" --seed {seed}")).unwrap_or_default();
            writeln!(out, "  {} is broken; to repeat: netsim run {}{seed}", check.figure.name(), self.scenario.name)?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(run_json).collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                json!({
                    "figure": check.figure,
                    "value": check.value,
                    "of": check.limit.of,
                    "at_least": check.limit.at_least,
                    "at_most": check.limit.at_most,
                    "holds": check.holds,
                })
            })
            .collect();
        json!({
            "name": self.scenario.name,
            "description": self.scenario.description,
            "bound_seconds": self.bound(),
            "runs": runs,
            "checks": checks,
            "holds": self.holds(),
        })
    }
}

fn run_json(run: &Run) -> Value {
    let figures: Map<String, Value> =
        run.played.figures.0.iter().map(|(figure, value)| (figure.name().to_owned(), json!(value))).collect();
    json!({
        "seed": run.seed,
        "figures": figures,
        "counted": run.played.counted,
        "completions_seconds": run.played.completions,
        "notes": run.played.notes,
    })
}

fn verdict(check: &Check) -> String {
    let of = match check.limit.of {
        Of::Median => "median ",
        Of::Worst => "",
    };
    let limit = check.limit.show(check.figure.unit());
    let said = match (check.holds, check.value) {
        (true, _) => "ok",
        (false, Some(_)) => "BROKEN",
        (false, None) => "BROKEN: not measured",
    };
    format!("{of}{limit}  {said}")
}

/// What all scenarios gave, for scripts. Times are seconds of virtual time, sizes bytes.
pub(crate) fn json(reports: &[Report]) -> Value {
    json!({
        "format": FORMAT,
        "scenarios": reports.iter().map(Report::json).collect::<Vec<_>>(),
        "holds": reports.iter().all(Report::holds),
    })
}

/// What the figures of the tables mean, and how many scenarios keep their limits.
///
/// # Errors
/// What writing says.
pub(crate) fn legend(reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    let mut figures: Vec<Figure> = reports.iter().flat_map(Report::figures).collect();
    figures.sort_unstable();
    figures.dedup();
    for figure in figures {
        writeln!(out, "{:<18}  {}", figure.name(), figure.meaning())?;
    }
    let broken: Vec<&str> =
        reports.iter().filter(|report| !report.holds()).map(|report| report.scenario.name.as_str()).collect();
    if broken.is_empty() {
        writeln!(out, "\nall limits hold in {} of {}", reports.len(), count(reports.len()))
    } else {
        writeln!(out, "\nlimits are broken in {} of {}: {}", broken.len(), count(reports.len()), broken.join(", "))
    }
}

fn count(scenarios: usize) -> String {
    if scenarios == 1 { "1 scenario".into() } else { format!("{scenarios} scenarios") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::scenario;

    fn report(shares: &[f64]) -> Report {
        let text = r#"description = "Two of them."
seeds = [1]
[twins]
nodes = 5
latency = "1ms"
watch = "1min"
[limits]
share = { at-least = 0.85 }
last = { at-most = "5s", of = "median" }
"#;
        let runs = (4..)
            .zip(shares)
            .map(|(seed, share)| {
                let mut figures = Figures::default();
                figures.put(Figure::Share, *share);
                figures.put(Figure::Waste, 0.25);
                if *share > 0.5 {
                    figures.put(Figure::Last, 2.0);
                }
                let notes = vec!["Nobody lied.".to_owned()];
                Run { seed, played: Played { figures, completions: vec![1.0], counted: 1, bound: Some(1.5), notes } }
            })
            .collect();
        Report::new(scenario::read("two", "two.toml", text).unwrap(), runs)
    }

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        report.table(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_has_the_limit_beside_each_figure() {
        let table = "\
two: Two of them.
  seeds 4 5 6; bound 1.50 s
  figure                 median     lowest    highest   limit
  share                   0.900      0.860      0.950   >= 0.850  ok
  last                   2.00 s     2.00 s     2.00 s   median <= 5.00 s  ok
  waste                   0.250      0.250      0.250
  Nobody lied.
";
        assert_eq!(text(&report(&[0.9, 0.86, 0.95])), table);
    }

    #[test]
    fn a_broken_limit_names_the_seed_that_shows_it() {
        let broken = report(&[0.9, 0.7, 0.95]);
        assert!(!broken.holds());
        let said = text(&broken);
        assert!(said.contains(">= 0.850  BROKEN\n"), "{said}");
        assert!(said.ends_with("  share is broken; to repeat: netsim run two --seed 5\n"), "{said}");
    }

    #[test]
    fn what_a_run_did_not_measure_breaks_its_limit() {
        let said = text(&report(&[0.9, 0.4]));
        assert!(said.contains("median <= 5.00 s  BROKEN: not measured"), "{said}");
        assert!(said.contains("last is broken; to repeat: netsim run two --seed 5\n"), "{said}");
    }

    #[test]
    fn the_json_has_what_a_script_needs() {
        let all = json(&[report(&[0.9, 0.7])]);
        assert_eq!(all["format"], 1);
        assert_eq!(all["holds"], false);
        let one = &all["scenarios"][0];
        assert_eq!((one["name"].as_str(), one["bound_seconds"].as_f64()), (Some("two"), Some(1.5)));
        assert_eq!(one["runs"][1]["seed"], 5);
        assert_eq!(one["runs"][1]["figures"]["share"], 0.7);
        assert_eq!(one["runs"][1]["completions_seconds"][0], 1.0);
        let check =
            json!({"figure": "share", "value": 0.7, "of": "worst", "at_least": 0.85, "at_most": null, "holds": false});
        assert_eq!(one["checks"][0], check);
    }

    #[test]
    fn the_legend_explains_each_figure_once_and_counts() {
        let mut out = Vec::new();
        legend(&[report(&[0.9]), report(&[0.2])], &mut out).unwrap();
        let said = String::from_utf8(out).unwrap();
        assert_eq!(said.lines().filter(|line| line.starts_with("share ")).count(), 1);
        assert!(said.ends_with("\nlimits are broken in 1 of 2 scenarios: two\n"), "{said}");
    }
}
