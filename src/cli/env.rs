//! `modswarm env`: what to tell the go command.

use super::client::Client;
use super::{DataArg, Failure, print, print_json, small_runtime};

/// Arguments of `modswarm env`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eval \"$(modswarm env)\"    sets GOPROXY in this shell")]
pub(super) struct Args {
    #[command(flatten)]
    node: DataArg,
    /// Print JSON instead of shell commands.
    #[arg(long)]
    json: bool,
}

/// Prints lines for `eval "$(modswarm env)"`, or JSON.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (_, status) = small_runtime()?.block_on(Client::connect(args.node.data.clone()))?;
    if args.json {
        return print_json(&serde_json::json!({ "GOPROXY": status.goproxy }));
    }
    // Quoted: an IPv6 address has brackets, which a shell takes for a pattern.
    print(&format!("export GOPROXY='{}'\n", status.goproxy))
}
