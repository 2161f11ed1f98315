//! What has to hold for a module zip from somewhere that nobody vouches for.

use std::collections::HashSet;
use std::num::NonZero;

use super::error::show;
use super::inflate::HAS_DESCRIPTOR;
use super::record::Local;
use super::{Archive, Entry, MAX_GO_MOD, MAX_LICENSE, ReadAt, ZipError, check_size};
use crate::domain::dirhash::H1;
use crate::domain::module::ModuleVersion;

/// What was found in a module zip that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipFacts {
    /// `h1:` of the zip, computed from its content.
    pub h1: H1,
    /// Length of the zip in bytes.
    pub len: u64,
    /// How many files it holds.
    pub files: usize,
    /// How many of them are where the module's files have to be, under `module@version/`.
    pub inside: usize,
    /// Length of all files together in bytes.
    pub unpacked: u64,
}

/// Reads all of `zip` and checks what makes it safe to hand to any unzipper as `module`.
///
/// The limits of golang.org/x/mod/zip hold, every file unpacks to what is declared for it, no two files share bytes or a name, and local headers agree with the directory. Whether it is the *right* zip is
/// for the caller to say, with [`ZipFacts::h1`].
///
/// # Errors
/// [`ZipError`] names the first rule that is broken.
pub fn check_module_zip(module: &ModuleVersion, zip: &dyn ReadAt) -> Result<ZipFacts, ZipError> {
    let archive = Archive::read(zip)?;
    check_entries(module, zip, &archive)?;
    let h1 = H1::of_archive(zip, &archive)?;
    Ok(facts(module, zip.len(), &archive, h1))
}

/// As [`check_module_zip`], with files inflated on up to `threads` threads.
///
/// # Errors
/// As [`check_module_zip`].
pub fn check_module_zip_with(
    threads: NonZero<usize>,
    module: &ModuleVersion,
    zip: &(dyn ReadAt + Sync),
) -> Result<ZipFacts, ZipError> {
    let archive = Archive::read(zip)?;
    check_entries(module, zip, &archive)?;
    let h1 = H1::of_archive_with(threads, zip, &archive)?;
    Ok(facts(module, zip.len(), &archive, h1))
}

fn facts(module: &ModuleVersion, len: u64, archive: &Archive, h1: H1) -> ZipFacts {
    let prefix = module.zip_prefix();
    let inside = archive.entries().iter().filter(|entry| entry.name.starts_with(prefix.as_bytes())).count();
    ZipFacts { h1, len, files: archive.entries().len(), inside, unpacked: archive.unpacked() }
}

/// All rules but those that only unpacking shows.
fn check_entries(module: &ModuleVersion, zip: &dyn ReadAt, archive: &Archive) -> Result<(), ZipError> {
    let prefix = module.zip_prefix();
    for entry in archive.entries() {
        match entry.name.strip_prefix(prefix.as_bytes()) {
            Some(b"go.mod") => check_size(entry, MAX_GO_MOD)?,
            Some(b"LICENSE") => check_size(entry, MAX_LICENSE)?,
            // A name outside of the module is for the go command to refuse, as it does: its words are better than ours, and what a
            // checksum database has recorded is not for a mirror to judge.
            _ => {}
        }
    }
    check_places(zip, archive)?;
    let mut names = HashSet::with_capacity(archive.entries().len());
    match archive.entries().iter().find(|entry| !names.insert(entry.name.as_slice())) {
        Some(twice) => Err(ZipError::Duplicate { name: show(&twice.name) }),
        None => Ok(()),
    }
}

/// Files lie one after the other, before the directory, each behind a local header that says the same as the directory.
fn check_places(zip: &dyn ReadAt, archive: &Archive) -> Result<(), ZipError> {
    let mut places: Vec<&Entry> = archive.entries().iter().collect();
    places.sort_by_key(|entry| entry.header_offset);
    let mut before: Option<(&Entry, u64)> = None;
    for entry in places {
        let local = Local::read(zip, entry.header_offset)?;
        check_local(zip, entry, &local)?;
        let end = local.data_offset.saturating_add(entry.packed);
        if let Some((other, _)) = before.filter(|(_, end)| *end > entry.header_offset) {
            return Err(ZipError::Overlap { name: show(&entry.name), other: show(&other.name) });
        }
        if end > archive.directory_offset {
            return Err(ZipError::Overlap { name: show(&entry.name), other: "the directory".into() });
        }
        before = Some((entry, end));
    }
    Ok(())
}

fn check_local(zip: &dyn ReadAt, entry: &Entry, local: &Local) -> Result<(), ZipError> {
    let has_descriptor = local.flags() & HAS_DESCRIPTOR != 0;
    let same = |local: u32, directory: u64| {
        // All ones: the length stands in the zip64 extra field.
        u64::from(local) == directory || local == u32::MAX || (has_descriptor && local == 0)
    };
    let same_crc = local.crc() == entry.crc || (has_descriptor && local.crc() == 0);
    let what = if local.name(zip)? != entry.name {
        "name"
    } else if local.method() != entry.method {
        "method"
    } else if local.flags() != entry.flags {
        "flags"
    } else if !same_crc {
        "checksum"
    } else if !same(local.packed(), entry.packed) || !same(local.unpacked(), entry.unpacked) {
        "length"
    } else {
        return Ok(());
    };
    Err(ZipError::Disagrees { name: show(&entry.name), what })
}
