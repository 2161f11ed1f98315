//! The command line: one file per command.
//!
//! Data goes to stdout and talk to stderr. Exit codes: 0 done, 1 the answer is no or it failed, 2 wrong usage.

mod client;
mod doctor;
mod env;
mod log;
mod publish;
mod seed;
mod seed_files;
mod signals;
mod site;
mod status;
mod toolchains;
mod up;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigError;

/// A content-addressed peer-to-peer mirror network for Go modules.
#[derive(Debug, Parser)]
#[command(name = "modswarm", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  modswarm up --upstream go-env       run a node, here one with an upstream
  eval \"$(modswarm env)\"              make the go command of this shell use it
  modswarm seed ~/src/our-project     bring all that a build needs into the site

Exit codes: 0 done, 1 the answer is no or it failed, 2 wrong usage.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node in the foreground.
    Up(up::Args),
    /// Bring all that a build needs into the site.
    ///
    /// The running node reads the module graph, and fetches every zip and go.mod file that the go command will ask for from
    /// its upstream. What is held already is not fetched again, so a run that broke off is simply started once more.
    Seed(seed::Args),
    /// Show how the running node is.
    Status(status::Args),
    /// Find out what is wrong: the network, the peers, this machine.
    ///
    /// Asks the running node which interfaces it uses, whom it has heard there and why it is connected with a peer or not, and
    /// looks at what it needs of this machine. Without a node it looks at the machine only.
    Doctor(doctor::Args),
    /// Print what makes the go command use the running node.
    Env(env::Args),
    /// Sign a module version of your own and put it into the site.
    ///
    /// A directory is packed by the rules of the go command; a zip has to keep them. The running node takes it if the
    /// key is one of those that its site file has for the module's prefix, and all nodes with the same site file
    /// follow.
    Publish(publish::Args),
    /// Make a publisher's key; show who publishes which modules.
    #[command(subcommand)]
    Site(site::Command),
}

/// How a command finds the running node.
#[derive(Debug, Clone, clap::Args)]
struct DataArg {
    /// Data directory of the running node [default: the user's own].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Why a command failed: one sentence, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    code: u8,
    told: bool,
}

impl Failure {
    /// It failed, or the answer is no.
    fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1, told: false }
    }

    /// The command was used wrongly.
    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2, told: false }
    }

    /// The same, when the user has been told in another way.
    fn told(self) -> Self {
        Self { told: true, ..self }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

/// Parses the command line, runs the command, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors to clap's exit code; a closed pipe is no error to us.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let ended = match cli.command {
        Command::Up(args) => up::run(args),
        Command::Seed(args) => seed::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Env(args) => env::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Site(command) => site::run(command),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.told {
                // With stderr closed there is nobody to tell.
                let _ = writeln!(io::stderr(), "modswarm: {failure}");
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Writes data to stdout; a reader that has gone away (`| head`) is the end of the output and not an error.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes `value` to stdout as one line of JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
    print(&(text + "\n"))
}

/// A runtime for commands that only talk to the node.
fn small_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// `1.4 MiB`, for people.
fn bytes_for_people(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
