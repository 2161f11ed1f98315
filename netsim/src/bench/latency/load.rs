//! The clients: as many requests as there are answers, each connection with one request under way.
//!
//! Plain sockets and one thread, so that the clients take as little as possible of a processor that they share with the
//! server: a request is one write, its answer mostly one read, and of the answer's head only what says where it ends is
//! looked at.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::Failure;
use super::super::sample::processor_time;
use super::super::worker::ready;

/// Room for the head of an answer and most bodies, in bytes; a longer body takes more reads.
const BUFFER: usize = 64 << 10;

/// What to ask, whom, and for how long.
#[derive(clap::Args)]
pub(crate) struct LoadArgs {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// What to ask for: on each line a path, a tab, and the length of the body in bytes.
    #[arg(long)]
    requests: PathBuf,
    /// Connections, each kept and with one request under way.
    #[arg(long)]
    connections: usize,
    /// For how long.
    #[arg(long)]
    millis: u64,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Load {
    /// Right answers.
    pub(crate) answers: u32,
    /// Answers with another status or length, and connections that broke (each ends its client).
    pub(crate) errors: u32,
    /// From the first request to the last answer, in seconds.
    pub(crate) seconds: f64,
    /// Time to the last byte that half of the answers did not take longer than, in microseconds.
    pub(crate) p50: f64,
    /// The same of 99 in 100 answers.
    pub(crate) p99: f64,
    /// Processor time of the clients in seconds.
    pub(crate) cpu: f64,
}

struct Request {
    wire: Vec<u8>,
    body: usize,
}

/// The worker.
pub(crate) fn run(args: &LoadArgs) -> Result<(), Failure> {
    let requests: Vec<Request> = std::fs::read_to_string(&args.requests)?
        .lines()
        .map(|line| {
            let (path, body) = line.split_once('\t').ok_or("a request without a length")?;
            // As the go command asks.
            let head = "User-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n";
            let wire = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{head}", args.address).into_bytes();
            Ok(Request { wire, body: body.parse()? })
        })
        .collect::<Result<_, Failure>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load = runtime.block_on(tokio::task::LocalSet::new().run_until(drive(args, requests)))?;
    ready(&load)
}

async fn drive(args: &LoadArgs, requests: Vec<Request>) -> Result<Load, Failure> {
    let requests = std::rc::Rc::new(requests);
    let mut streams = Vec::new();
    for _ in 0..args.connections {
        let stream = TcpStream::connect(args.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let begin = Instant::now();
    let end = begin + Duration::from_millis(args.millis);
    let clients = streams.into_iter().enumerate().map(|(n, stream)| {
        let requests = std::rc::Rc::clone(&requests);
        let first = n * requests.len() / args.connections;
        tokio::task::spawn_local(async move { client(stream, &requests, first, end).await })
    });
    let (mut times, mut errors) = (Vec::new(), 0);
    for client in futures::future::try_join_all(clients).await? {
        times.extend(client.times);
        errors += client.errors;
    }
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let share = |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, |nanos| f64::from(*nanos) / 1e3);
    Ok(Load {
        answers: u32::try_from(times.len())?,
        errors,
        seconds,
        p50: share(50),
        p99: share(99),
        cpu: processor_time(std::process::id())?.as_secs_f64(),
    })
}

#[derive(Default)]
struct Client {
    /// Nanoseconds; an answer that takes longer than 4 s counts as one that took 4 s.
    times: Vec<u32>,
    errors: u32,
}

async fn client(mut stream: TcpStream, requests: &[Request], first: usize, end: Instant) -> Client {
    let mut client = Client::default();
    let mut buffer = vec![0; BUFFER];
    for request in requests.iter().cycle().skip(first) {
        let begin = Instant::now();
        if begin >= end {
            break;
        }
        match ask(&mut stream, request, &mut buffer).await {
            Ok(true) => client.times.push(u32::try_from(begin.elapsed().as_nanos()).unwrap_or(u32::MAX)),
            Ok(false) => client.errors += 1,
            Err(_) => {
                client.errors += 1;
                break;
            }
        }
    }
    client
}

/// Whether the answer was right. An error means that no more can be asked on this connection.
async fn ask(stream: &mut TcpStream, request: &Request, buffer: &mut [u8]) -> std::io::Result<bool> {
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    stream.write_all(&request.wire).await?;
    let mut held = 0;
    let head = loop {
        let room = buffer.get_mut(held..).filter(|room| !room.is_empty()).ok_or_else(broken)?;
        match stream.read(room).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => held += read,
        }
        if let Some(end) = buffer[..held].windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let (right, len) = read_head(&buffer[..head]).ok_or_else(broken)?;
    let mut body = held - head;
    while body < len {
        match stream.read(buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => body += read,
        }
    }
    if body > len {
        return Err(broken());
    }
    Ok(right && len == request.body)
}

/// Whether the status is 200, and the length of the body.
fn read_head(head: &[u8]) -> Option<(bool, usize)> {
    const LENGTH: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next()?;
    let field = lines.find(|line| line.get(..LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH)))?;
    let len = std::str::from_utf8(field.get(LENGTH.len()..)?).ok()?.trim().parse().ok()?;
    Some((status.starts_with(b"HTTP/1.1 200"), len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_is_read() {
        let head = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 17\r\n\r\n";
        assert_eq!(read_head(head), Some((true, 17)));
        assert_eq!(read_head(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"), Some((false, 0)));
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), None);
    }
}
