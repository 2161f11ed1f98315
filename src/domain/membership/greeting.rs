//! What two nodes tell each other first, as soon as each knows the other's peer id: to which site they belong.

use bincode::{Decode, Encode};

use super::certificate::MAX_CERTIFICATE;
use super::{MemberError, SiteId, VERSION, unreadable};
use crate::domain::codec;

const WHAT: &str = "greeting";
/// The most bytes of an encoded greeting: a certificate, and a few numbers.
pub const MAX_GREETING: usize = MAX_CERTIFICATE + 64;

/// A greeting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Greeting {
    /// Of a node of an open site.
    Open,
    /// Of a node of a closed site.
    Closed {
        /// Which site.
        site: SiteId,
        /// Its certificate, encoded.
        certificate: Vec<u8>,
        /// The serial of the orders that it has; 0 for none.
        serial: u64,
    },
}

#[derive(Encode, Decode)]
struct Wire {
    version: u8,
    closed: Option<(SiteId, Vec<u8>, u64)>,
}

impl Greeting {
    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let closed = match self {
            Self::Open => None,
            Self::Closed { site, certificate, serial } => Some((*site, certificate.clone(), *serial)),
        };
        codec::encode(&Wire { version: VERSION, closed })
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`MemberError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MemberError> {
        let wire: Wire = codec::decode::<_, MAX_GREETING>(bytes).map_err(unreadable(WHAT))?;
        if wire.version != VERSION {
            return Err(MemberError::Malformed { what: WHAT, why: "it is of another version of modswarm".into() });
        }
        Ok(match wire.closed {
            None => Self::Open,
            Some((site, certificate, serial)) => Self::Closed { site, certificate, serial },
        })
    }
}
