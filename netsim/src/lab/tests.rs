//! What the lab takes as arguments. That it works is in `netsim/tests/lab.rs`.

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
