//! What a Go checksum database says of a module version, and the proof that it says so (golang.org/design/25530-sumdb).
//!
//! A database is a transparency log ([`tlog`]) of records, one for each module version, whose head is a signed note
//! ([`note`]). A record is two lines of go.sum:
//!
//! ```text
//! example.com/mod v1.2.3 h1:...=
//! example.com/mod v1.2.3/go.mod h1:...=
//! ```
//!
//! A [`SumdbProof`] carries record, place, inclusion path and signed head, so that any node can check a module version
//! alone, with nothing but the database's key, for as long as that key is trusted.
//!
//! What holds here, and is stricter than the go command:
//! * a record must be *exactly* the lines of the module version that was asked for. The go command before 1.26.3 looked
//!   for lines that fit and took "none" for "nothing to check" (CVE-2026-42501);
//! * no module is exempt: `golang.org/toolchain` is a module whose zip is executed, and it is checked like any other,
//!   whatever is configured not to be (CVE-2026-94447, [`is_always_verified`]).
//!
//! Whether a head is *consistent* with other heads of the same database is not seen here but by `sumdb::Client`.

use bincode::{Decode, Encode};

use super::dirhash::H1;
use super::module::{ModulePath, ModuleVersion};
use super::note::{self, NoteError, Verifier};
use super::tlog::{self, BadText, Hash, TreeHead};

mod record;
mod spec;
pub mod state;

pub use record::{Lookup, MAX_LOOKUP, MAX_RECORD, Record, RecordError};
pub use spec::{DEFAULT_DATABASE, SpecError, SumdbSpec};

/// The most bytes of a signed tree head: 16 KiB, room for a hundred signatures. The go command's database sends 180.
pub const MAX_HEAD: usize = 16 << 10;

/// The module of Go toolchains: each version is a Go distribution that the go command unpacks and runs.
pub const TOOLCHAIN: &str = "golang.org/toolchain";

/// Whether a module must be proven by the checksum database even where that is switched off, or where the module
/// matches a pattern of private modules (cmd/go, `useSumDB`).
#[must_use]
pub fn is_always_verified(path: &ModulePath) -> bool {
    path.as_str() == TOOLCHAIN
}

/// A signed note is not a tree head of the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not signed by a key that is trusted for the database, or not a note.
    #[error("the tree head of {database} is not to be trusted: {source}")]
    Note {
        /// Name of the database.
        database: String,
        /// What is wrong with the note.
        source: NoteError,
    },
    /// Signed, but not a tree head.
    #[error("{database} signed something that is not a tree head: {source}")]
    Text {
        /// Name of the database.
        database: String,
        /// What is wrong with the text.
        source: BadText,
    },
    /// Over [`MAX_HEAD`].
    #[error("the tree head of {database} has {len} bytes, over the limit of 16 KiB")]
    TooLong {
        /// Name of the database.
        database: String,
        /// Length in bytes.
        len: usize,
    },
    /// No trusted key has the database's name.
    #[error(
        "no key of the checksum database {database} is trusted here: add it to the configuration or ignore what it says"
    )]
    UnknownDatabase {
        /// Name of the database.
        database: String,
    },
}

/// A tree head and the note in which the database signed it. Made only from a note that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    note: Vec<u8>,
    tree: TreeHead,
}

impl SignedHead {
    /// Checks a note with those of the `trusted` keys that have the name `database`: a key speaks for its own database
    /// only.
    ///
    /// # Errors
    /// [`HeadError`] says what is wrong with it.
    pub fn open(database: &str, note: Vec<u8>, trusted: &[Verifier]) -> Result<Self, HeadError> {
        let owned = || database.to_owned();
        if note.len() > MAX_HEAD {
            return Err(HeadError::TooLong { database: owned(), len: note.len() });
        }
        let keys: Vec<Verifier> = trusted.iter().filter(|key| key.name() == database).cloned().collect();
        if keys.is_empty() {
            return Err(HeadError::UnknownDatabase { database: owned() });
        }
        let opened = note::open(&note, &keys).map_err(|source| HeadError::Note { database: owned(), source })?;
        let tree = TreeHead::parse(&opened.text).map_err(|source| HeadError::Text { database: owned(), source })?;
        Ok(Self { note, tree })
    }

