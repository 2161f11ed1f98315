//! The composition root: builds everything in order, stops it in reverse; the first task that fails stops all.

mod doctor;
mod files;
mod node;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::NodeFile;
use crate::asking::{self, AskRules, Asker, ServeRules};
use crate::config::{Config, UpstreamChoice};
use crate::domain::pattern::PrefixPatterns;
use crate::domain::sumdb::{SpecError, SumdbSpec};
use crate::mirror::databases::{self, Databases};
use crate::mirror::source::Source;
use crate::mirror::{FromPeers, FromSeeds, FromUpstream, Intake, Mirror, MirrorOptions, Publishing};
use crate::proxy::Proxy;
use crate::store::{Store, StoreError, StoreOptions};
use crate::sumdb::ClientError;
use crate::swarm::limits::BEACON_PORT;
use crate::swarm::{self, BeaconConfig, SwarmConfig, SwarmError, SwarmHandle};
use crate::sync::{self, Members, Replicas, Sync};
use crate::transfer::{self, AlreadyServing, Fetcher, ServeLimits, Traffic};
use crate::upstream::{BadProxyList, ProxyList, ProxyUrl, Upstream, UpstreamError, UpstreamOptions};
use node::RunningNode;

/// Manifests that this node brought in and that wait to be announced. What does not fit is found by the catalog's
/// reconciliation.
const NEWS: usize = 1024;
/// How long requests under way may go on once the node is told to stop: enough for a zip of usual size to a client on
/// this machine, and less than anybody waits who pressed Ctrl-C. What takes longer is cut, and its client asks again.
const GRACE: Duration = Duration::from_secs(2);

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

