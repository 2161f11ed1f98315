//! What can go wrong with a store, one sentence each.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::blob::BlobId;
use crate::domain::manifest::ManifestId;

/// Why the store did not do what it was asked. That it does not *hold* something is no error: reads say `None`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another `Store` of this one, has the directory.
    #[error("{dir} is in use by {holder}; stop that node, or give this one its own directory with --data")]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// `pid 123`, or `another process` where it could not be read.
        holder: String,
    },
    /// The directory cannot be made, opened or written.
    #[error("{dir} cannot be used as a data directory ({source}); mend its permissions or choose another with --data")]
    Unusable {
        /// The data directory.
        dir: PathBuf,
        /// What the operating system says.
        source: Arc<io::Error>,
    },
    /// Written by a later version.
    #[error("{path} has format {format} and this version reads up to {known}; run the version that wrote it")]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its format.
        format: u16,
        /// The newest known here.
        known: u16,
    },
    /// The disk is full. Reading goes on.
    #[error("the disk of {path} is full; free some space: what is held is still served, nothing new is kept")]
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The disk failed otherwise.
    #[error("could not {action} {path} ({source}); check the disk and the system log")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system says.
        source: Arc<io::Error>,
    },
    /// A record on disk is not what was written. It is given up and can be stored again.
    #[error(
        "{id} in {path} at byte {offset} is damaged on disk and was given up; it will be fetched again when asked for"
    )]
    Damaged {
        /// The record.
        id: BlobId,
        /// Its segment.
        path: PathBuf,
        /// Where it starts.
        offset: u64,
    },
    /// The derived index failed. Nothing is lost: it is rebuilt from the segments.
    #[error("the index of the store failed ({0}); restart the node to rebuild it from its segments")]
    Index(String),
    /// A manifest that was not accepted before.
    #[error("manifest {0} is not in the catalog; accept it before marking it complete")]
    UnknownManifest(ManifestId),
    /// A manifest was to be marked complete while a blob that it names is not here.
    #[error("manifest {id} is not complete: blob {missing} that it names is not held; fetch it first")]
    Incomplete {
        /// The manifest.
        id: ManifestId,
        /// The first blob that is not here.
        missing: BlobId,
    },
    /// A name that cannot be a key, or more bytes than one call may carry.
    #[error("{what} of {len} bytes is more than the {limit} that the store takes at once; ask in smaller pieces")]
    TooMuch {
        /// What is too long.
        what: &'static str,
        /// Its length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// A module path, version or key with a byte that separates keys.
    #[error("{0:?} holds a zero byte and cannot be stored")]
    BadKey(String),
    /// The store was closed, or its writer is gone.
    #[error("the store is closed; restart the node to use it again")]
    Closed,
}

impl StoreError {
    /// Sorts what the operating system says: a full disk is its own answer.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded => Self::Full { path: path.into() },
            _ => Self::Io { action, path: path.into(), source: Arc::new(source) },
        }
    }

    pub(super) fn unusable(dir: &Path, source: io::Error) -> Self {
        Self::Unusable { dir: dir.into(), source: Arc::new(source) }
    }
}
