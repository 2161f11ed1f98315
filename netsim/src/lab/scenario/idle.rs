//! Nodes that have found each other and have nothing to do: what that costs their lines.

use std::time::Instant;

use super::super::cpu::Ticks;
use super::super::limits::MOST_IDLE;
use super::super::net::Line;
use super::super::report::{Figure, Limit, NodeLine, Report};
use super::super::site::{Machines, Site};
use super::super::{Failure, Lab};

/// Bytes that a machine has sent and received.
#[derive(Clone, Copy)]
struct Bytes {
    sent: u64,
    received: u64,
}

/// Runs it.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) async fn run(lab: &mut Lab) -> Result<Report, Failure> {
    let machines = Machines::build(lab, false)?;
    let mut site = Site::switch_on(lab, machines, None)?;
    site.ready().await?;
    let mut notes: Vec<String> = site.settled(0).await?.into_iter().collect();
    let neighbours: Vec<usize> = site.statuses().await?.iter().map(super::super::node::Status::peers).collect();
    let (settle, measure) = (lab.args.settle, lab.args.measure);
    eprintln!("all nodes have their neighbours; {} s of rest, {} s of measuring", settle.as_secs(), measure.as_secs());
    tokio::time::sleep(settle).await;
    let (before, ticks, begin) = (carried(&site)?, Ticks::now()?, Instant::now());
    tokio::time::sleep(measure).await;
    let (after, spent, seconds) = (carried(&site)?, Ticks::now()?.since(ticks), begin.elapsed().as_secs_f64());

    let per_second = |of: fn(&Bytes) -> u64| -> Vec<f64> {
        after.iter().zip(&before).map(|(after, before)| of(after).saturating_sub(of(before)) as f64 / seconds).collect()
    };
    let (sent, received) = (per_second(|bytes| bytes.sent), per_second(|bytes| bytes.received));
    let both: Vec<f64> = sent.iter().zip(&received).map(|(sent, received)| sent + received).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut figures = vec![
        Figure::held_to("sent and received, mean of the nodes", mean(&both), "B/s", Limit::Most(MOST_IDLE)),
        Figure::told("sent and received, the busiest node", both.iter().copied().fold(f64::NAN, f64::max), "B/s"),
        Figure::told("sent, mean", mean(&sent), "B/s"),
        Figure::told("received, mean", mean(&received), "B/s"),
        Figure::told("fewest neighbours", neighbours.iter().min().map_or(f64::NAN, |count| *count as f64), "nodes"),
    ];
    figures.extend(spent.figures(""));
    let node = |(at, node): (usize, &super::super::node::Node)| {
        let figure = |name, values: &[f64]| Figure::told(name, values.get(at).copied().unwrap_or(f64::NAN), "B/s");
        NodeLine { node: node.host.name.clone(), figures: vec![figure("sent", &sent), figure("received", &received)] }
    };
    let nodes = site.nodes.iter().enumerate().map(node).collect();
    let mut setting = super::setting(lab);
    setting.push(format!(
        "measured for {seconds:.0} s, {} s after all had their neighbours; Ethernet frames, multicast and ARP included",
        settle.as_secs()
    ));
    notes.push("a multicast packet counts at its sender and at each receiver".into());
    Ok(Report { scenario: "idle", setting, figures, nodes, notes })
}

fn carried(site: &Site) -> Result<Vec<Bytes>, Failure> {
    let lines: Vec<&Line> = site.nodes.iter().map(|node| &node.line).collect();
    let received = Line::received(&lines)?;
    lines.iter().zip(received).map(|(line, received)| Ok(Bytes { sent: line.sent()?, received })).collect()
}
