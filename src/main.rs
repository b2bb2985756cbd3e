//! The command line.

mod cli;

/// Gives memory back that glibc's allocator keeps. `.cargo/config.toml` sets it up.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use std::process::ExitCode;

fn main() -> ExitCode {
    fieldpost::logging::start();
    cli::main()
}
