//! The peers as a source: a manifest says what is needed, blobs come from whoever has them, and only when the whole zip has the
//! hashes of the manifest is the version marked as held.
//!
//! Three things go on at the same time: blobs come in, those before them are put on disk, and those before *them* are
//! hashed as the zip that they make (see [`super::check`]). Nothing is believed earlier for it: the version counts as held
//! after the last put was acknowledged *and* both hashes were found right.
//!
//! A manifest may be proven in all that it hashes to and still name a recipe that gives something else. Then it is withdrawn
//! and the peers are asked for another one, so that a liar who came first does not keep an honest peer's copy away. Who
//! handed it on need not have known, so that alone is no fault; the log names who sent the pieces.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use tokio::sync::{Semaphore, mpsc};

use super::arrivals::{Arrivals, Closing};
use super::check::{Verdict, ZipCheck};
use super::intake::Intake;
use super::layouts::{self, LayoutError};
use super::source::{Level, Source, SourceError, Want, Work};
use super::spreading::{self, Lacking};
use super::zip_body::ZipBody;
use crate::domain::blob::{BlobId, MAX_BLOB};
use crate::domain::dirhash::H1;
use crate::domain::manifest::{GoMod, Manifest, ManifestId, ZipRef};
use crate::domain::module::ModuleVersion;
use crate::domain::recipe::{Layout, MAX_PAGE};
use crate::engine::spread::Part;
use crate::spread::Spread;
use crate::store::{Accepted, Held};
use crate::transfer::{FetchError, FetchReport, Fetcher};
use crate::verified::{VerifiedBlob, VerifiedManifest};

/// Verified blobs between the network and the store: 1 MiB each at most.
const QUEUE: usize = 8;
/// Bytes of blobs that go to the store in one batch, and that are gathered while the batch before is being written.
const BATCH: usize = 4 << 20;
/// A batch of fewer bytes is not written while more is coming: each costs an fsync.
const LEAST_BATCH: usize = 1 << 20;
/// Zips that are hashed while they come in. Each holds up to five threads for as long as its peers take, and blocking threads
/// are needed elsewhere; a zip beyond it is hashed when it is all here.
const EARLY_CHECKS: usize = 4;
/// Manifests of one version that are tried for one request, as each may cost a whole zip: the one of the catalog, and
/// one each of three peers.
const MANIFESTS_TRIED: usize = 4;

/// Finds nodes beyond the neighbours that hold a version.
pub trait Seek: Send + Sync {
    /// Asks the site for who holds everything that a manifest names, and waits for a bounded time. Whether somebody has
    /// connected since, so that it is worth trying again.
    fn seek(&self, id: ManifestId) -> BoxFuture<'_, bool>;
}

/// The swarm as a source.
pub struct FromPeers {
    fetcher: Fetcher,
    spread: Option<Spread>,
    seek: Option<Arc<dyn Seek>>,
    early_checks: Arc<Semaphore>,
}

