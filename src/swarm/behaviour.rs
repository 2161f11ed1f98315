//! Which protocols the node speaks, and how each is set up.

use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{identify, mdns, noise, ping, tcp, yamux};

use super::error::SwarmError;
use super::limits;

/// What a node of this project says it speaks; whoever says something else (mDNS finds every libp2p program on the
/// LAN) is disconnected.
pub(super) const PROTOCOL: &str = "/modswarm/1";
/// The gossip topic of the catalog.
pub(super) const TOPIC: &str = "modswarm/1/manifests";

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    // The two that refuse connections stand first: the others then never see a connection that is not wanted.
    pub(super) blocked: allow_block_list::Behaviour<BlockedPeers>,
    pub(super) limits: connection_limits::Behaviour,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) gossip: gossipsub::Behaviour,
    pub(super) streams: libp2p_stream::Behaviour,
}

/// TCP + Noise + Yamux with every behaviour, not yet listening.
pub(super) fn build(identity: &Keypair, mdns: bool) -> Result<libp2p::Swarm<Behaviour>, SwarmError> {
    let setup = |err: &dyn std::fmt::Display| SwarmError::Setup(err.to_string());
    let behaviour = behaviour(identity, mdns)?;
    let swarm = libp2p::SwarmBuilder::with_existing_identity(identity.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|err| setup(&err))?
        .with_behaviour(|_| behaviour)
        .map_err(|err| setup(&err))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(limits::IDLE))
        .build();
    Ok(swarm)
}

fn behaviour(identity: &Keypair, mdns: bool) -> Result<Behaviour, SwarmError> {
    let connections = ConnectionLimits::default()
        .with_max_established(Some(limits::MAX_CONNECTIONS))
        .with_max_established_incoming(Some(limits::MAX_INCOMING))
        .with_max_pending_incoming(Some(limits::MAX_PENDING_INCOMING))
        .with_max_pending_outgoing(Some(limits::MAX_PENDING_OUTGOING))
        .with_max_established_per_peer(Some(limits::MAX_PER_PEER));
    let agent = concat!("modswarm/", env!("CARGO_PKG_VERSION"));
    let identify = identify::Config::new(PROTOCOL.into(), identity.public()).with_agent_version(agent.into());
    let ping = ping::Config::new().with_interval(limits::PING_INTERVAL).with_timeout(limits::PING_TIMEOUT);
    Ok(Behaviour {
        blocked: allow_block_list::Behaviour::default(),
        limits: connection_limits::Behaviour::new(connections),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping),
        mdns: discovery(identity, mdns).into(),
        gossip: gossip(identity)?,
        streams: libp2p_stream::Behaviour::new(),
    })
}

/// mDNS if it is wanted and the system can: without multicast a node still works with its static peers.
fn discovery(identity: &Keypair, wanted: bool) -> Option<mdns::tokio::Behaviour> {
    if !wanted {
        return None;
    }
    let config =
        mdns::Config { ttl: limits::MDNS_HOLDS, query_interval: limits::MDNS_EVERY, ..mdns::Config::default() };
    mdns::tokio::Behaviour::new(config, identity.public().to_peer_id())
        .inspect_err(
            |err| tracing::warn!(%err, "mDNS cannot start here, so peers are only found where --peer names them"),
        )
        .ok()
}

fn gossip(identity: &Keypair) -> Result<gossipsub::Behaviour, SwarmError> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .max_transmit_size(limits::MAX_GOSSIP_MESSAGE)
        // By content: two nodes that learn of the same version at the same time announce one message, not two.
        .message_id_fn(|message| MessageId::new(blake3::hash(&message.data).as_bytes()))
        .build()
        .map_err(|err| SwarmError::Setup(err.to_string()))?;
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Signed(identity.clone()), config)
        .map_err(|err| SwarmError::Setup(err.to_string()))?;
    gossip.subscribe(&IdentTopic::new(TOPIC)).map_err(|err| SwarmError::Setup(err.to_string()))?;
    Ok(gossip)
}
