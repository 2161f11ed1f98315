//! The one door: bytes from anywhere become `Verified` here, and the store takes nothing else.
//!
//! The types of this module cannot be made outside of it, so "this was checked" is something the compiler knows.

use bytes::Bytes;

use crate::domain::blob::{BlobId, MAX_BLOB};
use crate::domain::codec::CodecError;
use crate::domain::manifest::{Envelope, Manifest, ManifestError, ManifestId, Proof};
use crate::domain::trust::{Trust, TrustError};

/// Bytes that are not what they were said to be, or that this node does not believe. Mostly the one who sent them is at
/// fault ([`Forged::is_fault`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// A blob that does not hash to its name.
    #[error("bytes for blob {wanted} hash to {got}")]
    Blob {
        /// The name that was asked for.
        wanted: BlobId,
        /// The name the bytes really have.
        got: BlobId,
    },
    /// A blob over [`MAX_BLOB`].
    #[error("a blob of {0} bytes is over the limit of 1 MiB")]
    TooLong(usize),
    /// An envelope that does not decode.
    #[error("an envelope cannot be read: {0}")]
    Envelope(#[from] CodecError),
    /// A manifest that does not decode or breaks a bound.
    #[error("a manifest cannot be read: {0}")]
    Manifest(#[from] ManifestError),
    /// A manifest that is not the one that was asked for.
    #[error("manifest {got} came where {wanted} was asked for")]
    OtherManifest {
        /// The id that was asked for.
        wanted: ManifestId,
        /// The id that came.
        got: ManifestId,
    },
    /// A manifest that is not one of those that were asked for by their short keys.
    #[error("manifest {got} came where another one was asked for")]
    OtherKey {
        /// The id that came.
        got: ManifestId,
    },
    /// A manifest whose proof is missing, does not hold, or does not count here.
    #[error("a manifest is not to be believed: {0}")]
    Unproven(#[from] TrustError),
}

impl Forged {
    /// Whether the one who sent it is at fault, whatever rule it goes by; see [`TrustError::is_fault`].
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Unproven(why) if !why.is_fault())
    }
}

/// A blob whose bytes hash to its name.
#[derive(Clone, Debug)]
pub struct VerifiedBlob {
    id: BlobId,
    bytes: Bytes,
}

impl VerifiedBlob {
    /// Checks `bytes` against the name under which they were asked for.
    ///
    /// # Errors
    /// [`Forged`] when they are something else.
    pub fn check(wanted: BlobId, bytes: Bytes) -> Result<Self, Forged> {
        let blob = Self::of(bytes)?;
        if blob.id == wanted { Ok(blob) } else { Err(Forged::Blob { wanted, got: blob.id }) }
    }

    /// Names bytes by their hash.
    ///
    /// # Errors
    /// [`Forged::TooLong`] over 1 MiB.
    pub fn of(bytes: Bytes) -> Result<Self, Forged> {
        if bytes.len() > MAX_BLOB {
            return Err(Forged::TooLong(bytes.len()));
        }
        Ok(Self { id: BlobId::of(&bytes), bytes })
    }

    /// The name.
    #[must_use]
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// A manifest that decodes, keeps every bound, and whose proof this node accepts.
#[derive(Clone, Debug)]
pub struct VerifiedManifest {
    id: ManifestId,
    manifest: Manifest,
    proof: Proof,
    envelope: Bytes,
}

impl VerifiedManifest {
    /// Checks an encoded [`Envelope`] by the rule of this node.
    ///
    /// # Errors
    /// [`Forged`] says what is wrong with it.
    pub fn check(envelope: Bytes, trust: &Trust) -> Result<Self, Forged> {
        let Envelope { manifest: bytes, proof } = Envelope::decode(&envelope)?;
        let manifest = Manifest::decode(&bytes)?;
        trust.check(&manifest, &proof)?;
        Ok(Self { id: BlobId::of(&bytes), manifest, proof, envelope })
    }

    /// The proof that it carries. Nobody has checked one of a checksum database on a node that takes what is not
    /// proven.
    #[must_use]
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> ManifestId {
        self.id
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The encoded envelope, as it is stored and sent.
    #[must_use]
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }
}