    /// The signed note, byte for byte.
    #[must_use]
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// What it says of the log.
    #[must_use]
    pub const fn tree(&self) -> TreeHead {
        self.tree
    }
}

/// All that it takes to check one module version against a checksum database, and nothing that needs asking anybody.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SumdbProof {
    /// Name of the database, as its key has it.
    pub database: String,
    /// Index of the record in the log.
    pub index: u64,
    /// The record's text, at most [`MAX_RECORD`] bytes.
    pub record: Vec<u8>,
    /// The inclusion path from the record up, at most 63 hashes.
    pub path: Vec<Hash>,
    /// The signed tree head that the path leads to, at most [`MAX_HEAD`] bytes.
    pub head: Vec<u8>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The head is not one of a trusted database.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The record is not the module version's.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record is not in the log at that place.
    #[error("{module} is not record {index} of {database} as the proof says: the proof was forged or damaged")]
    NotInLog {
        /// The module version.
        module: String,
        /// The place in the log.
        index: u64,
        /// Name of the database.
        database: String,
    },
    /// The database knows other bytes.
    #[error(transparent)]
    Mismatch(#[from] Box<Mismatch>),
    /// There is a zip, and the record is of a go.mod only.
    #[error("{database} has recorded only the go.mod of {module}: its zip cannot be proven, do not use it")]
    NoZip {
        /// The module version.
        module: String,
        /// Name of the database.
        database: String,
    },
}

/// The bytes at hand are not those that the database has recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} of {module} hashes to {got}, but {database} has recorded {recorded}: do not use these bytes")]
pub struct Mismatch {
    /// The module version.
    pub module: String,
    /// `zip` or `go.mod`.
    pub what: &'static str,
    /// What the bytes at hand hash to.
    pub got: H1,
    /// What the database has recorded.
    pub recorded: H1,
    /// Name of the database.
    pub database: String,
}

impl SumdbProof {
    /// Checks that the database has recorded exactly these hashes for `module`.
    ///
    /// `zip_h1` is `None` where no zip is at hand; the go.mod is always checked.
    ///
    /// # Errors
    /// [`ProofError`] for all but a proof that holds in every part.
    pub fn verify(
        &self,
        module: &ModuleVersion,
        zip_h1: Option<H1>,
        go_mod_h1: H1,
        trusted: &[Verifier],
    ) -> Result<(), ProofError> {
        // Cheap checks first: what comes from outside should not cost a signature check when a glance is enough.
        let record = Record::parse(self.index, &self.record, module)?;
        let mismatch = |what, got, recorded| {
            let (module, database) = (module.to_string(), self.database.clone());
            Box::new(Mismatch { module, what, got, recorded, database })
        };
        match (zip_h1, record.zip_h1) {
            (Some(got), Some(recorded)) if got != recorded => return Err(mismatch("zip", got, recorded).into()),
            (Some(_), None) => {
                return Err(ProofError::NoZip { module: module.to_string(), database: self.database.clone() });
            }
            _ => {}
        }
        if go_mod_h1 != record.go_mod_h1 {
            return Err(mismatch("go.mod", go_mod_h1, record.go_mod_h1).into());
        }
        let head = self.head(trusted)?;
        let leaf = tlog::record_hash(&self.record);
        tlog::check_record(&self.path, &head.tree(), self.index, leaf).map_err(|_| ProofError::NotInLog {
            module: module.to_string(),
            index: self.index,
            database: self.database.clone(),
        })
    }

    /// The signed head that the proof leads to.
    ///
    /// # Errors
    /// [`HeadError`] when it is not one of a trusted database.
    pub fn head(&self, trusted: &[Verifier]) -> Result<SignedHead, HeadError> {
        SignedHead::open(&self.database, self.head.clone(), trusted)
    }
}

#[cfg(test)]
mod tests;
