//! `modswarm site init`, `ticket` and `enrol`: who belongs to a closed site.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use rand::RngCore as _;

use super::super::{DataArg, Failure, print};
use super::{write_new, write_over};
use crate::admin::{CERTIFICATE_FILE, TICKET_FILE};
use crate::config::{SITE_FILE, SiteFile, data_dir};
use crate::domain::membership::{Certificate, DAY, Member, Roles, SiteId, Terms, TicketId, TicketSecret};
use crate::domain::note::Signer;
use crate::domain::publish::date_text;
use crate::domain::site::ClosedSite;

/// Where the site's secret is unless told otherwise, inside the data directory.
const CA_FILE: &str = "site.key";
/// How long a ticket is good for making certificates unless told otherwise.
const TICKET_DAYS: u64 = 365;
/// How long a certificate lives that is made with a ticket, unless told otherwise: a machine that is not renewed, because
/// the ticket has expired, is out within so long.
const CERTIFICATE_DAYS: u16 = 30;
/// The longest life of anything, in days: a hundred years.
const MOST_DAYS: u64 = 36_500;

/// Where the site's secret is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CaArg {
    /// The site's secret, which `modswarm site init` has made [default: site.key in the data directory].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl CaArg {
    /// Reads the secret.
    pub(super) fn read(&self, data: &DataArg) -> Result<Signer, Failure> {
        let path = match &self.ca {
            Some(path) => path.clone(),
            None => data_dir(data.data.clone())?.join(CA_FILE),
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let path = path.display();
            Failure::failed(format!(
                "the site's secret {path} cannot be read ({error}): name the file that `modswarm site init` has made with --ca"
            ))
        })?;
        Signer::parse(text.trim())
            .map_err(|why| Failure::failed(format!("{} is no secret of a site: {why}", path.display())))
    }
}

/// Arguments of `modswarm site init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  modswarm site init --name corp --out ~/corp.site.key
  modswarm site ticket --ca ~/corp.site.key")]
pub(in crate::cli) struct InitArgs {
    /// Name of the site, as it stands in messages: without spaces and plus signs.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Where the secret goes; a file that exists is never overwritten [default: site.key in the data directory].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    node: DataArg,
}

pub(super) fn init(args: InitArgs) -> Result<(), Failure> {
    let signer = Signer::from_secret(&args.name, random()).map_err(|_| {
        Failure::usage(format!("--name {:?} is not usable: a site's name has no spaces and no plus sign", args.name))
    })?;
    let out = super::secret_path(args.out, args.node, CA_FILE)?;
    write_new(&out, &(signer.secret_key() + "\n"))?;
    writeln!(
        io::stderr(),
        "the secret is in {}: who has it says who belongs to the site; keep a copy where no node runs\n\
         these lines go into the {SITE_FILE} of each node:\n\
         [site]\nkey = \"{}\"",
        out.display(),
        signer.verifier()
    )?;
    print(&format!("{}\n", signer.verifier()))
}

/// Arguments of `modswarm site ticket`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TicketArgs {
    /// For how many days machines can join with it, and members renew their certificates.
    #[arg(long, value_name = "DAYS", default_value_t = TICKET_DAYS, value_parser = clap::value_parser!(u64).range(1..=MOST_DAYS))]
    days: u64,
    /// How many days a certificate lives that is made with it; a node renews its own.
    #[arg(long, value_name = "DAYS", default_value_t = CERTIFICATE_DAYS, value_parser = clap::value_parser!(u16).range(1..))]
    certificate_days: u16,
    /// What who joins with it may do: member, seed (is asked for modules), gateway, or several with commas.
    #[arg(long, value_name = "ROLE", default_value = "member", value_parser = roles)]
    role: Roles,
    #[command(flatten)]
    ca: CaArg,
    #[command(flatten)]
    node: DataArg,
}

pub(super) fn ticket(args: &TicketArgs) -> Result<(), Failure> {
    let ca = args.ca.read(&args.node)?;
    let mut id = [0; 16];
    rand::rng().fill_bytes(&mut id);
    let now = now();
    let not_after = now + args.days * DAY;
    let terms = Terms { not_before: now, not_after, max_days: args.certificate_days, roles: args.role };
    let ticket = TicketSecret::issue(&ca, TicketId(id), random(), &terms)
        .map_err(|why| Failure::failed(format!("no ticket could be made: {why}")))?;
    writeln!(
        io::stderr(),
        "ticket {} of site {}: whoever has it joins as {} until {}\n\
         it goes into the {SITE_FILE} of each machine, under [site], as: ticket = \"...\"\n\
         `modswarm site revoke {}` ends it, and the membership of all that have joined with it",
        ticket.ticket().id,
        ca.verifier().name(),
        args.role,
        date_text(not_after),
        ticket.ticket().id,
    )?;
    print(&(ticket.text() + "\n"))
}

