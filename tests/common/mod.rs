//! What integration tests share: module versions made in memory, and a proxy that serves them and misbehaves to order.
//!
//! Deterministic: the same arguments give the same bytes, on each machine and in each run.

// Each test binary compiles this for itself and uses a part of it.
#![allow(dead_code, unreachable_pub, unused_imports)]
// Clippy knows test functions, but not what they share.
#![allow(clippy::unwrap_used)]

pub mod go;
pub mod node;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod upstream;
pub mod wire;

use std::cmp::Ordering;
use std::io::{Cursor, Write};
use std::path::Path;

use bytes::Bytes;
use modswarm::domain::dirhash::H1;
use zip::write::SimpleFileOptions;

pub use proxy::{Fault, FixtureProxy, Request, Validator};

/// The `Time` of all fixture versions.
pub const TIME: &str = "2019-05-01T00:00:00Z";

/// One module version as a proxy serves it.
#[derive(Clone, Debug)]
pub struct FixtureModule {
    /// The module path, not escaped.
    pub path: String,
    /// The canonical version.
    pub version: String,
    /// The bytes of `.zip`.
    pub zip: Bytes,
    /// The bytes of `.mod`.
    pub go_mod: Bytes,
    /// The bytes of `.info`.
    pub info: Bytes,
}

/// Makes a module version that the go command accepts. `files` are (name in the module, contents). A go.mod that is
/// not among them is made up, and put into the zip unless the version is `+incompatible`.
pub fn make_module(path: &str, version: &str, files: &[(&str, &[u8])]) -> FixtureModule {
    let given = files.iter().find(|(name, _)| *name == "go.mod").map(|(_, bytes)| bytes.to_vec());
    let go_mod = given.clone().unwrap_or_else(|| format!("module {path}\n").into_bytes());
    let mut all: Vec<(&str, &[u8])> = files.to_vec();
    if given.is_none() && !version.ends_with("+incompatible") {
        all.push(("go.mod", &go_mod));
    }
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in all {
        writer.start_file(format!("{path}@{version}/{name}"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    let zip = writer.finish().unwrap().into_inner();
    FixtureModule {
        path: path.into(),
        version: version.into(),
        zip: zip.into(),
        go_mod: go_mod.into(),
        info: format!(r#"{{"Version":"{version}","Time":"{TIME}"}}"#).into(),
    }
}

/// The go.sum lines of a version: of its zip and of its go.mod.
pub fn sum_lines(module: &FixtureModule) -> [String; 2] {
    let FixtureModule { path, version, .. } = module;
    let zip = H1::of_zip(&module.zip.to_vec()).unwrap();
    let go_mod = H1::of_go_mod(&module.go_mod);
    [format!("{path} {version} {zip}\n"), format!("{path} {version}/go.mod {go_mod}\n")]
}

/// Bytes that look random and do not compress, so that a zip of them is about as long; the same for the same `seed`.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Copies what is in a directory into another one.
pub fn copy_dir(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A module path or version as it stands in a URL: upper case as `!` and lower case.
pub fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| c.is_ascii_uppercase().then_some('!').into_iter().chain([c.to_ascii_lowercase()]))
        .collect()
}

/// Whether a version ends like a pseudo-version (`...yyyymmddhhmmss-abcdefabcdef`): served, but never listed.
pub fn is_pseudo(version: &str) -> bool {
    let version = version.strip_suffix("+incompatible").unwrap_or(version);
    let Some((rest, hash)) = version.rsplit_once('-') else { return false };
    let time = rest.rsplit(['.', '-']).next().unwrap_or_default();
    hash.len() == 12 && time.len() == 14 && time.bytes().all(|byte| byte.is_ascii_digit())
}

/// The order of canonical versions (semver.org, section 11).
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (a_numbers, a_pre) = split_version(a);
    let (b_numbers, b_pre) = split_version(b);
    let by_pre = || match (a_pre, b_pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => compare_pre(a, b),
    };
    a_numbers.cmp(&b_numbers).then_with(by_pre)
}

fn split_version(version: &str) -> (Vec<u64>, Option<&str>) {
    let plain = version.trim_start_matches('v').split('+').next().unwrap_or_default();
    let (numbers, pre) = plain.split_once('-').map_or((plain, None), |(numbers, pre)| (numbers, Some(pre)));
    (numbers.split('.').map(|number| number.parse().unwrap()).collect(), pre)
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let key = |part: &str| match part.parse::<u64>() {
        Ok(number) => (0, number, String::new()),
        Err(_) => (1, 0, part.to_owned()),
    };
    a.split('.').map(key).cmp(b.split('.').map(key))
}
