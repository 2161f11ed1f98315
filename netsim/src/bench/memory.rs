//! `netsim bench memory`: what nodes take while a large zip goes in at one end of a site and out at the other.
//!
//! A seed ingests the zip from an upstream on loopback; a second node fetches it from the seed; HTTP clients read it from
//! the second node, at full speed and slowly. The upstream and the clients are in another process. For each phase the
//! kernel's peak of resident memory is set back first and read afterwards; beside it stands the most that was seen
//! of anonymous and of file-backed memory, looked at every 10 ms.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::client::Http;
use super::figures::{megabytes, size};
use super::fixture::{Fixture, Variant};
use super::sample::{LIMIT_BYTES, Memory, Sampler};
use super::site::Node;
use super::{Failure, runtime};

/// Clients that read slowly, at the same time.
const SLOW_CLIENTS: usize = 4;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Length of the zips.
    #[arg(long, default_value = "200MB", value_parser = size)]
    size: u64,
    /// Where the nodes keep their data.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Bytes per second of a slow client.
    #[arg(long, default_value = "20MB", value_parser = size)]
    slow: u64,
    /// Only these variants.
    #[arg(long, value_enum, default_values = ["one", "dense"])]
    variant: Vec<Variant>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One process in one phase.
#[derive(Serialize)]
struct Line {
    variant: Variant,
    phase: &'static str,
    process: &'static str,
    memory: Memory,
}

#[derive(Serialize)]
struct Report {
    bytes: u64,
    dir: PathBuf,
    lines: Vec<Line>,
    peak: u64,
    limit: u64,
}

/// Measures and prints. The exit code is 1 when a process was over the limit.
///
/// # Errors
/// What kept it from measuring.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let dir = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut report = Report { bytes: args.size, dir, lines: Vec::new(), peak: 0, limit: LIMIT_BYTES };
    runtime()?.block_on(async {
        for variant in &args.variant {
            measure(args, *variant, &mut report).await?;
        }
        Ok::<_, Failure>(())
    })?;
    report.peak = report.lines.iter().map(|line| line.memory.peak).max().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    Ok(if report.peak <= LIMIT_BYTES { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &Args, variant: Variant, report: &mut Report) -> Result<(), Failure> {
    let http = Http::new()?;
    let fixture = Fixture::make(variant, args.size)?;
    let dir = report.dir.clone();
    let mut phase = |phase, process, memory| report.lines.push(Line { variant, phase, process, memory });

    let seed = Node::seed(&dir, &fixture.serve().await?).await?;
    let idle = Sampler::start(seed.pid())?;
    phase("just started", "seed", idle.stop().await?);
    let ingesting = Sampler::start(seed.pid())?;
    seed.obtain(&fixture, &http).await?;
    phase("ingest from the upstream", "seed", ingesting.stop().await?);

    let node = Node::peer_of(&dir, std::slice::from_ref(&seed), &http).await?;
    let (serving, fetching) = (Sampler::start(seed.pid())?, Sampler::start(node.pid())?);
    node.obtain(&fixture, &http).await?;
    phase("fetch from the seed", "seed", serving.stop().await?);
    phase("fetch from the seed", "node", fetching.stop().await?);

    let reading = Sampler::start(node.pid())?;
    http.get(&node.zip_url(&fixture), None).await?;
    phase("serve a fast client", "node", reading.stop().await?);

    let reading = Sampler::start(node.pid())?;
    let url = node.zip_url(&fixture);
    let slow = (0..SLOW_CLIENTS).map(|_| http.get(&url, Some(args.slow)));
    futures::future::try_join_all(slow).await?;
    phase("serve four slow clients", "node", reading.stop().await?);
    node.check(&fixture, &http).await?;
    node.stop().await?;
    seed.stop().await
}

fn print(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    writeln!(out, "zips of {} MB, data in {}; MB", megabytes(report.bytes), report.dir.display())?;
    writeln!(out, "{:<8} {:<26} {:<6} {:>8} {:>10} {:>8}", "zip", "phase", "of", "peak", "anonymous", "file")?;
    for Line { variant, phase, process, memory } in &report.lines {
        let [peak, anonymous, file] = [memory.peak, memory.anonymous, memory.file].map(megabytes);
        let variant = format!("{variant:?}");
        writeln!(out, "{variant:<8} {phase:<26} {process:<6} {peak:>8.1} {anonymous:>10.1} {file:>8.1}")?;
    }
    let kept = if report.peak <= report.limit { "within" } else { "OVER" };
    writeln!(
        out,
        "peak {:.1} MB: {kept} the limit of {} MB per process",
        megabytes(report.peak),
        megabytes(report.limit)
    )
}
