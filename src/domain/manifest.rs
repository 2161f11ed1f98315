//! Manifests: all that is known of one module version, small enough to gossip.
//!
//! The manifest's *content* names it ([`ManifestId`] is the BLAKE3 of the encoding); the *proof* travels beside it
//! in an [`Envelope`]. So two seeds that fetched the same version at different times, and therefore hold proofs
//! against different tree heads, still agree on one id, and a catalog reconciles by ids alone.

use bincode::{Decode, Encode};

use super::blob::{BlobId, MAX_BLOB};
use super::codec::{self, CodecError};
use super::dirhash::H1;
use super::module::{BadModule, ModulePath, ModuleVersion, Version};

/// The version byte that every encoded manifest starts with.
pub const FORMAT: u8 = 1;
/// The most bytes of an `.info` answer.
pub const MAX_INFO: usize = 64 << 10;
/// Up to this many bytes a go.mod stands in the manifest itself; a longer one is a list of blobs.
pub const MAX_INLINE_GO_MOD: usize = 64 << 10;
/// The most bytes of a go.mod (golang.org/x/mod/zip, `MaxGoMod`): 16 MiB.
pub const MAX_GO_MOD: u64 = 16 << 20;
/// The most bytes of a module zip, packed and unpacked (golang.org/x/mod/zip, `MaxZipFile`): 500 MiB.
pub const MAX_ZIP: u64 = 500 << 20;
/// The most bytes of an encoded manifest: it is a blob.
pub const MAX_MANIFEST: usize = MAX_BLOB;
/// The most bytes of an encoded [`Envelope`]: a manifest and its proof.
pub const MAX_ENVELOPE: usize = MAX_MANIFEST + (64 << 10);

/// The name of a manifest: the BLAKE3 of its canonical encoding.
pub type ManifestId = BlobId;

/// What is known of one module version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Which version of which module.
    pub module: ModuleVersion,
    /// The `.info` answer, byte for byte; empty where none is known (a go.mod-only version needs none).
    pub info: Vec<u8>,
    /// The go.mod file.
    pub go_mod: GoMod,
    /// `h1:` of the go.mod file.
    pub go_mod_h1: H1,
    /// The module zip; `None` for a version of which only the go.mod is known (most of a module graph is that).
    pub zip: Option<ZipRef>,
}

/// A go.mod file's bytes, or where they are.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum GoMod {
    /// The bytes, at most [`MAX_INLINE_GO_MOD`].
    Inline(Vec<u8>),
    /// Blobs that give the bytes in order.
    Blobs {
        /// Length of the whole in bytes, over [`MAX_INLINE_GO_MOD`], at most [`MAX_GO_MOD`].
        len: u64,
        /// Pieces of [`MAX_BLOB`] bytes, the last perhaps shorter.
        ids: Vec<BlobId>,
    },
}

/// A module zip: what it hashes to and the pages of the recipe that rebuilds it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ZipRef {
    /// `h1:` of the zip.
    pub h1: H1,
    /// Length in bytes, at most [`MAX_ZIP`].
    pub len: u64,
    /// BLAKE3 of the whole zip. Not a [`BlobId`] that could be asked for: a zip is no blob.
    pub blake3: [u8; 32],
    /// The recipe's pages, in order.
    pub pages: Vec<BlobId>,
}

/// Why a node may believe a manifest.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Proof {
    /// Nothing but the word of the one who sent it.
    None,
}

/// A manifest on its way, in a store or on the wire: encoded manifest and proof.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Envelope {
    /// The canonical encoding of a [`Manifest`], as [`Manifest::encode`] gives it.
    pub manifest: Vec<u8>,
    /// Why it may be believed.
    pub proof: Proof,
}

/// Bytes that are not a manifest, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Written by a later version of modswarm.
    #[error("manifest format {0} is not known here (this version reads {FORMAT})")]
    Format(u8),
    /// Not the canonical encoding.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Names no module version.
    #[error(transparent)]
    Module(#[from] BadModule),
    /// A length or count out of its range.
    #[error("the manifest of {module} is out of bounds: {what}")]
    Bounds {
        /// Which module version it says it is of.
        module: String,
        /// What is out of bounds.
        what: &'static str,
    },
}

#[derive(Encode, Decode)]
struct Wire {
    format: u8,
    path: String,
    version: String,
    info: Vec<u8>,
    go_mod: GoMod,
    go_mod_h1: H1,
    zip: Option<ZipRef>,
}

impl Manifest {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&Wire {
            format: FORMAT,
            path: self.module.path.as_str().into(),
            version: self.module.version.as_str().into(),
            info: self.info.clone(),
            go_mod: self.go_mod.clone(),
            go_mod_h1: self.go_mod_h1,
            zip: self.zip.clone(),
        })
    }

    /// Decodes and checks every length against its bound, and an inline go.mod against its hash.
    ///
    /// # Errors
    /// [`ManifestError`] for anything but what [`Manifest::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(&other) => return Err(ManifestError::Format(other)),
            None => return Err(CodecError::Malformed.into()),
        }
        let wire: Wire = codec::decode::<_, MAX_MANIFEST>(bytes)?;
        let module = ModuleVersion { path: ModulePath::parse(&wire.path)?, version: Version::parse(&wire.version)? };
        let manifest = Self { module, info: wire.info, go_mod: wire.go_mod, go_mod_h1: wire.go_mod_h1, zip: wire.zip };
        match manifest.out_of_bounds() {
            Some(what) => Err(ManifestError::Bounds { module: manifest.module.to_string(), what }),
            None => Ok(manifest),
        }
    }

    /// The id: BLAKE3 of the encoding.
    #[must_use]
    pub fn id(&self) -> ManifestId {
        BlobId::of(&self.encode())
    }

    fn out_of_bounds(&self) -> Option<&'static str> {
        if self.info.len() > MAX_INFO {
            return Some("its .info is too long");
        }
        match &self.go_mod {
            GoMod::Inline(bytes) if bytes.len() > MAX_INLINE_GO_MOD => return Some("its go.mod is too long"),
            GoMod::Inline(bytes) if H1::of_go_mod(bytes) != self.go_mod_h1 => {
                return Some("its go.mod does not have the hash it claims");
            }
            GoMod::Inline(_) => {}
            GoMod::Blobs { len, ids } => {
                let pieces = len.div_ceil(MAX_BLOB as u64);
                if *len <= MAX_INLINE_GO_MOD as u64 || *len > MAX_GO_MOD || ids.len() as u64 != pieces {
                    return Some("its go.mod has a length that does not fit its pieces");
                }
            }
        }
        match &self.zip {
            Some(zip) if zip.len > MAX_ZIP => Some("its zip is over 500 MiB"),
            Some(zip) if zip.pages.is_empty() => Some("its zip has no recipe"),
            _ => None,
        }
    }
}

impl Envelope {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes; the manifest inside is still only bytes.
    ///
    /// # Errors
    /// [`CodecError`] for anything but what [`Envelope::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode::<_, MAX_ENVELOPE>(bytes)
    }
}
