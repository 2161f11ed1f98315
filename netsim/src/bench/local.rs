//! `netsim bench local`: what one node does without others: `h1:` on one and two threads, ingesting a zip from an
//! upstream on loopback, and serving one that it holds.

use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use modswarm::domain::dirhash::H1;
use serde::Serialize;

use super::client::Http;
use super::figures::{Series, disk_rate, megabytes, rate, size};
use super::fixture::{Fixture, Variant};
use super::sample::load;
use super::site::Node;
use super::{Failure, runtime};

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Length of the zips.
    #[arg(long, default_value = "100MB", value_parser = size)]
    size: u64,
    /// Where the node keeps its data.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Only these variants.
    #[arg(long, value_enum, default_values = ["noise", "source"])]
    variant: Vec<Variant>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One variant. Rates are MB/s of zip bytes, unless they say otherwise.
#[derive(Serialize)]
struct Line {
    variant: Variant,
    zip_bytes: u64,
    unpacked_bytes: u64,
    files: usize,
    h1_one_thread: Series,
    h1_two_threads: Series,
    /// MB/s of what the zip unpacks to.
    h1_one_thread_unpacked: Series,
    /// From the request until the seed holds it: downloaded, checked, split, synced.
    ingest: Series,
    /// A client reads what the node holds.
    get: Series,
}

#[derive(Serialize)]
struct Report {
    dir: PathBuf,
    load: f64,
    disk: Series,
    lines: Vec<Line>,
}

/// Measures and prints.
///
/// # Errors
/// What kept it from measuring.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let dir = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut report = Report { dir, load: load(), disk: Series::default(), lines: Vec::new() };
    let runtime = runtime()?;
    for variant in &args.variant {
        let fixture = Fixture::make(*variant, args.size)?;
        let mut line = Line::new(&fixture);
        for _ in 0..args.repeat {
            report.disk.push(disk_rate(&report.dir, args.size)?);
            line.hash(&fixture)?;
            runtime.block_on(line.ingest_and_get(&fixture, &report.dir))?;
        }
        report.lines.push(line);
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Line {
    fn new(fixture: &Fixture) -> Self {
        Self {
            variant: fixture.variant,
            zip_bytes: fixture.len(),
            unpacked_bytes: fixture.unpacked,
            files: fixture.files,
            h1_one_thread: Series::default(),
            h1_two_threads: Series::default(),
            h1_one_thread_unpacked: Series::default(),
            ingest: Series::default(),
            get: Series::default(),
        }
    }

    fn hash(&mut self, fixture: &Fixture) -> Result<(), Failure> {
        let zip: Vec<u8> = fixture.zip.to_vec();
        let begin = Instant::now();
        let one = H1::of_zip(&zip)?;
        let took = begin.elapsed();
        self.h1_one_thread.push(rate(fixture.len(), took));
        self.h1_one_thread_unpacked.push(rate(fixture.unpacked, took));
        let begin = Instant::now();
        let two = H1::of_zip_with(NonZero::<usize>::MIN.saturating_add(1), &zip)?;
        self.h1_two_threads.push(rate(fixture.len(), begin.elapsed()));
        if one == two { Ok(()) } else { Err("one and two threads disagree".into()) }
    }

    async fn ingest_and_get(&mut self, fixture: &Fixture, dir: &std::path::Path) -> Result<(), Failure> {
        let http = Http::new()?;
        let seed = Node::seed(dir, &fixture.serve().await?).await?;
        self.ingest.push(rate(fixture.len(), seed.obtain(fixture, &http).await?));
        let read = http.get(&seed.zip_url(fixture), None).await?;
        self.get.push(rate(read.bytes, read.end));
        seed.check(fixture, &http).await?;
        seed.stop().await
    }
}

fn print(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    writeln!(out, "data in {}, load {}; MB/s: the median, then every measurement", report.dir.display(), report.load)?;
    writeln!(out, "write and fsync                 {}", report.disk)?;
    for line in &report.lines {
        writeln!(
            out,
            "\n{:?}: {:.1} MB, {:.1} MB unpacked, {} files",
            line.variant,
            megabytes(line.zip_bytes),
            megabytes(line.unpacked_bytes),
            line.files
        )?;
        for (what, series) in [
            ("h1 on one thread", &line.h1_one_thread),
            ("  of unpacked bytes", &line.h1_one_thread_unpacked),
            ("h1 on two threads", &line.h1_two_threads),
            ("ingest from an upstream", &line.ingest),
            ("GET of a held zip", &line.get),
        ] {
            writeln!(out, "  {what:<30}{series}")?;
        }
    }
    Ok(())
}
