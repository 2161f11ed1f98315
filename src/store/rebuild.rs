//! Bringing the index up to date with the segments at start, or making it anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::catalog::{Ids, Row};
use super::error::StoreError;
use super::index::{Change, Fact, Index, version_key};
use super::limits::{INDEX_LOCK_TRIES, KEEP_BAD_INDEXES};
use super::record::{FactRecord, Header, Kind, StoreKey, about};
use super::segments::Segments;
use crate::domain::blob::BlobId;
use crate::domain::manifest::{Envelope, Manifest};

const INDEX_LOCK_WAIT: Duration = Duration::from_millis(20);

/// Opens the index of the store in `dir` and applies what it has not seen of the segments.
///
/// One that does not open, is of another format or store, knows more than the segments or holds what cannot be read is
/// set aside and made anew.
pub(super) fn open_index(
    dir: &Path,
    key: &StoreKey,
    segments: &Segments,
    max_seq: u64,
) -> Result<(Index, Ids), StoreError> {
    let path = dir.join("index");
    let existed = path.exists();
    let why = match open_patiently(&path, key) {
        Ok(Some(index)) => match load(&index, segments, max_seq) {
            Ok(Some(ids)) => return Ok((index, ids)),
            Ok(None) => "it knows more than the segments".to_owned(),
            Err(error) => error.to_string(),
        },
        Ok(None) => "it is of another store or format".to_owned(),
        Err(error) if !existed => return Err(error),
        Err(error) => error.to_string(),
    };
    let aside = set_aside(dir, &path)?;
    tracing::info!(reason = %why, aside = %aside.display(), "the index was set aside and is rebuilt from the segments");
    let index = open_patiently(&path, key)?.ok_or_else(|| StoreError::Index("a new index is not empty".into()))?;
    let ids = load(&index, segments, max_seq)?.ok_or_else(|| StoreError::Index("a new index is not empty".into()))?;
    Ok((index, ids))
}

/// A `Store` of this process that was just dropped may not have let go of the file yet; `dir/lock` says that nobody
/// else has it.
fn open_patiently(path: &Path, key: &StoreKey) -> Result<Option<Index>, StoreError> {
    for _ in 1..INDEX_LOCK_TRIES {
        match Index::open(path, key) {
            Err(StoreError::Index(why)) if why.contains("could not acquire lock") => thread::sleep(INDEX_LOCK_WAIT),
            done => return done,
        }
    }
    Index::open(path, key)
}

/// Applies what is new in the segments and reads the ids; `None` for an index that is ahead of them.
fn load(index: &Index, segments: &Segments, max_seq: u64) -> Result<Option<Ids>, StoreError> {
    let applied = index.applied()?;
    if applied > max_seq {
        return Ok(None);
    }
    let mut changes = 0_u64;
    for segment in segments.all().iter().filter(|segment| segment.tally().max_seq > applied) {
        for entry in segment.catalog_records()? {
            let (header, payload) = match segment.read(&entry) {
                Ok(record) => record,
                // Reported where it was found; the others count.
                Err(StoreError::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            if header.seq <= applied {
                continue;
            }
            match change_of(&header, payload.into()) {
                Ok(Some(change)) => {
                    index.apply(&change)?;
                    changes += 1;
                }
                Ok(None) => tracing::debug!(kind = header.kind.0, "a record of an unknown kind was skipped"),
                Err(error) => tracing::warn!(id = %header.id, segment = %segment.path.display(), offset = entry.offset,
                    %error, "a record cannot be understood and was skipped"),
            }
        }
    }
    let mut ids = Ids::default();
    index.rows(&[], |_, row| ids.insert(&row))?;
    if applied < max_seq {
        index.checkpoint(max_seq)?;
        tracing::info!(changes, manifests = ids.counts.manifests, "the index was brought up to date from the segments");
    }
    Ok(Some(ids))
}

/// What a record changes in the index; `None` for a kind that this version does not know.
fn change_of(header: &Header, payload: Bytes) -> Result<Option<Change>, Box<dyn std::error::Error>> {
    Ok(Some(match header.kind {
        Kind::MANIFEST => {
            let envelope = Envelope::decode(&payload)?;
            let manifest = Manifest::decode(&envelope.manifest)?;
            let row = Row::of(header.seq, BlobId::of(&envelope.manifest), header.id, &manifest);
            Change::Manifest { key: version_key(&manifest.module)?, row, envelope: payload }
        }
        Kind::COMPLETE => Change::Complete(about(&payload).ok_or("not the id of a manifest")?),
        Kind::RETRACT => Change::Retract(about(&payload).ok_or("not the id of a manifest")?),
        Kind::SET_ASIDE => Change::SetAside { id: about(&payload).ok_or("not the id of a manifest")?, seq: header.seq },
        Kind::FACT => {
            let FactRecord { key, at, value } = FactRecord::decode(&payload)?;
            Change::Fact { key, seq: header.seq, fact: value.map(|value| Fact { at, value: value.into() }) }
        }
        _ => return Ok(None),
    }))
}

/// Renames the index to the next free `index.bad-N` and removes those that are too many.
fn set_aside(dir: &Path, path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |error| StoreError::io("set aside", path, error);
    let mut numbers: Vec<u32> = fs::read_dir(dir)
        .map_err(failed)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("index.bad-")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let name = |number: u32| dir.join(format!("index.bad-{number}"));
    let aside = name(numbers.last().map_or(1, |last| last.saturating_add(1)));
    fs::rename(path, &aside).map_err(failed)?;
    let too_many = (numbers.len() + 1).saturating_sub(KEEP_BAD_INDEXES);
    for old in numbers.iter().take(too_many) {
        if let Err(error) = fs::remove_dir_all(name(*old)) {
            tracing::warn!(%error, index = %name(*old).display(), "an old index that was set aside could not be removed");
        }
    }
    Ok(aside)
}
