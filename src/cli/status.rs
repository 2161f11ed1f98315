//! `modswarm status`: how the running node is.

use std::fmt::Write as _;
use std::time::Duration;

use super::client::Client;
use super::{DataArg, Failure, bytes_for_people, print, print_json, small_runtime};
use crate::admin::Status;

/// Arguments of `modswarm status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: DataArg,
    /// Print one line of JSON, for scripts.
    #[arg(long)]
    json: bool,
}

/// Asks the running node how it is.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (_, status) = small_runtime()?.block_on(Client::connect(args.node.data.clone()))?;
    if args.json { print_json(&status) } else { print(&for_people(&status)) }
}

fn for_people(status: &Status) -> String {
    let ago = |seconds| indicatif::HumanDuration(Duration::from_secs(seconds)).to_string();
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<10} {value}");
    };
    line("node", &format!("modswarm {}, pid {}, up {}", status.version, status.pid, ago(status.uptime_seconds)));
    line("GOPROXY", &status.goproxy);
    line("data", &status.data);
    line("upstream", status.upstream.as_deref().unwrap_or("none: this node has only its peers"));
    let store = &status.store;
    line(
        "modules",
        &format!("{} versions known, {} held with zip, {} with go.mod only", store.versions, store.zips, store.go_mods),
    );
    line("store", &format!("{} blobs, {} on disk", store.blobs, bytes_for_people(store.disk_bytes)));
    if status.fetching > 0 {
        line("fetching", &format!("{} module versions", status.fetching));
    }
    line("peer id", &status.peer_id);
    for address in &status.listen {
        line("listening", address);
    }
    line("peers", &if status.peers.is_empty() { "none connected".to_owned() } else { status.peers.len().to_string() });
    let widest = status.peers.iter().map(|peer| peer.address.len()).max().unwrap_or_default();
    for peer in &status.peers {
        let rtt = peer.rtt_micros.map_or_else(|| "-".into(), |micros| format!("{:.1} ms", micros as f64 / 1000.0));
        let (id, address) = (&peer.id, &peer.address);
        let _ = writeln!(text, "  {id}  {address:<widest$}  {rtt:>8}  for {}", ago(peer.connected_seconds));
    }
    text
}
