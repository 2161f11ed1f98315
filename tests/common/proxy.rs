//! A GOPROXY over an in-memory table that answers rightly until it is told to misbehave.
//!
//! It writes HTTP/1.1 to a socket itself, without a framework: cutting a body after exactly n bytes, lying about a
//! length and hanging up in the middle are what a good server library makes hard.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::{FixtureModule, compare_versions, escape, is_pseudo};

/// The `Last-Modified` of all files, long before [`DATE`].
pub const LAST_MODIFIED: &str = "Wed, 01 May 2019 00:00:00 GMT";
/// The `Date` of all answers.
pub const DATE: &str = "Thu, 02 May 2019 00:00:00 GMT";

/// One wrong answer. Lengths are in bytes of the body that a right answer would have had.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with a line of plain text.
    Status(u16),
    /// This status and `Retry-After`.
    RetryAfter(u16, String),
    /// Any whole answer: status, further headers, body.
    Answer(u16, Vec<(String, String)>, Bytes),
    /// A redirect (302) to this URL.
    Redirect(String),
    /// Status 200 and a web page.
    Html,
    /// The right head and so many bytes of the body, then the connection is closed.
    CutAfter(usize),
    /// The right head and so many bytes of the body, then nothing until the client goes.
    StallAfter(usize),
    /// The right head, then the body byte by byte with this long between them, until the client goes.
    Drip(Duration),
    /// The right answer but for `Content-Length`, then the connection is closed.
    ContentLength(String),
    /// The connection is closed without an answer.
    HangUp,
    /// From this request on the file has these bytes, and so another validator.
    Replace(Bytes),
    /// These bytes instead of an HTTP answer, then the connection is closed.
    Raw(Vec<u8>),
    /// The right answer.
    None,
}

/// By what a file can be told from another version of it, and whether ranges of it are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validator {
    /// A strong ETag; ranges.
    ETag,
    /// A weak ETag; ranges are announced, but none may be asked for under it.
    WeakETag,
    /// Last-Modified only; ranges.
    LastModified,
    /// Neither, and no ranges.
    None,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path, percent-decoded.
    pub path: String,
    /// Header fields with lower-case names.
    pub headers: HashMap<String, String>,
    /// The method.
    pub method: String,
    /// The path as it came.
    pub target: String,
}

/// The server: stops when it is dropped.
pub struct FixtureProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    table: Mutex<Table>,
    in_flight: watch::Sender<usize>,
    gate: Semaphore,
}

/// Something that answers for all paths below a prefix.
type Mount = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Default)]
struct Table {
    files: HashMap<String, File>,
    mounts: Vec<(String, Mount)>,
    /// Escaped module path -> versions.
    versions: HashMap<String, Vec<String>>,
    scripts: HashMap<String, VecDeque<Fault>>,
    always: HashMap<String, Fault>,
    log: Vec<Request>,
    max_in_flight: usize,
    holding: bool,
}

#[derive(Clone)]
struct File {
    body: Bytes,
    kind: &'static str,
    validator: Validator,
}

/// An answer to be written: the head, the body, and how much of the body really goes.
struct Answer {
    head: String,
    body: Bytes,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    KeepAlive,
    Close,
    Stall,
    Drip(Duration),
}

impl FixtureProxy {
    /// Listens on a free loopback port and serves these modules.
    pub async fn start(modules: &[FixtureModule]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { table: Mutex::default(), in_flight: watch::Sender::new(0), gate: Semaphore::new(0) });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        let proxy = Self { address, shared, task };
        for module in modules {
            proxy.add(module);
        }
        proxy
    }

    /// What to write in a proxy list.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Adds a version; `@v/list` and `@latest` follow from what was added.
    pub fn add(&self, module: &FixtureModule) {
        let base = format!("/{}/@v/{}", escape(&module.path), escape(&module.version));
        self.put(&format!("{base}.info"), &module.info);
        self.put(&format!("{base}.mod"), &module.go_mod);
        self.put(&format!("{base}.zip"), &module.zip);
        let mut table = self.table();
        let versions = table.versions.entry(escape(&module.path)).or_default();
        if !versions.contains(&module.version) {
            versions.push(module.version.clone());
            versions.sort_by(|a, b| compare_versions(a, b));
        }
    }

    /// Serves any bytes at any path (`/sumdb/...`, the `.info` of a branch, an `@v/list` of one's own).
    pub fn put(&self, path: &str, body: &[u8]) {
        let file = File { body: Bytes::copy_from_slice(body), kind: kind_of(path), validator: Validator::ETag };
        self.table().files.insert(path.into(), file);
    }

    /// Answers with what `mount` gives for what comes after `prefix`, where no file was put; `None` is 404.
    pub fn mount(&self, prefix: &str, mount: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) {
        self.table().mounts.push((prefix.into(), Box::new(mount)));
    }

    /// How a file can be told from another version of it; an ETag unless this is called.
    pub fn validator(&self, path: &str, validator: Validator) {
        self.table().files.get_mut(path).expect("a file that was put").validator = validator;
    }

    /// The next requests for `path` meet these faults, one each; then the answers are right again.
    pub fn script(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        self.table().scripts.entry(path.into()).or_default().extend(faults);
    }

    /// Each request for `path` meets this fault (after those of [`FixtureProxy::script`]).
    pub fn always(&self, path: &str, fault: Fault) {
        self.table().always.insert(path.into(), fault);
    }

    /// From now on each request waits for [`FixtureProxy::release`] before it is answered.
    pub fn hold(&self) {
        self.table().holding = true;
    }

    /// Lets so many held requests go on, now or when they come.
    pub fn release(&self, requests: usize) {
        self.shared.gate.add_permits(requests);
    }

    /// All requests for a path, in order.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.table().log.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// All requests, in order.
    pub fn all_requests(&self) -> Vec<Request> {
        self.table().log.clone()
    }

    /// How many requests for a path came.
    pub fn count(&self, path: &str) -> usize {
        self.requests(path).len()
    }

    /// How many requests came in all.
    pub fn total(&self) -> usize {
        self.table().log.len()
    }

    /// The most requests that were under way at once. One is under way from its head to the last byte but one of its
    /// answer, so a client that sends the next as soon as it has an answer is not counted twice.
    pub fn max_in_flight(&self) -> usize {
        self.table().max_in_flight
    }

    /// Waits until exactly so many requests are under way.
    pub async fn wait_in_flight(&self, requests: usize) {
        let mut watch = self.shared.in_flight.subscribe();
        watch.wait_for(|now| *now == requests).await.unwrap();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.shared.table()
    }
}

