//! The rules of the layers (see the docs of `src/lib.rs`), held by reading the sources.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each top-level module of the library, and the ones that it may use. Arrows point down only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("verified", &["domain"]),
    ("admin", &[]),
    ("config", &["domain"]),
    ("publish_dir", &["domain"]),
    ("store", &["domain", "verified"]),
    ("sumdb", &["domain"]),
    ("upstream", &["domain"]),
    ("engine", &["domain"]),
    ("swarm", &["domain", "engine"]),
    ("transfer", &["domain", "engine", "verified", "swarm"]),
    ("spread", &["domain", "engine", "verified", "transfer"]),
    ("asking", &["domain", "swarm", "transfer"]),
    (
        "mirror",
        &["domain", "verified", "store", "sumdb", "upstream", "engine", "transfer", "spread", "asking", "admin"],
    ),
    ("sync", &["domain", "engine", "verified", "store", "mirror", "swarm", "transfer", "spread"]),
    ("proxy", &["domain", "mirror", "admin"]),
    (
        "daemon",
        &[
            "domain", "verified", "store", "sumdb", "upstream", "engine", "swarm", "transfer", "spread", "asking",
            "mirror", "sync", "proxy", "config", "admin",
        ],
    ),
    ("cli", &["daemon", "config", "admin", "publish_dir", "domain", "upstream"]),
];

/// What pure code does not know of.
const NOT_IN_DOMAIN: &[&str] = &[
    "tokio",
    "libp2p",
    "sled",
    "axum",
    "reqwest",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant",
    "rand",
    "tracing",
];

/// What of that the engine may use all the same: random numbers from a seed that it is given.
const SEEDED: &[&str] = &["rand"];

/// Packages that belong to one layer.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("bincode::config", &["domain"]),
    ("bincode::decode", &["domain"]),
    ("bincode::encode", &["domain"]),
    ("sled::", &["store"]),
    ("axum::", &["proxy"]),
    ("hyper::", &["proxy"]),
    ("hyper_util::", &["proxy"]),
    ("reqwest::", &["upstream", "cli"]),
    ("libp2p_stream", &["swarm", "transfer", "spread", "asking"]),
    ("clap::", &["cli"]),
];

/// A file longer than this is two files.
const LONGEST_FILE: usize = 500;

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 20, "the sources are not where this test looks");
    found
}

fn layer(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    below.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The code without comments and without what only tests see.
fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    shipped
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |all, line| all + line + "\n")
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

fn used_layers(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let names: Vec<&str> = match after.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap().split(',').collect(),
            None => vec![after],
        };
        for name in names {
            used.insert(name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
        }
    }
    used
}

#[test]
fn arrows_point_down_only() {
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for (path, text) in sources() {
        let layer = layer(&path);
        if ["lib", "main"].contains(&layer.as_str()) || is_test_file(&path) {
            continue;
        }
        let allowed = rules.get(layer.as_str()).unwrap_or_else(|| panic!("{layer} has no rule in this test"));
        for used in used_layers(&code(&text)) {
            let fine = used == layer || allowed.contains(&used.as_str());
            assert!(fine, "{} uses crate::{used}, which {layer} may not", path.display());
        }
    }
}

#[test]
fn every_rule_is_about_a_layer_that_exists() {
    let layers: BTreeSet<String> = sources().iter().map(|(path, _)| layer(path)).collect();
    for (name, uses) in MAY_USE {
        for name in uses.iter().chain([name]) {
            assert!(layers.contains(*name), "{name} is in the rules and not in src");
        }
    }
}

#[test]
fn the_domain_and_the_engine_are_pure() {
    let is_pure = |path: &Path| ["domain", "engine"].contains(&layer(path).as_str());
    for (path, text) in sources().iter().filter(|(path, _)| is_pure(path) && !is_test_file(path)) {
        let code = code(text);
        let seeded = layer(path) == "engine";
        for word in NOT_IN_DOMAIN.iter().filter(|word| !(seeded && SEEDED.contains(word))) {
            let whole_word = code.match_indices(word).any(|(at, _)| {
                let before = code[..at].chars().next_back().unwrap_or(' ');
                let after = code[at + word.len()..].chars().next().unwrap_or(' ');
                let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
                !part_of_name(before) && !part_of_name(after)
            });
            assert!(!whole_word, "{} knows of {word}", path.display());
        }
    }
}

#[test]
fn packages_stay_in_their_layer() {
    for (path, text) in sources().iter().filter(|(path, _)| !is_test_file(path)) {
        for (package, layers) in ONLY_IN {
            let used = code(text).contains(package);
            assert!(!used || layers.contains(&layer(path).as_str()), "{} uses {package}", path.display());
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for (path, text) in sources() {
        assert!(text.lines().count() <= LONGEST_FILE, "{} is too long", path.display());
        let says = text.starts_with("//!") || is_test_file(&path);
        assert!(says, "{} does not begin with what it is for", path.display());
    }
}