impl FromPeers {
    /// Fetches with `fetcher`.
    #[must_use]
    pub fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, spread: None, seek: None, early_checks: Arc::new(Semaphore::new(EARLY_CHECKS)) }
    }

    /// Brings what is large in slices, together with all that want it at the same time.
    #[must_use]
    pub fn with_spread(self, spread: Spread) -> Self {
        Self { spread: Some(spread), ..self }
    }

    /// The same, and what no neighbour has is sought once with `seek`.
    #[must_use]
    pub fn seeking(self, seek: Arc<dyn Seek>) -> Self {
        Self { seek: Some(seek), ..self }
    }

    async fn fetch(&self, want: &Want, intake: &Intake) -> Result<(), SourceError> {
        let mut doubted = Vec::new();
        let mut forged = None;
        for _ in 0..MANIFESTS_TRIED {
            let (held, from) = match (known(&want.module, intake).await?, &forged) {
                (Some(held), _) if serves(&held, want.level) => (held, None),
                (_, None) => self.ask_around(want, &doubted, intake).await?,
                // What was found wrong before is the graver news.
                (_, Some(_)) => match self.ask_around(want, &doubted, intake).await {
                    Ok(another) => another,
                    Err(_) => break,
                },
            };
            match self.fetch_or_seek(want, &held, intake).await {
                Err(SourceError::Forged(why)) if is_withdrawn(&held, intake).await? => forged = Some(why),
                other => return other,
            }
            doubted.extend(from);
        }
        Err(SourceError::Forged(forged.unwrap_or_else(|| format!("no peer has {} as it should be", want.module))))
    }

    /// As [`Self::fetch_as`]; what the neighbours do not have is sought, and then tried once more. What has come by then
    /// is stored, and does not come again.
    async fn fetch_or_seek(&self, want: &Want, held: &Held, intake: &Intake) -> Result<(), SourceError> {
        match (self.fetch_as(want, held, intake).await, &self.seek) {
            (Err(SourceError::Failed(why)), Some(seek)) => {
                if !seek.seek(held.id).await {
                    return Err(SourceError::Failed(why));
                }
                self.fetch_as(want, held, intake).await
            }
            (fetched, _) => fetched,
        }
    }

    /// Brings what a manifest of the catalog names. When that turns out to be wrong, the manifest is withdrawn.
    async fn fetch_as(&self, want: &Want, held: &Held, intake: &Intake) -> Result<(), SourceError> {
        check_expected(want, &held.manifest)?;
        self.fetch_go_mod(&held.manifest, intake).await?;
        match (&held.manifest.zip, want.level) {
            (Some(zip), Level::Zip) => self.fetch_zip(held, zip, intake).await,
            _ => Ok(()),
        }
    }

    /// Asks every connected peer for the manifest of a version that the catalog does not have, or has without its zip. What
    /// `doubted` peers have is not taken. Gives the manifest, and the peer that it came from.
    async fn ask_around(
        &self,
        want: &Want,
        doubted: &[PeerId],
        intake: &Intake,
    ) -> Result<(Held, Option<PeerId>), SourceError> {
        let asked = self.fetcher.lookup(&want.module).await;
        let (mut refused, mut from) = (None, None);
        for (peer, envelope) in asked.found.into_iter().filter(|(peer, _)| !doubted.contains(peer)) {
            match VerifiedManifest::check(envelope, intake.trust()) {
                Ok(manifest) if manifest.manifest().module == want.module => match intake.accept(manifest).await {
                    Ok(Accepted::New | Accepted::Replaced { .. }) => from = Some(peer),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%peer, module = %want.module, %error, "manifest refused");
                        if let SourceError::Forged(why) = error {
                            let why = format!("what peer {peer} has as {} was refused: {why}", want.module);
                            refused = Some(SourceError::Forged(why));
                        }
                    }
                },
                Ok(_) => self.fetcher.blame(peer, &"it answered a lookup with another module"),
                Err(error) if error.is_fault() => {
                    self.fetcher.blame(peer, &error);
                    let why = format!("what peer {peer} has as {} was refused: {error}", want.module);
                    refused = Some(SourceError::Forged(why));
                }
                // An honest peer may go by another policy. That somebody lies is the graver news.
                Err(error) => {
                    refused.get_or_insert_with(|| SourceError::Refused(error.to_string()));
                }
            }
        }
        match known(&want.module, intake).await? {
            Some(held) if serves(&held, want.level) => Ok((held, from)),
            Some(_) => Err(SourceError::Failed(format!(
                "this site has only the go.mod of {}, not its zip: seed it on a node that has an upstream",
                want.module
            ))),
            // That somebody lies is no proof that nobody has it.
            None => Err(match refused {
                Some(refused) => refused,
                None => SourceError::Miss(nobody_has(&want.module, intake).await?),
            }),
        }
    }

    async fn fetch_go_mod(&self, manifest: &Manifest, intake: &Intake) -> Result<(), SourceError> {
        let GoMod::Blobs { ids, .. } = &manifest.go_mod else { return Ok(()) };
        let wants = ids.iter().map(|id| (*id, at_most(MAX_BLOB))).collect();
        let wants = missing(wants, intake).await?;
        let senders = self.bring(&manifest.module, wants, None, intake).await?;
        let ids = ids.clone();
        let blobs = intake.blocking(move |store| store.get_many(&ids)).await?;
        let bytes: Vec<u8> = blobs.into_iter().flatten().flatten().collect();
        if H1::of_go_mod(&bytes) == manifest.go_mod_h1 {
            return Ok(());
        }
        let (module, senders) = (&manifest.module, told(&senders));
        let why = format!("the go.mod of {module} that {senders} sent does not have the hash of its manifest");
        intake.withdraw(manifest.id(), &why).await?;
        Err(SourceError::Forged(why))
    }

    async fn fetch_zip(&self, held: &Held, zip: &ZipRef, intake: &Intake) -> Result<(), SourceError> {
        let module = &held.manifest.module;
        // A page's length is not known before it is here.
        let pages = zip.pages.iter().map(|id| (*id, at_most(MAX_PAGE))).collect();
        let pages = lacking(held.id, Part::Pages, pages, intake).await?;
        let mut senders = self.bring_part(module, pages, None, intake).await?;
        let layout = match layouts::load(module, zip, intake).await {
            Ok(layout) => Arc::new(layout),
            Err(LayoutError::Local(error)) => return Err(error),
            Err(LayoutError::Unusable(why)) => {
                let why = format!("{why} ({} sent it)", told(&senders));
                intake.withdraw(held.id, &why).await?;
                return Err(SourceError::Forged(why));
            }
        };
        let chunks = lacking(held.id, Part::Chunks, chunks_of(&layout), intake).await?;
        let check = match Arc::clone(&self.early_checks).try_acquire_owned() {
            Err(_) => {
                senders.extend(self.bring_part(module, chunks, None, intake).await?);
                ZipCheck::start(module, ZipBody::new(intake.store().clone(), layout, zip.blake3), zip.h1, None)
            }
            Ok(permit) => {
                let arrivals = Arc::new(Arrivals::new(chunks.missing.iter().map(|(id, _)| *id).collect()));
                let body = ZipBody::arriving(intake.store().clone(), layout, zip.blake3, Arc::clone(&arrivals));
                let check = ZipCheck::start(module, body, zip.h1, Some(permit));
                let _closing = Closing(&arrivals);
                senders.extend(self.bring_part(module, chunks, Some(&arrivals), intake).await?);
                check
            }
        };
        conclude(held.id, module, check, &senders, intake).await
    }

    /// Brings what is lacking of a part of a module version: together with all who want it if it is large, and what nobody
    /// offers by asking for it. Gives those who sent something.
    async fn bring_part(
        &self,
        module: &ModuleVersion,
        mut part: Lacking,
        arrivals: Option<&Arrivals>,
        intake: &Intake,
    ) -> Result<BTreeSet<PeerId>, SourceError> {
        let mut senders = BTreeSet::new();
        if let Some(spread) = &self.spread
            && let Some(sent) = spreading::bring(spread, &part, arrivals, intake).await?
        {
            senders = sent;
            part.missing = missing(part.missing, intake).await?;
        }
        senders.extend(self.bring(module, part.missing, arrivals, intake).await?);
        Ok(senders)
    }

    /// Brings `wants`; everything that lands is stored, so that an interrupted fetch goes on where it was. Gives those who
    /// sent something.
    async fn bring(
        &self,
        module: &ModuleVersion,
        wants: Vec<(BlobId, u32)>,
        arrivals: Option<&Arrivals>,
        intake: &Intake,
    ) -> Result<BTreeSet<PeerId>, SourceError> {
        if wants.is_empty() {
            return Ok(BTreeSet::new());
        }
        let (sink, landed) = mpsc::channel(QUEUE);
        let storing = store_all(landed, arrivals, intake);
        let (fetched, stored) = tokio::join!(self.fetcher.fetch_blobs(wants, None, sink), storing);
        stored?;
        let brought = |report: FetchReport| report.peers.into_iter().filter(|share| share.blobs > 0);
        fetched.map(|report| brought(report).map(|share| share.peer).collect()).map_err(|error| {
            let text = format!("{module} cannot be had from the peers now: {error}");
            match error {
                FetchError::Forged { .. } => SourceError::Forged(text),
                _ => SourceError::Failed(text),
            }
        })
    }
}

