//! The peers as a source: a manifest says what is needed, blobs come from whoever has them, and only when the whole zip has the
//! hashes of the manifest is the version marked as held.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::intake::Intake;
use super::source::{Level, Source, SourceError, Want, Work};
use super::zip_body::ZipBody;
use crate::domain::blob::{BlobId, MAX_BLOB};
use crate::domain::dirhash::H1;
use crate::domain::manifest::{GoMod, Manifest, ManifestId, ZipRef};
use crate::domain::module::ModuleVersion;
use crate::domain::recipe::{Layout, MAX_PAGE};
use crate::store::Held;
use crate::transfer::{FetchError, Fetcher};
use crate::verified::{VerifiedBlob, VerifiedManifest};

/// Verified blobs between the network and the store: 1 MiB each at most.
const QUEUE: usize = 32;
/// Bytes of blobs that go to the store in one batch.
const BATCH: usize = 8 << 20;

/// The swarm as a source.
pub struct FromPeers {
    fetcher: Fetcher,
}

impl FromPeers {
    /// Fetches with `fetcher`.
    #[must_use]
    pub fn new(fetcher: Fetcher) -> Self {
        Self { fetcher }
    }

    async fn fetch(&self, want: &Want, intake: &Intake) -> Result<(), SourceError> {
        let held = match known(&want.module, intake).await? {
            Some(held) if serves(&held, want.level) => held,
            _ => self.ask_around(want, intake).await?,
        };
        check_expected(want, &held.manifest)?;
        self.fetch_go_mod(&held.manifest, intake).await?;
        match (&held.manifest.zip, want.level) {
            (Some(zip), Level::Zip) => self.fetch_zip(&held, zip, intake).await,
            _ => Ok(()),
        }
    }

    /// Asks every connected peer for the manifest of a version that the catalog does not have, or has without its zip.
    async fn ask_around(&self, want: &Want, intake: &Intake) -> Result<Held, SourceError> {
        let asked = self.fetcher.lookup(&want.module).await;
        let mut refused = None;
        for (peer, envelope) in asked.found {
            match VerifiedManifest::check(envelope, intake.trust()) {
                Ok(manifest) if manifest.manifest().module == want.module => {
                    if let Err(error) = intake.accept(manifest).await {
                        tracing::warn!(%peer, module = %want.module, %error, "manifest refused");
                    }
                }
                Ok(_) => self.fetcher.blame(peer, &"it answered a lookup with another module"),
                Err(error) => {
                    self.fetcher.blame(peer, &error);
                    refused = Some(format!("what peer {peer} has as {} was refused: {error}", want.module));
                }
            }
        }
        match known(&want.module, intake).await? {
            Some(held) if serves(&held, want.level) => Ok(held),
            Some(_) => Err(SourceError::Failed(format!(
                "this site has only the go.mod of {}, not its zip: seed it on a node that has an upstream",
                want.module
            ))),
            // That somebody lies is no proof that nobody has it.
            None => Err(match refused {
                Some(why) => SourceError::Forged(why),
                None => SourceError::Miss(format!("no node of this site has {}", want.module)),
            }),
        }
    }

    async fn fetch_go_mod(&self, manifest: &Manifest, intake: &Intake) -> Result<(), SourceError> {
        let GoMod::Blobs { ids, .. } = &manifest.go_mod else { return Ok(()) };
        let wants = ids.iter().map(|id| (*id, at_most(MAX_BLOB))).collect();
        self.fetch_missing(&manifest.module, wants, intake).await?;
        let ids = ids.clone();
        let blobs = intake.blocking(move |store| store.get_many(&ids)).await?;
        let bytes: Vec<u8> = blobs.into_iter().flatten().flatten().collect();
        if H1::of_go_mod(&bytes) == manifest.go_mod_h1 {
            return Ok(());
        }
        let why = format!("the go.mod of {} does not have the hash of its manifest", manifest.module);
        intake.withdraw(manifest.id(), &why).await?;
        Err(SourceError::Forged(why))
    }

    async fn fetch_zip(&self, held: &Held, zip: &ZipRef, intake: &Intake) -> Result<(), SourceError> {
        let module = &held.manifest.module;
        // A page's length is not known before it is here.
        let pages = zip.pages.iter().map(|id| (*id, at_most(MAX_PAGE))).collect();
        self.fetch_missing(module, pages, intake).await?;
        let layout = match load_layout(module, zip, intake).await? {
            Ok(layout) => Arc::new(layout),
            Err(why) => {
                intake.withdraw(held.id, &why).await?;
                return Err(SourceError::Forged(why));
            }
        };
        let chunks = layout.chunks().map(|(id, len)| (id, at_most(len))).collect();
        self.fetch_missing(module, chunks, intake).await?;
        check_whole(held.id, module, zip, layout, intake).await
    }

