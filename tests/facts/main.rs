//! What a GOPROXY must get right: the facts about the protocol and about the real go command, and the tests that hold them.
//!
//! A test of a fact is called `fact_NN_what_it_says`, wherever it stands; one test may hold several facts. In this binary
//! are those that need the real go command or bytes on a wire, and the comparison of a node with a plain tree of files
//! (`equality`).
//!
//! | fact | what | tests in |
//! |---|---|---|
//! | 1 | `%21x` and `!x` are one request | src/domain/request/tests.rs, tests/facts/requests.rs |
//! | 2 | path and version are unescaped separately; what is not escaped is 404 | src/domain/request/tests.rs, tests/facts/requests.rs |
//! | 3 | module paths are checked before anything is touched | src/domain/request/tests.rs, tests/facts/requests.rs |
//! | 4 | paths that differ in case are two modules | src/domain/request/tests.rs, tests/facts/requests.rs |
//! | 5 | path prefix; an uncleaned path or a trailing slash is 404 | src/config.rs, src/domain/request/tests.rs, tests/facts/requests.rs |
//! | 6 | GET and HEAD, else 405 | src/domain/request/tests.rs, tests/http.rs, tests/facts/requests.rs |
//! | 7 | probes of parent paths are 404 and cost one question | src/domain/request/tests.rs, tests/http.rs |
//! | 8 | no files of versions that are not canonical | src/domain/request/tests.rs, tests/facts/requests.rs |
//! | 9 | branches, commits, prefixes, short hashes | src/domain/request/tests.rs, src/mirror/lists.rs, tests/facts/versions.rs |
//! | 10 | `+incompatible` stays | src/domain/request/tests.rs, tests/facts/versions.rs |
//! | 11 | pseudo-versions are served and not listed | src/mirror/lists.rs, tests/facts/versions.rs |
//! | 12 | lists are sorted, never shrink, and name what can be served | src/mirror/lists.rs, tests/facts/versions.rs |
//! | 13 | `@latest`, offline and where the upstream has none | src/mirror/lists.rs, tests/mirror.rs, tests/facts/versions.rs |
//! | 14 | retractions and deprecations reach an isolated node | tests/facts/versions.rs |
//! | 15 | `.info` is JSON of its version, byte for byte | src/domain/info.rs, src/domain/manifest.rs, tests/facts/bodies.rs |
//! | 16 | `.mod` has its original bytes | tests/facts/bodies.rs |
//! | 17 | odd zips pass, limits hold | src/domain/zip/tests.rs, tests/facts/bodies.rs |
//! | 18 | hashes before the first byte is served | tests/facts/bodies.rs |
//! | 19 | zips are never packed anew | tests/facts/bodies.rs |
//! | 20 | content types, exact lengths | src/proxy/respond.rs, tests/facts/bodies.rs |
//! | 21 | ranges, ETags, no gzip | src/proxy/respond.rs, tests/http.rs, tests/facts/bodies.rs |
//! | 22 | cache life | src/proxy/respond.rs, tests/facts/bodies.rs |
//! | 23 | a miss is 404 | tests/mirror.rs, tests/facts/errors.rs |
//! | 24 | a failure is no miss | src/proxy/respond.rs, tests/mirror.rs, tests/facts/errors.rs |
//! | 25 | error texts that the go command shows | src/proxy/respond.rs, tests/facts/errors.rs |
//! | 26 | the node retries, and goes on when its client has left | tests/facts/errors.rs |
//! | 27 | `Disable-Module-Fetch`, `/cached-only`, `Vary` | tests/http.rs, tests/facts/errors.rs |
//! | 28 | `supported` is a promise; names with slashes; no open proxy | src/domain/request/tests.rs, tests/sumdb/server.rs, tests/sumdb_node/serving.rs |
//! | 29 | one pinned head for all lookups | tests/sumdb/server.rs, tests/sumdb_node/serving.rs |
//! | 30 | partial tiles are cut from wider ones | tests/sumdb/client.rs, tests/sumdb/server.rs |
//! | 31 | records, tiles and heads are verified | src/domain/sumdb/tests.rs, tests/sumdb/client.rs |
//! | 32 | toolchains are proven always | tests/sumdb_node/toolchain.rs |
//! | 33 | private modules: 404 without a word to any upstream | tests/site_node/private.rs |
//! | 34 | a GOMODCACHE as a source | tests/facts/cache.rs |
//! | 35 | what a script reads | tests/cli/seeding.rs |

#![allow(clippy::unwrap_used, reason = "in tests, also in what they have in common")]

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod cache;
mod equality;
mod errors;
mod fixtures;
mod requests;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How many facts there are.
const FACTS: u32 = 35;

/// Which facts the tests of each source file hold.
fn tested() -> BTreeMap<u32, BTreeSet<String>> {
    fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<u32, BTreeSet<String>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                for fact in facts_in(&std::fs::read_to_string(&path).unwrap()) {
                    found.entry(fact).or_default().insert(name.clone());
                }
            }
        }
    }
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")), BTreeMap::new());
    ["src", "tests"].iter().for_each(|dir| walk(root, &root.join(dir), &mut found));
    found
}

/// The numbers in the names of test functions: `fact_07_x`, `fact_11_and_12_x`, `fact_02_03_05_and_08_x`.
fn facts_in(source: &str) -> Vec<u32> {
    let mut facts = Vec::new();
    for (before, _) in source.match_indices("fn fact_") {
        let above = source[..before].trim_end().trim_end_matches("async").trim_end();
        let is_test = above.lines().last().is_some_and(|line| line.contains("test"));
        let words = source[before + "fn fact_".len()..].split(['_', '(']).filter(|word| *word != "and");
        let numbers = words.map_while(|word| word.parse::<u32>().ok());
        facts.extend(numbers.filter(|_| is_test));
    }
    facts
}

#[test]
fn every_fact_has_a_test_or_a_reason_why_it_has_none() {
    let tested = tested();
    let open: Vec<u32> = (1..=FACTS).filter(|fact| !tested.contains_key(fact)).collect();
    assert!(open.is_empty(), "no test is called after the facts {open:?}");
    let beyond: Vec<&u32> = tested.keys().filter(|fact| !(1..=FACTS).contains(*fact)).collect();
    assert!(beyond.is_empty(), "there are no facts {beyond:?}");
}

#[test]
fn the_table_of_facts_is_right() {
    let tested = tested();
    let source = include_str!("main.rs");
    let rows: Vec<Vec<&str>> = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .map(|line| line.trim_end_matches('|').split(" | ").map(str::trim).collect())
        .filter(|row: &Vec<&str>| row[0].parse::<u32>().is_ok())
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=FACTS).collect::<Vec<_>>());
    for row in &rows {
        let fact: u32 = row[0].parse().unwrap();
        for file in row[2].split(", ") {
            assert!(tested[&fact].contains(file), "{file} has no test of fact {fact}, only {:?}", tested[&fact]);
        }
    }
}

#[test]
fn facts_are_read_from_the_names_of_tests() {
    let source = "#[test]\nfn fact_07_x() {}\n\n#[tokio::test]\nasync fn fact_02_03_and_08_y() {}\nfn fact_09_helper() {}\n\
                  fn fact_key(key: &str) {}\n";
    assert_eq!(facts_in(source), [7, 2, 3, 8]);
}
