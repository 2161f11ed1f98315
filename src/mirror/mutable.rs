//! Answers that may be different tomorrow: lists, `@latest`, branches; and misses that need not be proven twice a second.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::flight::Flights;
use super::lists::{self, Known};
use super::memory::Fact;
use super::outcome::{Answer, Body, Kind};
use super::source::{Source, SourceError};
use super::{Inner, Mirror, Reach};
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::store::Stamp;

/// How long a miss is believed without asking again. One `go build` probes the same parent paths many times within seconds
/// (GOPROXY.md, fact 7); a version that is seeded meanwhile is found in the catalog first, so this delays nothing.
const MISS_LIFE: Duration = Duration::from_secs(5);
/// Misses remembered at most; over that, all are forgotten, which costs one look-up each.
const MISSES: usize = 4096;

/// Seconds since 1970 by this machine's clock; only ever compared with itself.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What an upstream said of something mutable, with the time at which it said so.
type Remembered = Result<(u64, Bytes), SourceError>;

/// Remembered misses and the questions to an upstream that are under way.
pub(super) struct Answers {
    fresh: Duration,
    misses: Mutex<HashMap<String, (Instant, String)>>,
    questions: Flights<String, Remembered>,
}

impl Answers {
    pub(super) fn new(fresh: Duration) -> Self {
        Self { fresh, misses: Mutex::default(), questions: Flights::default() }
    }

    pub(super) fn recent_miss(&self, key: &str) -> Option<String> {
        let misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses.get(key).filter(|(at, _)| at.elapsed() < MISS_LIFE).map(|(_, reason)| reason.clone())
    }

    pub(super) fn note_miss(&self, key: String, reason: &str) {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        if misses.len() >= MISSES {
            misses.clear();
        }
        misses.insert(key, (Instant::now(), reason.into()));
    }
}

impl Mirror {
    pub(super) async fn list(&self, path: &ModulePath, reach: Reach) -> Result<Answer, SourceError> {
        let stamp = self.inner.intake.store().stamp(path);
        let known = self.known(path).await?;
        let asked = self.ask_upstream(path, format!("list/{path}"), reach, |source| {
            let path = path.clone();
            async move {
                let versions = source.list(&path).await?;
                Ok(versions.iter().fold(String::new(), |text, version| text + version.as_str() + "\n").into())
            }
        });
        let (upstream, age) = match asked.await {
            Ok((text, age)) => (text, age),
            // What the site knows is listed whatever the upstream says: a list never shrinks.
            Err(_) if !known.is_empty() => (Bytes::new(), None),
            Err(error) => return Err(error),
        };
        let body = self.list_body(path, stamp, &known, upstream);
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
        let asked = self.ask_query(path, "latest", reach).await;
        let known = self.known(path).await?;
        match (asked, lists::latest(&known)) {
            (Ok((info, age)), _) => Ok(Answer { kind: Kind::MutableInfo, body: Body::Bytes(info), age }),
            (Err(_), Some(version)) => self.info_of(path, version, reach).await,
            (Err(error), None) => Err(error),
        }
    }

    pub(super) async fn resolve_query(
        &self,
        path: &ModulePath,
        query: &str,
        reach: Reach,
    ) -> Result<Answer, SourceError> {
        let known = self.known(path).await?;
        if let Some(version) = lists::by_revision(&known, query) {
            return self.info_of(path, version, reach).await;
        }
        match (self.ask_query(path, query, reach).await, lists::by_prefix(&known, query)) {
            (Ok((info, age)), _) => Ok(Answer { kind: Kind::MutableInfo, body: Body::Bytes(info), age }),
            (Err(_), Some(version)) => self.info_of(path, version, reach).await,
            (Err(error), None) => Err(error),
        }
    }

