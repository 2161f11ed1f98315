//! The HTTP face of a node: the GOPROXY protocol, and the admin API under `/-/`.
//!
//! Thin on purpose: parse the request (`domain::request`), ask the mirror, translate the outcome by one table
//! (`respond`). Nothing in here fetches, stores or decides what is true.

pub mod admin;
mod publish;
pub mod range;
mod respond;
mod serve;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::domain::request;
use crate::mirror::outcome::Outcome;
use crate::mirror::{Mirror, Reach};
use admin::Node;

/// Prefix under which only this node's store answers (as at the public module mirror; GOPROXY.md, fact 27).
const CACHED_ONLY: &str = "/cached-only";

/// What the handlers share.
#[derive(Clone)]
pub struct Proxy {
    mirror: Mirror,
    node: Arc<dyn Node>,
    token: Arc<str>,
    prefix: Arc<str>,
}

impl Proxy {
    /// `token` is what state-changing admin calls must carry. `prefix` (empty, or as `/mod`) is what GOPROXY paths are below;
    /// the admin API is not.
    #[must_use]
    pub fn new(mirror: Mirror, node: Arc<dyn Node>, token: &str, prefix: &str) -> Self {
        Self { mirror, node, token: token.into(), prefix: prefix.into() }
    }

    /// Serves on `listener` until `stop`; then requests under way may finish.
    ///
    /// # Errors
    /// When accepting connections fails for good.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        serve::serve(self, listener, stop).await
    }
}

/// What the router has no route for.
async fn fallback(State(proxy): State<Proxy>, request: Request) -> Response {
    goproxy(&proxy, request.method(), request.uri(), request.headers()).await
}

async fn goproxy(proxy: &Proxy, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return respond::not_allowed();
    }
    let outcome = proxy.outcome(uri, headers).await;
    if let Outcome::Unavailable { reason } = &outcome {
        tracing::warn!(path = uri.path(), reason, "cannot answer now");
    }
    respond::respond(outcome, method == Method::HEAD, headers)
}

impl Proxy {
    async fn outcome(&self, uri: &Uri, headers: &HeaderMap) -> Outcome {
        let Some(path) = below(uri.path(), &self.prefix) else {
            return Outcome::Miss { reason: format!("the GOPROXY of this node is below {}", self.prefix) };
        };
        let (path, reach) = match below(path, CACHED_ONLY) {
            Some(path) => (path, Reach::StoreOnly),
            None => (path, reach_of(headers)),
        };
        match request::parse(path) {
            Ok(request) => self.mirror.answer(request, reach).await,
            Err(why) => Outcome::Miss { reason: why.to_string() },
        }
    }
}

/// The rest of `path` if it lies below `prefix`; it starts with a slash then.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'))
}

fn reach_of(headers: &HeaderMap) -> Reach {
    let no_fetch =
        headers.get("disable-module-fetch").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if no_fetch { Reach::StoreOnly } else { Reach::All }
}
