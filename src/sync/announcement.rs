//! What an announcement says: a whole small manifest, or the name of a large one.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::limits::MAX_ANNOUNCEMENT;
use crate::domain::codec::{self, CodecError};
use crate::domain::manifest::ManifestId;
use crate::verified::VerifiedManifest;

/// One gossip message.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum Announcement {
    /// An encoded envelope.
    Envelope(Vec<u8>),
    /// The id of a manifest that is too long to gossip; ask the one who announced it.
    Id(ManifestId),
}

impl Announcement {
    /// The announcement of a manifest.
    pub(super) fn of(manifest: &VerifiedManifest) -> Bytes {
        let whole = codec::encode(&Self::Envelope(manifest.envelope().to_vec()));
        let fits = whole.len() <= MAX_ANNOUNCEMENT;
        if fits { whole.into() } else { codec::encode(&Self::Id(manifest.id())).into() }
    }

    /// Reads one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode::<_, MAX_ANNOUNCEMENT>(bytes)
    }
}
