//! The real go command, the one of this machine and an old one, each time with a home that has seen nothing.
//!
//! What an old go command believes is not what one of today believes (CVE-2026-42501 and others), so a promise to the
//! clients of a node has to be shown with both. `MODSWARM_OLD_GO=/path/to/bin/go` names the old one (1.19, as Debian 12 has
//! it in `golang-1.19-go`, is good for all tests here); without it those parts are skipped with a message.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::common::process::{Ended, output};

/// The variable that names an old go command.
const OLD_GO: &str = "MODSWARM_OLD_GO";
/// Where nothing listens: whoever would ask the internet is refused at once, on the loopback interface.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A go command.
#[derive(Clone, Debug)]
pub(crate) struct Go {
    program: OsString,
    /// For messages, and for the name of its build cache: `go1.26.8`.
    pub(crate) version: String,
}

impl Go {
    /// Those that there are. A machine that builds for everybody (`CI` is set) has to have one.
    pub(crate) async fn all() -> &'static [Self] {
        static ALL: OnceCell<Vec<Go>> = OnceCell::const_new();
        ALL.get_or_init(Self::look).await
    }

    async fn look() -> Vec<Self> {
        let own = Self::find("go".into()).await;
        assert!(own.is_some() || std::env::var_os("CI").is_none(), "CI is set and there is no go command");
        if own.is_none() {
            eprintln!("skipped: there is no go command on this machine");
        }
        let old = match std::env::var_os(OLD_GO) {
            None => {
                eprintln!("skipped with an old go command: {OLD_GO} does not name one");
                None
            }
            Some(program) => {
                let found = Self::find(program.clone()).await;
                assert!(found.is_some(), "{OLD_GO}={} is no go command", program.display());
                found
            }
        };
        own.into_iter().chain(old).collect()
    }

    async fn find(program: OsString) -> Option<Self> {
        let said = Command::new(&program).arg("version").env("GOTOOLCHAIN", "local").output().await.ok()?;
        let said = String::from_utf8(said.stdout).ok()?;
        let version = said.split_whitespace().nth(2)?.to_owned();
        Some(Self { program, version })
    }

    /// Runs it in `place`, which gives it a home, with nothing but `goproxy` to ask.
    pub(crate) async fn run(&self, place: &Workplace, goproxy: &str, gosumdb: &str, args: &[&str]) -> Ended {
        let mut go = Command::new(&self.program);
        go.args(args).current_dir(place.app()).env_clear().kill_on_drop(true);
        go.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        for (name, value) in [
            ("GOPROXY", goproxy),
            ("GOSUMDB", gosumdb),
            ("GOFLAGS", "-mod=mod -modcacherw"),
            ("GOTOOLCHAIN", "local"),
            ("GOENV", "off"),
            ("GOWORK", "off"),
            ("HTTPS_PROXY", NOWHERE),
            ("NO_PROXY", "127.0.0.1"),
        ] {
            go.env(name, value);
        }
        for (name, dir) in [("HOME", "home"), ("GOPATH", "gopath"), ("GOMODCACHE", "modcache")] {
            go.env(name, place.dir.path().join(dir));
        }
        // What it has compiled of the standard library proves nothing, and takes longer than all else.
        go.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gocache-{}", self.version)));
        output(&mut go).await
    }
}

/// A project and a home that know of nothing but each other: no module cache, no go.sum, no tree head.
pub(crate) struct Workplace {
    dir: TempDir,
}

impl Workplace {
    /// A project that requires these module versions and imports nothing yet.
    pub(crate) fn requiring(requires: &[&str]) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.app()).unwrap();
        let requires: String =
            requires.iter().map(|require| format!("require {}\n", require.replace('@', " "))).collect();
        place.write("go.mod", &format!("module example.com/app\n\ngo 1.16\n\n{requires}"));
        place
    }

    /// The project's directory.
    pub(crate) fn app(&self) -> PathBuf {
        self.dir.path().join("app")
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.app().join(name), text).unwrap();
    }

    /// A file of the module cache's download directory, such as `example.com/lib/@v/v1.0.0.zip`.
    pub(crate) fn downloaded(&self, file: &str) -> Option<Vec<u8>> {
        std::fs::read(self.dir.path().join("modcache/cache/download").join(file)).ok()
    }

    /// The project's go.sum; empty if there is none.
    pub(crate) fn go_sum(&self) -> String {
        std::fs::read_to_string(self.app().join("go.sum")).unwrap_or_default()
    }
}
