//! `golang.org/toolchain` (GOPROXY.md, fact 32): a real go command switches to a toolchain that only the site has.
//!
//! The toolchain is a shell script. The go command wants the directories of a real one, since it makes what is in them
//! executable after unpacking (cmd/go/internal/toolchain, `Exec`).

use std::env::consts;
use std::path::{Path, PathBuf};

use modswarm::domain::toolchain::{Platform, Toolchain};
use tempfile::TempDir;

use super::client::assert_proves;
use super::common::go::no_go_command;
use super::common::node::{NodeOptions, TestNode};
use super::common::process;
use super::common::{FixtureModule, make_module};
use super::go::go;
use super::sumdb::FixtureDb;
use super::{Site, file};

const VERSION: &str = "go1.99.1";

/// The toolchain for this machine, and the one that every go command takes as the sign that there is this version; on
/// linux/amd64 they are the same.
fn toolchains() -> Vec<FixtureModule> {
    let here = Toolchain::parse_words(&[VERSION.into()], Platform::named(consts::OS, consts::ARCH)).unwrap().remove(0);
    let mut both = vec![here.clone(), here.witness()];
    both.dedup();
    let script = format!("#!/bin/sh\necho \"this is {VERSION}, run with: $*\"\n");
    let files: [(&str, &[u8]); 4] = [
        ("bin/go", script.as_bytes()),
        ("bin/gofmt", b"#!/bin/sh\n"),
        ("lib/README", b"for the walk over it\n"),
        ("pkg/tool/any/compile", b"#!/bin/sh\n"),
    ];
    both.iter().map(|it| make_module("golang.org/toolchain", it.module().version.as_str(), &files)).collect()
}

/// An empty project, and a user who has nothing.
struct Workplace {
    dir: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.path("app")).unwrap();
        std::fs::write(place.path("app/go.mod"), "module example.com/app\n\ngo 1.21\n").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn go(&self, goproxy: &str, env: &[(&str, &str)], args: &[&str]) -> Result<String, String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let env: Vec<(String, String)> = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (app, home, goproxy, args) = (self.path("app"), self.path("home"), goproxy.to_owned(), owned(args));
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            go(&app, &home, &goproxy, &env, &args)
        })
        .await
        .unwrap()
    }
}

async fn seed_toolchain(node: &TestNode) -> String {
    let data = node.data();
    let ended = process::run(&["seed", "toolchain", VERSION, "--data", path(&data)]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stderr
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_32_a_toolchain_switch_works_on_a_node_that_never_had_an_upstream() {
    if no_go_command().await {
        eprintln!("skipped: there is no go command on this machine");
        return;
    }
    let site = Site::with(toolchains(), FixtureDb::with_records(300)).await;
    let key = site.key();
    let seed = TestNode::start(NodeOptions::seed(&site.upstream.url()).proving(&key)).await;
    let said = seed_toolchain(&seed).await;
    assert!(!said.contains("--sumdb off"), "{said}");
    let node = TestNode::start(NodeOptions::peer_of(&[&seed]).proving(&key)).await;
    node.wait_for(1, site.modules.len() as u64).await;
    assert_eq!(node.get(&file(&site.modules[0], ".zip")).await.status, 200);
    let witness = site.modules.last().unwrap();
    assert_eq!(node.get(&file(witness, ".info")).await.body, witness.info);
    assert_proves(&node, &site.modules, &key).await;
    drop(site);
    seed.stop().await;

    let base = [("GOSUMDB", key.as_str()), ("GOTOOLCHAIN", VERSION)];
    for more in [&[][..], &[("GONOSUMDB", "*"), ("GOPRIVATE", "none.example")], &[("GOFLAGS", "-insecure -modcacherw")]]
    {
        let place = Workplace::new();
        let said = place.go(&node.goproxy, &[&base[..], more].concat(), &["version"]).await;
        let said = said.unwrap_or_else(|said| panic!("{more:?}: {said}"));
        assert!(said.contains(&format!("this is {VERSION}, run with: version")), "{said}");
    }
    let place = Workplace::new();
    let local = [base[0], ("GOTOOLCHAIN", "local")];
    let listed = place.go(&node.goproxy, &local, &["list", "-m", "-versions", "toolchain"]).await.unwrap();
    assert!(listed.contains(VERSION), "{listed}");
    // A version by name: the sign that it exists is looked at, and the switch is made only when the go line wants it.
    place.go(&node.goproxy, &local, &["get", &format!("toolchain@{VERSION}")]).await.unwrap();
    let go_mod = std::fs::read_to_string(place.path("app/go.mod")).unwrap();
    assert!(go_mod.contains(&format!("toolchain {VERSION}")), "{go_mod}");
    let auto = [base[0], ("GOTOOLCHAIN", "auto")];
    let said = place.go(&node.goproxy, &auto, &["version"]).await.unwrap();
    assert!(said.contains(&format!("this is {VERSION}")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fact_32_the_go_command_wants_the_proof_of_a_toolchain_whatever_it_is_told() {
    if no_go_command().await {
        eprintln!("skipped: there is no go command on this machine");
        return;
    }
    let site = Site::with(toolchains(), FixtureDb::with_records(3)).await;
    // A node that proves nothing has the bytes, and that is not enough.
    let open = TestNode::start(NodeOptions::seed(&site.upstream.url())).await;
    let said = seed_toolchain(&open).await;
    assert!(said.contains("--sumdb off") && said.contains("proof"), "{said}");
    assert_eq!(open.get(&file(&site.modules[0], ".zip")).await.status, 200);
    let nobody = format!("{} {}/nowhere", site.key(), site.upstream.url());
    for (env, why) in [
        (&[("GOSUMDB", "off")][..], "checksum database disabled by GOSUMDB=off"),
        (&[("GOSUMDB", nobody.as_str()), ("GONOSUMDB", "*")], "404"),
    ] {
        let env = [env, &[("GOTOOLCHAIN", VERSION)]].concat();
        let said = Workplace::new().go(&open.goproxy, &env, &["version"]).await.unwrap_err();
        assert!(said.contains(why) && said.contains("verifying"), "{said}");
    }
}
