//! The mirror: the one path from a GOPROXY request to verified bytes.
//!
//! ```text
//!  request ──> held? ── yes ─────────────────────────────> the answer, read from the store
//!                │ no                                                  ^
//!                └─> single flight ─> peers, then a seed or the upstream ─> door ─> store
//! ```
//! * A miss fills the store, and then the answer is read from the store: there is one code path for ranges, ETags and disk errors.
//! * One fetch per module version, however many ask ([`flight`]); it goes on when the client leaves.
//! * A node without an upstream is *built* without that source; nothing below asks whether there is one by a flag.
//! * Non-goal: judging what is in a module. What it hashes to is all that counts here.

mod arrivals;
mod blocked;
mod check;
pub mod databases;
pub mod flight;
mod for_site;
mod from_peers;
mod from_seeds;
mod from_upstream;
mod intake;
mod layouts;
pub mod lists;
mod memory;
mod mutable;
pub mod outcome;
mod private;
mod published;
pub mod seed;
pub mod source;
mod spreading;
pub mod zip_body;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::domain::dirhash::H1;
use crate::domain::manifest::{GoMod, Manifest};
use crate::domain::module::{ModulePath, ModuleVersion};
use crate::domain::pattern::PrefixPatterns;
use crate::domain::request::{Query, Request};
use crate::store::{Held, Store, StoreError};
pub use blocked::Blocks;
use flight::Flights;
pub use from_peers::{FromPeers, Seek};
pub use from_seeds::FromSeeds;
pub use from_upstream::FromUpstream;
pub use intake::Intake;
use layouts::{LayoutError, Layouts};
use lists::Known;
use memory::{Files, Memory};
use mutable::Answers;
use outcome::{Answer, Body, Kind, Outcome};
pub use published::{Publishing, Upload};
use source::{Level, Source, SourceError, Want};
use zip_body::ZipBody;

/// Zips up to this many bytes are answered in one piece, like any small file: little enough to stand in memory for each
/// request, and handing that over in frames from another thread takes longer than reading it.
const SMALL_ZIP: u64 = 64 << 10;

/// Where an answer may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This node's store, then the peers, then an upstream.
    All,
    /// This node's store only (`Disable-Module-Fetch: true`, `/cached-only`).
    StoreOnly,
}

/// How a mirror is built.
pub struct MirrorOptions {
    /// The way into the store.
    pub intake: Intake,
    /// Where to look for what the store does not have, in this order.
    pub sources: Vec<Arc<dyn Source>>,
    /// The seeds, where this node is none: for what may be different tomorrow.
    pub seeds: Option<Arc<FromSeeds>>,
    /// How old a mutable answer (list, latest, branch) may be before an upstream or a seed is asked again.
    pub fresh: Duration,
    /// Modules that no upstream and no checksum database may hear of, besides those of the site's publishers.
    pub private: PrefixPatterns,
}

/// The mirror; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Mirror {
    inner: Arc<Inner>,
}

struct Inner {
    intake: Intake,
    sources: Vec<Arc<dyn Source>>,
    seeds: Option<Arc<FromSeeds>>,
    flights: Flights<Want, Result<(), SourceError>>,
    answers: Answers,
    layouts: Layouts,
    private: PrefixPatterns,
    memory: Memory,
}

impl Mirror {
    /// Puts a mirror together.
    #[must_use]
    pub fn new(options: MirrorOptions) -> Self {
        let answers = Answers::new(options.fresh);
        Self {
            inner: Arc::new(Inner {
                intake: options.intake,
                sources: options.sources,
                seeds: options.seeds,
                flights: Flights::default(),
                answers,
                layouts: Layouts::default(),
                private: options.private,
                memory: Memory::default(),
            }),
        }
    }

    /// How many fetches are under way.
    #[must_use]
    pub fn fetching(&self) -> usize {
        self.inner.flights.len()
    }

    /// The way into the store.
    #[must_use]
    pub fn intake(&self) -> &Intake {
        &self.inner.intake
    }

