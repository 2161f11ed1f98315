//! The real go command against nodes: what a user of a site types, with nothing but the site to fetch from.

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::go::{forget_modules, go, no_go_command};
use common::process::{Ended, NodeProcess, run};
use common::{FixtureModule, FixtureProxy, escape, make_module, sum_lines};
use tempfile::TempDir;

const LEAF: &str = "v0.0.0-20190501000000-abcdefabcdef";
const OLD: &str = "v2.0.0+incompatible";

fn module(path: &str, version: &str, go_mod: &str) -> FixtureModule {
    let code = format!("package lib\n\nconst Version = \"{version}\"\n");
    make_module(path, version, &[("go.mod", go_mod.as_bytes()), ("lib.go", code.as_bytes()), ("LICENSE", b"none\n")])
}

/// All that the project builds with, in the order of `go list -m all`.
fn selected() -> Vec<FixtureModule> {
    let plain =
        |path: &str, version: &str, rest: &str| module(path, version, &format!("module {path}\n\ngo 1.21\n{rest}"));
    vec![
        plain("example.com/Upper/Case", "v1.0.0", ""),
        // Before 1.17: all of the graph below it is read, so a go.mod of a version that nobody builds with is needed.
        module(
            "example.com/dep",
            "v1.2.0",
            &format!(
                "module example.com/dep\n\ngo 1.16\n\nrequire (\n\texample.com/Upper/Case v1.0.0\n\
                 \texample.com/leaf {LEAF}\n\texample.com/graph v1.0.0\n)\n"
            ),
        ),
        plain("example.com/dep/v2", "v2.1.0", "\nrequire example.com/graph v1.1.0\n"),
        plain("example.com/graph", "v1.1.0", ""),
        plain("example.com/leaf", LEAF, ""),
        make_module("example.com/old", OLD, &[("old.go", b"package old\n")]),
        plain("example.com/retracted", "v1.0.0", ""),
    ]
}

/// In the graph, for its go.mod only.
fn only_in_graph() -> FixtureModule {
    module("example.com/graph", "v1.0.0", "module example.com/graph\n\ngo 1.21\n")
}

/// Says in its go.mod that the version before it should not be used.
fn retracting() -> FixtureModule {
    let go_mod = "module example.com/retracted\n\ngo 1.21\n\nretract v1.0.0 // broken\n";
    module("example.com/retracted", "v1.1.0", go_mod)
}

const IMPORTS: &str = "package app\n\nimport (\n\t_ \"example.com/Upper/Case\"\n\t_ \"example.com/dep\"\n\
                       \t_ \"example.com/dep/v2\"\n\t_ \"example.com/graph\"\n\t_ \"example.com/leaf\"\n\t_ \"example.com/old\"\n\
                       \t_ \"example.com/retracted\"\n)\n";

/// A project and a user's home that know of nothing but each other.
struct Workplace {
    dir: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let requires: String =
            selected().iter().map(|module| format!("\t{} {}\n", module.path, module.version)).collect();
        let go_mod = format!("module example.com/app\n\ngo 1.21\n\nrequire (\n{requires})\n");
        std::fs::create_dir(place.app()).unwrap();
        std::fs::write(place.app().join("go.mod"), go_mod).unwrap();
        std::fs::write(place.app().join("app.go"), IMPORTS).unwrap();
        let mut go_sum: String = selected().iter().flat_map(sum_lines).collect();
        go_sum += &sum_lines(&only_in_graph())[1];
        std::fs::write(place.app().join("go.sum"), go_sum).unwrap();
        place
    }

    fn app(&self) -> PathBuf {
        self.dir.path().join("app")
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("modcache")
    }

    async fn go(&self, goproxy: &str, args: &[&str]) -> Ended {
        go(self.dir.path(), &self.app(), goproxy, args).await
    }

    /// Runs a go command that has to work, and gives its stdout.
    async fn ok(&self, goproxy: &str, args: &[&str]) -> String {
        let ended = self.go(goproxy, args).await;
        assert_eq!(ended.code, Some(0), "go {args:?}: {}", ended.stderr);
        ended.stdout
    }

    /// What a user types on a machine whose module cache is empty.
    async fn all_commands_work(&self, goproxy: &str) {
        forget_modules(self.dir.path());
        self.ok(goproxy, &["mod", "download", "all"]).await;
        self.ok(goproxy, &["build", "./..."]).await;
        assert_eq!(self.ok(goproxy, &["mod", "verify"]).await, "all modules verified\n");
        let all: String = selected().iter().map(|module| format!("{} {}\n", module.path, module.version)).collect();
        assert_eq!(self.ok(goproxy, &["list", "-m", "all"]).await, format!("example.com/app\n{all}"));
        let graph = self.ok(goproxy, &["mod", "graph"]).await;
        assert!(graph.contains("example.com/dep@v1.2.0 example.com/graph@v1.0.0\n"), "{graph}");
        assert_eq!(graph.lines().filter(|line| line.starts_with("example.com/app ")).count(), 8, "{graph}");
        assert_eq!(self.cached(), expected_cache(&selected(), &[only_in_graph()]), "in the module cache");
    }

    /// The `.info`, `.mod` and `.zip` files of the module cache, after a look into each.
    fn cached(&self) -> BTreeSet<String> {
        let known: Vec<FixtureModule> = selected().into_iter().chain([only_in_graph(), retracting()]).collect();
        let root = self.cache().join("cache/download");
        let mut found = BTreeSet::new();
        for path in files(&root) {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let bytes = std::fs::read(&path).unwrap();
            for module in &known {
                let base = base(module);
                let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
                match name.strip_prefix(&base) {
                    Some(".zip") => assert!(bytes == module.zip, "{name}"),
                    Some(".mod") => assert_eq!(bytes, module.go_mod, "{name}"),
                    // The go command writes its own reading of it.
                    Some(".info") => assert_eq!(json(&bytes), json(&module.info), "{name}"),
                    _ => continue,
                }
                found.insert(name.clone());
            }
            let ours = [".zip", ".mod", ".info"].iter().any(|end| name.ends_with(end));
            assert!(!ours || found.contains(&name), "{name} is of no fixture module");
        }
        found
    }
}

