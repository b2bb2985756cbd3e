//! The command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    fieldpost::logging::start();
    cli::main()
}
