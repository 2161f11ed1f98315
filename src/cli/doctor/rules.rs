//! What follows from what is known: findings, purely.

use std::time::SystemTime;

use super::{Finding, Level};
use crate::admin::{Doctor, InterfaceLine, KnownLine, KnownState, Status};

/// No release of modswarm is older; a clock that says so has not been set.
const NOT_BEFORE: u64 = 1_767_225_600;
/// A node that has run for less has perhaps not heard anybody yet, in seconds.
const SETTLED: u64 = 60;
/// Beacons that must have gone out before silence means something.
const BEACONS: u64 = 4;

pub(super) fn fine(text: impl Into<String>) -> Finding {
    Finding { level: Level::Fine, text: text.into() }
}

pub(super) fn note(text: impl Into<String>) -> Finding {
    Finding { level: Level::Note, text: text.into() }
}

pub(super) fn wrong(text: impl Into<String>) -> Finding {
    Finding { level: Level::Wrong, text: text.into() }
}

/// Certificates of upstreams, and memberships, are judged by the clock.
pub(super) fn clock(now: SystemTime) -> Finding {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if seconds < NOT_BEFORE {
        wrong("This machine's clock is before 2026: set it, or certificates are refused as not yet valid.")
    } else {
        fine("The clock is plausible.")
    }
}

pub(super) fn http(status: &Status) -> Finding {
    fine(format!("The GOPROXY endpoint {} answers.", status.goproxy))
}

/// What the network looks like.
pub(super) fn network(network: &Doctor, uptime: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in &network.beacon.copies {
        findings.push(wrong(format!(
            "Another node at {address} has this node's identity, as a copied data directory has: remove identity.key there \
             and restart it."
        )));
    }
    if let Some(trouble) = &network.beacon.trouble {
        findings.push(wrong(format!(
            "{trouble}; peers are found by mDNS and --peer only, so free the port or repair the network."
        )));
    }
    if !network.beacon.foreign.is_empty() {
        let from = network.beacon.foreign.join(", ");
        findings.push(note(format!(
            "Nodes of another site are on this LAN ({from}); they are not dialled, and that is as it should be."
        )));
    }
    for refusal in &network.refusals {
        findings.push(note(format!("The peer at {} was refused: {}.", refusal.address, refusal.reason)));
    }
    for known in network.known.iter().filter(|known| known.found == "static") {
        findings.extend(fixed(known));
    }
    findings.extend(lan(network, uptime));
    findings.extend(peers(network, uptime));
    findings
}

/// Peers that somebody has typed in.
fn fixed(known: &KnownLine) -> Option<Finding> {
    let address = known.addresses.first().map_or("", String::as_str);
    match (&known.state, &known.reason) {
        (KnownState::Connected { .. } | KnownState::Never, _) => None,
        (_, Some(reason)) => Some(wrong(format!(
            "The peer {address} that was named with --peer cannot be reached ({reason}): is a node running there, and does a \
             firewall let TCP through?"
        ))),
        _ => Some(note(format!(
            "The peer {address} that was named with --peer is being dialled; look again in a moment."
        ))),
    }
}

fn lan(network: &Doctor, uptime: u64) -> Option<Finding> {
    if network.beacon.port.is_none() && !network.mdns {
        return Some(note(
            "Discovery on the LAN is off (--no-mdns): peers are found where --peer names them, and through their neighbours.",
        ));
    }
    let outside = |line: &&InterfaceLine| line.unused.is_none() && line.class != "loopback";
    let used: Vec<&InterfaceLine> = network.interfaces.iter().filter(outside).collect();
    if used.is_empty() {
        return Some(wrong(
            "No interface leads to a LAN: connect this machine to a network, or name a peer with --peer.",
        ));
    }
    let sent: u64 = used.iter().map(|line| line.beacons_sent).sum();
    let heard: u64 = used.iter().map(|line| line.beacons_heard + line.mdns_heard).sum();
    let connected = network.known.iter().any(|known| matches!(known.state, KnownState::Connected { .. }));
    if heard == 0 && sent >= BEACONS && uptime >= SETTLED {
        let port = network.beacon.port.unwrap_or_default();
        let text = format!(
            "{sent} beacons went out and nothing came in: if other nodes are on this LAN, let UDP port {port} (and 5353 for mDNS) \
             through this machine's firewall and theirs, or name one with --peer."
        );
        return Some(if connected { note(text) } else { wrong(text) });
    }
    (heard > 0).then(|| fine(format!("Other nodes are heard on the LAN ({heard} times).")))
}

fn peers(network: &Doctor, uptime: u64) -> Option<Finding> {
    let up = network.known.iter().filter(|known| matches!(known.state, KnownState::Connected { .. })).count();
    let failed = network.known.iter().filter(|known| known.failures > 0 && known.found != "static").count();
    let failing = failed > 0 && !network.known.is_empty() && network.seeking;
    match up {
        0 if failing => Some(wrong(format!(
            "{failed} peers are known and none can be reached: does a firewall stop TCP between these machines?"
        ))),
        0 if uptime < SETTLED => Some(note("No peer is connected yet; the node has just been started.")),
        0 => Some(note("No peer is connected: this node has what it fetched itself, and nothing else.")),
        1 => Some(fine("1 peer is connected.")),
        several => Some(fine(format!("{several} peers are connected."))),
    }
}

/// One variable of the go command: what it should be, and what it is.
pub(super) fn variable(name: &str, wanted: &str, is: &str) -> Option<Finding> {
    let same = match name {
        "GOPROXY" => is.split([',', '|']).next() == Some(wanted),
        _ => is == wanted,
    };
    if same {
        return None;
    }
    let shown = if is.is_empty() { "nothing" } else { is };
    Some(match name {
        "GOPROXY" => wrong(format!(
            "The go command of this shell fetches from {shown} and not from this node: run eval \"$(modswarm env)\", or go env \
             -w GOPROXY={wanted}."
        )),
        _ => note(format!(
            "The go command of this shell has {name}={shown} and this site needs {name}={wanted}: modswarm env prints it."
        )),
    })
}

/// Settings with which the go command goes past the node.
pub(super) fn past_the_node(flags: &str, noproxy: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if flags.split_whitespace().any(|flag| flag == "-mod=vendor" || flag == "--mod=vendor") {
        findings.push(note("GOFLAGS has -mod=vendor: builds take what is vendored and ask no node."));
    }
    if !noproxy.is_empty() && noproxy != "none" {
        findings
            .push(note(format!("The go command fetches {noproxy} past this node (GONOPROXY or GOPRIVATE says so).")));
    }
    findings
}
