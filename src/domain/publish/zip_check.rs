//! Whether a zip can be published as it is: `CheckZip` of golang.org/x/mod/zip, and a little more.

use super::error::{Fault, Invalid, PublishError, shown};
use super::files::{GO_MOD, Names, check_limits};
use super::go_mod::{check_of_zip, check_version, made_up};
use super::path::{check_file_path, is_clean};
use crate::domain::blob::ReadAt;
use crate::domain::manifest::MAX_GO_MOD;
use crate::domain::module::ModuleVersion;
use crate::domain::zip::{Archive, Entry, ZipFacts, check_module_zip, read_file};

/// A zip that can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedZip {
    /// What was found in it.
    pub facts: ZipFacts,
    /// The version's `.mod` file: the zip's own, or `module PATH` where it has none, as the go command makes it up.
    pub go_mod: Vec<u8>,
}

/// Reads all of `zip` and checks that every go command accepts it as `module`.
///
/// # Errors
/// [`PublishError::Invalid`] with all entries that the go command refuses, before anything is unpacked; then whatever
/// [`check_module_zip`] refuses, then what go.mod says.
pub fn check_zip(module: &ModuleVersion, zip: &dyn ReadAt) -> Result<CheckedZip, PublishError> {
    check_version(module)?;
    let archive = Archive::read(zip)?;
    let prefix = module.zip_prefix();
    let mut seen = Names::default();
    let faults = archive.entries().iter().filter_map(|entry| {
        let fault = check_entry(entry, &prefix, &mut seen).err()?;
        Some(Invalid { path: shown(&entry.name), fault })
    });
    let invalid: Vec<Invalid> = faults.collect();
    if !invalid.is_empty() {
        return Err(PublishError::Invalid(invalid));
    }
    let facts = check_module_zip(module, zip)?;
    let go_mod = format!("{prefix}{GO_MOD}");
    let go_mod = match archive.entries().iter().find(|entry| entry.name == go_mod.as_bytes()) {
        None => made_up(&module.path),
        Some(entry) => {
            let go_mod = read_file(zip, entry, MAX_GO_MOD)?;
            check_of_zip(module, &go_mod)?;
            go_mod
        }
    };
    Ok(CheckedZip { facts, go_mod })
}

fn check_entry(entry: &Entry, prefix: &str, seen: &mut Names) -> Result<(), Fault> {
    let path = entry.name.strip_prefix(prefix.as_bytes()).ok_or_else(|| Fault::Prefix(prefix.to_owned()))?;
    if entry.is_dir() {
        return Err(Fault::Directory);
    }
    if !is_clean(path) {
        return Err(Fault::NotClean);
    }
    let path = check_file_path(path).map_err(Fault::Name)?;
    seen.add(path, false)?;
    // In any case: on some systems it would be in the place of go.mod.
    if path.split_once('/').is_some_and(|(root, _)| root.eq_ignore_ascii_case(GO_MOD)) {
        return Err(Fault::GoModDirectory);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.eq_ignore_ascii_case(GO_MOD) && name != path {
        return Err(Fault::NestedGoMod);
    }
    if name.eq_ignore_ascii_case(GO_MOD) && name != GO_MOD {
        return Err(Fault::GoModCase);
    }
    check_limits(path, entry.unpacked, prefix.len())
}

/// Which module version a zip is of, by the name of its first file. Nothing else of it is checked.
///
/// # Errors
/// [`PublishError::Zip`] or [`PublishError::NotAModuleZip`].
pub fn module_of_zip(zip: &dyn ReadAt) -> Result<ModuleVersion, PublishError> {
    let archive = Archive::read(zip)?;
    let first = archive.entries().first().map_or_else(String::new, |entry| shown(&entry.name));
    let version_end = first.find('@').and_then(|at| first[at..].find('/').map(|end| at + end));
    let module = version_end.and_then(|end| ModuleVersion::parse(&first[..end]).ok());
    module.ok_or(PublishError::NotAModuleZip(first))
}
