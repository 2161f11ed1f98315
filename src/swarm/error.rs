//! What can go wrong with the swarm, in words for the one who runs the node.

use std::io;

use libp2p::Multiaddr;

use super::limits::{LISTEN, MAX_ANNOUNCEMENT};

/// The swarm cannot start, or cannot do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: the port is in use, perhaps by another modswarm node; stop that or choose another --swarm address"
    )]
    PortInUse {
        /// The address that was asked for.
        address: Multiaddr,
    },
    /// The system refuses to listen there.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address that was asked for.
        address: Multiaddr,
        /// What the system says.
        reason: io::Error,
    },
    /// Not an address this node can listen on.
    #[error("cannot listen on {address}: write it as /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT")]
    ListenAddress {
        /// The address that was asked for.
        address: Multiaddr,
    },
    /// A listener stays silent.
    #[error("cannot listen on {address}: the system reported no address within {} s", LISTEN.as_secs())]
    NoListener {
        /// The address that was asked for.
        address: Multiaddr,
    },
    /// Not an address this node can dial.
    #[error(
        "cannot dial peer {address}: write it as /ip4/ADDRESS/tcp/PORT or /dns4/NAME/tcp/PORT, with /p2p/PEER-ID at the end if that is known"
    )]
    PeerAddress {
        /// The address that was given.
        address: Multiaddr,
    },
    /// A part of the network stack refuses its settings.
    #[error("cannot set up the network: {0}")]
    Setup(String),
    /// An announcement over the limit.
    #[error("an announcement of {0} bytes is over the limit of {MAX_ANNOUNCEMENT} bytes; announce its id instead")]
    AnnouncementTooLong(usize),
    /// The event loop has more commands waiting than it takes.
    #[error("the swarm has too many commands waiting; try again later")]
    Busy,
    /// The event loop has ended.
    #[error("the swarm has stopped")]
    Stopped,
}
