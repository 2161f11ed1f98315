//! Benchmarks, one file each, and what they share.

mod catchup;
mod client;
pub(crate) mod figures;
pub(crate) mod fixture;
mod latency;
mod local;
mod memory;
mod raw;
pub(crate) mod sample;
mod site;
mod transfer;
mod upgrades;
mod worker;

use std::error::Error;
use std::process::ExitCode;

use clap::Subcommand;

/// What ends a benchmark early.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Which benchmark.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// What real upgrades of real modules cost in bytes.
    Upgrades(upgrades::Args),
    /// How fast a node gets a zip from another one, beside a bare stream of the same transport.
    Transfer(transfer::Args),
    /// How much memory nodes take while they ingest, exchange and serve a large zip.
    Memory(memory::Args),
    /// What one node does alone: hashing, ingesting, serving what it holds.
    Local(local::Args),
    /// How fast one node answers out of its store, beside a static file server over the same files.
    Latency(latency::Args),
    /// What it costs two nodes to find out which manifests one of them lacks, beside negentropy.
    Catchup(catchup::Args),
    /// The other side of a benchmark, in a process of its own.
    #[command(hide = true, subcommand)]
    Worker(worker::Worker),
}

impl Bench {
    /// Runs it. The exit code is 1 when a promise is not kept.
    ///
    /// # Errors
    /// What kept it from measuring.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let ended = match self {
            Self::Upgrades(args) => return upgrades::run(&args),
            Self::Transfer(args) => transfer::run(&args),
            Self::Memory(args) => memory::run(&args),
            Self::Local(args) => local::run(&args),
            Self::Latency(args) => latency::run(&args),
            Self::Catchup(args) => catchup::run(&args),
            Self::Worker(worker) => worker.run(),
        };
        ended.map_err(|error| -> Box<dyn Error> { error })
    }
}

/// The runtime that `modswarm up` has too.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
