//! `modswarm site revoke`, `block` and `unblock`: new orders for all nodes of a closed site.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use libp2p::PeerId;

use super::super::client::Client;
use super::super::{DataArg, Failure, small_runtime};
use super::closed::CaArg;
use super::write_over;
use crate::domain::membership::{Orders, TicketId};
use crate::domain::module::ModuleVersion;
use crate::domain::note::Signer;

/// How often a command begins anew when somebody else has given orders at the same time.
const TRIES: usize = 3;

/// Whom the orders are for, and who gives them.
#[derive(Debug, clap::Args)]
pub(super) struct OrderArgs {
    #[command(flatten)]
    ca: CaArg,
    /// Change the orders in this file instead of those of the running node; a node takes them with `modswarm site orders`.
    #[arg(long, value_name = "FILE")]
    orders: Option<PathBuf>,
    #[command(flatten)]
    node: DataArg,
}

/// Arguments of `modswarm site revoke`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  modswarm site revoke 12D3Koo... --ca corp.site.key                     a machine
  modswarm site revoke 0a1b2c3d4e5f60718293a4b5c6d7e8f9 --ca ...         a ticket, and all that have joined with it")]
pub(in crate::cli) struct RevokeArgs {
    /// Who is out: the peer id of a machine, or the id of a ticket.
    #[arg(value_name = "PEER-ID|TICKET-ID", required = true)]
    who: Vec<String>,
    /// Take the revocation back.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    order: OrderArgs,
}

/// Arguments of `modswarm site block` and `unblock`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BlockArgs {
    /// Which module versions, as in example.com/lib@v1.2.3.
    #[arg(value_name = "MODULE@VERSION", required = true)]
    modules: Vec<String>,
    #[command(flatten)]
    order: OrderArgs,
}

enum Target {
    Peer(Vec<u8>),
    Ticket(TicketId),
}

pub(super) fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    let target = |text: &String| {
        let peer = || text.parse::<PeerId>().ok().map(|peer| Target::Peer(peer.to_bytes()));
        TicketId::parse(text).map(Target::Ticket).or_else(peer).ok_or_else(|| {
            Failure::usage(format!(
                "{text:?} is neither a peer id (12D3Koo..., as `modswarm status` shows it) nor the id of a ticket (32 digits)"
            ))
        })
    };
    let targets = args.who.iter().map(target).collect::<Result<Vec<_>, _>>()?;
    change(&args.order, |orders| {
        for target in &targets {
            match (target, args.undo) {
                (Target::Peer(peer), false) => drop(orders.peers.insert(peer.clone())),
                (Target::Peer(peer), true) => drop(orders.peers.remove(peer)),
                (Target::Ticket(ticket), false) => drop(orders.tickets.insert(*ticket)),
                (Target::Ticket(ticket), true) => drop(orders.tickets.remove(ticket)),
            }
        }
    })
}

pub(super) fn block(args: &BlockArgs, block: bool) -> Result<(), Failure> {
    let parse = |text: &String| {
        ModuleVersion::parse(text).map_err(|why| {
            Failure::usage(format!("{text:?} is no module version, as in example.com/lib@v1.2.3: {why}"))
        })
    };
    let modules = args.modules.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    change(&args.order, |orders| {
        for module in &modules {
            let _ = if block { orders.blocked.insert(module.clone()) } else { orders.blocked.remove(module) };
        }
    })
}

/// Arguments of `modswarm site orders`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GiveArgs {
    /// The file that `--orders` has written.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    node: DataArg,
}

pub(super) fn give(args: &GiveArgs) -> Result<(), Failure> {
    let signed = std::fs::read(&args.file)
        .map_err(|error| Failure::failed(format!("{} cannot be read: {error}", args.file.display())))?;
    small_runtime()?.block_on(async {
        let (client, _) = Client::connect(args.node.data.clone()).await?;
        match client.give_orders(signed.into()).await? {
            Ok(serial) => told(serial),
            Err(why) => Err(Failure::failed(why)),
        }
    })
}

fn told(serial: u64) -> Result<(), Failure> {
    Ok(writeln!(io::stderr(), "orders {serial} are followed by this node and on their way to the others")?)
}

/// Signs the newest orders anew with one change, and lets a node spread them.
fn change(args: &OrderArgs, edit: impl Fn(&mut Orders)) -> Result<(), Failure> {
    let ca = args.ca.read(&args.node)?;
    if let Some(file) = &args.orders {
        return change_file(file, &ca, &edit);
    }
    small_runtime()?.block_on(async {
        let (client, status) = Client::connect(args.node.data.clone()).await?;
        let of = status.site.map(|site| site.key);
        if of.as_deref() != Some(ca.verifier().to_string().as_str()) {
            let site = ca.verifier().name();
            return Err(Failure::failed(format!(
                "the running node is no member of site {site} with this key: name the data directory of one that is with --data"
            )));
        }
        let mut last = String::new();
        for _ in 0..TRIES {
            let Some(signed) = next(client.orders().await?.as_deref(), &ca, &edit)? else {
                return unchanged();
            };
            match client.give_orders(signed).await? {
                Ok(serial) => return told(serial),
                // Somebody was quicker: their orders stay in force beside these.
                Err(why) => last = why,
            }
        }
        Err(Failure::failed(last))
    })
}

fn change_file(file: &Path, ca: &Signer, edit: &impl Fn(&mut Orders)) -> Result<(), Failure> {
    let held = match std::fs::read(file) {
        Ok(held) => Some(held),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::failed(format!("{} cannot be read: {error}", file.display()))),
    };
    let Some(signed) = next(held.as_deref(), ca, edit)? else { return unchanged() };
    write_over(file, &signed, 0o644)?;
    let file = file.display();
    Ok(writeln!(io::stderr(), "{file} holds the new orders: give them to a node with `modswarm site orders {file}`")?)
}

/// The orders that come next, signed; none if they would say the same.
fn next(held: Option<&[u8]>, ca: &Signer, edit: &impl Fn(&mut Orders)) -> Result<Option<Bytes>, Failure> {
    let held = held.map(|signed| Orders::open(signed, ca.verifier())).transpose();
    let held = held.map_err(|why| Failure::failed(why.to_string()))?.unwrap_or_default();
    let mut orders = held.clone();
    edit(&mut orders);
    if orders == held {
        return Ok(None);
    }
    orders.serial += 1;
    let signed = orders.sign(ca).map_err(|why| Failure::failed(why.to_string()))?;
    Ok(Some(signed.into()))
}

fn unchanged() -> Result<(), Failure> {
    Ok(writeln!(io::stderr(), "the site's orders say so already: nothing was changed")?)
}
