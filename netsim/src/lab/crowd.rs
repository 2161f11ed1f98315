//! Many machines on which the real `go mod download` runs at the same moment, each with an empty module cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;

use super::Failure;
use super::content::Content;
use super::cpu::{Spent, Ticks};
use super::net::Host;

/// How it went.
#[derive(Debug)]
pub(super) struct Crowd {
    /// For each machine: how long its go command took, or why it failed.
    pub(super) ended: Vec<Result<Duration, String>>,
    /// For each machine: when the last byte of the zip was written into its module cache. What comes then is the go command's own
    /// work: it checks and unpacks.
    pub(super) there: Vec<Option<Duration>>,
    /// What the machine's processors did meanwhile.
    pub(super) spent: Spent,
}

/// A machine and the GOPROXY of its go command.
pub(super) struct Member<'a> {
    /// The machine.
    pub(super) host: &'a Host,
    /// What GOPROXY is set to.
    pub(super) goproxy: String,
}

impl Crowd {
    /// Runs all go commands, each for `deadline` at most. What they wrote below `dir` is compared and removed.
    pub(super) async fn run(
        dir: &Path,
        content: &Content,
        members: &[Member<'_>],
        deadline: Duration,
    ) -> Result<Self, Failure> {
        let homes: Vec<PathBuf> = members.iter().map(|member| dir.join("go").join(&member.host.name)).collect();
        for home in &homes {
            fs::create_dir_all(home)?;
        }
        let (before, begin, clock) = (Ticks::now()?, Instant::now(), SystemTime::now());
        let all = members.iter().zip(&homes).map(|(member, home)| go(member, home, &content.module, begin, deadline));
        let mut ended = join_all(all).await;
        let spent = Ticks::now()?.since(before);
        let caches = homes.iter().map(|home| home.join("modcache"));
        let there = caches.map(|cache| content.written_in(&cache)?.duration_since(clock).ok()).collect();
        for (ended, home) in ended.iter_mut().zip(&homes) {
            if ended.is_ok() && !content.is_in(&home.join("modcache")) {
                *ended = Err("the module cache has another zip than the seed was given".into());
            }
        }
        fs::remove_dir_all(dir.join("go"))?;
        Ok(Self { ended, there, spent })
    }

    /// Machines on which it worked.
    pub(super) fn complete(&self) -> usize {
        self.ended.iter().flatten().count()
    }

    /// Seconds until the last of those was ready on which it worked; not a number if there is none.
    pub(super) fn makespan(&self) -> f64 {
        self.ended.iter().flatten().map(Duration::as_secs_f64).fold(f64::NAN, f64::max)
    }

    /// The makespan, if all are complete; otherwise not a number, which keeps no limit.
    pub(super) fn makespan_of_all(&self) -> f64 {
        if self.complete() == self.ended.len() { self.makespan() } else { f64::NAN }
    }

    /// Seconds until the last zip was there; not a number if one is missing.
    pub(super) fn zips_there(&self) -> f64 {
        let all: Option<Vec<Duration>> = self.there.iter().copied().collect();
        all.and_then(|all| all.into_iter().max()).map_or(f64::NAN, |last| last.as_secs_f64())
    }

    /// What went wrong, each reason once, with how often.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
        for reason in self.ended.iter().filter_map(|ended| ended.as_ref().err()) {
            *reasons.entry(reason).or_default() += 1;
        }
        reasons.into_iter().map(|(reason, count)| format!("{count} x {reason}")).collect()
    }
}

async fn go(
    member: &Member<'_>,
    home: &Path,
    module: &str,
    begin: Instant,
    deadline: Duration,
) -> Result<Duration, String> {
    let mut go = member.host.command("go");
    go.args(["mod", "download", module]).current_dir(home);
    for (name, value) in [
        ("GOPROXY", member.goproxy.as_str()),
        ("GOSUMDB", "off"),
        ("GOFLAGS", "-mod=mod -modcacherw"),
        ("GOTOOLCHAIN", "local"),
        ("GOENV", "off"),
        ("GOWORK", "off"),
        ("GOVCS", "*:off"),
        ("NO_PROXY", "*"),
    ] {
        go.env(name, value);
    }
    for (name, place) in [("HOME", "home"), ("GOPATH", "gopath"), ("GOMODCACHE", "modcache"), ("GOCACHE", "cache")] {
        go.env(name, home.join(place));
    }
    match tokio::time::timeout(deadline, go.output()).await {
        Err(_) => Err(format!("not done after {} s", deadline.as_secs())),
        Ok(Err(error)) => Err(format!("the go command does not run: {error}")),
        Ok(Ok(output)) if output.status.success() => Ok(begin.elapsed()),
        Ok(Ok(output)) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " / ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(ended: Vec<Result<Duration, String>>) -> Crowd {
        let there = ended.iter().map(|ended| ended.as_ref().ok().map(|time| *time / 2)).collect();
        Crowd { ended, there, spent: Spent { idle: 50.0, niced: 0.0 } }
    }

    #[test]
    fn a_crowd_takes_as_long_as_its_last_machine_and_has_no_time_if_one_fails() {
        let (fast, slow) = (Duration::from_secs(2), Duration::from_secs(5));
        let all = crowd(vec![Ok(fast), Ok(slow)]);
        assert!((all.makespan_of_all() - 5.0).abs() < 1e-9);
        assert!((all.zips_there() - 2.5).abs() < 1e-9);
        let part = crowd(vec![Ok(fast), Err("gone".into()), Err("gone".into())]);
        assert_eq!(part.complete(), 1);
        assert!((part.makespan() - 2.0).abs() < 1e-9);
        assert!(part.makespan_of_all().is_nan() && part.zips_there().is_nan());
        assert_eq!(part.failures(), ["2 x gone"]);
        assert!(crowd(Vec::new()).makespan().is_nan());
    }
}
