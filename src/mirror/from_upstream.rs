//! The upstream as a source: GOPROXY answers become manifests and blobs, or nothing at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::check::h1_threads;
use super::databases::Proven;
use super::intake::Intake;
use super::lists::{self, Known};
use super::mutable::{query_key, unix_now};
use super::source::{Level, Resolved, Source, SourceError, Want, Work};
use super::{from_peers, graver};
use crate::domain::blob::{BlobId, MAX_BLOB};
use crate::domain::dirhash::H1;
use crate::domain::manifest::{GoMod, MAX_INFO, MAX_INLINE_GO_MOD, Manifest, Proof, ZipRef};
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::domain::recipe::{self, SplitError};
use crate::domain::zip;
use crate::store::{FileBytes, Held};
use crate::upstream::{Info, Upstream, UpstreamError, Why};
use crate::verified::VerifiedBlob;

/// Bytes of blobs that go to the store in one batch: large enough that the fsync after it does not count, small enough that a few of
/// them fit in memory.
const BATCH: usize = 4 << 20;
/// Batches between the thread that splits and the store.
const QUEUE: usize = 1;

/// A GOPROXY list as a source.
pub struct FromUpstream {
    upstream: Arc<Upstream>,
    tmp: PathBuf,
}

/// A hash that bytes must have, and who says so.
#[derive(Clone)]
pub(super) struct Expected {
    pub(super) h1: H1,
    pub(super) by: String,
}

