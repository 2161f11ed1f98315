//! `modswarm site show`: what a site has agreed on, and how this machine stands in it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use libp2p::PeerId;

use super::super::client::Client;
use super::super::{DataArg, Failure, print, print_json, small_runtime};
use super::closed::short_id;
use crate::admin::{CERTIFICATE_FILE, ORDERS_FILE, SiteLine};
use crate::config::{SiteFile, data_dir};
use crate::domain::membership::{Certificate, Member, Orders};
use crate::domain::publish::date_text;
use crate::domain::site::ClosedSite;

/// Arguments of `modswarm site show`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShowArgs {
    /// The site file [default: site.toml in the data directory].
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    #[command(flatten)]
    node: DataArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: ShowArgs) -> Result<(), Failure> {
    let data = data_dir(args.node.data)?;
    let SiteFile { path, site } = SiteFile::find(args.site, &data)?;
    let closed = site.closed.as_ref().map(|closed| stands(&data, closed)).transpose()?;
    if args.json {
        let texts = |keys: &[_]| keys.iter().map(ToString::to_string).collect();
        let publishers: BTreeMap<&str, Vec<String>> =
            site.publishers.iter().map(|(prefix, keys)| (prefix, texts(keys))).collect();
        return print_json(&serde_json::json!({ "file": path, "publishers": publishers, "site": closed }));
    }
    let mut page = String::new();
    if let (Some(line), Some(closed)) = (&closed, &site.closed) {
        page += &for_people(line, closed);
    }
    if !site.publishers.is_empty() {
        page += &site.publishers.to_string();
    }
    let path = path.display();
    if closed.is_none() && !site.publishers.is_empty() {
        writeln!(io::stderr(), "{path} names no site: this one is open")?;
    }
    if site.publishers.is_empty() {
        writeln!(io::stderr(), "{path} names no publisher: only checksum databases count")?;
    }
    print(&page)
}

/// How this machine stands in its site: as its node says if it runs, or else by the files that it has left.
fn stands(data: &Path, closed: &ClosedSite) -> Result<SiteLine, Failure> {
    let asked = small_runtime()?.block_on(Client::connect(Some(data.to_owned())));
    let key = closed.key.to_string();
    if let Ok((_, status)) = asked
        && let Some(line) = status.site.filter(|line| line.key == key)
    {
        return Ok(line);
    }
    let text = std::fs::read_to_string(data.join(CERTIFICATE_FILE)).unwrap_or_default();
    let own: Option<Member> =
        Certificate::parse(&text, &closed.key).ok().map(|certificate| certificate.member().clone());
    let signed = std::fs::read(data.join(ORDERS_FILE)).unwrap_or_default();
    let orders = Orders::open(&signed, &closed.key).unwrap_or_default();
    let peer =
        |bytes: &Vec<u8>| PeerId::from_bytes(bytes).map_or_else(|_| "unreadable".into(), |peer| peer.to_string());
    let ticket = own.as_ref().and_then(|own| own.ticket).or_else(|| Some(closed.ticket.as_ref()?.ticket().id));
    let ticket = ticket.map(|ticket| ticket.to_string());
    Ok(SiteLine {
        name: closed.key.name().into(),
        key,
        member_until: own.as_ref().map_or(0, |own| own.not_after),
        roles: own.as_ref().map(|own| own.roles.to_string()).unwrap_or_default(),
        tickets: ticket.iter().cloned().collect(),
        ticket,
        serial: orders.serial,
        revoked_peers: orders.peers.iter().map(peer).collect(),
        revoked_tickets: orders.tickets.iter().map(ToString::to_string).collect(),
        blocked: orders.blocked.iter().map(ToString::to_string).collect(),
        revoked: own.is_some_and(|own| orders.revoke(&own).is_some()),
    })
}

fn for_people(line: &SiteLine, closed: &ClosedSite) -> String {
    let mut page = format!("site       {} ({})\nkey        {}\n", line.name, short_id(closed), line.key);
    page += &match (line.member_until, line.revoked) {
        (0, _) => "member     no: this machine has no certificate yet\n".to_owned(),
        (_, true) => "member     NO: revoked\n".into(),
        (until, false) => {
            let with = line.ticket.as_ref().map_or_else(|| "signed by the site".into(), |id| format!("ticket {id}"));
            format!("member     until {}, as {}, {with}\n", date_text(until), line.roles)
        }
    };
    let mut list = |name: &str, all: &[String]| {
        for one in all {
            page += &format!("{name:<10} {one}\n");
        }
    };
    list("ticket", &line.tickets);
    list("orders", &[if line.serial == 0 { "none yet".into() } else { format!("serial {}", line.serial) }]);
    list("  revoked", &line.revoked_peers);
    list("  revoked", &line.revoked_tickets.iter().map(|id| format!("ticket {id}")).collect::<Vec<_>>());
    list("  blocked", &line.blocked);
    page
}
