//! `modswarm status`: how the running node is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::HumanDuration;

use super::client::Client;
use super::{DataArg, Failure, bytes_for_people, print, print_json, small_runtime};
use crate::admin::{ForkLine, HeadLine, Status, SumdbLine, TreeLine};
use crate::domain::publish::date_text;

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
    let mut page = Page::default();
    shout_forks(status, &mut page);
    page.line("node", &format!("modswarm {}, pid {}, up {}", status.version, status.pid, ago(status.uptime_seconds)));
    page.line("GOPROXY", &status.goproxy);
    page.line("data", &status.data);
    page.line("upstream", status.upstream.as_deref().unwrap_or("none: this node has only its peers"));
    page.line("site", &site(status));
    sumdb(status, &mut page);
    let store = &status.store;
    page.line(
        "modules",
        &format!("{} versions known, {} held with zip, {} with go.mod only", store.versions, store.zips, store.go_mods),
    );
    page.line("store", &format!("{} blobs, {} on disk", store.blobs, bytes_for_people(store.disk_bytes)));
    if status.fetching > 0 {
        page.line("fetching", &format!("{} module versions", status.fetching));
    }
    page.line("peer id", &status.peer_id);
    for address in &status.listen {
        page.line("listening", address);
    }
    let count = status.peers.len();
    page.line("peers", &if count == 0 { "none connected".to_owned() } else { count.to_string() });
    let widest = status.peers.iter().map(|peer| peer.address.len()).max().unwrap_or_default();
    for peer in &status.peers {
        let rtt = peer.rtt_micros.map_or_else(|| "-".into(), |micros| format!("{:.1} ms", micros as f64 / 1000.0));
        let (id, address) = (&peer.id, &peer.address);
        page.raw(&format!("  {id}  {address:<widest$}  {rtt:>8}  for {}", ago(peer.connected_seconds)));
    }
    page.0
}

/// The closed site, and how this node stands in it.
fn site(status: &Status) -> String {
    let Some(site) = &status.site else { return "open: this node talks to every open node".into() };
    if site.revoked {
        return format!("{}: THIS MACHINE WAS REVOKED, no node of the site talks to it", site.name);
    }
    let (until, count) = (date_text(site.member_until), status.peers.len());
    format!("{}, {} until {until}, {count} connected", site.name, site.roles)
}

