//! `netsim bench upgrades`: what a node that has one version of a module must be sent for the next one.
//!
//! The zips are those that the go command downloads with its own settings. For every pair it counts the bytes of the newer
//! zip, those of blobs (chunks and recipe pages) that the older version did not have, and of the new manifest; and beside
//! it what FastCDC over the bytes of the zips would send. Every zip is also joined again and compared bit for bit, and its
//! `h1:` is computed and compared with what the go command says.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io::Write as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use modswarm::domain::blob::BlobId;
use modswarm::domain::dirhash::H1;
use modswarm::domain::manifest::{GoMod, Manifest, ZipRef};
use modswarm::domain::module::ModuleVersion;
use modswarm::domain::recipe::{Layout, Split, join, split};
use serde::{Deserialize, Serialize};

/// What an upgrade may cost: 15 % of the zip.
const LIMIT_PERCENT: f64 = 15.0;
/// FastCDC's average chunk: 64 KiB; the least and the most are a quarter and four times of it.
const CDC_AVERAGE: usize = 64 << 10;

/// The last two upgrades of each of 19 modules: the three newest releases that `go list -m -versions` named in November 2026, in
/// its order, without pre-releases. A rule, so that nobody picks; a pair that costs much stays in it.
const PAIRS: &[(&str, &str, &str)] = &[
    ("github.com/aws/aws-sdk-go", "v1.55.6", "v1.55.7"),
    ("github.com/aws/aws-sdk-go", "v1.55.7", "v1.55.8"),
    ("github.com/gin-gonic/gin", "v1.10.1", "v1.11.0"),
    ("github.com/gin-gonic/gin", "v1.11.0", "v1.12.0"),
    ("github.com/gohugoio/hugo", "v0.167.0", "v0.168.0"),
    ("github.com/gohugoio/hugo", "v0.168.0", "v0.169.0"),
    ("github.com/klauspost/compress", "v1.20.1", "v1.20.2"),
    ("github.com/klauspost/compress", "v1.20.2", "v1.20.3"),
    ("github.com/prometheus/client_golang", "v1.24.0", "v1.24.1"),
    ("github.com/prometheus/client_golang", "v1.24.1", "v1.25.0"),
    ("github.com/spf13/cobra", "v1.10.0", "v1.10.1"),
    ("github.com/spf13/cobra", "v1.10.1", "v1.10.2"),
    ("github.com/stretchr/testify", "v1.11.1", "v1.12.0"),
    ("github.com/stretchr/testify", "v1.12.0", "v1.12.1"),
    ("go.etcd.io/bbolt", "v1.4.2", "v1.4.3"),
    ("go.etcd.io/bbolt", "v1.4.3", "v1.5.0"),
    ("golang.org/x/crypto", "v0.56.0", "v0.57.0"),
    ("golang.org/x/crypto", "v0.57.0", "v0.58.0"),
    ("golang.org/x/net", "v0.60.0", "v0.61.0"),
    ("golang.org/x/net", "v0.61.0", "v0.62.0"),
    ("golang.org/x/sys", "v0.47.0", "v0.48.0"),
    ("golang.org/x/sys", "v0.48.0", "v0.49.0"),
    ("golang.org/x/text", "v0.41.0", "v0.42.0"),
    ("golang.org/x/text", "v0.42.0", "v0.43.0"),
    ("golang.org/x/tools", "v0.50.0", "v0.51.0"),
    ("golang.org/x/tools", "v0.51.0", "v0.52.0"),
    ("google.golang.org/grpc", "v1.83.2", "v1.84.0"),
    ("google.golang.org/grpc", "v1.84.0", "v1.85.0"),
    ("google.golang.org/protobuf", "v1.36.10", "v1.36.11"),
    ("google.golang.org/protobuf", "v1.36.11", "v1.36.12"),
    ("k8s.io/api", "v0.37.0", "v0.37.1"),
    ("k8s.io/api", "v0.37.1", "v0.37.2"),
    ("k8s.io/client-go", "v0.37.0", "v0.37.1"),
    ("k8s.io/client-go", "v0.37.1", "v0.37.2"),
    ("k8s.io/kubernetes", "v1.35.4", "v1.36.1"),
    ("k8s.io/kubernetes", "v1.36.1", "v1.36.3"),
    ("modernc.org/sqlite", "v1.60.1", "v1.61.0"),
    ("modernc.org/sqlite", "v1.61.0", "v1.61.1"),
];

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the go command keeps what it downloads (about 4 GB); default: a directory for temporary files.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `go mod download -json` says of a module version.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Download {
    path: String,
    version: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    info: PathBuf,
    #[serde(default)]
    go_mod: PathBuf,
    #[serde(default)]
    zip: PathBuf,
    #[serde(default)]
    sum: String,
    #[serde(default)]
    go_mod_sum: String,
}