impl Source for FromPeers {
    fn name(&self) -> &'static str {
        "peers"
    }

    fn obtain<'a>(&'a self, want: &'a Want, intake: &'a Intake) -> Work<'a, ()> {
        Box::pin(self.fetch(want, intake))
    }
}

/// What is lacking of a part of a module version that consists of these blobs.
async fn lacking(
    manifest: ManifestId,
    part: Part,
    mut all: Vec<(BlobId, u32)>,
    intake: &Intake,
) -> Result<Lacking, SourceError> {
    let mut seen = HashSet::new();
    all.retain(|(id, _)| seen.insert(*id));
    let missing = missing(all.clone(), intake).await?;
    Ok(Lacking { manifest, part, all, missing })
}

/// Those of `wants` that the store does not have, each once.
async fn missing(mut wants: Vec<(BlobId, u32)>, intake: &Intake) -> Result<Vec<(BlobId, u32)>, SourceError> {
    let mut seen = HashSet::new();
    wants.retain(|(id, _)| seen.insert(*id));
    let ids: Vec<BlobId> = wants.iter().map(|(id, _)| *id).collect();
    let missing: HashSet<BlobId> = intake.blocking(move |store| store.missing(&ids)).await?.into_iter().collect();
    wants.retain(|(id, _)| missing.contains(id));
    Ok(wants)
}

