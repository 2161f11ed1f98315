//! The HTTP face of a node: the GOPROXY protocol, and the admin API under `/-/`.
//!
//! Thin on purpose: parse the request (`domain::request`), ask the mirror, translate the outcome by one table
//! (`respond`). Nothing in here fetches, stores or decides what is true.

pub mod admin;
mod publish;
pub mod range;
mod respond;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
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
}

impl Proxy {
    /// `token` is what state-changing admin calls must carry.
    #[must_use]
    pub fn new(mirror: Mirror, node: Arc<dyn Node>, token: &str) -> Self {
        Self { mirror, node, token: token.into() }
    }

    /// Serves on `listener` until `stop`; then requests under way may finish.
    ///
    /// # Errors
    /// When accepting connections fails for good.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        let router: Router = Router::new().nest("/-", admin::routes()).fallback(goproxy).with_state(self);
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await
    }
}

async fn goproxy(State(proxy): State<Proxy>, request: Request) -> Response {
    let (method, headers) = (request.method().clone(), request.headers());
    if method != Method::GET && method != Method::HEAD {
        return respond::not_allowed();
    }
    let outcome = proxy.outcome(request.uri(), headers).await;
    if let Outcome::Unavailable { reason } = &outcome {
        tracing::warn!(path = request.uri().path(), reason, "cannot answer now");
    }
    respond::respond(outcome, method == Method::HEAD, headers)
}

impl Proxy {
    async fn outcome(&self, uri: &Uri, headers: &HeaderMap) -> Outcome {
        let (path, reach) = match uri.path().strip_prefix(CACHED_ONLY) {
            Some(path) if path.starts_with('/') => (path, Reach::StoreOnly),
            _ => (uri.path(), reach_of(headers)),
        };
        match request::parse(path) {
            Ok(request) => self.mirror.answer(request, reach).await,
            Err(why) => Outcome::Miss { reason: why.reason },
        }
    }
}

fn reach_of(headers: &HeaderMap) -> Reach {
    let no_fetch =
        headers.get("disable-module-fetch").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if no_fetch { Reach::StoreOnly } else { Reach::All }
}
