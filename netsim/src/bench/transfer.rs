//! `netsim bench transfer`: how fast one node gets a zip from others, beside a bare stream of the same transport.
//!
//! All sides are processes of their own on loopback. In every repetition the bare stream is measured first and then the fetch,
//! so that whatever else the machine does falls on both. What counts is the time from the request for the zip, of which the
//! node knows nothing but the manifest, until
//!
//! * **stored**: every blob was fetched, hashed and synced to the node's directory (seen from outside, every 10 ms);
//! * **checked**: BLAKE3 and `h1:` of the whole zip were compared, the version is marked as held, and the answer begins;
//! * **served**: an HTTP client has read the whole zip.
//!
//! Each variant is fetched from one peer, and then from four that all hold it.
//!
//! All nodes share this machine's cores with each other and with whatever else runs, so beside the rates stands what does
//! not depend on that: processor seconds per GB of each end, and the rate at which these would keep all cores busy.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::client::Http;
use super::figures::{Series, disk_rate, megabytes, percent, rate, size};
use super::fixture::{Fixture, Variant};
use super::sample::{LIMIT_BYTES, Sampler, load, processor_time};
use super::site::Node;
use super::{Failure, raw, runtime};

/// What is promised: this share of the bare stream's rate, for a zip that is checked.
const LIMIT_PERCENT: f64 = 80.0;
/// What is promised: with several peers this share of the rate with one, less what two runs of the same thing differ by.
const SEVERAL_PERCENT: f64 = 95.0;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Length of the zips.
    #[arg(long, default_value = "200MB", value_parser = size)]
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
    /// From how many peers.
    #[arg(long, default_values_t = [1, 4])]
    peers: Vec<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One variant in one directory from so many peers. Rates are MB/s of zip bytes.
#[derive(Serialize)]
struct Line {
    dir: PathBuf,
    variant: Variant,
    peers: usize,
    zip_bytes: u64,
    unpacked_bytes: u64,
    files: usize,
    blobs: u64,
    /// The bare streams between which it was measured.
    raw: Series,
    stored: Series,
    checked: Series,
    served: Series,
    stored_percent: f64,
    checked_percent: f64,
    served_percent: f64,
    /// Processor seconds per GB until it is checked, of the node that fetches and of those that serve together.
    fetching_cpu: Series,
    serving_cpu: Series,
    /// The most that was resident, in bytes, of the node that fetches and of any that serves.
    fetching_peak: u64,
    serving_peak: u64,
    /// The rate as a share of that with the first number of peers.
    of_first_percent: Option<f64>,
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
    several_percent: f64,
    limit_bytes: u64,
}

/// Measures and prints. The exit code is 1 when a promise is not kept in any of the directories.
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
    let kept = report.lines.iter().all(|line| line.keeps_rate() && line.keeps_memory());
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &Args) -> Result<Report, Failure> {
    let dirs = if args.dir.is_empty() { vec![std::env::temp_dir()] } else { args.dir.clone() };
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
        several_percent: SEVERAL_PERCENT,
        limit_bytes: LIMIT_BYTES,
    };
    for variant in &args.variant {
        let fixture = Fixture::make(*variant, args.size)?;
        let upstream = fixture.serve().await?;
        for at in 0..dirs.len() {
            measure_in(at, args, &fixture, &upstream, &mut report).await?;
        }
    }
    report.load_after = load();
    Ok(report)
}

/// One variant in one directory, from each number of peers.
async fn measure_in(
    at: usize,
    args: &Args,
    fixture: &Fixture,
    upstream: &str,
    report: &mut Report,
) -> Result<(), Failure> {
    let http = Http::new()?;
    let dir = report.disks[at].dir.clone();
    let mut peers = vec![Node::seed(&dir, upstream).await?];
    peers[0].obtain(fixture, &http).await?;
    let blobs = http.status(peers[0].goproxy()).await?.store.blobs;
    let mut first = None;
    for count in &args.peers {
        while peers.len() < *count {
            let another = Node::peer_of(&dir, &peers[..1], &http).await?;
            another.obtain(fixture, &http).await?;
            peers.push(another);
        }
        let mut line = Line::new(&dir, fixture, *count, blobs);
        for turn in 0..args.repeat {
            eprintln!("{:?} from {count}, turn {} of {}", fixture.variant, turn + 1, args.repeat);
            let raw = raw::receive(args.size).await?;
            line.raw.push(rate(args.size, raw.time));
            report.raw.push(rate(args.size, raw.time));
            report.raw_cpu.push(per_gb(raw.cpu, args.size));
            report.disks[at].rate.push(disk_rate(&dir, args.size)?);
            line.measure(&peers[..*count], fixture, &http, turn == 0).await?;
        }
        line.stored_percent = percent(line.stored.median, line.raw.median);
        line.checked_percent = percent(line.checked.median, line.raw.median);
        line.served_percent = percent(line.served.median, line.raw.median);
        line.of_first_percent = first.map(|first| percent(line.checked.median, first));
        first = first.or(Some(line.checked.median));
        report.lines.push(line);
    }
    for peer in peers {
        peer.stop().await?;
    }
    Ok(())
}

