//! `netsim bench transfer`: how fast one node gets a zip from another, beside a bare stream of the same transport.
//!
//! Both sides are processes of their own on loopback. In every repetition the bare stream is measured first and then
//! each variant, so that whatever else the machine does falls on all of them. What counts is the time from the request
//! for the zip, of which the node knows nothing but the manifest, until
//!
//! * **stored**: every blob was fetched, hashed and synced to the node's directory (seen from outside, every 10 ms);
//! * **checked**: BLAKE3 and `h1:` of the whole zip were compared, the version is marked as held, and the answer begins;
//! * **served**: an HTTP client has read the whole zip.
//!
//! Both nodes share this machine's cores with each other and with whatever else runs, so beside the rates stands what does
//! not depend on that: processor seconds per GB, and the rate at which these would keep all cores busy.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::client::Http;
use super::figures::{Series, disk_rate, megabytes, percent, rate, size};
use super::fixture::{Fixture, Variant};
use super::sample::{load, processor_time};
use super::site::Node;
use super::{Failure, raw, runtime};

/// What is promised: this share of the bare stream's rate, for a zip that is checked.
const LIMIT_PERCENT: f64 = 60.0;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Length of the zips.
    #[arg(long, default_value = "100MB", value_parser = size)]
    size: u64,
    /// Where the nodes keep their data; may be given several times, as in `--dir /tmp --dir /dev/shm`.
    #[arg(long, value_name = "DIR")]
    dir: Vec<PathBuf>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Only these variants.
    #[arg(long, value_enum, default_values = ["noise", "source"])]
    variant: Vec<Variant>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One variant in one directory. Rates are MB/s of zip bytes.
#[derive(Serialize)]
struct Line {
    dir: PathBuf,
    variant: Variant,
    zip_bytes: u64,
    unpacked_bytes: u64,
    files: usize,
    blobs: u64,
    stored: Series,
    checked: Series,
    served: Series,
    stored_percent: f64,
    checked_percent: f64,
    served_percent: f64,
    /// Processor seconds per GB until it is checked, of the node that fetches and of the one that serves.
    fetching_cpu: Series,
    serving_cpu: Series,
}

#[derive(Serialize)]
struct Disk {
    dir: PathBuf,
    /// MB/s of writing as many bytes to one file, with one fsync.
    rate: Series,
}

#[derive(Serialize)]
struct Report {
    bytes: u64,
    cores: usize,
    load_before: f64,
    load_after: f64,
    raw: Series,
    /// Processor seconds per GB of both ends of the bare stream.
    raw_cpu: Series,
    disks: Vec<Disk>,
    lines: Vec<Line>,
    limit_percent: f64,
}

/// Measures and prints. The exit code is 1 when a checked variant is under the limit in any of the directories.
///
/// # Errors
/// What kept it from measuring, or a node that served other bytes than it was given.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let report = runtime()?.block_on(measure(args))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    let kept = report.lines.iter().all(|line| line.checked_percent >= LIMIT_PERCENT);
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &Args) -> Result<Report, Failure> {
    let dirs = if args.dir.is_empty() { vec![std::env::temp_dir()] } else { args.dir.clone() };
    let http = Http::new()?;
    let mut report = Report {
        bytes: args.size,
        cores: std::thread::available_parallelism()?.get(),
        load_before: load(),
        load_after: 0.0,
        raw: Series::default(),
        raw_cpu: Series::default(),
        disks: dirs.iter().map(|dir| Disk { dir: dir.clone(), rate: Series::default() }).collect(),
        lines: Vec::new(),
        limit_percent: LIMIT_PERCENT,
    };
    let mut setups = Vec::new();
    for variant in &args.variant {
        let fixture = Fixture::make(*variant, args.size)?;
        let upstream = fixture.serve().await?;
        for dir in &dirs {
            let seed = Node::seed(dir, &upstream).await?;
            seed.obtain(&fixture, &http).await?;
            let blobs = http.status(seed.goproxy()).await?.store.blobs;
            setups.push(seed);
            report.lines.push(Line::new(dir, &fixture, blobs));
        }
        for turn in 0..args.repeat {
            eprintln!("{variant:?}, turn {} of {}", turn + 1, args.repeat);
            let raw = raw::receive(args.size).await?;
            report.raw.push(rate(args.size, raw.time));
            report.raw_cpu.push(per_gb(raw.cpu, args.size));
            for disk in &mut report.disks {
                disk.rate.push(disk_rate(&disk.dir, args.size)?);
            }
            let first = report.lines.len() - dirs.len();
            for (line, seed) in report.lines[first..].iter_mut().zip(&setups[first..]) {
                line.measure(seed, &fixture, &http, turn == 0).await?;
            }
        }
    }
    for seed in setups {
        seed.stop().await?;
    }
    for line in &mut report.lines {
        line.stored_percent = percent(line.stored.median, report.raw.median);
        line.checked_percent = percent(line.checked.median, report.raw.median);
        line.served_percent = percent(line.served.median, report.raw.median);
    }
    report.load_after = load();
    Ok(report)
}