    /// Answers a GOPROXY request.
    pub async fn answer(&self, request: Request, reach: Reach) -> Outcome {
        let answer = match request {
            Request::List(path) => self.list(&path, reach).await,
            Request::Latest(path) => self.latest(&path, reach).await,
            Request::Info { path, query: Query::Version(version) } => {
                self.info(ModuleVersion { path, version }, reach).await
            }
            Request::Info { path, query: Query::Name(query) } => self.resolve_query(&path, &query, reach).await,
            Request::GoMod(module) => self.file(module, Kind::GoMod, reach).await,
            Request::Zip(module) => self.file(module, Kind::Zip, reach).await,
            Request::Sumdb(question) => self.sumdb(&question, reach).await,
        };
        answer.map_or_else(outcome_of, Outcome::Found)
    }

    /// Brings a module version into the store, from wherever it can be had. Concurrent calls share one fetch.
    ///
    /// # Errors
    /// The gravest of what the sources said; [`SourceError::Miss`] only when all of them said so.
    pub async fn obtain(&self, want: Want) -> Result<(), SourceError> {
        self.intake().blocks().check(&want.module)?;
        let mirror = self.clone();
        let flight = self.inner.flights.join(want.clone(), || async move { mirror.ask_sources(&want).await });
        landed(flight.await)
    }

    /// As [`Mirror::obtain`], but asks nobody for what another call has brought in this moment.
    async fn obtain_unless_held(&self, want: Want) -> Result<(), SourceError> {
        self.intake().blocks().check(&want.module)?;
        let mirror = self.clone();
        let flight = self.inner.flights.join(want.clone(), || async move {
            let module = want.module.clone();
            let held = mirror.inner.intake.blocking(move |store| store.manifest(&module)).await?;
            if held.is_some_and(|held| holds(&held, want.level)) { Ok(()) } else { mirror.ask_sources(&want).await }
        });
        landed(flight.await)
    }

    async fn ask_sources(&self, want: &Want) -> Result<(), SourceError> {
        let mut worst = SourceError::Miss(format!("{} is not in this site", want.module));
        for source in &self.inner.sources {
            if source.asks_outside()
                && let Err(private) = self.may_ask_outside(&want.module.path)
            {
                worst = graver(worst, private);
                continue;
            }
            match source.obtain(want, &self.inner.intake).await {
                Ok(()) => {
                    match want.level {
                        Level::Zip => tracing::info!(module = %want.module, from = source.name(), "zip obtained"),
                        // A module graph has thousands of these, and nobody waits for a single one.
                        Level::GoMod => tracing::debug!(module = %want.module, from = source.name(), "go.mod obtained"),
                    }
                    return Ok(());
                }
                Err(error) => {
                    tracing::debug!(module = %want.module, from = source.name(), %error, "not obtained");
                    // That somebody lies or that the disk fails is news also when the next source has it; the rest is for the
                    // one who asked, who has a better place to tell it.
                    if matches!(error, SourceError::Forged(_) | SourceError::Local(_)) {
                        tracing::warn!(module = %want.module, from = source.name(), %error, "refused");
                    }
                    worst = graver(worst, error);
                }
            }
        }
        Err(worst)
    }

    /// The `.info` of a canonical version. There are versions of which a proxy has nothing else: it says when they were made,
    /// and the go command goes on without them.
    async fn info(&self, module: ModuleVersion, reach: Reach) -> Result<Answer, SourceError> {
        match self.file(module.clone(), Kind::Info, reach).await {
            Err(SourceError::Miss(reason)) => self.lone_info(&module).await?.ok_or(SourceError::Miss(reason)),
            other => other,
        }
    }

