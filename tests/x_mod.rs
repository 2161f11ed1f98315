//! The public test vectors of golang.org/x/mod as facts: values from its test files, checked against this project's own code.
//!
//! | test of golang.org/x/mod | where |
//! |---|---|
//! | `module/module_test.go`: `checkTests`, `checkPathTests` (column of module paths), `escapeTests`, `badUnescape`, `TestMatchPathMajor`, `splitPathVersionTests` | here |
//! | `semver/semver_test.go`: `tests`, `TestCompare` | here |
//! | `zip/zip_test.go`: `TestCreateFromDirSpecial` (hashes) | here |
//! | `zip/zip_test.go`: `TestUnzipSizeLimits`, `TestUnzipSizeLimitsSpecial` | `malicious::zips` |
//! | `sumdb/dirhash/hash_test.go`: `TestHash1`, `TestHashZip` | here; the line break in `domain::dirhash` |
//! | `sumdb/tlog/tlog_test.go`: `tilePaths`, `TestTree`, `TestSplitStoredHashIndex` | here (tile paths); trees and places in `domain::tlog` |
//! | `sumdb/tlog/tile_test.go`: `TestTileHashReader` (zeroed hashes) | here |
//! | `sumdb/tlog/note_test.go`: trees and records | `domain::tlog` (`text.rs`) |
//! | `sumdb/tlog/ct_test.go`: proofs of a real log | `domain::tlog` |
//! | `sumdb/note/note_test.go`: keys, signing, opening | `domain::note` |
//!
//! Where this project reads less than x/mod does, the value stands here with the reason.

#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Write as _};

use modswarm::domain::dirhash::H1;
use modswarm::domain::module::{ModulePath, ModuleVersion, Version, compare_semver};
use modswarm::domain::tlog::{FULL_WIDTH, HashLog, Hashes as _, Node, Plan, TILE_HEIGHT, Tile, TilePath};
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;

/// `checkTests` of module/module_test.go.
const CHECK: [(&str, &str, bool); 32] = [
    ("rsc.io/quote", "0.1.0", false),
    ("rsc io/quote", "v1.0.0", false),
    ("github.com/go-yaml/yaml", "v0.8.0", true),
    ("github.com/go-yaml/yaml", "v1.0.0", true),
    ("github.com/go-yaml/yaml", "v2.0.0", false),
    ("github.com/go-yaml/yaml", "v2.1.5", false),
    ("github.com/go-yaml/yaml", "v3.0.0", false),
    ("github.com/go-yaml/yaml/v2", "v1.0.0", false),
    ("github.com/go-yaml/yaml/v2", "v2.0.0", true),
    ("github.com/go-yaml/yaml/v2", "v2.1.5", true),
    ("github.com/go-yaml/yaml/v2", "v3.0.0", false),
    ("gopkg.in/yaml.v0", "v0.8.0", true),
    ("gopkg.in/yaml.v0", "v1.0.0", false),
    ("gopkg.in/yaml.v0", "v2.0.0", false),
    ("gopkg.in/yaml.v0", "v2.1.5", false),
    ("gopkg.in/yaml.v0", "v3.0.0", false),
    ("gopkg.in/yaml.v1", "v0.8.0", false),
    ("gopkg.in/yaml.v1", "v1.0.0", true),
    ("gopkg.in/yaml.v1", "v2.0.0", false),
    ("gopkg.in/yaml.v1", "v2.1.5", false),
    ("gopkg.in/yaml.v1", "v3.0.0", false),
    ("gopkg.in/check.v1", "v0.0.0", false),
    ("gopkg.in/check.v1", "v0.0.0-20160102150405-abcdef123456", true),
    ("gopkg.in/yaml.v2", "v1.0.0", false),
    ("gopkg.in/yaml.v2", "v2.0.0", true),
    ("gopkg.in/yaml.v2", "v2.1.5", true),
    ("gopkg.in/yaml.v2", "v3.0.0", false),
    ("rsc.io/quote", "v17.0.0", false),
    ("rsc.io/quote", "v17.0.0+incompatible", true),
    // `TestMatchPathMajor`, with a path before the major suffix.
    ("gopkg.in/yaml.v1-unstable", "v1.0.0", true),
    ("gopkg.in/yaml.v1", "v0.0.0-20190510104115-cbcb75029529", true),
    ("github.com/go-yaml/yaml", "v2.0.0+incompatible", true),
];

