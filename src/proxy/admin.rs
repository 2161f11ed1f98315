//! The admin API over HTTP (its data: [`crate::admin`]). Reading is open to this machine's users; changing needs the token.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures::future::BoxFuture;
use futures::stream;
use tokio::sync::mpsc;

use super::Proxy;
use super::publish::publish;
use crate::admin::{
    DOCTOR_PATH, Doctor, MAX_BODY, PUBLISH_PATH, PublishAnswer, PublishRequest, SEED_PATH, STATUS_PATH, SeedEvent,
    SeedRequest, Status, TOKEN_HEADER,
};
use crate::mirror::Upload;
use crate::mirror::source::SourceError;

/// What the admin API needs of the node that it is part of.
pub trait Node: Send + Sync + 'static {
    /// How the node is.
    fn status(&self) -> BoxFuture<'_, Status>;

    /// What the node knows of the network and of its peers.
    fn doctor(&self) -> BoxFuture<'_, Doctor>;

    /// Starts a seed run; it goes on when the receiver is dropped.
    ///
    /// # Errors
    /// [`CannotSeed`] when the run cannot be started.
    fn seed(&self, request: SeedRequest) -> Result<mpsc::Receiver<SeedEvent>, CannotSeed>;

    /// Publishes a module version into the site.
    ///
    /// # Errors
    /// As [`Publishing::publish`](crate::mirror::Publishing::publish).
    fn publish(&self, request: PublishRequest, zip: Upload) -> BoxFuture<'_, Result<PublishAnswer, SourceError>>;
}

/// Why a seed run cannot be started: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum CannotSeed {
    /// The node is no seed.
    #[error("this node has no upstream to seed from: start it with --upstream URL-LIST or --upstream go-env")]
    NoUpstream,
    /// A file or a query in the request cannot be read, or two contradict each other.
    #[error("{0}")]
    Unreadable(String),
}

pub(super) fn routes() -> Router<Proxy> {
    let below = |path: &'static str| path.strip_prefix("/-").unwrap_or(path);
    Router::new()
        .route(below(STATUS_PATH), get(status))
        .route(below(DOCTOR_PATH), get(doctor))
        .route(below(SEED_PATH), post(seed))
        .route(below(PUBLISH_PATH), post(publish))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn status(State(proxy): State<Proxy>) -> Response {
    Json(proxy.node.status().await).into_response()
}

async fn doctor(State(proxy): State<Proxy>) -> Response {
    Json(proxy.node.doctor().await).into_response()
}

async fn seed(
    State(proxy): State<Proxy>,
    headers: HeaderMap,
    request: Result<Json<SeedRequest>, JsonRejection>,
) -> Response {
    if let Some(refused) = proxy.lacks_token(&headers) {
        return refused;
    }
    let request = match request {
        Ok(Json(request)) => request,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why.body_text()),
    };
    match proxy.node.seed(request) {
        Ok(events) => {
            let lines = stream::unfold(events, |mut events| async move {
                let event = events.recv().await?;
                let line = serde_json::to_string(&event).map(|line| line + "\n").map_err(std::io::Error::other);
                Some((line, events))
            });
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
        }
        Err(why) => {
            let status = match why {
                CannotSeed::NoUpstream => StatusCode::CONFLICT,
                CannotSeed::Unreadable(_) => StatusCode::BAD_REQUEST,
            };
            refuse(status, &why.to_string())
        }
    }
}

pub(super) fn refuse(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

impl Proxy {
    /// The answer to a call without the token. Hashes of the tokens are compared, so that the time it takes says
    /// nothing about the token.
    pub(super) fn lacks_token(&self, headers: &HeaderMap) -> Option<Response> {
        let given = headers.get(TOKEN_HEADER).map_or(&b""[..], |value| value.as_bytes());
        let knows = blake3::hash(given) == blake3::hash(self.token.as_bytes());
        let needs = || refuse(StatusCode::FORBIDDEN, "this call needs the token from the node's data directory");
        (!knows).then(needs)
    }
}
