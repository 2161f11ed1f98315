//! The client of upstream module proxies: what a seed fetches from.
//!
//! It speaks the GOPROXY protocol (go.dev/ref/mod#goproxy-protocol) to a [`ProxyList`] and gives back bytes that are
//! well-formed but **unproven**: an upstream is as little trusted as a peer, and proof is the business of others.
//!
//! What holds:
//! * *Miss, failure and forgery are different.* [`UpstreamError::NotFound`] means that every proxy that was to be asked
//!   said 404 or 410. A time-out, 5xx, 429 or a cut body is [`UpstreamError::Failed`], whatever another proxy said:
//!   a failure that looked like a miss would send a `go` command with `,direct` to the internet with a private path.
//! * *Only what may pass is asked again:* time-outs, lost connections, 408, 429, 5xx and cut bodies, with exponential
//!   back-off and full jitter, and `Retry-After` as its floor. Never 404 or another 4xx, never a lie.
//! * *Nothing waits for ever and nothing swells:* each request has a deadline for its connection, for the start of its
//!   answer and for progress (none on the whole, since zips are large), each body a limit that holds while it is read.
//! * *Few requests at a time,* in all and per host, in the order in which they came.
//! * *No credentials* in any message, `Debug` or log line. `HTTPS_PROXY` and its relatives are honoured, but never for
//!   loopback addresses.
//!
//! Not done here: caching, single flight, choosing `@latest` from a list, proof, and fetching from version control.

mod answer;
mod download;
mod error;
mod http;
mod list;
mod options;
mod request;
mod retry;
mod sumdb;
mod time;
mod tree;

use std::fmt;
use std::path::Path;

use bytes::Bytes;

use crate::domain::module::{ModulePath, ModuleVersion, Version, escape};

use self::error::About;
use self::http::Http;
use self::list::Base;
use self::request::{Resource, Walk, is_query};

pub use self::answer::Info;
pub use self::download::ZipFile;
pub use self::error::{UpstreamError, Why};
pub use self::http::install_crypto;
pub use self::list::{BadProxyList, FromGoEnv, MAX_PROXIES, ProxyList, ProxyUrl};
pub use self::options::{
    ANSWER_TIMEOUT, BACKOFF_BASE, BACKOFF_CAP, CONNECT_TIMEOUT, MAX_LIST, MAX_RETRY_AFTER, MAX_SUMDB, PROGRESS_BYTES,
    PROGRESS_TIMEOUT, REQUESTS, REQUESTS_PER_HOST, RETRIES, UpstreamOptions,
};
pub use self::retry::Backoff;
pub use self::sumdb::DECISION_KEPT;

/// The client. Cheap to share behind an `Arc`; a request that is dropped stops.
pub struct Upstream {
    http: Http,
    ways: sumdb::Ways,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("list", &self.http.options.list).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Builds the client; nothing is sent yet. Installs rustls's ring provider for the process when none is set.
    ///
    /// # Errors
    /// [`UpstreamError::Client`] when this machine's certificates or proxy variables make it impossible.
    pub fn new(options: UpstreamOptions) -> Result<Self, UpstreamError> {
        Ok(Self { http: Http::new(options)?, ways: sumdb::Ways::default() })
    }

    /// The proxies that are asked.
    #[must_use]
    pub fn proxies(&self) -> &ProxyList {
        &self.http.options.list
    }

    /// `@v/list`: the canonical versions in the proxy's order, not sorted, perhaps none. Other lines are passed over.
    ///
    /// # Errors
    /// [`UpstreamError`]; an HTML page is [`UpstreamError::BadAnswer`], not an empty list.
    pub async fn list(&self, path: &ModulePath) -> Result<Vec<Version>, UpstreamError> {
        let resource = Resource::new(path, "@v/list", format!("the version list of {path}"));
        self.small(&resource, self.http.options.max_list, |bytes| answer::list(path, &bytes)).await
    }