impl Drop for FixtureProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }
}

/// Counts a request while it is under way.
struct Flight(Arc<Shared>);

impl Flight {
    fn begin(shared: &Arc<Shared>) -> Self {
        let mut now = 0;
        shared.in_flight.send_modify(|in_flight| {
            *in_flight += 1;
            now = *in_flight;
        });
        let mut table = shared.table();
        table.max_in_flight = table.max_in_flight.max(now);
        drop(table);
        Self(Arc::clone(shared))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.send_modify(|now| *now -= 1);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A client that goes away in the middle is what some tests are about.
        connections.spawn(async move { connection(stream, shared).await.unwrap_or_default() });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await? {
        let flight = Flight::begin(&shared);
        let (fault, holding) = note(&shared, &request);
        if holding && let Ok(permit) = shared.gate.acquire().await {
            permit.forget();
        }
        let answer = answer(&shared, &request, fault);
        let mut wire = answer.head.into_bytes();
        if let End::Drip(pause) = answer.end {
            stream.write_all(&wire).await?;
            for byte in answer.body {
                stream.write_u8(byte).await?;
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
            return Ok(());
        }
        if request.method != "HEAD" {
            wire.extend_from_slice(&answer.body);
        }
        if answer.end == End::Stall {
            stream.write_all(&wire).await?;
            stream.flush().await?;
            // The end of the stream: the client gave up.
            stream.read_u8().await?;
            return Ok(());
        }
        let (most, last) = wire.split_at(wire.len().saturating_sub(1));
        stream.write_all(most).await?;
        drop(flight);
        stream.write_all(last).await?;
        stream.flush().await?;
        if answer.end == End::Close {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

/// Reads a request's head; the client's requests have no bodies.
async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // Neither a TLS handshake nor any other non-request is worth waiting for.
            Ok(byte) if byte.is_ascii_uppercase() || (1..64 << 10).contains(&head.len()) => head.push(byte),
            _ => return Ok(None),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let fields = lines.filter_map(|line| line.split_once(':'));
    let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Some(Request { path: percent_decode(target), headers, method: method.into(), target: target.into() }))
}

fn note(shared: &Shared, request: &Request) -> (Fault, bool) {
    let mut table = shared.table();
    table.log.push(request.clone());
    let scripted = table.scripts.get_mut(&request.path).and_then(VecDeque::pop_front);
    let fault = scripted.or_else(|| table.always.get(&request.path).cloned()).unwrap_or(Fault::None);
    if let Fault::Replace(body) = &fault {
        table.files.get_mut(&request.path).expect("a file that was put").body = body.clone();
    }
    (fault, table.holding)
}

fn answer(shared: &Shared, request: &Request, fault: Fault) -> Answer {
    match fault {
        Fault::Status(status) => plain(status, "", &format!("fixture: status {status}\n")),
        Fault::RetryAfter(status, after) => plain(status, &format!("Retry-After: {after}\r\n"), "fixture: later\n"),
        Fault::Redirect(to) => plain(302, &format!("Location: {to}\r\n"), ""),
        Fault::Html => {
            own(200, "Content-Type: text/html\r\n", Bytes::from_static(b"<!DOCTYPE html><title>log in</title>\n"))
        }
        Fault::Answer(status, fields, body) => {
            let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            own(status, &fields, body)
        }
        Fault::HangUp => Answer { head: String::new(), body: Bytes::new(), end: End::Close },
        Fault::Raw(bytes) => Answer { head: String::new(), body: bytes.into(), end: End::Close },
        Fault::CutAfter(len) => shortened(right(shared, request, None), len, End::Close),
        Fault::StallAfter(len) => shortened(right(shared, request, None), len, End::Stall),
        Fault::Drip(pause) => Answer { end: End::Drip(pause), ..right(shared, request, None) },
        Fault::ContentLength(claimed) => {
            let answer = right(shared, request, Some(&claimed));
            Answer { end: End::Close, ..answer }
        }
        Fault::Replace(_) | Fault::None => right(shared, request, None),
    }
}

fn shortened(answer: Answer, len: usize, end: End) -> Answer {
    Answer { body: answer.body.slice(..len.min(answer.body.len())), end, ..answer }
}

/// The answer of a good proxy, perhaps with another Content-Length.
fn right(shared: &Shared, request: &Request, claimed: Option<&str>) -> Answer {
    let Some(file) = shared.table().find(&request.path) else {
        return plain(404, "", &format!("not found: the fixture has no {}\n", request.path));
    };
    let whole = file.body.len();
    let etag = format!("\"{}\"", &blake3::hash(&file.body).to_hex()[..16]);
    let (fields, current) = match file.validator {
        Validator::ETag => (format!("Accept-Ranges: bytes\r\nETag: {etag}\r\n"), etag),
        Validator::WeakETag => (format!("Accept-Ranges: bytes\r\nETag: W/{etag}\r\n"), String::new()),
        Validator::LastModified => {
            (format!("Accept-Ranges: bytes\r\nLast-Modified: {LAST_MODIFIED}\r\n"), LAST_MODIFIED.to_owned())
        }
        Validator::None => (String::new(), String::new()),
    };
    let wanted = request.headers.get("range").filter(|_| file.validator != Validator::None);
    let same = request.headers.get("if-range").is_none_or(|known| *known == current);
    let range = wanted.filter(|_| same).and_then(|range| parse_range(range, whole));
    let (status, extra, body) = match range {
        None => (200, String::new(), file.body),
        Some((first, _)) if first >= whole => (416, format!("Content-Range: bytes */{whole}\r\n"), Bytes::new()),
        Some((first, end)) => {
            (206, format!("Content-Range: bytes {first}-{}/{whole}\r\n", end - 1), file.body.slice(first..end))
        }
    };
    let len = claimed.map_or_else(|| body.len().to_string(), ToOwned::to_owned);
    let fields = format!("Content-Type: {}\r\n{fields}{extra}Content-Length: {len}\r\n", file.kind);
    Answer { head: head(status, &fields), body, end: End::KeepAlive }
}

impl Table {
    fn find(&self, path: &str) -> Option<File> {
        if let Some(file) = self.files.get(path) {
            return Some(file.clone());
        }
        let made = |body: Bytes| Some(File { body, kind: kind_of(path), validator: Validator::None });
        let mounted = self.mounts.iter().find_map(|(prefix, mount)| mount(path.strip_prefix(prefix.as_str())?));
        if let Some(body) = mounted {
            return made(body.into());
        }
        let module = |suffix| self.versions.get(path.strip_prefix('/')?.strip_suffix(suffix)?);
        if let Some(versions) = module("/@v/list") {
            let lines = versions.iter().filter(|version| !is_pseudo(version)).map(|version| format!("{version}\n"));
            return made(lines.collect::<String>().into());
        }
        let versions = module("/@latest")?;
        let rank = |version: &str| {
            if is_pseudo(version) {
                0
            } else if version.contains('-') {
                1
            } else {
                2
            }
        };
        let best = versions.iter().max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| compare_versions(a, b)))?;
        let base = path.strip_suffix("/@latest")?;
        self.files.get(&format!("{base}/@v/{}.info", escape(best))).cloned()
    }
}

fn plain(status: u16, fields: &str, text: &str) -> Answer {
    let fields = format!("Content-Type: text/plain; charset=utf-8\r\n{fields}");
    own(status, &fields, Bytes::copy_from_slice(text.as_bytes()))
}

fn own(status: u16, fields: &str, body: Bytes) -> Answer {
    let head = head(status, &format!("{fields}Content-Length: {}\r\n", body.len()));
    Answer { head, body, end: End::KeepAlive }
}

fn head(status: u16, fields: &str) -> String {
    format!("HTTP/1.1 {status} Fixture\r\nDate: {DATE}\r\n{fields}\r\n")
}

/// `bytes=FIRST-` or `bytes=FIRST-LAST`, as first and end.
fn parse_range(text: &str, whole: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = if last.is_empty() { whole } else { last.parse::<usize>().ok()?.saturating_add(1).min(whole) };
    Some((first.parse().ok()?, end))
}

fn kind_of(path: &str) -> &'static str {
    match path.rsplit(['.', '/']).next() {
        Some("info" | "@latest") => "application/json",
        Some("zip") => "application/zip",
        _ => "text/plain; charset=utf-8",
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        if let Some(byte) = escaped.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
