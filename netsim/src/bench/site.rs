//! A small site of real nodes in processes of their own: a seed that holds one module, and nodes that know it.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::Failure;
use super::client::Http;
use super::fixture::Fixture;
use super::worker::{NodeReady, Running};

/// A node and its data directory.
pub(crate) struct Node {
    running: Running,
    ready: NodeReady,
    _data: TempDir,
}

impl Node {
    /// A node with an upstream, that holds nothing yet.
    pub(crate) async fn seed(dir: &Path, upstream: &str) -> Result<Self, Failure> {
        Self::start(dir, Some(upstream), &[]).await
    }

    /// A node that is connected with `peers` and knows the one module version that they have.
    pub(crate) async fn peer_of(dir: &Path, peers: &[Self], http: &Http) -> Result<Self, Failure> {
        let addresses: Vec<&str> = peers.iter().map(|peer| peer.ready.peer.as_str()).collect();
        let node = Self::start(dir, None, &addresses).await?;
        let knows = |status: &modswarm::admin::Status| status.peers.len() >= peers.len() && status.store.versions > 0;
        http.wait(&node.ready.goproxy, knows).await?;
        Ok(node)
    }

    async fn start(dir: &Path, upstream: Option<&str>, peers: &[&str]) -> Result<Self, Failure> {
        let data = tempfile::Builder::new().prefix("modswarm-bench-").tempdir_in(dir)?;
        let (running, ready) = Running::node(data.path(), upstream, peers, None).await?;
        Ok(Self { running, ready, _data: data })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn goproxy(&self) -> &str {
        &self.ready.goproxy
    }

    pub(crate) fn zip_url(&self, fixture: &Fixture) -> String {
        format!("{}{}", self.ready.goproxy, fixture.zip_path)
    }

    /// Makes it hold the module; how long that took until it was checked and durable.
    pub(crate) async fn obtain(&self, fixture: &Fixture, http: &Http) -> Result<Duration, Failure> {
        http.head(&self.zip_url(fixture)).await
    }

    /// That it serves the zip byte for byte.
    pub(crate) async fn check(&self, fixture: &Fixture, http: &Http) -> Result<(), Failure> {
        if http.hash(&self.zip_url(fixture)).await? == blake3::hash(&fixture.zip) {
            return Ok(());
        }
        Err("a node serves other bytes than it was given".into())
    }

    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.running.stop().await
    }
}
