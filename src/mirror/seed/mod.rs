//! Seeding: a whole build's closure brought into the site.
//!
//! First the module graph is read (go.mod files, many at a time), then what it says is needed is fetched. What is there already
//! is not fetched again, so an interrupted run is simply started once more. Hashes that a go.sum pins are known before
//! the first byte arrives: what does not have them is refused. At last comes the latest version of each module
//! (`latest`), which no build needs and every upgrade asks about.

mod latest;
mod plan;

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, FuturesUnordered};
use tokio::sync::mpsc;

use super::outcome::{Body, Kind};
use super::source::{Level, SourceError, Want};
use super::{Mirror, Reach};
use crate::admin::{SeedEvent, SeedRequest, SeedSummary};
use crate::domain::closure::{Closure, Gap, Pins};
use crate::domain::dirhash::H1;
use crate::domain::gosum::GoSumKind;
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use plan::Plan;

/// go.mod files fetched at once: they are small, so the line's delay is what counts.
const GO_MODS_AT_ONCE: usize = 32;
/// Zips fetched at once: each is downloaded to disk, hashed and split, which keeps two cores busy with a few.
const ZIPS_AT_ONCE: usize = 6;

/// A seed run that is ready to go.
pub struct SeedRun {
    mirror: Mirror,
    plan: Plan,
}

struct Progress {
    events: mpsc::Sender<SeedEvent>,
    summary: SeedSummary,
    /// go.mod files that reading the graphs brought: not to be counted as held when their turn comes.
    graph_fetched: BTreeSet<ModuleVersion>,
    /// Module versions that have been told as failed: not to be asked for and told again.
    failed: BTreeSet<ModuleVersion>,
}

/// What the store has of a module version.
#[derive(Clone, Copy)]
struct Holding {
    /// Hash and length in bytes of the zip, where that was asked for.
    zip: Option<(H1, u64)>,
    go_mod_h1: H1,
}

/// How a module version came to be held.
#[derive(Clone, Copy)]
enum Had {
    Before,
    Now { zip_bytes: u64 },
}

impl SeedRun {
    /// Reads a request.
    ///
    /// # Errors
    /// One sentence when a file or a query in it cannot be read.
    pub fn new(mirror: Mirror, request: &SeedRequest) -> Result<Self, String> {
        Ok(Self { mirror, plan: Plan::read(request)? })
    }

    /// Runs to the end, whether or not anybody listens.
    pub async fn run(mut self, events: mpsc::Sender<SeedEvent>) {
        let before = self.mirror.intake().store().stats().disk_bytes;
        let mut progress = Progress::new(events);
        let (zips, go_mods) = self.read_graphs(&mut progress).await;
        progress.summary.zips = zips.len() as u64;
        progress.summary.go_mods = go_mods.len() as u64;
        self.fetch("go.mod", Level::GoMod, GO_MODS_AT_ONCE, &go_mods, &mut progress).await;
        self.fetch("zip", Level::Zip, ZIPS_AT_ONCE, &zips, &mut progress).await;
        self.bring_latest(&zips, &go_mods, &mut progress).await;
        self.name_all(&zips, &go_mods, &progress).await;
        if !self.mirror.intake().databases().settled().await {
            let what = "the checksum database's tiles of the last module versions have not come yet";
            progress
                .warning(
                    "checksum database".into(),
                    format!("{what}: leave this node on until `modswarm status` shows none waiting"),
                )
                .await;
        }
        let mut summary = progress.summary;
        summary.stored_bytes = self.mirror.intake().store().stats().disk_bytes.saturating_sub(before);
        tracing::info!(
            zips = summary.zips,
            go_mods = summary.go_mods,
            fetched = summary.fetched,
            held = summary.held,
            failed = summary.failed,
            latest = summary.latest,
            zip_bytes = summary.zip_bytes,
            "seeded"
        );
        // Nobody listens any more: then the log line is all there is.
        let _ = progress.events.send(SeedEvent::Done(summary)).await;
    }

