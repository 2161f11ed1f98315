//! Who this node lets in: the site that it belongs to, and the members whose connections stand.
//!
//! Shared by all handshakes (`member`), the event loop, and the layers above. What orders or the end of a certificate
//! change takes effect at once: [`Membership::sweep`] cuts the passes of connections, and a connection whose pass is cut
//! carries not one byte more, whatever the other end does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::watch;

use super::limits;
use super::refusals::Why;
use crate::domain::membership::{Certificate, Greeting, Member, Orders, Revoked, Roles, SiteId};
use crate::domain::note::Verifier;

/// Seconds since 1970.
pub type Clock = fn() -> u64;

/// The orders that count now.
#[derive(Clone, Debug, Default)]
pub struct Current {
    /// What they say; serial 0 and nothing else until there are any.
    pub orders: Orders,
    /// As the site's key has signed them; empty until there are any.
    pub signed: Bytes,
}

impl Current {
    /// Of two orders with one serial all nodes prefer the same one: two administrators have made them at the same time.
    fn rank(&self) -> (u64, [u8; 32]) {
        (self.orders.serial, *blake3::hash(&self.signed).as_bytes())
    }
}

/// The leave of one connection to carry bytes.
#[derive(Debug)]
pub(super) struct Pass {
    member: Option<Member>,
    serial: u64,
    cut: AtomicBool,
}

impl Pass {
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

/// Which site a node belongs to, and who else does.
pub struct Membership {
    closed: Option<Closed>,
}

struct Closed {
    key: Verifier,
    id: SiteId,
    own: RwLock<Certificate>,
    orders: watch::Sender<Arc<Current>>,
    passes: Mutex<HashMap<PeerId, Vec<Weak<Pass>>>>,
    clock: Clock,
}

impl Membership {
    /// A node of an open site: whoever is in an open site, too, is let in.
    #[must_use]
    pub fn open() -> Self {
        Self { closed: None }
    }

    /// A member of the site with this `key`, who shows this certificate. Both are taken as they are: that the certificate
    /// is this node's own and has not expired is for others to judge, and for the caller.
    #[must_use]
    pub fn closed(key: Verifier, own: Certificate, orders: Current, clock: Clock) -> Self {
        let id = SiteId::of(&key);
        let (own, orders) = (RwLock::new(own), watch::Sender::new(Arc::new(orders)));
        Self { closed: Some(Closed { key, id, own, orders, passes: Mutex::default(), clock }) }
    }

    /// The site; none if it is open.
    #[must_use]
    pub fn site(&self) -> Option<SiteId> {
        self.closed.as_ref().map(|closed| closed.id)
    }

    /// The site's key.
    #[must_use]
    pub fn key(&self) -> Option<&Verifier> {
        self.closed.as_ref().map(|closed| &closed.key)
    }

    /// What this node's certificate says.
    #[must_use]
    pub fn own(&self) -> Option<Member> {
        self.closed.as_ref().map(|closed| read(&closed.own).member().clone())
    }

    /// From now on this certificate is shown. Connections that stand are held to the one with which they were made.
    pub fn renew(&self, certificate: Certificate) {
        if let Some(closed) = &self.closed {
            *closed.own.write().unwrap_or_else(PoisonError::into_inner) = certificate;
        }
    }

    /// The orders that count now.
    #[must_use]
    pub fn orders(&self) -> Arc<Current> {
        self.closed.as_ref().map_or_else(Arc::default, |closed| closed.orders.borrow().clone())
    }

    /// The orders, and every change of them. Of an open site there is never one.
    #[must_use]
    pub fn order_changes(&self) -> watch::Receiver<Arc<Current>> {
        match &self.closed {
            Some(closed) => closed.orders.subscribe(),
            None => watch::channel(Arc::default()).1,
        }
    }

    /// Whether these orders, of which the signature has been checked, are newer than the ones that count.
    #[must_use]
    pub fn is_news(&self, orders: &Current) -> bool {
        orders.rank() > self.orders().rank()
    }

    /// Lets these orders count if they are newer. The event loop disconnects whom they revoke; not one byte is
    /// exchanged with them when this returns.
    pub fn follow(&self, orders: Current) -> bool {
        let Some(closed) = &self.closed else { return false };
        let taken = closed.orders.send_if_modified(|current| {
            let newer = orders.rank() > current.rank();
            if newer {
                *current = Arc::new(orders);
            }
            newer
        });
        if taken {
            self.sweep();
        }
        taken
    }

