//! Answers that may be different tomorrow: lists, `@latest`, branches; and misses that need not be proven twice a second.
//!
//! What is younger than `--fresh` is answered at once. Beyond that
//!
//! * a node *with an upstream* asks it, but lets nobody wait for more than [`PATIENCE`] who can be told what is
//!   known: the refresh goes on in the background. Facts: `list/PATH` and `query/PATH@QUERY`, as the upstream said
//!   it.
//! * a node *without* computes lists and `@latest` from its catalog, at once. If no seed has confirmed lately that
//!   the catalog has the newest version, one is asked in the background; its answer goes into the catalog. Facts:
//!   `newer/PATH`, empty, with the time of the confirmation, and `query/PATH@QUERY` with the `.info` of the version
//!   that a seed took the query for.
//!
//! Only who asks for something of which nothing at all is known waits for the answer. `Age` is the time since an
//! upstream said so; there is none on what was computed from a catalog that no seed has confirmed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::BoxFuture;

use super::flight::Flights;
use super::lists::{self, Known};
use super::memory::Fact;
use super::outcome::{Answer, Body, Kind};
use super::source::{Source, SourceError};
use super::{Inner, Mirror, Reach};
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::store::Stamp;
use crate::upstream::Info;

/// How long a miss is believed without asking again. One `go build` probes the same parent paths many times within seconds
/// (GOPROXY.md, fact 7); a version that is seeded meanwhile is found in the catalog first, so this delays nothing.
pub(super) const MISS_LIFE: Duration = Duration::from_secs(5);
/// How long a miss counts when nobody can be asked any more, for modules of which the site knows nothing: the parents of module
/// paths, which every build probes, stay what they are, and a line that is down should not stop it.
const OLD_MISS: Duration = Duration::from_secs(24 * 3600);
/// How long an upstream may take to refresh an answer before the old one is given: what a developer does not notice
/// in a build, and enough for a proxy that has to look the module up itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a refresh that failed, or takes long, is not waited for or begun again, while the old answer is given.
const PAUSE: Duration = Duration::from_secs(5);
/// Refreshes under way at most while the old answers are given: `go list -m -u all` asks for hundreds of lists within
/// a second.
const REFRESHES: usize = 256;
/// Keys remembered at most in each table here; over that, all are forgotten, which costs one look-up each.
const REMEMBERED: usize = 4096;
/// The query for the newest version.
pub(super) const LATEST: &str = "latest";

/// Seconds since 1970 by this machine's clock; only ever compared with itself.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What was said of something mutable, and how long ago; `None` if nothing was.
pub(super) type Told = Option<(Duration, Bytes)>;

/// A question that is put to an upstream or to a seed, unless there is no need.
struct Asking {
    patience: Duration,
    work: BoxFuture<'static, Result<(Duration, Bytes), SourceError>>,
}

/// Something about each of many keys, for a while.
struct Recent<T>(Mutex<HashMap<String, (Instant, T)>>);

impl<T: Clone> Recent<T> {
    fn get(&self, key: &str, life: Duration) -> Option<T> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(key).filter(|(at, _)| at.elapsed() < life).map(|(_, value)| value.clone())
    }

    fn note(&self, key: String, value: T) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= REMEMBERED && !table.contains_key(&key) {
            table.clear();
        }
        table.insert(key, (Instant::now(), value));
    }
}

/// Remembered misses, and the questions that are under way.
pub(super) struct Answers {
    fresh: Duration,
    misses: Recent<String>,
    pauses: Recent<()>,
    questions: Flights<String, Result<(u64, Bytes), SourceError>>,
}

impl Answers {
    pub(super) fn new(fresh: Duration) -> Self {
        let (misses, pauses) = (Recent(Mutex::default()), Recent(Mutex::default()));
        Self { fresh, misses, pauses, questions: Flights::default() }
    }

    /// How old a mutable answer may be.
    pub(super) fn fresh(&self) -> Duration {
        self.fresh
    }

    pub(super) fn recent_miss(&self, key: &str, life: Duration) -> Option<String> {
        self.misses.get(key, life)
    }

    pub(super) fn note_miss(&self, key: String, reason: &str) {
        self.misses.note(key, reason.into());
    }
}

