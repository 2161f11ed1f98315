//! What the swarm knows of the network, as the admin API tells it.

use std::time::SystemTime;

use crate::admin::{BeaconLine, Doctor, InterfaceLine, KnownLine, KnownState, RefusalLine};
use crate::engine::neighbours::How;
use crate::swarm::{Class, Discovery, InterfaceStatus, KnownPeer, PeerState, SwarmHandle, Via};

/// Asks the swarm; one that is stopping knows nothing any more.
pub(super) async fn doctor(swarm: &SwarmHandle) -> Doctor {
    match swarm.discovery().await {
        Ok(discovery) => of(&discovery, refusals(swarm)),
        Err(error) => {
            tracing::debug!(%error, "the swarm does not tell how it is");
            Doctor::default()
        }
    }
}

/// Whom the swarm has refused. It keeps no list of them yet; when it does, this is where they come in.
fn refusals(_swarm: &SwarmHandle) -> Vec<RefusalLine> {
    Vec::new()
}

fn of(discovery: &Discovery, refusals: Vec<RefusalLine>) -> Doctor {
    let Discovery { lan, mdns, seeking, neighbours, known } = discovery;
    let interface = |status: &InterfaceStatus| {
        let name = &status.interface.name;
        let heard = mdns.iter().flatten().find(|heard| heard.interface == *name);
        InterfaceLine {
            name: name.clone(),
            class: class(status.interface.class).into(),
            addresses: status.interface.addresses.iter().map(|(ip, prefix)| format!("{ip}/{prefix}")).collect(),
            unused: status.unused.clone(),
            beacons_sent: status.sent,
            beacons_heard: status.heard,
            beacon_seconds: status.last_heard.map(since),
            mdns_heard: heard.map_or(0, |heard| heard.count),
            mdns_seconds: heard.map(|heard| since(heard.last)),
        }
    };
    Doctor {
        interfaces: lan.interfaces.iter().map(interface).collect(),
        beacon: BeaconLine {
            port: lan.beacon_port,
            trouble: lan.trouble.clone(),
            copies: lan.copies.iter().map(ToString::to_string).collect(),
            foreign: lan.foreign.iter().map(ToString::to_string).collect(),
        },
        mdns: mdns.is_some(),
        seeking: *seeking,
        neighbours: *neighbours,
        known: known.iter().map(line).collect(),
        refusals,
    }
}

fn line(known: &KnownPeer) -> KnownLine {
    let found = match (known.fixed, known.how, &known.state) {
        (true, ..) | (_, None, PeerState::Connected { via: Via::Static, .. }) => "static",
        (_, Some(How::Lan), _) | (_, None, PeerState::Connected { via: Via::Lan, .. }) => "lan",
        (_, Some(How::Hearsay), _) | (_, None, PeerState::Connected { via: Via::Hearsay, .. }) => "hearsay",
        (_, Some(How::Remembered), _) | (_, None, PeerState::Connected { via: Via::Remembered, .. }) => "remembered",
        _ => "incoming",
    };
    KnownLine {
        id: known.peer.map(|peer| peer.to_string()),
        addresses: known.addresses.iter().map(ToString::to_string).collect(),
        found: found.into(),
        state: match known.state {
            PeerState::Connected { since: at, .. } => KnownState::Connected { seconds: since(at) },
            PeerState::Dialling => KnownState::Dialling,
            PeerState::Waiting(wait) => KnownState::Waiting { seconds: wait.as_secs() },
            PeerState::Never => KnownState::Never,
        },
        failures: known.failures,
        reason: known.reason.clone(),
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Ordinary => "lan",
        Class::LinkLocal => "link-local",
        Class::Loopback => "loopback",
        Class::Vpn => "vpn",
        Class::Container => "container",
    }
}

fn since(moment: SystemTime) -> u64 {
    moment.elapsed().map_or(0, |since| since.as_secs())
}
