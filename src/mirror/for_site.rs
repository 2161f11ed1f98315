//! The mirror of a seed as the site asks it: what is at hand, and else from the upstream.
//!
//! Everything goes the way of a request of this node's own clients: single flight, what is fresh is not asked again,
//! and what this node does not ask outside for them it does not ask for the site either. Only *misses* live longer
//! here: a site of hundreds of nodes probes the same parent paths, and how long they may be believed is a matter of
//! freshness like all else that may be different tomorrow.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::lists::{self, Known};
use super::mutable::{LATEST, parse_list};
use super::source::{Level, SourceError, Want};
use super::{Mirror, Reach, graver, holds, worse};
use crate::asking::{Answer, Question, Seed};
use crate::domain::module::{ModulePath, ModuleVersion, Version};
use crate::upstream::Info;

/// Which module versions answer a question, how much of each, and how long ago the upstream said that these are the
/// ones.
struct Chosen {
    modules: BTreeSet<ModuleVersion>,
    level: Level,
    age: Duration,
}

impl Seed for Mirror {
    fn at_hand<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Option<Answer>> {
        Box::pin(async move {
            let life = self.inner.answers.fresh();
            if let Ok(chosen) = self.choose(question, Reach::StoreOnly).await
                && (chosen.age < life || matches!(question, Question::Obtain { .. }))
                && let Ok(Some(envelopes)) = self.held_envelopes(&chosen).await
            {
                return Some(Answer::Done { envelopes, age: chosen.age });
            }
            self.inner.answers.recent_miss(&miss_key(question), life).map(Answer::Miss)
        })
    }

    fn seek<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            match self.bring(question).await {
                Ok(answer) => answer,
                Err(SourceError::Miss(reason)) => {
                    self.inner.answers.note_miss(miss_key(question), &reason);
                    Answer::Miss(reason)
                }
                Err(SourceError::Refused(reason)) => Answer::Refused(reason),
                Err(SourceError::Away(reason)) => Answer::Away(reason),
                Err(SourceError::Failed(reason) | SourceError::Forged(reason) | SourceError::Local(reason)) => {
                    Answer::Failed(reason)
                }
            }
        })
    }
}

impl Mirror {
    async fn bring(&self, question: &Question) -> Result<Answer, SourceError> {
        let chosen = self.choose(question, Reach::All).await?;
        let mut worst = None;
        let mut brought = Chosen { modules: BTreeSet::new(), ..chosen };
        for module in &chosen.modules {
            match self.obtain_unless_held(Want::new(module.clone(), brought.level)).await {
                Ok(()) => drop(brought.modules.insert(module.clone())),
                Err(error) => worst = Some(worse(worst, error)),
            }
        }
        match (self.held_envelopes(&brought).await?, worst) {
            (Some(envelopes), _) if !envelopes.is_empty() => Ok(Answer::Done { envelopes, age: brought.age }),
            (_, Some(error)) => Err(error),
            _ => Err(SourceError::Failed(format!("{question} has been fetched and is gone again"))),
        }
    }

    async fn choose(&self, question: &Question, reach: Reach) -> Result<Chosen, SourceError> {
        match question {
            Question::Obtain { module, zip } => {
                let level = if *zip { Level::Zip } else { Level::GoMod };
                Ok(Chosen { modules: BTreeSet::from([module.clone()]), level, age: Duration::ZERO })
            }
            Question::Query { path, query } => {
                let (version, age) = self.version_of(path, query, reach).await?;
                Ok(chosen(path, [version], age))
            }
            Question::Newer { path } => self.newest(path, reach).await,
        }
    }

    /// The version of `@latest`, and the one that a go command takes from the list; usually the same.
    async fn newest(&self, path: &ModulePath, reach: Reach) -> Result<Chosen, SourceError> {
        let listed = match self.told_list(path, reach, false).await {
            // A module without tags has an empty list; one without a list does not exist (GOPROXY.md, fact 12).
            Err(SourceError::Miss(reason)) => return Err(SourceError::Miss(reason)),
            listed => listed,
        };
        let latest = self.version_of(path, LATEST, reach).await;
        let latest = latest.and_then(|(version, age)| {
            let module = ModuleVersion { path: path.clone(), version };
            self.intake().blocks().check(&module).map(|()| (module.version, age))
        });
        let highest = listed.map(|told| {
            let (age, text) = told?;
            let all = parse_list(&text).into_iter().map(|version| Known { version, has_zip: true });
            let all: Vec<Known> =
                all.filter(|known| !self.intake().blocks().has_version(path, &known.version)).collect();
            Some((lists::latest(&all)?.clone(), age))
        });
        match (latest, highest) {
            (Ok((latest, age)), Ok(Some((highest, listed)))) => Ok(chosen(path, [latest, highest], age.max(listed))),
            (Ok((version, age)), _) | (Err(_), Ok(Some((version, age)))) => Ok(chosen(path, [version], age)),
            (Err(error), Ok(None)) => Err(error),
            (Err(a), Err(b)) => Err(graver(a, b)),
        }
    }

    async fn version_of(
        &self,
        path: &ModulePath,
        query: &str,
        reach: Reach,
    ) -> Result<(Version, Duration), SourceError> {
        let unknown = || SourceError::Failed(format!("what {path}@{query} stands for is not known now"));
        let (age, info) = self.told_query(path, query, reach, false).await?.ok_or_else(unknown)?;
        let info = Info::read(path, None, info).map_err(SourceError::Forged)?;
        Ok((info.version, age))
    }

    /// The envelopes of what was chosen, if all of it is held.
    async fn held_envelopes(&self, chosen: &Chosen) -> Result<Option<Vec<Bytes>>, SourceError> {
        if chosen.modules.iter().any(|module| self.intake().blocks().has(module)) {
            return Ok(None);
        }
        let (modules, level) = (chosen.modules.clone(), chosen.level);
        let held = self
            .inner
            .intake
            .blocking(move |store| modules.iter().map(|module| store.manifest(module)).collect::<Result<Vec<_>, _>>());
        let serves = held.await?.into_iter().map(|held| held.filter(|held| holds(held, level)));
        Ok(serves.map(|held| held.map(|held| held.envelope)).collect())
    }
}

fn chosen(path: &ModulePath, versions: impl IntoIterator<Item = Version>, age: Duration) -> Chosen {
    let module = |version| ModuleVersion { path: path.clone(), version };
    Chosen { modules: versions.into_iter().map(module).collect(), level: Level::Zip, age }
}

fn miss_key(question: &Question) -> String {
    format!("site/{question}#{}", matches!(question, Question::Obtain { zip: true, .. }))
}