    /// All closures of the plan: versions wanted with zip, and versions wanted for their go.mod only.
    async fn read_graphs(&mut self, progress: &mut Progress) -> (BTreeSet<ModuleVersion>, BTreeSet<ModuleVersion>) {
        let (mut zips, mut go_mods) = (BTreeSet::new(), BTreeSet::new());
        for line in &self.plan.sums {
            let set = if line.kind == GoSumKind::Zip { &mut zips } else { &mut go_mods };
            set.insert(line.module.clone());
        }
        for toolchain in &self.plan.toolchains {
            zips.insert(toolchain.module());
            go_mods.insert(toolchain.witness().module());
        }
        let mut closures = std::mem::take(&mut self.plan.closures);
        for (path, query) in &self.plan.queries {
            match self.resolve(path, query).await {
                Ok((module, had, go_mod)) => {
                    progress.graph_had(&module, had);
                    closures.extend(plan::closures_of(&module, &go_mod));
                    zips.insert(module);
                }
                Err(error) => progress.failed(format!("{path}@{query}"), error.to_string()).await,
            }
        }
        for closure in closures {
            match self.walk(closure, progress).await {
                Ok((more_zips, more_go_mods)) => {
                    zips.extend(more_zips);
                    go_mods.extend(more_go_mods);
                }
                Err(why) => progress.failed("module graph".into(), why).await,
            }
        }
        go_mods.retain(|module| !zips.contains(module));
        (zips, go_mods)
    }

    async fn resolve(&self, path: &ModulePath, query: &str) -> Result<(ModuleVersion, Had, Bytes), SourceError> {
        let version = match Version::parse(query) {
            Ok(version) => version,
            Err(_) => self.mirror.resolve_version(path, query).await?,
        };
        let module = ModuleVersion { path: path.clone(), version };
        let (had, go_mod) = self.go_mod(&module).await?;
        Ok((module, had, go_mod))
    }

    /// Walks one module graph to its end.
    async fn walk(
        &self,
        mut closure: Closure,
        progress: &mut Progress,
    ) -> Result<(BTreeSet<ModuleVersion>, BTreeSet<ModuleVersion>), String> {
        let mut queue: Vec<ModuleVersion> = Vec::new();
        let mut under_way = FuturesUnordered::new();
        let (mut done, mut total) = (0, 0);
        loop {
            let needed = closure.next_needed().map_err(|why| why.to_string())?;
            total += needed.len() as u64;
            queue.extend(needed);
            while under_way.len() < GO_MODS_AT_ONCE
                && let Some(module) = queue.pop()
            {
                under_way.push(async move { (self.go_mod(&module).await, module) });
            }
            match under_way.next().await {
                Some((Ok((had, go_mod)), module)) => {
                    closure.go_mod(&module, &go_mod);
                    progress.graph_had(&module, had);
                }
                Some((Err(error), module)) => {
                    closure.failed(&module);
                    progress.failed_module(module, error.to_string()).await;
                }
                None => break,
            }
            done += 1;
            progress.at("graph", done, total);
        }
        let needed = closure.finish().map_err(|why| why.to_string())?;
        for gap in needed.missing.iter().filter(|gap| !matches!(gap, Gap::GoMod(_))) {
            progress.failed("module graph".into(), gap.to_string()).await;
        }
        Ok((needed.zips, needed.go_mods))
    }

    async fn go_mod(&self, module: &ModuleVersion) -> Result<(Had, Bytes), SourceError> {
        let had = self.ensure(module, Level::GoMod).await?;
        let answer = self.mirror.file(module.clone(), Kind::GoMod, Reach::StoreOnly).await?;
        match answer.body {
            Body::Bytes(bytes) => Ok((had, bytes)),
            Body::Zip(_) => Err(SourceError::Failed(format!("{module} has no go.mod"))),
        }
    }

    async fn fetch(
        &self,
        phase: &'static str,
        level: Level,
        at_once: usize,
        modules: &BTreeSet<ModuleVersion>,
        progress: &mut Progress,
    ) {
        let total = modules.len() as u64;
        let modules: Vec<_> = modules.iter().filter(|module| !progress.failed.contains(module)).cloned().collect();
        let mut done = total - modules.len() as u64;
        let work = stream::iter(modules).map(|module| async move { (self.ensure(&module, level).await, module) });
        let mut work = std::pin::pin!(work.buffer_unordered(at_once));
        while let Some((had, module)) = work.next().await {
            done += 1;
            match had {
                Ok(Had::Before) if level == Level::GoMod && progress.graph_fetched.contains(&module) => {
                    progress.summary.fetched += 1;
                }
                Ok(Had::Before) => progress.summary.held += 1,
                Ok(Had::Now { zip_bytes }) => {
                    progress.summary.fetched += 1;
                    progress.summary.zip_bytes += zip_bytes;
                }
                Err(error) => progress.failed_module(module, error.to_string()).await,
            }
            progress.at(phase, done, total);
        }
    }