impl Line {
    fn new(dir: &std::path::Path, fixture: &Fixture, blobs: u64) -> Self {
        Self {
            dir: dir.into(),
            variant: fixture.variant,
            zip_bytes: fixture.len(),
            unpacked_bytes: fixture.unpacked,
            files: fixture.files,
            blobs,
            stored: Series::default(),
            checked: Series::default(),
            served: Series::default(),
            stored_percent: 0.0,
            checked_percent: 0.0,
            served_percent: 0.0,
            fetching_cpu: Series::default(),
            serving_cpu: Series::default(),
        }
    }

    /// One fetch by a new node.
    async fn measure(&mut self, seed: &Node, fixture: &Fixture, http: &Http, check: bool) -> Result<(), Failure> {
        let node = Node::peer_of(&self.dir, seed, http).await?;
        let before = (processor_time(node.pid())?, processor_time(seed.pid())?);
        let (url, blobs) = (node.zip_url(fixture), self.blobs);
        let stored = http.wait(node.goproxy(), |status| status.store.blobs >= blobs);
        let served = async {
            let head = http.head(&url).await?;
            let after = (processor_time(node.pid())?, processor_time(seed.pid())?);
            Ok::<_, Failure>((head, after, http.get(&url, None).await?))
        };
        let (stored, (checked, after, read)) = tokio::try_join!(stored, served)?;
        let bytes = fixture.len();
        self.stored.push(rate(bytes, stored.min(checked)));
        self.checked.push(rate(bytes, checked));
        self.served.push(rate(bytes, checked + read.end));
        self.fetching_cpu.push(per_gb(after.0 - before.0, bytes));
        self.serving_cpu.push(per_gb(after.1 - before.1, bytes));
        if check {
            node.check(fixture, http).await?;
        }
        node.stop().await
    }
}

/// Processor seconds per GB.
fn per_gb(time: Duration, bytes: u64) -> f64 {
    time.as_secs_f64() * 1000.0 / megabytes(bytes)
}

/// MB/s at which so many processor seconds per GB keep all cores busy.
#[allow(clippy::cast_precision_loss, reason = "a few cores")]
fn bound(cores: usize, per_gb: f64) -> f64 {
    1000.0 * cores as f64 / per_gb
}

fn print(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let Report { cores, load_before, load_after, raw, raw_cpu, .. } = report;
    writeln!(out, "{} MB, {cores} cores, load {load_before} before and {load_after} after", megabytes(report.bytes))?;
    writeln!(out, "MB/s: the median, then every measurement\n")?;
    writeln!(out, "bare stream (TCP, Noise, Yamux)  {raw}")?;
    let (cpu, at_most) = (raw_cpu.median, bound(*cores, raw_cpu.median));
    writeln!(out, "  processor seconds per GB: {cpu:.2} for both ends, so at most {at_most:.0} MB/s on {cores} cores")?;
    for disk in &report.disks {
        writeln!(out, "write and fsync {:<16} {}", disk.dir.display(), disk.rate)?;
    }
    for line in &report.lines {
        writeln!(
            out,
            "\n{:?} in {}: {:.1} MB, {:.1} MB unpacked, {} files, {} blobs",
            line.variant,
            line.dir.display(),
            megabytes(line.zip_bytes),
            megabytes(line.unpacked_bytes),
            line.files,
            line.blobs
        )?;
        for (what, series, share) in [
            ("stored ", &line.stored, line.stored_percent),
            ("checked", &line.checked, line.checked_percent),
            ("served ", &line.served, line.served_percent),
        ] {
            writeln!(out, "  {what} {share:>5.1} % of the bare stream  {series}")?;
        }
        let kept = if line.checked_percent >= report.limit_percent { "within" } else { "UNDER" };
        writeln!(out, "  checked: {kept} the limit of at least {} %", report.limit_percent)?;
        let (fetching, serving) = (line.fetching_cpu.median, line.serving_cpu.median);
        let at_most = bound(*cores, fetching + serving);
        writeln!(
            out,
            "  processor seconds per GB: {fetching:.2} fetching, {serving:.2} serving, so at most {at_most:.0} MB/s"
        )?;
    }
    Ok(())
}
