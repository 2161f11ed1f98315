//! Answering questions of other nodes: from what is at hand, or from the source.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::AsyncReadExt as _;
use futures::future::BoxFuture;
use futures::io::WriteHalf;
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::budget::{Allowance, Budget};
use super::limits;
use super::wire::{self, Answer, Question, Reply};
use crate::transfer::limits as transfer;
use crate::transfer::wire::{FrameError, FrameReader, FrameWriter};
use crate::transfer::{AlreadyServing, StreamLimits, accept_all};

/// Who can answer.
pub trait Seed: Send + Sync + 'static {
    /// The answer, if it is known without asking anybody outside.
    fn at_hand<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Option<Answer>>;

    /// The answer, from the source. What it begins goes on when the future is dropped.
    fn seek<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer>;
}

/// The numbers of a server; [`Default`] takes them from [`limits`], where the reasons are.
#[derive(Clone, Copy, Debug)]
pub struct ServeRules {
    /// Streams of one peer and of all.
    pub streams: StreamLimits,
    /// Questions that may go to the source.
    pub allowance: Allowance,
    /// Questions that are at the source at the same time.
    pub seeks: usize,
    /// How often to say that somebody is working.
    pub working_every: Duration,
    /// Time for an asker to take a piece of an answer.
    pub write: Duration,
    /// Time for an asker to finish a question that it has begun.
    pub rest: Duration,
}

impl Default for ServeRules {
    fn default() -> Self {
        Self {
            streams: StreamLimits { per_peer: limits::STREAMS_PER_PEER, all: limits::STREAMS },
            allowance: limits::ALLOWANCE,
            seeks: limits::SEEKS,
            working_every: limits::WORKING_EVERY,
            write: transfer::WRITE,
            rest: transfer::REST_OF_FRAME,
        }
    }
}

struct Server {
    seed: Arc<dyn Seed>,
    budget: Mutex<Budget>,
    seeks: Semaphore,
    rules: ServeRules,
}

/// Answers all peers of a swarm until `stop` is cancelled.
///
/// # Errors
/// [`AlreadyServing`].
pub fn serve(
    mut control: Control,
    seed: Arc<dyn Seed>,
    rules: ServeRules,
    stop: CancellationToken,
) -> Result<JoinHandle<()>, AlreadyServing> {
    let incoming = control.accept(StreamProtocol::new(wire::SEED)).map_err(|_| AlreadyServing)?;
    let server = Arc::new(Server {
        seed,
        budget: Mutex::new(Budget::new(rules.allowance, Instant::now())),
        seeks: Semaphore::new(rules.seeks),
        rules,
    });
    let session = move |peer, stream| session(Arc::clone(&server), peer, stream);
    Ok(tokio::spawn(accept_all(incoming, rules.streams, stop, session)))
}

async fn session(server: Arc<Server>, peer: PeerId, stream: Stream) {
    if let Err(err) = server.answer_all(peer, stream).await {
        tracing::debug!(%peer, %err, "answering a peer's questions ended");
    }
}

impl Server {
    async fn answer_all(&self, peer: PeerId, stream: Stream) -> Result<(), FrameError> {
        let (reader, writer) = stream.split();
        let (mut reader, mut writer) =
            (FrameReader::with_rest(reader, self.rules.rest), FrameWriter::new(writer, self.rules.write));
        writer.header(&Reply::Hello { version: wire::VERSION }).await?;
        writer.flush().await?;
        while let Some(question) = wire::read_question(&mut reader).await? {
            let answer = self.answer(peer, &question, &mut writer).await?;
            wire::write_answer(&mut writer, answer).await?;
        }
        Ok(())
    }

    async fn answer(
        &self,
        peer: PeerId,
        question: &Question,
        writer: &mut FrameWriter<WriteHalf<Stream>>,
    ) -> Result<Answer, FrameError> {
        if let Some(answer) = self.seed.at_hand(question).await {
            return Ok(answer);
        }
        if !self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(peer, Instant::now()) {
            tracing::debug!(%peer, %question, "over the budget");
            return Ok(Answer::Failed("this seed is asked for too much; try again later".into()));
        }
        tracing::debug!(%peer, %question, "asked for by a peer");
        let seeking = async {
            let Ok(_turn) = self.seeks.acquire().await else { return Answer::Failed("this seed is stopping".into()) };
            self.seed.seek(question).await
        };
        let mut seeking = std::pin::pin!(seeking);
        let mut every = tokio::time::interval(self.rules.working_every);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        every.reset();
        loop {
            tokio::select! {
                biased;
                answer = &mut seeking => return Ok(answer),
                _ = every.tick() => {
                    writer.header(&Reply::Working).await?;
                    writer.flush().await?;
                }
            }
        }
    }
}