    /// `@latest`. Optional in the protocol: after [`UpstreamError::NotFound`] the caller chooses from the list.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn latest(&self, path: &ModulePath) -> Result<Info, UpstreamError> {
        let resource = Resource::new(path, "@latest", format!("the latest version of {path}"));
        self.small(&resource, self.http.options.max_info, |bytes| answer::info(path, None, bytes)).await
    }

    /// `@v/QUERY.info` for a canonical version, a branch, a commit or a version prefix.
    ///
    /// # Errors
    /// [`UpstreamError`]; a query that no request can carry (with a slash, for one) is [`UpstreamError::NotFound`], an
    /// answer about another version than the canonical one that was asked for is [`UpstreamError::BadAnswer`].
    pub async fn info(&self, path: &ModulePath, query: &str) -> Result<Info, UpstreamError> {
        let what = format!("the info of {path}@{query}");
        if !is_query(query) {
            return Err(UpstreamError::NotFound { what, text: "a proxy cannot be asked for such a version".into() });
        }
        let resource = Resource::new(path, &format!("@v/{}.info", escape(query)), what);
        self.small(&resource, self.http.options.max_info, |bytes| answer::info(path, Some(query), bytes)).await
    }

    /// `@v/VERSION.mod`, byte for byte.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn go_mod(&self, module: &ModuleVersion) -> Result<Bytes, UpstreamError> {
        let resource = Resource::of(module, "mod", "go.mod");
        let check = |bytes: Bytes| {
            let page = answer::looks_like_html(&bytes);
            if page { Err("it is an HTML page instead of a go.mod".into()) } else { Ok(bytes) }
        };
        self.small(&resource, self.http.options.max_go_mod, check).await
    }

    /// `@v/VERSION.zip`, streamed to an unnamed temporary file in `dir`, continued where a body breaks off.
    ///
    /// # Errors
    /// [`UpstreamError`]; [`UpstreamError::Local`] is about `dir` and ends the walk through the list.
    pub async fn zip(&self, module: &ModuleVersion, dir: &Path) -> Result<ZipFile, UpstreamError> {
        let resource = Resource::of(module, "zip", "zip");
        let mut walk = Walk::new(&self.http.options.list);
        while let Some(entry) = walk.next() {
            match self.zip_from(&entry.proxy, &resource, dir).await {
                Ok(zip) => return Ok(zip),
                Err(error) => walk.failed(error)?,
            }
        }
        Err(walk.verdict())
    }

    /// A small answer from the first proxy of the list that has one which passes `check`.
    async fn small<T>(
        &self,
        resource: &Resource,
        limit: u64,
        check: impl Fn(Bytes) -> Result<T, String>,
    ) -> Result<T, UpstreamError> {
        let mut walk = Walk::new(&self.http.options.list);
        while let Some(entry) = walk.next() {
            let upstream = entry.proxy.to_string();
            let about = About { what: &resource.what, upstream: &upstream };
            let answer = self.small_from(&entry.proxy, resource, limit).await;
            match answer.and_then(|bytes| check(bytes).map_err(|why| about.bad(why))) {
                Ok(value) => return Ok(value),
                Err(error) => walk.failed(error)?,
            }
        }
        Err(walk.verdict())
    }

    /// A small answer from one proxy, with retries.
    async fn small_from(&self, proxy: &ProxyUrl, resource: &Resource, limit: u64) -> Result<Bytes, UpstreamError> {
        let upstream = proxy.to_string();
        let about = About { what: &resource.what, upstream: &upstream };
        let url = match &proxy.base {
            Base::Http(base) => resource.url(base),
            Base::Tree(root) => {
                let file = resource.file(root);
                let (what, upstream) = (resource.what.clone(), upstream.clone());
                return blocking(about, move || tree::small(About { what: &what, upstream: &upstream }, &file, limit))
                    .await;
            }
        };
        let mut tries = self.http.options.tries();
        loop {
            match self.http.small(about, &url, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(trouble) => download::wait(&mut tries, about, trouble).await?,
            }
        }
    }

    async fn zip_from(&self, proxy: &ProxyUrl, resource: &Resource, dir: &Path) -> Result<ZipFile, UpstreamError> {
        let limit = self.http.options.max_zip;
        let upstream = proxy.to_string();
        let about = About { what: &resource.what, upstream: &upstream };
        match &proxy.base {
            Base::Http(base) => download::zip(&self.http, about, &resource.url(base), dir, limit).await,
            Base::Tree(root) => {
                let (file, dir) = (resource.file(root), dir.to_owned());
                let (what, upstream) = (resource.what.clone(), upstream.clone());
                let copy = move || tree::zip(About { what: &what, upstream: &upstream }, &file, &dir, limit);
                blocking(about, copy).await
            }
        }
    }
}

/// Runs what waits for a disk on the threads for that.
async fn blocking<T: Send + 'static>(
    about: About<'_>,
    work: impl FnOnce() -> Result<T, UpstreamError> + Send + 'static,
) -> Result<T, UpstreamError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(about.failed(1, Why::Unreachable("this node is stopping".into()))),
    }
}