/// One upgrade; all but names and counts are bytes.
#[derive(Serialize, Default)]
struct Pair {
    module: String,
    from: String,
    to: String,
    zip: u64,
    chunks: u64,
    pages: u64,
    manifest: u64,
    recipe: u64,
    sent: u64,
    sent_percent: f64,
    fastcdc: u64,
    fastcdc_percent: f64,
    blobs_sent: u64,
    blobs_all: u64,
}

/// The whole run.
#[derive(Serialize)]
struct Report {
    pairs: Vec<Pair>,
    total: Pair,
    limit_percent: f64,
    median_percent: f64,
    /// The pair that costs the most bytes, and what the others come to without it.
    costliest: String,
    percent_without_costliest: f64,
    zips_rebuilt: usize,
    zip_bytes_rebuilt: u64,
    split_mb_per_s: f64,
    h1_mb_per_s_1_thread: f64,
    h1_mb_per_s_2_threads: f64,
}

/// A module version, taken apart.
struct Parts {
    /// Length of every blob.
    blobs: HashMap<BlobId, u64>,
    pages: HashSet<BlobId>,
    manifest: u64,
    zip: Vec<u8>,
}

#[derive(Default)]
struct Clock {
    zips: usize,
    bytes: u64,
    split: Duration,
    h1: [Duration; 2],
}

