//! `modswarm doctor`: what is wrong, and what to do about it.

mod local;
mod page;
mod rules;

use std::time::SystemTime;

use serde::Serialize;

use super::client::Client;
use super::{DataArg, Failure, print, print_json, small_runtime};
use crate::admin::{Doctor, Status};
use crate::config;

/// Arguments of `modswarm doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 nothing is wrong, 1 something is (lines that begin with WRONG), 2 wrong usage.")]
pub(super) struct Args {
    #[command(flatten)]
    node: DataArg,
    /// Print one line of JSON, for scripts.
    #[arg(long)]
    json: bool,
}

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// As it should be.
    Fine,
    /// May be meant so, and may be the reason for what somebody looks for.
    Note,
    /// To be put right.
    Wrong,
}

/// One sentence on one thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Finding {
    level: Level,
    text: String,
}

/// The node, as it says.
#[derive(Debug, Serialize)]
struct Node {
    status: Status,
    network: Doctor,
}

/// All that was found out.
#[derive(Debug, Serialize)]
struct Report {
    node: Option<Node>,
    findings: Vec<Finding>,
}

/// Looks at the node and at the machine.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let report = small_runtime()?.block_on(look(args))?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&page::page(&report, local::width()))?;
    }
    let wrong = report.findings.iter().filter(|finding| finding.level == Level::Wrong).count();
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::failed("one thing is wrong")),
        several => Err(Failure::failed(format!("{several} things are wrong"))),
    }
}

async fn look(args: &Args) -> Result<Report, Failure> {
    let data = config::data_dir(args.node.data.clone())?;
    let mut findings = vec![rules::clock(SystemTime::now())];
    findings.extend(local::data_dir(&data));
    let node = match Client::connect(Some(data)).await {
        Ok((client, status)) => Some(Node { network: client.doctor().await?, status }),
        Err(failure) => {
            findings.push(Finding { level: Level::Wrong, text: sentence(&failure.to_string()) });
            None
        }
    };
    if let Some(Node { status, network }) = &node {
        findings.push(rules::http(status));
        findings.extend(local::swarm_port(status).await);
        findings.extend(rules::network(network, status.uptime_seconds));
        findings.extend(local::go(status));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Ok(Report { node, findings })
}

/// As a sentence stands in a list: with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