/// Stores blobs in batches: while one is being written, the next is gathered.
async fn store_all(
    mut landed: mpsc::Receiver<VerifiedBlob>,
    arrivals: Option<&Arrivals>,
    intake: &Intake,
) -> Result<(), SourceError> {
    let (mut gathered, mut bytes, mut open) = (Vec::new(), 0, true);
    // One at a time: the store has one writer.
    let mut writing = FuturesUnordered::new();
    loop {
        let worthwhile = bytes >= LEAST_BATCH || (!open && !gathered.is_empty());
        if writing.is_empty() && worthwhile {
            bytes = 0;
            writing.push(store_batch(std::mem::take(&mut gathered), arrivals, intake));
        }
        tokio::select! {
            Some(stored) = writing.next(), if !writing.is_empty() => stored?,
            count = landed.recv_many(&mut gathered, QUEUE), if open && bytes < BATCH => {
                let new = &gathered[gathered.len() - count..];
                bytes += new.iter().map(|blob| blob.bytes().len()).sum::<usize>();
                if let Some(arrivals) = arrivals {
                    arrivals.landed(new);
                }
                open = count > 0;
            }
            else => return Ok(()),
        }
    }
}

async fn store_batch(
    batch: Vec<VerifiedBlob>,
    arrivals: Option<&Arrivals>,
    intake: &Intake,
) -> Result<(), SourceError> {
    let ids: Vec<BlobId> = batch.iter().map(VerifiedBlob::id).collect();
    intake.put(batch).await?;
    if let Some(arrivals) = arrivals {
        arrivals.stored(&ids);
    }
    Ok(())
}

