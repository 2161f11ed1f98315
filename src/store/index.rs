//! The index: a sled database that is *derived* from the segments, and can be thrown away.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `versions` | module path, 0, version | [`Row`] |
//! | `manifests` | manifest id | length of the `versions` key (2 bytes), that key, the envelope if it is small |
//! | `complete` | manifest id | nothing |
//! | `retracted` | manifest id | nothing |
//! | `aside` | manifest id | sequence number up to which it counts as not offered |
//! | `facts` | the fact's key | sequence number, unix seconds, value |
//! | `meta` | `format`, `store`, `applied` | what wrote it, for which store, up to which sequence number |
//!
//! The zero byte keeps `example.com/a` from being a prefix of `example.com/ab`'s keys; names with a zero byte are refused.
//! Everything is "the highest sequence number wins", so applying a record twice, or records out of order, is harmless.
//!
//! sled 0.34 panics where it should fail, so every call runs under [`guard`]. It is slow and huge with `apply_batch`
//! (measured: 14 GB for 4 million entries), so there are only single inserts. After a power cut it opens only if its
//! file was synced by someone: [`Index::checkpoint`] does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::catalog::Row;
use super::error::StoreError;
use super::limits::{INDEX_CACHE, INDEX_SEGMENT, INLINE_ENVELOPE, MAX_NAME};
use super::record::{StoreKey, le64};
use crate::domain::codec;
use crate::domain::manifest::ManifestId;
use crate::domain::module::ModuleVersion;

/// Changes with every change of the tables above; another one on disk is set aside and rebuilt.
const FORMAT: u64 = 1;
const MAX_ROW: usize = 256;

/// A fact, as the index keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// Unix seconds that it is of.
    pub at: u64,
    /// What it says.
    pub value: Bytes,
}

/// One change that a record makes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A manifest was accepted under a `versions` key.
    Manifest { key: Vec<u8>, row: Row, envelope: Bytes },
    /// A manifest is complete.
    Complete(ManifestId),
    /// A manifest is out of the catalog for good.
    Retract(ManifestId),
    /// A manifest is out of the catalog until it is accepted with a higher sequence number.
    SetAside { id: ManifestId, seq: u64 },
    /// A fact was set, or forgotten.
    Fact { key: Vec<u8>, seq: u64, fact: Option<Fact> },
}

/// What a [`Change`] did, for what is kept in memory of the index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// The key of the row or fact that may be another one now.
    pub(super) key: Option<Vec<u8>>,
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
}

/// What the index has under the id of a manifest: its `versions` key, and its envelope where that is small.
pub(super) type Indexed = (Vec<u8>, Option<Bytes>);

/// The open database.
#[derive(Debug)]
pub(super) struct Index {
    db: sled::Db,
    versions: sled::Tree,
    manifests: sled::Tree,
    complete: sled::Tree,
    retracted: sled::Tree,
    aside: sled::Tree,
    facts: sled::Tree,
    meta: sled::Tree,
    path: PathBuf,
}

/// Runs a call into sled; its errors and its panics become one sentence.
pub(super) fn guard<T>(call: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => done.map_err(|error| StoreError::Index(error.to_string())),
        Err(_) => Err(StoreError::Index("sled panicked".into())),
    }
}

/// The `versions` key of a module version.
///
/// # Errors
/// For a name that could not be told from others, or is too long for a key.
pub(super) fn version_key(module: &ModuleVersion) -> Result<Vec<u8>, StoreError> {
    let mut key = module_prefix(module.path.as_str())?;
    key.extend_from_slice(checked_name(module.version.as_str())?.as_bytes());
    Ok(key)
}

/// What the keys of all versions of a module start with.
pub(super) fn module_prefix(path: &str) -> Result<Vec<u8>, StoreError> {
    let mut key = checked_name(path)?.as_bytes().to_vec();
    key.push(0);
    Ok(key)
}

fn checked_name(name: &str) -> Result<&str, StoreError> {
    if name.len() > MAX_NAME {
        return Err(StoreError::TooMuch { what: "a name", len: name.len() as u64, limit: MAX_NAME as u64 });
    }
    if name.contains('\0') { Err(StoreError::BadKey(name.into())) } else { Ok(name) }
}

