//! `netsim bench latency`: how fast a node answers what it holds, beside static file servers over the very same files.
//!
//! Some thousand small module versions and their checksum database are seeded into a node, which is then started anew
//! without an upstream: what it answers comes out of its store. The same files are written into a directory for the static
//! servers. Every answer of every server is compared with the file first, so all of them are warm. Then each server in
//! turn, over and over, gets the same requests on the same number of kept connections; servers and clients are
//! processes of their own and share the machine, so what counts is the ratio within a round.

pub(super) mod files;
pub(super) mod load;
mod servers;
mod table;
mod tree;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::client::Http;
use super::figures::Series;
use super::fixture::Dice;
use super::sample::{load as machine_load, processor_time};
use super::worker::Running;
use super::{Failure, runtime};
use load::Load;
use servers::Server;
use tree::Tree;

/// The least part of a static server's requests per second that a node is to answer.
const LEAST_RATE: f64 = 0.5;
/// The most that a node's 99th percentile may be of a static server's.
const MOST_P99: f64 = 3.0;
/// Requests of one kind that are drawn; then they come again. Enough for each file to come several times.
const DRAWN: usize = 1 << 16;
/// Requests at a time while the node is seeded and while the answers are compared.
const AT_ONCE: usize = 32;
/// Module versions that make a hot set.
const HOT: usize = 16;

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many module versions.
    #[arg(long, default_value_t = 4000)]
    versions: usize,
    /// Connections, each kept and with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How often each server has its turn with each kind of requests.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// How long a turn is, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    millis: u64,
    /// The static servers.
    #[arg(long = "static", value_enum, default_values = ["hyper"])]
    statics: Vec<Static>,
    /// Only these kinds of requests.
    #[arg(long, value_enum, default_values = ["info", "mod", "list", "lookup", "mix", "hot"])]
    kind: Vec<Kind>,
    /// Where node and files are.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A static file server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Static {
    /// Open, read, close with the HTTP library that the node has.
    Hyper,
    /// nginx, which has to be installed.
    Nginx,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// `.info`.
    Info,
    /// `.mod`.
    Mod,
    /// `@v/list`.
    List,
    /// Records of the checksum database.
    Lookup,
    /// Zips of some kilobytes.
    Zip,
    /// What the go command asks for in its own tests: list 25 %, info 24 %, records 24 %, mod 15 %, zip 11 %.
    Mix,
    /// `.info` of 16 module versions.
    Hot,
}

/// One server with one kind of requests.
#[derive(Serialize, Default)]
struct Line {
    server: String,
    /// Right answers per second.
    rate: Series,
    /// Microseconds.
    p50: Series,
    /// Microseconds.
    p99: Series,
    /// Processor time of the server for one answer, in microseconds.
    cpu: Series,
    errors: u32,
}

/// All servers with one kind of requests.
#[derive(Serialize)]
struct Part {
    kind: Kind,
    /// The node first.
    lines: Vec<Line>,
    /// The clients' share of one processor.
    clients: Series,
}

#[derive(Serialize)]
struct Report {
    versions: usize,
    connections: usize,
    repeat: usize,
    millis: u64,
    load: f64,
    parts: Vec<Part>,
}

/// Measures and prints. The exit code is 1 when a limit was broken.
///
/// # Errors
/// What kept it from measuring; above all an answer that is not the file.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let dir = tempfile::Builder::new()
        .prefix("modswarm-bench-")
        .tempdir_in(args.dir.clone().unwrap_or_else(std::env::temp_dir))?;
    eprintln!("making {} module versions", args.versions);
    let tree = Arc::new(Tree::make(args.versions)?);
    let report = runtime()?.block_on(measure(args, &tree, dir.path()))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        table::json(&mut out, &report)?
    } else {
        table::print(&mut out, &report)?
    }
    Ok(if report.parts.iter().all(table::kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &Args, tree: &Arc<Tree>, dir: &Path) -> Result<Report, Failure> {
    let servers = servers::start(&args.statics, tree, dir).await?;
    let http = Http::new()?;
    for server in &servers {
        eprintln!("comparing the answers of {} with the files", server.name());
        compare(tree, server, &http).await?;
    }
    let requests = dir.join("requests");
    let mut parts = Vec::new();
    for kind in &args.kind {
        std::fs::write(&requests, draw(tree, *kind)?)?;
        let lines = servers.iter().map(|server| Line { server: server.name().into(), ..Line::default() }).collect();
        let mut part = Part { kind: *kind, lines, clients: Series::default() };
        for round in 0..args.repeat {
            eprintln!("{kind:?}, round {} of {}", round + 1, args.repeat);
            for (server, line) in servers.iter().zip(&mut part.lines) {
                part.clients.push(turn(args, server, &requests, line).await?);
            }
        }
        parts.push(part);
    }
    for server in servers {
        server.stop().await?;
    }
    let Args { versions, connections, repeat, millis, .. } = *args;
    Ok(Report { versions, connections, repeat, millis, load: machine_load(), parts })
}

/// One turn of one server; the clients' share of one processor.
async fn turn(args: &Args, server: &Server, requests: &Path, line: &mut Line) -> Result<f64, Failure> {
    let cpu = || -> Result<Duration, Failure> { server.pids()?.into_iter().map(processor_time).sum() };
    let before = cpu()?;
    let arguments: Vec<String> = [
        ("--address", server.address().to_string()),
        ("--requests", requests.display().to_string()),
        ("--connections", args.connections.to_string()),
        ("--millis", args.millis.to_string()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect();
    let (worker, load): (Running, Load) = Running::start(&[vec!["load".to_owned()], arguments].concat()).await?;
    let taken = (cpu()? - before).as_secs_f64();
    worker.stop().await?;
    let answers = f64::from(load.answers.max(1));
    line.rate.push(answers / load.seconds);
    line.p50.push(load.p50);
    line.p99.push(load.p99);
    line.cpu.push(taken * 1e6 / answers);
    line.errors += load.errors;
    Ok(load.cpu / load.seconds)
}

/// That a server answers with every file, byte for byte.
async fn compare(tree: &Arc<Tree>, server: &Server, http: &Http) -> Result<(), Failure> {
    let base = format!("http://{}", server.address());
    let checks = tree.files().map(|(path, body)| {
        let (url, wanted) = (format!("{base}{path}"), blake3::hash(body));
        async move {
            match http.hash(&url).await? == wanted {
                true => Ok(()),
                false => Err(Failure::from(format!("{url} is another file"))),
            }
        }
    });
    futures::stream::iter(checks).buffer_unordered(AT_ONCE).try_collect().await
}

/// The requests of a kind in random order, the same in every run, as the clients read them.
fn draw(tree: &Tree, kind: Kind) -> Result<String, Failure> {
    let mut dice = Dice::new(23);
    let mut text = String::new();
    for _ in 0..DRAWN {
        let of = match kind {
            // GOPROXY of 4,016 requests of the go command's own tests.
            Kind::Mix => match dice.below(99) {
                0..25 => Kind::List,
                25..49 => Kind::Info,
                49..73 => Kind::Lookup,
                73..88 => Kind::Mod,
                _ => Kind::Zip,
            },
            Kind::Hot => Kind::Info,
            one => one,
        };
        let paths = tree.paths(of);
        let among = if kind == Kind::Hot { HOT.min(paths.len()) } else { paths.len() };
        let path = paths.get(dice.below(among)).ok_or("there are no module versions")?;
        writeln!(text, "{path}\t{}", tree.len(path))?;
    }
    Ok(text)
}
