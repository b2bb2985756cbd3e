//! Commands and their arguments. Each command is a few lines that call the library.
//!
//! Exit codes: 0 well, 1 not well, 2 usage.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "central")]
mod central;
#[cfg(all(feature = "edge", feature = "central"))]
mod dev;
#[cfg(feature = "edge")]
mod edge;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use fieldpost::logging;
use fieldpost::shutdown::{self, Shutdown};

/// See, completely and truthfully, what Claude does on your people's machines.
#[derive(Parser)]
#[command(name = "fieldpost", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine: portal, store and edge, with an integration installed.
    #[cfg(all(feature = "edge", feature = "central"))]
    Dev(dev::Arguments),
    /// The daemon on each machine: receives, redacts, keeps and forwards Claude's telemetry.
    #[cfg(feature = "edge")]
    #[command(subcommand)]
    Edge(edge::Command),
    /// The central service: authenticates, stores and shows telemetry.
    #[cfg(feature = "central")]
    #[command(subcommand)]
    Central(central::Command),
}

/// Runs the command that was given.
pub(crate) fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let outcome = match command {
        #[cfg(all(feature = "edge", feature = "central"))]
        Command::Dev(arguments) => dev::run(arguments).map(|()| true),
        #[cfg(feature = "edge")]
        Command::Edge(command) => edge::run(command),
        #[cfg(feature = "central")]
        Command::Central(command) => central::run(command).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", logging::clean(&format!("fieldpost: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Runs a service until an interrupt, a termination signal or Windows' service manager asks it to stop.
fn serve<F, S>(service: S) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
    S: FnOnce(Shutdown) -> F,
{
    #[cfg(windows)]
    let mut manager = fieldpost::supervisor::ServiceManager::listen();
    #[cfg(windows)]
    let asked = manager.asks_to_stop();
    #[cfg(not(windows))]
    let asked = std::future::pending();
    let served = block_on(async {
        let (trigger, shutdown) = shutdown::channel();
        tokio::spawn(async move {
            let heard = tokio::select! {
                heard = shutdown::signal() => heard,
                () = asked => Ok(()),
            };
            if let Err(error) = heard {
                tracing::error!(%error, "cannot wait for signals");
                return;
            }
            tracing::info!("stopping: what was acknowledged is on disk");
            trigger.stop();
        });
        service(shutdown).await
    });
    #[cfg(windows)]
    if served.is_ok() {
        manager.stopped();
    }
    served
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(future)
}

/// Looks up the environment for configuration keys.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
