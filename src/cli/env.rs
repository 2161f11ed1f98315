//! `modswarm env`: what to tell the go command.

use super::client::Client;
use super::{DataArg, Failure, print, print_json, small_runtime};

/// Arguments of `modswarm env`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: DataArg,
    /// Print JSON instead of shell commands.
    #[arg(long)]
    json: bool,
}

/// Prints lines for `eval "$(modswarm env)"`, or JSON.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = Client::find(args.node.data.clone())?;
    let status = small_runtime()?.block_on(client.status())?;
    if args.json {
        return print_json(&serde_json::json!({ "GOPROXY": status.goproxy }));
    }
    print(&format!("export GOPROXY={}\n", status.goproxy))
}
