//! The runner from end to end, with small scenarios.

use std::path::Path;

use clap::Parser as _;
use serde_json::Value;

use super::figure::Figure;
use super::report::Played;
use super::*;

/// A small one of each kind.
const SMALL: &[(&str, &str)] = &[
    (
        "spread",
        "[spread]\nreceivers = 6\nslices = 8\nslice = \"64KiB\"\nrate = \"10Mbit\"\nlatency = \"1ms\"\ngive-up = \"1min\"",
    ),
    ("power-on", "[power-on]\nnodes = 20\nwithin = \"2s\"\nlatency = \"1ms\"\njitter = \"1ms\"\nwatch = \"1min\""),
    (
        "catch-up",
        "[catch-up]\nknown = 500\nmissing = 50\nown = 3\nmanifest = \"1kB\"\naway = \"2d\"\nrate = \"10Mbit\"\nlatency = \"5ms\"",
    ),
    (
        "announce",
        "[announce]\nnodes = 40\nbytes = \"2kB\"\nrate = \"10Mbit\"\nlatency = \"1ms\"\ncheck = \"1ms\"\nmute = \"10%\"\nlan = 10\nwatch = \"10min\"",
    ),
    ("revoke", "[revoke]\nnodes = 20\nrevoked = 2\nlatency = \"1ms\"\nrate = \"10Mbit\""),
    ("twins", "[twins]\nnodes = 8\nlatency = \"1ms\"\nwatch = \"5min\""),
];

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn text(body: &str, limits: &str) -> String {
    format!("description = \"A small one.\"\nseeds = [1, 2]\n{body}\n[limits]\n{limits}\n")
}

fn scenario(body: &str) -> Scenario {
    scenario::read("small", "small.toml", &text(body, "")).unwrap()
}

fn small(kind: &str) -> &'static str {
    SMALL.iter().find(|(name, _)| *name == kind).unwrap().1
}

fn played(body: &str, seed: u64) -> Played {
    play::play(&scenario(body).play, seed).unwrap()
}

fn figure(played: &Played, figure: Figure) -> f64 {
    played.figures.get(figure).unwrap_or(f64::NAN)
}

/// What `netsim run` prints with these arguments, and whether every limit holds.
fn execute(args: &[&str]) -> Result<(String, bool), String> {
    let line = Line::try_parse_from([&["netsim"], args].concat()).map_err(|err| err.to_string())?;
    let mut out = Vec::new();
    let holds = super::execute(&line.args, &mut out).map_err(|err| err.to_string())?;
    Ok((String::from_utf8(out).unwrap(), holds))
}

fn file(dir: &Path, body: &str, limits: &str) -> String {
    let file = dir.join("small.toml");
    std::fs::write(&file, text(body, limits)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_flash_crowd_runs_from_the_file_to_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let file =
        file(dir.path(), small("spread"), "completed = { at-least = 1 }\nshare = { at-least = 0.3, of = \"median\" }");
    let svg = dir.path().join("small.svg");
    let (table, holds) = execute(&[&file, "--plot", svg.to_str().unwrap()]).unwrap();
    assert!(holds && table.starts_with("small: A small one.\n  seeds 1 2; bound "), "{table}");
    assert!(table.contains("\nall limits hold in 1 of 1 scenario\n"), "{table}");
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg "));
}

#[test]
fn a_limit_that_does_not_hold_is_the_answer_no() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), small("spread"), "last = { at-most = \"1ms\" }");
    let (table, holds) = execute(&[&file, "--seed", "9"]).unwrap();
    assert!(!holds && table.contains("  last is broken; to repeat: netsim run small --seed 9\n"), "{table}");
    let (json, holds) = execute(&[&file, "--json", "--seeds", "1"]).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(!holds && json["holds"] == false && json["scenarios"][0]["checks"][0]["holds"] == false);
    let run = &json["scenarios"][0]["runs"][0];
    assert_eq!((run["seed"].as_u64(), run["counted"].as_u64()), (Some(1), Some(6)));
    assert_eq!(run["completions_seconds"].as_array().unwrap().len(), 6);
    assert_eq!(run["figures"]["last"], run["completions_seconds"][5]);
}

