//! Publications: what a publisher signs of a module version that no checksum database covers.
//!
//! A publication is a signed note ([`note`]) with exactly this text, so that anybody can read and check it with the
//! tools of golang.org/x/mod/sumdb/note:
//!
//! ```text
//! modswarm publication
//! corp.example/lib v1.2.3 h1:...=
//! corp.example/lib v1.2.3/go.mod h1:...=
//! zip <BLAKE3 of the zip, 64 hexadecimal digits> <length of the zip in bytes>
//! info <BLAKE3 of the .info answer, 64 hexadecimal digits>
//! ```
//!
//! The second and third line are those of a go.sum. The BLAKE3 of the zip is signed as well as its `h1:`: two zips of
//! the same files have one `h1:`, and which of them is served is the publisher's choice and nobody else's. The `.info`
//! is signed because it says when the version was made, and by that which pseudo-version is the latest.
//!
//! What holds here:
//! * there is one text for one publication, and [`Publication::parse`] reads no other: no missing line, no further
//!   one, no other spelling of a number or hash;
//! * a publication always has a zip: who publishes has all of the module.
//!
//! Non-goals: who may publish what ([`Publishers`](super::site::Publishers)), and whether the zip is one that the go
//! command takes.

use std::fmt;

use super::dirhash::H1;
use super::manifest::{MAX_ZIP, Manifest};
use super::module::ModuleVersion;
use super::note::{self, NoteError, Signer, Verifier};

/// The most bytes of a publication note: 16 KiB, room for a hundred signatures. One with a single signature has some
/// 600.
pub const MAX_PUBLICATION: usize = 16 << 10;

/// The first line.
const TITLE: &str = "modswarm publication";

/// What a publisher vouches for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// Which version of which module.
    pub module: ModuleVersion,
    /// `h1:` of the zip.
    pub zip_h1: H1,
    /// `h1:` of the go.mod.
    pub go_mod_h1: H1,
    /// BLAKE3 of the zip.
    pub zip_blake3: [u8; 32],
    /// Length of the zip in bytes, at most [`MAX_ZIP`].
    pub zip_len: u64,
    /// BLAKE3 of the `.info` answer.
    pub info_blake3: [u8; 32],
}

/// Why a publication does not vouch for a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicationError {
    /// Over [`MAX_PUBLICATION`].
    #[error("the publication has {0} bytes, over the limit of 16 KiB")]
    TooLong(usize),
    /// Not a note, not signed by a key that counts, or signed wrongly.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Signed, but not the text of a publication.
    #[error("the signed text is not a publication: {0}")]
    Text(&'static str),
    /// The manifest has no zip.
    #[error("{module} comes without its zip, and what is published has one")]
    NoZip {
        /// The module version.
        module: String,
    },
    /// It vouches for something else.
    #[error("the publication is of another {what}: it says {signed}, and this is {got}")]
    Differs {
        /// `module version`, `zip`, `go.mod` or `.info`.
        what: &'static str,
        /// What the publisher has signed.
        signed: String,
        /// What is at hand.
        got: String,
    },
}

