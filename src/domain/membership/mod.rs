//! Who belongs to a closed site: what its key signs, and how that is checked. Pure; the time is an argument.
//!
//! ```text
//!  site key ──signs──> certificate (one machine)
//!     │
//!     ├──signs──> ticket ──its own key signs──> certificate (any machine that has the ticket)
//!     └──signs──> orders: who is revoked, which module versions are blocked
//! ```
//! * A *site* is named by the hash of its verifier key ([`SiteId`]). The key is written as publishers' keys are
//!   ([`Verifier`]), and stands in the site file of each node.
//! * A *certificate* says that a peer id is a member, in which roles and until when ([`certificate`]). The node proves
//!   that the peer id is its own by the connection's handshake, so a certificate is no secret.
//! * A *ticket* lets a machine sign its own certificate, within what the ticket allows ([`ticket`]). Whoever has it can
//!   join, so it is a secret of the site. What it says, without its private key, travels with each certificate made
//!   with it: revoking a ticket ends them all.
//! * *Orders* are the whole state of what the site has revoked and blocked, with a serial number that only grows
//!   ([`orders`]): the newest is all that a node needs.
//! * Each kind of statement is signed under a context of its own, so that none can pass for another one, or for a note.
//!
//! Clocks of machines differ: [`CLOCK_SKEW`] is forgiven at both ends of each validity.
//!
//! Non-goals: who carries these around, where they are kept, and that a revoked peer which nobody has told that it is
//! revoked does not find others that do not know it either.

pub mod certificate;
pub mod greeting;
pub mod orders;
pub mod ticket;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bincode::{Decode, Encode};

use super::codec::CodecError;
use super::note::{Signer, Verifier};

pub use certificate::{Certificate, Member};
pub use greeting::Greeting;
pub use orders::{Orders, Revoked};
pub use ticket::{Terms, Ticket, TicketId, TicketSecret};

/// Seconds of a day.
pub const DAY: u64 = 24 * 3600;
/// Seconds by which a clock may be wrong: a machine whose time zone was set up by hand is off by hours, never by more than a day.
pub const CLOCK_SKEW: u64 = DAY;
/// The most bytes of a peer id: a key that is not hashed has 42.
pub const MAX_PEER: usize = 64;
/// The version of all statements of this module.
const VERSION: u8 = 1;

/// Which site: the hash of its verifier key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SiteId([u8; 32]);

impl SiteId {
    /// The site that has this key.
    #[must_use]
    pub fn of(key: &Verifier) -> Self {
        Self(blake3::derive_key("modswarm site id v1", key.to_string().as_bytes()))
    }

    /// Its first bytes: enough for a node to pass over what is shouted on the LAN of another site. An open site has zeros.
    #[must_use]
    pub fn tag(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// What a member may do besides what every member does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub struct Roles(u8);

impl Roles {
    /// A member like any other.
    pub const MEMBER: Self = Self(0);
    /// Is asked to obtain modules for the site.
    pub const SEED: Self = Self(1);
    /// Speaks for an office to other offices.
    pub const GATEWAY: Self = Self(2);
    /// All of them: what everybody has on an open site.
    pub const ALL: Self = Self(3);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reads `member`, `seed`, `gateway`, or several with commas between.
    ///
    /// # Errors
    /// The word that is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',').try_fold(Self::MEMBER, |roles, word| match word.trim() {
            "member" => Ok(roles),
            "seed" => Ok(roles.and(Self::SEED)),
            "gateway" => Ok(roles.and(Self::GATEWAY)),
            other => Err(other.into()),
        })
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.contains(Self::SEED), self.contains(Self::GATEWAY)) {
            (false, false) => "member",
            (true, false) => "seed",
            (false, true) => "gateway",
            (true, true) => "seed,gateway",
        })
    }
}

/// Why something is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Not what it should be at all.
    #[error("the {what} cannot be read: {why}")]
    Malformed {
        /// `ticket`, `certificate`, `orders` or `greeting`.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Of another site.
    #[error("the {0} is of another site")]
    OtherSite(&'static str),
    /// The signature does not fit.
    #[error("the {0} is not signed by who should have signed it")]
    Signature(&'static str),
    /// A certificate for somebody else.
    #[error("the certificate is for another machine")]
    OtherPeer,
    /// Not any more.
    #[error("the {what} has expired {}", ago(*.since))]
    Expired {
        /// `ticket` or `certificate`.
        what: &'static str,
        /// Seconds since.
        since: u64,
    },
    /// Not yet: the clock of one of the two is wrong.
    #[error("the {0} is of the future: is the clock of this machine or of the other one wrong?")]
    NotYet(&'static str),
    /// A certificate goes beyond its ticket.
    #[error("the certificate claims {0} than its ticket allows")]
    BeyondTicket(&'static str),
}

fn ago(seconds: u64) -> String {
    match seconds / DAY {
        0 => "today".into(),
        1 => "a day ago".into(),
        days => format!("{days} days ago"),
    }
}

fn unreadable(what: &'static str) -> impl Fn(CodecError) -> MemberError {
    move |why| MemberError::Malformed { what, why: why.to_string() }
}

/// A statement and its signature.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Signed {
    body: Vec<u8>,
    signature: [u8; 64],
}

/// What is signed of a statement: its kind and version, and its bytes.
fn message(kind: &'static str, body: &[u8]) -> Vec<u8> {
    [b"modswarm site ".as_slice(), kind.as_bytes(), b" v1\0", body].concat()
}

impl Signed {
    fn by(key: &Signer, kind: &'static str, body: Vec<u8>) -> Self {
        let signature = key.sign_message(&message(kind, &body));
        Self { body, signature }
    }

    fn is_by(&self, key: &Verifier, kind: &'static str) -> bool {
        key.verify(&message(kind, &self.body), &self.signature)
    }
}

/// Bytes as a word that can be copied from a terminal.
fn to_text(prefix: &str, bytes: &[u8]) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The bytes of [`to_text`].
fn from_text(prefix: &str, what: &'static str, text: &str) -> Result<Vec<u8>, MemberError> {
    let none = |why: String| MemberError::Malformed { what, why };
    let encoded = text.trim().strip_prefix(prefix).ok_or_else(|| none(format!("it does not begin with {prefix}")))?;
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_| none("it is not whole: copy it again".into()))
}

#[cfg(test)]
mod tests;
