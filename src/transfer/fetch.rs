//! Fetching blobs from several peers at once: the IO around a [`Plan`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use libp2p_stream::Control;
use tokio::sync::{mpsc, watch};

use super::error::FetchError;
use super::judge::Judge;
use super::lane::Lane;
use super::limits;
use super::links::Links;
use super::pending::{Answer, Expect, Got, Question};
use super::plan::{Action, FetchReport, Plan, Rules};
use super::traffic::Traffic;
use super::wire::Request;
use crate::domain::blob::{BlobId, MAX_BLOB};
use crate::verified::VerifiedBlob;

/// Asks other nodes. Cheap to clone; all clones share streams, counters and the list of those who lied.
#[derive(Clone)]
pub struct Fetcher {
    pub(super) links: Arc<Links>,
    rules: Arc<Rules>,
}

impl Fetcher {
    /// A client on a swarm: `connected` are its peers, and `bans` takes the ids of those to be disconnected for good.
    #[must_use]
    pub fn new(
        control: Control,
        connected: watch::Receiver<Arc<[PeerId]>>,
        bans: mpsc::Sender<PeerId>,
        traffic: Traffic,
    ) -> Self {
        let judge = Arc::new(Judge::new(bans));
        let links = Links { control, connected, judge, traffic, links: std::sync::Mutex::default(), numbers: 0.into() };
        Self { links: Arc::new(links), rules: Arc::default() }
    }

    /// The same client with other numbers: shorter deadlines for a simulation, for instance.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules: Arc::new(rules), ..self }
    }

    /// Whether a peer was caught lying [`limits::MAX_FAULTS`] times.
    #[must_use]
    pub fn is_banned(&self, peer: &PeerId) -> bool {
        self.links.judge.is_banned(peer)
    }

    /// Fetches blobs, each named with the length in bytes that it has at most, and puts them into `sink` in the order in which they come.
    ///
    /// Asks the peers `from`, or, if that is `None`, all that are connected now or become so meanwhile. A sink that is full
    /// slows the peers down; what is in memory stays under [`Rules::fetch_window`]. Dropping the future cancels.
    ///
    /// # Errors
    /// [`FetchError`], after all that can be had has gone into the sink.
    pub async fn fetch_blobs(
        &self,
        wants: Vec<(BlobId, u32)>,
        from: Option<Vec<PeerId>>,
        sink: mpsc::Sender<VerifiedBlob>,
    ) -> Result<FetchReport, FetchError> {
        if let Some((id, len)) = wants.iter().find(|(_, len)| *len as usize > MAX_BLOB) {
            return Err(FetchError::BadWant { id: *id, len: *len });
        }
        let small = wants.iter().map(|(_, len)| u64::from(*len)).sum::<u64>() <= limits::SMALL_FETCH;
        // Every outstanding id has at most one answer, and every outstanding request one end.
        let (sender, answers) = mpsc::channel(2 * self.rules.fetch_ids + 2 * limits::MAX_IDS);
        let drive = Drive {
            links: &self.links,
            plan: Plan::new(wants, (*self.rules).clone()),
            connected: self.links.connected.clone(),
            from,
            small,
            sender,
            answers,
            ready: VecDeque::new(),
            asked: Asked::default(),
        };
        drive.run(sink).await
    }
}

/// The requests that are outstanding, cancelled when the fetch is dropped.
#[derive(Default)]
struct Asked(HashMap<u64, Lane>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.iter().for_each(|(request, lane)| lane.cancel(*request));
    }
}

struct Drive<'a> {
    links: &'a Links,
    plan: Plan,
    connected: watch::Receiver<Arc<[PeerId]>>,
    from: Option<Vec<PeerId>>,
    small: bool,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    ready: VecDeque<VerifiedBlob>,
    asked: Asked,
}