fn base(module: &FixtureModule) -> String {
    format!("{}/@v/{}", escape(&module.path), escape(&module.version))
}

fn expected_cache(whole: &[FixtureModule], go_mod_only: &[FixtureModule]) -> BTreeSet<String> {
    let of_whole = whole.iter().flat_map(|module| [".zip", ".mod", ".info"].map(|end| base(module) + end));
    of_whole.chain(go_mod_only.iter().map(|module| base(module) + ".mod")).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

async fn upstream() -> FixtureProxy {
    let all: Vec<FixtureModule> = selected().into_iter().chain([only_in_graph(), retracting()]).collect();
    FixtureProxy::start(&all).await
}

#[tokio::test]
async fn a_seeded_project_builds_on_a_workstation_without_the_seed_and_the_upstream() {
    if no_go_command().await {
        return;
    }
    let (place, data, second) = (Workplace::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let upstream = upstream().await;
    let seed = NodeProcess::seed(data.path(), &upstream.url()).await;
    let seeded = run(&["seed", place.app().to_str().unwrap(), "--data", seed.data()]).await;
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
    let store = seed.status().await.store;
    // And the version that says what was retracted.
    assert_eq!((store.versions, store.zips), (9, 8), "what is needed and no more: {}", seeded.stdout);
    drop(upstream);

    place.all_commands_work(&seed.goproxy).await;

    let node = NodeProcess::start(second.path(), &["--peer", &seed.peer_address().await]).await;
    node.wait_until(|status| status.peers.len() == 1 && status.store.versions == 9).await;
    place.all_commands_work(&node.goproxy).await;
    let versions = place.ok(&node.goproxy, &["list", "-m", "-retracted", "-versions", "example.com/retracted"]).await;
    assert_eq!(versions, "example.com/retracted v1.0.0 v1.1.0\n");
    let update = place.ok(&node.goproxy, &["list", "-m", "-u", "example.com/retracted"]).await;
    assert_eq!(update, "example.com/retracted v1.0.0 (retracted) [v1.1.0]\n");

    assert_eq!(seed.end("TERM").await.code, Some(0));
    place.all_commands_work(&node.goproxy).await;

    let unknown = place.go(&node.goproxy, &["mod", "download", "example.com/unknown@v1.0.0"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("404 Not Found"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("no node of this site has example.com/unknown@v1.0.0"), "{}", unknown.stderr);
}

#[tokio::test]
async fn a_project_that_nobody_seeded_builds_through_a_node_with_an_upstream() {
    if no_go_command().await {
        return;
    }
    let (place, data) = (Workplace::new(), tempfile::tempdir().unwrap());
    // The go command finds the hashes by itself, as in a new project.
    std::fs::remove_file(place.app().join("go.sum")).unwrap();
    let upstream = upstream().await;
    let node = NodeProcess::seed(data.path(), &upstream.url()).await;
    place.ok(&node.goproxy, &["mod", "tidy"]).await;
    place.all_commands_work(&node.goproxy).await;
    let versions = place.ok(&node.goproxy, &["list", "-m", "-versions", "example.com/retracted"]).await;
    assert_eq!(versions, "example.com/retracted v1.1.0\n", "the upstream's list, without what was retracted");
    drop(upstream);
    place.all_commands_work(&node.goproxy).await;
}
