//! The real go command, told by `modswarm env`, builds with a private module and a public one.

use std::path::Path;
use std::sync::{Arc, RwLock};

use modswarm::domain::dirhash::H1;
use tokio::process::Command;

use super::common::go::no_go_command;
use super::common::node::{NodeOptions, TestNode};
use super::common::process::{output, run};
use super::common::{FixtureProxy, make_module};
use super::sumdb::{FixtureDb, NAME};
use super::{PREFIX, file, lib, publish, with_policy};

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(name), text).unwrap();
}

/// A seed with a database, and a node that has all that the seed has.
async fn two_nodes() -> (TestNode, TestNode, FixtureProxy) {
    let public = make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n\nconst N = 2\n")]);
    let upstream = FixtureProxy::start(std::slice::from_ref(&public)).await;
    let db = Arc::new(RwLock::new(FixtureDb::with_records(300)));
    let zip_h1 = H1::of_zip(&public.zip.to_vec()).unwrap();
    db.write().unwrap().add("example.com/lib@v1.0.0", &public.go_mod, Some(zip_h1));
    let (key, log) = (db.read().unwrap().key(), Arc::clone(&db));
    upstream.mount(&format!("/sumdb/{NAME}/"), move |path| log.read().unwrap().answer(path));
    let seed = TestNode::start(with_policy(NodeOptions::seed(&upstream.url()).proving(&key))).await;
    let node = TestNode::start(with_policy(NodeOptions::peer_of(&[&seed]).proving(&key))).await;
    node.wait_for(1, 0).await;
    publish(&seed, &lib("v1.0.0", "package lib\n\nconst N = 40\n")).await;
    assert_eq!(seed.get(&file(&public, ".zip")).await.status, 200);
    node.wait_for(1, 2).await;
    (seed, node, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_command_builds_with_what_env_prints_where_goprivate_is_set() {
    if no_go_command().await {
        eprintln!("skipped: there is no go command on this machine");
        return;
    }
    let (_seed, node, upstream) = two_nodes().await;
    let env = run(&["env", "--data", node.data().to_str().unwrap()]).await;
    assert_eq!((env.code, env.stderr.as_str()), (Some(0), ""));
    for line in
        [&format!("export GONOSUMDB='{PREFIX}'"), "export GONOPROXY='none'", &format!("export GOSUMDB='{NAME}+")]
    {
        assert!(env.stdout.contains(line), "{line} is not in {}", env.stdout);
    }
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    write(&app, "go.mod", "module example.com/app\n\ngo 1.21\n");
    write(
        &app,
        "main.go",
        "package main\n\nimport (\n\tteam \"corp.example/team/lib\"\n\t\"example.com/lib\"\n)\n\n\
         func main() { println(team.N + lib.N) }\n",
    );
    let script = format!(
        "{}go mod tidy && go mod verify && go build -o app . && ./app && go list -m -versions {PREFIX}/lib",
        env.stdout
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(&app).env_clear().kill_on_drop(true);
    shell.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "GOROOT"));
    for (name, value) in [
        // What a machine of the company has: without GONOPROXY the go command would go to a version control system.
        ("GOPRIVATE", "corp.example"),
        ("GOTOOLCHAIN", "local"),
        ("GOFLAGS", "-modcacherw"),
        ("GOENV", "off"),
        ("NO_PROXY", "*"),
        ("GOVCS", "*:off"),
    ] {
        shell.env(name, value);
    }
    for (name, place) in [("HOME", "home"), ("GOPATH", "gopath"), ("GOMODCACHE", "modcache")] {
        shell.env(name, dir.path().join(place));
    }
    // What it has compiled of the standard library is kept from run to run: it proves nothing, and takes long.
    shell.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("gocache"));
    let ended = output(&mut shell).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("42\n") && ended.stdout.contains("all modules verified"), "{ended:?}");
    assert!(ended.stdout.contains(&format!("{PREFIX}/lib v1.0.0")), "{ended:?}");
    let sums = std::fs::read_to_string(app.join("go.sum")).unwrap();
    assert!(
        sums.contains(&format!("{PREFIX}/lib v1.0.0 h1:")) && sums.contains("example.com/lib v1.0.0 h1:"),
        "{sums}"
    );
    assert_eq!(upstream.requests(&format!("/sumdb/{NAME}/lookup/{PREFIX}/lib@v1.0.0")).len(), 0);
    assert_eq!(upstream.requests(&format!("/{PREFIX}/lib/@v/list")).len(), 0);
}
