//! The real go command on a workstation: with modules that nobody has seeded, checked against a database that it
//! cannot reach.

use std::path::Path;

use tokio::process::Command;

use super::common::go::no_go_command;
use super::common::make_module;
use super::common::node::{NodeOptions, TestNode};
use super::common::process::{Ended, output};
use super::{knows_all, proven};

/// A project, and a user's home with nothing in it.
struct Workplace<'a> {
    dir: &'a Path,
    goproxy: &'a str,
    gosumdb: &'a str,
}

impl Workplace<'_> {
    async fn go(&self, args: &[&str]) -> Ended {
        let mut go = Command::new("go");
        go.args(args).current_dir(self.dir).env_clear().kill_on_drop(true);
        go.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "GOROOT"));
        for (name, value) in [("GOPROXY", self.goproxy), ("GOSUMDB", self.gosumdb), ("GOTOOLCHAIN", "local")] {
            go.env(name, value);
        }
        for (name, value) in [("GOFLAGS", "-modcacherw"), ("GOENV", "off"), ("GOWORK", "off"), ("NO_PROXY", "*")] {
            go.env(name, value);
        }
        for (name, place) in [("HOME", "home"), ("GOPATH", "gopath"), ("GOMODCACHE", "modcache")] {
            go.env(name, self.dir.join(".user").join(place));
        }
        // What is compiled of the standard library proves nothing, and takes longer than all else.
        go.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("gocache"));
        output(&mut go).await
    }

    async fn succeeds(&self, args: &[&str]) -> String {
        let ended = self.go(args).await;
        assert_eq!(ended.code, Some(0), "go {args:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_command_gets_and_builds_what_nobody_has_seeded() {
    if no_go_command().await {
        eprintln!("skipped: there is no go command on this machine");
        return;
    }
    let lib = |version: &str| {
        let code = format!("package lib\n\nconst Version = \"{version}\"\n");
        make_module("example.com/Upper/lib", version, &[("lib.go", code.as_bytes())])
    };
    let app = make_module(
        "example.com/dep",
        "v1.0.0",
        &[
            ("go.mod", b"module example.com/dep\n\ngo 1.21\n\nrequire example.com/Upper/lib v1.0.0\n"),
            ("dep.go", b"package dep\n\nimport \"example.com/Upper/lib\"\n\nconst Version = lib.Version\n"),
        ],
    );
    let modules = [lib("v1.0.0"), lib("v1.1.0"), lib("v1.2.0-rc.1"), app];
    let (upstream, key) = proven::upstream(&modules).await;
    let seed = TestNode::start(NodeOptions::seed(&upstream.url()).proving(&key)).await;
    let node = knows_all(NodeOptions::peer_of(&[&seed]).proving(&key)).await;

    let dir = tempfile::tempdir().unwrap();
    let main = "package main\n\nimport \"example.com/dep\"\n\nfunc main() { println(dep.Version) }\n";
    std::fs::write(dir.path().join("main.go"), main).unwrap();
    std::fs::write(dir.path().join("go.mod"), "module example.com/app\n\ngo 1.21\n").unwrap();
    let place = Workplace { dir: dir.path(), goproxy: &node.goproxy, gosumdb: &key };
    place.succeeds(&["get", "example.com/dep@latest"]).await;
    place.succeeds(&["build", "-o", "app", "."]).await;
    place.succeeds(&["get", "example.com/Upper/lib@latest"]).await;
    assert!(place.succeeds(&["list", "-m", "example.com/Upper/lib"]).await.ends_with("v1.1.0\n"));
    place.succeeds(&["build", "-o", "app", "."]).await;
    assert!(place.succeeds(&["mod", "verify"]).await.contains("all modules verified"));
    let nowhere = place.go(&["get", "example.com/nowhere@latest"]).await;
    assert!(nowhere.code != Some(0) && nowhere.stderr.contains("404"), "{}", nowhere.stderr);
    for module in &modules[..2] {
        let zip = super::file(module, ".zip");
        assert_eq!(upstream.count(&zip), 1, "{zip}");
    }
}
