//! What readers and the writer of a store share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use bytes::Bytes;

use super::catalog::{Held, HeldVersion, Ids, Row};
use super::changes::Changes;
use super::disk::Disk;
use super::error::StoreError;
use super::index::{Fact, Index, module_prefix, version_key};
use super::limits::{MAX_FACT_KEY, MODULES_PAGE};
use super::lock::DirLock;
use super::record::{Kind, StoreKey};
use super::segment::read;
use super::segments::Segments;
use super::{StoreOptions, Wanted};
use crate::domain::blob::BlobId;
use crate::domain::manifest::{Envelope, GoMod, Manifest, ManifestId};
use crate::domain::module::{ModulePath, ModuleVersion, Version};

/// What the fact keys of the wanted list start with; then module path, zero byte, query.
pub(super) const WANTED: &[u8] = b"w";
/// What the keys of all other facts start with.
pub(super) const FACT: &[u8] = b"f";

/// How a store stands, in numbers that cost nothing to get.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Segment files.
    pub segments: u64,
    /// Payload bytes of all records.
    pub live_bytes: u64,
    /// Bytes of the segment files, with record headers and footers; the index comes on top.
    pub disk_bytes: u64,
    /// Blobs; one that was damaged and stored again counts twice until its segment is compacted.
    pub blobs: u64,
    /// Manifests of the catalog.
    pub manifests: u64,
    /// Manifests with a zip.
    pub with_zip: u64,
    /// Manifests of which everything is here; one without a zip needs no more than itself.
    pub complete: u64,
    /// Manifests whose zip is here.
    pub held_zips: u64,
    /// Batches written since the start, each with one fsync.
    pub batches: u64,
    /// Damaged records and places that were found since the start.
    pub damaged: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) segment_dir: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) segments: Segments,
    pub(super) index: Index,
    pub(super) ids: RwLock<Ids>,
    pub(super) changes: Changes,
    pub(super) key: StoreKey,
    batches: AtomicU64,
    gaps: u64,
    /// Last, so that everything else is closed when it is let go.
    _lock: DirLock,
}

/// What opening gives: the shared part, and what the writer needs to go on.
pub(super) struct Opened {
    pub(super) shared: Shared,
    pub(super) open: Option<super::recover::OpenSegment>,
    pub(super) next_number: u32,
    pub(super) seq: u64,
}

/// The blobs that a manifest names itself: the recipe's pages and the pieces of a long go.mod.
pub(super) fn named_blobs(manifest: &Manifest) -> Vec<BlobId> {
    let pages = manifest.zip.iter().flat_map(|zip| &zip.pages);
    let pieces = match &manifest.go_mod {
        GoMod::Inline(_) => [].as_slice(),
        GoMod::Blobs { ids, .. } => ids,
    };
    pages.chain(pieces).copied().collect()
}

/// Opens everything in `dir` but the writer.
pub(super) fn open(dir: &Path, options: StoreOptions) -> Result<Opened, StoreError> {
    let unusable = |error| StoreError::unusable(dir, error);
    let (disk, segment_dir) = (options.disk, dir.join("segments"));
    disk.create_dir_all(&segment_dir).map_err(unusable)?;
    let lock = DirLock::take(dir)?;
    disk.sync_dir(dir).map_err(unusable)?;
    let found = super::recover::recover(&*disk, &segment_dir, options.segment_bytes)?;
    let (index, ids) = super::rebuild::open_index(dir, &found.key, &found.segments, found.max_seq)?;
    let shared = Shared {
        segment_dir,
        segment_bytes: options.segment_bytes,
        disk,
        segments: found.segments,
        index,
        ids: RwLock::new(ids),
        changes: Changes::default(),
        key: found.key,
        batches: AtomicU64::new(0),
        gaps: found.gaps as u64,
        _lock: lock,
    };
    Ok(Opened { shared, open: found.open, next_number: found.next_number, seq: found.max_seq })
}