impl FromUpstream {
    /// Zips are downloaded to unnamed files in `tmp` before they are checked.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, tmp: PathBuf) -> Self {
        Self { upstream, tmp }
    }

    async fn small_parts(
        &self,
        want: &Want,
        held: Option<&Held>,
        intake: &Intake,
    ) -> Result<(Bytes, Bytes), SourceError> {
        let module = &want.module;
        if let Some(Manifest { info, go_mod: GoMod::Inline(go_mod), .. }) = held.map(|held| &*held.manifest)
            && !info.is_empty()
        {
            return Ok((Bytes::copy_from_slice(info), Bytes::copy_from_slice(go_mod)));
        }
        let info = async {
            let info = self.upstream.info(&module.path, module.version.as_str()).await.map_err(outside)?;
            if info.bytes.len() > MAX_INFO {
                return Err(SourceError::Forged(format!("the upstream's .info of {module} is over 64 KiB")));
            }
            Ok(info.bytes)
        };
        let go_mod = async { self.upstream.go_mod(module).await.map_err(outside) };
        // Both to their end: of two errors the first is not the one that counts.
        match tokio::join!(info, go_mod) {
            (Ok(info), Ok(go_mod)) => Ok((info, go_mod)),
            (Err(info), Err(go_mod)) => Err(graver(go_mod, info)),
            // A GOMODCACHE has no .info of what was reached only through go.mod files (GOPROXY.md, fact 34), and a module graph
            // needs none.
            (Err(SourceError::Miss(_)), Ok(go_mod)) if want.level == Level::GoMod => Ok((Bytes::new(), go_mod)),
            (Ok(info), Err(SourceError::Miss(why))) => {
                let key = query_key(&module.path, module.version.as_str());
                let kept = intake.store().set_fact(&key, unix_now(), info).await;
                kept.map_err(|error| SourceError::Local(error.to_string()))?;
                Err(SourceError::Miss(why))
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// The newest version. `@latest` is optional in the protocol: a proxy that answers 404 to it is asked for its list, as the go command
    /// does (GOPROXY.md, fact 13).
    async fn latest(&self, path: &ModulePath) -> Result<Info, UpstreamError> {
        let missing = match self.upstream.latest(path).await {
            Err(missing @ UpstreamError::NotFound { .. }) => missing,
            other => return other,
        };
        let listed = match self.upstream.list(path).await {
            Err(UpstreamError::NotFound { .. }) => return Err(missing),
            other => other?,
        };
        let listed: Vec<Known> = listed.into_iter().map(|version| Known { version, has_zip: true }).collect();
        match lists::latest(&listed) {
            Some(version) => self.upstream.info(path, version.as_str()).await,
            None => Err(missing),
        }
    }

    async fn fetch(&self, want: &Want, intake: &Intake) -> Result<(), SourceError> {
        let module = want.module.clone();
        let held = intake.blocking(move |store| store.manifest(&module)).await?;
        let (info, go_mod) = self.small_parts(want, held.as_ref(), intake).await?;
        // Not before the upstream has it: a database should not be told of what does not exist or is private.
        let proven = intake.databases().prove(&want.module, held.as_ref()).await?;
        let go_mod_h1 = H1::of_go_mod(&go_mod);
        expect(&want.module, "go.mod", &go_mods_of(want, proven.as_ref()), go_mod_h1)?;
        let zip = match want.level {
            Level::GoMod => None,
            Level::Zip => Some(self.fetch_zip(want, zips_of(want, proven.as_ref())?, intake).await?),
        };
        let go_mod = store_go_mod(go_mod, intake).await?;
        let manifest = Manifest { module: want.module.clone(), info: info.into(), go_mod, go_mod_h1, zip };
        let proof = proven.map_or(Proof::None, |proven| Proof::Sumdb(proven.proof));
        if intake.publish(&manifest, proof.clone()).await? || manifest.zip.is_none() {
            return Ok(());
        }
        // A peer's manifest of the same hashes is in the catalog. If its recipe is right, the store has all of it now.
        if !from_peers::settle(&want.module, intake).await? {
            intake.publish(&manifest, proof).await?;
        }
        Ok(())
    }

    async fn fetch_zip(&self, want: &Want, expected: Vec<Expected>, intake: &Intake) -> Result<ZipRef, SourceError> {
        let zip = self.upstream.zip(&want.module, &self.tmp).await.map_err(outside)?;
        ingest_zip(&want.module, zip.into_file(), expected, intake).await
    }
}

/// What the go.mod must hash to, by the one who asks and by the database.
fn go_mods_of(want: &Want, proven: Option<&Proven>) -> Vec<Expected> {
    let asked = want.go_mod_h1.map(|h1| Expected { h1, by: "go.sum".into() });
    let recorded = proven.map(|it| Expected { h1: it.record.go_mod_h1, by: it.proof.database.clone() });
    asked.into_iter().chain(recorded).collect()
}

/// What the zip must hash to. Known before its first byte comes, so that of another one nothing is ever stored.
fn zips_of(want: &Want, proven: Option<&Proven>) -> Result<Vec<Expected>, SourceError> {
    let mut expected: Vec<Expected> = want.zip_h1.map(|h1| Expected { h1, by: "go.sum".into() }).into_iter().collect();
    if let Some(Proven { proof, record }) = proven {
        let Some(h1) = record.zip_h1 else {
            return Err(SourceError::Refused(format!(
                "{} has recorded only the go.mod of {}: its zip cannot be proven and is not taken",
                proof.database, want.module
            )));
        };
        expect(&want.module, "recorded zip", &expected, h1)?;
        expected.push(Expected { h1, by: proof.database.clone() });
    }
    Ok(expected)
}

impl Source for FromUpstream {
    fn name(&self) -> &'static str {
        "upstream"
    }

    fn is_upstream(&self) -> bool {
        true
    }

    fn obtain<'a>(&'a self, want: &'a Want, intake: &'a Intake) -> Work<'a, ()> {
        Box::pin(self.fetch(want, intake))
    }

    fn list<'a>(&'a self, path: &'a ModulePath) -> Work<'a, BTreeSet<Version>> {
        Box::pin(async { Ok(self.upstream.list(path).await.map_err(outside)?.into_iter().collect()) })
    }

    fn resolve<'a>(&'a self, path: &'a ModulePath, query: &'a str) -> Work<'a, Resolved> {
        Box::pin(async move {
            let info = match query {
                "latest" => self.latest(path).await,
                query => self.upstream.info(path, query).await,
            };
            info.map(|info| Resolved { version: info.version, info: info.bytes }).map_err(outside)
        })
    }
}

/// A go.mod as the manifest holds it: inline, or as blobs when it is long.
pub(super) async fn store_go_mod(bytes: Bytes, intake: &Intake) -> Result<GoMod, SourceError> {
    if bytes.len() <= MAX_INLINE_GO_MOD {
        return Ok(GoMod::Inline(bytes.into()));
    }
    let mut blobs = Vec::new();
    for start in (0..bytes.len()).step_by(MAX_BLOB) {
        blobs.push(own_blob(bytes.slice(start..bytes.len().min(start + MAX_BLOB)))?);
    }
    let ids = blobs.iter().map(VerifiedBlob::id).collect();
    intake.put(blobs).await?;
    Ok(GoMod::Blobs { len: bytes.len() as u64, ids })
}

