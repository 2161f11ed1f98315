//! Benchmarks and simulations of modswarm.

mod bench;
mod lab;
mod run;
#[allow(dead_code, reason = "what a world can do is more than any one scenario needs")]
mod world;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks and simulations of modswarm.
#[derive(Parser)]
#[command(name = "netsim")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure something on real data.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run real nodes in a network of Linux namespaces, and hold what they do to its limits. Needs root.
    Lab(lab::Args),
    /// Pass TCP on over a line with delay, rate and cuts, as between two offices.
    Relay(lab::relay::Args),
    /// One end of the lab's bare TCP stream.
    #[command(hide = true, subcommand)]
    LabProbe(lab::Probe),
    /// Play a scenario with the engine's own code in a simulated network, in virtual time.
    Run(run::Args),
    /// Let a crowd of simulated nodes want one item.
    #[command(hide = true)]
    Flash(world::flash::Flash),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Bench(bench) => bench.run(),
        Command::Lab(args) => args.run().map_err(|error| -> Box<dyn Error> { error }),
        Command::Relay(args) => lab::relay::run(&args).map_err(|error| -> Box<dyn Error> { error }),
        Command::LabProbe(probe) => probe.run().map_err(|error| -> Box<dyn Error> { error }),
        Command::Run(args) => run::run(&args),
        Command::Flash(flash) => Ok(flash.run()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("netsim: {error}");
            ExitCode::FAILURE
        }
    }
}
