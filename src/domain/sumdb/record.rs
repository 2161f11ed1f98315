//! Records and the answers to lookups.

use super::super::dirhash::H1;
use super::super::module::ModuleVersion;
use super::super::tlog::{self, BadText};
use super::MAX_HEAD;

/// The most bytes of a record: 16 KiB. It names the module version twice and has two hashes, some 200 bytes.
pub const MAX_RECORD: usize = 16 << 10;
/// The most bytes of an answer to a lookup: record, tree head, and the id and blank line between them.
pub const MAX_LOOKUP: usize = MAX_RECORD + MAX_HEAD + 32;

/// What a database has recorded of one module version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Index in the log.
    pub id: u64,
    /// The text that the log hashes.
    pub text: Vec<u8>,
    /// The module version.
    pub module: ModuleVersion,
    /// `h1:` of the zip; `None` where only the go.mod is recorded.
    pub zip_h1: Option<H1>,
    /// `h1:` of the go.mod.
    pub go_mod_h1: H1,
}

/// A record or an answer to a lookup that is not what it should be. Who sent it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the answer of a checksum database at all.
    #[error("the record of {module} cannot be read: {source}")]
    Text {
        /// What was asked for.
        module: String,
        /// What is wrong with it.
        source: BadText,
    },
    /// Not the lines that a record of this module version has: it is another one's, or it has lines too many or too few.
    #[error("the record that came for {module} does not have exactly the lines of {module}: refuse its sender")]
    NotOf {
        /// What was asked for.
        module: String,
    },
    /// Over [`MAX_RECORD`] or [`MAX_LOOKUP`].
    #[error("the record of {module} comes in {len} bytes, over the limit of 16 KiB for record and tree head each")]
    TooLong {
        /// What was asked for.
        module: String,
        /// Length in bytes.
        len: usize,
    },
}

impl Record {
    /// Reads the text of the record of `module`: the line of its zip, unless only the go.mod is recorded, and then the
    /// line of its go.mod. Nothing else may be in it, also no hashes of kinds that are not known here.
    ///
    /// # Errors
    /// [`RecordError`] for anything else, above all for the record of another module version (CVE-2026-42501).
    pub fn parse(id: u64, text: &[u8], module: &ModuleVersion) -> Result<Self, RecordError> {
        if text.len() > MAX_RECORD {
            return Err(RecordError::TooLong { module: module.to_string(), len: text.len() });
        }
        let hashes = || {
            let mut lines = std::str::from_utf8(text).ok()?.strip_suffix('\n')?.rsplit('\n');
            let (path, version) = (&module.path, &module.version);
            let go_mod = hash_of(lines.next()?, &format!("{path} {version}/go.mod "))?;
            let zip = match lines.next() {
                Some(line) => Some(hash_of(line, &format!("{path} {version} "))?),
                None => None,
            };
            lines.next().is_none().then_some((zip, go_mod))
        };
        let (zip_h1, go_mod_h1) = hashes().ok_or_else(|| RecordError::NotOf { module: module.to_string() })?;
        Ok(Self { id, text: text.into(), module: module.clone(), zip_h1, go_mod_h1 })
    }

    /// The record that a database writes for these hashes.
    #[must_use]
    pub fn new(id: u64, module: ModuleVersion, zip_h1: Option<H1>, go_mod_h1: H1) -> Self {
        let (path, version) = (&module.path, &module.version);
        let zip = zip_h1.map(|h1| format!("{path} {version} {h1}\n")).unwrap_or_default();
        let text = format!("{zip}{path} {version}/go.mod {go_mod_h1}\n").into_bytes();
        Self { id, text, module, zip_h1, go_mod_h1 }
    }
}

fn hash_of(line: &str, start: &str) -> Option<H1> {
    line.strip_prefix(start)?.parse().ok()
}

/// The answer to a lookup: a record and a signed tree head, which is still only bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The record; nothing says yet that it is in any log.
    pub record: Record,
    /// The note with the tree head.
    pub head: Vec<u8>,
}

impl Lookup {
    /// Reads the answer to the lookup of `module`: id, record, blank line, signed tree head.
    ///
    /// # Errors
    /// [`RecordError`] when it is something else, or of another module version.
    pub fn parse(body: &[u8], module: &ModuleVersion) -> Result<Self, RecordError> {
        if body.len() > MAX_LOOKUP {
            return Err(RecordError::TooLong { module: module.to_string(), len: body.len() });
        }
        let (id, text, head) =
            tlog::parse_record(body).map_err(|source| RecordError::Text { module: module.to_string(), source })?;
        Ok(Self { record: Record::parse(id, text, module)?, head: head.into() })
    }

    /// The bytes that [`Lookup::parse`] reads.
    ///
    /// # Errors
    /// [`RecordError::Text`] when the record is of lines that no database has.
    pub fn format(record: &Record, head: &[u8]) -> Result<Vec<u8>, RecordError> {
        let mut body = tlog::format_record(record.id, &record.text)
            .map_err(|source| RecordError::Text { module: record.module.to_string(), source })?;
        body.extend_from_slice(head);
        Ok(body)
    }
}
