//! `modswarm site`: what the nodes of a site have agreed on, and the keys for it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use rand::RngCore as _;

use super::{DataArg, Failure, print, print_json};
use crate::config::{SITE_FILE, SiteFile, data_dir};
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
    /// Show who publishes which modules.
    Show(ShowArgs),
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

/// Arguments of `modswarm site show`.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The site file [default: site.toml in the data directory].
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    #[command(flatten)]
    node: DataArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs one of the commands.
pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Key(args) => key(args),
        Command::Show(args) => show(args),
    }
}

fn key(args: KeyArgs) -> Result<(), Failure> {
    let mut secret = [0_u8; 32];
    rand::rng().fill_bytes(&mut secret);
    let signer = Signer::from_secret(&args.name, secret).map_err(|_| {
        Failure::usage(format!("--name {:?} is not usable: a key's name has no spaces and no plus sign", args.name))
    })?;
    let out = match args.out {
        Some(out) => out,
        None => {
            let data = data_dir(args.node.data)?;
            fs::create_dir_all(&data)
                .map_err(|error| Failure::failed(format!("{} cannot be made: {error}", data.display())))?;
            data.join(KEY_FILE)
        }
    };
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

fn show(args: ShowArgs) -> Result<(), Failure> {
    let SiteFile { path, site } = SiteFile::find(args.site, &data_dir(args.node.data)?)?;
    if args.json {
        let texts = |keys: &[_]| keys.iter().map(ToString::to_string).collect();
        let publishers: BTreeMap<&str, Vec<String>> =
            site.publishers.iter().map(|(prefix, keys)| (prefix, texts(keys))).collect();
        return print_json(&serde_json::json!({ "file": path, "publishers": publishers }));
    }
    if site.publishers.is_empty() {
        writeln!(io::stderr(), "{} names no publisher: only checksum databases count", path.display())?;
        return Ok(());
    }
    print(&site.publishers.to_string())
}
