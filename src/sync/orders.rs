//! The orders of a closed site on their way: taken from the admin API or from a peer, kept, and passed on.
//!
//! Orders are a state: the newest replaces all before it, whoever brings it, since the site's key has signed it. They
//! are kept before they are followed, so that a restart does not bring back who was revoked; but a disk that is full
//! is no reason to go on talking to them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::membership::{MemberError, Orders, Revoked};
use crate::mirror::Blocks;
use crate::swarm::{Current, Membership};

/// Writes orders where the next start finds them. Blocking.
pub type Keep = Arc<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// Why orders are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrdersError {
    /// This node is of an open site.
    #[error("this node belongs to no closed site: its site file has no [site] with a key")]
    Open,
    /// They are not those of this site.
    #[error(transparent)]
    Invalid(#[from] MemberError),
    /// Others count already.
    #[error(
        "orders with serial {held} count already, so these with serial {offered} do not: run the command again, it \
         begins with the newest"
    )]
    Old {
        /// The serial of those that count.
        held: u64,
        /// The serial of those that came.
        offered: u64,
    },
}

/// The orders of this node's site.
pub struct SiteOrders {
    membership: Arc<Membership>,
    blocks: Blocks,
    keep: Keep,
    /// One at a time: what is kept is what counts.
    turn: tokio::sync::Mutex<()>,
}

impl SiteOrders {
    /// Whom they revoke is for `membership`, what they block for `blocks`; both follow those that count already.
    #[must_use]
    pub fn new(membership: Arc<Membership>, blocks: Blocks, keep: Keep) -> Self {
        blocks.set(membership.orders().orders.blocked.clone());
        let orders = Self { membership, blocks, keep, turn: tokio::sync::Mutex::default() };
        orders.look_at_ourselves();
        orders
    }

    /// Who is a member.
    #[must_use]
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// Checks orders, keeps them and follows them; gives their serial.
    ///
    /// # Errors
    /// [`OrdersError`].
    pub async fn take(&self, signed: Bytes) -> Result<u64, OrdersError> {
        let key = self.membership.key().ok_or(OrdersError::Open)?;
        let orders = Orders::open(&signed, key)?;
        let offered = orders.serial;
        let current = Current { orders, signed: signed.clone() };
        let _turn = self.turn.lock().await;
        if !self.membership.is_news(&current) {
            return Err(OrdersError::Old { held: self.membership.orders().orders.serial, offered });
        }
        let keep = Arc::clone(&self.keep);
        let kept = tokio::task::spawn_blocking(move || keep(&signed)).await.map_err(io::Error::other);
        if let Err(error) = kept.and_then(|kept| kept) {
            tracing::error!(%error, "the site's new orders cannot be stored: they are followed until the next start only");
        }
        let blocked = current.orders.blocked.clone();
        tracing::info!(
            serial = offered,
            peers = current.orders.peers.len(),
            tickets = current.orders.tickets.len(),
            blocked = blocked.len(),
            "the site has new orders"
        );
        self.membership.follow(current);
        self.blocks.set(blocked);
        self.look_at_ourselves();
        Ok(offered)
    }

    fn look_at_ourselves(&self) {
        let own = self.membership.own();
        let by = match own.and_then(|own| self.membership.orders().orders.revoke(&own)) {
            None => return,
            Some(Revoked::Peer) => "this machine's membership was revoked".to_owned(),
            Some(Revoked::Ticket(ticket)) => format!("the ticket {ticket} of this machine's membership was revoked"),
        };
        tracing::error!("{by}: no node of the site talks to it any more; ask who runs the site for a new ticket");
    }
}
