//! The other side of a benchmark: this program again, in a process of its own, so that its memory and its processor time
//! are its own too.
//!
//! A worker writes one line of JSON when it is ready and ends when its standard input does, so that none outlives the
//! benchmark, however that ends.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Subcommand;
use modswarm::config::{Config, SiteFile, UpstreamChoice};
use modswarm::daemon::Daemon;
use modswarm::domain::pattern::PrefixPatterns;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::latency::files::{self, FilesArgs};
use super::latency::load::{self, LoadArgs};
use super::{Failure, raw, runtime};

/// A worker that is not ready by then never will be.
const READY: Duration = Duration::from_secs(30);

/// What to be.
#[derive(Subcommand)]
pub(crate) enum Worker {
    /// A node.
    Node(NodeArgs),
    /// The sending end of bare streams.
    Raw,
    /// A static file server.
    Files(FilesArgs),
    /// Clients of a server; says what came of it and ends.
    Load(LoadArgs),
}

/// How a node runs.
#[derive(clap::Args)]
pub(crate) struct NodeArgs {
    /// Data directory.
    #[arg(long)]
    data: PathBuf,
    /// The only upstream.
    #[arg(long)]
    upstream: Option<String>,
    /// A peer; may be given several times.
    #[arg(long)]
    peer: Vec<String>,
    /// The only checksum database.
    #[arg(long)]
    sumdb: Option<String>,
}

/// Where a node can be reached.
#[derive(Serialize, Deserialize)]
pub(crate) struct NodeReady {
    /// What to set GOPROXY to.
    pub(crate) goproxy: String,
    /// What `--peer` of another node takes.
    pub(crate) peer: String,
}

impl Worker {
    /// Runs until standard input ends.
    ///
    /// # Errors
    /// What kept it from starting, or stopped it.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        if let Self::Load(args) = &self {
            return load::run(args).map(|()| ExitCode::SUCCESS);
        }
        let runtime = runtime()?;
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        std::thread::spawn(move || {
            // An error is an end as well.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            stopper.cancel();
        });
        let ended = runtime.block_on(async {
            match self {
                Self::Node(args) => node(args, stop).await,
                Self::Raw => raw::send(stop).await,
                Self::Files(args) => files::run(args, stop).await,
                // It is no server: see above.
                Self::Load(_) => Ok(()),
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended.map(|()| ExitCode::SUCCESS)
    }
}

async fn node(args: NodeArgs, stop: CancellationToken) -> Result<(), Failure> {
    modswarm::upstream::install_crypto();
    let config = Config {
        data: args.data,
        http: ([127, 0, 0, 1], 0).into(),
        http_prefix: String::new(),
        swarm: vec!["/ip4/127.0.0.1/tcp/0".into()],
        peers: args.peer,
        upstream: args.upstream.map(UpstreamChoice::List),
        fresh: Duration::from_secs(60),
        replicas: 0,
        mdns: false,
        office: None,
        sumdb: args.sumdb.into_iter().collect(),
        site: SiteFile::default(),
        private: PrefixPatterns::default(),
    };
    let daemon = Daemon::start(config, stop).await?;
    let peer = daemon.swarm_addresses().first().cloned().unwrap_or_default();
    ready(&NodeReady { goproxy: daemon.goproxy().to_owned(), peer })?;
    Ok(daemon.run().await?)
}

/// Says that a worker is ready.
pub(crate) fn ready<T: Serialize>(said: &T) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// A running worker, killed when it is dropped.
pub(crate) struct Running {
    process: tokio::process::Child,
    pid: u32,
}

impl Running {
    /// Starts a node in `data`, with an upstream or peers, and a checksum database or none.
    pub(crate) async fn node(
        data: &Path,
        upstream: Option<&str>,
        peers: &[&str],
        sumdb: Option<&str>,
    ) -> Result<(Self, NodeReady), Failure> {
        let mut args = vec!["node".to_owned(), "--data".into(), data.display().to_string()];
        let peers = peers.iter().map(|peer| ("--peer", *peer));
        let others = [("--upstream", upstream), ("--sumdb", sumdb)];
        let others = others.into_iter().filter_map(|(flag, value)| value.map(|value| (flag, value)));
        args.extend(peers.chain(others).flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]));
        Self::start(&args).await
    }

    /// Starts a worker and waits for what it says when it is ready.
    pub(crate) async fn start<T: DeserializeOwned>(args: &[String]) -> Result<(Self, T), Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "worker"]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let pid = process.id().ok_or("a worker ended at once")?;
        let mut lines = BufReader::new(process.stdout.take().ok_or("a worker has no output")?).lines();
        let line =
            tokio::time::timeout(READY, lines.next_line()).await??.ok_or("a worker ended before it was ready")?;
        // What it says later is nobody's concern, but its pipe must not fill up.
        tokio::spawn(async move { lines.into_inner().read_to_end(&mut Vec::new()).await });
        Ok((Self { process, pid }, serde_json::from_str(&line)?))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it end in order.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        drop(self.process.stdin.take());
        self.process.wait().await?;
        Ok(())
    }
}
