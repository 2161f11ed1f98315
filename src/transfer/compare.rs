//! Comparing catalogs with a peer, and fetching what is missing: the IO around a [`Reconcile`].

use std::sync::Arc;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::catalog::SyncReport;
use super::digest;
use super::error::CatalogError;
use super::fetch::Fetcher;
use super::held::Held;
use super::limits;
use super::pending::Expect;
use super::wire::{Request, SketchPage};
use crate::domain::codec;
use crate::domain::manifest::ManifestId;
use crate::engine::reconcile::{self, Action, Ask, Key, Part, Reconcile, Salt, Symbol};

/// Bytes of a frame besides what is in it: the length before the header, and an answer's header.
const FRAME: u64 = 4;
const ANSWER_HEADER: u64 = 12;

/// What this node has, as of the beginning.
struct Own {
    ids: Arc<[ManifestId]>,
    /// What is not wanted, as if it were here too.
    left_out: Arc<[ManifestId]>,
    sum: [u8; 16],
}

/// How a comparison is told apart from others.
struct Session {
    peer: PeerId,
    nonce: [u8; 16],
    salt: Arc<Salt>,
}

/// What came of asking for symbols.
enum Sketch {
    Same,
    Busy,
    Gone,
    Page { salt: [u8; 16], total: u64, symbols: Vec<Symbol> },
}

impl Fetcher {
    /// Fetches the envelopes that `peer` has and `local` has not, into `sink`. What differs is found by reconciliation (see
    /// [`reconcile`]); catalogs that are equal cost one small round trip. What is in `left_out` is not fetched. A full sink slows
    /// it down.
    ///
    /// Each envelope is of one of the manifests that the peer said it has; whether it may be believed is for the receiver
    /// to check.
    ///
    /// # Errors
    /// [`CatalogError`]; what has gone into the sink until then is good.
    pub async fn catalog_sync(
        &self,
        peer: PeerId,
        local: Arc<dyn Held>,
        left_out: Arc<[ManifestId]>,
        sink: mpsc::Sender<Bytes>,
    ) -> Result<SyncReport, CatalogError> {
        let own = blocking(move || {
            let digests = local.digests()?;
            Ok(Own { ids: local.manifest_ids()?, left_out, sum: digest::sum(&digests) })
        });
        let own = Arc::new(own.await?);
        let mut report = SyncReport::default();
        for tried in 1.. {
            if self.compare(peer, &own, &sink, &mut report).await? {
                break;
            }
            if tried >= limits::COMPARE_TRIES {
                return Err(CatalogError::Busy { peer });
            }
            // The peer has enough to do, or our comparison was pushed out by others.
            tokio::time::sleep(limits::COMPARE_RETRY.mul_f64(1.0 + rand::random::<f64>())).await;
        }
        Ok(report)
    }

    /// One comparison; `false` if the peer could not do it now.
    async fn compare(
        &self,
        peer: PeerId,
        own: &Arc<Own>,
        sink: &mpsc::Sender<Bytes>,
        report: &mut SyncReport,
    ) -> Result<bool, CatalogError> {
        let nonce = rand::random();
        let mut ask = Ask { part: Part::ALL, from: 0, count: 0 };
        let first = self.sketch(peer, nonce, ask, own, report).await?;
        let (salt, mut total, mut symbols) = match first {
            Sketch::Same => return Ok(true),
            Sketch::Busy | Sketch::Gone => return Ok(false),
            Sketch::Page { salt, total, symbols } => (salt, total, symbols),
        };
        let session = Session { peer, nonce, salt: Arc::new(Salt::new(&nonce, &salt)) };
        let (own_ids, secret) = (Arc::clone(own), Arc::clone(&session.salt));
        let reconcile = blocking(move || {
            let keys = own_ids.ids.iter().chain(own_ids.left_out.iter()).map(|id| secret.key(id));
            Ok(Reconcile::new(&secret, keys.collect()))
        });
        let mut reconcile = reconcile.await?;
        loop {
            let (back, action) = blocking(move || {
                let action = reconcile.answer(total, &symbols);
                Ok((reconcile, action))
            })
            .await?;
            reconcile = back;
            ask = match action.map_err(|nonsense| self.liar(peer, &nonsense.to_string()))? {
                Action::Ask(next) => next,
                Action::Found { missing, extra, next } => {
                    report.extra += extra.len();
                    self.keyed(&session, missing, sink, report).await?;
                    match next {
                        Some(next) => next,
                        None => return Ok(true),
                    }
                }
                Action::TooLarge => return Err(CatalogError::TooDifferent { peer }),
            };
            match self.sketch(peer, nonce, ask, own, report).await? {
                Sketch::Page { salt: again, total: now, symbols: more } if again == salt => {
                    (total, symbols) = (now, more);
                }
                Sketch::Page { .. } | Sketch::Same => return Err(self.liar(peer, "it changed the comparison")),
                Sketch::Busy | Sketch::Gone => return Ok(false),
            }
        }
    }

    /// Asks for symbols.
    async fn sketch(
        &self,
        peer: PeerId,
        nonce: [u8; 16],
        ask: Ask,
        own: &Own,
        report: &mut SyncReport,
    ) -> Result<Sketch, CatalogError> {
        let Ask { part, from, count } = ask;
        let total = (own.ids.len() + own.left_out.len()) as u64;
        let part = (part.bits, part.prefix);
        let question = |request| Request::Sketch { request, nonce, part, from, count, total, sum: own.sum };
        report.rounds += 1;
        report.finding_bytes += FRAME + codec::encode(&question(u64::MAX)).len() as u64;
        let Some(bytes) = self.one(peer, question, limits::MAX_SKETCH).await? else { return Ok(Sketch::Gone) };
        report.finding_bytes += FRAME + ANSWER_HEADER + bytes.len() as u64;
        let page = codec::decode::<SketchPage, { limits::MAX_SKETCH }>(&bytes)
            .map_err(|err| self.liar(peer, &format!("a summary of its catalog cannot be read: {err}")))?;
        Ok(match page {
            SketchPage::Same => Sketch::Same,
            SketchPage::Busy => Sketch::Busy,
            SketchPage::Symbols { salt, total, symbols } => {
                let most = if count == 0 { reconcile::limits::PAGE_SYMBOLS } else { count };
                let symbols = reconcile::unpack(from, total, &symbols, most)
                    .ok_or_else(|| self.liar(peer, "a summary of its catalog is not what was asked for"))?;
                Sketch::Page { salt, total, symbols }
            }
        })
    }

    /// Fetches the envelopes of what was found.
    async fn keyed(
        &self,
        session: &Session,
        missing: Vec<Key>,
        sink: &mpsc::Sender<Bytes>,
        report: &mut SyncReport,
    ) -> Result<(), CatalogError> {
        for page in missing.chunks(limits::MAX_IDS) {
            let mut page = page.to_vec();
            while !page.is_empty() {
                let (budget, nonce) = (limits::ENVELOPES_BUDGET, session.nonce);
                let keys: Vec<[u8; 8]> = page.iter().map(|key| key.to_le_bytes()).collect();
                let question = |request| Request::EnvelopesByKey { request, nonce, keys, budget };
                report.finding_bytes += (page.len() * 8) as u64 + 32;
                let expect = Expect::Keyed(Arc::clone(&session.salt), page.clone(), budget);
                let answers = self.ask(session.peer, question, expect)?;
                let done = self.take_envelopes(session.peer, answers, page.len(), sink, report).await?;
                report.finding_bytes += done as u64 * (FRAME + ANSWER_HEADER);
                page.drain(..done);
            }
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, CatalogError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)??)
}