impl Mirror {
    pub(super) async fn list(&self, path: &ModulePath, reach: Reach) -> Result<Answer, SourceError> {
        let mut stamp = self.inner.intake.store().stamp(path);
        let mut known = self.known(path).await?;
        let told = match self.upstream() {
            Some(_) => self.told_list(path, reach, !known.is_empty()).await,
            None => {
                let told = self.confirmed(path, reach, &known).await;
                // A seed may have brought something: what is listed follows from the stamp before it is read.
                stamp = self.inner.intake.store().stamp(path);
                known = self.known(path).await?;
                told
            }
        };
        // Whatever is said now, what was said once stays: a list never shrinks. But what cannot be had from here is not listed.
        let lists_more = self.upstream().is_some() && reach == Reach::All && self.may_ask_outside(path).is_ok();
        let before = if lists_more { self.remembered(&list_key(path)).await? } else { None };
        let blocks = self.intake().blocks();
        // Of a module with blocked versions something is known: a miss would send a go command elsewhere for them.
        if known.is_empty() && before.is_none() && !blocks.any_of(path) {
            told?;
            return Err(unknown(path));
        }
        let age = told.ok().flatten().filter(|_| reach == Reach::All).or_else(|| before.clone()).map(|(age, _)| age);
        let upstream = before.map(|(_, text)| text).unwrap_or_default();
        let body = if blocks.any_of(path) {
            let upstream = blocks.without_lines(path, &upstream);
            lists::list_body(&known, &parse_list(&upstream)).into()
        } else {
            self.list_body(path, stamp, &known, upstream)
        };
        Ok(Answer { kind: Kind::List, body: Body::Bytes(body), age })
    }

    /// The list of what is known under `stamp` and of the versions in `upstream`.
    fn list_body(&self, path: &ModulePath, stamp: Stamp, known: &[Known], upstream: Bytes) -> Bytes {
        let lists = &self.inner.memory.lists;
        let follows_from = (stamp, upstream);
        if let Some(body) = lists.get(path, &follows_from) {
            return body;
        }
        let body = Bytes::from(lists::list_body(known, &parse_list(&follows_from.1)));
        let bytes = follows_from.1.len() + body.len();
        lists.put(path.clone(), follows_from, body.clone(), bytes);
        body
    }

    pub(super) async fn latest(&self, path: &ModulePath, reach: Reach) -> Result<Answer, SourceError> {
        let mut known = self.known(path).await?;
        let (told, confirmed) = match self.upstream() {
            Some(_) => (self.told_query(path, LATEST, reach, lists::latest(&known).is_some()).await, None),
            None => {
                let confirmed = self.confirmed(path, reach, &known).await;
                known = self.known(path).await?;
                match confirmed {
                    Ok(confirmed) => (Ok(None), confirmed.map(|(age, _)| age)),
                    Err(error) => (Err(error), None),
                }
            }
        };
        match (told, lists::latest(&known)) {
            (Ok(Some((age, info))), _) if self.may_give(path, &info).is_ok() => Ok(mutable_info(info, age)),
            (_, Some(version)) => self.info_of(path, version, confirmed, reach).await,
            // What an upstream said when this node had one is better than nothing.
            (told, None) => match self.said_outside(path, &query_key(path, LATEST)).await? {
                Some((age, info)) => self.may_give(path, &info).map(|()| mutable_info(info, age)),
                None if self.intake().blocks().any_of(path) => Err(SourceError::Refused(format!(
                    "the versions of {path} that are known are blocked by the orders of this site"
                ))),
                None => Err(told.err().unwrap_or_else(|| unknown(path))),
            },
        }
    }

    pub(super) async fn resolve_query(
        &self,
        path: &ModulePath,
        query: &str,
        reach: Reach,
    ) -> Result<Answer, SourceError> {
        let known = self.known(path).await?;
        let revision = lists::by_revision(&known, query);
        // An upstream knows whether the commit has been tagged since.
        if let (Some(version), None) = (revision, self.upstream()) {
            return self.info_of(path, version, None, reach).await;
        }
        let ours = revision.or_else(|| lists::by_prefix(&known, query));
        match (self.told_query(path, query, reach, ours.is_some()).await, ours) {
            (Ok(Some((age, info))), _) => self.may_give(path, &info).map(|()| mutable_info(info, age)),
            (_, Some(version)) => self.info_of(path, version, None, reach).await,
            (told, None) => Err(told.err().unwrap_or_else(|| unknown(&format!("{path}@{query}")))),
        }
    }

    /// The version that an upstream takes `query` for now, without regard to what is remembered.
    ///
    /// # Errors
    /// [`SourceError::Miss`] where there is no upstream, and what the upstream says.
    pub(super) async fn resolve_version(&self, path: &ModulePath, query: &str) -> Result<Version, SourceError> {
        self.may_ask_outside(path)?;
        let none = || SourceError::Miss("this node has no upstream that could resolve a query".into());
        let resolved = self.upstream().ok_or_else(none)?.resolve(path, query).await?;
        self.remember(&query_key(path, query), unix_now(), &resolved.info).await?;
        Ok(resolved.version)
    }

