//! `modswarm site`: what the nodes of a site have agreed on, and the keys for it.

mod closed;
mod orders;
mod show;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use rand::RngCore as _;

use super::{DataArg, Failure, print};
use crate::config::{SITE_FILE, data_dir};
use crate::daemon::replace;
use crate::domain::note::Signer;
use crate::domain::site::policy_line;

/// Where a publisher's secret is unless told otherwise, inside the data directory.
pub(super) const KEY_FILE: &str = "publisher.key";

/// The commands of `modswarm site`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key to publish modules with.
    ///
    /// The secret goes into a file that only this user can read; whoever has it publishes in this name. The verifier
    /// key, which goes into the site file of every node, is printed.
    Key(KeyArgs),
    /// Make a closed site: its secret, and the key that all of its nodes know.
    ///
    /// Who has the secret says who belongs to the site. The secret is needed on no node: to make tickets, to revoke and to
    /// block.
    Init(closed::InitArgs),
    /// Make a ticket, with which machines join a closed site by themselves.
    ///
    /// It is printed as one line, for the site file of new machines. A machine that starts with it signs its own
    /// certificate, without a network or anybody's help, and renews it.
    Ticket(closed::TicketArgs),
    /// Make one machine a member of a closed site.
    Enrol(closed::EnrolArgs),
    /// Put a machine, or all that joined with a ticket, out of a closed site.
    ///
    /// Every node of the site disconnects it within seconds, and lets it in no more.
    Revoke(orders::RevokeArgs),
    /// Let no node of a closed site serve, list or pass on a module version.
    Block(orders::BlockArgs),
    /// Take `block` back.
    Unblock(orders::BlockArgs),
    /// Hand orders from a file, which --orders has written, to the running node.
    Orders(orders::GiveArgs),
    /// Show the site, this machine's membership, the site's orders, and who publishes which modules.
    Show(show::ShowArgs),
}

/// Arguments of `modswarm site key`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  modswarm site key --name corp-team      makes publisher.key in the data directory")]
pub(super) struct KeyArgs {
    /// Name of the key, as it stands in signatures: of a team or a machine, without spaces and plus signs.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Where the secret goes; a file that exists is never overwritten [default: publisher.key in the data directory].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    node: DataArg,
}

/// Runs one of the commands.
pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Key(args) => key(args),
        Command::Init(args) => closed::init(args),
        Command::Ticket(args) => closed::ticket(&args),
        Command::Enrol(args) => closed::enrol(args),
        Command::Revoke(args) => orders::revoke(&args),
        Command::Block(args) => orders::block(&args, true),
        Command::Unblock(args) => orders::block(&args, false),
        Command::Orders(args) => orders::give(&args),
        Command::Show(args) => show::run(args),
    }
}

fn key(args: KeyArgs) -> Result<(), Failure> {
    let mut secret = [0_u8; 32];
    rand::rng().fill_bytes(&mut secret);
    let signer = Signer::from_secret(&args.name, secret).map_err(|_| {
        Failure::usage(format!("--name {:?} is not usable: a key's name has no spaces and no plus sign", args.name))
    })?;
    let out = secret_path(args.out, args.node, KEY_FILE)?;
    write_new(&out, &(signer.secret_key() + "\n"))?;
    let line = policy_line("YOUR/MODULE/PREFIX", &[signer.verifier()]);
    writeln!(
        io::stderr(),
        "the secret is in {}: who has it publishes as {}\n\
         this line goes under [publishers] in the {SITE_FILE} of each node:\n{line}",
        out.display(),
        args.name
    )?;
    print(&format!("{}\n", signer.verifier()))
}

/// Where a new secret goes.
fn secret_path(out: Option<PathBuf>, node: DataArg, name: &str) -> Result<PathBuf, Failure> {
    if let Some(out) = out {
        return Ok(out);
    }
    let data = data_dir(node.data)?;
    fs::create_dir_all(&data)
        .map_err(|error| Failure::failed(format!("{} cannot be made: {error}", data.display())))?;
    Ok(data.join(name))
}

/// Writes beside a file and renames, so that no reader and no power cut sees half of it.
fn write_over(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> Result<(), Failure> {
    Ok(replace(path, bytes.as_ref(), mode)?)
}

/// Writes a secret to a file that was not there, readable by its owner only.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::failed(format!("{} exists and is not overwritten: name another file with --out", path.display()))
        }
        _ => Failure::failed(format!("{} cannot be made: {error}", path.display())),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key is none, and would be in the way of the next try.
        let _ = fs::remove_file(path);
        Failure::failed(format!("{} cannot be written: {error}", path.display()))
    })
}
