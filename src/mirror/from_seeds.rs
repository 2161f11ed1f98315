//! Seeds as a source: what the site does not have, a node with an upstream is asked to obtain.
//!
//! Nothing that a seed says is believed. Its answers are envelopes, and those go through the door like all others;
//! lists and "latest" are computed from the catalog that they are let into. What is left to a liar is to map a branch
//! to another *proven* version of the same module, and to say that there is nothing newer.
//!
//! Several seeds are asked one after the other, until one delivers. It is a miss only if every one that was asked
//! says so: another seed may have another upstream, and one that fails knows nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;

use super::from_peers::{FromPeers, nobody_has};
use super::intake::Intake;
use super::source::{Level, Source, SourceError, Want, Work};
use super::worse;
use crate::asking::{Answer, AskError, Asker, Question};
use crate::domain::module::{ModulePath, ModuleVersion};
use crate::transfer::Fetcher;
use crate::verified::{Forged, VerifiedManifest};

/// The seeds of the site as a source.
pub struct FromSeeds {
    asker: Asker,
    judge: Fetcher,
    peers: Arc<FromPeers>,
}

/// What a seed gave, after it has come through the door.
struct Given {
    modules: Vec<ModuleVersion>,
    /// How long ago the upstream said so.
    age: Duration,
}

impl FromSeeds {
    /// Asks with `asker`, counts liars with `judge`, and fetches from `peers` what a seed has obtained.
    #[must_use]
    pub fn new(asker: Asker, judge: Fetcher, peers: Arc<FromPeers>) -> Self {
        Self { asker, judge, peers }
    }

    /// Brings what is newest of a module into the catalog; says how long ago the upstream said that this is it.
    ///
    /// # Errors
    /// As [`Source::obtain`].
    pub(super) async fn newer(&self, path: &ModulePath, intake: &Intake) -> Result<Duration, SourceError> {
        Ok(self.ask(&Question::Newer { path: path.clone() }, intake).await?.age)
    }

    /// Brings what `query` stands for into the catalog: its `.info` from there, and how old that is.
    ///
    /// # Errors
    /// As [`Source::obtain`].
    pub(super) async fn query(
        &self,
        path: &ModulePath,
        query: &str,
        intake: &Intake,
    ) -> Result<(Duration, Bytes), SourceError> {
        let question = Question::Query { path: path.clone(), query: query.into() };
        let Given { modules, age } = self.ask(&question, intake).await?;
        let held =
            intake.blocking(move |store| modules.first().map_or(Ok(None), |module| store.manifest(module))).await?;
        let info = held.map(|held| Bytes::copy_from_slice(&held.manifest.info)).filter(|info| !info.is_empty());
        let none = || SourceError::Failed(format!("a seed has obtained {question}, but its .info is not known"));
        Ok((age, info.ok_or_else(none)?))
    }

    async fn fetch(&self, want: &Want, intake: &Intake) -> Result<(), SourceError> {
        let question = Question::Obtain { module: want.module.clone(), zip: want.level == Level::Zip };
        self.ask(&question, intake).await?;
        self.peers.obtain(want, intake).await
    }

    async fn ask(&self, question: &Question, intake: &Intake) -> Result<Given, SourceError> {
        let seeds = self.asker.seeds_for(question.path()).await;
        let mut worst = None;
        for peer in seeds {
            match self.ask_one(peer, question, intake).await {
                Ok(given) => return Ok(given),
                Err(error) => {
                    tracing::debug!(%peer, %question, %error, "a seed did not deliver");
                    worst = Some(worse(worst, error));
                }
            }
        }
        match worst {
            // A seed whose own line is down is as good as none: the builds of a site go on with what the site has, and they
            // probe paths that are no modules at all. Only of a module that the site knows is it a failure (GOPROXY.md,
            // fact 24).
            Some(SourceError::Away(why)) if !is_known(question.path(), intake).await? => Err(SourceError::Miss(
                format!("no node of this site has {question}, and no seed can get it now: {why}"),
            )),
            Some(worst) => Err(worst),
            None => Err(SourceError::Miss(no_seed(question, intake).await?)),
        }
    }

    async fn ask_one(&self, peer: PeerId, question: &Question, intake: &Intake) -> Result<Given, SourceError> {
        let (envelopes, age) = match self.asker.ask(peer, question).await {
            Ok(Answer::Done { envelopes, age }) => (envelopes, age),
            Ok(Answer::Miss(reason)) => return Err(SourceError::Miss(reason)),
            Ok(Answer::Failed(reason)) => return Err(SourceError::Failed(format!("seed {peer}: {reason}"))),
            Ok(Answer::Refused(reason)) => return Err(SourceError::Refused(reason)),
            Ok(Answer::Away(reason)) => return Err(SourceError::Away(format!("seed {peer}: {reason}"))),
            Err(error @ AskError::Fault { .. }) => return Err(SourceError::Forged(error.to_string())),
            Err(error) => return Err(SourceError::Failed(error.to_string())),
        };
        // All of them before the first is stored: of an answer with a lie in it nothing is taken.
        let manifests = read(question, envelopes, intake).map_err(|unusable| {
            let said = format!("what seed {peer} answered when asked for {question} was refused: {}", unusable.why);
            if unusable.is_fault {
                self.judge.blame(peer, &unusable.why);
                SourceError::Forged(said)
            } else {
                SourceError::Refused(said)
            }
        })?;
        let modules = manifests.iter().map(|manifest| manifest.manifest().module.clone()).collect();
        for manifest in manifests {
            match intake.accept(manifest).await {
                // The catalog knows other bytes under this version; which of the two is wrong cannot be seen here.
                Err(SourceError::Forged(error)) => tracing::warn!(%peer, error, "manifest refused"),
                accepted => drop(accepted?),
            }
        }
        Ok(Given { modules, age })
    }
}

