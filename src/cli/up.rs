//! `modswarm up`: a node in the foreground.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::log::{self, Format};
use super::{Failure, print};
use crate::config::Raw;
use crate::daemon::{Daemon, DaemonError};

/// How long an orderly stop may take before the process ends all the same. Everything that was acknowledged is on disk at any moment, so nothing
/// is lost then.
const STOP_DEADLINE: Duration = Duration::from_secs(4);

/// Arguments of `modswarm up`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where blobs, index, identity and token live [default: the user's own data directory].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the GOPROXY endpoint listens; port 0 takes a free one [default: 127.0.0.1:6637].
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Where the swarm listens; may be repeated [default: /ip4/0.0.0.0/tcp/6638].
    #[arg(long, value_name = "MULTIADDR")]
    swarm: Vec<String>,
    /// A peer to stay connected with; may be repeated.
    #[arg(long, value_name = "MULTIADDR")]
    peer: Vec<String>,
    /// Where to fetch what the site does not have: a GOPROXY list, or `go-env` for what `go env GOPROXY` says here.
    #[arg(long, value_name = "URL-LIST")]
    upstream: Option<String>,
    /// A checksum database in GOSUMDB's syntax; may be repeated.
    #[arg(long, value_name = "GOSUMDB")]
    sumdb: Vec<String>,
    /// How old a list or another mutable answer may be [default: 60s].
    #[arg(long, value_name = "DURATION")]
    fresh: Option<String>,
    /// Do not look for peers by multicast.
    #[arg(long)]
    no_mdns: bool,
    /// Name of this office.
    #[arg(long, value_name = "NAME")]
    office: Option<String>,
    /// Read settings from a TOML file; flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log: Format,
}

/// Runs a node until Ctrl-C, SIGTERM, or a failure.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    log::start(args.log)?;
    let file = args.config.as_deref().map(Raw::read).transpose()?.unwrap_or_default();
    let flags = Raw {
        data: args.data,
        http: args.http,
        swarm: args.swarm,
        peer: args.peer,
        upstream: args.upstream,
        fresh: args.fresh,
        no_mdns: args.no_mdns.then_some(true),
        office: args.office,
        sumdb: args.sumdb,
    };
    let config = flags.or(file).check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone()));
        let daemon = Daemon::start(config, stop.clone()).await?;
        print(&format!("modswarm ready: GOPROXY={}\n", daemon.goproxy()))?;
        daemon.run().await.map_err(Failure::from)
    });
    // Blocking threads that hang on a dead disk do not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// The first signal stops in order; a second one, or a stop that takes too long, ends the process at once.
async fn stop_on_signal(stop: CancellationToken) {
    signal().await;
    tracing::info!("stopping");
    stop.cancel();
    tokio::select! {
        () = signal() => {}
        () = tokio::time::sleep(STOP_DEADLINE) => {}
    }
    tracing::warn!("stopped before everything had ended in order");
    std::process::exit(1);
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        if error.is_usage() { Self::usage(error.to_string()) } else { Self::failed(error.to_string()) }
    }
}
