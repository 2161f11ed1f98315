//! The real go command against a node that has never seen its checksum database.

use std::path::Path;
use std::process::Command;

use super::Site;
use super::client::assert_proves;
use super::common::go::no_go_command;
use super::common::node::{NodeOptions, TestNode};
use super::file;

/// Runs the go command in `project` with no module, no go.sum and no proxy but the node. What it has compiled of the
/// standard library is kept from run to run: it proves nothing, and takes longer than all else. `env` wins over
/// the rest.
pub(crate) fn go(
    project: &Path,
    home: &Path,
    goproxy: &str,
    env: &[(&str, &str)],
    args: &[&str],
) -> Result<String, String> {
    let mut command = Command::new("go");
    command.args(args).current_dir(project).env_clear();
    for name in ["PATH", "SYSTEMROOT", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = command
        .env("HOME", home)
        .env("GOPATH", home.join("gopath"))
        .env("GOMODCACHE", home.join("gomodcache"))
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("gocache"))
        .env("GOPROXY", goproxy)
        .env("GOFLAGS", "-mod=mod -modcacherw")
        .env("GOTOOLCHAIN", "local")
        .env("GOENV", "off")
        .env("NO_PROXY", "*")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(format!("go {}: {said}", args.join(" "))) }
}

fn project(dir: &Path) {
    std::fs::write(dir.join("go.mod"), "module example.com/app\n\ngo 1.21\n\nrequire example.com/Upper v0.1.0\n")
        .unwrap();
    let main = "package main\n\nimport upper \"example.com/Upper\"\n\nfunc main() { println(upper.N) }\n";
    std::fs::write(dir.join("main.go"), main).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_command_builds_with_gosumdb_on_where_no_database_can_be_reached() {
    if no_go_command().await {
        eprintln!("skipped: there is no go command on this machine");
        return;
    }
    let site = Site::start().await;
    let key = site.key();
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    for module in &site.modules {
        assert_eq!(seed.get(&file(module, ".zip")).await.status, 200);
    }
    let node = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&key)).await;
    node.wait_for(1, 3).await;
    for module in &site.modules {
        assert_eq!(node.get(&file(module, ".zip")).await.status, 200);
    }
    assert_proves(&node, &site.modules, &key).await;
    drop(site);
    seed.stop().await;

    let dir = tempfile::tempdir().unwrap();
    let (app, home) = (dir.path().join("app"), dir.path().join("home"));
    std::fs::create_dir_all(&app).unwrap();
    std::fs::create_dir_all(&home).unwrap();
    project(&app);
    let goproxy = node.goproxy.clone();
    let said = tokio::task::spawn_blocking(move || {
        let go = |args: &[&str]| go(&app, &home, &goproxy, &[("GOSUMDB", &key)], args);
        go(&["mod", "download", "all"])?;
        go(&["build", "./..."])?;
        let verified = go(&["mod", "verify"])?;
        let sums = std::fs::read_to_string(app.join("go.sum")).map_err(|error| error.to_string())?;
        Ok::<_, String>((verified, sums))
    });
    let (verified, sums) = said.await.unwrap().unwrap_or_else(|said| panic!("{said}"));
    assert!(verified.contains("all modules verified"), "{verified}");
    assert!(sums.contains("example.com/Upper v0.1.0 h1:") && sums.contains("example.com/lib v1.1.0 h1:"), "{sums}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_command_sees_that_a_node_changed_something() {
    if no_go_command().await {
        eprintln!("skipped: there is no go command on this machine");
        return;
    }
    // The node demands no proof and answers for no database; the go command is told of it all the same.
    let site = Site::start().await;
    let changed = super::common::make_module(
        "example.com/lib",
        "v1.1.0",
        &[("lib.go", b"package lib\n\nconst N = 666\n"), ("go.mod", &site.modules[1].go_mod)],
    );
    site.upstream.put(&file(&changed, ".zip"), &changed.zip);
    let open = TestNode::start(NodeOptions::seed(&site.upstream.url())).await;
    let dir = tempfile::tempdir().unwrap();
    let (app, home) = (dir.path().join("app"), dir.path().join("home"));
    std::fs::create_dir_all(&app).unwrap();
    project(&app);
    let gosumdb = format!("{} {}/sumdb/{}", site.key(), site.upstream.url(), super::sumdb::NAME);
    let goproxy = open.goproxy.clone();
    let building = move || go(&app, &home, &goproxy, &[("GOSUMDB", &gosumdb)], &["build", "./..."]);
    let said = tokio::task::spawn_blocking(building).await.unwrap().unwrap_err();
    assert!(said.contains("SECURITY ERROR"), "{said}");
}