type Part = (&'static str, Result<(), String>);

/// What a node is to reach, parsed.
struct Outside {
    listen: Vec<Multiaddr>,
    peers: Vec<Multiaddr>,
    upstream: Option<(Arc<Upstream>, String)>,
    specs: Vec<SumdbSpec>,
}

/// A node that serves.
pub struct Daemon {
    data: PathBuf,
    goproxy: String,
    swarm_addresses: Vec<String>,
    store: Store,
    parts: JoinSet<Part>,
    stop: CancellationToken,
}

impl Daemon {
    /// Builds a node; when this is `Ok`, it serves.
    ///
    /// # Errors
    /// [`DaemonError`]: one sentence on what is in the way. Nothing is left running then.
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Self, DaemonError> {
        let stop = stop.child_token();
        let specs = sumdb_specs(&config.sumdb)?;
        let outside = Outside {
            listen: addresses("--swarm", &config.swarm)?,
            peers: addresses("--peer", &config.peers)?,
            upstream: config.upstream.as_ref().map(|choice| upstream(choice, &specs)).transpose()?.flatten(),
            specs,
        };
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
        let Outside { listen, peers, upstream, specs } = outside;
        let tmp = files::fresh_tmp(&config.data)?;
        let (states, new_states) = mpsc::channel(NEWS);
        let seeds = upstream.as_ref().map(|(upstream, _)| upstream);
        let databases = Databases::open(&specs, &store, seeds, &states).await?;
        let databases = databases.with_publishers(config.site.site.publishers.clone());
        admit(&store, &databases).await?;
        let (http, address) = listen_http(config.http).await?;
        let identity = files::identity(&config.data)?;
        let peer_id = identity.public().to_peer_id();
        let mut parts: JoinSet<Part> = JoinSet::new();

        let swarm_config = swarm_config(&config, identity, listen, peers);
        let (swarm, swarm_news, swarm_task) = swarm::start(swarm_config, stop.clone()).await?;
        parts.spawn(async move { ("swarm", swarm_task.await.map_err(|why| why.to_string())) });
        let held = Arc::new(sync::StoreHeld::new(store.clone()));
        let traffic = Traffic::new();
        let fetcher = Fetcher::new(swarm.stream_control(), swarm.connected(), swarm.bans(), traffic.clone());
        let limits = ServeLimits::default();
        let serving = transfer::serve(swarm.stream_control(), held.clone(), limits, traffic.clone(), stop.clone())?;
        parts.spawn(async move { ("transfer", serving.await.map_err(|why| why.to_string())) });

        let members = Members::new(swarm.clone(), traffic).run(stop.clone())?;
        parts.spawn(async move { ("members", members.await.map_err(|why| why.to_string())) });

        let (bell, news) = mpsc::channel(NEWS);
        if !specs.is_empty() {
            let keeping = databases.clone().keep(stop.clone());
            parts.spawn(async move {
                keeping.await;
                ("checksum databases", Ok(()))
            });
        }
        let intake = Intake::new(store.clone(), databases, Some(bell));
        let publishing = Publishing::new(intake.clone(), tmp.clone(), config.site.path);
        let upstream_text = upstream.as_ref().map(|(_, text)| text.clone());
        let upstream = upstream.map(|(upstream, _)| FromUpstream::new(upstream, tmp));
        let peers = Arc::new(FromPeers::new(fetcher.clone()));
        if config.replicas > 0 {
            let (swarm, peers, intake) = (swarm.clone(), peers.clone(), intake.clone());
            parts.spawn(replicas(Replicas { swarm, peers, intake, floor: config.replicas }, stop.clone()));
        }
        let mirror = mirror(upstream, peers, &intake, config.fresh, config.private, &swarm, &fetcher);
        if upstream_text.is_some() {
            let (control, rules) = (swarm.stream_control(), ServeRules::default());
            let answering = asking::serve(control, Arc::new(mirror.clone()), rules, stop.clone())?;
            parts.spawn(async move { ("seeding", answering.await.map_err(|why| why.to_string())) });
        }
        let syncing =
            Sync { swarm: swarm.clone(), fetcher, held, intake }.run(swarm_news, news, new_states, stop.clone());
        parts.spawn(async move {
            ("catalog", {
                syncing.await;
                Ok(())
            })
        });

        let base = format!("http://{}", reachable(address));
        let goproxy = format!("{base}{}", config.http_prefix);
        let token = files::token(&config.data)?;
        let node = RunningNode {
            data: config.data.clone(),
            goproxy: goproxy.clone(),
            peer_id,
            upstream: upstream_text,
            started: Instant::now(),
            store: store.clone(),
            swarm: swarm.clone(),
            mirror: mirror.clone(),
            publishing,
            stop: stop.clone(),
        };
        let proxy = Proxy::new(mirror, Arc::new(node), &token, &config.http_prefix);
        let serving = proxy.serve(http, stop.clone());
        parts.spawn(async move { ("GOPROXY endpoint", serving.await.map_err(|why| why.to_string())) });
        let (pid, peer) = (std::process::id(), peer_id.to_string());
        let file = NodeFile { pid, http: base, goproxy: goproxy.clone(), peer_id: peer };
        files::announce(&config.data, &file)?;
        tracing::info!(%goproxy, %peer_id, data = %config.data.display(), "node started");
        let swarm_addresses = swarm.listen_addrs().iter().map(ToString::to_string).collect();
        Ok(Self { data: config.data, goproxy, swarm_addresses, store, parts, stop })
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
        let first = self.parts.join_next().await;
        let on_purpose = self.stop.is_cancelled();
        self.stop.cancel();
        files::retract(&self.data);
        let rest = async { while self.parts.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            tracing::info!(after = ?GRACE, "requests still under way are cut");
            self.parts.shutdown().await;
        }
        self.store.close().await?;
        tracing::info!("node stopped");
        match first {
            Some(Ok((_, Ok(())))) if on_purpose => Ok(()),
            Some(Ok((part, ended))) => {
                let why = ended.err().unwrap_or_else(|| "it returned without being told to".into());
                Err(DaemonError::Part { part, why })
            }
            Some(Err(panic)) => Err(DaemonError::Part { part: "task", why: panic.to_string() }),
            None => Ok(()),
        }
    }
}

/// What the swarm is started with. Without discovery on the LAN there is no beacon either.
fn swarm_config(config: &Config, identity: Keypair, listen: Vec<Multiaddr>, peers: Vec<Multiaddr>) -> SwarmConfig {
    let beacon = BeaconConfig { port: BEACON_PORT, site: [0; 8], loopback_only: false };
    let remember = Some(config.data.join(files::PEERS));
    SwarmConfig { identity, listen, peers, mdns: config.mdns, beacon: config.mdns.then_some(beacon), remember }
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

async fn replicas(replicas: Replicas, stop: CancellationToken) -> Part {
    replicas.run(stop).await;
    ("replicas", Ok(()))
}

/// The mirror with all its sources. A node with an upstream asks no seeds: a question goes one step at most.
fn mirror(
    upstream: Option<FromUpstream>,
    peers: Arc<FromPeers>,
    intake: &Intake,
    fresh: Duration,
    private: PrefixPatterns,
    swarm: &SwarmHandle,
    fetcher: &Fetcher,
) -> Mirror {
    let (sources, seeds): (Vec<Arc<dyn Source>>, _) = match upstream {
        Some(upstream) => (vec![peers, Arc::new(upstream)], None),
        None => {
            let asker = Asker::new(swarm, fetcher.clone(), AskRules::default());
            let seeds = Arc::new(FromSeeds::new(asker, fetcher.clone(), peers.clone()));
            (vec![peers, seeds.clone()], Some(seeds))
        }
    };
    Mirror::new(MirrorOptions { intake: intake.clone(), sources, seeds, fresh, private })
}

fn addresses(option: &'static str, texts: &[String]) -> Result<Vec<Multiaddr>, DaemonError> {
    let parse = |text: &String| text.parse().map_err(|_| DaemonError::Address { option, value: text.clone() });
    texts.iter().map(parse).collect()
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

/// The checksum databases, each once.
fn sumdb_specs(texts: &[String]) -> Result<Vec<SumdbSpec>, DaemonError> {
    let mut specs: Vec<SumdbSpec> = Vec::new();
    for text in texts {
        let spec = SumdbSpec::parse(text)?;
        if specs.iter().any(|other| other.name() == spec.name()) {
            return Err(DaemonError::Twice(spec.name().into()));
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// The upstream client, and its list as text without passwords; nothing for a list that says `off`.
fn upstream(choice: &UpstreamChoice, specs: &[SumdbSpec]) -> Result<Option<(Arc<Upstream>, String)>, DaemonError> {
    let list = match choice {
        UpstreamChoice::List(list) => ProxyList::parse(list)?,
        UpstreamChoice::GoEnv => {
            let told = ProxyList::from_go_env(&go_env()?)?;
            if told.dropped_direct {
                tracing::info!("`direct` in GOPROXY is left out: modswarm fetches from module proxies only");
            }
            told.list
        }
    };
    if list.is_off() {
        tracing::info!("the upstream list says `off`: this node has only its peers");
        return Ok(None);
    }
    for proxy in list.plain_http() {
        tracing::warn!(%proxy, "an upstream without TLS: whoever is on the line sees what this site fetches");
    }
    let text = list.to_string();
    let mut options = UpstreamOptions::new(list);
    for spec in specs {
        if let Some(url) = spec.url() {
            options.sumdb_urls.insert(spec.name().into(), ProxyUrl::parse(url)?);
        }
    }
    Ok(Some((Arc::new(Upstream::new(options)?), text)))
}

fn go_env() -> Result<String, DaemonError> {
    let run = std::process::Command::new("go").args(["env", "GOPROXY"]).current_dir(Path::new("/")).output();
    let output = run.map_err(|error| DaemonError::GoEnv(error.to_string()))?;
    if !output.status.success() {
        return Err(DaemonError::GoEnv(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(DaemonError::Part { part: "start", why: panic.to_string() }))
}
