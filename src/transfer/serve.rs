//! Answering other nodes, from what is [`Held`] and nothing else.
//!
//! One task per stream. Three stages work at the same time, joined by short queues: requests are *read* ahead, answers are
//! *loaded* from the store while the ones before them are *written*. On one stream everything goes in order; a client has
//! two, so that small things do not stand behind bulk. Between streams of a kind, loads take turns; the two kinds do not wait for
//! each other.
//!
//! A peer that asks and does not read costs the queue of requests and three loads, and is dropped when a write is not
//! taken within the deadline.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt as _, StreamExt as _};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::accept::{StreamLimits, accept_all};
use super::error::AlreadyServing;
use super::held::Held;
use super::limits;
use super::load::{Loader, Out};
use super::sketches::Sketches;
use super::traffic::{Meter, Traffic};
use super::wire::{self, FrameError, FrameReader, FrameWriter, Reply, Request, VERSION};

/// The numbers of a server; [`Default`] takes them from [`limits`], where the reasons are.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Streams of one peer.
    pub streams_per_peer: usize,
    /// Streams of all peers.
    pub streams: usize,
    /// Time for a peer to take a piece of an answer.
    pub write: Duration,
    /// Time for a peer to finish a request that it has begun.
    pub rest: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            streams_per_peer: limits::STREAMS_PER_PEER,
            streams: limits::STREAMS,
            write: limits::WRITE,
            rest: limits::REST_OF_FRAME,
        }
    }
}

struct Server {
    held: Arc<dyn Held>,
    limits: ServeLimits,
    traffic: Traffic,
    /// Loads for bulk, and for small things.
    loads: [Semaphore; 2],
    sketches: Arc<Sketches>,
}

/// Serves `held` to all peers of a swarm until `stop` is cancelled.
///
/// # Errors
/// [`AlreadyServing`].
pub fn serve(
    mut control: Control,
    held: Arc<dyn Held>,
    limits: ServeLimits,
    traffic: Traffic,
    stop: CancellationToken,
) -> Result<JoinHandle<()>, AlreadyServing> {
    let mut accept = |protocol| control.accept(StreamProtocol::new(protocol)).map_err(|_| AlreadyServing);
    let (bulk, small) = (accept(wire::BLOBS)?, accept(wire::CATALOG)?);
    let streams = StreamLimits { per_peer: limits.streams_per_peer, all: limits.streams };
    let server = Arc::new(Server {
        held,
        limits,
        traffic,
        loads: [limits::SERVE_LOADS, limits::SMALL_LOADS].map(Semaphore::new),
        sketches: Arc::default(),
    });
    let (bulk, small) =
        (bulk.map(|(peer, stream)| (peer, (stream, 0))), small.map(|(peer, stream)| (peer, (stream, 1))));
    let session = move |peer, (stream, kind)| session(Arc::clone(&server), peer, stream, kind);
    Ok(tokio::spawn(accept_all(futures::stream::select(bulk, small), streams, stop, session)))
}

async fn session(server: Arc<Server>, peer: PeerId, stream: Stream, kind: usize) {
    let (reader, writer) = stream.split();
    let (questions, queue) = mpsc::channel(limits::SERVE_QUEUE);
    let (answers, out) = mpsc::channel(1);
    let live = Live::default();
    let meter = server.traffic.meter(peer);
    let end = tokio::try_join!(
        read(FrameReader::with_rest(reader, server.limits.rest), questions, &live),
        load(&server, &server.loads[kind], peer, queue, answers, &live),
        write(FrameWriter::new(writer, server.limits.write), out, &meter),
    );
    if let Err(err) = end {
        tracing::debug!(%peer, %err, "serving a stream ended");
    }
}

/// The questions that are queued or being answered, and whether they were cancelled.
#[derive(Default)]
struct Live(Mutex<HashMap<u64, bool>>);

impl Live {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cancelled(&self, request: u64) -> bool {
        self.lock().get(&request).copied().unwrap_or(true)
    }
}

async fn read(
    mut reader: FrameReader<ReadHalf<Stream>>,
    questions: mpsc::Sender<Request>,
    live: &Live,
) -> Result<(), FrameError> {
    while let Some(request) = reader.request().await? {
        if let Request::Cancel { request } = request {
            if let Some(cancelled) = live.lock().get_mut(&request) {
                *cancelled = true;
            }
            continue;
        }
        if live.lock().insert(request.number(), false).is_some() {
            return Err(FrameError::Protocol("a question has the number of another one"));
        }
        if questions.send(request).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn load(
    server: &Server,
    loads: &Semaphore,
    peer: PeerId,
    mut queue: mpsc::Receiver<Request>,
    answers: mpsc::Sender<Vec<Out>>,
    live: &Live,
) -> Result<(), FrameError> {
    while let Some(request) = queue.recv().await {
        let number = request.number();
        let mut loader = Loader::new(peer, request);
        while !loader.is_done() && !live.is_cancelled(number) {
            let Ok(turn) = loads.acquire().await else { return Ok(()) };
            let held = Arc::clone(&server.held);
            let (back, outs) = loader.load(held, &server.sketches).await;
            drop(turn);
            loader = back;
            if answers.send(outs).await.is_err() {
                return Ok(());
            }
        }
        live.lock().remove(&number);
    }
    Ok(())
}

async fn write(
    mut writer: FrameWriter<WriteHalf<Stream>>,
    mut out: mpsc::Receiver<Vec<Out>>,
    meter: &Meter,
) -> Result<(), FrameError> {
    writer.header(&Reply::Hello { version: VERSION }).await?;
    writer.flush().await?;
    while let Some(first) = out.recv().await {
        let mut next = Some(first);
        while let Some(outs) = next {
            for out in outs {
                write_one(&mut writer, out, meter).await?;
            }
            next = out.try_recv().ok();
        }
        writer.flush().await?;
    }
    Ok(())
}

async fn write_one(writer: &mut FrameWriter<WriteHalf<Stream>>, out: Out, meter: &Meter) -> io::Result<()> {
    match out {
        Out::Piece(request, index, bytes) => {
            writer.piece(request, index, &bytes).await?;
            meter.sent(Bytes::len(&bytes) as u64);
            Ok(())
        }
        Out::Bare(reply) => writer.header(&reply).await,
    }
}