    /// Whether the version that was said to be meant is one that is not blocked.
    fn may_give(&self, path: &ModulePath, info: &Bytes) -> Result<(), SourceError> {
        let blocks = self.intake().blocks();
        if !blocks.any_of(path) {
            return Ok(());
        }
        let version = Info::read(path, None, info.clone()).map_err(SourceError::Forged)?.version;
        blocks.check(&ModuleVersion { path: path.clone(), version })
    }

    fn upstream(&self) -> Option<&Arc<dyn Source>> {
        self.inner.sources.iter().find(|source| source.is_upstream())
    }

    async fn info_of(
        &self,
        path: &ModulePath,
        version: &Version,
        age: Option<Duration>,
        reach: Reach,
    ) -> Result<Answer, SourceError> {
        let module = ModuleVersion { path: path.clone(), version: version.clone() };
        let answer = self.file(module, Kind::Info, reach).await?;
        Ok(Answer { kind: Kind::MutableInfo, age, ..answer })
    }

    /// The upstream's list. `elsewhere` says that there is something else to answer with: then nobody waits for long.
    ///
    /// # Errors
    /// As [`Mirror::obtain`].
    pub(super) async fn told_list(
        &self,
        path: &ModulePath,
        reach: Reach,
        elsewhere: bool,
    ) -> Result<Told, SourceError> {
        let asking = self.upstream().map(Arc::clone).map(|upstream| {
            let (path, mirror) = (path.clone(), self.clone());
            let work = async move {
                let mut versions = upstream.list(&path).await?;
                let before = mirror.remembered(&list_key(&path)).await?;
                versions.extend(before.map(|(_, text)| parse_list(&text)).unwrap_or_default());
                let text = versions.iter().fold(String::new(), |text, version| text + version.as_str() + "\n");
                Ok((Duration::ZERO, text.into()))
            };
            Asking { patience: PATIENCE, work: Box::pin(work) }
        });
        self.refreshed(path, list_key(path), reach, elsewhere, asking).await
    }

    /// What `query` stands for, as `.info`, by the upstream or a seed. `elsewhere` is as for [`Mirror::told_list`].
    ///
    /// # Errors
    /// As [`Mirror::obtain`].
    pub(super) async fn told_query(
        &self,
        path: &ModulePath,
        query: &str,
        reach: Reach,
        elsewhere: bool,
    ) -> Result<Told, SourceError> {
        let (asked, name, mirror) = (path.clone(), query.to_owned(), self.clone());
        let asking = match (self.upstream().map(Arc::clone), self.inner.seeds.clone()) {
            (Some(upstream), _) => {
                let work = async move { Ok((Duration::ZERO, upstream.resolve(&asked, &name).await?.info)) };
                Some(Asking { patience: PATIENCE, work: Box::pin(work) })
            }
            (None, Some(seeds)) => {
                let work = async move { seeds.query(&asked, &name, mirror.intake()).await };
                Some(Asking { patience: Duration::ZERO, work: Box::pin(work) })
            }
            (None, None) => None,
        };
        self.refreshed(path, query_key(path, query), reach, elsewhere, asking).await
    }

    /// When a seed last confirmed that the catalog has the newest version of a module; asks one if that is too long
    /// ago. If nothing is known that could be built with, the answer is waited for.
    async fn confirmed(&self, path: &ModulePath, reach: Reach, known: &[Known]) -> Result<Told, SourceError> {
        let asking = self.inner.seeds.clone().map(|seeds| {
            let (path, mirror) = (path.clone(), self.clone());
            let work = async move { Ok((seeds.newer(&path, mirror.intake()).await?, Bytes::new())) };
            Asking { patience: Duration::ZERO, work: Box::pin(work) }
        });
        let elsewhere = known.iter().any(|known| known.has_zip);
        self.refreshed(path, format!("newer/{path}"), reach, elsewhere, asking).await
    }