impl Index {
    /// Opens or makes the database in `path`. `Ok(None)` for one that is of another format or of another store.
    pub(super) fn open(path: &Path, key: &StoreKey) -> Result<Option<Self>, StoreError> {
        guard(|| {
            let config = sled::Config::new().path(path).cache_capacity(INDEX_CACHE).segment_size(INDEX_SEGMENT);
            let db = config.flush_every_ms(None).open()?;
            let tree = |name: &str| db.open_tree(name);
            let (versions, manifests, complete) = (tree("versions")?, tree("manifests")?, tree("complete")?);
            let (retracted, aside) = (tree("retracted")?, tree("aside")?);
            let (facts, meta) = (tree("facts")?, tree("meta")?);
            let store: [u8; 16] = key.check(b"index");
            let marks = [("format", &FORMAT.to_le_bytes()[..]), ("store", &store[..])];
            let mut ours = true;
            for (name, wanted) in marks {
                ours &= meta.get(name)?.is_some_and(|held| held == wanted);
            }
            if !ours {
                // A store gets its key with its first segment, so one that was closed before that has another key now.
                if ![&versions, &manifests, &complete, &retracted, &facts].iter().all(|tree| tree.is_empty()) {
                    return Ok(None);
                }
                meta.clear()?;
                for (name, wanted) in marks {
                    meta.insert(name, wanted)?;
                }
            }
            Ok(Some(Self { db, versions, manifests, complete, retracted, aside, facts, meta, path: path.into() }))
        })
    }

    /// Up to which sequence number all records were applied when it was last flushed.
    pub(super) fn applied(&self) -> Result<u64, StoreError> {
        Ok(guard(|| self.meta.get("applied"))?.map_or(0, |raw| le64(&raw, 0)))
    }