/// An answer that is not taken.
struct Unusable {
    why: String,
    /// Whether the seed is to be blamed; it may be that it only goes by another policy.
    is_fault: bool,
}

fn read(question: &Question, envelopes: Vec<Bytes>, intake: &Intake) -> Result<Vec<VerifiedManifest>, Unusable> {
    let check = |envelope| {
        let refused = |error: Forged| Unusable { why: error.to_string(), is_fault: error.is_fault() };
        VerifiedManifest::check(envelope, intake.trust()).map_err(refused)
    };
    let manifests: Vec<VerifiedManifest> = envelopes.into_iter().map(check).collect::<Result<_, _>>()?;
    let modules: Vec<(&ModuleVersion, bool)> =
        manifests.iter().map(VerifiedManifest::manifest).map(|it| (&it.module, it.zip.is_some())).collect();
    match stray(question, &modules) {
        Some(why) => Err(Unusable { why, is_fault: true }),
        None => Ok(manifests),
    }
}

async fn is_known(path: &ModulePath, intake: &Intake) -> Result<bool, SourceError> {
    let path = path.clone();
    Ok(!intake.blocking(move |store| store.versions(&path)).await?.is_empty())
}

async fn no_seed(question: &Question, intake: &Intake) -> Result<String, SourceError> {
    match question {
        Question::Obtain { module, .. } => nobody_has(module, intake).await,
        _ => Ok(format!("no node of this site has {question}, and no seed is connected")),
    }
}

impl Source for FromSeeds {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn asks_outside(&self) -> bool {
        true
    }

    fn obtain<'a>(&'a self, want: &'a Want, intake: &'a Intake) -> Work<'a, ()> {
        Box::pin(self.fetch(want, intake))
    }
}

/// What is wrong with an answer that names these module versions (and whether each has a zip), if anything is.
fn stray(question: &Question, modules: &[(&ModuleVersion, bool)]) -> Option<String> {
    let fits = |module: &ModuleVersion, with_zip: bool| match question {
        Question::Obtain { module: asked, zip } => module == asked && (with_zip || !zip),
        Question::Newer { path } => module.path == *path && with_zip,
        Question::Query { path, query } => module.path == *path && with_zip && has_prefix(module, query),
    };
    if modules.len() != 1 && !matches!(question, Question::Newer { .. }) {
        return Some(format!("it answers with {} module versions instead of one", modules.len()));
    }
    let (module, with_zip) = modules.iter().find(|(module, with_zip)| !fits(module, *with_zip))?;
    let what = if *with_zip { "" } else { " without its zip" };
    Some(format!("it answers with {module}{what}"))
}

/// Whether a version can be what a query stands for, as far as that can be seen: `v1` and `v1.2` are prefixes.
fn has_prefix(module: &ModuleVersion, query: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_prefix = query.strip_prefix('v').is_some_and(|rest| {
        let parts: Vec<&str> = rest.split('.').collect();
        parts.len() <= 2 && parts.iter().all(|part| digits(part))
    });
    let tail = |text: &str| text.strip_prefix(query).is_some_and(|tail| tail.starts_with('.'));
    // A branch may be called v1, too; then it stands for a pseudo-version.
    !is_prefix || tail(module.version.as_str()) || module.version.is_pseudo()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_about_something_else_is_seen() {
        let module = |text: &str| ModuleVersion::parse(text).unwrap();
        let (asked, newer, other) =
            (module("example.com/m@v1.2.3"), module("example.com/m@v1.3.0"), module("example.com/n@v1.2.3"));
        let path = || asked.path.clone();
        let query = |text: &str| Question::Query { path: path(), query: text.into() };
        let wrong = |question: &Question, given: &[(&ModuleVersion, bool)]| stray(question, given);

        let zip = Question::Obtain { module: asked.clone(), zip: true };
        assert_eq!(wrong(&zip, &[(&asked, true)]), None);
        assert_eq!(wrong(&zip, &[(&asked, false)]).unwrap(), "it answers with example.com/m@v1.2.3 without its zip");
        assert_eq!(wrong(&zip, &[(&newer, true)]).unwrap(), "it answers with example.com/m@v1.3.0");
        assert!(wrong(&zip, &[(&asked, true), (&asked, true)]).unwrap().contains("2 module versions instead of one"));
        let go_mod = Question::Obtain { module: asked.clone(), zip: false };
        assert_eq!(wrong(&go_mod, &[(&asked, false)]), None);

        let newest = Question::Newer { path: path() };
        assert_eq!(wrong(&newest, &[(&asked, true), (&newer, true)]), None);
        assert!(wrong(&newest, &[(&asked, true), (&other, true)]).unwrap().contains("example.com/n"));

        assert_eq!(wrong(&query("main"), &[(&newer, true)]), None);
        assert!(wrong(&query("main"), &[(&other, true)]).is_some());
        assert_eq!(wrong(&query("v1.3"), &[(&newer, true)]), None);
        assert!(wrong(&query("v1.2"), &[(&newer, true)]).is_some());
        assert!(wrong(&query("v1.30"), &[(&newer, true)]).is_some());
        let pseudo = module("example.com/m@v0.0.0-20240102030405-0123456789ab");
        assert_eq!(wrong(&query("v1"), &[(&pseudo, true)]), None, "a branch of that name");
    }
}