/// Downloads, measures, prints.
///
/// # Errors
/// What kept it from measuring, or a zip that did not come out bit for bit.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let cache = args.cache.clone().unwrap_or_else(|| std::env::temp_dir().join("modswarm-bench-upgrades"));
    let downloads = download(&cache)?;
    let mut clock = Clock::default();
    let mut pairs = Vec::new();
    for (module, from, to) in PAIRS {
        let get = |version: &str| downloads.get(&format!("{module}@{version}")).ok_or("a download is missing");
        eprintln!("{module} {from} -> {to}");
        let old = take_apart(get(from)?, &mut clock)?;
        let new = take_apart(get(to)?, &mut clock)?;
        pairs.push(measure(module, from, to, &old, &new));
    }
    let costliest = pairs.iter().enumerate().max_by_key(|(_, pair)| pair.sent).map_or(0, |(at, _)| at);
    let others: Vec<&Pair> =
        pairs.iter().enumerate().filter(|(at, _)| *at != costliest).map(|(_, pair)| pair).collect();
    let report = Report {
        total: total(&pairs.iter().collect::<Vec<_>>()),
        median_percent: median(&pairs),
        percent_without_costliest: total(&others).sent_percent,
        costliest: pairs[costliest].name(),
        pairs,
        limit_percent: LIMIT_PERCENT,
        zips_rebuilt: clock.zips,
        zip_bytes_rebuilt: clock.bytes,
        split_mb_per_s: rate(clock.bytes, clock.split),
        h1_mb_per_s_1_thread: rate(clock.bytes, clock.h1[0]),
        h1_mb_per_s_2_threads: rate(clock.bytes, clock.h1[1]),
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&mut out, &report)?;
    }
    Ok(if report.total.sent_percent <= LIMIT_PERCENT { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything in [`PAIRS`], by `path@version`.
fn download(cache: &Path) -> Result<HashMap<String, Download>, Box<dyn Error>> {
    std::fs::create_dir_all(cache)?;
    let cache = cache.canonicalize()?;
    let wanted: HashSet<String> =
        PAIRS.iter().flat_map(|(module, from, to)| [format!("{module}@{from}"), format!("{module}@{to}")]).collect();
    eprintln!("downloading {} module versions into {}", wanted.len(), cache.display());
    let output = Command::new("go")
        .args(["mod", "download", "-json"])
        .args(&wanted)
        .current_dir(&cache)
        .env("GOMODCACHE", cache.join("mod"))
        .env("GOFLAGS", "-modcacherw")
        .env("GOWORK", "off")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("the go command cannot be run: {error}"))?;
    let mut downloads = HashMap::new();
    for download in serde_json::Deserializer::from_slice(&output.stdout).into_iter() {
        let download: Download = download?;
        let name = format!("{}@{}", download.path, download.version);
        // A module that wants a newer go is an error to the go command, after it has downloaded it.
        if !download.error.is_empty() && !download.zip.is_file() {
            return Err(format!("{name} cannot be downloaded: {}", download.error).into());
        }
        downloads.insert(name, download);
    }
    Ok(downloads)
}

/// Splits a zip, joins it again, and compares.
fn take_apart(download: &Download, clock: &mut Clock) -> Result<Parts, Box<dyn Error>> {
    let module = ModuleVersion::parse(&format!("{}@{}", download.path, download.version))?;
    let zip = std::fs::read(&download.zip)?;
    let h1: H1 = download.sum.parse()?;
    for threads in [1, 2] {
        let start = Instant::now();
        let got = H1::of_zip_with(NonZero::new(threads).unwrap_or(NonZero::<usize>::MIN), &zip)?;
        clock.h1[threads - 1] += start.elapsed();
        if got != h1 {
            return Err(format!("{module} hashes to {got} and not to {h1}").into());
        }
    }
    let mut blobs = HashMap::new();
    let start = Instant::now();
    let split = split(&module, &zip, &mut |id, bytes| {
        blobs.insert(id, bytes);
        Ok::<_, Box<dyn Error>>(())
    })?;
    clock.split += start.elapsed();
    check_join(&module, &zip, &split, &blobs)?;
    clock.zips += 1;
    clock.bytes += split.len;
    let manifest = Manifest {
        module,
        info: std::fs::read(&download.info)?,
        go_mod: GoMod::Inline(std::fs::read(&download.go_mod)?),
        go_mod_h1: download.go_mod_sum.parse()?,
        zip: Some(ZipRef { h1, len: split.len, blake3: split.blake3, pages: split.pages.clone() }),
    };
    Ok(Parts {
        blobs: blobs.iter().map(|(id, bytes)| (*id, bytes.len() as u64)).collect(),
        pages: split.pages.into_iter().collect(),
        manifest: manifest.encode().len() as u64,
        zip,
    })
}

fn check_join(
    module: &ModuleVersion,
    zip: &[u8],
    split: &Split,
    blobs: &HashMap<BlobId, Vec<u8>>,
) -> Result<(), Box<dyn Error>> {
    let pages: Vec<&Vec<u8>> = split.pages.iter().filter_map(|id| blobs.get(id)).collect();
    let layout = Layout::from_pages(module, split.len, &pages)?;
    let mut joined = Vec::with_capacity(zip.len());
    join(
        &layout,
        |id| blobs.get(id).map(|bytes| bytes.clone().into()).ok_or("a chunk is missing"),
        |bytes| {
            joined.extend_from_slice(bytes);
            Ok(())
        },
    )?;
    if joined != zip || !split.by_file {
        return Err(format!("{module} was not rebuilt bit for bit from its files").into());
    }
    Ok(())
}

fn measure(module: &str, from: &str, to: &str, old: &Parts, new: &Parts) -> Pair {
    let sent: Vec<_> = new.blobs.iter().filter(|(id, _)| !old.blobs.contains_key(*id)).collect();
    let of = |pages: bool| sent.iter().filter(|(id, _)| new.pages.contains(*id) == pages).map(|(_, len)| **len).sum();
    let known: HashSet<BlobId> = cdc(&old.zip).map(BlobId::of).collect();
    let mut missing: HashMap<BlobId, u64> =
        cdc(&new.zip).map(|piece| (BlobId::of(piece), piece.len() as u64)).collect();
    missing.retain(|id, _| !known.contains(id));
    let pair = Pair {
        module: module.into(),
        from: from.into(),
        to: to.into(),
        zip: new.zip.len() as u64,
        chunks: of(false),
        pages: of(true),
        manifest: new.manifest,
        fastcdc: missing.values().sum(),
        blobs_sent: sent.len() as u64,
        blobs_all: new.blobs.len() as u64,
        ..Pair::default()
    };
    pair.add_up()
}

fn cdc(zip: &[u8]) -> impl Iterator<Item = &[u8]> {
    fastcdc::v2020::FastCDC::new(zip, CDC_AVERAGE / 4, CDC_AVERAGE, CDC_AVERAGE * 4)
        .map(|chunk| &zip[chunk.offset..chunk.offset + chunk.length])
}

impl Pair {
    fn name(&self) -> String {
        let name = format!("{} {} -> {}", self.module, self.from, self.to);
        name.trim_end_matches([' ', '-', '>']).into()
    }

    fn add_up(mut self) -> Self {
        self.recipe = self.pages + self.manifest;
        self.sent = self.chunks + self.recipe;
        self.sent_percent = percent(self.sent, self.zip);
        self.fastcdc_percent = percent(self.fastcdc, self.zip);
        self
    }
}

/// The middle one of the pairs' shares; of an even count, the higher of the two.
fn median(pairs: &[Pair]) -> f64 {
    let mut shares: Vec<f64> = pairs.iter().map(|pair| pair.sent_percent).collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or_default()
}

fn total(pairs: &[&Pair]) -> Pair {
    let sum = |of: fn(&Pair) -> u64| pairs.iter().map(|pair| of(pair)).sum();
    let total = Pair {
        module: "total".into(),
        zip: sum(|pair| pair.zip),
        chunks: sum(|pair| pair.chunks),
        pages: sum(|pair| pair.pages),
        manifest: sum(|pair| pair.manifest),
        fastcdc: sum(|pair| pair.fastcdc),
        blobs_sent: sum(|pair| pair.blobs_sent),
        blobs_all: sum(|pair| pair.blobs_all),
        ..Pair::default()
    };
    total.add_up()
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9)
}

