//! Nodes for integration tests: real ones, in this process, on free ports of the loopback interface.

use std::path::{Path, PathBuf};
use std::time::Duration;

use modswarm::admin::{NODE_FILE, NodeFile, STATUS_PATH, Status};
use modswarm::config::{Config, SITE_FILE, SiteFile, UpstreamChoice};
use modswarm::daemon::Daemon;
use modswarm::domain::pattern::PrefixPatterns;
use modswarm::domain::site::{ClosedSite, Publishers, Site};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A watchdog for waits that end by an event: long, because the machine may be busy, and never reached when all is well.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// A running node with a data directory of its own.
pub struct TestNode {
    /// What to set GOPROXY to.
    pub goproxy: String,
    /// What `--peer` of another node takes.
    pub peer_address: String,
    dir: TempDir,
    stop: CancellationToken,
    run: JoinHandle<()>,
}

/// What to start a node with.
#[derive(Default)]
pub struct NodeOptions {
    /// GOPROXY list of the upstream.
    pub upstream: Option<String>,
    /// Peers to connect to.
    pub peers: Vec<String>,
    /// How many nodes are to hold each version; none by themselves unless told otherwise.
    pub replicas: usize,
    /// Checksum databases to demand proofs of, as `--sumdb` takes them.
    pub sumdb: Vec<String>,
    /// Who publishes what.
    pub publishers: Publishers,
    /// The site that it belongs to, if that is a closed one.
    pub closed: Option<ClosedSite>,
    /// Patterns of private modules.
    pub private: PrefixPatterns,
    /// What GOPROXY paths are below; empty for none.
    pub prefix: String,
    /// How old a mutable answer may be; a minute unless told otherwise.
    pub fresh: Option<Duration>,
}

impl NodeOptions {
    /// A seed with this upstream.
    pub fn seed(upstream: &str) -> Self {
        Self { upstream: Some(upstream.into()), ..Self::default() }
    }

    /// A node that has only peers.
    pub fn peer_of(nodes: &[&TestNode]) -> Self {
        Self { peers: nodes.iter().map(|node| node.peer_address.clone()).collect(), ..Self::default() }
    }

    /// The same with another age that a mutable answer may have.
    pub fn fresh(self, fresh: Duration) -> Self {
        Self { fresh: Some(fresh), ..self }
    }

    /// The same with a checksum database.
    pub fn proving(self, sumdb: &str) -> Self {
        Self { sumdb: vec![sumdb.into()], ..self }
    }
}

impl TestNode {
    /// Starts a node in a new directory.
    pub async fn start(options: NodeOptions) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), options).await
    }

    /// Starts a node in a directory that may hold the data of an earlier one.
    pub async fn start_in(dir: TempDir, options: NodeOptions) -> Self {
        let config = config(dir.path(), &options);
        let stop = CancellationToken::new();
        let daemon = Daemon::start(config, stop.clone()).await.unwrap();
        let goproxy = daemon.goproxy().to_owned();
        let peer_address = daemon.swarm_addresses().first().cloned().unwrap();
        let run = tokio::spawn(async move { daemon.run().await.unwrap() });
        Self { goproxy, peer_address, dir, stop, run }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Stops it in order and gives its directory back.
    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        tokio::time::timeout(WATCHDOG, self.run).await.unwrap().unwrap();
        self.dir
    }

    /// GET of a path below the GOPROXY base.
    pub async fn get(&self, path: &str) -> Got {
        get(&format!("{}{path}", self.goproxy)).await
    }

    /// Where it says how to reach it.
    pub fn node_file(&self) -> NodeFile {
        node_file(self.dir.path())
    }

    /// Its status.
    pub async fn status(&self) -> Status {
        status(&self.node_file()).await
    }

    /// Waits until it has `peers` connected peers and knows `versions` module versions.
    pub async fn wait_for(&self, peers: usize, versions: u64) {
        self.wait_until(|status| status.peers.len() >= peers && status.store.versions >= versions).await;
    }

    /// Waits until it has `peers` peers that have introduced themselves: then it knows which of them are seeds.
    pub async fn wait_for_introductions(&self, peers: usize) {
        self.wait_until(|status| status.peers.iter().filter(|peer| peer.agent.is_some()).count() >= peers).await;
    }

    /// Waits until its status is as wanted.
    pub async fn wait_until(&self, wanted: impl Fn(&Status) -> bool) {
        let ready = async {
            while !wanted(&self.status().await) {
                // The status is asked again and again: there is no event to wait for from outside.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WATCHDOG, ready).await.expect("the node never got there");
    }
}

/// What the node with this data directory says of how to reach it.
pub fn node_file(data: &Path) -> NodeFile {
    serde_json::from_slice(&std::fs::read(data.join(NODE_FILE)).unwrap()).unwrap()
}

/// What a node says of itself.
pub async fn status(node: &NodeFile) -> Status {
    serde_json::from_slice(&get(&format!("{}{STATUS_PATH}", node.http)).await.body).unwrap()
}

/// The configuration that tests run with.
pub fn config(data: &Path, options: &NodeOptions) -> Config {
    Config {
        data: data.to_owned(),
        http: "127.0.0.1:0".parse().unwrap(),
        http_prefix: options.prefix.clone(),
        swarm: vec!["/ip4/127.0.0.1/tcp/0".into()],
        peers: options.peers.clone(),
        upstream: options.upstream.clone().map(UpstreamChoice::List),
        fresh: options.fresh.unwrap_or(Duration::from_secs(60)),
        replicas: options.replicas,
        mdns: false,
        office: None,
        sumdb: options.sumdb.clone(),
        site: SiteFile {
            path: data.join(SITE_FILE),
            site: Site { publishers: options.publishers.clone(), closed: options.closed.clone() },
        },
        private: options.private.clone(),
    }
}

/// What came back.
#[derive(Debug)]
pub struct Got {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The whole body.
    pub body: bytes::Bytes,
}

impl Got {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET of a URL, without any proxy between.
pub async fn get(url: &str) -> Got {
    modswarm::upstream::install_crypto();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).send().await.unwrap();
    Got {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await.unwrap(),
    }
}