impl Line {
    fn new(dir: &Path, fixture: &Fixture, peers: usize, blobs: u64) -> Self {
        Self {
            dir: dir.into(),
            variant: fixture.variant,
            peers,
            zip_bytes: fixture.len(),
            unpacked_bytes: fixture.unpacked,
            files: fixture.files,
            blobs,
            raw: Series::default(),
            stored: Series::default(),
            checked: Series::default(),
            served: Series::default(),
            stored_percent: 0.0,
            checked_percent: 0.0,
            served_percent: 0.0,
            fetching_cpu: Series::default(),
            serving_cpu: Series::default(),
            fetching_peak: 0,
            serving_peak: 0,
            of_first_percent: None,
        }
    }

    /// One peer: against the bare stream; several: against one, as they share the cores.
    fn keeps_rate(&self) -> bool {
        self.of_first_percent.map_or(self.checked_percent >= LIMIT_PERCENT, |share| share >= SEVERAL_PERCENT)
    }

    fn keeps_memory(&self) -> bool {
        self.fetching_peak.max(self.serving_peak) <= LIMIT_BYTES
    }

    /// One fetch by a new node.
    async fn measure(&mut self, peers: &[Node], fixture: &Fixture, http: &Http, check: bool) -> Result<(), Failure> {
        let node = Node::peer_of(&self.dir, peers, http).await?;
        let cpu = || -> Result<_, Failure> { Ok((processor_time(node.pid())?, processor_time_of(peers)?)) };
        let fetching = Sampler::start(node.pid())?;
        let serving = peers.iter().map(|peer| Sampler::start(peer.pid())).collect::<Result<Vec<_>, _>>()?;
        let before = cpu()?;
        let (url, blobs) = (node.zip_url(fixture), self.blobs);
        let stored = http.wait(node.goproxy(), |status| status.store.blobs >= blobs);
        let served = async {
            let head = http.head(&url).await?;
            let after = cpu()?;
            Ok::<_, Failure>((head, after, http.get(&url, None).await?))
        };
        let (stored, (checked, after, read)) = tokio::try_join!(stored, served)?;
        self.fetching_peak = self.fetching_peak.max(fetching.stop().await?.peak);
        for serving in serving {
            self.serving_peak = self.serving_peak.max(serving.stop().await?.peak);
        }
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

/// Processor time of all of them together.
fn processor_time_of(nodes: &[Node]) -> Result<Duration, Failure> {
    nodes.iter().map(|node| processor_time(node.pid())).sum()
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
    report.lines.iter().try_for_each(|line| print_line(out, line, *cores))
}

fn print_line(out: &mut impl Write, line: &Line, cores: usize) -> std::io::Result<()> {
    writeln!(
        out,
        "\n{:?} in {} from {} peer(s): {:.1} MB, {:.1} MB unpacked, {} files, {} blobs",
        line.variant,
        line.dir.display(),
        line.peers,
        megabytes(line.zip_bytes),
        megabytes(line.unpacked_bytes),
        line.files,
        line.blobs
    )?;
    writeln!(out, "  bare stream beside it           {}", line.raw)?;
    for (what, series, share) in [
        ("stored ", &line.stored, line.stored_percent),
        ("checked", &line.checked, line.checked_percent),
        ("served ", &line.served, line.served_percent),
    ] {
        writeln!(out, "  {what} {share:>5.1} % of the bare stream  {series}")?;
    }
    let kept = if line.keeps_rate() { "within" } else { "UNDER" };
    match line.of_first_percent {
        None => writeln!(out, "  checked: {kept} the limit of at least {LIMIT_PERCENT} % of the bare stream")?,
        Some(share) => writeln!(
            out,
            "  checked: {share:.1} % of the rate with fewer peers, {kept} the limit of at least {SEVERAL_PERCENT} %"
        )?,
    }
    let (fetching, serving) = (line.fetching_cpu.median, line.serving_cpu.median);
    let at_most = bound(cores, fetching + serving);
    writeln!(
        out,
        "  processor seconds per GB: {fetching:.2} fetching, {serving:.2} serving, so at most {at_most:.0} MB/s"
    )?;
    let kept = if line.keeps_memory() { "within" } else { "OVER" };
    let [fetching, serving, limit] = [line.fetching_peak, line.serving_peak, LIMIT_BYTES].map(megabytes);
    writeln!(
        out,
        "  resident at most, MB: {fetching:.1} fetching, {serving:.1} serving: {kept} the limit of {limit:.0}"
    )
}