fn print(out: &mut impl std::io::Write, report: &Report) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<56} {:>11} {:>10} {:>7} {:>9} {:>7} {:>9} {:>11} {:>7}",
        "upgrade", "zip", "sent", "", "recipe", "", "blobs", "fastcdc", ""
    )?;
    for pair in report.pairs.iter().chain([&report.total]) {
        writeln!(
            out,
            "{:<56} {:>11} {:>10} {:>6.2}% {:>9} {:>6.2}% {:>9} {:>11} {:>6.2}%",
            pair.name(),
            pair.zip,
            pair.sent,
            pair.sent_percent,
            pair.recipe,
            percent(pair.recipe, pair.zip),
            pair.blobs_sent,
            pair.fastcdc,
            pair.fastcdc_percent,
        )?;
    }
    let total = &report.total;
    let verdict = if total.sent_percent <= report.limit_percent { "within" } else { "OVER" };
    writeln!(out, "sent {:.2} %: {verdict} the limit of {} %", total.sent_percent, report.limit_percent)?;
    writeln!(
        out,
        "median pair {:.2} %; all without {}: {:.2} %",
        report.median_percent, report.costliest, report.percent_without_costliest
    )?;
    writeln!(
        out,
        "recipe {} bytes: pages {}, manifests {}; blobs sent {} of {}",
        total.recipe, total.pages, total.manifest, total.blobs_sent, total.blobs_all
    )?;
    writeln!(
        out,
        "{} zips, two for each pair ({} bytes), rebuilt bit for bit, every h1: as the go command has it",
        report.zips_rebuilt, report.zip_bytes_rebuilt
    )?;
    writeln!(
        out,
        "split {:.0} MB/s, h1 {:.0} MB/s on one thread, {:.0} MB/s on two (of zip bytes)",
        report.split_mb_per_s, report.h1_mb_per_s_1_thread, report.h1_mb_per_s_2_threads
    )
}
