//! The report as a page for people: purely, for a given width.

use std::time::Duration;

use indicatif::HumanDuration;

use super::{Finding, Level, Node, Report};
use crate::admin::{Doctor, InterfaceLine, KnownLine, KnownState};

/// Peers that are shown; the rest is in the JSON.
const SHOWN: usize = 40;

/// The whole page, no line wider than `width` where words allow.
pub(super) fn page(report: &Report, width: usize) -> String {
    let mut page = Page { text: String::new(), width };
    if let Some(Node { status, network }) = &report.node {
        let up = ago(status.uptime_seconds);
        page.item(
            "node",
            &format!("modswarm {}, pid {}, up {up}, peer id {}", status.version, status.pid, status.peer_id),
        );
        page.head("interfaces");
        network.interfaces.iter().for_each(|line| interface(&mut page, line, network));
        page.head(&peers_head(network));
        peers(&mut page, network);
        page.head("findings");
    }
    for Finding { level, text } in &report.findings {
        let mark = match level {
            Level::Fine => "ok",
            Level::Note => "note",
            Level::Wrong => "WRONG",
        };
        page.item(mark, text);
    }
    page.text
}

fn interface(page: &mut Page, line: &InterfaceLine, network: &Doctor) {
    let class = match line.class.as_str() {
        "lan" => "LAN",
        "link-local" => "self-assigned address",
        "loopback" => "this machine only",
        "vpn" => "VPN",
        "container" => "containers",
        other => other,
    };
    let mut text = format!("{class}, {}", line.addresses.join(" "));
    if network.beacon.port.is_some() {
        text += "; ";
        text += &match &line.unused {
            Some(why) => format!("not used: {why}"),
            None => {
                format!("{} beacons sent, {} heard{}", line.beacons_sent, line.beacons_heard, last(line.beacon_seconds))
            }
        };
    }
    if line.mdns_heard > 0 {
        text += &format!("; {} by mDNS{}", line.mdns_heard, last(line.mdns_seconds));
    }
    page.item(&line.name, &text);
}

fn last(seconds: Option<u64>) -> String {
    seconds.map(|seconds| format!(", the last {} ago", ago(seconds))).unwrap_or_default()
}

fn peers_head(network: &Doctor) -> String {
    let up = network.known.iter().filter(|known| matches!(known.state, KnownState::Connected { .. })).count();
    let wants = if network.seeking { "more are wanted" } else { "enough" };
    format!("peers: {} known, {up} connected, {wants}", network.known.len())
}

fn peers(page: &mut Page, network: &Doctor) {
    let mut known: Vec<&KnownLine> = network.known.iter().collect();
    known.sort_by_key(|line| (order(line), line.found != "static", line.id.clone()));
    for line in known.iter().take(SHOWN) {
        let address =
            line.addresses.first().map_or("no address", |address| address.split("/p2p/").next().unwrap_or(address));
        let more = match line.addresses.len() {
            0 | 1 => String::new(),
            several => format!(" and {} more", several - 1),
        };
        page.item(&short(line.id.as_deref()), &format!("{address}{more}: {}", state(line, network)));
    }
    if known.len() > SHOWN {
        page.item("", &format!("and {} more; see --json", known.len() - SHOWN));
    }
    for refusal in &network.refusals {
        let text = format!("{}: refused {} ago: {}", refusal.address, ago(refusal.seconds), refusal.reason);
        page.item(&short(refusal.id.as_deref()), &text);
    }
}

fn order(line: &KnownLine) -> u8 {
    match line.state {
        KnownState::Connected { .. } => 0,
        KnownState::Dialling => 1,
        KnownState::Waiting { .. } => 2,
        KnownState::Never => 3,
    }
}

/// Why a peer is connected, or is not.
fn state(line: &KnownLine, network: &Doctor) -> String {
    let found = match line.found.as_str() {
        "static" => "named with --peer",
        "lan" => "found on the LAN",
        "hearsay" => "a neighbour told of it",
        "remembered" => "remembered from an earlier run",
        _ => "it dialled in",
    };
    let wanted = network.seeking || line.found == "static";
    let reason = line.reason.as_deref().unwrap_or("no answer");
    match &line.state {
        KnownState::Connected { seconds } => format!("connected for {} ({found})", ago(*seconds)),
        KnownState::Dialling if line.failures > 0 => {
            format!("being dialled again; the last dial failed: {reason} ({found})")
        }
        KnownState::Dialling => format!("being dialled ({found})"),
        KnownState::Waiting { seconds } if line.failures > 0 => {
            let next = if wanted { format!("next try in {}", ago(*seconds)) } else { "not needed now".into() };
            format!("dial failed: {reason}; {next} ({found})")
        }
        KnownState::Waiting { .. } if wanted => format!("will be dialled ({found})"),
        KnownState::Waiting { .. } => format!("not dialled, there are enough neighbours ({found})"),
        KnownState::Never => format!(
            "never dialled: {} ({found})",
            line.reason.as_deref().unwrap_or("this node itself, banned, or no modswarm node")
        ),
    }
}

/// The end of an id, by which two are told apart at a glance; all begin alike.
fn short(id: Option<&str>) -> String {
    id.map_or_else(|| "unknown".into(), |id| format!("..{}", &id[id.len().saturating_sub(8)..]))
}

/// `5 minutes`.
fn ago(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

/// Columns before the text of an item.
const INDENT: usize = 13;

struct Page {
    text: String,
    width: usize,
}

impl Page {
    fn head(&mut self, words: &str) {
        self.text.push_str(&format!("\n{words}\n"));
    }

    /// A name, and a text that is wrapped beside it.
    fn item(&mut self, name: &str, text: &str) {
        let mut line = format!("  {name:<width$}", width = INDENT - 3);
        if line.len() >= INDENT {
            self.text.push_str(line.trim_end());
            self.text.push('\n');
            line = " ".repeat(INDENT - 1);
        }
        for word in text.split_whitespace() {
            let fits = line.chars().count() + 1 + word.chars().count() <= self.width;
            if !fits && line.chars().count() >= INDENT {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                line = " ".repeat(INDENT - 1);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests;