    async fn file(&self, module: ModuleVersion, kind: Kind, reach: Reach) -> Result<Answer, SourceError> {
        self.intake().blocks().check(&module)?;
        if let Some(answer) = self.stored(&module, kind).await? {
            return Ok(answer);
        }
        if reach == Reach::StoreOnly {
            return Err(SourceError::Miss(format!("{module} is not in this node's store")));
        }
        let key = format!("{module}#{kind:?}");
        if let Some(miss) = self.inner.answers.recent_miss(&key, mutable::MISS_LIFE) {
            return Err(SourceError::Miss(miss));
        }
        let level = if kind == Kind::Zip { Level::Zip } else { Level::GoMod };
        match self.obtain(Want::new(module.clone(), level)).await {
            Err(SourceError::Miss(reason)) => {
                self.inner.answers.note_miss(key, &reason);
                self.note_wanted(&module).await;
                return Err(SourceError::Miss(reason));
            }
            Err(error) => return Err(self.proven_before(&module.path, &key, error).await?),
            Ok(()) => {}
        }
        let answer = self.stored(&module, kind).await?;
        answer.ok_or_else(|| match kind {
            Kind::Info => {
                SourceError::Miss(format!("of {module} this site knows the go.mod only, not when it was made"))
            }
            _ => SourceError::Failed(format!("{module} has been fetched but has no such file")),
        })
    }

    async fn note_wanted(&self, module: &ModuleVersion) {
        let (path, version) = (module.path.to_string(), module.version.to_string());
        let now = mutable::unix_now();
        if let Err(error) = self.inner.intake.store().note_wanted(&path, &version, now).await {
            tracing::warn!(%module, %error, "the list of wanted modules cannot be written");
        }
    }

    async fn stored(&self, module: &ModuleVersion, kind: Kind) -> Result<Option<Answer>, SourceError> {
        let Inner { intake, memory, .. } = &*self.inner;
        let stamp = intake.store().stamp(&module.path);
        if let Some(body) = memory.files.get(module, &stamp).and_then(|files| files.of(kind)) {
            return Ok(Some(Answer { kind, body: Body::Bytes(body), age: None }));
        }
        let wanted = module.clone();
        let read = intake.blocking(move |store| {
            let held = store.manifest(&wanted)?;
            let small = held.as_ref().filter(|_| kind == Kind::Zip).map(|held| small_zip(store, held)).transpose()?;
            Ok((held, small.flatten()))
        });
        let (held, small) = read.await?;
        let Some(held) = held else { return Ok(None) };
        let body = match (kind, small) {
            (_, Some(bytes)) => Some(Body::Bytes(bytes)),
            (Kind::Zip, None) => self.zip_body(&held).await?.map(Body::Zip),
            _ => {
                let files = Files::of_manifest(&held.manifest);
                memory.files.put(module.clone(), stamp, files.clone(), files.bytes());
                match files.of(kind) {
                    None if kind == Kind::GoMod => self.go_mod(&held.manifest).await?,
                    body => body,
                }
                .map(Body::Bytes)
            }
        };
        Ok(body.map(|body| Answer { kind, body, age: None }))
    }

    async fn zip_body(&self, held: &Held) -> Result<Option<ZipBody>, SourceError> {
        let Some(zip) = held.manifest.zip.as_ref().filter(|_| held.complete) else { return Ok(None) };
        let Inner { intake, layouts, .. } = &*self.inner;
        let layout = layouts.get(&held.id, layouts::load(&held.manifest.module, zip, intake)).await;
        match layout {
            Ok(layout) => Ok(Some(ZipBody::new(intake.store().clone(), layout, zip.blake3))),
            Err(LayoutError::Unusable(why)) => {
                tracing::error!(module = %held.manifest.module, why, "a held zip cannot be rebuilt and is fetched again");
                Ok(None)
            }
            Err(LayoutError::Local(error)) => Err(error),
        }
    }

