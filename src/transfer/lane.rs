//! One long-lived stream to one peer: opened when first needed, opened again when it broke, shared by all who ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::AsyncReadExt as _;
use futures::io::{ReadHalf, WriteHalf};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::sync::{mpsc, watch};

use super::judge::Judge;
use super::limits;
use super::open::Opening;
use super::pending::{self, Got, Payload, Pending, Question};
use super::traffic::Meter;
use super::wire::{FrameError, FrameReader, FrameWriter, Reply, Request, VERSION};

/// What is to be written.
pub(super) enum Order {
    Ask(Question),
    Cancel(u64),
}

/// The way to one stream. The stream ends when the last clone is gone.
#[derive(Clone)]
pub(super) struct Lane(mpsc::Sender<Order>);

/// What the task behind a [`Lane`] needs.
pub(super) struct LaneTask {
    pub(super) peer: PeerId,
    pub(super) protocol: StreamProtocol,
    pub(super) control: Control,
    pub(super) connected: watch::Receiver<Arc<[PeerId]>>,
    pub(super) judge: Arc<Judge>,
    pub(super) meter: Arc<Meter>,
    /// Held while a stream to this peer is being opened: one at a time.
    pub(super) gate: Arc<tokio::sync::Mutex<()>>,
}

impl Lane {
    pub(super) fn spawn(task: LaneTask) -> Self {
        let (orders, queue) = mpsc::channel(limits::LANE_QUEUE);
        tokio::spawn(task.run(queue));
        Self(orders)
    }

    /// Queues a question; `false` when there is no room.
    pub(super) fn ask(&self, question: Question) -> bool {
        self.0.try_send(Order::Ask(question)).is_ok()
    }

    /// Cancels a question. Without room for that its answers come, and are thrown away.
    pub(super) fn cancel(&self, request: u64) {
        let _ = self.0.try_send(Order::Cancel(request));
    }
}

type Halves = (FrameReader<ReadHalf<Stream>>, FrameWriter<WriteHalf<Stream>>);

impl LaneTask {
    async fn run(self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            let Order::Ask(first) = order else { continue };
            let pending = Mutex::new(Pending::new(self.peer));
            let why = match self.open().await {
                Ok(halves) => self.session(halves, first, &mut orders, &pending).await,
                Err(why) => {
                    lock(&pending).insert(first);
                    why
                }
            };
            // What was queued behind it meets the same fate: who asked decides whether to ask again.
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::Ask(question) => lock(&pending).insert(question),
                    Order::Cancel(request) => drop(lock(&pending).cancel(request)),
                }
            }
            tracing::debug!(peer = %self.peer, protocol = %self.protocol, %why, "a stream ended");
            lock(&pending).broken(&why);
        }
    }

    /// Opens the stream and waits for the greeting, without which it was dropped on the other side.
    async fn open(&self) -> Result<Halves, String> {
        let opening = Opening { peer: self.peer, connected: &self.connected, gate: &self.gate };
        opening.open(|| self.try_open()).await
    }

    async fn try_open(&self) -> Result<Halves, String> {
        let mut control = self.control.clone();
        let stream = control.open_stream(self.peer, self.protocol.clone()).await.map_err(|err| err.to_string())?;
        let (reader, writer) = stream.split();
        let mut reader = FrameReader::new(reader);
        match reader.reply().await {
            Ok(Some(Reply::Hello { version: VERSION })) => Ok((reader, FrameWriter::new(writer, limits::WRITE))),
            Ok(Some(Reply::Hello { version })) => Err(format!("it speaks version {version} of the transfer protocol")),
            Ok(Some(_)) => Err("it does not begin with a greeting".into()),
            Ok(None) => Err("it accepts no stream now".into()),
            Err(err) => Err(err.to_string()),
        }
    }

    /// Writes and reads until either ends; says why.
    async fn session(
        &self,
        (reader, writer): Halves,
        first: Question,
        orders: &mut mpsc::Receiver<Order>,
        pending: &Mutex<Pending>,
    ) -> String {
        let end = tokio::select! {
            end = self.read(reader, pending) => end,
            end = write(writer, first, orders, pending) => end,
        };
        match end {
            Ok(()) => "the stream was closed".into(),
            Err(err) => {
                if err.is_fault() {
                    self.judge.fault(self.peer, &err);
                }
                err.to_string()
            }
        }
    }

    async fn read(
        &self,
        mut reader: FrameReader<ReadHalf<Stream>>,
        pending: &Mutex<Pending>,
    ) -> Result<(), FrameError> {
        while let Some(reply) = reader.reply().await? {
            let Reply::Piece { request, index, len } = reply else {
                let (request, index, got) = pending::bare(reply).ok_or(FrameError::Protocol("a second greeting"))?;
                lock(pending).answer(request, index, got)?;
                continue;
            };
            let payload = lock(pending).payload(request, index, len)?;
            let got = match payload {
                Payload::Take(limit, check) => {
                    let bytes = reader.payload(len, limit, |bytes| self.meter.received(bytes)).await?;
                    pending::check(bytes, check).unwrap_or_else(|forged| self.forged(&forged.to_string()))
                }
                Payload::WrongLength(wanted) => {
                    reader.skip(len, limits::MAX_PAYLOAD).await?;
                    self.forged(&format!("{len} bytes came for a blob of {wanted} bytes"))
                }
                Payload::Skip => {
                    reader.skip(len, limits::MAX_PAYLOAD).await?;
                    Got::Missing
                }
            };
            lock(pending).answer(request, index, got)?;
        }
        Ok(())
    }

    fn forged(&self, what: &str) -> Got {
        self.judge.fault(self.peer, &what);
        Got::Forged(what.into())
    }
}

async fn write(
    mut writer: FrameWriter<WriteHalf<Stream>>,
    first: Question,
    orders: &mut mpsc::Receiver<Order>,
    pending: &Mutex<Pending>,
) -> Result<(), FrameError> {
    let mut next = Some(Order::Ask(first));
    while let Some(order) = next {
        match order {
            Order::Ask(question) => {
                let request = question.request.clone();
                lock(pending).insert(question);
                writer.header(&request).await?;
            }
            Order::Cancel(request) => {
                if lock(pending).cancel(request) {
                    writer.header(&Request::Cancel { request }).await?;
                }
            }
        }
        next = match orders.try_recv() {
            Ok(order) => Some(order),
            Err(_) => {
                writer.flush().await?;
                orders.recv().await
            }
        };
    }
    Ok(())
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
