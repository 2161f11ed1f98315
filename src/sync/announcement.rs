//! What an announcement says: a whole small manifest, the name of a large one, that a checksum database has a new state, that a
//! catalog has changed much, or that somebody seeks a version.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::limits::MAX_ANNOUNCEMENT;
use crate::domain::blob::BlobId;
use crate::domain::codec::{self, CodecError};
use crate::domain::manifest::ManifestId;
use crate::domain::sumdb::state::StateId;
use crate::verified::VerifiedManifest;

/// What an announcement of orders begins with: the number of its variant.
const ORDERS: u8 = 3;

/// One gossip message.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum Announcement {
    /// An encoded envelope.
    Envelope(Vec<u8>),
    /// The id of a manifest that is too long to gossip; ask the one who announced it.
    Id(ManifestId),
    /// The state of a checksum database; ask the one who announced it for its blobs.
    Sumdb {
        /// Name of the database and hash of its key.
        database: String,
        /// Which state.
        state: StateId,
    },
    /// The site has new orders; ask the one who announced them.
    Orders {
        /// Their serial.
        serial: u64,
        /// The hash of them as they are signed.
        id: BlobId,
    },
    /// The catalog of the neighbour that this comes from has changed in more than it tells one by one: compare with it, unless
    /// the own one has the same [`sum`](crate::domain::digest::sum). Not passed on.
    Changed {
        /// Of its catalog.
        sum: [u8; 16],
    },
    /// Somebody wants the blobs of a manifest, and none of its neighbours has them: who has them, connect.
    Seek {
        /// Of what.
        id: ManifestId,
        /// The peer id of the seeker.
        seeker: Vec<u8>,
        /// Where it listens: multiaddresses in binary, without the peer id.
        addresses: Vec<Vec<u8>>,
        /// So that the same can be sought again later.
        nonce: u64,
    },
    /// Somebody connects to a seeker.
    Answer {
        /// What is sought.
        id: ManifestId,
        /// The peer id of the seeker.
        seeker: Vec<u8>,
        /// The peer id of the one who answers: each answer counts.
        holder: Vec<u8>,
        /// So that the same can be answered again later.
        nonce: u64,
    },
}

impl Announcement {
    /// The announcement of a manifest.
    pub(super) fn of(manifest: &VerifiedManifest) -> Bytes {
        let whole = codec::encode(&Self::Envelope(manifest.envelope().to_vec()));
        let fits = whole.len() <= MAX_ANNOUNCEMENT;
        if fits { whole.into() } else { codec::encode(&Self::Id(manifest.id())).into() }
    }

    /// The announcement of a state.
    pub(super) fn of_state(database: String, state: StateId) -> Bytes {
        codec::encode(&Self::Sumdb { database, state }).into()
    }

    /// The announcement of the site's orders.
    pub(super) fn of_orders(serial: u64, signed: &[u8]) -> Bytes {
        codec::encode(&Self::Orders { serial, id: BlobId::of(signed) }).into()
    }

    /// Whether these bytes claim to be an announcement of orders.
    pub(super) fn is_of_orders(bytes: &[u8]) -> bool {
        bytes.first() == Some(&ORDERS)
    }

    /// Any other.
    pub(super) fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    /// Reads one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode::<_, MAX_ANNOUNCEMENT>(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_stays_as_it_is() {
        let id = BlobId::of(b"root");
        let state = Announcement::of_state("sum.example+00000001".into(), StateId { size: 300, root: id });
        let encoded = [&[2, 20], b"sum.example+00000001".as_slice(), &[251, 44, 1], id.as_bytes()].concat();
        assert_eq!(state, encoded);
        let bytes = |n: u8| vec![n; 2];
        let seek = Announcement::Seek { id, seeker: bytes(7), addresses: vec![bytes(8)], nonce: 1 };
        assert_eq!(seek.encode(), [&[5], &id.as_bytes()[..], &[2, 7, 7, 1, 2, 8, 8, 1]].concat());
        let answer = Announcement::Answer { id, seeker: bytes(7), holder: bytes(9), nonce: 1 };
        assert_eq!(answer.encode(), [&[6], &id.as_bytes()[..], &[2, 7, 7, 2, 9, 9, 1]].concat());
        assert_eq!(Announcement::Changed { sum: [6; 16] }.encode(), [[4].as_slice(), &[6; 16]].concat());
        for known in [Announcement::Envelope(vec![1]), Announcement::Id(id)] {
            let bytes = codec::encode(&known);
            assert_eq!(bytes[0], if matches!(known, Announcement::Id(_)) { 1 } else { 0 });
            assert_eq!(Announcement::decode(&bytes), Ok(known));
        }
        assert!(Announcement::decode(&state).is_ok());
        let orders = Announcement::of_orders(9, b"orders");
        assert_eq!(orders, [&[3, 9], BlobId::of(b"orders").as_bytes().as_slice()].concat());
        assert!(Announcement::is_of_orders(&orders) && !Announcement::is_of_orders(&state));
        assert!(Announcement::decode(&orders).is_ok() && Announcement::decode(&[7]).is_err());
        assert!(Announcement::decode(&[3]).is_err() && Announcement::decode(&vec![0; MAX_ANNOUNCEMENT + 1]).is_err());
    }
}
