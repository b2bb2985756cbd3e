//! `fieldpost edge`

mod redact;
mod socket;
mod status;
mod tail;
mod parked;
mod queue;
mod flush;
mod env;
mod install;
mod doctor;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use fieldpost::config::{Mistakes, read_file};
use fieldpost::edge::config::{Config, default_file};
use fieldpost::edge::redact::RedactConfig;
use fieldpost::edge::{Gauges, Source};
use fieldpost::{logging, supervisor};
use serde_json::json;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the daemon until it is told to stop. A changed configuration is taken into force while it
    /// runs, at once and on SIGHUP.
    Run(Run),
    /// Check the configuration, and print every mistake with its line.
    CheckConfig(CheckConfig),
    /// Say how the running edge is, in plain words: what is wrong, since when, and what waits. Exits
    /// with 0 when all is well, with 1 when something is wrong.
    Status(status::Arguments),
    /// Show records as clients send them, after redaction, one on a line.
    Tail(tail::Arguments),
    /// Records that the upstream refuses for good: list, show, send again, forget.
    #[command(subcommand)]
    Parked(parked::Command),
    /// The queue on disk: its segments, and whether they are whole.
    #[command(subcommand)]
    Queue(queue::Command),
    /// Try the upstream at once, and wait until everything that waits is delivered.
    Flush(flush::Arguments),
    /// Try the redaction: text from standard input goes to standard output without its secrets.
    ///
    /// Text is searched in blocks of a mebibyte, cut at the end of a line and never inside a secret that
    /// spans lines. Works without any configuration. Ends with 1 when a rule of one's own is refused.
    Redact(redact::Arguments),
    /// Find out why telemetry does not arrive: check everything from the service to Claude's own
    /// variables, send a marked record, and say what to do. Exits with 1 when a check failed.
    Doctor(doctor::Arguments),
    /// Install the edge as a service of this machine: program, account, units, configuration, token. Can be
    /// run again, with a new token for example. A package has done most of it already.
    Install(install::Arguments),
    /// Deliver what waits, and take the service away. Configuration, token and records stay, unless
    /// --purge says otherwise.
    Uninstall(install::Leaving),
    /// Print what Claude must be told to export: for a shell, for managed settings, for a fleet's tools.
    Env(env::Arguments),
}

#[derive(Args)]
pub(super) struct ConfigFile {
    /// Configuration file; variables such as FIELDPOST_UPSTREAM_ENDPOINT override its keys
    /// [default: /etc/fieldpost/edge.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Write what the daemon says of itself to the end of this file, and not to standard error. When the
    /// file is renamed to rotate it, the next line begins a new one.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    file: ConfigFile,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs a command; false when it finds that something is not well, and has said so.
pub(super) fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Status(arguments) => super::block_on(status::run(arguments)),
        Command::Tail(arguments) => super::block_on(tail::run(arguments)),
        Command::Parked(command) => super::block_on(parked::run(command)),
        Command::Queue(command) => super::block_on(queue::run(command)),
        Command::Flush(arguments) => super::block_on(flush::run(arguments)),
        Command::Run(Run { file, log_file }) => {
            if let Some(path) = &log_file {
                logging::write_to(path)
                    .with_context(|| format!("cannot write the log to {}", path.display()))?;
            }
            let config = file.load().context("the configuration cannot be used")?;
            let source = Source {
                path: file.path(),
                read: Box::new(move || file.load()),
            };
            let path = source.path.clone();
            let handed = supervisor::listeners()?;
            super::serve(async |shutdown| {
                let listeners = fieldpost::edge::listen(&config, handed).await?;
                let (source, gauges) = (Some(source), Gauges::default());
                fieldpost::edge::run_reloading(config, source, gauges, listeners, shutdown).await
            })
            .with_context(|| format!("the edge cannot run with {}", path.display()))?;
            Ok(true)
        }
        Command::CheckConfig(arguments) => check_config(&arguments).map(|()| true),
        Command::Doctor(arguments) => super::block_on(doctor::run(arguments)),
        Command::Install(arguments) => install::install(&arguments).map(|()| true),
        Command::Uninstall(arguments) => {
            super::block_on(async { install::uninstall(&arguments).await }).map(|()| true)
        }
        Command::Env(arguments) => env::run(&arguments).map(|()| true),
        Command::Redact(arguments) => redact::run(&arguments).map(|()| true),
    }
}

impl ConfigFile {
    fn path(&self) -> PathBuf {
        self.config
            .clone()
            .unwrap_or_else(|| default_file(&super::variable))
    }

    fn load(&self) -> Result<Config, Mistakes> {
        Config::parse(&self.read()?, &super::variable).map_err(|mistakes| self.told_of(mistakes))
    }

    fn told_of(&self, mistakes: Mistakes) -> Mistakes {
        mistakes.in_file(
            &self.path(),
            "`fieldpost edge install` writes it, --config names another, and variables such as \
             FIELDPOST_UPSTREAM_ENDPOINT stand in for its keys",
        )
    }

    fn read(&self) -> Result<String, Mistakes> {
        read_file(&self.path(), self.config.is_some())
    }

    /// Every mistake in the configuration and in the files of rules that it names: file, line, words.
    fn mistakes(&self) -> Vec<(PathBuf, Option<usize>, String)> {
        let here = |mistakes: Mistakes| {
            let of_file = mistakes.list().iter();
            let told = of_file.map(|it| (self.path(), it.line, it.message.clone()));
            told.collect::<Vec<_>>()
        };
        let text = match self.read() {
            Ok(text) => text,
            Err(mistakes) => return here(mistakes),
        };
        let mut all = match Config::parse(&text, &super::variable) {
            Ok(_) => Vec::new(),
            Err(mistakes) => here(self.told_of(mistakes)),
        };
        if let Ok(config) = RedactConfig::parse(&text, &super::variable) {
            let refusals = config.mistakes_in_rules().into_iter();
            all.extend(refusals.map(|refusal| {
                let file = refusal.file.unwrap_or_else(|| self.path());
                (file, refusal.line, refusal.reason)
            }));
        }
        all
    }
}

fn check_config(arguments: &CheckConfig) -> anyhow::Result<()> {
    let path = arguments.file.path();
    let mistakes = arguments.file.mistakes();
    if arguments.json {
        let list: Vec<_> = mistakes
            .iter()
            .map(|(file, line, message)| json!({ "file": file, "line": line, "message": message }))
            .collect();
        println!(
            "{}",
            json!({ "file": path, "ok": list.is_empty(), "mistakes": list })
        );
    } else if mistakes.is_empty() {
        println!("{}: good", path.display());
    } else {
        for (file, line, message) in &mistakes {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            println!("{}{line}: {message}", file.display());
        }
    }
    anyhow::ensure!(
        mistakes.is_empty(),
        "the configuration has {} mistakes",
        mistakes.len()
    );
    Ok(())
}
