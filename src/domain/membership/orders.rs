//! Orders: all that a site has revoked and blocked, signed by its key.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};

use super::certificate::Member;
use super::ticket::TicketId;
use super::{MAX_PEER, MemberError, Signed, SiteId, VERSION, unreadable};
use crate::domain::codec;
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::domain::note::{Signer, Verifier};

const WHAT: &str = "orders";
/// The most bytes of encoded orders: some ten thousand revoked machines or blocked versions.
pub const MAX_ORDERS: usize = 1 << 20;

#[derive(Encode, Decode)]
struct Body {
    version: u8,
    site: SiteId,
    serial: u64,
    peers: Vec<Vec<u8>>,
    tickets: Vec<TicketId>,
    blocked: Vec<(String, String)>,
}

/// What a site has revoked and blocked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Orders {
    /// Of two orders the one with the higher serial counts.
    pub serial: u64,
    /// Peer ids, as bytes, that are members no more.
    pub peers: BTreeSet<Vec<u8>>,
    /// Tickets whose certificates do not count any more.
    pub tickets: BTreeSet<TicketId>,
    /// Module versions that no node serves, lists or passes on.
    pub blocked: BTreeSet<ModuleVersion>,
}

/// By what a member is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revoked {
    /// It itself.
    Peer,
    /// The ticket that it has joined with.
    Ticket(TicketId),
}

impl Orders {
    /// Signs them, encoded.
    ///
    /// # Errors
    /// [`MemberError::Malformed`] when they are over [`MAX_ORDERS`].
    pub fn sign(&self, site: &Signer) -> Result<Vec<u8>, MemberError> {
        let blocked = |module: &ModuleVersion| (module.path.as_str().to_owned(), module.version.as_str().to_owned());
        let body = codec::encode(&Body {
            version: VERSION,
            site: SiteId::of(site.verifier()),
            serial: self.serial,
            peers: self.peers.iter().cloned().collect(),
            tickets: self.tickets.iter().copied().collect(),
            blocked: self.blocked.iter().map(blocked).collect(),
        });
        let encoded = codec::encode(&Signed::by(site, WHAT, body));
        match encoded.len() {
            len if len > MAX_ORDERS => Err(malformed(format!("with {len} bytes they are over 1 MiB"))),
            _ => Ok(encoded),
        }
    }

    /// Reads orders and checks that the site's key has signed them.
    ///
    /// # Errors
    /// [`MemberError::Malformed`], [`MemberError::OtherSite`], [`MemberError::Signature`].
    pub fn open(bytes: &[u8], site: &Verifier) -> Result<Self, MemberError> {
        let signed: Signed = codec::decode::<_, MAX_ORDERS>(bytes).map_err(unreadable(WHAT))?;
        // Before anything else is done with what may be a megabyte from a stranger.
        if !signed.is_by(site, WHAT) {
            return Err(match codec::decode::<Body, MAX_ORDERS>(&signed.body) {
                Ok(body) if body.site != SiteId::of(site) => MemberError::OtherSite(WHAT),
                _ => MemberError::Signature(WHAT),
            });
        }
        let body: Body = codec::decode::<_, MAX_ORDERS>(&signed.body).map_err(unreadable(WHAT))?;
        if body.version != VERSION {
            return Err(malformed("they are of a newer version of modswarm".into()));
        }
        if body.site != SiteId::of(site) {
            return Err(MemberError::OtherSite(WHAT));
        }
        let blocked = |(path, version): &(String, String)| {
            let module = ModulePath::parse(path).and_then(|path| Ok((path, Version::parse(version)?)));
            module.map(|(path, version)| ModuleVersion { path, version }).map_err(|why| malformed(why.to_string()))
        };
        let orders = Self {
            serial: body.serial,
            peers: body.peers.iter().cloned().collect(),
            tickets: body.tickets.iter().copied().collect(),
            blocked: body.blocked.iter().map(blocked).collect::<Result<_, _>>()?,
        };
        if orders.peers.iter().any(|peer| peer.len() > MAX_PEER) {
            return Err(malformed("a peer id in them is none".into()));
        }
        Ok(orders)
    }

    /// By what a member is revoked, if it is.
    #[must_use]
    pub fn revoke(&self, member: &Member) -> Option<Revoked> {
        if self.peers.contains(&member.peer) {
            return Some(Revoked::Peer);
        }
        member.ticket.filter(|ticket| self.tickets.contains(ticket)).map(Revoked::Ticket)
    }
}

fn malformed(why: String) -> MemberError {
    MemberError::Malformed { what: WHAT, why }
}
