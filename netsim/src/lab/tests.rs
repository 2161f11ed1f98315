//! The lab as a whole, small: needs root and network namespaces, and release-like binaries beside it.

use std::path::PathBuf;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &[&str]) -> Result<Args, clap::Error> {
    Line::try_parse_from([&["lab"], line].concat()).map(|line| line.args)
}

#[test]
fn each_scenario_has_its_own_number_of_nodes_unless_told_otherwise() {
    for (name, nodes) in [("flash10", 10), ("seed-dies", 10), ("idle", 12), ("storm", 30)] {
        assert_eq!(args(&[name]).unwrap().nodes(), nodes, "{name}");
        assert_eq!(args(&[name, "--nodes", "3"]).unwrap().nodes(), 3, "{name}");
    }
}

#[test]
fn a_real_module_is_not_also_a_made_up_one_and_nonsense_is_refused() {
    assert!(args(&["flash10", "--real", "example.com/m@v1.0.0"]).is_ok());
    for line in [
        &["flash10", "--real", "example.com/m@v1.0.0", "--size", "1MB"][..],
        &["flash10", "--real", "example.com/m@v1.0.0", "--content", "noise"],
        &["flash10", "--rate", "100"],
        &["flash10", "--deadline", "5"],
        &["flood"],
        &[],
    ] {
        assert!(args(line).is_err(), "{line:?}");
    }
}

/// `modswarm` as cargo builds it beside the tests, or where `MODSWARM` says.
fn modswarm() -> PathBuf {
    let built = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("modswarm"));
    std::env::var_os("MODSWARM").map(PathBuf::from).or_else(built).unwrap()
}

#[test]
#[ignore = "needs root and network namespaces"]
fn three_nodes_get_a_module_and_nothing_of_their_network_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = args(&["flash10", "--nodes", "3", "--rate", "50mbit", "--size", "2MB"]).unwrap();
    args.modswarm = Some(modswarm());
    args.dir = Some(dir.path().into());
    // What a run left that was killed: the number of a process that cannot be there.
    exec::run("ip", &["netns", "add", "msl4294967294-n01"]).unwrap();
    let report = serde_json::to_value(measure(args).unwrap()).unwrap();
    let value = |name: &str| {
        let figures = report["figures"].as_array().unwrap();
        figures.iter().find(|figure| figure["name"] == name).unwrap()["value"].as_f64()
    };
    assert_eq!(value("swarm: done"), Some(3.0), "{report:#}");
    assert_eq!(value("swarm: nodes that hold the zip afterwards"), Some(3.0), "{report:#}");
    // A line that carries more than it may would make every other figure worthless.
    assert!(value("bare TCP stream, seed to a node").is_some_and(|rate| rate < 50.0), "{report:#}");
    // Each of three has the whole zip from the seed, with the headers of all packets.
    assert!(value("plain HTTP: seed sent / zip").is_some_and(|zips| (3.0..4.0).contains(&zips)), "{report:#}");
    let left = exec::run("ip", &["netns", "list"]).unwrap();
    assert!(!left.contains(&leftovers::prefix(std::process::id())) && !left.contains("msl4294967294-"), "{left}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