/// Lines, most of them a name and a value.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, name: &str, value: &str) {
        self.raw(&format!("{name:<10} {value}"));
    }

    fn raw(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// `5 minutes`.
fn ago(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

/// The same of a moment in seconds since 1970; the node's clock is this machine's.
fn since(moment: u64) -> HumanDuration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    ago(now.saturating_sub(moment))
}

fn sumdb(status: &Status, page: &mut Page) {
    if status.sumdb.is_empty() {
        page.line("sumdb", "off: module versions are taken and served without any proof");
    }
    for database in &status.sumdb {
        let SumdbLine { name, records, waiting, .. } = database;
        let answers = if database.supported {
            "lookups are answered here"
        } else {
            "NOT ANSWERED FOR, go commands ask it itself"
        };
        page.line("sumdb", &format!("{name}: {answers}"));
        if let Some(why) = &database.why_not {
            page.line("  reason", why);
        }
        if let Some(HeadLine { tree, pinned_at }) = &database.head {
            page.line("  head", &format!("{}, pinned {} ago", tree_text(tree), since(*pinned_at)));
        }
        let wait = match waiting {
            0 => String::new(),
            _ => format!(", {waiting} waiting for tiles, the first for {}", ago(database.waiting_seconds)),
        };
        page.line("  records", &format!("{records} proven and answered for{wait}"));
        if let Some(trouble) = &database.trouble {
            page.line("  trouble", trouble);
        }
    }
}

/// What has to be seen before all else.
fn shout_forks(status: &Status, page: &mut Page) {
    for database in &status.sumdb {
        for ForkLine { found_at, older, newer, .. } in &database.forks {
            let name = &database.name;
            let heads = [older, newer].map(|tree| tree.as_ref().map_or_else(|| "unreadable".into(), tree_text));
            let [older, newer] = heads;
            page.raw(&format!(
                "!!! THE CHECKSUM DATABASE {name} HAS FORKED: it has signed two histories that do not fit."
            ));
            page.raw(&format!("!!! One has {older},"));
            page.raw(&format!(
                "!!! one has {newer}; found {} ago. This node keeps to the head below.",
                since(*found_at)
            ));
            page.raw(
                "!!! Somebody may be giving this site other code than the rest of the world. Do not trust new modules",
            );
            page.raw("!!! before that is cleared up; the signed evidence is in `modswarm status --json`.");
            page.raw("");
        }
    }
}

/// `71848828 records, 2fLpwD0uIV0S...`: the size, and enough of the hash to compare by eye.
fn tree_text(tree: &TreeLine) -> String {
    let hash: String = tree.hash.chars().take(12).collect();
    format!("{} records, {hash}...", tree.records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::StoreLine;

    fn status() -> Status {
        let store = StoreLine { versions: 3, zips: 2, go_mods: 1, blobs: 40, disk_bytes: 1 << 20 };
        Status {
            version: "0.1.0".into(),
            pid: 1,
            uptime_seconds: 7200,
            goproxy: "http://127.0.0.1:6637".into(),
            data: "/data".into(),
            peer_id: "12D3".into(),
            listen: vec!["/ip4/127.0.0.1/tcp/6638".into()],
            upstream: None,
            peers: Vec::new(),
            store,
            fetching: 0,
            publishers: Vec::new(),
            sumdb: Vec::new(),
            site: None,
            refusals: Vec::new(),
        }
    }

    fn tree(records: u64, hash: &str) -> TreeLine {
        TreeLine { records, hash: hash.into() }
    }

    fn database() -> SumdbLine {
        SumdbLine {
            name: "sum.example".into(),
            key: "sum.example+01020304".into(),
            supported: true,
            why_not: None,
            head: Some(HeadLine { tree: tree(900, "AbCdEfGhIjKlMnOp="), pinned_at: 0 }),
            records: 12,
            waiting: 0,
            waiting_seconds: 0,
            trouble: None,
            forks: Vec::new(),
        }
    }

    #[test]
    fn a_node_that_proves_nothing_says_so() {
        assert!(
            for_people(&status())
                .contains("\nsumdb      off: module versions are taken and served without any proof\n")
        );
    }

    #[test]
    fn a_database_is_told_with_its_head_and_its_records() {
        let text = for_people(&Status { sumdb: vec![database()], ..status() });
        assert!(text.contains(
            "\nsumdb      sum.example: lookups are answered here\n  head     900 records, AbCdEfGhIjKl..., pinned "
        ));
        assert!(text.contains("\n  records  12 proven and answered for\n"), "{text}");
        let late = SumdbLine {
            supported: false,
            why_not: Some("no peer has shown a tree head yet".into()),
            head: None,
            waiting: 2,
            waiting_seconds: 65,
            trouble: Some("the upstream is away".into()),
            ..database()
        };
        let text = for_people(&Status { sumdb: vec![late], ..status() });
        for words in [
            "sum.example: NOT ANSWERED FOR, go commands ask it itself\n  reason   no peer has shown a tree head yet\n",
            "answered for, 2 waiting for tiles, the first for 65 seconds",
            "  trouble  the upstream is away",
        ] {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
    }

    #[test]
    fn a_fork_comes_before_all_else() {
        let fork = ForkLine {
            found_at: 0,
            older: Some(tree(900, "AbCdEfGhIjKlMnOp=")),
            newer: Some(tree(901, "ZyXwVuTsRqPoNmLk=")),
            report: "evidence".into(),
        };
        let text = for_people(&Status { sumdb: vec![SumdbLine { forks: vec![fork], ..database() }], ..status() });
        assert!(text.starts_with("!!! THE CHECKSUM DATABASE sum.example HAS FORKED"), "{text}");
        for words in ["900 records, AbCdEfGhIjKl...", "901 records, ZyXwVuTsRqPo...", "status --json"] {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
    }
}
