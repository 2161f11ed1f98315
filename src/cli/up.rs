//! `modswarm up`: a node in the foreground.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::log::{self, Format};
use super::signals::Signals;
use super::{Failure, print};
use crate::config::{Config, Raw};
use crate::daemon::{Daemon, DaemonError};

/// How long an orderly stop may take before the process ends all the same: whoever stops a node has it stopped within 5 s.
/// Everything that was acknowledged is on disk at any moment, so nothing is lost then.
const STOP_DEADLINE: Duration = Duration::from_millis(4500);

/// Arguments of `modswarm up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  modswarm up --upstream go-env             a seed: fetches from where `go env GOPROXY` says
  modswarm up                               a workstation: finds its peers by multicast
  modswarm up --peer /dns4/seed/tcp/6638    a workstation that multicast does not reach")]
pub(super) struct Args {
    /// Data directory [default: the user's own, as in ~/.local/share/modswarm].
    ///
    /// Module data, index, the node's identity and its token. One node at a time uses it; other commands find the node
    /// by it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the go command finds this node [default: 127.0.0.1:6637].
    ///
    /// An IP address and a port; port 0 takes a free one. Whoever can reach it can fetch from it.
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Serve the GOPROXY under a path, as in /mod; the node's own API stays at /-/.
    ///
    /// For a reverse proxy that has other things to serve on the same name, or for several nodes behind one.
    #[arg(long, value_name = "PATH")]
    http_prefix: Option<String>,
    /// Where peers find this node; repeatable [default: /ip4/0.0.0.0/tcp/6638].
    #[arg(long, value_name = "MULTIADDR")]
    swarm: Vec<String>,
    /// A peer to stay connected with; repeatable.
    ///
    /// As in /dns4/seed/tcp/6638 or /ip4/192.0.2.1/tcp/6638, with /p2p/PEER-ID at the end to insist on who it is.
    #[arg(long, value_name = "MULTIADDR")]
    peer: Vec<String>,
    /// Where to fetch what the site does not have: a GOPROXY list, or `go-env`.
    ///
    /// `go-env` takes what `go env GOPROXY` says on this machine. Only module proxies are fetched from: `direct` is left
    /// out there, and refused in a list. A node without an upstream has only its peers.
    #[arg(long, value_name = "URL-LIST")]
    upstream: Option<String>,
    /// Take only what this checksum database proves; repeatable [default: the go command's own].
    ///
    /// As in GOSUMDB: a known name, `name+key`, or `name+key url`; all nodes of a site have the same. `off` takes what
    /// nothing proves, and the go command is left alone with its go.sum.
    #[arg(long, value_name = "GOSUMDB")]
    sumdb: Vec<String>,
    /// What the nodes of this site have agreed on: who publishes which modules [default: site.toml in the data
    /// directory].
    ///
    /// A TOML file, the same on all nodes and read at the start; `modswarm site key` prints what to write into it. What
    /// is under one of its module prefixes is taken only with a publisher's signature, and never asked for elsewhere.
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Private modules: never ask an upstream or a checksum database for what matches.
    ///
    /// Patterns as in GOPRIVATE, with commas between them: *.corp.example,example.com/secret
    #[arg(long, value_name = "PATTERNS")]
    private: Option<String>,
    /// How old a list of versions or a "latest" may be [default: 60s].
    ///
    /// A whole number and a unit, as in 500ms, 30s, 5m, 2h or 1d. Until then neither an upstream nor a seed is asked again.
    #[arg(long, value_name = "DURATION")]
    fresh: Option<String>,
    /// How many nodes of the site are to hold each version; this one brings its share [default: 3].
    ///
    /// So that a build does not depend on one machine. 0 brings only what this machine's go command asks for.
    #[arg(long, value_name = "COUNT")]
    replicas: Option<u16>,
    /// Do not look for peers on the LAN: neither by multicast DNS nor by broadcasts.
    #[arg(long)]
    no_mdns: bool,
    /// Name of the office this node is in.
    #[arg(long, value_name = "NAME")]
    office: Option<String>,
    /// Read settings from a TOML file.
    ///
    /// Its keys are the names of these flags with `_` for `-`; a flag wins over the file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines look on stderr: text or json.
    ///
    /// What is logged is set by the environment variable MODSWARM_LOG, as in MODSWARM_LOG=modswarm=debug.
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    log: Format,
}

/// Runs a node until Ctrl-C, SIGTERM, or a failure.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    let format = args.log;
    log::start(format)?;
    configure(args).and_then(up).map_err(|failure| match format {
        Format::Text => failure,
        Format::Json => {
            tracing::error!(error = %failure, "the node cannot run");
            failure.told()
        }
    })
}

fn configure(args: Args) -> Result<Config, Failure> {
    let file = args.config.as_deref().map(Raw::read).transpose()?.unwrap_or_default();
    let flags = Raw {
        data: args.data,
        http: args.http,
        http_prefix: args.http_prefix,
        swarm: args.swarm,
        peer: args.peer,
        upstream: args.upstream,
        fresh: args.fresh,
        replicas: args.replicas,
        no_mdns: args.no_mdns.then_some(true),
        office: args.office,
        sumdb: args.sumdb,
        site: args.site,
        private: args.private,
    };
    Ok(flags.or(file).check()?)
}

fn up(config: Config) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        // Listened to before anything is started: no signal that comes after this line kills the process.
        tokio::spawn(stop_on_signal(Signals::listen()?, stop.clone()));
        let daemon = tokio::select! {
            daemon = Daemon::start(config, stop.clone()) => daemon?,
            () = stop.cancelled() => return Ok(()),
        };
        print(&format!("modswarm ready: GOPROXY={}\n", daemon.goproxy()))?;
        daemon.run().await.map_err(Failure::from)
    });
    // Blocking threads that hang on a dead disk do not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// The first signal stops in order; a second one, or a stop that takes too long, ends the process at once.
async fn stop_on_signal(mut signals: Signals, stop: CancellationToken) {
    signals.next().await;
    tracing::info!("stopping");
    stop.cancel();
    let why = tokio::select! {
        () = signals.next() => "a second signal",
        () = tokio::time::sleep(STOP_DEADLINE) => "the stop took too long",
    };
    tracing::warn!(why, "ended before everything had stopped in order; what was acknowledged is on disk");
    std::process::exit(1);
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        if error.is_usage() { Self::usage(error.to_string()) } else { Self::failed(error.to_string()) }
    }
}