    /// Makes all changes durable, and the fact that they are those up to `applied`.
    pub(super) fn checkpoint(&self, applied: u64) -> Result<(), StoreError> {
        guard(|| {
            self.meta.insert("applied", &applied.to_le_bytes())?;
            self.db.flush().map(|_| ())
        })?;
        // sled's flush does not make the new length of its file durable.
        let path = self.path.join("db");
        std::fs::File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|error| StoreError::io("sync", &path, error))
    }

    /// Applies a change, unless a later one was.
    pub(super) fn apply(&self, change: &Change) -> Result<Moved, StoreError> {
        match change {
            Change::Manifest { key, row, envelope } => self.apply_manifest(key, row, envelope),
            Change::Complete(id) => self.apply_complete(id),
            Change::Retract(id) => self.apply_retract(id),
            Change::SetAside { id, seq } => self.apply_set_aside(id, *seq),
            Change::Fact { key, seq, fact } => self.apply_fact(key, *seq, fact.as_ref()),
        }
    }

    fn apply_manifest(&self, key: &[u8], row: &Row, envelope: &Bytes) -> Result<Moved, StoreError> {
        let before = self.row(key)?;
        let aside = guard(|| self.aside.get(row.id.as_bytes()))?.is_some_and(|seq| le64(&seq, 0) > row.seq);
        if aside || before.as_ref().is_some_and(|held| held.seq >= row.seq) || self.is_retracted(&row.id)? {
            return Ok(Moved::default());
        }
        let mut row = row.clone();
        guard(|| {
            row.complete |= self.complete.contains_key(row.id.as_bytes())?;
            if let Some(old) = before.as_ref().filter(|held| held.id != row.id) {
                self.manifests.remove(old.id.as_bytes())?;
            }
            let len = u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes();
            let inline: &[u8] = if envelope.len() <= INLINE_ENVELOPE { envelope } else { &[] };
            self.manifests.insert(row.id.as_bytes(), [&len, key, inline].concat())?;
            self.versions.insert(key, codec::encode(&row))
        })?;
        Ok(Moved { key: Some(key.into()), before, after: Some(row) })
    }

    fn apply_complete(&self, id: &ManifestId) -> Result<Moved, StoreError> {
        guard(|| self.complete.insert(id.as_bytes(), &[]))?;
        let Some((key, _)) = self.manifest(id)? else { return Ok(Moved::default()) };
        let Some(before) = self.row(&key)?.filter(|row| row.id == *id && !row.complete) else {
            return Ok(Moved::default());
        };
        let after = Row { complete: true, ..before.clone() };
        guard(|| self.versions.insert(&key, codec::encode(&after)))?;
        Ok(Moved { key: Some(key), before: Some(before), after: Some(after) })
    }

    /// The id stays in a tree of its own, so that the order in which records are read does not matter.
    fn apply_retract(&self, id: &ManifestId) -> Result<Moved, StoreError> {
        guard(|| self.retracted.insert(id.as_bytes(), &[]))?;
        self.strike(id, u64::MAX)
    }

    fn apply_set_aside(&self, id: &ManifestId, seq: u64) -> Result<Moved, StoreError> {
        guard(|| self.aside.insert(id.as_bytes(), &seq.to_le_bytes()))?;
        self.strike(id, seq)
    }

    /// Takes a manifest out that was accepted before `seq`.
    fn strike(&self, id: &ManifestId, seq: u64) -> Result<Moved, StoreError> {
        let Some((key, _)) = self.manifest(id)? else { return Ok(Moved::default()) };
        let before = self.row(&key)?.filter(|row| row.id == *id);
        if before.as_ref().is_some_and(|row| row.seq >= seq) {
            return Ok(Moved::default());
        }
        guard(|| self.manifests.remove(id.as_bytes()))?;
        let Some(before) = before else { return Ok(Moved::default()) };
        guard(|| self.versions.remove(&key))?;
        Ok(Moved { key: Some(key), before: Some(before), after: None })
    }

    /// Whether a manifest is out of the catalog for good.
    pub(super) fn is_retracted(&self, id: &ManifestId) -> Result<bool, StoreError> {
        guard(|| self.retracted.contains_key(id.as_bytes()))
    }

    /// A forgotten fact stays as a key without a value: an older record must not bring it back.
    fn apply_fact(&self, key: &[u8], seq: u64, fact: Option<&Fact>) -> Result<Moved, StoreError> {
        if guard(|| self.facts.get(key))?.is_some_and(|held| le64(&held, 0) >= seq) {
            return Ok(Moved::default());
        }
        let mut value = seq.to_le_bytes().to_vec();
        if let Some(fact) = fact {
            value.extend_from_slice(&fact.at.to_le_bytes());
            value.extend_from_slice(&fact.value);
        }
        guard(|| self.facts.insert(key, value))?;
        Ok(Moved { key: Some(key.into()), ..Moved::default() })
    }

    /// The row under a `versions` key.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        guard(|| self.versions.get(key))?.map(|raw| decode_row(&raw)).transpose()
    }

    /// What is known under the id of a manifest.
    pub(super) fn manifest(&self, id: &ManifestId) -> Result<Option<Indexed>, StoreError> {
        let Some(raw) = guard(|| self.manifests.get(id.as_bytes()))? else { return Ok(None) };
        let len = raw.get(..2).map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
        let key = raw.get(2..2 + len).ok_or_else(|| StoreError::Index("a manifest's key is cut off".into()))?;
        let inline = &raw[2 + len..];
        Ok(Some((key.to_vec(), (!inline.is_empty()).then(|| Bytes::copy_from_slice(inline)))))
    }

    /// Hands every row whose key starts with `prefix` to `take`, with the rest of its key.
    pub(super) fn rows(&self, prefix: &[u8], mut take: impl FnMut(&[u8], Row)) -> Result<(), StoreError> {
        let mut rows = self.versions.scan_prefix(prefix);
        while let Some((key, raw)) = guard(|| rows.next().transpose())? {
            take(key.get(prefix.len()..).unwrap_or_default(), decode_row(&raw)?);
        }
        Ok(())
    }

    /// The next module path behind `after`, in byte order.
    pub(super) fn module_after(&self, after: Option<&str>) -> Result<Option<String>, StoreError> {
        // The least key behind all of a module's versions, which continue with a zero byte.
        let start = after.map_or_else(Vec::new, |path| [path.as_bytes(), &[1]].concat());
        let next = guard(|| self.versions.range(start..).next().transpose())?;
        Ok(next.and_then(|(key, _)| {
            let path = key.split(|byte| *byte == 0).next()?;
            String::from_utf8(path.to_vec()).ok()
        }))
    }

    /// A fact that was set and not forgotten.
    pub(super) fn fact(&self, key: &[u8]) -> Result<Option<Fact>, StoreError> {
        Ok(guard(|| self.facts.get(key))?.and_then(|raw| decode_fact(&raw)))
    }

    /// Facts whose key starts with `prefix`, with the rest of their key.
    pub(super) fn facts(&self, prefix: &[u8], mut take: impl FnMut(&[u8], Fact)) -> Result<(), StoreError> {
        let mut facts = self.facts.scan_prefix(prefix);
        while let Some((key, raw)) = guard(|| facts.next().transpose())? {
            if let Some(fact) = decode_fact(&raw) {
                take(key.get(prefix.len()..).unwrap_or_default(), fact);
            }
        }
        Ok(())
    }
}

fn decode_row(raw: &[u8]) -> Result<Row, StoreError> {
    codec::decode::<_, MAX_ROW>(raw).map_err(|error| StoreError::Index(error.to_string()))
}

fn decode_fact(raw: &[u8]) -> Option<Fact> {
    let value = raw.get(16..)?;
    Some(Fact { at: le64(raw, 8), value: Bytes::copy_from_slice(value) })
}
