//! An honest node with a checksum database that a malicious one is connected to, and what its clients get.

use bytes::Bytes;
use futures::future::join_all;
use tempfile::TempDir;

use crate::common::node::{Got, NodeOptions, TestNode, get};
use crate::common::peer::TestPeer;
use crate::common::process::NodeProcess;
use crate::common::{FixtureModule, compare_versions, escape, sum_lines};
use crate::go_clients::{Go, Workplace};
use crate::site::{Site, file};
use crate::sumdb::NAME;

/// The node, as a process of its own, so that its log can be read.
pub(crate) struct Victim {
    pub(crate) node: NodeProcess,
    _dir: TempDir,
}

impl Victim {
    /// A node of `site` that holds nothing and knows only `peer`.
    pub(crate) async fn meets(site: &Site, peer: &TestPeer) -> Self {
        Self::with_data(tempfile::tempdir().unwrap(), site, peer).await
    }

    /// A node with the data of an earlier one.
    pub(crate) async fn with_data(dir: TempDir, site: &Site, peer: &TestPeer) -> Self {
        let node = NodeProcess::start(dir.path(), &["--sumdb", &site.key(), "--peer", &peer.address]).await;
        Self { node, _dir: dir }
    }

    /// GET of a path below its GOPROXY base.
    pub(crate) async fn get(&self, path: &str) -> Got {
        get(&format!("{}{path}", self.node.goproxy)).await
    }

    /// Waits until its log says this of `peer`.
    pub(crate) async fn blames(&self, peer: &TestPeer, why: &str) {
        self.node.logged(why).await;
        let log = self.node.log();
        let named = log.lines().any(|line| line.contains(why) && line.contains(&peer.id.to_string()));
        assert!(named, "no line says {why:?} of peer {}:\n{log}", peer.id);
    }

    /// Waits until it has disconnected `peer` for good.
    pub(crate) async fn bans(&self, peer: &TestPeer) {
        let id = peer.id.to_string();
        self.node.wait_until(|status| status.peers.iter().all(|line| line.id != id)).await;
        assert!(
            self.node.log().lines().any(|line| line.contains("fault=2") && line.contains(&id)),
            "{}",
            self.node.log()
        );
    }

    /// Asserts that whatever it says of `asked`, and of the checksum database, is what is published, byte for byte.
    pub(crate) async fn says_only_the_truth(&self, site: &Site, asked: &FixtureModule) {
        let module = escape(&asked.path);
        let mut paths: Vec<String> = [".info", ".mod", ".zip"].iter().map(|end| file(asked, end)).collect();
        paths
            .extend(["@v/list", "@latest", "@v/v1.info", "@v/v9.info"].map(|question| format!("/{module}/{question}")));
        let database = database_questions(site, asked);
        paths.extend(database.map(|question| format!("/sumdb/{NAME}/{question}")));
        paths.extend(paths.iter().map(|path| format!("/cached-only{path}")).collect::<Vec<_>>());
        // All at once: several of them wait for what never comes.
        let asked = paths.iter().map(|path| async move { (path, self.get(path).await) });
        for (path, got) in join_all(asked).await {
            let plain = path.strip_prefix("/cached-only").unwrap_or(path);
            match got.status {
                200 => assert!(is_published(site, plain, &got.body), "{path} gave {}", got.text()),
                403 | 404 | 503 => {}
                other => panic!("{path}: status {other}: {}", got.text()),
            }
        }
    }

    /// Each go command with an empty home asks for `module`. Asserts that nothing of it ends in a module cache that is not
    /// published, and says whether they got it (all, or none of them).
    pub(crate) async fn go_gets(&self, site: &Site, module: &FixtureModule) -> Option<bool> {
        let query = format!("{}@{}", module.path, module.version);
        let commands = [["list", "-m", "all"].as_slice(), &["get", &query]];
        let gos = Go::all().await;
        let runs = gos.iter().flat_map(|go| commands.map(|args| self.go_runs(go, args, site, module)));
        let all = join_all(runs).await;
        let got = all.first()?.0;
        assert!(all.iter().all(|(it, _)| *it == got), "some did and some did not: {all:#?}");
        Some(got)
    }

    async fn go_runs(&self, go: &Go, args: &[&str], site: &Site, module: &FixtureModule) -> (bool, String) {
        let place = Workplace::requiring(&[&format!("{}@{}", module.path, module.version)]);
        let ended = go.run(&place, &self.node.goproxy, &site.key(), args).await;
        let said = format!("{} {args:?}: {}", go.version, ended.stderr);
        for end in [".mod", ".zip"] {
            let name = file(module, end);
            if let Some(bytes) = place.downloaded(&name[1..]) {
                assert!(is_published(site, &name, &bytes.into()), "another {name} was taken: {said}");
            }
        }
        let lines: String = site.modules.iter().flat_map(sum_lines).collect();
        for line in place.go_sum().lines() {
            assert!(lines.contains(line), "{line} was written: {said}");
        }
        (ended.code == Some(0), said)
    }
}

/// A seed that has all that is published, and tells `victim`.
pub(crate) async fn honest_seed(site: &Site, victim: &Victim) -> TestNode {
    let peers = vec![victim.node.peer_address().await];
    let options = NodeOptions { peers, ..NodeOptions::seed(&site.upstream.url()).proving(&site.key()) };
    let seed = TestNode::start(options).await;
    for module in &site.modules {
        assert_eq!(seed.get(&file(module, ".zip")).await.status, 200);
    }
    seed
}

/// All that can be asked of a database about `asked` and about what is published.
fn database_questions(site: &Site, asked: &FixtureModule) -> impl Iterator<Item = String> {
    let known = site.modules.iter().chain([asked]);
    let lookups = known.map(|module| format!("lookup/{}@{}", escape(&module.path), escape(&module.version)));
    let fixed = ["supported", "latest", "tile/8/0/000", "tile/8/0/001", "tile/8/0/002.p/91", "tile/8/0/002.p/17"];
    let more = ["tile/8/1/000.p/2", "tile/8/0/003", "tile/8/data/000", "tile/8/data/001.p/7"];
    let all: Vec<String> = lookups.chain(fixed.into_iter().chain(more).map(String::from)).collect();
    all.into_iter()
}

/// Whether these bytes are what the authors of modules and the database give under this path.
fn is_published(site: &Site, path: &str, body: &Bytes) -> bool {
    if let Some(question) = path.strip_prefix(&format!("/sumdb/{NAME}/")) {
        return site.db.read().unwrap().answer(question).is_some_and(|truth| truth == *body);
    }
    let mut infos = site.modules.iter().filter(|module| path.starts_with(&format!("/{}/@", escape(&module.path))));
    if path.ends_with("/@v/list") {
        let mut versions: Vec<&str> = infos.map(|module| module.version.as_str()).collect();
        versions.sort_by(|a, b| compare_versions(a, b));
        return std::str::from_utf8(body).unwrap().lines().all(|line| versions.contains(&line));
    }
    let files = |module: &FixtureModule| {
        [(".info", &module.info), (".mod", &module.go_mod), (".zip", &module.zip)]
            .map(|(end, bytes)| (file(module, end), bytes.clone()))
    };
    match site.modules.iter().flat_map(files).find(|(name, _)| name == path) {
        Some((_, truth)) => truth == *body,
        // A query: any published version.
        None => infos.any(|module| module.info == *body),
    }
}
