//! `netsim lab`: real binaries on machines of a network of their own, made of Linux network namespaces.
//!
//! Each scenario says what a site of real nodes does over lines of a real rate: how long a crowd of go commands takes for one
//! module, what that costs the seed, what happens when the seed dies, what a site costs that has nothing to do, how fast it
//! finds itself. Each figure that is promised has a limit; a run that misses one ends with exit code 1.
//!
//! All is on one machine: when its processors are busy, figures are those of the processors. So each report says how much of them
//! was idle, and what the go command alone takes.

mod bound;
mod content;
mod cpu;
mod crowd;
mod exec;
mod leftovers;
mod limits;
mod net;
mod node;
mod probe;
mod progress;
pub(crate) mod relay;
mod report;
mod scenario;
mod site;
#[cfg(test)]
mod tests;
pub(crate) mod units;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::Failure;
use crate::bench::figures::size;
use crate::bench::fixture::Variant;
use content::Content;
use limits::MAX_NODES;
use report::Report;

pub(crate) use probe::Probe;

/// What happens in the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// 10 machines ask for one module at the same moment; one seed has it.
    Flash10,
    /// The same, and the seed is killed when the median machine has half.
    SeedDies,
    /// 12 nodes that have nothing to do: bytes per second.
    Idle,
    /// 30 machines are switched on at once: when have all of them found enough others.
    Storm,
}

impl Scenario {
    /// Nodes beside a seed, unless told otherwise.
    fn nodes(self) -> usize {
        match self {
            Self::Flash10 | Self::SeedDies => 10,
            Self::Idle => 12,
            Self::Storm => 30,
        }
    }
}

/// How to run it.
#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    /// What happens.
    #[arg(value_enum)]
    scenario: Scenario,
    /// Nodes, a seed not counted [default: what the scenario says].
    #[arg(long)]
    nodes: Option<usize>,
    /// What each line carries, in each direction.
    #[arg(long, default_value = "100mbit", value_parser = units::rate)]
    rate: u64,
    /// The binary to run [default: `modswarm` beside this program].
    #[arg(long, value_name = "PATH")]
    modswarm: Option<PathBuf>,
    /// What the made-up module is like.
    #[arg(long, value_enum, default_value = "noise")]
    content: Variant,
    /// Length of its zip.
    #[arg(long, default_value = "25MB", value_parser = size)]
    size: u64,
    /// A real module instead, which this machine's go command can download.
    #[arg(long, value_name = "MODULE@VERSION", conflicts_with_all = ["content", "size"])]
    real: Option<String>,
    /// No discovery on the LAN: each node is told the addresses of those that were started before it.
    #[arg(long)]
    no_mdns: bool,
    /// When a go command is given up.
    #[arg(long, default_value = "5m", value_parser = units::duration)]
    deadline: Duration,
    /// How long nodes that have found each other are left alone before `idle` measures.
    #[arg(long, default_value = "30s", value_parser = units::duration)]
    settle: Duration,
    /// How long `idle` measures.
    #[arg(long, default_value = "60s", value_parser = units::duration)]
    measure: Duration,
    /// Where nodes and go commands keep their data [default: the directory for temporary files].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a scenario has to run with. Dropping it removes everything.
struct Lab {
    args: Args,
    modswarm: PathBuf,
    // In this order: what runs in the network writes into the directory.
    net: net::Net,
    dir: TempDir,
}

impl Args {
    /// Runs the scenario. The exit code is 1 when a limit is missed and 2 when this user may not make a network.
    ///
    /// # Errors
    /// What kept it from measuring.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        if !exec::is_root() {
            eprintln!("netsim: the lab makes network namespaces, which only root may: run it with sudo");
            return Ok(ExitCode::from(2));
        }
        let json = self.json;
        let report = measure(self)?;
        report.print(json)?;
        Ok(if report.all_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn nodes(&self) -> usize {
        self.nodes.unwrap_or_else(|| self.scenario.nodes())
    }
}

/// Runs the scenario in a network of its own; nothing of that is left, however it ends.
fn measure(args: Args) -> Result<Report, Failure> {
    if !(2..=MAX_NODES).contains(&args.nodes()) {
        return Err(format!("a lab has 2 to {MAX_NODES} nodes").into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything is there that a signal would leave behind.
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut lab = Lab::new(args)?;
        // Whichever ends first: then the processes of the scenario are dropped, and after them the lab.
        tokio::select! {
            report = scenario::run(&mut lab) => report,
            _ = interrupt.recv() => Err("interrupted; everything is removed".into()),
            _ = terminate.recv() => Err("told to end; everything is removed".into()),
        }
    })
}

impl Lab {
    fn new(args: Args) -> Result<Self, Failure> {
        let modswarm = match &args.modswarm {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("modswarm"),
        };
        if !modswarm.is_file() {
            let path = modswarm.display();
            return Err(format!("there is no {path}: `cargo build --release`, or say where with --modswarm").into());
        }
        // Namespaces do not change what a relative path means, but nodes and go commands have directories of their own.
        let modswarm = modswarm.canonicalize()?;
        let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir).canonicalize()?;
        let removed = leftovers::remove(&parent)?;
        if removed > 0 {
            eprintln!("removed {removed} leftovers of runs that were killed");
        }
        let dir = tempfile::Builder::new().prefix(&leftovers::prefix(std::process::id())).tempdir_in(parent)?;
        Ok(Self { args, modswarm, net: net::Net::new(), dir })
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What is fetched.
    async fn content(&self) -> Result<Content, Failure> {
        match &self.args.real {
            Some(module) => Content::real(self.dir(), module).await,
            None => Content::made_up(self.dir(), self.args.content, self.args.size),
        }
    }
}
