//! What `modswarm doctor` asks the node: its interfaces, what was heard on them, and each known peer.

use serde::{Deserialize, Serialize};

/// What the node knows of the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// Every interface that is up.
    pub interfaces: Vec<InterfaceLine>,
    /// The beacon.
    pub beacon: BeaconLine,
    /// Whether mDNS runs.
    pub mdns: bool,
    /// Whether more neighbours are wanted.
    pub seeking: bool,
    /// Neighbours, those that the configuration names not counted.
    pub neighbours: usize,
    /// Every known peer.
    pub known: Vec<KnownLine>,
    /// Peers that were refused, and why.
    #[serde(default)]
    pub refusals: Vec<RefusalLine>,
}

/// The beacon on the LAN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeaconLine {
    /// Its UDP port; `None` when the node was started without.
    pub port: Option<u16>,
    /// Why it cannot be sent or heard.
    pub trouble: Option<String>,
    /// Addresses at which another node says that it is this one.
    pub copies: Vec<String>,
    /// Addresses of nodes of other sites.
    pub foreign: Vec<String>,
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceLine {
    /// Its name.
    pub name: String,
    /// What it is for: `lan`, `link-local`, `loopback`, `vpn`, `container`.
    pub class: String,
    /// `192.168.1.7/24` each.
    pub addresses: Vec<String>,
    /// Why no beacon goes out there.
    pub unused: Option<String>,
    /// Beacons sent.
    pub beacons_sent: u64,
    /// Beacons of other nodes heard.
    pub beacons_heard: u64,
    /// Seconds since the last of them.
    pub beacon_seconds: Option<u64>,
    /// Addresses of other nodes heard by mDNS.
    pub mdns_heard: u64,
    /// Seconds since the last of them.
    pub mdns_seconds: Option<u64>,
}

/// One known peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLine {
    /// Its identity, if that is known.
    pub id: Option<String>,
    /// Where.
    pub addresses: Vec<String>,
    /// How it became known: `static`, `lan`, `hearsay`, `remembered`, `incoming`.
    pub found: String,
    /// How it stands.
    #[serde(flatten)]
    pub state: KnownState,
    /// Dials in a row that led to nothing.
    pub failures: u32,
    /// Why the last one did.
    pub reason: Option<String>,
}

/// How a known peer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum KnownState {
    /// It is connected.
    Connected {
        /// For so many seconds.
        seconds: u64,
    },
    /// It is being dialled.
    Dialling,
    /// It may be dialled when so many seconds are over.
    Waiting {
        /// So many.
        seconds: u64,
    },
    /// It is never dialled.
    Never,
}

/// A peer that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalLine {
    /// Its identity, if it got so far as to prove one.
    pub id: Option<String>,
    /// Where it is.
    pub address: String,
    /// Why: one clause, as in `it belongs to another site`.
    pub reason: String,
    /// Seconds since the last time.
    pub seconds: u64,
}
