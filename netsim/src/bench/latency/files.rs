//! The yardsticks: static file servers over the tree, each in a process of its own.
//!
//! One is nginx, as Debian packages it. The other is what can be written in an hour with the same HTTP library that the
//! node uses: hyper, a runtime like the node's, and for each request open, stat, read, close, on the spot.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::super::Failure;
use super::super::worker::ready;

/// Between two looks whether nginx listens.
const POLL: Duration = Duration::from_millis(20);
/// nginx that does not listen by then never will.
const READY: Duration = Duration::from_secs(10);

/// What to serve.
#[derive(clap::Args)]
pub(crate) struct FilesArgs {
    /// The directory.
    #[arg(long)]
    root: PathBuf,
}

/// The worker: serves the files below a directory.
pub(crate) async fn run(args: FilesArgs, stop: CancellationToken) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    ready(&listener.local_addr()?)?;
    let root: Arc<Path> = args.root.into();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = stop.cancelled() => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let root = Arc::clone(&root);
        let service = service_fn(move |request: Request<Incoming>| {
            let response = answer(&root, request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(root: &Path, path: &str) -> Response<Whole> {
    read(root, path).unwrap_or_else(|_| {
        let mut response = Response::new(Whole(None));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    })
}

fn read(root: &Path, path: &str) -> std::io::Result<Response<Whole>> {
    let below = path.strip_prefix('/').filter(|path| !path.split('/').any(|element| element == ".."));
    let mut file = File::open(root.join(below.ok_or(std::io::ErrorKind::NotFound)?))?;
    let about = file.metadata()?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    let mut response = Response::new(Whole(None));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if let Ok(etag) = HeaderValue::try_from(format!("\"{changed:x}-{:x}\"", bytes.len())) {
        headers.insert(ETAG, etag);
    }
    *response.body_mut() = Whole(Some(bytes.into()));
    Ok(response)
}

/// A body in one piece.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A running nginx, ended when it is dropped.
pub(super) struct Nginx {
    process: tokio::process::Child,
    pub(super) address: SocketAddr,
}

impl Nginx {
    /// Starts one over `root`; its own files are in `dir`.
    pub(super) async fn start(root: &Path, dir: &Path) -> Result<Self, Failure> {
        // Nothing tells which port nginx took, so it is given one that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = dir.join("nginx.conf");
        std::fs::write(&config, configuration(root, dir, address))?;
        let mut command = tokio::process::Command::new("nginx");
        command.arg("-p").arg(dir).arg("-e").arg(dir.join("error.log")).arg("-c").arg(&config);
        let process = command.stdin(Stdio::null()).spawn();
        let process = process.map_err(|error| format!("nginx cannot be started ({error}); is it installed?"))?;
        let begin = std::time::Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if begin.elapsed() > READY {
                return Err("nginx does not listen".into());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Self { process, address })
    }

    /// Its master and its workers.
    pub(super) fn pids(&self) -> Result<Vec<u32>, Failure> {
        let master = self.process.id().ok_or("nginx has ended")?;
        let workers = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        let workers = workers.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        Ok([vec![master], workers].concat())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The workers of a master that is killed outright go on without it.
        let pids = self.pids().unwrap_or_default();
        // The master may be faster and end them itself.
        let _ = std::process::Command::new("kill").args(pids.iter().map(u32::to_string)).stderr(Stdio::null()).status();
    }
}

/// As Debian configures it for files, without the log of requests, and with connections that last.
fn configuration(root: &Path, dir: &Path, address: SocketAddr) -> String {
    let (root, dir) = (root.display(), dir.display());
    // The temporary directory is its owner's alone, so the workers have to be its owner too.
    let user = if std::env::var_os("USER").is_none_or(|user| user == "root") { "user root root;" } else { "" };
    format!(
        "{user}
daemon off;
worker_processes auto;
pid {dir}/nginx.pid;
events {{ worker_connections 768; }}
http {{
  sendfile on;
  tcp_nopush on;
  access_log off;
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  server {{ listen {address}; root {root}; }}
}}
"
    )
}