    /// Brings those of `wants` that are not in the store; everything that lands is stored, so that an interrupted fetch
    /// goes on where it was.
    async fn fetch_missing(
        &self,
        module: &ModuleVersion,
        wants: Vec<(BlobId, u32)>,
        intake: &Intake,
    ) -> Result<(), SourceError> {
        let mut seen = HashSet::new();
        let unique: Vec<(BlobId, u32)> = wants.into_iter().filter(|(id, _)| seen.insert(*id)).collect();
        let ids: Vec<BlobId> = unique.iter().map(|(id, _)| *id).collect();
        let missing: HashSet<BlobId> = intake.blocking(move |store| store.missing(&ids)).await?.into_iter().collect();
        let wants: Vec<(BlobId, u32)> = unique.into_iter().filter(|(id, _)| missing.contains(id)).collect();
        if wants.is_empty() {
            return Ok(());
        }
        let (sink, landed) = mpsc::channel(QUEUE);
        let (fetched, stored) = tokio::join!(self.fetcher.fetch_blobs(wants, None, sink), store_all(landed, intake));
        stored?;
        fetched.map(|_| ()).map_err(|error| {
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

/// Stores blobs in batches while more of them arrive.
async fn store_all(mut landed: mpsc::Receiver<VerifiedBlob>, intake: &Intake) -> Result<(), SourceError> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(blob) = landed.recv().await {
        bytes += blob.bytes().len();
        batch.push(blob);
        if bytes >= BATCH {
            bytes = 0;
            intake.put(std::mem::take(&mut batch)).await?;
        }
    }
    if batch.is_empty() { Ok(()) } else { intake.put(batch).await }
}

/// A blob's length as the network wants it; one that does not fit is refused there, like any other that is too long.
fn at_most(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

async fn known(module: &ModuleVersion, intake: &Intake) -> Result<Option<Held>, SourceError> {
    let module = module.clone();
    intake.blocking(move |store| store.manifest(&module)).await
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

/// The layout of a zip whose pages are in the store; the inner error is the sender's fault.
pub(super) async fn load_layout(
    module: &ModuleVersion,
    zip: &ZipRef,
    intake: &Intake,
) -> Result<Result<Layout, String>, SourceError> {
    let (module, pages, len) = (module.clone(), zip.pages.clone(), zip.len);
    intake
        .blocking(move |store| {
            let found = store.get_many(&pages)?;
            let Some(found) = found.into_iter().collect::<Option<Vec<Bytes>>>() else {
                return Ok(Err(format!("a page of the recipe of {module} is missing")));
            };
            Ok(Layout::from_pages(&module, len, &found)
                .map_err(|why| format!("the recipe of {module} is not usable: {why}")))
        })
        .await
}

/// Completes the manifest of `module` that is in the catalog from what is in the store. Says whether it is complete; if not, it
/// was withdrawn, and another one can take its place.
pub(super) async fn settle(module: &ModuleVersion, intake: &Intake) -> Result<bool, SourceError> {
    let Some(held) = known(module, intake).await? else { return Ok(false) };
    let Some(zip) = held.manifest.zip.as_ref().filter(|_| !held.complete) else { return Ok(held.complete) };
    let layout = match load_layout(module, zip, intake).await? {
        Ok(layout) => Arc::new(layout),
        Err(why) => return intake.withdraw(held.id, &why).await.map(|()| false),
    };
    let ids: Vec<BlobId> = layout.chunks().map(|(id, _)| id).collect();
    if !intake.blocking(move |store| store.missing(&ids)).await?.is_empty() {
        let why = format!("the recipe of {module} that a peer sent names other chunks than the zip has");
        return intake.withdraw(held.id, &why).await.map(|()| false);
    }
    match check_whole(held.id, module, zip, layout, intake).await {
        Ok(()) => Ok(true),
        Err(SourceError::Forged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads the rebuilt zip once more from the store and compares both hashes; only then is the version held.
async fn check_whole(
    id: ManifestId,
    module: &ModuleVersion,
    zip: &ZipRef,
    layout: Arc<Layout>,
    intake: &Intake,
) -> Result<(), SourceError> {
    let body = ZipBody::new(intake.store().clone(), layout, zip.blake3);
    let (h1, blake3) = (zip.h1, zip.blake3);
    let checked = tokio::task::spawn_blocking(move || hashes_fit(&body, h1, blake3)).await;
    match checked.unwrap_or_else(|_| Err("checking it stopped in the middle".into())) {
        Ok(true) => intake.complete(id).await,
        Ok(false) => {
            let why = format!("the zip of {module} that the peers sent does not have the hash of its manifest");
            intake.withdraw(id, &why).await?;
            Err(SourceError::Forged(why))
        }
        Err(why) => Err(SourceError::Local(format!("the zip of {module} cannot be checked: {why}"))),
    }
}

fn hashes_fit(body: &ZipBody, h1: H1, blake3: [u8; 32]) -> Result<bool, String> {
    let mut whole = blake3::Hasher::new();
    body.each_part(0..body.len(), |part| {
        whole.update(&part);
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    // A zip whose h1 cannot be computed does not have the h1 that it claims.
    Ok(*whole.finalize().as_bytes() == blake3 && H1::of_zip(&body.reader()).is_ok_and(|got| got == h1))
}