/// A blob's length as the network wants it; one that does not fit is refused there, like any other that is too long.
fn at_most(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

async fn known(module: &ModuleVersion, intake: &Intake) -> Result<Option<Held>, SourceError> {
    let module = module.clone();
    intake.blocking(move |store| store.manifest(&module)).await
}

/// Whether a manifest is not in the catalog any more.
async fn is_withdrawn(held: &Held, intake: &Intake) -> Result<bool, SourceError> {
    Ok(known(&held.manifest.module, intake).await?.is_none_or(|now| now.id != held.id))
}

/// Peers for a message.
fn told(peers: &BTreeSet<PeerId>) -> String {
    let each: Vec<String> = peers.iter().map(|peer| format!("peer {peer}")).collect();
    if each.is_empty() { "the peers".into() } else { each.join(" and ") }
}

/// What to tell and to do where the site has no such version.
pub(super) async fn nobody_has(module: &ModuleVersion, intake: &Intake) -> Result<String, SourceError> {
    let path = module.path.clone();
    let others = intake.blocking(move |store| store.versions(&path)).await?;
    let highest = others.into_iter().filter(|other| other.has_zip).map(|other| other.version).max();
    let others = highest.map_or_else(String::new, |highest| format!(" (but other versions, up to {highest})"));
    Ok(format!(
        "no node of this site has {module}{others}: `modswarm seed {module}` on a node that has an upstream brings it in"
    ))
}

fn serves(held: &Held, level: Level) -> bool {
    level == Level::GoMod || held.manifest.zip.is_some()
}

fn check_expected(want: &Want, manifest: &Manifest) -> Result<(), SourceError> {
    let zip = manifest.zip.as_ref().map(|zip| zip.h1);
    let differs = |expected: Option<H1>, got: Option<H1>| matches!((expected, got), (Some(a), Some(b)) if a != b);
    if differs(want.zip_h1, zip) || differs(want.go_mod_h1, Some(manifest.go_mod_h1)) {
        return Err(SourceError::Forged(format!("this site's {} does not have the hash of the go.sum", want.module)));
    }
    Ok(())
}

/// Completes the manifest of `module` that is in the catalog from what is in the store. Says whether it is complete; if not, it
/// was withdrawn, and another one can take its place.
pub(super) async fn settle(module: &ModuleVersion, intake: &Intake) -> Result<bool, SourceError> {
    let Some(held) = known(module, intake).await? else { return Ok(false) };
    let Some(zip) = held.manifest.zip.as_ref().filter(|_| !held.complete) else { return Ok(held.complete) };
    let layout = match layouts::load(module, zip, intake).await {
        Ok(layout) => Arc::new(layout),
        Err(LayoutError::Local(error)) => return Err(error),
        Err(LayoutError::Unusable(why)) => return intake.withdraw(held.id, &why).await.map(|()| false),
    };
    if !missing(chunks_of(&layout), intake).await?.is_empty() {
        let why = format!("the recipe of {module} that a peer sent names other chunks than the zip has");
        return intake.withdraw(held.id, &why).await.map(|()| false);
    }
    let check = ZipCheck::start(module, ZipBody::new(intake.store().clone(), layout, zip.blake3), zip.h1, None);
    match conclude(held.id, module, check, &BTreeSet::new(), intake).await {
        Ok(()) => Ok(true),
        Err(SourceError::Forged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The chunks of a zip with the lengths that they have in it.
fn chunks_of(layout: &Layout) -> Vec<(BlobId, u32)> {
    layout.chunks().map(|(id, len)| (id, at_most(len))).collect()
}

/// Marks the version as held if the check says so, and takes its manifest back if the check says the contrary.
async fn conclude(
    id: ManifestId,
    module: &ModuleVersion,
    check: ZipCheck,
    senders: &BTreeSet<PeerId>,
    intake: &Intake,
) -> Result<(), SourceError> {
    match check.verdict().await {
        Ok(Verdict::Right) => intake.complete(id).await,
        Ok(Verdict::Wrong(how)) => {
            let why = format!("the zip of {module} that {} sent {how}", told(senders));
            intake.withdraw(id, &why).await?;
            Err(SourceError::Forged(why))
        }
        Err(why) => Err(SourceError::Local(format!("the zip of {module} cannot be checked: {why}"))),
    }
}
