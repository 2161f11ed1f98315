//! What an upstream client is told, and its bounds: each with its unit and its reason.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::manifest::{MAX_GO_MOD, MAX_INFO, MAX_ZIP};

use super::list::{ProxyList, ProxyUrl};
use super::retry::{Backoff, Tries};

/// Requests under way in all: enough to hide the round trip behind many small go.mod files, few enough for one socket
/// table.
pub const REQUESTS: usize = 32;
/// Requests under way to one host: public proxies start to answer 429 to a single client above some tens.
pub const REQUESTS_PER_HOST: usize = 16;
/// How long a connection with its TLS handshake may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a proxy may take to begin its answer: it may have to clone a repository first.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a body may bring less than [`PROGRESS_BYTES`].
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes in each [`PROGRESS_TIMEOUT`] that count as progress: slower than 136 bytes a second is a dead line, or one
/// who keeps it open on purpose.
pub const PROGRESS_BYTES: u64 = 4 << 10;
/// Attempts after the first one that failed.
pub const RETRIES: u32 = 4;
/// The longest wait before the first retry.
pub const BACKOFF_BASE: Duration = Duration::from_millis(250);
/// The longest wait before any retry.
pub const BACKOFF_CAP: Duration = Duration::from_secs(15);
/// The longest `Retry-After` that is waited for; one who is told to come back later than this gives up at once.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// The most bytes of an `@v/list` answer: 100,000 versions of 40 bytes.
pub const MAX_LIST: u64 = 4 << 20;
/// The most bytes of an answer of the checksum database; a full tile has 8 KiB, a data tile some tens.
pub const MAX_SUMDB: u64 = 1 << 20;
/// What an [`Upstream`](super::Upstream) fetches from, and its limits. [`UpstreamOptions::new`] has the constants of this module.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    /// The proxies.
    pub list: ProxyList,
    /// Where the checksum database of a name is, for names that are not `https://NAME` (the second word of `GOSUMDB`).
    /// These are asked there and never by way of a proxy, also when the list is `off`.
    pub sumdb_urls: BTreeMap<String, ProxyUrl>,
    /// Requests under way in all, at least 1.
    pub requests: usize,
    /// Requests under way to one host, at least 1.
    pub requests_per_host: usize,
    /// How long a connection with its TLS handshake may take.
    pub connect_timeout: Duration,
    /// How long an answer may take to begin, the connection included.
    pub answer_timeout: Duration,
    /// How long a body may bring less than `progress_bytes`.
    pub progress_timeout: Duration,
    /// Bytes that count as progress, at least 1.
    pub progress_bytes: u64,
    /// Attempts after the first one that failed, for each proxy.
    pub retries: u32,
    /// The waits between them.
    pub backoff: Backoff,
    /// The longest `Retry-After` that is waited for.
    pub max_retry_after: Duration,
    /// The most bytes of an `@v/list` answer.
    pub max_list: u64,
    /// The most bytes of an `.info` or `@latest` answer.
    pub max_info: u64,
    /// The most bytes of a go.mod.
    pub max_go_mod: u64,
    /// The most bytes of a zip.
    pub max_zip: u64,
    /// The most bytes of an answer of the checksum database.
    pub max_sumdb: u64,
}

impl UpstreamOptions {
    /// The defaults for a list.
    #[must_use]
    pub fn new(list: ProxyList) -> Self {
        Self {
            list,
            sumdb_urls: BTreeMap::new(),
            requests: REQUESTS,
            requests_per_host: REQUESTS_PER_HOST,
            connect_timeout: CONNECT_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
            progress_timeout: PROGRESS_TIMEOUT,
            progress_bytes: PROGRESS_BYTES,
            retries: RETRIES,
            backoff: Backoff { base: BACKOFF_BASE, cap: BACKOFF_CAP },
            max_retry_after: MAX_RETRY_AFTER,
            max_list: MAX_LIST,
            max_info: MAX_INFO as u64,
            max_go_mod: MAX_GO_MOD,
            max_zip: MAX_ZIP,
            max_sumdb: MAX_SUMDB,
        }
    }

    /// A fresh count of attempts.
    pub(super) fn tries(&self) -> Tries {
        Tries::new(self.retries, self.backoff, self.max_retry_after)
    }
}