impl Shared {
    pub(super) fn count_sync(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn manifest(&self, module: &ModuleVersion) -> Result<Option<Held>, StoreError> {
        match self.index.row(&version_key(module)?)? {
            Some(row) => self.held(&row).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn manifest_by_id(&self, id: &ManifestId) -> Result<Option<Held>, StoreError> {
        let Some((key, _)) = self.index.manifest(id)? else { return Ok(None) };
        match self.index.row(&key)?.filter(|row| row.id == *id) {
            Some(row) => self.held(&row).map(Some),
            None => Ok(None),
        }
    }

    /// The encoded envelope of a manifest.
    pub(super) fn envelope(&self, id: &ManifestId) -> Result<Option<Bytes>, StoreError> {
        match self.index.manifest(id)? {
            None => Ok(None),
            Some((_, Some(inline))) => Ok(Some(inline)),
            Some((key, None)) => match self.index.row(&key)?.filter(|row| row.id == *id) {
                Some(row) => Ok(self.segments.get(&row.record, Kind::MANIFEST)?.map(|(_, bytes)| bytes)),
                None => Ok(None),
            },
        }
    }

    fn held(&self, row: &Row) -> Result<Held, StoreError> {
        let missing = || StoreError::Index(format!("the envelope of manifest {} is gone", row.id));
        let envelope = self.envelope(&row.id)?.ok_or_else(missing)?;
        let broken =
            |error: String| StoreError::Index(format!("the envelope of manifest {} is broken: {error}", row.id));
        let decoded = Envelope::decode(&envelope).map_err(|error| broken(error.to_string()))?;
        // The index is not covered by check sums of ours: what it says is only believed if the name fits.
        if BlobId::of(&decoded.manifest) != row.id {
            return Err(broken("it is another one".into()));
        }
        let manifest = Manifest::decode(&decoded.manifest).map_err(|error| broken(error.to_string()))?;
        Ok(Held { id: row.id, manifest: Arc::new(manifest), envelope, complete: row.complete })
    }

    pub(super) fn versions(&self, path: &ModulePath) -> Result<Vec<HeldVersion>, StoreError> {
        let mut versions = Vec::new();
        self.index.rows(&module_prefix(path.as_str())?, |rest, row| {
            // What does not parse was accepted by other rules than today's; it is not offered.
            if let Some(version) = std::str::from_utf8(rest).ok().and_then(|text| Version::parse(text).ok()) {
                versions.push(HeldVersion {
                    version,
                    id: row.id,
                    complete: row.complete,
                    has_zip: row.zip_h1.is_some(),
                });
            }
        })?;
        Ok(versions)
    }

    pub(super) fn modules(&self, after: Option<&ModulePath>) -> Result<Vec<ModulePath>, StoreError> {
        let mut page = Vec::new();
        let mut at = after.map(|path| path.as_str().to_owned());
        while page.len() < MODULES_PAGE
            && let Some(next) = self.index.module_after(at.as_deref())?
        {
            page.extend(ModulePath::parse(&next));
            at = Some(next);
        }
        Ok(page)
    }

    pub(super) fn wanted(&self) -> Result<Vec<Wanted>, StoreError> {
        let mut wanted = Vec::new();
        self.index.facts(WANTED, |rest, fact| {
            let text = String::from_utf8_lossy(rest);
            if let Some((module, query)) = text.split_once('\0') {
                wanted.push(Wanted { module: module.into(), query: query.into(), asked_at: fact.at });
            }
        })?;
        Ok(wanted)
    }

    pub(super) fn count_wanted(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        self.index.facts(WANTED, |_, _| count += 1)?;
        Ok(count)
    }

    pub(super) fn fact(&self, key: &str) -> Result<Option<Fact>, StoreError> {
        self.index.fact(&fact_key(key)?)
    }

    pub(super) fn facts(&self, prefix: &str) -> Result<Vec<(String, Fact)>, StoreError> {
        let mut facts = Vec::new();
        let whole = fact_key(prefix)?;
        self.index
            .facts(&whole, |rest, fact| facts.push((format!("{prefix}{}", String::from_utf8_lossy(rest)), fact)))?;
        Ok(facts)
    }

    pub(super) fn stats(&self) -> Stats {
        let counts = read(&self.ids).counts;
        let mut stats = Stats {
            manifests: counts.manifests,
            with_zip: counts.with_zip,
            complete: counts.complete,
            held_zips: counts.held_zips,
            batches: self.batches.load(Ordering::Relaxed),
            damaged: self.gaps,
            ..Stats::default()
        };
        for segment in self.segments.all().iter() {
            let tally = segment.tally();
            stats.segments += 1;
            stats.live_bytes += tally.bytes;
            stats.blobs += u64::from(tally.blobs);
            stats.damaged += segment.damaged() as u64;
            stats.disk_bytes += segment.file.len().unwrap_or(0);
        }
        stats
    }
}

/// The key of a caller's fact.
pub(super) fn fact_key(key: &str) -> Result<Vec<u8>, StoreError> {
    checked_key([FACT, key.as_bytes()].concat())
}

/// The key of a wanted module: its two parts must stay apart.
pub(super) fn wanted_key(module: &str, query: &str) -> Result<Vec<u8>, StoreError> {
    for part in [module, query] {
        if part.contains('\0') {
            return Err(StoreError::BadKey(part.into()));
        }
    }
    checked_key([WANTED, module.as_bytes(), &[0], query.as_bytes()].concat())
}

fn checked_key(key: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if key.len() > MAX_FACT_KEY {
        return Err(StoreError::TooMuch { what: "a key", len: key.len() as u64, limit: MAX_FACT_KEY as u64 });
    }
    Ok(key)
}
