//! Why there is no node, each in one sentence that says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::domain::membership::MemberError;
use crate::domain::sumdb::SpecError;
use crate::store::StoreError;
use crate::sumdb::ClientError;
use crate::swarm::SwarmError;
use crate::transfer::AlreadyServing;
use crate::upstream::{BadProxyList, UpstreamError};

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A file of the data directory.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The data directory.
    #[error("{} cannot be used as a data directory ({source}); choose another with --data", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The identity is not one.
    #[error("{} holds no usable key: restore it, or remove it and the node gets a new identity", path.display())]
    Identity {
        /// Which file.
        path: PathBuf,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The upstream list.
    #[error(transparent)]
    ProxyList(#[from] BadProxyList),
    /// The upstream client.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A checksum database that is not one.
    #[error("--sumdb is not usable: {0}")]
    Spec(#[from] SpecError),
    /// Two checksum databases of one name.
    #[error("--sumdb names {0} twice: one of the two keys is enough")]
    Twice(String),
    /// What is stored of a checksum database.
    #[error(transparent)]
    Sumdb(#[from] ClientError),
    /// `go env GOPROXY` could not be asked.
    #[error("--upstream go-env asks the go command, and that failed: {0}; install Go or write the list out")]
    GoEnv(String),
    /// An address that is none.
    #[error("{option} {value:?} is not usable: write a multiaddress, as in /ip4/192.0.2.1/tcp/6638")]
    Address {
        /// Which option.
        option: &'static str,
        /// What was given.
        value: String,
    },
    /// The GOPROXY endpoint's port.
    #[error("the GOPROXY endpoint cannot listen on {address}: {source}; is another node running, or is --http wrong?")]
    Http {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The swarm.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// Two servers on one swarm: a mistake in this program.
    #[error(transparent)]
    Serving(#[from] AlreadyServing),
    /// The site is closed, and this machine is not in it.
    #[error(
        "this machine (peer id {peer}) is no member of site {site} ({why}): put a ticket (`modswarm site ticket`) into \
         {} under [site], or run `modswarm site enrol {peer} --ca FILE` on the machine that has the site's key and \
         `modswarm site enrol --certificate FILE` with what it prints on this one", file.display()
    )]
    NoMember {
        /// This machine.
        peer: String,
        /// The site's name.
        site: String,
        /// The site file.
        file: PathBuf,
        /// What is there instead.
        why: String,
    },
    /// The site's orders in the data directory are damaged.
    #[error(
        "{} is damaged ({why}), and without it this node would let in who was revoked: copy it from another node of \
         the site", path.display()
    )]
    Orders {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: MemberError,
    },
    /// A part ended while the node was to run.
    #[error("the node stops because its {part} ended: {why}")]
    Part {
        /// Which part.
        part: &'static str,
        /// Why.
        why: String,
    },
}

impl DaemonError {
    /// Whether the user should change the command line.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        let address =
            |error: &SwarmError| matches!(error, SwarmError::ListenAddress { .. } | SwarmError::PeerAddress { .. });
        match self {
            Self::ProxyList(_) | Self::Address { .. } | Self::Spec(_) | Self::Twice(_) => true,
            Self::Swarm(error) => address(error),
            _ => false,
        }
    }
}
