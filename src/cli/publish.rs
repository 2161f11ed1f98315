//! `modswarm publish`: a module version of one's own into the site, signed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::client::Client;
use super::site::KEY_FILE;
use super::{DataArg, Failure, bytes_for_people, print, print_json, small_runtime};
use crate::admin::PublishRequest;
use crate::config::data_dir;
use crate::domain::dirhash::H1;
use crate::domain::manifest::MAX_ZIP;
use crate::domain::module::{BadModule, ModulePath, ModuleVersion, Version};
use crate::domain::note::Signer;
use crate::domain::publication::Publication;
use crate::domain::publish::{check_zip, info, module_of_zip};
use crate::publish_dir::PublishDir;

/// What is said instead of the clock about when a version was made: seconds since 1970
/// (reproducible-builds.org/specs/source-date-epoch).
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Files left out that are named; of more only the number is told.
const NAMED: usize = 10;

/// Arguments of `modswarm publish`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  modswarm publish . --version v1.2.3           the module in this directory
  modswarm publish lib-v1.2.3.zip               a module zip, named by what is in it
  modswarm publish . --version v1.2.3 --dry-run shows what would be signed

A version stays as it was published first. The same content again is no error.")]
pub(super) struct Args {
    /// The directory of a module, or a module zip.
    #[arg(value_name = "DIR|ZIP")]
    what: PathBuf,
    /// Its version, as in v1.2.3 [needed for a directory].
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Its module path [default: as its go.mod says, or the names in the zip].
    #[arg(long, value_name = "PATH")]
    module: Option<String>,
    /// The publisher's key, as `modswarm site key` made it [default: publisher.key in the data directory].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Only show what would be published, file by file; no key and no node is needed.
    #[arg(long)]
    dry_run: bool,
    /// Print one line of JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: DataArg,
}

/// What has come of it, as JSON.
#[derive(Serialize)]
struct Outcome<'a> {
    module: &'a str,
    h1: String,
    go_mod_h1: String,
    zip_bytes: u64,
    /// `dry-run`, `published` or `already-published`.
    outcome: &'a str,
}

/// Signs a module version and hands it to the running node.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (module, zip) = if args.what.is_dir() { of_dir(args)? } else { of_zip(args)? };
    let checked = check_zip(&module, &zip)
        .map_err(|why| Failure::failed(format!("{} cannot be published as {module}: {why}", args.what.display())))?;
    let info = info(&module.version, made_at()?);
    let publication = Publication {
        module: module.clone(),
        zip_h1: checked.facts.h1,
        go_mod_h1: H1::of_go_mod(&checked.go_mod),
        zip_blake3: *blake3::hash(&zip).as_bytes(),
        zip_len: checked.facts.len,
        info_blake3: *blake3::hash(&info).as_bytes(),
    };
    if args.dry_run {
        return tell(args, &publication, "dry-run");
    }
    let signer = signer(args)?;
    let note = publication.sign(&signer).map_err(|why| Failure::failed(why.to_string()))?;
    let text = |bytes| String::from_utf8(bytes).map_err(|why| Failure::failed(why.to_string()));
    let request = PublishRequest {
        module: module.to_string(),
        info: text(info)?,
        note: text(note)?,
        key: signer.verifier().to_string(),
    };
    let answer = small_runtime()?.block_on(async {
        let (client, _) = Client::connect(args.node.data.clone()).await?;
        client.publish(&request, zip.into()).await
    })?;
    tell(args, &publication, if answer.already { "already-published" } else { "published" })
}

/// Packs a directory.
fn of_dir(args: &Args) -> Result<(ModuleVersion, Vec<u8>), Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::failed(format!("{}: {why}", args.what.display()));
    let dir = PublishDir::read(&args.what).map_err(|why| failed(&why))?;
    let path = match path_of(args)? {
        Some(path) => path,
        None => dir.module_path().map_err(|why| failed(&why))?,
    };
    let version = version_of(args)?;
    let version =
        version.ok_or_else(|| Failure::usage("a directory has no version: name one with --version v1.2.3"))?;
    let module = ModuleVersion::new(path, version).map_err(|why| mistyped(&why))?;
    let tree = dir.check(module.clone()).map_err(|why| failed(&why))?;
    let omitted = tree.omitted();
    for omission in omitted.iter().take(NAMED) {
        writeln!(io::stderr(), "left out: {} {}", omission.path, omission.reason)?;
    }
    if omitted.len() > NAMED {
        writeln!(io::stderr(), "left out: {} more", omitted.len() - NAMED)?;
    }
    if args.dry_run {
        // A file that git ignores is packed, too: better seen before than after.
        for file in tree.files() {
            writeln!(io::stderr(), "packed: {} ({})", file.path, bytes_for_people(file.size))?;
        }
    }
    let mut zip = Vec::new();
    tree.write_zip(|path| dir.open(path), &mut zip).map_err(|why| failed(&why))?;
    Ok((module, zip))
}

