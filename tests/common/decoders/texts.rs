//! Texts that people, tools and servers write.

use std::path::Path;

use modswarm::config::SiteFile;
use modswarm::domain::blob::BlobId;
use modswarm::domain::dirhash::H1;
use modswarm::domain::gomod::{GoMod, GoWork};
use modswarm::domain::gosum::GoSum;
use modswarm::domain::info;
use modswarm::domain::module::{ModulePath, ModuleVersion, Version, canonical, compare_semver};
use modswarm::domain::note::{self, Signer, Verifier};
use modswarm::domain::pattern::PrefixPatterns;
use modswarm::domain::publish::{Vendoring, check_file_path, declared_path};
use modswarm::domain::request::{self, Query, Request, SumdbRequest};
use modswarm::domain::sumdb::SumdbSpec;
use modswarm::domain::tlog::{TilePath, TreeHead, format_record, parse_record};
use modswarm::domain::toolchain::Toolchain;
use modswarm::proxy::range;
use modswarm::upstream::ProxyList;

use super::manifests::{DATABASE, PUBLISHER};

pub(super) fn run(data: &[u8]) {
    let (choice, bytes) = data.split_first().unwrap_or((&0, &[]));
    let text = &*String::from_utf8_lossy(bytes);
    match choice % 16 {
        0 => go_mod(bytes),
        1 => go_sum(bytes),
        2 => signed_note(bytes, text),
        3 => keys(text),
        4 => tree(bytes, text),
        5 => tile_path(text),
        6 => module(text),
        7 => version(text),
        8 => order(text),
        9 => request_path(text),
        10 => info_json(bytes, text),
        11 => site_file(bytes),
        12 => database(text),
        13 => proxies(text),
        14 => patterns(text),
        _ => small(bytes, text),
    }
}

fn go_mod(bytes: &[u8]) {
    let strict = GoMod::parse(bytes);
    let lax = GoMod::parse_dependency(bytes);
    if let Ok(strict) = &strict {
        let lax = lax.expect("what a main module may say, a dependency may");
        assert!(lax.module == strict.module && lax.require == strict.require && lax.go == strict.go);
        let _ = strict.prunes_graph();
    }
    let _ = GoWork::parse(bytes);
    let _ = declared_path(bytes);
    let _ = Vendoring::of_go_mod(Some(bytes));
}

fn go_sum(bytes: &[u8]) {
    let Ok(sum) = GoSum::parse(bytes) else { return };
    for line in &sum.lines {
        assert_eq!(ModuleVersion::parse(&line.module.to_string()).as_ref(), Ok(&line.module));
        assert_eq!(line.h1.to_string().parse(), Ok(line.h1));
    }
}

/// What opens has the text that a known key has signed; made-up bytes under a known name do not open.
fn signed_note(bytes: &[u8], text: &str) {
    let known = [DATABASE.verifier().clone(), PUBLISHER.verifier().clone()];
    if let Ok(note) = note::open(bytes, &known) {
        assert!(bytes.starts_with(note.text.as_bytes()) && !note.signed_by.is_empty());
    }
    let Ok(signed) = PUBLISHER.sign(text) else { return };
    let opened = note::open(signed.as_bytes(), &known).expect("just signed");
    assert_eq!((opened.text.as_str(), opened.signed_by.len()), (text, 1));
}

fn keys(text: &str) {
    if let Ok(key) = Verifier::parse(text) {
        assert_eq!(Verifier::parse(&key.to_string()), Ok(key));
    }
    if let Ok(key) = Signer::parse(text) {
        let again = Signer::parse(&key.secret_key()).expect("its own text");
        assert_eq!(again.verifier(), key.verifier());
    }
}

fn tree(bytes: &[u8], text: &str) {
    if let Ok(head) = TreeHead::parse(text) {
        assert_eq!(TreeHead::parse(&head.format()), Ok(head));
        assert!(text.starts_with(&head.format()));
    }
    if let Ok((id, record, rest)) = parse_record(bytes) {
        let mut again = format_record(id, record).expect("it was one");
        again.extend_from_slice(rest);
        assert_eq!(again, bytes);
    }
}

fn tile_path(text: &str) {
    let Ok(path) = TilePath::parse(text) else { return };
    assert_eq!(path.to_string(), text);
    if let TilePath::Hashes(tile) = path {
        let _ = (tile.root(), tile.parent(1 << 60), tile.in_tree(1 << 60), tile.full().data_len());
    }
}

fn module(text: &str) {
    if let Ok(path) = ModulePath::parse(text) {
        assert_eq!((path.as_str(), path.to_string().as_str()), (text, text));
        assert_eq!(ModulePath::from_escaped(&path.escaped()).as_ref(), Ok(&path));
        assert!(!path.escaped().bytes().any(|byte| byte.is_ascii_uppercase()));
    }
    if let Ok(path) = ModulePath::from_escaped(text) {
        assert_eq!(path.escaped(), text);
    }
    if let Ok(module) = ModuleVersion::parse(text) {
        assert_eq!(module.to_string(), text);
        assert!(module.zip_prefix().starts_with(text));
        let path = format!("/{}/@v/{}.zip", module.path.escaped(), module.version.escaped());
        if path.len() <= request::MAX_RAW_PATH && !path.contains('%') {
            assert_eq!(request::parse(&path).ok(), Some(Request::Zip(module)));
        }
    }
}

