//! `h1:` hashes, the names under which the go command and its checksum database know content.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bincode::{Decode, Encode};
use sha2::{Digest, Sha256};

/// A hash of kind `h1:` (golang.org/x/mod/sumdb/dirhash, `Hash1`): SHA-256 over the sorted lines `hex(sha256(file))  name\n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct H1([u8; 32]);

impl H1 {
    /// A hash from its 32 raw bytes.
    #[must_use]
    pub const fn from_bytes(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The hash of a go.mod file, which is hashed as a tree of one file with the name `go.mod`.
    #[must_use]
    pub fn of_go_mod(bytes: &[u8]) -> Self {
        Self::of_lines([("go.mod", Sha256::digest(bytes).into())])
    }

    /// The hash over files that are already hashed; `files` are (name, SHA-256) **sorted by name**, as bytes.
    pub fn of_lines<'a>(files: impl IntoIterator<Item = (&'a str, [u8; 32])>) -> Self {
        let mut sum = Sha256::new();
        for (name, hash) in files {
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            sum.update(hex.as_bytes());
            sum.update(b"  ");
            sum.update(name.as_bytes());
            sum.update(b"\n");
        }
        Self(sum.finalize().into())
    }
}

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h1:{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text is not `h1:` and 32 bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is written h1: and then 32 bytes in base64")]
pub struct BadH1;

impl FromStr for H1 {
    type Err = BadH1;

    fn from_str(text: &str) -> Result<Self, BadH1> {
        let raw = text.strip_prefix("h1:").and_then(|text| STANDARD.decode(text).ok());
        raw.and_then(|raw| raw.try_into().ok()).map(Self).ok_or(BadH1)
    }
}