/// Reads a zip that somebody has made.
fn of_zip(args: &Args) -> Result<(ModuleVersion, Vec<u8>), Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::failed(format!("{} {why}", args.what.display()));
    let size = fs::metadata(&args.what).map_err(|error| failed(&format!("cannot be read: {error}")))?.len();
    if size > MAX_ZIP {
        return Err(failed(&format!("has {size} bytes, and the go command takes a zip of 500 MiB at most")));
    }
    let zip = fs::read(&args.what).map_err(|error| failed(&format!("cannot be read: {error}")))?;
    let module = match (path_of(args)?, version_of(args)?) {
        (Some(path), Some(version)) => ModuleVersion::new(path, version).map_err(|why| mistyped(&why))?,
        (path, version) => {
            let named = module_of_zip(&zip).map_err(|why| failed(&format!("cannot be published: {why}")))?;
            let (path, version) = (path.unwrap_or(named.path), version.unwrap_or(named.version));
            ModuleVersion::new(path, version).map_err(|why| mistyped(&why))?
        }
    };
    Ok((module, zip))
}

fn path_of(args: &Args) -> Result<Option<ModulePath>, Failure> {
    args.module.as_deref().map(ModulePath::parse).transpose().map_err(|why| mistyped(&why))
}

fn version_of(args: &Args) -> Result<Option<Version>, Failure> {
    args.version.as_deref().map(Version::parse).transpose().map_err(|why| mistyped(&why))
}

fn mistyped(why: &BadModule) -> Failure {
    Failure::usage(why.to_string())
}

/// Seconds since 1970: now, unless the environment says when.
fn made_at() -> Result<u64, Failure> {
    match std::env::var(SOURCE_DATE_EPOCH) {
        Ok(text) => text.parse().map_err(|_| {
            Failure::usage(format!("{SOURCE_DATE_EPOCH}={text} is not usable: write whole seconds since 1970"))
        }),
        Err(_) => Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())),
    }
}

fn signer(args: &Args) -> Result<Signer, Failure> {
    let path = match &args.key {
        Some(path) => path.clone(),
        None => data_dir(args.node.data.clone())?.join(KEY_FILE),
    };
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    // What is in the file is a secret, whatever is wrong with it.
    Signer::parse(text.trim()).map_err(|_| {
        Failure::failed(format!("{} holds no publisher's key: make one with `modswarm site key`", path.display()))
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::failed(match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "there is no publisher's key {path}: make one with `modswarm site key --name NAME`, or name it \
                 with --key"
            )
        }
        _ => format!("the publisher's key {path} cannot be read: {error}"),
    })
}

fn tell(args: &Args, publication: &Publication, outcome: &str) -> Result<(), Failure> {
    let Publication { module, zip_h1, go_mod_h1, zip_len, .. } = publication;
    if args.json {
        let (module, h1, go_mod_h1) = (&module.to_string(), zip_h1.to_string(), go_mod_h1.to_string());
        return print_json(&Outcome { module, h1, go_mod_h1, zip_bytes: *zip_len, outcome });
    }
    let size = bytes_for_people(*zip_len);
    let said = match outcome {
        "dry-run" => format!("{module} can be published, {size}"),
        "published" => format!("{module} is published, {size}"),
        _ => format!("{module} was published before with the same content, and stays as it is"),
    };
    writeln!(io::stderr(), "{said}")?;
    // As in a go.sum.
    let (path, version) = (&module.path, &module.version);
    print(&format!("{path} {version} {zip_h1}\n{path} {version}/go.mod {go_mod_h1}\n"))
}
