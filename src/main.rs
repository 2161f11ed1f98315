//! The `modswarm` command; see `modswarm --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    modswarm::cli::main()
}