    /// A go.mod that is too long to stand in the manifest.
    async fn go_mod(&self, manifest: &Manifest) -> Result<Option<Bytes>, SourceError> {
        let GoMod::Blobs { ids, .. } = &manifest.go_mod else { return Ok(None) };
        let (ids, h1) = (ids.clone(), manifest.go_mod_h1);
        // A manifest may name any blobs that happen to be here, before they were ever looked at as its go.mod.
        let read = self.inner.intake.blocking(move |store| {
            let pieces: Option<Vec<Bytes>> = store.get_many(&ids)?.into_iter().collect();
            Ok(pieces.map(|pieces| pieces.concat()).filter(|bytes| H1::of_go_mod(bytes) == h1))
        });
        Ok(read.await?.map(Bytes::from))
    }

    /// The versions of a module that are known and not blocked.
    async fn known(&self, path: &ModulePath) -> Result<Arc<[Known]>, SourceError> {
        Ok(self.intake().blocks().without(path, self.all_known(path).await?))
    }

    async fn all_known(&self, path: &ModulePath) -> Result<Arc<[Known]>, SourceError> {
        let Inner { intake, memory, .. } = &*self.inner;
        let stamp = intake.store().stamp(path);
        if let Some(known) = memory.known.get(path, &stamp) {
            return Ok(known);
        }
        let wanted = path.clone();
        let versions = intake.blocking(move |store| store.versions(&wanted)).await?;
        let known = versions.into_iter().map(|held| Known { version: held.version, has_zip: held.has_zip });
        let known: Arc<[Known]> = known.collect();
        memory.known.put(path.clone(), stamp, Arc::clone(&known), lists::bytes(&known));
        Ok(known)
    }
}

/// All of a zip of at most [`SMALL_ZIP`] bytes; nothing for any other, and for one that cannot be put together, which the
/// longer way finds out again and tells. Blocking.
fn small_zip(store: &Store, held: &Held) -> Result<Option<Bytes>, StoreError> {
    let zip = held.manifest.zip.as_ref().filter(|zip| held.complete && zip.len <= SMALL_ZIP);
    let Some(zip) = zip else { return Ok(None) };
    let Ok(layout) = layouts::read(store, &held.manifest.module, zip)? else { return Ok(None) };
    let mut whole = BytesMut::new();
    let body = ZipBody::new(store.clone(), layout.into(), zip.blake3);
    let read = body.each_part(0..body.len(), |part| {
        whole.extend_from_slice(&part);
        Ok(())
    });
    Ok(read.is_ok().then(|| whole.freeze()))
}

fn landed<T>(flight: Result<Result<T, SourceError>, flight::Broken>) -> Result<T, SourceError> {
    flight.unwrap_or_else(|broken| Err(SourceError::Failed(format!("a fetch failed: {broken}"))))
}

/// Whether all that a client can ask for at this level is here.
fn holds(held: &Held, level: Level) -> bool {
    match level {
        Level::GoMod => !held.manifest.info.is_empty(),
        Level::Zip => held.complete && held.manifest.zip.is_some(),
    }
}

/// Of two reasons, the one that the user has to hear: only misses make a miss.
fn graver(a: SourceError, b: SourceError) -> SourceError {
    let weight = |error: &SourceError| match error {
        SourceError::Miss(_) => 0,
        SourceError::Refused(_) => 1,
        SourceError::Away(_) | SourceError::Failed(_) => 2,
        SourceError::Forged(_) => 3,
        SourceError::Local(_) => 4,
    };
    if weight(&b) >= weight(&a) { b } else { a }
}

/// The graver of an error and of the one before, if there was one.
fn worse(before: Option<SourceError>, error: SourceError) -> SourceError {
    match before {
        Some(before) => graver(before, error),
        None => error,
    }
}

fn outcome_of(error: SourceError) -> Outcome {
    match error {
        SourceError::Miss(reason) => Outcome::Miss { reason },
        SourceError::Refused(reason) => Outcome::Refused { reason },
        SourceError::Away(reason)
        | SourceError::Failed(reason)
        | SourceError::Forged(reason)
        | SourceError::Local(reason) => Outcome::Unavailable { reason },
    }
}
