//! What the fuzzer runs: the targets that `tests/fuzz_corpus.rs` runs over mutated seeds.

use std::path::PathBuf;
use std::{env, fs};

#[path = "../../tests/common/decoders/mod.rs"]
pub mod decoders;

/// The variable that names the directory which seeds are written to.
pub const SEEDS: &str = "MODSWARM_FUZZ_SEEDS";

fn target(name: &str) -> &'static decoders::Target {
    let target = decoders::TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("there is no target {name}"))
}

/// Runs a target.
///
/// # Panics
/// With what the target has found.
pub fn run(name: &str, data: &[u8]) {
    (target(name).run)(data);
}

/// Writes the seeds of a target into its directory under the one that [`SEEDS`] names, if it is set. The fuzzer does
/// this before it reads its inputs: a program of its own would not link, since the counters of the coverage are
/// libFuzzer's.
///
/// # Panics
/// When they cannot be written.
pub fn write_seeds(name: &str) {
    let Some(dir) = env::var_os(SEEDS).map(PathBuf::from) else { return };
    let dir = dir.join(name);
    fs::create_dir_all(&dir).expect("a directory for seeds");
    for (number, seed) in (target(name).seeds)().iter().enumerate() {
        fs::write(dir.join(format!("{number:03}")), seed).expect("a seed");
    }
}