fn own_blob(bytes: Bytes) -> Result<VerifiedBlob, SourceError> {
    VerifiedBlob::of(bytes).map_err(|why| SourceError::Forged(why.to_string()))
}

/// Checks a zip in a file, splits it and stores the pieces; nothing is stored of a zip that fails the check.
///
/// # Errors
/// [`SourceError::Forged`] with the reason, [`SourceError::Local`] when this node's disk fails.
pub(super) async fn ingest_zip(
    module: &ModuleVersion,
    file: File,
    expected: Vec<Expected>,
    intake: &Intake,
) -> Result<ZipRef, SourceError> {
    let (sender, mut batches) = mpsc::channel::<Vec<VerifiedBlob>>(QUEUE);
    let module = module.clone();
    let splitting = tokio::task::spawn_blocking(move || check_and_split(&module, file, &expected, &sender));
    while let Some(batch) = batches.recv().await {
        // On an error the receiver is dropped with this future, and the thread's next send fails: it stops.
        intake.put(batch).await?;
    }
    splitting.await.map_err(|_| SourceError::Local("reading a zip stopped in the middle".into()))?
}

fn check_and_split(
    module: &ModuleVersion,
    file: File,
    expected: &[Expected],
    out: &mpsc::Sender<Vec<VerifiedBlob>>,
) -> Result<ZipRef, SourceError> {
    let file = FileBytes::new(file)
        .map_err(|error| SourceError::Local(format!("a temporary file cannot be read: {error}")))?;
    let facts = zip::check_module_zip_with(h1_threads(), module, &file)
        .map_err(|why| SourceError::Forged(format!("the zip of {module} is not usable: {why}")))?;
    expect(module, "zip", expected, facts.h1)?;
    // A proven zip may hold what it likes. Where nobody vouches for it, one of another module altogether is a mistake that
    // should not stay here for good.
    if expected.is_empty() && facts.inside == 0 && facts.files > 0 {
        return Err(SourceError::Forged(format!("the zip of {module} is not usable: it holds nothing of that module")));
    }
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut emit = |_: BlobId, piece: Vec<u8>| -> Result<(), SourceError> {
        bytes += piece.len();
        batch.push(own_blob(piece.into())?);
        if bytes >= BATCH {
            bytes = 0;
            send(out, std::mem::take(&mut batch))?;
        }
        Ok(())
    };
    let split = recipe::split(module, &file, &mut emit).map_err(|error| match error {
        SplitError::Read(error) => SourceError::Local(format!("a temporary file cannot be read: {error}")),
        SplitError::Emit(error) => error,
        SplitError::TooLong(_) => SourceError::Forged(format!("the zip of {module} is not usable: {error}")),
    })?;
    send(out, batch)?;
    Ok(ZipRef { h1: facts.h1, len: split.len, blake3: split.blake3, pages: split.pages })
}

fn send(out: &mpsc::Sender<Vec<VerifiedBlob>>, batch: Vec<VerifiedBlob>) -> Result<(), SourceError> {
    out.blocking_send(batch).map_err(|_| SourceError::Local("storing a zip stopped in the middle".into()))
}

pub(super) fn expect(module: &ModuleVersion, what: &str, expected: &[Expected], got: H1) -> Result<(), SourceError> {
    match expected.iter().find(|expected| expected.h1 != got) {
        Some(Expected { h1, by }) => Err(SourceError::Forged(format!(
            "the {what} of {module} has the hash {got}, but {by} says {h1}: it was refused"
        ))),
        None => Ok(()),
    }
}

/// An upstream's error as a source's: what is a miss there is one here, and nothing else is.
fn outside(error: UpstreamError) -> SourceError {
    let said = error.to_string();
    match error {
        // The proxy's own words go on to the go command's user as they are: they name the retraction, the typo, the private
        // repository, and with that proxy alone they would be the same.
        UpstreamError::NotFound { text, .. } if !text.is_empty() => SourceError::Miss(text),
        UpstreamError::NotFound { .. } | UpstreamError::Off => SourceError::Miss(said),
        UpstreamError::Refused { .. } => SourceError::Refused(said),
        UpstreamError::BadAnswer { .. } | UpstreamError::TooLarge { .. } => SourceError::Forged(said),
        UpstreamError::Local { .. } => SourceError::Local(said),
        UpstreamError::Failed { why: Why::Unreachable(_), .. } => SourceError::Away(said),
        UpstreamError::Failed { .. } | UpstreamError::Client(_) => SourceError::Failed(said),
    }
}
