//! `modswarm seed` against a node and an upstream: what it fetches, what it refuses, and what it says.

use std::path::Path;

use modswarm::admin::{SeedEvent, SeedSummary};

use crate::assert_fails;
use crate::common::node::get;
use crate::common::process::{Ended, NodeProcess, run};
use crate::common::{Fault, FixtureModule, FixtureProxy, escape, make_module, noise, sum_lines};

const B_ZIP: &str = "/example.com/b/@v/v1.1.0.zip";

/// a and Upper/c require b; the lower version of b is in the graph only.
fn modules() -> Vec<FixtureModule> {
    let go_mod = |path: &str, rest: &str| format!("module {path}\n\ngo 1.21\n{rest}").into_bytes();
    let module = |path: &str, version: &str, rest: &str, file: &[u8]| {
        make_module(path, version, &[("go.mod", &go_mod(path, rest)), ("lib.go", b"package lib\n"), ("data", file)])
    };
    vec![
        module("example.com/a", "v1.0.0", "\nrequire example.com/b v1.1.0\n", &noise(300_000, 1)),
        module("example.com/Upper/c", "v0.2.0", "\nrequire example.com/b v1.0.0\n", b""),
        module("example.com/b", "v1.1.0", "", &noise(500_000, 2)),
        module("example.com/b", "v1.0.0", "", &noise(500_000, 3)),
    ]
}

const APP: &str = "module example.com/app\n\ngo 1.21\n\nrequire (\n\texample.com/a v1.0.0\n\
                   \texample.com/Upper/c v0.2.0\n\texample.com/b v1.1.0 // indirect\n)\n";

/// A project that needs the first three with their zip and the last for its go.mod.
fn write_project(dir: &Path, modules: &[FixtureModule]) {
    let mut sum: String = modules[..3].iter().flat_map(sum_lines).collect();
    sum += &sum_lines(&modules[3])[1];
    std::fs::write(dir.join("go.mod"), APP).unwrap();
    std::fs::write(dir.join("go.sum"), sum).unwrap();
}

fn url(module: &FixtureModule, end: &str) -> String {
    format!("/{}/@v/{}{end}", escape(&module.path), escape(&module.version))
}

/// What the node holds by itself, whoever else there is.
async fn assert_holds(node: &NodeProcess, module: &FixtureModule, zip: bool) {
    let path = |end| format!("{}/cached-only{}", node.goproxy, url(module, end));
    let got = get(&path(".mod")).await;
    assert_eq!((got.status, &got.body), (200, &module.go_mod), "{}", module.path);
    let got = get(&path(".zip")).await;
    if zip {
        assert!(got.status == 200 && got.body == module.zip, "{} {}", module.path, got.status);
    } else {
        assert_eq!(got.status, 404, "{} {}", module.path, module.version);
    }
}

async fn seed(node: &NodeProcess, what: &Path) -> Ended {
    run(&["seed", what.to_str().unwrap(), "--data", node.data()]).await
}

/// Runs a seed for a script and gives its last line.
async fn summary(node: &NodeProcess, what: &[&str]) -> SeedSummary {
    let ended = run(&[&["seed", "--json", "--data", node.data()], what].concat()).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let mut events: Vec<SeedEvent> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let Some(SeedEvent::Done(summary)) = events.pop() else { panic!("no summary in {}", ended.stdout) };
    let usual = |event: &SeedEvent| matches!(event, SeedEvent::Progress { .. } | SeedEvent::Module { .. });
    assert!(events.iter().all(usual), "{}", ended.stdout);
    summary
}

struct Site {
    dir: tempfile::TempDir,
    modules: Vec<FixtureModule>,
    upstream: FixtureProxy,
    node: NodeProcess,
}

impl Site {
    async fn start() -> Self {
        let (dir, modules) = (tempfile::tempdir().unwrap(), modules());
        let upstream = FixtureProxy::start(&modules).await;
        let node = NodeProcess::seed(&dir.path().join("data"), &upstream.url()).await;
        std::fs::create_dir(dir.path().join("app")).unwrap();
        let site = Self { dir, modules, upstream, node };
        write_project(&site.app(), &site.modules);
        site
    }