    /// Says what of the plan is held, with its hashes. Not before all is fetched: a reader that has stopped reading would stop
    /// the run.
    async fn name_all(&self, zips: &BTreeSet<ModuleVersion>, go_mods: &BTreeSet<ModuleVersion>, progress: &Progress) {
        let with_zip = zips.iter().map(|module| (module, Level::Zip));
        for (module, level) in with_zip.chain(go_mods.iter().map(|module| (module, Level::GoMod))) {
            // What failed has been told.
            let Ok(Some(held)) = self.held(module, level, Pins::default()).await else { continue };
            let event = SeedEvent::Module {
                path: module.path.to_string(),
                version: module.version.to_string(),
                sum: held.zip.map(|(h1, _)| h1.to_string()),
                go_mod_sum: held.go_mod_h1.to_string(),
            };
            if progress.events.send(event).await.is_err() {
                return;
            }
        }
    }

    /// Makes sure that the store answers for `module`, and that it has the hashes that go.sum pins.
    async fn ensure(&self, module: &ModuleVersion, level: Level) -> Result<Had, SourceError> {
        let pins = self.plan.pins.get(module).copied().unwrap_or_default();
        if self.held(module, level, pins).await?.is_some() {
            return Ok(Had::Before);
        }
        let want = Want { module: module.clone(), level, zip_h1: pins.zip, go_mod_h1: pins.go_mod };
        self.mirror.obtain(want).await?;
        match self.held(module, level, pins).await? {
            Some(held) => Ok(Had::Now { zip_bytes: held.zip.map_or(0, |(_, len)| len) }),
            None => Err(SourceError::Failed(format!("{module} was fetched and is not there"))),
        }
    }

    /// What the store has of `module`, if it answers for it at this level.
    async fn held(&self, module: &ModuleVersion, level: Level, pins: Pins) -> Result<Option<Holding>, SourceError> {
        let wanted = module.clone();
        let held = self.mirror.intake().blocking(move |store| store.manifest(&wanted)).await?;
        let Some(held) = held else { return Ok(None) };
        let zip = held.manifest.zip.as_ref().filter(|_| held.complete && level == Level::Zip);
        let holding = Holding { zip: zip.map(|zip| (zip.h1, zip.len)), go_mod_h1: held.manifest.go_mod_h1 };
        let differs = |pin: Option<_>, got: Option<_>| pin.is_some() && got.is_some() && pin != got;
        if differs(pins.zip, holding.zip.map(|(h1, _)| h1)) || differs(pins.go_mod, Some(holding.go_mod_h1)) {
            return Err(SourceError::Forged(format!(
                "what this site holds as {module} does not have the hash of the go.sum"
            )));
        }
        Ok(Some(holding).filter(|holding| level == Level::GoMod || holding.zip.is_some()))
    }
}

impl Progress {
    fn new(events: mpsc::Sender<SeedEvent>) -> Self {
        let (graph_fetched, failed) = (BTreeSet::new(), BTreeSet::new());
        Self { events, summary: SeedSummary::default(), graph_fetched, failed }
    }

    fn graph_had(&mut self, module: &ModuleVersion, had: Had) {
        if let Had::Now { .. } = had {
            self.graph_fetched.insert(module.clone());
        }
    }

    /// Says how far it is. News that nobody has room for is old news a moment later.
    fn at(&self, phase: &str, done: u64, total: u64) {
        let bytes = self.summary.zip_bytes;
        let _ = self.events.try_send(SeedEvent::Progress { phase: phase.into(), done, total, bytes });
    }

    async fn failed_module(&mut self, module: ModuleVersion, reason: String) {
        let name = module.to_string();
        if self.failed.insert(module) {
            self.failed(name, reason).await;
        }
    }

    async fn warning(&mut self, module: String, reason: String) {
        tracing::warn!(module, reason, "its latest version is not seeded");
        let _ = self.events.send(SeedEvent::Warning { module, reason }).await;
    }

    async fn failed(&mut self, module: String, reason: String) {
        self.summary.failed += 1;
        tracing::warn!(module, reason, "not seeded");
        // Nobody listens any more: the log has it.
        let _ = self.events.send(SeedEvent::Failed { module, reason }).await;
    }
}