    /// The version that an upstream takes `query` for now, without regard to what is remembered.
    ///
    /// # Errors
    /// [`SourceError::Miss`] where there is no upstream, and what the upstream says.
    pub(super) async fn resolve_version(&self, path: &ModulePath, query: &str) -> Result<Version, SourceError> {
        self.may_ask_outside(path)?;
        let upstream = self.inner.sources.iter().find(|source| source.is_upstream());
        let none = || SourceError::Miss("this node has no upstream that could resolve a query".into());
        let resolved = upstream.ok_or_else(none)?.resolve(path, query).await?;
        self.remember(&format!("query/{path}@{query}"), &resolved.info).await?;
        Ok(resolved.version)
    }

    async fn info_of(&self, path: &ModulePath, version: &Version, reach: Reach) -> Result<Answer, SourceError> {
        let module = ModuleVersion { path: path.clone(), version: version.clone() };
        let answer = self.file(module, Kind::Info, reach).await?;
        Ok(Answer { kind: Kind::MutableInfo, ..answer })
    }

    /// What `query` stands for, by the upstream or by what it once said.
    ///
    /// # Errors
    /// As [`Mirror::obtain`].
    async fn ask_query(
        &self,
        path: &ModulePath,
        query: &str,
        reach: Reach,
    ) -> Result<(Bytes, Option<Duration>), SourceError> {
        self.ask_upstream(path, format!("query/{path}@{query}"), reach, |source| {
            let (path, query) = (path.clone(), query.to_owned());
            async move { source.resolve(&path, &query).await.map(|resolved| resolved.info) }
        })
        .await
    }

    /// The answer to `key` that is remembered and fresh, else the upstream's, else the old one with its age.
    async fn ask_upstream<F>(
        &self,
        path: &ModulePath,
        key: String,
        reach: Reach,
        question: impl FnOnce(std::sync::Arc<dyn Source>) -> F,
    ) -> Result<(Bytes, Option<Duration>), SourceError>
    where
        F: Future<Output = Result<Bytes, SourceError>> + Send + 'static,
    {
        self.may_ask_outside(path)?;
        let answers = &self.inner.answers;
        let remembered = self.remembered(&key).await?;
        let age = |at: u64| Duration::from_secs(unix_now().saturating_sub(at));
        let upstream = self.inner.sources.iter().find(|source| source.is_upstream());
        let upstream = upstream.filter(|_| reach == Reach::All);
        if let Some((at, bytes)) = &remembered
            && (upstream.is_none() || age(*at) < answers.fresh)
        {
            return Ok((bytes.clone(), Some(age(*at))));
        }
        let Some(upstream) = upstream else {
            return Err(SourceError::Miss(format!(
                "this site does not know {}",
                key.split_once('/').map_or("it", |(_, what)| what)
            )));
        };
        if let Some(miss) = answers.recent_miss(&key) {
            return Err(SourceError::Miss(miss));
        }
        let work = question(std::sync::Arc::clone(upstream));
        let (mirror, name) = (self.clone(), key.clone());
        let asked = answers.questions.join(key.clone(), || async move {
            let bytes = work.await?;
            mirror.remember(&name, &bytes).await?;
            Ok((unix_now(), bytes))
        });
        let asked = asked.await.unwrap_or_else(|broken| Err(SourceError::Failed(broken.to_string())));
        match (asked, remembered) {
            (Ok((at, bytes)), _) => Ok((bytes, Some(age(at)))),
            (Err(SourceError::Failed(_)), Some((at, bytes))) => Ok((bytes, Some(age(at)))),
            (Err(error), _) => {
                if let SourceError::Miss(reason) = &error {
                    answers.note_miss(key, reason);
                }
                Err(error)
            }
        }
    }

    async fn remembered(&self, key: &str) -> Result<Fact, SourceError> {
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

    async fn remember(&self, key: &str, bytes: &Bytes) -> Result<(), SourceError> {
        let stored = self.inner.intake.store().set_fact(key, unix_now(), bytes.clone()).await;
        stored.map_err(|error| SourceError::Local(error.to_string()))
    }
}

fn parse_list(text: &[u8]) -> BTreeSet<Version> {
    String::from_utf8_lossy(text).lines().filter_map(|line| Version::parse(line).ok()).collect()
}
