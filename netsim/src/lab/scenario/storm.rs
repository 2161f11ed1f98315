//! All machines of a site are switched on within the same moment: when has each found enough others.
//!
//! Neighbours are counted in the kernel's tables while it lasts, which costs nothing; in the end the nodes are asked
//! themselves, since a connection of TCP is not yet a peer.

use std::time::{Duration, Instant};

use super::super::cpu::Ticks;
use super::super::limits::{LOOK, SETTLED};
use super::super::node::{Node, Status};
use super::super::report::{Figure, NodeLine, Report};
use super::super::site::{Machines, Site, enough, median_seconds};
use super::super::{Failure, Lab};

/// Runs it.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) async fn run(lab: &mut Lab) -> Result<Report, Failure> {
    let machines = Machines::build(lab, false)?;
    let (ticks, begin) = (Ticks::now()?, Instant::now());
    let mut site = Site::switch_on(lab, machines, None)?;
    let enough = enough(site.nodes.len());
    site.ready().await?;
    let ready = begin.elapsed();
    let reached = watch(&site, enough, begin).await?;
    let spent = Ticks::now()?.since(ticks);
    // Before the nodes are asked, which is a connection too.
    let dials = site.nodes.iter().map(Node::dials).collect::<Result<Vec<u64>, _>>()?;
    let statuses = site.statuses().await?;
    let confirmed = statuses.iter().filter(|status| status.peers() >= enough).count();
    let peers: usize = statuses.iter().map(Status::peers).sum();

    let all_reached = reached.iter().copied().collect::<Option<Vec<_>>>();
    let last = all_reached.and_then(|all| all.into_iter().max()).map_or(f64::NAN, |last| last.as_secs_f64());
    let mut figures = vec![
        Figure::told("all ready after", ready.as_secs_f64(), "s"),
        Figure::told(format!("all have {enough} neighbours after"), last, "s"),
        Figure::told("median has them after", median_seconds(reached.iter().flatten().copied()), "s"),
        Figure::all_of(format!("nodes that say they have {enough}"), confirmed, site.nodes.len()),
        Figure::told("dials until then", dials.iter().sum::<u64>() as f64, ""),
        Figure::told("connections a moment later", peers as f64 / 2.0, ""),
    ];
    figures.extend(spent.figures(" until then"));
    let node = |(at, node): (usize, &Node)| {
        let found = reached.get(at).copied().flatten().map_or(f64::NAN, |time: Duration| time.as_secs_f64());
        let dials = dials.get(at).map_or(f64::NAN, |dials| *dials as f64);
        let peers = statuses.get(at).map_or(f64::NAN, |status| status.peers() as f64);
        let figures =
            vec![Figure::told("found", found, "s"), Figure::told("dials", dials, ""), Figure::told("peers", peers, "")];
        NodeLine { node: node.host.name.clone(), figures }
    };
    let nodes = site.nodes.iter().enumerate().map(node).collect();
    let mut setting = super::setting(lab);
    setting.push("all are switched on at once; neighbours are established connections to different machines".into());
    Ok(Report { scenario: "storm", setting, figures, nodes, notes: Vec::new() })
}

/// When each node had enough neighbours for the first time, after `begin`.
async fn watch(site: &Site, enough: usize, begin: Instant) -> Result<Vec<Option<Duration>>, Failure> {
    let mut reached = vec![None; site.nodes.len()];
    while reached.iter().any(Option::is_none) && begin.elapsed() < SETTLED {
        for (node, reached) in site.nodes.iter().zip(&mut reached).filter(|(_, reached)| reached.is_none()) {
            if node.neighbours()? >= enough {
                *reached = Some(begin.elapsed());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(reached)
}