    fn app(&self) -> std::path::PathBuf {
        self.dir.path().join("app")
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_build_is_fetched_whole_and_a_second_run_fetches_nothing() {
    let site = Site::start().await;
    let first = summary(&site.node, &[&site.path("app/go.mod")]).await;
    assert_eq!((first.zips, first.go_mods, first.fetched, first.held, first.failed), (3, 1, 4, 0, 0), "{first:?}");
    assert_eq!(first.zip_bytes, site.modules[..3].iter().map(|module| module.zip.len() as u64).sum::<u64>());
    for (module, zip) in site.modules.iter().zip([true, true, true, false]) {
        assert_holds(&site.node, module, zip).await;
        assert_eq!(site.upstream.count(&url(module, ".zip")), usize::from(zip), "{}", module.version);
        assert_eq!(site.upstream.count(&url(module, ".mod")), 1, "{}", module.version);
    }
    let asked = site.upstream.total();
    let second = summary(&site.node, &[&site.path("app")]).await;
    let nothing = SeedSummary { zips: 3, go_mods: 1, held: 4, ..SeedSummary::default() };
    assert_eq!(second, nothing);
    assert_eq!(site.upstream.total(), asked, "the upstream is not asked for what is held");
    let people = seed(&site.node, &site.app()).await;
    assert_eq!(people.code, Some(0), "{people:?}");
    for words in ["3 module versions with zip", "1 with go.mod only", "0 fetched", "4 already held", "0 failed"] {
        assert!(people.stdout.contains(words), "{words:?} is not in {:?}", people.stdout);
    }
}

#[tokio::test]
async fn each_way_to_say_what_is_wanted_brings_what_it_names() {
    for (what, zips, go_mods) in [
        (&["app/go.sum"][..], 3, 1),
        (&["app"], 3, 1),
        (&["work"], 3, 1),
        (&["work/go.work"], 3, 1),
        (&["app/go.mod", "app/go.sum"], 3, 1),
    ] {
        let site = Site::start().await;
        std::fs::create_dir(site.dir.path().join("work")).unwrap();
        std::fs::write(site.path("work/go.work"), "go 1.21\n\nuse ../app\n").unwrap();
        let paths: Vec<String> = what.iter().map(|name| site.path(name)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let got = summary(&site.node, &paths).await;
        assert_eq!((got.zips, got.go_mods, got.fetched, got.held), (zips, go_mods, zips + go_mods, 0), "{what:?}");
        assert_holds(&site.node, &site.modules[0], true).await;
        assert_holds(&site.node, &site.modules[3], false).await;
    }
}

#[tokio::test]
async fn a_query_brings_the_module_and_what_it_requires() {
    let site = Site::start().await;
    let got = summary(&site.node, &["example.com/a@latest", "example.com/b@v1.0.0"]).await;
    assert_eq!((got.zips, got.go_mods, got.fetched, got.held), (3, 0, 3, 0), "{got:?}");
    for module in [&site.modules[0], &site.modules[2], &site.modules[3]] {
        assert_holds(&site.node, module, true).await;
    }
}

#[tokio::test]
async fn a_toolchain_brings_what_says_that_its_version_exists() {
    let dir = tempfile::tempdir().unwrap();
    let toolchain = |platform: &str| {
        make_module("golang.org/toolchain", &format!("v0.0.1-go1.99.1.{platform}"), &[("bin/go", platform.as_bytes())])
    };
    let modules = ["windows-arm64", "linux-amd64", "darwin-arm64"].map(toolchain);
    let upstream = FixtureProxy::start(&modules).await;
    let node = NodeProcess::start(dir.path(), &["--upstream", &upstream.url(), "--sumdb", "off"]).await;
    let what = ["seed", "toolchain", "go1.99.1", "windows/arm64", "--json", "--data", node.data()];
    for (fetched, held) in [(2, 0), (0, 2)] {
        let ended = run(&what).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("--sumdb off") && ended.stderr.lines().count() == 1, "{}", ended.stderr);
        let last = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
        let SeedEvent::Done(got) = last else { panic!("no summary in {}", ended.stdout) };
        assert_eq!((got.zips, got.go_mods, got.fetched, got.held), (1, 1, fetched, held), "{got:?}");
    }
    // The go command of every platform looks at the `.info` of linux/amd64; the list names only what can be had.
    assert_holds(&node, &modules[0], true).await;
    assert_holds(&node, &modules[1], false).await;
    let cached = async |rest: &str| get(&format!("{}/cached-only/golang.org/toolchain/@v/{rest}", node.goproxy)).await;
    assert_eq!(cached("v0.0.1-go1.99.1.linux-amd64.info").await.body, modules[1].info);
    assert_eq!(cached("list").await.text(), "v0.0.1-go1.99.1.windows-arm64\n");
    assert_eq!(upstream.count(&url(&modules[2], ".mod")), 0, "nobody asked for that platform");
}

#[tokio::test]
async fn what_does_not_have_the_hash_of_the_go_sum_is_refused_and_not_stored() {
    let site = Site::start().await;
    let right = std::fs::read_to_string(site.path("app/go.sum")).unwrap();
    let [b_zip, _] = sum_lines(&site.modules[2]);
    let [other_zip, _] = sum_lines(&site.modules[3]);
    let wrong_hash = other_zip.split(' ').next_back().unwrap();
    std::fs::write(site.path("app/go.sum"), right.replace(&b_zip, &format!("example.com/b v1.1.0 {wrong_hash}")))
        .unwrap();
    let refused = seed(&site.node, &site.app()).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for words in ["failed: example.com/b@v1.1.0", "go.sum says", wrong_hash.trim(), "1 module version could not be had"]
    {
        assert!(refused.stderr.contains(words), "{words:?} is not in {}", refused.stderr);
    }
    assert!(refused.stdout.contains("1 failed"), "{}", refused.stdout);
    assert_holds(&site.node, &site.modules[2], false).await;
    assert_holds(&site.node, &site.modules[0], true).await;
    // With the right hash it is there on the next run.
    std::fs::write(site.path("app/go.sum"), right).unwrap();
    assert_eq!(summary(&site.node, &[&site.path("app")]).await.fetched, 1);
    assert_holds(&site.node, &site.modules[2], true).await;
}

#[tokio::test]
async fn a_go_mod_that_the_go_sum_does_not_know_is_refused_and_told_once() {
    let site = Site::start().await;
    site.upstream.put(&url(&site.modules[0], ".mod"), b"module example.com/a\n\ngo 1.21\n");
    let refused = seed(&site.node, &site.app()).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(refused.stderr.matches("failed: example.com/a@v1.0.0: the go.mod").count(), 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("1 module version could not be had"), "{}", refused.stderr);
    let got = get(&format!("{}/cached-only/example.com/a/@v/v1.0.0.mod", site.node.goproxy)).await;
    assert_eq!(got.status, 404);
}

#[tokio::test]
async fn what_the_upstream_does_not_have_is_named_and_the_rest_is_fetched() {
    let site = Site::start().await;
    std::fs::write(site.path("app/go.mod"), format!("{APP}\nrequire example.com/typo v1.2.3\n")).unwrap();
    let ended = seed(&site.node, &site.app()).await;
    assert_eq!(ended.code, Some(1));
    let told = ended.stderr.matches("failed: example.com/typo@v1.2.3").count();
    assert_eq!(told, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("the fixture has no /example.com/typo/@v/v1.2.3"), "{}", ended.stderr);
    for (module, zip) in site.modules.iter().zip([true, true, true, false]) {
        assert_holds(&site.node, module, zip).await;
    }
    let script = run(&["seed", "--json", &site.path("app"), "--data", site.node.data()]).await;
    assert_eq!(script.code, Some(1));
    let failed = script.stdout.lines().filter(|line| line.contains(r#""event":"failed""#)).count();
    let last: SeedEvent = serde_json::from_str(script.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(failed, 1);
    assert!(matches!(last, SeedEvent::Done(SeedSummary { failed: 1, fetched: 0, .. })), "{last:?}");
}

#[tokio::test]
async fn files_that_contradict_each_other_or_cannot_be_read_are_named() {
    let site = Site::start().await;
    let [b_zip, _] = sum_lines(&site.modules[2]);
    let [other_zip, _] = sum_lines(&site.modules[3]);
    std::fs::create_dir(site.path("other")).unwrap();
    std::fs::write(site.path("other/go.sum"), other_zip.replace("v1.0.0", "v1.1.0")).unwrap();
    let ended = run(&["seed", &site.path("app"), &site.path("other/go.sum"), "--data", site.node.data()]).await;
    assert_fails(&ended, 2, &["two different hashes for example.com/b@v1.1.0"]);
    assert_eq!(site.upstream.total(), 0, "nothing is fetched before that is settled: {b_zip}");
    std::fs::write(site.path("app/go.sum"), "nonsense\n").unwrap();
    assert_fails(&seed(&site.node, &site.app()).await, 2, &["app/go.mod", "go.sum cannot be read", "line 1"]);
    std::fs::write(site.path("app/go.mod"), "module (\n").unwrap();
    assert_fails(&seed(&site.node, &site.app()).await, 2, &["app/go.mod cannot be read", "line 1"]);
    // Whoever speaks to the node without the command is told by the status.
    let token = std::fs::read_to_string(site.path("data/token")).unwrap();
    let url = format!("{}{}", site.node.goproxy, modswarm::admin::SEED_PATH);
    let post = |body: &'static str| {
        let request = reqwest::Client::builder().no_proxy().build().unwrap().post(&url).body(body);
        let request = request.header(modswarm::admin::TOKEN_HEADER, token.clone());
        async move { request.header("content-type", "application/json").send().await.unwrap().status().as_u16() }
    };
    assert_eq!(post(r#"{"sums":["nonsense\n"]}"#).await, 400);
    assert_eq!(post(r#"{"queries":["nodot@latest"]}"#).await, 400);
}

#[tokio::test]
async fn fact_35_a_script_reads_of_each_module_what_go_mod_download_prints() {
    let site = Site::start().await;
    for round in ["fetched", "held"] {
        let ended = run(&["seed", "--json", "--data", site.node.data(), &site.path("app")]).await;
        let lines = ended.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let named: Vec<_> = lines.filter(|line| line["event"] == "module").collect();
        assert_eq!(named.len(), 4, "{round}: {}", ended.stdout);
        for (module, zip) in site.modules.iter().zip([true, true, true, false]) {
            let line = named.iter().find(|line| line["Path"] == *module.path && line["Version"] == *module.version);
            let line = line.unwrap_or_else(|| panic!("no {} in {}", module.path, ended.stdout));
            let hash = |line: &String| line.trim().rsplit(' ').next().unwrap().to_owned();
            let [zip_sum, go_mod_sum] = sum_lines(module);
            assert_eq!(line["GoModSum"], hash(&go_mod_sum));
            assert_eq!(line.get("Sum").and_then(|sum| sum.as_str().map(Into::into)), zip.then(|| hash(&zip_sum)));
        }
    }
}

#[tokio::test]
async fn a_latest_version_that_cannot_be_had_is_a_warning() {
    let site = Site::start().await;
    site.upstream.put("/example.com/a/@v/list", b"v1.0.0\nv1.9.0\n");
    let ended = seed(&site.node, &site.app()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("warning: example.com/a: whether versions of it were retracted"), "{}", ended.stderr);
    assert!(ended.stdout.contains("4 fetched, 0 already held, 0 failed"), "{}", ended.stdout);
    let json = run(&["seed", "--json", "--data", site.node.data(), &site.path("app")]).await.stdout;
    assert!(json.contains(r#"{"event":"warning","module":"example.com/a","reason":"#), "{json}");
}

#[tokio::test]
async fn a_node_without_an_upstream_says_what_to_do() {
    let (dir, project) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_project(project.path(), &modules());
    for more in [&[][..], &["--upstream", "off"], &["--upstream", "off,https://proxy.example"]] {
        let node = NodeProcess::start(dir.path(), more).await;
        assert_fails(&seed(&node, project.path()).await, 1, &["no upstream to seed from", "--upstream"]);
        assert_eq!(node.end("TERM").await.code, Some(0));
    }
}

#[tokio::test]
async fn a_node_that_is_killed_in_the_middle_goes_on_where_it_was() {
    let site = Site::start().await;
    site.upstream.script(B_ZIP, [Fault::StallAfter(400_000)]);
    let data = site.dir.path().join("data");
    let app = site.path("app");
    let args = ["seed", &app, "--data", data.to_str().unwrap()];
    let watching = tokio::spawn({
        let mut command = crate::common::process::modswarm(&args);
        async move { crate::common::process::output(&mut command).await }
    });
    let (upstream, node) = (&site.upstream, &site.node);
    node.wait_until(|status| status.store.zips == 2 && upstream.count(B_ZIP) == 1).await;
    assert_eq!(site.node.end("KILL").await.code, None);
    let watched = watching.await.unwrap();
    assert_fails(&watched, 1, &["stopped before it was done", "seed again"]);
    let node = NodeProcess::seed(&data, &site.upstream.url()).await;
    assert!(std::fs::read_dir(data.join("tmp")).unwrap().next().is_none(), "half a download is not kept");
    let again = summary(&node, &[&app]).await;
    assert_eq!((again.zips, again.go_mods, again.fetched, again.held), (3, 1, 1, 3), "{again:?}");
    for (module, zip) in site.modules.iter().zip([true, true, true, false]) {
        assert_holds(&node, module, zip).await;
        let fetches = if url(module, ".zip") == B_ZIP { 2 } else { usize::from(zip) };
        assert_eq!(site.upstream.count(&url(module, ".zip")), fetches, "{}", module.path);
        assert_eq!(site.upstream.count(&url(module, ".mod")), 1, "{}", module.path);
    }
}
