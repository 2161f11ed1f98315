//! An upstream with modules and the checksum database that has recorded them.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::sync::{Arc, RwLock};

use modswarm::domain::dirhash::H1;

use crate::common::{FixtureModule, FixtureProxy, escape, make_module, noise};
use crate::sumdb::{FixtureDb, NAME};

/// An upstream that serves modules and the database that has recorded them.
pub(crate) struct Site {
    pub(crate) upstream: FixtureProxy,
    pub(crate) db: Arc<RwLock<FixtureDb>>,
    pub(crate) modules: Vec<FixtureModule>,
}

impl Site {
    /// With some records before the modules' and some behind, so that it takes tiles of several kinds.
    pub(crate) async fn start() -> Self {
        Self::with(modules(), FixtureDb::with_records(300)).await
    }

    pub(crate) async fn with(modules: Vec<FixtureModule>, mut db: FixtureDb) -> Self {
        for module in &modules {
            record(&mut db, module);
        }
        for n in 0..300 {
            db.add_filler(10_000 + n);
        }
        let db = Arc::new(RwLock::new(db));
        let upstream = FixtureProxy::start(&modules).await;
        mount(&upstream, &db);
        Self { upstream, db, modules }
    }

    /// What `--sumdb` and GOSUMDB take.
    pub(crate) fn key(&self) -> String {
        self.db.read().unwrap().key()
    }
}

/// Lets a proxy answer for a database.
pub(crate) fn mount(upstream: &FixtureProxy, db: &Arc<RwLock<FixtureDb>>) {
    let db = Arc::clone(db);
    upstream.mount(&format!("/sumdb/{NAME}/"), move |path| db.read().unwrap().answer(path));
}

/// Records what a module version really is.
pub(crate) fn record(db: &mut FixtureDb, module: &FixtureModule) -> u64 {
    let zip_h1 = H1::of_zip(&module.zip.to_vec()).unwrap();
    db.add(&format!("{}@{}", module.path, module.version), &module.go_mod, Some(zip_h1))
}

/// Modules that build: the second one needs the first.
pub(crate) fn modules() -> Vec<FixtureModule> {
    let big = noise(1 << 20, 7);
    vec![
        make_module("example.com/lib", "v1.0.0", &[("lib.go", b"package lib\n\nconst N = 1\n"), ("data.bin", &big)]),
        make_module("example.com/lib", "v1.1.0", &[("lib.go", b"package lib\n\nconst N = 2\n"), ("data.bin", &big)]),
        make_module(
            "example.com/Upper",
            "v0.1.0",
            &[
                ("go.mod", b"module example.com/Upper\n\ngo 1.21\n\nrequire example.com/lib v1.1.0\n"),
                ("upper.go", b"package upper\n\nimport \"example.com/lib\"\n\nconst N = lib.N\n"),
            ],
        ),
    ]
}

/// The path of one of a module version's files.
pub(crate) fn file(module: &FixtureModule, end: &str) -> String {
    format!("/{}/@v/{}{end}", escape(&module.path), escape(&module.version))
}
