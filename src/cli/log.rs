//! Logs: one line per event, fields instead of prose, on stderr.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::Failure;

/// The environment variable that sets what is logged, in `tracing`'s filter syntax (`debug`, `modswarm=trace`).
const LOG_VAR: &str = "MODSWARM_LOG";
/// What is logged unless told otherwise. The network stack's own warnings are about single connections, which an operator
/// neither understands nor needs.
const DEFAULT: &str = "warn,modswarm=info,libp2p=error,libp2p_swarm=error,libp2p_gossipsub=error,libp2p_mdns=error,yamux=error,sled=error";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets logging up for this process.
pub(super) fn start(format: Format) -> Result<(), Failure> {
    let filter = match std::env::var(LOG_VAR) {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|why| Failure::usage(format!("{LOG_VAR} {filter:?} is not usable: {why}")))?,
        Err(_) => EnvFilter::new(DEFAULT),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let set = match format {
        Format::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    set.map_err(|why| Failure::failed(format!("logging cannot be set up: {why}")))
}