    /// What a connected peer may do; everything on an open site.
    #[must_use]
    pub fn roles(&self, peer: &PeerId) -> Roles {
        match &self.closed {
            None => Roles::ALL,
            Some(closed) => closed.newest_pass(peer).map_or(Roles::MEMBER, |member| member.roles),
        }
    }

    /// The members whose connections stand.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let Some(closed) = &self.closed else { return Vec::new() };
        let passes = closed.passes();
        let newest = |held: &Vec<Weak<Pass>>| held.iter().rev().find_map(Weak::upgrade)?.member.clone();
        passes.values().filter_map(newest).collect()
    }

    /// What this node tells every peer before all else.
    pub(super) fn greeting(&self) -> Vec<u8> {
        let greeting = match &self.closed {
            None => Greeting::Open,
            Some(closed) => Greeting::Closed {
                site: closed.id,
                certificate: read(&closed.own).bytes().into(),
                serial: closed.orders.borrow().orders.serial,
            },
        };
        greeting.encode()
    }

    /// Whether a peer that has proven its peer id and greets like this is let in.
    pub(super) fn admit(&self, peer: &PeerId, greeting: &[u8]) -> Result<Arc<Pass>, Why> {
        let greeting = Greeting::decode(greeting).map_err(Why::NotOurs)?;
        let pass = |member, serial| Arc::new(Pass { member, serial, cut: AtomicBool::new(false) });
        match (&self.closed, greeting) {
            (None, Greeting::Open) => Ok(pass(None, 0)),
            (None, Greeting::Closed { .. }) => Err(Why::Closed),
            (Some(_), Greeting::Open) => Err(Why::Stranger),
            (Some(closed), Greeting::Closed { site, .. }) if site != closed.id => Err(Why::OtherSite),
            (Some(closed), Greeting::Closed { certificate, serial, .. }) => {
                let certificate = Certificate::open(&certificate, &closed.key).map_err(Why::Invalid)?;
                let member = certificate.member();
                member.is_of(&peer.to_bytes()).map_err(Why::Invalid)?;
                let pass = pass(Some(member.clone()), serial);
                // First it stands in the table and then it is judged: whoever changes the orders in this moment finds it.
                closed.remember(peer, &pass);
                closed.judge(member).map(|()| pass)
            }
        }
    }

    /// Cuts whoever is a member no more, and gives them.
    pub(super) fn sweep(&self) -> Vec<(PeerId, Why)> {
        let Some(closed) = &self.closed else { return Vec::new() };
        let mut cut = Vec::new();
        closed.passes().retain(|peer, passes| {
            passes.retain(|pass| pass.strong_count() > 0);
            for pass in passes.iter().filter_map(Weak::upgrade) {
                if let Some(Err(why)) = pass.member.as_ref().map(|member| closed.judge(member)) {
                    pass.cut.store(true, Ordering::Relaxed);
                    cut.push((*peer, why));
                }
            }
            !passes.is_empty()
        });
        cut.dedup_by_key(|(peer, _)| *peer);
        cut
    }

    /// The serial of the orders that a connected peer had when it greeted.
    #[must_use]
    pub fn serial_of(&self, peer: &PeerId) -> u64 {
        let Some(closed) = &self.closed else { return 0 };
        let passes = closed.passes();
        let live = passes.get(peer).into_iter().flatten().filter_map(Weak::upgrade);
        live.map(|pass| pass.serial).max().unwrap_or(0)
    }
}

impl Closed {
    fn passes(&self) -> MutexGuard<'_, HashMap<PeerId, Vec<Weak<Pass>>>> {
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest_pass(&self, peer: &PeerId) -> Option<Member> {
        self.passes().get(peer)?.iter().rev().find_map(Weak::upgrade)?.member.clone()
    }

    fn remember(&self, peer: &PeerId, pass: &Arc<Pass>) {
        let mut passes = self.passes();
        if passes.len() >= limits::MAX_PASSES {
            passes.retain(|_, held| held.iter().any(|pass| pass.strong_count() > 0));
        }
        let held = passes.entry(*peer).or_default();
        held.retain(|pass| pass.strong_count() > 0);
        held.push(Arc::downgrade(pass));
    }

    fn judge(&self, member: &Member) -> Result<(), Why> {
        member.is_valid((self.clock)()).map_err(Why::Invalid)?;
        match self.orders.borrow().orders.revoke(member) {
            None => Ok(()),
            Some(Revoked::Peer) => Err(Why::Revoked),
            Some(Revoked::Ticket(ticket)) => Err(Why::TicketRevoked(ticket)),
        }
    }
}

fn read(own: &RwLock<Certificate>) -> std::sync::RwLockReadGuard<'_, Certificate> {
    own.read().unwrap_or_else(PoisonError::into_inner)
}