/// Arguments of `modswarm site enrol`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true)), after_help = "\
Examples:
  modswarm site enrol 12D3Koo... --ca corp.site.key > machine.cert    where the site's secret is
  modswarm site enrol --certificate machine.cert                      on the machine itself
  modswarm site enrol --ticket modswarm-ticket-...                    or this, on the machine itself")]
pub(in crate::cli) struct EnrolArgs {
    /// The machine to make a certificate for, which is printed: its peer id, as `modswarm status` shows it.
    #[arg(value_name = "PEER-ID", group = "what")]
    peer: Option<PeerId>,
    /// What the machine may do: member, seed (is asked for modules), gateway, or several with commas.
    #[arg(long, value_name = "ROLE", default_value = "member", value_parser = roles, requires = "peer")]
    role: Roles,
    /// For how many days.
    #[arg(long, value_name = "DAYS", default_value_t = TICKET_DAYS, value_parser = clap::value_parser!(u64).range(1..=MOST_DAYS))]
    days: u64,
    #[command(flatten)]
    ca: CaArg,
    /// Take this certificate for this machine: the file that the line was written to, or - for stdin.
    #[arg(long, value_name = "FILE", group = "what")]
    certificate: Option<PathBuf>,
    /// Let this machine join with a ticket, at its next start; - reads it from stdin.
    #[arg(long, value_name = "TICKET", group = "what")]
    ticket: Option<String>,
    #[command(flatten)]
    node: DataArg,
}

pub(super) fn enrol(args: EnrolArgs) -> Result<(), Failure> {
    if let Some(peer) = args.peer {
        let ca = args.ca.read(&args.node)?;
        let (issued, not_after) = (now(), now() + args.days * DAY);
        let bytes = Certificate::sign(&ca, &peer.to_bytes(), args.role, issued, not_after);
        let site = ca.verifier().name();
        writeln!(
            io::stderr(),
            "{peer} is a {} of site {site} until {}: give it this line with `modswarm site enrol --certificate FILE`",
            args.role,
            date_text(not_after)
        )?;
        return print(&(Certificate::text(&bytes) + "\n"));
    }
    let data = data_dir(args.node.data)?;
    let site = closed_site(&data)?;
    std::fs::create_dir_all(&data)
        .map_err(|error| Failure::failed(format!("{} cannot be made: {error}", data.display())))?;
    let refused = |why: &dyn std::fmt::Display| Failure::failed(format!("{why}"));
    match (args.certificate, args.ticket) {
        (Some(file), _) => {
            let text = if file == Path::new("-") { stdin()? } else { read(&file)? };
            let certificate = Certificate::parse(&text, &site.key).map_err(|why| refused(&why))?;
            let Member { peer, roles, not_after, .. } = certificate.member();
            certificate.member().is_valid(now()).map_err(|why| refused(&why))?;
            let peer = PeerId::from_bytes(peer).map_err(|why| refused(&why))?;
            write_over(&data.join(CERTIFICATE_FILE), &(text.trim().to_owned() + "\n"), 0o644)?;
            writeln!(
                io::stderr(),
                "{peer} is a {roles} of site {} until {}, from the next start of the node with the data directory {}",
                site.key.name(),
                date_text(*not_after),
                data.display()
            )?;
        }
        (None, ticket) => {
            let text = ticket.filter(|text| text != "-").map_or_else(stdin, Ok)?;
            let ticket = TicketSecret::parse(&text, &site.key).map_err(|why| refused(&why))?;
            write_over(&data.join(TICKET_FILE), &(ticket.text() + "\n"), 0o600)?;
            writeln!(
                io::stderr(),
                "the node with the data directory {} joins site {} at its next start",
                data.display(),
                site.key.name()
            )?;
        }
    }
    Ok(())
}

/// The closed site that the site file of a data directory names.
pub(super) fn closed_site(data: &Path) -> Result<ClosedSite, Failure> {
    let SiteFile { path, site } = SiteFile::find(None, data)?;
    let open = || {
        Failure::failed(format!(
            "{} names no site: put [site] with the key that `modswarm site init` has printed into it first",
            path.display()
        ))
    };
    site.closed.ok_or_else(open)
}

/// The short form of a site's id, for people.
pub(super) fn short_id(site: &ClosedSite) -> String {
    SiteId::of(&site.key).to_string().chars().take(16).collect()
}

fn roles(text: &str) -> Result<Roles, String> {
    Roles::parse(text).map_err(|word| format!("{word:?} is no role: write member, seed or gateway"))
}

fn random() -> [u8; 32] {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    secret
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("{} cannot be read: {error}", path.display())))
}

/// The most bytes that are read from stdin: one line.
const MOST_INPUT: u64 = 64 << 10;

fn stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().lock().take(MOST_INPUT).read_to_string(&mut text)?;
    Ok(text)
}
