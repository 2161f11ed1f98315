//! The modules that the go command is shown: as a tree for `file://`, and behind a proxy.

use std::path::Path;

use crate::common::{FixtureModule, FixtureProxy, TIME, compare_versions, escape, is_pseudo, make_module};

/// Where `main` of example.com/lib is.
pub(crate) const MAIN: &str = "v1.1.1-0.20200101000000-abcdefabcdef";
/// The only version of example.com/pseudo.
pub(crate) const PSEUDO: &str = "v0.0.0-20190501000000-0123456789ab";

/// A version with these lines in its go.mod and a package of the last element's name.
fn plain(path: &str, version: &str, more: &str) -> FixtureModule {
    let go_mod = format!("module {path}\n\ngo 1.21\n{more}");
    with_go_mod(path, version, &go_mod)
}

fn with_go_mod(path: &str, version: &str, go_mod: &str) -> FixtureModule {
    let code = format!("package p\n\nconst Version = \"{version}\"\n");
    let files = [("go.mod", go_mod.as_bytes()), ("p.go", code.as_bytes()), ("sub/sub.go", b"package sub\n")];
    make_module(path, version, &files)
}

/// All versions of all modules.
pub(crate) fn modules() -> Vec<FixtureModule> {
    let on_dep = "\nrequire example.com/dep v1.0.0\n";
    let gone = "// Deprecated: use example.com/dep.\nmodule example.com/gone\n\ngo 1.21\n";
    let main = b"package main\n\nimport _ \"example.com/lib\"\n\nfunc main() {}\n";
    let tool = b"module example.com/tool\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n";
    vec![
        plain("example.com/lib", "v0.9.0", ""),
        plain("example.com/lib", "v1.0.0", ""),
        plain("example.com/lib", "v1.0.1", ""),
        plain("example.com/lib", "v1.1.0", on_dep),
        plain("example.com/lib", "v1.2.0-rc.1", on_dep),
        plain("example.com/lib", MAIN, on_dep),
        plain("example.com/lib/v2", "v2.0.0", ""),
        plain("example.com/lib/v2", "v2.1.0", on_dep),
        plain("example.com/dep", "v1.0.0", ""),
        plain("example.com/dep", "v1.1.0", ""),
        plain("example.com/dep", "v1.2.0", "\nretract v1.1.0 // loses data\n"),
        with_go_mod("example.com/gone", "v1.0.0", "module example.com/gone\n"),
        with_go_mod("example.com/gone", "v1.0.1", gone),
        plain("example.com/Upper/Case", "v1.0.0-RC.1", ""),
        plain("example.com/Upper/Case", "v1.0.0", ""),
        plain("example.com/old", "v1.0.0", ""),
        make_module("example.com/old", "v2.0.0+incompatible", &[("p.go", b"package p\n")]),
        plain("example.com/pseudo", PSEUDO, ""),
        plain("example.com/nest", "v1.0.0", ""),
        plain("example.com/nest/inner", "v0.1.0", ""),
        make_module("example.com/tool", "v1.0.0", &[("go.mod", tool), ("cmd/hello/main.go", main)]),
        plain("example.com/fork", "v1.0.0", ""),
        with_go_mod("example.com/renamed", "v1.0.0", "module example.com/other\n"),
    ]
}

/// The queries that are no versions: module, query, the version that it means.
pub(crate) fn queries() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        ("example.com/lib", "main", MAIN),
        ("example.com/lib", "abcdefabcdef", MAIN),
        ("example.com/lib", "abcdefa", MAIN),
        ("example.com/lib", "v1", "v1.1.0"),
        ("example.com/lib", "v1.0", "v1.0.1"),
        ("example.com/old", "v2", "v2.0.0+incompatible"),
        ("example.com/old", "v2.0.0", "v2.0.0+incompatible"),
        ("example.com/pseudo", "0123456789ab", PSEUDO),
        ("example.com/pseudo", "0123456", PSEUDO),
    ]
}

fn info(version: &str) -> String {
    format!(r#"{{"Version":"{version}","Time":"{TIME}"}}"#)
}

/// A proxy with all modules and queries.
pub(crate) async fn upstream() -> FixtureProxy {
    let proxy = FixtureProxy::start(&modules()).await;
    for (path, query, version) in queries() {
        proxy.put(&format!("/{}/@v/{query}.info", escape(path)), info(version).as_bytes());
    }
    proxy
}

/// The same as a tree of files.
pub(crate) fn write_tree(root: &Path) {
    let put = |path: String, bytes: &[u8]| {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    };
    let modules = modules();
    for module in &modules {
        let base = format!("{}/@v/{}", escape(&module.path), escape(&module.version));
        put(format!("{base}.info"), &module.info);
        put(format!("{base}.mod"), &module.go_mod);
        put(format!("{base}.zip"), &module.zip);
        let of_path = modules.iter().filter(|other| other.path == module.path).map(|other| other.version.as_str());
        let mut versions: Vec<&str> = of_path.collect();
        versions.sort_by(|a, b| compare_versions(a, b));
        let listed: String = versions.iter().filter(|v| !is_pseudo(v)).map(|v| format!("{v}\n")).collect();
        put(format!("{}/@v/list", escape(&module.path)), listed.as_bytes());
        let latest = versions.iter().rev().find(|v| !v.contains('-')).or(versions.last()).unwrap();
        put(format!("{}/@latest", escape(&module.path)), info(latest).as_bytes());
    }
    for (path, query, version) in queries() {
        put(format!("{}/@v/{query}.info", escape(path)), info(version).as_bytes());
    }
}
