//! The parts of a node that talk to other nodes.

use std::sync::Arc;

use libp2p::identity::Keypair;
use tokio::sync::mpsc;

use super::member::Joined;
use super::outside::Outside;
use super::parts::Parts;
use super::{DaemonError, files};
use crate::config::Config;
use crate::engine::spread::Rules;
use crate::mirror::Blocks;
use crate::spread::{self, Spread};
use crate::store::Store;
use crate::swarm::limits::BEACON_PORT;
use crate::swarm::{self, BeaconConfig, Membership, SwarmConfig, SwarmHandle, SwarmNews};
use crate::sync::{Members, SiteOrders, StoreHeld};
use crate::transfer::{self, Fetcher, ServeLimits, Traffic};

/// What the rest of a node uses of them.
pub(super) struct Network {
    pub(super) swarm: SwarmHandle,
    pub(super) news: mpsc::Receiver<SwarmNews>,
    pub(super) held: Arc<StoreHeld>,
    pub(super) traffic: Traffic,
    pub(super) fetcher: Fetcher,
    pub(super) spread: Spread,
    pub(super) orders: Arc<SiteOrders>,
    pub(super) blocks: Blocks,
}

impl Network {
    /// Joins the site, connects, and serves what is held.
    pub(super) async fn start(
        config: &Config,
        outside: &Outside,
        identity: Keypair,
        store: &Store,
        parts: &mut Parts,
    ) -> Result<Self, DaemonError> {
        let mut joined = Joined::new(&config.data, &config.site, identity.public().to_peer_id())?;
        joined.check_seed(outside.upstream.is_some());
        let renewing = joined.renew(parts.stop());
        let Joined { membership, orders, blocks, .. } = joined;
        let swarm_config = swarm_config(config, outside, identity, &membership);
        let (swarm, news, task) = swarm::join(swarm_config, membership.clone(), parts.stop()).await?;
        parts.watch("swarm", task);
        parts.run("membership", renewing);

        let held = Arc::new(StoreHeld::new(store.clone(), blocks.clone(), membership));
        let traffic = Traffic::new();
        let (control, connected) = (swarm.stream_control(), swarm.connected());
        let fetcher = Fetcher::new(control.clone(), connected.clone(), swarm.bans(), traffic.clone());
        let limits = ServeLimits::default();
        parts.watch("transfer", transfer::serve(control.clone(), held.clone(), limits, traffic.clone(), parts.stop())?);
        let network = spread::Network { control, connected, fetcher: fetcher.clone(), traffic: traffic.clone() };
        let (spread, task) = spread::start(network, held.clone(), Rules::default(), parts.stop())?;
        parts.watch("spreading", task);
        parts.watch("members", Members::new(swarm.clone(), traffic.clone()).run(parts.stop())?);
        Ok(Self { swarm, news, held, traffic, fetcher, spread, orders, blocks })
    }
}

/// What the swarm is started with. Without discovery on the LAN there is no beacon either.
fn swarm_config(config: &Config, outside: &Outside, identity: Keypair, membership: &Membership) -> SwarmConfig {
    let site = membership.site().map_or([0; 8], |site| site.tag());
    let beacon = BeaconConfig { port: BEACON_PORT, site, loopback_only: false };
    let remember = Some(config.data.join(files::PEERS));
    let (listen, peers) = (outside.listen.clone(), outside.peers.clone());
    SwarmConfig { identity, listen, peers, mdns: config.mdns, beacon: config.mdns.then_some(beacon), remember }
}
