//! Asking: who is a seed, and one question to one of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::AsyncReadExt as _;
use futures::io::{ReadHalf, WriteHalf};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::sync::{Semaphore, watch};

use super::limits;
use super::wire::{self, Answer, NoAnswer, Question, Reply};
use crate::domain::blob::BlobId;
use crate::domain::membership::Roles;
use crate::domain::module::ModulePath;
use crate::swarm::{PeerStatus, SwarmHandle};
use crate::transfer::limits as transfer;
use crate::transfer::wire::{FrameError, FrameReader, FrameWriter};
use crate::transfer::{Fetcher, Opening};

/// Why a seed gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The stream to the seed cannot be opened or broke.
    #[error("seed {peer} could not be asked: {reason}")]
    Unreachable {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: String,
    },
    /// The seed does not answer in time.
    #[error("seed {peer} gave no answer: {reason}")]
    Silent {
        /// Who.
        peer: PeerId,
        /// What was waited for.
        reason: String,
    },
    /// The seed answers what cannot be; it has been counted.
    #[error("seed {peer} broke the rules: {reason}")]
    Fault {
        /// Who.
        peer: PeerId,
        /// What is wrong.
        reason: String,
    },
}

/// The numbers of an asker; [`Default`] takes them from [`limits`], where the reasons are.
#[derive(Clone, Copy, Debug)]
pub struct AskRules {
    /// How long nothing may come.
    pub silence: Duration,
    /// How long one question may take.
    pub longest: Duration,
}

impl Default for AskRules {
    fn default() -> Self {
        Self { silence: limits::SILENCE, longest: limits::LONGEST }
    }
}

/// Asks seeds. Cheap to clone; all clones share the streams.
#[derive(Clone)]
pub struct Asker {
    inner: Arc<Inner>,
}

struct Inner {
    control: Control,
    peers: watch::Receiver<Arc<[PeerStatus]>>,
    connected: watch::Receiver<Arc<[PeerId]>>,
    judge: Fetcher,
    rules: AskRules,
    links: Mutex<HashMap<PeerId, Arc<Link>>>,
}

/// The streams to one seed.
struct Link {
    turns: Semaphore,
    gate: tokio::sync::Mutex<()>,
    idle: Mutex<Vec<Line>>,
}

/// One stream, on which nothing is asked.
struct Line {
    reader: FrameReader<ReadHalf<Stream>>,
    writer: FrameWriter<WriteHalf<Stream>>,
}