fn version(text: &str) {
    if let Some(canonical) = canonical(text) {
        assert_eq!(self::canonical(&canonical).as_ref(), Some(&canonical));
        assert!(Version::parse(&canonical).is_ok());
    }
    let Ok(version) = Version::parse(text) else { return };
    assert_eq!((version.as_str(), self::canonical(text).as_deref()), (text, Some(text)));
    assert_eq!(Version::from_escaped(&version.escaped()), Ok(version.clone()));
    assert!(!version.is_pseudo() || version.pseudo_rev().is_some());
    let _ = (version.major(), version.is_prerelease(), version.is_incompatible());
    if let Some(time) = version.pseudo_time() {
        info::parse(format!(r#"{{"Version":"v0.0.0","Time":"{time}"}}"#).as_bytes()).expect("a time as .info has it");
    }
}

/// An order: of any three, no two answers contradict each other.
fn order(text: &str) {
    let mut parts = text.splitn(3, ' ');
    let three: [&str; 3] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let [a, b, c] = three;
    assert_eq!(compare_semver(a, b), compare_semver(b, a).reverse());
    if compare_semver(a, b).is_le() && compare_semver(b, c).is_le() {
        assert!(compare_semver(a, c).is_le(), "{three:?}");
    }
    let versions: Vec<Version> = three.iter().filter_map(|text| Version::parse(text).ok()).collect();
    for pair in versions.windows(2) {
        assert_eq!(pair[0] == pair[1], pair[0].cmp(&pair[1]).is_eq());
    }
}

fn request_path(text: &str) {
    let Ok(request) = request::parse(text) else { return };
    if let Request::Sumdb(rest) = &request
        && let Some((_, SumdbRequest::Tile(tile))) = request::split_sumdb(rest, ["sum.example", "sum.example/more"])
    {
        tile_path(&tile);
    }
    let spelled = match &request {
        Request::List(path) => format!("/{}/@v/list", path.escaped()),
        Request::Latest(path) => format!("/{}/@latest", path.escaped()),
        Request::Info { path, query: Query::Version(version) } => {
            format!("/{}/@v/{}.info", path.escaped(), version.escaped())
        }
        Request::GoMod(module) => format!("/{}/@v/{}.mod", module.path.escaped(), module.version.escaped()),
        Request::Zip(module) => format!("/{}/@v/{}.zip", module.path.escaped(), module.version.escaped()),
        Request::Info { .. } | Request::Sumdb(_) => return,
    };
    assert_eq!(request::parse(&spelled), Ok(request), "{spelled}");
}

fn info_json(bytes: &[u8], text: &str) {
    let Ok(info) = info::parse(bytes) else { return };
    assert!(std::str::from_utf8(bytes).is_ok() && info.time.is_none_or(|time| text.contains(&time)));
    if let Ok(version) = Version::parse(&info.version) {
        assert_eq!(info::check(bytes, &version), Ok(()));
    }
}

thread_local! {
    static DIR: tempfile::TempDir = tempfile::tempdir().unwrap();
}

/// A site file that is read is read again from what it says of itself.
fn site_file(bytes: &[u8]) {
    let read = |dir: &Path, bytes: &[u8]| {
        let path = dir.join("site.toml");
        std::fs::write(&path, bytes).unwrap();
        SiteFile::read(path)
    };
    DIR.with(|dir| {
        let Ok(file) = read(dir.path(), bytes) else { return };
        let again = read(dir.path(), file.site.publishers.to_string().as_bytes()).expect("its own text");
        assert_eq!(again.site, file.site);
    });
}

fn database(text: &str) {
    let Ok(spec) = SumdbSpec::parse(text) else { return };
    let spelled = format!("{} {}", spec.verifier(), spec.url().unwrap_or_default());
    assert_eq!(SumdbSpec::parse(&spelled), Ok(spec));
}

fn proxies(text: &str) {
    // Passwords are not shown.
    if text.contains('@') {
        drop((ProxyList::parse(text), ProxyList::from_go_env(text)));
        return;
    }
    // What follows the last proxy says nothing, and is not shown.
    let again = |list: &ProxyList| ProxyList::parse(&list.to_string()).map(|again| again.to_string());
    for list in [ProxyList::parse(text).ok(), ProxyList::from_go_env(text).ok().map(|from| from.list)] {
        assert_eq!(list.as_ref().map(again), list.map(|list| Ok(list.to_string())));
    }
}

fn patterns(text: &str) {
    let (patterns, path) = text.split_once('\n').unwrap_or((text, "example.com/a/b"));
    let Ok(parsed) = patterns.parse::<PrefixPatterns>() else { return };
    let _ = (parsed.covers(path), parsed.is_empty());
}

fn small(bytes: &[u8], text: &str) {
    if let Ok(id) = text.parse::<BlobId>() {
        assert!(id.to_string().eq_ignore_ascii_case(text));
    }
    if let Ok(h1) = text.parse::<H1>() {
        assert_eq!(h1.to_string(), text);
    }
    if let Ok(toolchain) = Toolchain::parse(text) {
        let module = toolchain.module();
        assert_eq!(ModuleVersion::parse(&module.to_string()), Ok(module));
    }
    let words: Vec<String> = text.split(' ').map(Into::into).collect();
    let _ = Toolchain::parse_words(&words, None);
    if let Ok(path) = check_file_path(bytes) {
        assert!(!path.split('/').any(|element| matches!(element, "" | "." | "..")) && !path.contains(['\\', '\0']));
    }
    for len in [0, 1, 1000, u64::MAX] {
        if let range::Wanted::Part(part) = range::wanted(Some(text), len) {
            assert!(part.start < part.end && part.end <= len);
        }
    }
}
