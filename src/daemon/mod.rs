//! The composition root: builds everything in order, stops it in reverse; the first task that fails stops all.

mod doctor;
mod error;
mod files;
mod member;
mod network;
mod node;
mod outside;
mod parts;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::NodeFile;
use crate::asking::{self, AskRules, Asker, ServeRules};
use crate::config::Config;
use crate::mirror::databases::{self, Databases};
use crate::mirror::source::Source;
use crate::mirror::{FromPeers, FromSeeds, FromUpstream, Intake, Mirror, MirrorOptions, Publishing};
use crate::proxy::Proxy;
use crate::store::{Store, StoreError, StoreOptions};
use crate::sync::{Replicas, Seeker, Sync};
pub use error::DaemonError;
pub use files::replace;
use network::Network;
use node::RunningNode;
use outside::Outside;
use parts::Parts;

/// Manifests that this node brought in and that wait to be announced. What does not fit is found by the catalog's
/// reconciliation.
const NEWS: usize = 1024;
/// How long requests under way may go on once the node is told to stop: enough for a zip of usual size to a client on
/// this machine, and less than anybody waits who pressed Ctrl-C. What takes longer is cut, and its client asks again.
const GRACE: Duration = Duration::from_secs(2);

/// A node that serves.
pub struct Daemon {
    data: PathBuf,
    goproxy: String,
    swarm_addresses: Vec<String>,
    store: Store,
    parts: Parts,
}

impl Daemon {
    /// Builds a node; when this is `Ok`, it serves.
    ///
    /// # Errors
    /// [`DaemonError`]: one sentence on what is in the way. Nothing is left running then.
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Self, DaemonError> {
        let stop = stop.child_token();
        let outside = Outside::read(&config)?;
        files::prepare(&config.data)?;
        let dir = config.data.clone();
        let store = blocking(move || Store::open(&dir, StoreOptions::default()).map_err(DaemonError::from)).await?;
        let started = Self::build(config, outside, store.clone(), stop.clone()).await;
        if started.is_err() {
            stop.cancel();
            // The reason why there is no node is told; a store that does not close is the smaller news.
            let _ = store.close().await;
        }
        started
    }

    async fn build(
        config: Config,
        outside: Outside,
        store: Store,
        stop: CancellationToken,
    ) -> Result<Self, DaemonError> {
        let tmp = files::fresh_tmp(&config.data)?;
        let (states, new_states) = mpsc::channel(NEWS);
        let seeds = outside.upstream.as_ref().map(|(upstream, _)| upstream);
        let databases = Databases::open(&outside.specs, &store, seeds, &states).await?;
        let databases = databases.with_publishers(config.site.site.publishers.clone());
        admit(&store, &databases).await?;
        let (http, address) = listen_http(config.http).await?;
        let identity = files::identity(&config.data)?;
        let peer_id = identity.public().to_peer_id();
        let mut parts = Parts::new(stop);
        let network = Network::start(&config, &outside, identity, &store, &mut parts).await?;
        if !outside.specs.is_empty() {
            parts.run("checksum databases", databases.clone().keep(parts.stop()));
        }
        let (bell, own) = mpsc::channel(NEWS);
        let intake = Intake::new(store.clone(), databases, Some(bell)).with_blocks(network.blocks.clone());
        let publishing = Publishing::new(intake.clone(), tmp.clone(), config.site.path.clone());
        let (upstream, upstream_text) = outside.upstream.unzip();
        let upstream = upstream.map(|upstream| FromUpstream::new(upstream, tmp));
        let mirror = mirror(&config, upstream, &network, &intake, &mut parts)?;
        let Network { swarm, news, held, traffic, fetcher, orders, .. } = network;
        let syncing = Sync::new(swarm.clone(), fetcher, held, intake, orders.clone());
        parts.run("catalog", syncing.run(news, own, new_states, parts.stop()));

        let base = format!("http://{}", reachable(address));
        let goproxy = format!("{base}{}", config.http_prefix);
        let token = files::token(&config.data)?;
        let swarm_addresses = swarm.listen_addrs().iter().map(ToString::to_string).collect();
        let node = RunningNode {
            data: config.data.clone(),
            goproxy: goproxy.clone(),
            peer_id,
            upstream: upstream_text,
            started: Instant::now(),
            store: store.clone(),
            swarm,
            traffic,
            mirror: mirror.clone(),
            publishing,
            orders,
            stop: parts.stop(),
        };
        let proxy = Proxy::new(mirror, Arc::new(node), &token, &config.http_prefix);
        parts.attempt("GOPROXY endpoint", proxy.serve(http, parts.stop()));
        let (pid, peer) = (std::process::id(), peer_id.to_string());
        let file = NodeFile { pid, http: base, goproxy: goproxy.clone(), peer_id: peer };
        files::announce(&config.data, &file)?;
        tracing::info!(%goproxy, %peer_id, data = %config.data.display(), "node started");
        Ok(Self { data: config.data, goproxy, swarm_addresses, store, parts })
    }