#[test]
fn module_versions_are_those_of_check() {
    for (path, version, ok) in CHECK {
        assert_eq!(ModuleVersion::parse(&format!("{path}@{version}")).is_ok(), ok, "{path}@{version}");
    }
}

/// `checkPathTests` of module/module_test.go: the paths that are module paths.
const GOOD_PATHS: [&str; 19] = [
    "x.y/z",
    "x.y",
    "x..y/z",
    "x.y/z/v2",
    "x.y-/z",
    "x.y/z-",
    "x.y/z.t",
    "x.y/z/t",
    "x.y/z_",
    "x.y/z~",
    "x.y/x.foo",
    "x.y/prn2",
    "x.y/com",
    "x.y/calm1",
    "x.y/z09",
    "x.y/z09~",
    "x.y/z09~09z",
    // `splitPathVersionTests`.
    "x.y/v",
    "gopkg.in/yaml.v0",
];

/// `checkPathTests` of module/module_test.go: those that are not, but for `x.y/\xFFz`, which is no text in Rust.
const BAD_PATHS: &[&str] = &[
    "",
    "/x.y/z",
    "x./z",
    ".x/z",
    "-x/z",
    "x.y/z/../../w",
    "x.y//z",
    "x.y/z//w",
    "x.y/z/",
    "x.y/z/v0",
    "x.y/z/v1",
    "x.y/z/v2.0",
    "X.y/z",
    "!x.y/z",
    "_x.y/z",
    "x.y!/z",
    "x.y\"/z",
    "x.y#/z",
    "x.y$/z",
    "x.y%/z",
    "x.y&/z",
    "x.y'/z",
    "x.y(/z",
    "x.y)/z",
    "x.y*/z",
    "x.y+/z",
    "x.y,/z",
    "x.y./zt",
    "x.y:/z",
    "x.y;/z",
    "x.y</z",
    "x.y=/z",
    "x.y>/z",
    "x.y?/z",
    "x.y@/z",
    "x.y[/z",
    "x.y\\/z",
    "x.y]/z",
    "x.y^/z",
    "x.y_/z",
    "x.y`/z",
    "x.y{/z",
    "x.y}/z",
    "x.y~/z",
    "x.y/z!",
    "x.y/z\"",
    "x.y/z#",
    "x.y/z$",
    "x.y/z%",
    "x.y/z&",
    "x.y/z'",
    "x.y/z(",
    "x.y/z)",
    "x.y/z*",
    "x.y/z+",
    "x.y/z,",
    "x.y/z:",
    "x.y/z;",
    "x.y/z<",
    "x.y/z=",
    "x.y/z>",
    "x.y/z?",
    "x.y/z@",
    "x.y/z[",
    "x.y/z\\",
    "x.y/z]",
    "x.y/z^",
    "x.y/z`",
    "x.y/z{",
    "x.y/z}",
    "x.y/aux.foo",
    "x.y/prn",
    "x.y/com1",
    "x.y/com1.txt",
    "x.y/z~0",
    "x.y/z~09",
    "x.y/z09~09z~09",
    "github.com/!123/logrus",
    "github.com/user/unicode/испытание",
    "../x",
    "./y",
    "x:y",
    "\\temp\\foo",
    ".gitignore",
    ".github/ISSUE_TEMPLATE",
    "x☺y",
];

#[test]
fn module_paths_are_those_of_check_path_and_no_others_are_unescaped() {
    for path in GOOD_PATHS {
        assert!(ModulePath::parse(path).is_ok(), "{path}");
    }
    for path in BAD_PATHS {
        assert!(ModulePath::parse(path).is_err(), "{path}");
        // `TestUnescapePath`: nor do they come out of an escaped text. (With `!123` the escape itself is wrong.)
        assert!(ModulePath::from_escaped(path).is_err(), "{path}");
    }
}

