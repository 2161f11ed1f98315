//! One HTTP request: who may ask, how its answer begins, and how a body is read without ever hanging or swelling.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::UpstreamOptions;
use super::answer::error_text;
use super::error::{About, UpstreamError, Why};
use super::list::is_loopback;
use super::retry::Trouble;
use super::time::retry_after;

/// The most redirects of one request, as in the go command.
const MAX_REDIRECTS: usize = 10;
/// The most bytes that are read of what comes with an error status: 8 lines are shown of it.
const MAX_ERROR_TEXT: usize = 8 << 10;
/// What this client calls itself.
const USER_AGENT: &str = concat!("modswarm/", env!("CARGO_PKG_VERSION"));

/// The HTTP side of an upstream.
pub(super) struct Http {
    /// Honours `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
    client: Client,
    /// For loopback addresses, which never go through a proxy (as in Go's `ProxyFromEnvironment`).
    loopback: Client,
    gates: Gates,
    pub(super) options: UpstreamOptions,
}

/// The right to have one request under way.
pub(super) struct Permit {
    _host: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

/// Sets up TLS for this process: reqwest takes the process's provider, and comes without one of its own, since the one that it
/// would bring needs more than a C compiler to build. When another part of the program set one before, that one is as good.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Http {
    pub(super) fn new(options: UpstreamOptions) -> Result<Self, UpstreamError> {
        install_crypto();
        let build = |direct: bool| {
            let builder = Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(options.connect_timeout)
                .pool_max_idle_per_host(options.requests_per_host)
                .redirect(redirect::Policy::custom(follow))
                .retry(reqwest::retry::never());
            let builder = if direct { builder.no_proxy() } else { builder };
            builder.build().map_err(|error| UpstreamError::Client(root_cause(error)))
        };
        let gates = Gates::new(options.requests, options.requests_per_host);
        Ok(Self { client: build(false)?, loopback: build(true)?, gates, options })
    }

    /// Waits for a turn; the first to come is the first to go.
    pub(super) async fn permit(&self, url: &Url) -> Permit {
        self.gates.enter(url).await
    }

    /// Sends a GET and judges how the answer begins. `Ok` is 200, or 206 or 416 where a range was asked for.
    pub(super) async fn open(
        &self,
        about: About<'_>,
        url: &Url,
        range: &[(HeaderName, String)],
    ) -> Result<Response, Trouble> {
        let client = if is_loopback(url) { &self.loopback } else { &self.client };
        let mut request = client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in range {
            request = request.header(name, value);
        }
        let wait = self.options.answer_timeout;
        let response = match timeout(wait, request.send()).await {
            Err(_) => return Err(Trouble::again(Why::Silent(wait))),
            Ok(Err(error)) if error.is_redirect() => return Err(about.bad(root_cause(error)).into()),
            Ok(Err(error)) => return Err(Trouble::again(Why::Unreachable(root_cause(error)))),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        let whole = status == StatusCode::OK;
        let ranged = matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE);
        if !(whole || ranged && !range.is_empty()) {
            return Err(self.judge(about, response).await);
        }
        match text_header(response.headers(), &header::CONTENT_ENCODING) {
            None | Some("" | "identity") => Ok(response),
            Some(_) => Err(about.bad("it is compressed, although that was not asked for").into()),
        }
    }

    /// What a status other than success means.
    async fn judge(&self, about: About<'_>, response: Response) -> Trouble {
        let status = response.status();
        let after = text_header(response.headers(), &header::RETRY_AFTER)
            .and_then(|value| retry_after(value, SystemTime::now()));
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => about.not_found(self.error_text(response).await).into(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Trouble::Again { why: Why::Status(status.as_u16()), after }
            }
            _ if status.is_server_error() => Trouble::Again { why: Why::Status(status.as_u16()), after },
            _ => about.refused(status.as_u16(), self.error_text(response).await).into(),
        }
    }

    /// What a server wrote with an error; empty when that is not plain text or cannot be read.
    async fn error_text(&self, response: Response) -> String {
        let plain = text_header(response.headers(), &header::CONTENT_TYPE)
            .is_none_or(|kind| kind.trim_start().starts_with("text/plain"));
        if !plain {
            return String::new();
        }
        let mut body = Body::new(response, &self.options);
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = body.chunk().await {
            text.extend_from_slice(&chunk);
            if text.len() >= MAX_ERROR_TEXT {
                break;
            }
        }
        error_text(&text)
    }

    /// One attempt at a small answer: at most `limit` bytes, in memory.
    pub(super) async fn small(&self, about: About<'_>, url: &Url, limit: u64) -> Result<Bytes, Trouble> {
        let _permit = self.permit(url).await;
        let response = self.open(about, url, &[]).await?;
        let claimed = content_length(response.headers());
        if claimed.is_some_and(|len| len > limit) {
            return Err(about.too_large(limit).into());
        }
        let mut body = Body::new(response, &self.options);
        // Nothing is reserved for what is only claimed.
        let mut bytes = Vec::new();
        while let Some(chunk) = body.chunk().await.map_err(Trouble::again)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(about.too_large(limit).into());
            }
        }
        Ok(bytes.into())
    }
}

