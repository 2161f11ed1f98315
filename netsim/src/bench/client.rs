//! A plain HTTP client of a node, as fast or as slow as is wanted.

use std::time::{Duration, Instant};

use modswarm::admin::{STATUS_PATH, Status};
use reqwest::Client;

use super::Failure;

/// Between two looks at a node's status.
const POLL: Duration = Duration::from_millis(10);
/// Waits longer than this are given up.
const WATCHDOG: Duration = Duration::from_secs(120);

/// A client of nodes on this machine.
#[derive(Clone)]
pub(crate) struct Http(Client);

/// How long an answer took, from the request on.
pub(crate) struct Timing {
    /// The last byte.
    pub(crate) end: Duration,
    /// How many bytes.
    pub(crate) bytes: u64,
}

impl Http {
    pub(crate) fn new() -> Result<Self, Failure> {
        modswarm::upstream::install_crypto();
        Ok(Self(Client::builder().no_proxy().build()?))
    }

    /// Asks for the head only: the node fetches what it does not hold, and nothing is read from it.
    pub(crate) async fn head(&self, url: &str) -> Result<Duration, Failure> {
        let begin = Instant::now();
        let response = self.0.head(url).send().await?;
        let took = begin.elapsed();
        response.error_for_status()?;
        Ok(took)
    }

    /// Reads an answer to its end, at most `limit` bytes per second, and throws it away.
    pub(crate) async fn get(&self, url: &str, limit: Option<u64>) -> Result<Timing, Failure> {
        let begin = Instant::now();
        let mut response = self.0.get(url).send().await?.error_for_status()?;
        let (head, mut bytes) = (begin.elapsed(), 0);
        while let Some(part) = response.chunk().await? {
            bytes += part.len() as u64;
            if let Some(limit) = limit {
                let due = Duration::from_micros(bytes * 1_000_000 / limit);
                tokio::time::sleep_until((begin + head + due).into()).await;
            }
        }
        Ok(Timing { end: begin.elapsed(), bytes })
    }

    /// Reads an answer to its end and names its bytes.
    pub(crate) async fn hash(&self, url: &str) -> Result<blake3::Hash, Failure> {
        let mut response = self.0.get(url).send().await?.error_for_status()?;
        let mut hash = blake3::Hasher::new();
        while let Some(part) = response.chunk().await? {
            hash.update(&part);
        }
        Ok(hash.finalize())
    }

    pub(crate) async fn status(&self, goproxy: &str) -> Result<Status, Failure> {
        let text = self.0.get(format!("{goproxy}{STATUS_PATH}")).send().await?.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Waits until the status of a node is as it should be; how long that took.
    pub(crate) async fn wait(&self, goproxy: &str, is: impl Fn(&Status) -> bool) -> Result<Duration, Failure> {
        let begin = Instant::now();
        while !is(&self.status(goproxy).await?) {
            if begin.elapsed() > WATCHDOG {
                return Err("a node did not get where it should be".into());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(begin.elapsed())
    }
}