#[test]
fn paths_are_escaped_as_by_escape_path() {
    for (path, escaped) in [
        ("ascii.com/abcdefghijklmnopqrstuvwxyz.-/~_0123456789", "ascii.com/abcdefghijklmnopqrstuvwxyz.-/~_0123456789"),
        ("github.com/GoogleCloudPlatform/omega", "github.com/!google!cloud!platform/omega"),
    ] {
        let parsed = ModulePath::parse(path).unwrap();
        assert_eq!(parsed.escaped(), escaped);
        assert_eq!(ModulePath::from_escaped(escaped), Ok(parsed));
    }
    for bad in [
        "github.com/GoogleCloudPlatform/omega",
        "github.com/!google!cloud!platform!/omega",
        "github.com/!0google!cloud!platform/omega",
        "github.com/!_google!cloud!platform/omega",
        "github.com/!!google!cloud!platform/omega",
        "",
    ] {
        assert!(ModulePath::from_escaped(bad).is_err(), "{bad}");
    }
}

/// `tests` of semver/semver_test.go: what is read, and its canonical form; in rising order where that differs.
const SEMVER: [(&str, &str); 32] = [
    ("bad", ""),
    ("v1-alpha.beta.gamma", ""),
    ("v1-pre", ""),
    ("v1+meta", ""),
    ("v1-pre+meta", ""),
    ("v1.2-pre", ""),
    ("v1.2+meta", ""),
    ("v1.2-pre+meta", ""),
    ("v1.0.0-alpha", "v1.0.0-alpha"),
    ("v1.0.0-alpha.1", "v1.0.0-alpha.1"),
    ("v1.0.0-alpha.beta", "v1.0.0-alpha.beta"),
    ("v1.0.0-beta", "v1.0.0-beta"),
    ("v1.0.0-beta.2", "v1.0.0-beta.2"),
    ("v1.0.0-beta.11", "v1.0.0-beta.11"),
    ("v1.0.0-rc.1", "v1.0.0-rc.1"),
    ("v1", "v1.0.0"),
    ("v1.0", "v1.0.0"),
    ("v1.0.0", "v1.0.0"),
    ("v1.2", "v1.2.0"),
    ("v1.2.0", "v1.2.0"),
    ("v1.2.3-456", "v1.2.3-456"),
    ("v1.2.3-456.789", "v1.2.3-456.789"),
    ("v1.2.3-456-789", "v1.2.3-456-789"),
    ("v1.2.3-456a", "v1.2.3-456a"),
    ("v1.2.3-pre", "v1.2.3-pre"),
    ("v1.2.3-pre+meta", "v1.2.3-pre"),
    ("v1.2.3-pre.1", "v1.2.3-pre.1"),
    ("v1.2.3-zzz", "v1.2.3-zzz"),
    ("v1.2.3", "v1.2.3"),
    ("v1.2.3+meta", "v1.2.3"),
    ("v1.2.3+meta-pre", "v1.2.3"),
    ("v1.2.3+meta-pre.sha.256a", "v1.2.3"),
];

#[test]
fn versions_have_the_order_and_the_canonical_form_of_semver() {
    for (i, (a, canonical_a)) in SEMVER.into_iter().enumerate() {
        for (j, (b, canonical_b)) in SEMVER.into_iter().enumerate() {
            let wanted = if canonical_a == canonical_b { std::cmp::Ordering::Equal } else { i.cmp(&j) };
            assert_eq!(compare_semver(a, b), wanted, "{a} {b}");
        }
        assert_eq!(Version::parse(a).is_ok(), !a.is_empty() && a == canonical_a, "{a}");
        if !canonical_a.is_empty() {
            let canonical = Version::parse(canonical_a).unwrap();
            assert_eq!(canonical.major(), canonical_a.split('.').next().unwrap());
            assert_eq!(canonical.is_prerelease(), canonical_a.contains('-'), "{a}");
        }
    }
    for (a, b, wanted) in [("v1", "v1", 0), ("v2", "v1", 1), ("v1", "v2", -1)] {
        assert_eq!(compare_semver(a, b) as i8, wanted, "{a} {b}");
    }
}

fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn zips_hash_as_by_dirhash() {
    // `emptyHash`, and the hash that `TestCreateFromDirSpecial` wants of a directory that has nothing but a go.mod.
    assert_eq!(H1::of_zip(&zip_of(&[])).unwrap().to_string(), "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    let only_go_mod = zip_of(&[("example.com/m@v1.0.0/go.mod", "module example.com/m\n\ngo 1.13\n")]);
    let wanted = "h1:XduFAgX/GaspZa8Jv4pfzoGEzNaU/r88PiCunijw5ok=";
    assert_eq!(H1::of_zip(&only_go_mod).unwrap().to_string(), wanted);
    // `TestHashZip`, whatever the order of the files.
    let lines =
        ["abc", "xyz"].map(|name| (format!("prefix/{name}"), Sha256::digest(format!("data for {name}")).into()));
    let zip = zip_of(&[("prefix/xyz", "data for xyz"), ("prefix/abc", "data for abc")]);
    assert_eq!(H1::of_zip(&zip).unwrap(), H1::of_lines(lines));
}

/// `tilePaths` of sumdb/tlog/tlog_test.go. Go reads tiles of heights 1 to 30; a checksum database has those of height 8, and
/// no others are read here. So the ones that Go takes are here with that height.
#[test]
fn tile_paths_are_those_of_parse_tile_path_at_the_height_of_the_database() {
    for path in ["tile/4/0/001", "tile/3/5/x123/x456/078", "tile/1/0/x003/x057/500", "tile/1/data/x003/x057/500"] {
        assert!(TilePath::parse(path).is_err(), "{path}: another height");
    }
    for bad in ["tile/8/5/123/456/078", "tile/8/-1/123/456/078", "tile/3/5/123/456/078", "tile/3/-1/123/456/078"] {
        assert!(TilePath::parse(bad).is_err(), "{bad}");
    }
    for (path, level, n, width) in [
        ("tile/8/0/001", 0, 1, FULL_WIDTH),
        ("tile/8/0/001.p/5", 0, 1, 5),
        ("tile/8/3/x123/x456/078", 3, 123_456_078, FULL_WIDTH),
        ("tile/8/3/x123/x456/078.p/2", 3, 123_456_078, 2),
        ("tile/8/0/x003/x057/500", 0, 3_057_500, FULL_WIDTH),
    ] {
        let tile = Tile::new(level, n, width).unwrap();
        assert_eq!((TilePath::parse(path), tile.to_string()), (Ok(TilePath::Hashes(tile)), path.into()));
    }
    let data = TilePath::Data { n: 3_057_500, width: FULL_WIDTH };
    assert_eq!(TilePath::parse("tile/8/data/x003/x057/500"), Ok(data));
}

/// `TestTileHashReader` of sumdb/tlog/tile_test.go: whichever hash of a tile is zeroed, it is noticed. Its trees have tiles of
/// 4 hashes and up to 100 leaves; those of 256 hashes need more leaves to have as many levels.
#[test]
fn no_zeroed_hash_of_any_tile_is_taken() {
    for size in [1, 2, 3, 100, 255, 256, 257, 600] {
        let mut log = HashLog::default();
        (0..size).for_each(|n: u64| _ = log.push(format!("leaf {n}").as_bytes()));
        let every = (0..2 * size).filter_map(Node::from_stored_index).filter(|node| node.is_in(size));
        let plan = Plan::new(log.head(), every).unwrap();
        let data = |tile: &Tile| -> Vec<u8> {
            let first = tile.n() * u64::from(FULL_WIDTH);
            let nodes =
                (first..first + u64::from(tile.width())).map(|n| Node::new(tile.level() * TILE_HEIGHT, n).unwrap());
            nodes.flat_map(|node| *log.hash(node).unwrap().as_bytes()).collect()
        };
        let good: Vec<Vec<u8>> = plan.tiles().iter().map(data).collect();
        assert!(plan.authenticate(good.clone()).is_ok());
        for (at, tile) in plan.tiles().iter().enumerate() {
            for hash in 0..usize::from(tile.width()) {
                let mut tampered = good.clone();
                tampered[at][32 * hash..32 * (hash + 1)].fill(0);
                assert!(plan.authenticate(tampered).is_err(), "hash {hash} of {tile} in a tree of {size}");
            }
        }
    }
}
