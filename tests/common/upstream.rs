//! An upstream client with short waits, and the one module version that most tests of it fetch.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use modswarm::domain::module::{ModulePath, ModuleVersion};
use modswarm::upstream::{Backoff, ProxyList, Upstream, UpstreamError, UpstreamOptions, ZipFile};

use super::{FixtureModule, make_module, noise};

pub const LIST: &str = "/example.com/m/@v/list";
pub const MOD: &str = "/example.com/m/@v/v1.0.0.mod";
pub const ZIP: &str = "/example.com/m/@v/v1.0.0.zip";

/// Waits so short that no test is slow, and yet in the order of the defaults.
pub fn options(list: &str) -> UpstreamOptions {
    UpstreamOptions {
        retries: 2,
        backoff: Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(2) },
        ..UpstreamOptions::new(ProxyList::parse(list).unwrap())
    }
}

pub fn upstream(list: &str) -> Upstream {
    Upstream::new(options(list)).unwrap()
}

pub fn path() -> ModulePath {
    ModulePath::parse("example.com/m").unwrap()
}

pub fn version() -> ModuleVersion {
    ModuleVersion::parse("example.com/m@v1.0.0").unwrap()
}

/// A version whose zip has some 300 kB.
pub fn module() -> FixtureModule {
    make_module("example.com/m", "v1.0.0", &[("data.bin", &noise(300_000, 1))])
}

pub async fn fetch_zip(upstream: &Upstream) -> Result<ZipFile, UpstreamError> {
    let dir = tempfile::tempdir().unwrap();
    let result = upstream.zip(&version(), dir.path()).await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a temporary file has no name");
    result
}

pub fn bytes_of(zip: ZipFile) -> Bytes {
    let len = zip.len();
    let mut bytes = Vec::new();
    zip.into_file().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, len);
    bytes.into()
}
