//! Questions about other nodes' catalogs: catch-up after absence, and single module versions.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::digest::{self, Digests};
use super::error::CatalogError;
use super::fetch::Fetcher;
use super::held::Held;
use super::limits;
use super::pending::{Answer, Expect, Got, Question};
use super::wire::{BucketPage, Request, VersionsPage};
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

/// What a catch-up brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SyncReport {
    /// Buckets that differed.
    pub buckets: usize,
    /// Envelopes that were fetched.
    pub envelopes: usize,
    /// Manifests that the peer listed and then did not have (it removed them meanwhile).
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

    /// Fetches the envelopes that `peer` has and `local` has not, into `sink`: compares digests of 256 buckets, lists those
    /// that differ, and asks for what is missing, in bounded pages. A full sink slows it down.
    ///
    /// Each envelope holds the manifest that was asked for; whether it may be believed is for the receiver to check.
    ///
    /// # Errors
    /// [`CatalogError`]; what has gone into the sink until then is good.
    pub async fn catalog_sync(
        &self,
        peer: PeerId,
        local: Arc<dyn Held>,
        sink: mpsc::Sender<Bytes>,
    ) -> Result<SyncReport, CatalogError> {
        let theirs = self.digests(peer).await?;
        let ours = blocking(&local, Held::digests).await?;
        let differ: Vec<u8> = (0..=u8::MAX).filter(|at| theirs[usize::from(*at)] != ours[usize::from(*at)]).collect();
        let mut report = SyncReport { buckets: differ.len(), ..SyncReport::default() };
        let lacks = differ.into_iter().map(|bucket| self.lacks(peer, &local, bucket));
        let mut lacks = futures::stream::iter(lacks).buffer_unordered(limits::BUCKETS_AHEAD);
        let mut ids = Vec::new();
        while let Some(more) = lacks.next().await {
            ids.extend(more?);
            while ids.len() >= limits::MAX_IDS {
                let page = ids.split_off(ids.len() - limits::MAX_IDS);
                self.envelopes(peer, page, &sink, &mut report).await?;
            }
        }
        if !ids.is_empty() {
            self.envelopes(peer, ids, &sink, &mut report).await?;
        }
        Ok(report)
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

    async fn digests(&self, peer: PeerId) -> Result<Digests, CatalogError> {
        let bytes = self.one(peer, |request| Request::Digests { request }, 256 * 8).await?;
        let words = bytes.as_deref().map(|bytes| bytes.as_chunks::<8>());
        let mut digests = [0; 256];
        match words {
            Some((words, [])) if words.len() == digests.len() => {
                digests.iter_mut().zip(words).for_each(|(digest, word)| *digest = u64::from_le_bytes(*word));
                Ok(digests)
            }
            _ => Err(self.liar(peer, "its digests are not 256 numbers")),
        }
    }

    /// The manifests of a bucket that the peer has and this node has not.
    async fn lacks(&self, peer: PeerId, local: &Arc<dyn Held>, bucket: u8) -> Result<Vec<ManifestId>, CatalogError> {
        let ours: HashSet<ManifestId> = blocking(local, move |held| held.bucket(bucket)).await?.into_iter().collect();
        let (mut lacks, mut listed, mut after) = (Vec::new(), 0, None);
        loop {
            let question = |request| Request::Bucket { request, bucket, after };
            let bytes = self.one(peer, question, limits::MAX_BUCKET_PAGE).await?.unwrap_or_default();
            let page = codec::decode::<BucketPage, { limits::MAX_BUCKET_PAGE }>(&bytes)
                .map_err(|err| self.liar(peer, &format!("a page of its catalog cannot be read: {err}")))?;
            listed += page.ids.len();
            if !ascends(&page.ids, bucket, after)
                || (page.more && page.ids.is_empty())
                || listed > limits::MAX_BUCKET_IDS
            {
                return Err(self.liar(peer, "a page of its catalog is out of order"));
            }
            after = page.ids.last().copied();
            lacks.extend(page.ids.into_iter().filter(|id| !ours.contains(id)));
            if !page.more {
                return Ok(lacks);
            }
        }
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
            let mut answers = self.ask(peer, |request| Request::Envelopes { request, ids: asked, budget }, expect)?;
            let mut done = ids.len();
            for _ in 0..ids.len() {
                match self.next(peer, &mut answers).await? {
                    (_, Got::Bytes(envelope)) => {
                        sink.send(envelope).await.map_err(|_| CatalogError::Closed)?;
                        report.envelopes += 1;
                    }
                    (_, Got::Missing) => report.gone += 1,
                    (index, Got::Later) => {
                        done = index as usize;
                        break;
                    }
                    _ => report.unreadable += 1,
                }
            }
            ids.drain(..done.min(ids.len()));
        }
        Ok(())
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
            if (page.more && page.versions.is_empty()) || skip as usize > limits::MAX_BUCKET_IDS {
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
    async fn one(
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

    fn ask(
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

    fn liar(&self, peer: PeerId, reason: &str) -> CatalogError {
        self.links.judge.fault(peer, &reason);
        CatalogError::Forged { peer, reason: reason.into() }
    }
}

/// Whether a page lists a bucket's ids in ascending order, all after the last one of the page before.
fn ascends(ids: &[ManifestId], bucket: u8, after: Option<ManifestId>) -> bool {
    let goes_on = ids.first().zip(after).is_none_or(|(first, after)| *first > after);
    goes_on && ids.is_sorted_by(|a, b| a < b) && ids.iter().all(|id| digest::bucket(id) == bucket)
}

async fn blocking<T: Send + 'static>(
    held: &Arc<dyn Held>,
    read: impl FnOnce(&dyn Held) -> std::io::Result<T> + Send + 'static,
) -> Result<T, CatalogError> {
    let held = Arc::clone(held);
    let read = tokio::task::spawn_blocking(move || read(held.as_ref())).await;
    Ok(read.map_err(std::io::Error::other)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_repeats_turns_back_or_strays_is_refused() {
        let id = |first, last| {
            let mut raw = [0; 32];
            (raw[0], raw[31]) = (first, last);
            ManifestId::from_bytes(raw)
        };
        assert!(ascends(&[], 1, None) && ascends(&[], 1, Some(id(1, 1))));
        assert!(ascends(&[id(1, 1), id(1, 2)], 1, None));
        assert!(ascends(&[id(1, 2)], 1, Some(id(1, 1))));
        assert!(!ascends(&[id(1, 1)], 1, Some(id(1, 1))));
        assert!(!ascends(&[id(1, 2), id(1, 1)], 1, None));
        assert!(!ascends(&[id(1, 1), id(1, 1)], 1, None));
        assert!(!ascends(&[id(2, 1)], 1, None));
    }
}