    /// What is remembered under `key`, if it is fresh; else what `asking` brings. Whoever can be told something else
    /// waits only so long as the question's patience lasts, and the work goes on without them.
    ///
    /// # Errors
    /// What the work says. Failures are none where something is remembered, nor is a miss without an upstream, which may
    /// only mean that no seed is there.
    async fn refreshed(
        &self,
        path: &ModulePath,
        key: String,
        reach: Reach,
        elsewhere: bool,
        asking: Option<Asking>,
    ) -> Result<Told, SourceError> {
        self.may_ask_outside(path)?;
        let answers = &self.inner.answers;
        let remembered = self.remembered(&key).await?;
        let Some(Asking { patience, work }) = asking.filter(|_| reach == Reach::All) else { return Ok(remembered) };
        if remembered.as_ref().is_some_and(|(age, _)| *age < answers.fresh) {
            return Ok(remembered);
        }
        let known = elsewhere || remembered.is_some();
        let keep = |error: SourceError, remembered: Told| match error {
            SourceError::Failed(_) | SourceError::Away(_) if known => Ok(remembered),
            SourceError::Miss(_) if known && self.upstream().is_none() => Ok(remembered),
            error => Err(error),
        };
        if let Some(miss) = answers.recent_miss(&key, MISS_LIFE) {
            return keep(SourceError::Miss(miss), remembered);
        }
        let paused = || answers.pauses.get(&key, PAUSE.min(answers.fresh)).is_some();
        if known && (answers.questions.len() >= REFRESHES || paused()) {
            return Ok(remembered);
        }
        let (mirror, name) = (self.clone(), key.clone());
        let flight = answers.questions.join(key.clone(), || async move {
            let (age, bytes) = work.await?;
            let at = unix_now().saturating_sub(age.as_secs());
            mirror.remember(&name, at, &bytes).await?;
            Ok((at, bytes))
        });
        let asked = if known { tokio::time::timeout(patience, flight).await.ok() } else { Some(flight.await) };
        match asked.map(super::landed) {
            Some(Ok((at, bytes))) => Ok(Some((since(at), bytes))),
            None => {
                answers.pauses.note(key, ());
                Ok(remembered)
            }
            Some(Err(error)) => {
                match &error {
                    SourceError::Miss(reason) => answers.note_miss(key.clone(), reason),
                    _ => answers.pauses.note(key.clone(), ()),
                }
                let error = self.proven_before(path, &key, error).await?;
                keep(error, remembered)
            }
        }
    }

    /// A failure as the miss that it was when somebody could be asked: of a module that the site does not know.
    pub(super) async fn proven_before(
        &self,
        path: &ModulePath,
        key: &str,
        error: SourceError,
    ) -> Result<SourceError, SourceError> {
        match (error, self.inner.answers.recent_miss(key, OLD_MISS)) {
            (SourceError::Failed(_) | SourceError::Away(_), Some(miss)) if self.known(path).await?.is_empty() => {
                Ok(SourceError::Miss(miss))
            }
            (error, _) => Ok(error),
        }
    }

    async fn remembered(&self, key: &str) -> Result<Told, SourceError> {
        Ok(self.fact(key).await?.map(|(at, value)| (since(at), value)))
    }

    /// What was once said outside of a module that may still be asked for there.
    async fn said_outside(&self, path: &ModulePath, key: &str) -> Result<Told, SourceError> {
        if self.may_ask_outside(path).is_ok() { self.remembered(key).await } else { Ok(None) }
    }

    /// The `.info` of a canonical version, as an upstream gave it that had no go.mod to go with it.
    pub(super) async fn lone_info(&self, module: &ModuleVersion) -> Result<Option<Answer>, SourceError> {
        let said = self.said_outside(&module.path, &query_key(&module.path, module.version.as_str())).await?;
        Ok(said.map(|(age, info)| mutable_info(info, age)))
    }

    async fn fact(&self, key: &str) -> Result<Fact, SourceError> {
        let Inner { intake, memory, .. } = &*self.inner;
        let (key, stamp) = (key.to_owned(), intake.store().fact_stamp(key));
        if let Some(fact) = memory.facts.get(&key, &stamp) {
            return Ok(fact);
        }
        let wanted = key.clone();
        let fact = intake.blocking(move |store| store.fact(&wanted)).await?.map(|fact| (fact.at, fact.value));
        let bytes = key.len() + fact.as_ref().map_or(0, |(_, value)| value.len());
        memory.facts.put(key, stamp, fact.clone(), bytes);
        Ok(fact)
    }

    async fn remember(&self, key: &str, at: u64, bytes: &Bytes) -> Result<(), SourceError> {
        let stored = self.inner.intake.store().set_fact(key, at, bytes.clone()).await;
        stored.map_err(|error| SourceError::Local(error.to_string()))
    }
}

fn list_key(path: &ModulePath) -> String {
    format!("list/{path}")
}

/// Under which key the answer to a query is remembered.
pub(super) fn query_key(path: &ModulePath, query: &str) -> String {
    format!("query/{path}@{query}")
}

fn since(at: u64) -> Duration {
    Duration::from_secs(unix_now().saturating_sub(at))
}

fn mutable_info(info: Bytes, age: Duration) -> Answer {
    Answer { kind: Kind::MutableInfo, body: Body::Bytes(info), age: Some(age) }
}

fn unknown(what: &dyn std::fmt::Display) -> SourceError {
    SourceError::Miss(format!("this site does not know {what}"))
}

pub(super) fn parse_list(text: &[u8]) -> BTreeSet<Version> {
    String::from_utf8_lossy(text).lines().filter_map(|line| Version::parse(line).ok()).collect()
}
