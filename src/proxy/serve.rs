//! Connections: HTTP/1.1, straight on hyper.
//!
//! The router is for the admin API. What the go command asks goes past it: there is nothing to route, and finding that out
//! took longer than an answer out of memory takes.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Proxy, admin, fallback, goproxy};

/// What paths of the admin API begin with.
const ADMIN: &str = "/-";

/// What answers on every connection.
struct Endpoint {
    proxy: Proxy,
    admin: Router,
}

impl Endpoint {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if request.uri().path().starts_with(ADMIN) {
            return TowerToHyperService::new(self.admin.clone()).call(request.map(Body::new)).await;
        }
        Ok(goproxy(&self.proxy, request.method(), request.uri(), request.headers()).await)
    }
}

/// Serves on `listener` until `stop`; then requests under way may finish.
///
/// # Errors
/// When accepting connections fails for good.
pub(super) async fn serve(proxy: Proxy, mut listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
    let admin = Router::new().nest(ADMIN, admin::routes()).fallback(fallback).with_state(proxy.clone());
    let endpoint = Arc::new(Endpoint { proxy, admin });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Waits when the process has no more file handles, and goes on.
            (stream, _) = Listener::accept(&mut listener) => {
                connections.spawn(connection(stream, Arc::clone(&endpoint), stop.clone()));
            }
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn connection(stream: TcpStream, endpoint: Arc<Endpoint>, stop: CancellationToken) {
    // A client that waits for the end of a zip is not to wait for the network's timers as well.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.answer(request).await }
    });
    let mut serving = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A client that breaks off in the middle is nobody's concern here.
        _ = serving.as_mut() => return,
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