impl Asker {
    /// Asks the seeds among the peers of `swarm`; `judge` counts those that lie.
    #[must_use]
    pub fn new(swarm: &SwarmHandle, judge: Fetcher, rules: AskRules) -> Self {
        let (control, peers, connected) = (swarm.stream_control(), swarm.peer_changes(), swarm.connected());
        let inner = Inner { control, peers, connected, judge, rules, links: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The seeds that can be asked now, at most [`limits::SEEDS_ASKED`], in the order in which to ask them about a
    /// module: all nodes of a site ask the same one first, so that it is fetched once (rendezvous hashing, Thaler and
    /// Ravishankar 1998).
    ///
    /// Waits for [`limits::INTRODUCTION`] at most, and only where a peer has connected in this moment.
    pub async fn seeds_for(&self, module: &ModulePath) -> Vec<PeerId> {
        let mut peers = self.inner.peers.clone();
        let settled = |peers: &Arc<[PeerStatus]>| {
            peers.iter().any(|peer| self.may_ask(peer)) || peers.iter().all(|peer| peer.agent.is_some())
        };
        // Time is up, or the swarm is gone: then those count that are known.
        let _ = tokio::time::timeout(limits::INTRODUCTION, peers.wait_for(settled)).await;
        let seeds = self.inner.peers.borrow().clone();
        let mut seeds: Vec<PeerId> = seeds.iter().filter(|peer| self.may_ask(peer)).map(|peer| peer.id).collect();
        seeds.sort_by_cached_key(|peer| BlobId::of(&[&peer.to_bytes(), module.as_str().as_bytes()].concat()));
        seeds.truncate(limits::SEEDS_ASKED);
        seeds
    }

    fn may_ask(&self, peer: &PeerStatus) -> bool {
        peer.roles.contains(Roles::SEED)
            && peer.protocols.iter().any(|name| name == wire::SEED)
            && !self.inner.judge.is_banned(&peer.id)
    }

    /// Asks one seed. What comes is not checked but for its form.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, peer: PeerId, question: &Question) -> Result<Answer, AskError> {
        let longest = self.inner.rules.longest;
        let reason = || format!("it was not done within {} s", longest.as_secs());
        let asked = tokio::time::timeout(longest, self.ask_in_turn(peer, question)).await;
        asked.unwrap_or_else(|_| Err(AskError::Silent { peer, reason: reason() }))
    }

    async fn ask_in_turn(&self, peer: PeerId, question: &Question) -> Result<Answer, AskError> {
        let link = self.link(peer);
        let stopping = |_| AskError::Unreachable { peer, reason: "the node is stopping".into() };
        let _turn = link.turns.acquire().await.map_err(stopping)?;
        let idle = link.idle().pop();
        if let Some(mut line) = idle {
            match self.ask_on(&mut line, question).await {
                // The seed may have restarted since; the other streams are from then, too.
                Err(NoAnswer::Frame(FrameError::Broken(_))) => link.idle().clear(),
                answer => return self.conclude(peer, &link, line, answer),
            }
        }
        let mut line = self.open(peer, &link).await?;
        let answer = self.ask_on(&mut line, question).await;
        self.conclude(peer, &link, line, answer)
    }

    async fn ask_on(&self, line: &mut Line, question: &Question) -> Result<Answer, NoAnswer> {
        wire::write_question(&mut line.writer, question).await.map_err(FrameError::from)?;
        wire::read_answer(&mut line.reader, self.inner.rules.silence).await
    }

    fn conclude(
        &self,
        peer: PeerId,
        link: &Link,
        line: Line,
        answer: Result<Answer, NoAnswer>,
    ) -> Result<Answer, AskError> {
        match answer {
            Ok(answer) => {
                let mut idle = link.idle();
                if idle.len() < limits::IDLE_STREAMS {
                    idle.push(line);
                }
                Ok(answer)
            }
            Err(NoAnswer::Frame(err)) if err.is_fault() => {
                self.inner.judge.blame(peer, &err);
                Err(AskError::Fault { peer, reason: err.to_string() })
            }
            Err(NoAnswer::Frame(err)) => Err(AskError::Unreachable { peer, reason: err.to_string() }),
            Err(silent @ NoAnswer::Silent(_)) => Err(AskError::Silent { peer, reason: silent.to_string() }),
        }
    }

    async fn open(&self, peer: PeerId, link: &Link) -> Result<Line, AskError> {
        let opening = Opening { peer, connected: &self.inner.connected, gate: &link.gate };
        let opened = opening.open(|| self.try_open(peer)).await;
        opened.map_err(|reason| AskError::Unreachable { peer, reason })
    }

    async fn try_open(&self, peer: PeerId) -> Result<Line, String> {
        let mut control = self.inner.control.clone();
        let stream = control.open_stream(peer, StreamProtocol::new(wire::SEED)).await.map_err(|err| err.to_string())?;
        let (reader, writer) = stream.split();
        let mut reader = FrameReader::new(reader);
        match reader.next::<Reply, { limits::MAX_REPLY }>().await {
            Ok(Some(Reply::Hello { version: wire::VERSION })) => {
                Ok(Line { reader, writer: FrameWriter::new(writer, transfer::WRITE) })
            }
            Ok(Some(_)) => Err("it does not greet as a seed of this version does".into()),
            Ok(None) => Err("it accepts no question now".into()),
            Err(err) => Err(err.to_string()),
        }
    }

    fn link(&self, peer: PeerId) -> Arc<Link> {
        let mut links = self.inner.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= limits::MAX_SEEDS && !links.contains_key(&peer) {
            let connected = Arc::clone(&self.inner.connected.borrow());
            links.retain(|peer, _| connected.contains(peer));
        }
        let new = || Link {
            turns: Semaphore::new(limits::QUESTIONS),
            gate: tokio::sync::Mutex::default(),
            idle: Mutex::default(),
        };
        Arc::clone(links.entry(peer).or_insert_with(|| Arc::new(new())))
    }
}

impl Link {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