/// A body under a watchdog: it must bring [`UpstreamOptions::progress_bytes`] in each
/// [`UpstreamOptions::progress_timeout`], so neither a stalled nor a dripping server holds a permit for ever.
pub(super) struct Body {
    response: Response,
    patience: Duration,
    enough: u64,
    deadline: Instant,
    since: u64,
    got: u64,
}

impl Body {
    pub(super) fn new(response: Response, options: &UpstreamOptions) -> Self {
        let patience = options.progress_timeout;
        let enough = options.progress_bytes.max(1);
        Self { response, patience, enough, deadline: Instant::now() + patience, since: 0, got: 0 }
    }

    /// The next bytes, `None` at the end. A body that ends before its Content-Length is [`Why::Cut`].
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Why> {
        match timeout_at(self.deadline, self.response.chunk()).await {
            Err(_) => Err(Why::Silent(self.patience)),
            Ok(Err(_)) => Err(Why::Cut { got: self.got }),
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(chunk))) => {
                self.got += chunk.len() as u64;
                self.since += chunk.len() as u64;
                if self.since >= self.enough {
                    self.since = 0;
                    self.deadline = Instant::now() + self.patience;
                }
                Ok(Some(chunk))
            }
        }
    }

    /// The reader spent time of its own (on a slow disk): it is not held against the server.
    pub(super) fn forgive(&mut self, spent: Duration) {
        self.deadline += spent;
    }
}

/// Fair limits: requests in all, and per host.
struct Gates {
    total: Arc<Semaphore>,
    per_host: usize,
    /// Weak, so that a host costs memory only while someone asks it: a redirect or a database name cannot fill it.
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Gates {
    fn new(total: usize, per_host: usize) -> Self {
        let total = Arc::new(Semaphore::new(total.clamp(1, Semaphore::MAX_PERMITS)));
        Self { total, per_host: per_host.clamp(1, Semaphore::MAX_PERMITS), hosts: Mutex::default() }
    }

    /// The host's turn first: who waits for a busy host must not hold a place that another host's request could use.
    async fn enter(&self, url: &Url) -> Permit {
        // `acquire_owned` fails only for a closed semaphore, and these are never closed.
        let host = self.host(url).acquire_owned().await.ok();
        let total = Arc::clone(&self.total).acquire_owned().await.ok();
        Permit { _host: host, _total: total }
    }

    fn host(&self, url: &Url) -> Arc<Semaphore> {
        let name =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = hosts.get(&name).and_then(Weak::upgrade) {
            return gate;
        }
        hosts.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Semaphore::new(self.per_host));
        hosts.insert(name, Arc::downgrade(&gate));
        gate
    }
}

/// Redirects are followed like the go command does, but never from https to http, and never from elsewhere to a service
/// on this machine.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("it redirects in circles");
    }
    let Some(from) = attempt.previous().last() else { return attempt.follow() };
    if from.scheme() == "https" && attempt.url().scheme() != "https" {
        return attempt.error("it redirects from https to plain http");
    }
    if is_loopback(attempt.url()) && !is_loopback(from) {
        return attempt.error("it redirects to a loopback address of this machine");
    }
    attempt.follow()
}

/// A header as text; `None` where it is absent or is not text.
pub(super) fn text_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The length of the body as claimed.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    text_header(headers, &header::CONTENT_LENGTH)?.trim().parse().ok()
}

/// The innermost reason of an error, without the URL (which may hold credentials).
fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let mut text = cause.to_string();
    if error.source().is_none() {
        text = error.to_string();
    }
    error_text(text.as_bytes()).replace('\n', " ")
}
