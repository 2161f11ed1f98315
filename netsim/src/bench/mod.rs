//! Benchmarks, one file each.

mod upgrades;

use std::error::Error;
use std::process::ExitCode;

use clap::Subcommand;

/// Which benchmark.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// What real upgrades of real modules cost in bytes.
    Upgrades(upgrades::Args),
}

impl Bench {
    /// Runs it. The exit code is 1 when a promise is not kept.
    ///
    /// # Errors
    /// What kept it from measuring.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Upgrades(args) => upgrades::run(&args),
        }
    }
}
