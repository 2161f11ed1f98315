//! A GOMODCACHE as an upstream.

use std::path::Path;

use modswarm::admin::{SeedEvent, SeedSummary};

use crate::common::node::get;
use crate::common::process::{NodeProcess, run};
use crate::common::{FixtureModule, make_module};

/// Writes what the go command keeps of a module version; of one that was reached only through go.mod files that is its
/// go.mod alone.
fn keep(cache: &Path, module: &FixtureModule, whole: bool) {
    let dir = cache.join(&module.path).join("@v");
    std::fs::create_dir_all(&dir).unwrap();
    let write = |end: &str, bytes: &[u8]| std::fs::write(dir.join(format!("{}{end}", module.version)), bytes).unwrap();
    write(".mod", &module.go_mod);
    write(".lock", b"");
    if whole {
        write(".info", &module.info);
        write(".zip", &module.zip);
        write(".ziphash", b"h1:");
        std::fs::write(dir.join("list"), format!("{}\n", module.version)).unwrap();
    }
}

#[tokio::test]
async fn fact_34_a_gomodcache_is_an_upstream_although_it_has_no_info_of_what_only_go_mod_files_name() {
    let dep = make_module("example.com/dep", "v1.0.0", &[]);
    let requires = "module example.com/m\n\ngo 1.16\n\nrequire example.com/dep v1.0.0\n";
    let main = make_module("example.com/m", "v1.0.0", &[("go.mod", requires.as_bytes()), ("m.go", b"package m\n")]);
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache/download");
    keep(&cache, &main, true);
    keep(&cache, &dep, false);
    std::fs::write(dir.path().join("go.sum"), go_sum(&main, &dep)).unwrap();
    let upstream = format!("file://{}", cache.display());
    let node = NodeProcess::seed(&dir.path().join("data"), &upstream).await;
    let go_sum = dir.path().join("go.sum");
    let ended = run(&["seed", go_sum.to_str().unwrap(), "--json", "--data", node.data()]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let last = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    let SeedEvent::Done(SeedSummary { zips: 1, go_mods: 1, failed: 0, .. }) = last else { panic!("{last:?}") };
    for (path, body) in [
        ("/example.com/m/@v/v1.0.0.zip", &main.zip),
        ("/example.com/m/@v/v1.0.0.info", &main.info),
        ("/example.com/dep/@v/v1.0.0.mod", &dep.go_mod),
    ] {
        let got = get(&format!("{}{path}", node.goproxy)).await;
        assert_eq!((got.status, &got.body), (200, body), "{path}");
    }
    let unknown = get(&format!("{}/example.com/dep/@v/v1.0.0.info", node.goproxy)).await;
    assert_eq!(unknown.status, 404, "nobody knows when it was made: {}", unknown.text());
}

/// The lines that a build with `main` has: of `dep` only the go.mod counts.
fn go_sum(main: &FixtureModule, dep: &FixtureModule) -> String {
    use modswarm::domain::dirhash::H1;
    let zip = H1::of_zip(&main.zip.to_vec()).unwrap();
    format!(
        "example.com/m v1.0.0 {zip}\nexample.com/m v1.0.0/go.mod {}\nexample.com/dep v1.0.0/go.mod {}\n",
        H1::of_go_mod(&main.go_mod),
        H1::of_go_mod(&dep.go_mod)
    )
}
