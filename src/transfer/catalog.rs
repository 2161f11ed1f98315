//! Questions about other nodes' catalogs: single manifests and module versions. Whole catalogs are compared in
//! `compare`.

use std::fmt::Display;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::error::CatalogError;
use super::fetch::Fetcher;
use super::limits;
use super::pending::{Answer, Expect, Got, Question};
use super::wire::{Request, VersionsPage};
use crate::domain::codec;
use crate::domain::manifest::ManifestId;
use crate::domain::membership::orders::MAX_ORDERS;
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::domain::sumdb::state::{MAX_STATE_ID, StateId};

/// What a question to all peers brought: miss and failure are kept apart.
#[derive(Debug)]
pub struct Asked<T> {
    /// Who had something, and what.
    pub found: Vec<(PeerId, T)>,
    /// Who answered that it has nothing.
    pub missing: Vec<PeerId>,
    /// Who could not be asked or did not answer properly.
    pub failed: Vec<CatalogError>,
}

/// What a catch-up brought, and what it cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SyncReport {
    /// Round trips until the difference was known.
    pub rounds: usize,
    /// Bytes that finding out has cost, in both directions: frames with their headers, and the keys by which the envelopes were
    /// asked for.
    pub finding_bytes: u64,
    /// Manifests that this node has and the peer has not.
    pub extra: usize,
    /// Envelopes that were fetched.
    pub envelopes: usize,
    /// Their bytes.
    pub envelope_bytes: u64,
    /// Manifests that the peer had and then did not have (it removed them meanwhile).
    pub gone: usize,
    /// Manifests that the peer could not read.
    pub unreadable: usize,
}

impl Fetcher {
    /// Asks every connected peer for the envelope of a module version, in parallel, and waits for all answers at most
    /// [`limits::ASK_ALL`]. What comes decodes as an envelope at best: check it before it is believed.
    pub async fn lookup(&self, module: &ModuleVersion) -> Asked<Bytes> {
        let (path, version) = (module.path.as_str(), module.version.as_str());
        self.ask_all(|peer| async move {
            let question = |request| Request::Lookup { request, path: path.into(), version: version.into() };
            self.one(peer, question, limits::MAX_PAYLOAD).await
        })
        .await
    }

    /// Asks every connected peer which versions of a module it has, as [`Self::lookup`] does. Texts that are no versions
    /// are left out.
    pub async fn versions(&self, module: &ModulePath) -> Asked<Vec<Version>> {
        self.ask_all(|peer| async move {
            let versions = self.versions_of(peer, module).await?;
            Ok((!versions.is_empty()).then_some(versions))
        })
        .await
    }

