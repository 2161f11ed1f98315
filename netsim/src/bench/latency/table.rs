//! The figures for people, and whether they are within the limits.

use std::io::Write;

use super::super::Failure;
use super::{LEAST_RATE, Line, MOST_P99, Part, Report};

/// The node beside one static server: medians over the rounds of what was measured in the same round.
struct Ratio {
    rate: f64,
    p99: f64,
}

fn ratio(node: &Line, server: &Line) -> Ratio {
    let median = |ours: &[f64], theirs: &[f64]| {
        let mut all: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b.max(1e-9)).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    };
    Ratio { rate: median(&node.rate.all, &server.rate.all), p99: median(&node.p99.all, &server.p99.all) }
}

/// Whether nothing went wrong and the node is within the limits beside every static server.
pub(super) fn kept(part: &Part) -> bool {
    let [node, statics @ ..] = part.lines.as_slice() else { return false };
    let fast = |server: &Line| {
        let Ratio { rate, p99 } = ratio(node, server);
        rate >= LEAST_RATE && p99 <= MOST_P99
    };
    part.lines.iter().all(|line| line.errors == 0) && statics.iter().all(fast)
}

pub(super) fn json(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    Ok(writeln!(out)?)
}

pub(super) fn print(out: &mut impl Write, report: &Report) -> Result<(), Failure> {
    let Report { versions, connections, repeat, millis, load, parts } = report;
    writeln!(
        out,
        "{versions} module versions, {connections} connections, {repeat} turns of {millis} ms each, load {load}; medians"
    )?;
    writeln!(out, "ratios: node to static server in the same round; limits {LEAST_RATE} and {MOST_P99}\n")?;
    writeln!(
        out,
        "{:<8} {:<6} {:>10} {:>8} {:>8} {:>8} {:>7} {:>10} {:>10}",
        "", "", "requests/s", "p50 us", "p99 us", "CPU us", "errors", "rate ratio", "p99 ratio"
    )?;
    for part in parts {
        let Some(node) = part.lines.first() else { continue };
        for (at, line) in part.lines.iter().enumerate() {
            let kind = if at == 0 { format!("{:?}", part.kind).to_lowercase() } else { String::new() };
            let Line { server, rate, p50, p99, cpu, errors } = line;
            write!(
                out,
                "{kind:<8} {server:<6} {:>10.0} {:>8.0} {:>8.0} {:>8.1} {errors:>7}",
                rate.median, p50.median, p99.median, cpu.median
            )?;
            if at > 0 {
                let Ratio { rate, p99 } = ratio(node, line);
                write!(out, " {rate:>10.2} {p99:>10.2}")?;
            }
            writeln!(out)?;
        }
        let verdict = if kept(part) { "within the limits" } else { "OVER A LIMIT" };
        writeln!(out, "{:<15} {verdict}; the clients took {:.2} of a processor\n", "", part.clients.median)?;
    }
    Ok(())
}
