//! Certificates: that a machine is a member of a site.

use bincode::{Decode, Encode};

use super::ticket::{Ticket, TicketId};
use super::{CLOCK_SKEW, DAY, MAX_PEER, MemberError, Roles, Signed, SiteId, VERSION, unreadable};
use crate::domain::codec;
use crate::domain::note::{Signer, Verifier};

const WHAT: &str = "certificate";
/// What the site's key signs certificates as.
const BY_SITE: &str = "certificate";
/// What a ticket's key signs certificates as.
pub(super) const BY_TICKET: &str = "certificate by ticket";
/// What a certificate's text begins with.
pub const PREFIX: &str = "modswarm-certificate-";
/// The most bytes of a certificate with its ticket: it has about 370.
pub const MAX_CERTIFICATE: usize = 1024;

#[derive(Encode, Decode)]
struct Body {
    version: u8,
    site: SiteId,
    peer: Vec<u8>,
    roles: Roles,
    issued: u64,
    not_after: u64,
}

#[derive(Encode, Decode)]
struct Chain {
    ticket: Option<Signed>,
    certificate: Signed,
}

pub(super) fn body(site: SiteId, peer: &[u8], roles: Roles, issued: u64, not_after: u64) -> Vec<u8> {
    codec::encode(&Body { version: VERSION, site, peer: peer.into(), roles, issued, not_after })
}

pub(super) fn chain(ticket: Option<Signed>, certificate: Signed) -> Vec<u8> {
    codec::encode(&Chain { ticket, certificate })
}

/// What a certificate that holds says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The bytes of the peer id.
    pub peer: Vec<u8>,
    /// What it may do.
    pub roles: Roles,
    /// When it was made, in seconds since 1970.
    pub issued: u64,
    /// Until when it counts; [`CLOCK_SKEW`] more is forgiven.
    pub not_after: u64,
    /// With which ticket it was made; none if the site's key has signed it itself.
    pub ticket: Option<TicketId>,
}

/// The certificate of a machine, encoded, with what it says; of this site, but perhaps of another machine or time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    bytes: Vec<u8>,
    member: Member,
}

impl Certificate {
    /// The certificate that the site's key signs for one machine, encoded.
    #[must_use]
    pub fn sign(site: &Signer, peer: &[u8], roles: Roles, issued: u64, not_after: u64) -> Vec<u8> {
        let body = body(SiteId::of(site.verifier()), peer, roles, issued, not_after);
        chain(None, Signed::by(site, BY_SITE, body))
    }

    /// Checks who has signed it, and that it keeps to its ticket.
    ///
    /// # Errors
    /// [`MemberError`], but none that is about a time or a machine: see [`Member::is_of`] and [`Member::is_valid`].
    pub fn open(bytes: &[u8], site: &Verifier) -> Result<Self, MemberError> {
        let Chain { ticket, certificate } = codec::decode::<_, MAX_CERTIFICATE>(bytes).map_err(unreadable(WHAT))?;
        let body: Body = codec::decode::<_, MAX_CERTIFICATE>(&certificate.body).map_err(unreadable(WHAT))?;
        if body.version != VERSION || !Roles::ALL.contains(body.roles) || body.peer.len() > MAX_PEER {
            return Err(MemberError::Malformed { what: WHAT, why: "it is of a newer version of modswarm".into() });
        }
        if body.site != SiteId::of(site) {
            return Err(MemberError::OtherSite(WHAT));
        }
        let ticket = match ticket {
            None if certificate.is_by(site, BY_SITE) => None,
            None => return Err(MemberError::Signature(WHAT)),
            Some(signed) => {
                let ticket = Ticket::open(&signed, site)?;
                if !ticket.has_signed(&certificate) {
                    return Err(MemberError::Signature(WHAT));
                }
                keeps_to(&body, &ticket)?;
                Some(ticket.id)
            }
        };
        let Body { peer, roles, issued, not_after, .. } = body;
        Ok(Self { bytes: bytes.into(), member: Member { peer, roles, issued, not_after, ticket } })
    }

    /// Reads the line of text of a certificate, as [`Certificate::open`] does.
    ///
    /// # Errors
    /// As [`Certificate::open`].
    pub fn parse(text: &str, site: &Verifier) -> Result<Self, MemberError> {
        Self::open(&super::from_text(PREFIX, WHAT, text)?, site)
    }

    /// As a line of text.
    #[must_use]
    pub fn text(bytes: &[u8]) -> String {
        super::to_text(PREFIX, bytes)
    }

    /// Encoded, as it is sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }
}

/// What a ticket may not give, nobody can make with it: not even who has stolen it and sets its clock back.
fn keeps_to(body: &Body, ticket: &Ticket) -> Result<(), MemberError> {
    let terms = &ticket.terms;
    if !terms.roles.contains(body.roles) {
        return Err(MemberError::BeyondTicket("more roles"));
    }
    if body.not_after > body.issued.saturating_add(u64::from(terms.max_days) * DAY) {
        return Err(MemberError::BeyondTicket("a longer life"));
    }
    if body.issued < terms.not_before || body.issued > terms.not_after {
        return Err(MemberError::BeyondTicket("to be made at another time"));
    }
    Ok(())
}

impl Member {
    /// Whether it is this machine.
    ///
    /// # Errors
    /// [`MemberError::OtherPeer`].
    pub fn is_of(&self, peer: &[u8]) -> Result<(), MemberError> {
        if self.peer == peer { Ok(()) } else { Err(MemberError::OtherPeer) }
    }

    /// Whether it counts at this time.
    ///
    /// # Errors
    /// [`MemberError::Expired`], [`MemberError::NotYet`].
    pub fn is_valid(&self, now: u64) -> Result<(), MemberError> {
        if now > self.ends() {
            return Err(MemberError::Expired { what: WHAT, since: now - self.not_after });
        }
        if now.saturating_add(CLOCK_SKEW) < self.issued {
            return Err(MemberError::NotYet(WHAT));
        }
        Ok(())
    }

    /// The last second in which others take it, by their own clocks.
    #[must_use]
    pub fn ends(&self) -> u64 {
        self.not_after.saturating_add(CLOCK_SKEW)
    }
}