impl Drive<'_> {
    async fn run(mut self, sink: mpsc::Sender<VerifiedBlob>) -> Result<FetchReport, FetchError> {
        self.meet_peers();
        loop {
            self.step();
            if self.plan.is_over() {
                return self.plan.outcome();
            }
            let wake = self.plan.wake(Instant::now()).map(tokio::time::Instant::from_std);
            tokio::select! {
                biased;
                Some(answer) = self.answers.recv() => self.on_answer(answer),
                permit = sink.reserve(), if !self.ready.is_empty() => {
                    let permit = permit.map_err(|_| FetchError::Closed)?;
                    self.hand_over(permit, &sink);
                }
                () = sink.closed() => return Err(FetchError::Closed),
                // An error means that the swarm is gone; then every stream says so too.
                Ok(()) = self.connected.changed() => self.meet_peers(),
                () = tokio::time::sleep_until(wake.unwrap_or_else(far)) => {}
            }
        }
    }

    /// Books all that has come, and only then looks at deadlines and asks for more.
    fn step(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.on_answer(answer);
        }
        let now = Instant::now();
        let busy: Vec<PeerId> = self.plan.busy_peers().collect();
        for peer in busy {
            self.plan.progress(peer, self.links.link(peer).meter.total_received(), now);
        }
        for action in self.plan.poll(now, || self.links.number()) {
            match action {
                Action::Ask { peer, request, items } => self.ask(peer, request, items),
                Action::Cancel { request, .. } => {
                    if let Some(lane) = self.asked.0.remove(&request) {
                        lane.cancel(request);
                    }
                }
            }
        }
        self.asked.0.retain(|request, _| self.plan.has(*request));
    }

    fn ask(&mut self, peer: PeerId, request: u64, items: Vec<(BlobId, u32)>) {
        let link = self.links.link(peer);
        let lane = if self.small { link.small } else { link.bulk };
        let ids = items.iter().map(|(id, _)| *id).collect();
        let question = Question {
            request: Request::Want { request, ids },
            expect: Expect::Blobs(items),
            answers: self.sender.clone(),
        };
        if lane.ask(question) {
            self.asked.0.insert(request, lane);
        } else {
            self.plan.refused(request, Instant::now());
        }
    }

    fn on_answer(&mut self, Answer { peer, request, index, got }: Answer) {
        let now = Instant::now();
        match got {
            Got::Blob(blob) => {
                if self.plan.got(request, index, blob.id(), now) {
                    self.ready.push_back(blob);
                }
            }
            Got::Missing => self.plan.missing(request, index, now),
            Got::Failed => self.plan.failed(request, index, now),
            Got::Forged(_) => self.plan.forged(request, index, now),
            Got::Broken(why) => self.plan.broken(request, &why, now),
            // The stream refuses both as answers to a want.
            Got::Later | Got::Bytes(_) => {}
        }
        if self.links.judge.is_banned(&peer) {
            self.plan.peer_out(peer, "banned for sending wrong data");
        }
    }

    fn hand_over(&mut self, permit: mpsc::Permit<'_, VerifiedBlob>, sink: &mpsc::Sender<VerifiedBlob>) {
        let mut permit = Some(permit);
        while let Some(free) = permit
            && let Some(blob) = self.ready.pop_front()
        {
            self.plan.delivered(blob.id());
            free.send(blob);
            permit = sink.try_reserve().ok();
        }
    }

    fn meet_peers(&mut self) {
        self.connected.mark_unchanged();
        let usable = self.links.usable_peers();
        let now = Instant::now();
        let candidates = self.from.as_ref().unwrap_or(&usable);
        candidates.iter().for_each(|peer| self.plan.peer_up(*peer, now));
        let gone: Vec<PeerId> = self.plan.peers().filter(|peer| !usable.contains(peer)).collect();
        gone.into_iter().for_each(|peer| self.plan.peer_down(peer));
    }
}

/// For a wait that something else ends: nothing is outstanding and nobody pauses, so the reader is what is waited for.
fn far() -> tokio::time::Instant {
    tokio::time::Instant::now() + limits::PROGRESS
}
