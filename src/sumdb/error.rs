//! What can go wrong between a node and a checksum database.

use std::fmt;

use super::OpsError;
use crate::domain::note::Verifier;
use crate::domain::sumdb::{HeadError, RecordError, SignedHead};
use crate::domain::tlog::{Hash, NoHash, NotInTree, Tile, TileError, TreeHead, check_tree};

/// What an error means for the one who asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The database does not know the module version: there is nothing to wait for.
    Miss,
    /// It could not be found out now: trying again may help.
    Failure,
    /// Somebody lied, or bytes were damaged: do not believe this source.
    Forgery,
}

/// Why a module version could not be proven.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The database answered "not found".
    #[error("the checksum database {database} does not know {module}: check path and version")]
    Unknown {
        /// Name of the database.
        database: String,
        /// The module version.
        module: String,
    },
    /// The database did not answer.
    #[error("the checksum database {database} cannot be asked for {path} now: {source}")]
    Upstream {
        /// Name of the database.
        database: String,
        /// What was asked for.
        path: String,
        /// What went wrong.
        source: OpsError,
    },
    /// The database says that something does not exist which must.
    #[error(
        "the checksum database {database} has no {path}: its answers are incomplete, try again or ask another mirror"
    )]
    Incomplete {
        /// Name of the database.
        database: String,
        /// What was asked for.
        path: String,
    },
    /// What is kept here cannot be read or written.
    #[error("the stored {what} of the checksum database {database} cannot be used: {source}")]
    Store {
        /// Name of the database.
        database: String,
        /// `tile` or `tree head`.
        what: &'static str,
        /// What went wrong.
        source: OpsError,
    },
    /// The stored tree head was damaged. It is not thrown away: it is what a fork would be seen by.
    #[error("the stored tree head is damaged ({0}): restore it from a backup, or remove it to start trusting afresh")]
    StoredHead(#[source] HeadError),
    /// The answer is not a record of the module version.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The answer has a head that the database did not sign.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Tiles do not belong to the tree.
    #[error("tiles of the checksum database {database} are not to be trusted: {source}")]
    Tile {
        /// Name of the database.
        database: String,
        /// What is wrong with them.
        source: TileError,
    },
    /// The record is not in the tree at its place.
    #[error("the record of {module} is not number {id} of the {size} in {database}: the answer was forged or damaged")]
    NotInLog {
        /// Name of the database.
        database: String,
        /// The module version.
        module: String,
        /// Where the answer says it is.
        id: u64,
        /// Size of the tree in records.
        size: u64,
    },
    /// A tree has no such node.
    #[error(transparent)]
    NotInTree(#[from] NotInTree),
    /// Tiles do not have a hash that a proof needs.
    #[error(transparent)]
    NoHash(#[from] NoHash),
    /// The database has signed two histories.
    #[error(transparent)]
    Fork(#[from] Box<Fork>),
}

impl ClientError {
    /// What the error means.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::Miss,
            Self::Upstream { .. }
            | Self::Incomplete { .. }
            | Self::Store { .. }
            | Self::StoredHead(_)
            | Self::NotInTree(_)
            | Self::NoHash(_) => Kind::Failure,
            Self::Record(_) | Self::Head(_) | Self::Tile { .. } | Self::NotInLog { .. } | Self::Fork(_) => {
                Kind::Forgery
            }
        }
    }
}

/// The proof that a database has signed two tree heads of which the newer does not contain the older.
///
/// It convinces everybody who has the database's key, without asking anybody: see [`Fork::is_evidence`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Name of the database.
    pub database: String,
    /// The head of the smaller tree.
    pub older: SignedHead,
    /// The head of the larger tree.
    pub newer: SignedHead,
    /// What the newer tree really has where the older should be.
    pub shown: Hash,
    /// The proof that it has that (`prove_tree`).
    pub proof: Vec<Hash>,
}

impl Fork {
    /// Whether it shows what it says: both heads are signed, and the newer tree starts with another one than the older.
    #[must_use]
    pub fn is_evidence(&self, trusted: &[Verifier]) -> bool {
        let signed = |head: &SignedHead| SignedHead::open(&self.database, head.note().into(), trusted).is_ok();
        let shown = TreeHead { size: self.older.tree().size, hash: self.shown };
        signed(&self.older)
            && signed(&self.newer)
            && self.shown != self.older.tree().hash
            && check_tree(&self.proof, &self.newer.tree(), &shown).is_ok()
    }

    /// The evidence as text, to be kept and published: both notes, and the proof.
    #[must_use]
    pub fn report(&self) -> String {
        let indent = |note: &[u8]| String::from_utf8_lossy(note).trim_end().replace('\n', "\n\t");
        let proof: String = self.proof.iter().map(|hash| format!("\n\t{hash}")).collect();
        format!(
            "{self}\n\nold database:\n\t{}\n\nnew database:\n\t{}\n\nproof of misbehavior:\n\t{}{proof}\n",
            indent(self.older.note()),
            indent(self.newer.note()),
            self.shown,
        )
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the checksum database {} has signed two histories, of {} and {} records, that do not fit: trust neither, and \
             keep the report",
            self.database,
            self.older.tree().size,
            self.newer.tree().size,
        )
    }
}

impl std::error::Error for Fork {}

/// For errors about tiles, which name them by their path.
pub(super) fn incomplete(database: &str, tile: Tile) -> ClientError {
    ClientError::Incomplete { database: database.into(), path: tile.to_string() }
}