    /// What to set GOPROXY to.
    #[must_use]
    pub fn goproxy(&self) -> &str {
        &self.goproxy
    }

    /// Where the swarm listens, with the peer id: what `--peer` of another node takes.
    #[must_use]
    pub fn swarm_addresses(&self) -> &[String] {
        &self.swarm_addresses
    }

    /// Runs until the stop signal or until a part fails; then stops all parts and closes the store.
    ///
    /// # Errors
    /// [`DaemonError::Part`] when a part ended by itself.
    pub async fn run(mut self) -> Result<(), DaemonError> {
        let ended = self.parts.first().await;
        files::retract(&self.data);
        self.parts.rest(GRACE).await;
        self.store.close().await?;
        tracing::info!("node stopped");
        ended
    }
}

/// Holds what is in the catalog to the rule of this start, and says so where the rule lets much in or takes much out.
async fn admit(store: &Store, databases: &Databases) -> Result<(), StoreError> {
    if databases.trust().is_open() {
        tracing::warn!("no checksum database: this node takes module versions that nothing proves");
    }
    let aside = databases::admit(store, databases.trust()).await?;
    if aside > 0 {
        tracing::warn!(
            aside,
            "module versions that no checksum database or publisher of this configuration proves were set aside: seed or \
                 publish them again"
        );
    }
    Ok(())
}

/// The mirror with all its sources, and what works for it. A node with an upstream asks no seeds: a question goes one step
/// at most.
fn mirror(
    config: &Config,
    upstream: Option<FromUpstream>,
    network: &Network,
    intake: &Intake,
    parts: &mut Parts,
) -> Result<Mirror, DaemonError> {
    let Network { swarm, fetcher, spread, .. } = network;
    let peers = FromPeers::new(fetcher.clone()).with_spread(spread.clone());
    let is_seed = upstream.is_some();
    // Who has an upstream need not wait for the other end of the site.
    let peers = Arc::new(if is_seed { peers } else { peers.seeking(Arc::new(Seeker::new(swarm.clone()))) });
    if config.replicas > 0 {
        let (swarm, peers, intake) = (swarm.clone(), peers.clone(), intake.clone());
        let replicas = Replicas { swarm, peers, intake, floor: config.replicas };
        parts.run("replicas", replicas.run(parts.stop()));
    }
    let (sources, seeds): (Vec<Arc<dyn Source>>, _) = match upstream {
        Some(upstream) => (vec![peers, Arc::new(upstream)], None),
        None => {
            let asker = Asker::new(swarm, fetcher.clone(), AskRules::default());
            let seeds = Arc::new(FromSeeds::new(asker, fetcher.clone(), peers.clone()));
            (vec![peers, seeds.clone()], Some(seeds))
        }
    };
    let (fresh, private) = (config.fresh, config.private.clone());
    let mirror = Mirror::new(MirrorOptions { intake: intake.clone(), sources, seeds, fresh, private });
    if is_seed {
        let seed = Arc::new(mirror.clone());
        parts.watch("seeding", asking::serve(swarm.stream_control(), seed, ServeRules::default(), parts.stop())?);
    }
    Ok(mirror)
}

/// The GOPROXY endpoint's listener, and where it really listens.
async fn listen_http(address: SocketAddr) -> Result<(TcpListener, SocketAddr), DaemonError> {
    let failed = |source| DaemonError::Http { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// An address that a client on this machine can use: "all interfaces" is none.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(DaemonError::Part { part: "start", why: panic.to_string() }))
}
