//! What came of a scenario: figures, each with the limit that it has to keep, as a table and as JSON.

use std::fmt;
use std::io::Write as _;

use serde::Serialize;

use super::Failure;

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Limit {
    /// At most this.
    Most(f64),
    /// At least this.
    Least(f64),
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
    /// Whether the limit is kept; none where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
}

impl Figure {
    /// One that is only told.
    pub(super) fn told(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, limit: None, ok: None }
    }

    /// One with a limit. What is not a number keeps none.
    pub(super) fn held_to(name: impl Into<String>, value: f64, unit: &'static str, limit: Limit) -> Self {
        let ok = match limit {
            Limit::Most(most) => value <= most,
            Limit::Least(least) => value >= least,
        };
        Self { limit: Some(limit), ok: Some(ok), ..Self::told(name, value, unit) }
    }

    /// How many of so many, all of which are wanted.
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    pub(super) fn all_of(name: impl Into<String>, count: usize, all: usize) -> Self {
        Self::held_to(name, count as f64, "nodes", Limit::Least(all as f64))
    }
}

/// One node's line.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NodeLine {
    /// Which.
    pub(super) node: String,
    /// Further figures of it.
    pub(super) figures: Vec<Figure>,
}

/// What came of a scenario.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Which scenario.
    pub(super) scenario: &'static str,
    /// What it was run with, a sentence each.
    pub(super) setting: Vec<String>,
    /// The figures.
    pub(super) figures: Vec<Figure>,
    /// The nodes one by one, where that says more.
    pub(super) nodes: Vec<NodeLine>,
    /// What a reader should know of these figures, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Report {
    /// Whether all limits are kept.
    pub(super) fn all_ok(&self) -> bool {
        self.figures.iter().all(|figure| figure.ok != Some(false))
    }

    /// Writes it to stdout.
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer(&mut out, self)?;
            writeln!(out)?;
        } else {
            write!(out, "{self}")?;
        }
        Ok(out.flush()?)
    }
}

/// Few digits for large numbers, more for small ones, none for what could not be measured.
fn number(value: f64) -> String {
    match value.abs() {
        none if none.is_nan() => "-".into(),
        whole if whole >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.scenario)?;
        for sentence in &self.setting {
            writeln!(f, "  {sentence}")?;
        }
        let width = self.figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0).max(6);
        writeln!(f, "\n  {:<width$}  {:>10} {:<7}  {:>10}", "figure", "", "", "limit")?;
        for figure in &self.figures {
            let limit = match figure.limit {
                None => String::new(),
                Some(Limit::Most(most)) => format!("<= {}", number(most)),
                Some(Limit::Least(least)) => format!(">= {}", number(least)),
            };
            let ok = figure.ok.map_or("", |ok| if ok { "  ok" } else { "  short" });
            let line =
                format!("  {:<width$}  {:>10} {:<7}  {limit:>10}{ok}", figure.name, number(figure.value), figure.unit);
            writeln!(f, "{}", line.trim_end())?;
        }
        if !self.nodes.is_empty() {
            writeln!(f)?;
        }
        for node in &self.nodes {
            let figures: Vec<String> = node
                .figures
                .iter()
                .map(|figure| format!("{} {} {}", figure.name, number(figure.value), figure.unit))
                .collect();
            writeln!(f, "  {}: {}", node.node, figures.join(", "))?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(figures: Vec<Figure>) -> Report {
        let nodes = vec![NodeLine { node: "n1".into(), figures: vec![Figure::told("done after", 2.5, "s")] }];
        Report { scenario: "crowd", setting: vec!["a setting".into()], figures, nodes, notes: vec!["a note".into()] }
    }

    #[test]
    fn a_limit_is_kept_up_to_its_own_value_and_never_by_what_is_not_a_number() {
        for (value, limit, ok) in [
            (1.5, Limit::Most(1.5), true),
            (1.51, Limit::Most(1.5), false),
            (10.0, Limit::Least(10.0), true),
            (9.0, Limit::Least(10.0), false),
            (f64::NAN, Limit::Most(1.0), false),
            (f64::NAN, Limit::Least(1.0), false),
        ] {
            let report = report(vec![Figure::told("x", 1.0, "s"), Figure::held_to("y", value, "s", limit)]);
            assert_eq!(report.all_ok(), ok, "{value} {limit:?}");
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_figure_with_its_limit_and_verdict() {
        let figures = vec![
            Figure::told("bound", 2.148, "s"),
            Figure::held_to("makespan / bound", 1.25, "", Limit::Most(1.5)),
            Figure::all_of("complete", 9, 10),
            Figure::held_to("all done", f64::NAN, "s", Limit::Most(30.0)),
        ];
        let text = report(figures).to_string();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "crowd",
                "a setting",
                "",
                "figure limit",
                "bound 2.15 s",
                "makespan / bound 1.25 <= 1.50 ok",
                "complete 9 nodes >= 10 short",
                "all done - s <= 30 short",
                "",
                "n1: done after 2.50 s",
                "",
                "a note",
            ]
        );
    }

    #[test]
    fn scripts_get_the_same_figures() {
        let report = report(vec![Figure::held_to("r", 2.0, "", Limit::Most(1.5))]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["figures"][0],
            serde_json::json!({"name": "r", "value": 2.0, "unit": "", "limit": {"most": 1.5}, "ok": false})
        );
    }
}