    /// The envelope of one manifest, from one peer; `None` if it has none.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn envelope(&self, peer: PeerId, id: ManifestId) -> Result<Option<Bytes>, CatalogError> {
        let (sink, mut envelope) = mpsc::channel(1);
        self.envelopes(peer, vec![id], &sink, &mut SyncReport::default()).await?;
        Ok(envelope.try_recv().ok())
    }

    /// Which state a peer has of a checksum database (name and hash of its key); `None` if it has none. It is its word only.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn sumdb_state(&self, peer: PeerId, database: &str) -> Result<Option<StateId>, CatalogError> {
        let question = |request| Request::Sumdb { request, database: database.into() };
        let Some(bytes) = self.one(peer, question, MAX_STATE_ID).await? else { return Ok(None) };
        let id = StateId::decode(&bytes);
        id.map(Some)
            .map_err(|err| self.liar(peer, &format!("the name of its state of {database} cannot be read: {err}")))
    }

    /// The orders of the site that a peer has, if they are newer than those with this serial. They are not checked.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn orders(&self, peer: PeerId, newer_than: u64) -> Result<Option<Bytes>, CatalogError> {
        self.one(peer, |request| Request::Orders { request, newer_than }, MAX_ORDERS).await
    }

    /// Counts a fault of a peer that only the caller could see: a manifest that does not hold, an answer about something
    /// else. [`limits::MAX_FAULTS`] of them are a ban.
    pub fn blame(&self, peer: PeerId, what: &dyn Display) {
        self.links.judge.fault(peer, what);
    }

    /// Fetches one page of envelopes, in as many questions as the budget makes of it.
    async fn envelopes(
        &self,
        peer: PeerId,
        mut ids: Vec<ManifestId>,
        sink: &mpsc::Sender<Bytes>,
        report: &mut SyncReport,
    ) -> Result<(), CatalogError> {
        while !ids.is_empty() {
            let (budget, asked) = (limits::ENVELOPES_BUDGET, ids.clone());
            let expect = Expect::Envelopes(ids.clone(), budget);
            let answers = self.ask(peer, |request| Request::Envelopes { request, ids: asked, budget }, expect)?;
            let done = self.take_envelopes(peer, answers, ids.len(), sink, report).await?;
            ids.drain(..done);
        }
        Ok(())
    }

    /// Takes the answers to a question for `count` envelopes; gives how many it has answered before it put off the rest.
    pub(super) async fn take_envelopes(
        &self,
        peer: PeerId,
        mut answers: mpsc::Receiver<Answer>,
        count: usize,
        sink: &mpsc::Sender<Bytes>,
        report: &mut SyncReport,
    ) -> Result<usize, CatalogError> {
        for _ in 0..count {
            match self.next(peer, &mut answers).await? {
                (_, Got::Bytes(envelope)) => {
                    report.envelopes += 1;
                    report.envelope_bytes += envelope.len() as u64;
                    sink.send(envelope).await.map_err(|_| CatalogError::Closed)?;
                }
                (_, Got::Missing) => report.gone += 1,
                (index, Got::Later) => return Ok(count.min(index as usize)),
                _ => report.unreadable += 1,
            }
        }
        Ok(count)
    }

    async fn versions_of(&self, peer: PeerId, module: &ModulePath) -> Result<Vec<Version>, CatalogError> {
        let mut all = Vec::new();
        let mut skip = 0_u32;
        loop {
            let question = |request| Request::Versions { request, path: module.as_str().into(), skip };
            let bytes = self.one(peer, question, limits::MAX_VERSIONS_PAGE).await?.unwrap_or_default();
            let page = codec::decode::<VersionsPage, { limits::MAX_VERSIONS_PAGE }>(&bytes)
                .map_err(|err| self.liar(peer, &format!("a page of versions cannot be read: {err}")))?;
            skip = skip.saturating_add(u32::try_from(page.versions.len()).unwrap_or(u32::MAX));
            if (page.more && page.versions.is_empty()) || skip as usize > limits::MAX_VERSIONS {
                return Err(self.liar(peer, "its list of versions has no end"));
            }
            all.extend(page.versions.iter().filter_map(|text| Version::parse(text).ok()));
            if !page.more {
                return Ok(all);
            }
        }
    }

    async fn ask_all<T, F>(&self, question: impl Fn(PeerId) -> F) -> Asked<T>
    where
        F: Future<Output = Result<Option<T>, CatalogError>>,
    {
        let asks = self.links.usable_peers().into_iter().map(|peer| {
            let answer = tokio::time::timeout(limits::ASK_ALL, question(peer));
            async move { (peer, answer.await.unwrap_or(Err(CatalogError::Silent { peer }))) }
        });
        let mut asked = Asked { found: Vec::new(), missing: Vec::new(), failed: Vec::new() };
        for (peer, answer) in futures::future::join_all(asks).await {
            match answer {
                Ok(Some(found)) => asked.found.push((peer, found)),
                Ok(None) => asked.missing.push(peer),
                Err(err) => asked.failed.push(err),
            }
        }
        asked
    }

    /// Asks for one piece; `None` if the peer has none.
    pub(super) async fn one(
        &self,
        peer: PeerId,
        question: impl FnOnce(u64) -> Request,
        limit: usize,
    ) -> Result<Option<Bytes>, CatalogError> {
        let mut answers = self.ask(peer, question, Expect::One(limit))?;
        match self.next(peer, &mut answers).await?.1 {
            Got::Bytes(bytes) => Ok(Some(bytes)),
            Got::Missing => Ok(None),
            _ => Err(CatalogError::Failed { peer }),
        }
    }

    pub(super) fn ask(
        &self,
        peer: PeerId,
        question: impl FnOnce(u64) -> Request,
        expect: Expect,
    ) -> Result<mpsc::Receiver<Answer>, CatalogError> {
        // One answer for each thing, and one end.
        let (sender, answers) = mpsc::channel(expect.count() + 1);
        let question = Question { request: question(self.links.number()), expect, answers: sender };
        if self.links.link(peer).small.ask(question) {
            Ok(answers)
        } else {
            Err(CatalogError::Unreachable { peer, reason: "too many questions are waiting for it".into() })
        }
    }

    async fn next(&self, peer: PeerId, answers: &mut mpsc::Receiver<Answer>) -> Result<(u32, Got), CatalogError> {
        let answer = tokio::time::timeout(limits::ANSWER, answers.recv()).await;
        match answer.map_err(|_| CatalogError::Silent { peer })? {
            Some(Answer { got: Got::Forged(reason), .. }) => {
                Err(CatalogError::Forged { peer, reason: reason.to_string() })
            }
            Some(Answer { got: Got::Broken(why), .. }) => {
                Err(CatalogError::Unreachable { peer, reason: why.to_string() })
            }
            Some(Answer { index, got, .. }) => Ok((index, got)),
            None => Err(CatalogError::Unreachable { peer, reason: "the node is stopping".into() }),
        }
    }

    pub(super) fn liar(&self, peer: PeerId, reason: &str) -> CatalogError {
        self.links.judge.fault(peer, &reason);
        CatalogError::Forged { peer, reason: reason.into() }
    }
}