impl Publication {
    /// What there is to sign of a manifest; `None` without a zip.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let zip = manifest.zip.as_ref()?;
        Some(Self {
            module: manifest.module.clone(),
            zip_h1: zip.h1,
            go_mod_h1: manifest.go_mod_h1,
            zip_blake3: zip.blake3,
            zip_len: zip.len,
            info_blake3: *blake3::hash(&manifest.info).as_bytes(),
        })
    }

    /// The note in which `signer` vouches for it.
    ///
    /// # Errors
    /// None for a publication whose fields keep their bounds; the note's own rules otherwise.
    pub fn sign(&self, signer: &Signer) -> Result<Vec<u8>, NoteError> {
        Ok(signer.sign(&self.to_string())?.into_bytes())
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`PublicationError::Text`] for anything but what [`fmt::Display`] writes of a publication.
    pub fn parse(text: &str) -> Result<Self, PublicationError> {
        let bad = PublicationError::Text;
        let lines: Vec<&str> = text.split('\n').collect();
        let [title, zip, go_mod, blob, info, ""] = lines[..] else {
            return Err(bad("it does not have five lines"));
        };
        if title != TITLE {
            return Err(bad("its first line is not `modswarm publication`"));
        }
        let read = || {
            let (path, version, zip_h1) = three(zip)?;
            let (_, _, go_mod_h1) = three(go_mod)?;
            let (_, zip_blake3, zip_len) = three(blob)?;
            let (_, info_blake3) = info.split_once(' ')?;
            Some(Self {
                module: ModuleVersion::parse(&format!("{path}@{version}")).ok()?,
                zip_h1: zip_h1.parse().ok()?,
                go_mod_h1: go_mod_h1.parse().ok()?,
                zip_blake3: *blake3::Hash::from_hex(zip_blake3).ok()?.as_bytes(),
                zip_len: zip_len.parse().ok().filter(|len| *len <= MAX_ZIP)?,
                info_blake3: *blake3::Hash::from_hex(info_blake3).ok()?.as_bytes(),
            })
        };
        let publication = read().ok_or(bad("one of its lines cannot be read"))?;
        // Whatever was passed over above (a second path, a plus sign, upper-case digits) shows here.
        if publication.to_string() == text { Ok(publication) } else { Err(bad("it is spelled in another way")) }
    }

    /// Reads a note that one of `keys` has signed.
    ///
    /// # Errors
    /// [`PublicationError`] but for [`PublicationError::NoZip`] and [`PublicationError::Differs`].
    pub fn open(note: &[u8], keys: &[Verifier]) -> Result<Self, PublicationError> {
        if note.len() > MAX_PUBLICATION {
            return Err(PublicationError::TooLong(note.len()));
        }
        Self::parse(&note::open(note, keys)?.text)
    }

    /// Checks that one of `keys` has signed exactly what `manifest` says.
    ///
    /// # Errors
    /// [`PublicationError`] for all but a note that vouches for every part of it.
    pub fn verify(note: &[u8], manifest: &Manifest, keys: &[Verifier]) -> Result<(), PublicationError> {
        let signed = Self::open(note, keys)?;
        let got = Self::of(manifest);
        let got = got.ok_or_else(|| PublicationError::NoZip { module: manifest.module.to_string() })?;
        signed.same(&got)
    }

    /// Whether `got` is what was signed, and if not, in what it differs.
    fn same(&self, got: &Self) -> Result<(), PublicationError> {
        differ("module version", (&self.module, &got.module), ToString::to_string)?;
        differ("zip", (self.zip_h1, got.zip_h1), ToString::to_string)?;
        differ("go.mod", (self.go_mod_h1, got.go_mod_h1), ToString::to_string)?;
        self.check_zip(got.zip_blake3, got.zip_len)?;
        differ(".info", (self.info_blake3, got.info_blake3), |hash| format!("BLAKE3 {}", hex(hash)))
    }

    /// Whether it is of this module version with this `.info`.
    ///
    /// # Errors
    /// [`PublicationError::Differs`].
    pub fn check_info(&self, module: &ModuleVersion, info: &[u8]) -> Result<(), PublicationError> {
        let info_blake3 = *blake3::hash(info).as_bytes();
        self.same(&Self { module: module.clone(), info_blake3, ..self.clone() })
    }

    /// Whether it is of a zip of this BLAKE3 and length in bytes.
    ///
    /// # Errors
    /// [`PublicationError::Differs`].
    pub fn check_zip(&self, blake3: [u8; 32], len: u64) -> Result<(), PublicationError> {
        let zips = ((self.zip_blake3, self.zip_len), (blake3, len));
        differ("zip", zips, |(hash, len)| format!("BLAKE3 {} of {len} bytes", hex(hash)))
    }
}

fn differ<T: PartialEq>(
    what: &'static str,
    (signed, got): (T, T),
    show: impl Fn(&T) -> String,
) -> Result<(), PublicationError> {
    if signed == got {
        return Ok(());
    }
    Err(PublicationError::Differs { what, signed: show(&signed), got: show(&got) })
}

impl fmt::Display for Publication {
    /// The text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ModuleVersion { path, version } = &self.module;
        writeln!(f, "{TITLE}")?;
        writeln!(f, "{path} {version} {}", self.zip_h1)?;
        writeln!(f, "{path} {version}/go.mod {}", self.go_mod_h1)?;
        writeln!(f, "zip {} {}", hex(&self.zip_blake3), self.zip_len)?;
        writeln!(f, "info {}", hex(&self.info_blake3))
    }
}

fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

/// The fields of a line with two spaces in it.
fn three(line: &str) -> Option<(&str, &str, &str)> {
    let (first, rest) = line.split_once(' ')?;
    let (second, third) = rest.split_once(' ')?;
    Some((first, second, third))
}

#[cfg(test)]
mod tests;