#[test]
fn what_cannot_be_done_is_said() {
    let plot = execute(&["flash-20x20", "partition", "--plot", "x.svg"]).unwrap_err();
    assert_eq!(plot, "--plot draws one scenario; name one");
    assert!(execute(&["flash-20x20", "--seeds", "0"]).unwrap_err().contains("0 is not in 1..=1000"));
    assert!(execute(&[]).unwrap_err().contains("SCENARIO"));
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), small("catch-up"), "");
    let plot = execute(&[&file, "--plot", "x.svg"]).unwrap_err();
    assert_eq!(plot, "nothing in small completes at a time, so there is nothing to plot");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for (kind, body) in SMALL {
        assert_eq!(played(body, 7), played(body, 7), "{kind}");
    }
    for kind in ["spread", "power-on", "announce"] {
        assert_ne!(played(small(kind), 7).completions, played(small(kind), 8).completions, "{kind}");
    }
}

#[test]
fn seeds_are_those_of_the_scenario_unless_others_are_named() {
    let own = [1, 2, 3];
    assert_eq!(seeds(&own, None, None), [1, 2, 3]);
    assert_eq!(seeds(&own, Some(9), None), [9]);
    assert_eq!(seeds(&own, Some(9), Some(3)), [9, 10, 11]);
    assert_eq!(seeds(&own, None, Some(2)), [1, 2]);
    assert_eq!(seeds(&own, None, Some(5)), [1, 2, 3, 4, 5]);
    assert_eq!(seeds(&own, Some(u64::MAX), Some(2)), [u64::MAX, 0]);
}

#[test]
fn runs_stand_in_the_order_of_their_seeds_whoever_is_done_first() {
    let mut scenario = scenario(small("spread"));
    scenario.seeds = (1..=6).collect();
    let reports = play_all(&[scenario.clone(), scenario]).unwrap();
    for report in &reports {
        assert_eq!(report.runs.iter().map(|run| run.seed).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    }
    assert_eq!(reports[0].runs, reports[1].runs);
}

#[test]
fn what_only_a_dead_machine_had_is_lost_until_it_comes_back() {
    let dies = |back: &str| format!("{}\n[spread.seed-dies]\nat = 0.1\n{back}", small("spread"));
    let lost = played(&dies(""), 1);
    assert!(figure(&lost, Figure::Completed) < 1.0 && lost.completions.len() < 6, "{lost:?}");
    let back = played(&dies("back-after = \"20s\""), 1);
    assert!((figure(&back, Figure::Completed) - 1.0).abs() < 1e-9, "{back:?}");
    assert!(figure(&back, Figure::Last) > 20.0, "{back:?}");
    assert!(back.bound.is_none(), "the bound knows of no faults");
}

#[test]
fn a_partition_keeps_a_part_waiting_until_it_heals() {
    let parted = format!("{}\n[spread.partition]\nat = \"50ms\"\nlasts = \"30s\"\nshare = \"40%\"", small("spread"));
    let parted = played(&parted, 1);
    assert!(figure(&parted, Figure::Last) > 30.0 && figure(&parted, Figure::Median) < 30.0, "{parted:?}");
    assert!(figure(&parted, Figure::AfterHeal) < 20.0, "{parted:?}");
}

#[test]
fn hostile_nodes_do_not_count_and_cost_time() {
    let mixed = small("spread").replace("receivers = 6", "receivers = 20");
    let mixed = format!("{mixed}\n[spread.hostile]\nliars = 0.1\nstallers = 0.1\nslow = 0.1");
    let mixed = played(&mixed, 1);
    assert_eq!((mixed.counted, mixed.completions.len()), (14, 14));
    assert!(figure(&mixed, Figure::Slowdown) > 1.0, "{mixed:?}");
}

#[test]
fn a_thin_line_is_not_faster_than_it_is() {
    let offices = small("spread").replace("receivers = 6", "receivers = 7");
    let offices = format!("{offices}\n[spread.offices]\ncount = 2\nrate = \"1Mbit\"\nlatency = \"50ms\"\ngateways = 1");
    let offices = played(&offices, 1);
    // 512 KiB over 125 kB/s.
    let beyond = offices.completions.iter().filter(|at| **at > 4.19).count();
    assert_eq!((beyond, offices.completions.len()), (4, 7), "{offices:?}");
    assert!(figure(&offices, Figure::Wan) >= 1.0, "{offices:?}");
}

#[test]
fn the_revoked_are_cut_off_each_time() {
    let revoke = played(small("revoke"), 3);
    assert!((figure(&revoke, Figure::Told) - 1.0).abs() < 1e-9 && figure(&revoke, Figure::CutOff) < 1.0, "{revoke:?}");
    assert_eq!(revoke.counted, 18);
}
