//! The lab as a whole, small: real nodes in network namespaces.
//!
//! `cargo build && sudo cargo test -p netsim --test lab -- --ignored`; `MODSWARM=PATH` names another binary of the node.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers too")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A run of which nothing is to be there: the number of a process that cannot be.
const DEAD: &str = "msl4294967294-";

fn modswarm() -> PathBuf {
    let beside = || Path::new(env!("CARGO_BIN_EXE_netsim")).with_file_name("modswarm");
    std::env::var_os("MODSWARM").map_or_else(beside, PathBuf::from)
}

fn lab(dir: &TempDir, args: &[&str]) -> Command {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_netsim"));
    lab.arg("lab").args(args).arg("--dir").arg(dir.path()).arg("--modswarm").arg(modswarm());
    lab.stdout(Stdio::piped()).stderr(Stdio::piped());
    lab
}

fn namespaces() -> String {
    let output = Command::new("ip").args(["netns", "list"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn assert_nothing_is_left(dir: &TempDir, pid: u32) {
    let left = namespaces();
    assert!(!left.contains(&format!("msl{pid}-")), "{left}");
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
#[ignore = "needs root and network namespaces"]
fn three_nodes_get_a_module_and_nothing_of_their_network_is_left() {
    let dir = tempfile::tempdir().unwrap();
    // What a run left that was killed.
    let space = format!("{DEAD}n01");
    assert!(Command::new("ip").args(["netns", "add", &space]).status().unwrap().success());
    std::fs::create_dir(dir.path().join(format!("{DEAD}abc"))).unwrap();

    let run = lab(&dir, &["flash10", "--nodes", "3", "--rate", "50mbit", "--size", "3MB", "--json"]).spawn().unwrap();
    let pid = run.id();
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {said}"));
    let figures = report["figures"].as_array().unwrap();
    let value = |name: &str| {
        let figure = figures.iter().find(|figure| figure["name"] == name);
        figure.unwrap_or_else(|| panic!("no {name}: {report:#}"))["value"].as_f64().unwrap()
    };
    assert!((value("swarm: done") - 3.0).abs() < 1e-9, "{report:#}");
    assert!((value("swarm: nodes that hold the zip afterwards") - 3.0).abs() < 1e-9, "{report:#}");
    // A line that carried more than it may would make every other figure worthless.
    assert!((10.0..50.0).contains(&value("bare TCP stream, seed to a node")), "{report:#}");
    // Each of the three has the whole zip from the seed, with the headers of all packets.
    assert!((3.0..4.0).contains(&value("plain HTTP: seed sent / zip")), "{report:#}");
    let missed = figures.iter().any(|figure| figure["ok"] == false);
    assert_eq!(output.status.code(), Some(i32::from(missed)), "{report:#}");
    assert_nothing_is_left(&dir, pid);
    assert!(!namespaces().contains(DEAD), "{}", namespaces());
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_lab_that_is_interrupted_leaves_nothing_and_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = lab(&dir, &["flash10", "--nodes", "2", "--rate", "1mbit", "--size", "3MB"]).spawn().unwrap();
    let pid = run.id();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    // Now both nodes run; over such a line it would go on for a minute.
    while !line.contains("know what the seed has") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    assert!(namespaces().contains(&format!("msl{pid}-n02")), "{}", namespaces());
    assert!(Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(!run.wait().unwrap().success());
    assert!(rest.contains("interrupted"), "{rest}");
    assert_nothing_is_left(&dir, pid);
    // Nodes and go commands have paths in that directory.
    let processes = Command::new("ps").args(["ax", "-o", "args"]).output().unwrap();
    let processes = String::from_utf8_lossy(&processes.stdout).into_owned();
    let prefix = format!("{}/msl{pid}-", dir.path().display());
    assert!(!processes.contains(&prefix), "{processes}");
}

#[test]
fn without_root_it_says_so_in_one_sentence() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netsim"));
    command.args(["lab", "storm"]);
    if std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t0\t") {
        command.uid(65_534).gid(65_534);
    }
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: other users than root cannot read the directory of this program");
            return;
        }
        output => output.unwrap(),
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("root"), "{said}");
}
