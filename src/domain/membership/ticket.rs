//! Tickets: with one, a machine signs its own certificate.

use std::fmt;

use bincode::{Decode, Encode};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{CLOCK_SKEW, DAY, MemberError, Roles, Signed, SiteId, VERSION, certificate, message, unreadable};
use crate::domain::codec;
use crate::domain::note::{Signer, Verifier};

const WHAT: &str = "ticket";
/// What a ticket's text begins with.
pub const PREFIX: &str = "modswarm-ticket-";
/// The most bytes of a ticket, its secret included: it has about 270.
pub const MAX_TICKET: usize = 512;

/// The name of a ticket: random, so it says nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct TicketId(pub [u8; 16]);

impl TicketId {
    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = (text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)?;
        u128::from_str_radix(digits, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::hex(&self.0, f)
    }
}

impl fmt::Debug for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a ticket allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Certificates are made from this second on (since 1970).
    pub not_before: u64,
    /// Certificates are made until this second.
    pub not_after: u64,
    /// How long a certificate lives at most, in days.
    pub max_days: u16,
    /// What roles it may have.
    pub roles: Roles,
}

#[derive(Encode, Decode)]
struct Body {
    version: u8,
    site: SiteId,
    id: TicketId,
    key: [u8; 32],
    not_before: u64,
    not_after: u64,
    max_days: u16,
    roles: Roles,
}

/// What a ticket says, without its secret: the site's key has signed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// Its name.
    pub id: TicketId,
    /// What it allows.
    pub terms: Terms,
    key: VerifyingKey,
}

impl Ticket {
    /// Checks what a site's key has signed.
    pub(super) fn open(signed: &Signed, site: &Verifier) -> Result<Self, MemberError> {
        let body: Body = codec::decode::<_, MAX_TICKET>(&signed.body).map_err(unreadable(WHAT))?;
        let malformed = |why: &str| MemberError::Malformed { what: WHAT, why: why.into() };
        if body.version != VERSION || !Roles::ALL.contains(body.roles) {
            return Err(malformed("it is of a newer version of modswarm"));
        }
        if body.site != SiteId::of(site) {
            return Err(MemberError::OtherSite(WHAT));
        }
        if !signed.is_by(site, WHAT) {
            return Err(MemberError::Signature(WHAT));
        }
        let key = VerifyingKey::from_bytes(&body.key).ok().filter(|key| !key.is_weak());
        let key = key.ok_or_else(|| malformed("its key is no usable Ed25519 key"))?;
        let Body { id, not_before, not_after, max_days, roles, .. } = body;
        Ok(Self { id, terms: Terms { not_before, not_after, max_days, roles }, key })
    }

    /// Whether the ticket's own key has signed a certificate.
    pub(super) fn has_signed(&self, certificate: &Signed) -> bool {
        let message = message(certificate::BY_TICKET, &certificate.body);
        self.key.verify_strict(&message, &Signature::from_bytes(&certificate.signature)).is_ok()
    }
}

#[derive(Encode, Decode)]
struct File {
    ticket: Signed,
    secret: [u8; 32],
}

/// A ticket with its secret: whoever has it can join the site. Never shows it but in [`TicketSecret::text`].
#[derive(Clone)]
pub struct TicketSecret {
    ticket: Ticket,
    signed: Signed,
    secret: SigningKey,
}

impl TicketSecret {
    /// A new ticket. `id` and `secret` are drawn at random by the caller.
    ///
    /// # Errors
    /// [`MemberError::Malformed`] if it would be one that nobody could use.
    pub fn issue(site: &Signer, id: TicketId, secret: [u8; 32], terms: &Terms) -> Result<Self, MemberError> {
        let secret = SigningKey::from_bytes(&secret);
        let Terms { not_before, not_after, max_days, roles } = *terms;
        let (key, site_id) = (secret.verifying_key().to_bytes(), SiteId::of(site.verifier()));
        let body = Body { version: VERSION, site: site_id, id, key, not_before, not_after, max_days, roles };
        let signed = Signed::by(site, WHAT, codec::encode(&body));
        let ticket = Ticket::open(&signed, site.verifier())?;
        Ok(Self { ticket, signed, secret })
    }

    /// Reads the text of a ticket of this site.
    ///
    /// # Errors
    /// [`MemberError`] says what is wrong with it.
    pub fn parse(text: &str, site: &Verifier) -> Result<Self, MemberError> {
        let bytes = super::from_text(PREFIX, WHAT, text)?;
        let file: File = codec::decode::<_, MAX_TICKET>(&bytes).map_err(unreadable(WHAT))?;
        let ticket = Ticket::open(&file.ticket, site)?;
        let secret = SigningKey::from_bytes(&file.secret);
        if secret.verifying_key() != ticket.key {
            return Err(MemberError::Malformed { what: WHAT, why: "its secret is not its own: copy it again".into() });
        }
        Ok(Self { ticket, signed: file.ticket, secret })
    }

    /// The line of text that [`TicketSecret::parse`] reads: the secret itself.
    #[must_use]
    pub fn text(&self) -> String {
        super::to_text(PREFIX, &codec::encode(&File { ticket: self.signed.clone(), secret: self.secret.to_bytes() }))
    }

    /// What it says.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The encoded certificate that a machine makes for itself: for as long, and with all the roles, that the ticket allows.
    ///
    /// # Errors
    /// [`MemberError::Expired`] and [`MemberError::NotYet`], of the ticket.
    pub fn enrol(&self, site: &Verifier, peer: &[u8], now: u64) -> Result<Vec<u8>, MemberError> {
        let Terms { not_before, not_after, max_days, roles } = self.ticket.terms;
        if now > not_after {
            return Err(MemberError::Expired { what: WHAT, since: now - not_after });
        }
        if now.saturating_add(CLOCK_SKEW) < not_before {
            return Err(MemberError::NotYet(WHAT));
        }
        let issued = now.max(not_before);
        let until = issued.saturating_add(u64::from(max_days) * DAY);
        let body = certificate::body(SiteId::of(site), peer, roles, issued, until);
        let signature = self.secret.sign(&message(certificate::BY_TICKET, &body)).to_bytes();
        Ok(certificate::chain(Some(self.signed.clone()), Signed { body, signature }))
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketSecret({})", self.ticket.id)
    }
}

impl PartialEq for TicketSecret {
    fn eq(&self, other: &Self) -> bool {
        self.signed == other.signed
    }
}

impl Eq for TicketSecret {}
