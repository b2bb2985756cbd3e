//! `fieldpost edge doctor`

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use fieldpost::edge::config::default_file;
use fieldpost::edge::doctor::{CHECKS, Options, Report, Verdict, World, examine};
use serde_json::json;

/// Changes when a field changes its meaning.
const SCHEMA: u32 = 1;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Print one JSON object.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print for a fleet's tool: jamf, as the value of an extension attribute.
    #[arg(long, value_name = "NAME")]
    format: Option<Format>,
    /// Make only this check, such as E05. Can be given several times.
    #[arg(long, value_name = "ID", value_parser = id)]
    only: Vec<String>,
    /// Send nothing to the upstream.
    #[arg(long)]
    no_network: bool,
    /// Repair what needs nothing but the edge's own files and units: modes and owners, the form of the
    /// token's file, units that do not run. What was done is said, and the check is made once more.
    #[arg(long)]
    fix: bool,
    /// End with 1 for a warning, too.
    #[arg(long)]
    strict: bool,
    /// Look at another root than /, such as an image's.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
    /// Configuration file of the edge [default: /etc/fieldpost/edge.toml, below the root].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Jamf,
}

fn id(text: &str) -> Result<String, String> {
    let mut ids = CHECKS.iter().map(|check| check.id);
    match ids.any(|id| id.eq_ignore_ascii_case(text)) {
        true => Ok(text.to_owned()),
        false => Err("there is no such check; without --only all are listed".to_owned()),
    }
}

/// Makes the checks; false when one failed.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let file = default_file(&crate::cli::variable);
    let below_root = || match arguments.root.parent() {
        None => file.clone(),
        Some(_) => arguments.root.join(file.strip_prefix("/").unwrap_or(&file)),
    };
    let options = Options {
        config: arguments.config.clone().unwrap_or_else(below_root),
        root: arguments.root,
        only: arguments.only,
        network: !arguments.no_network,
        fix: arguments.fix,
    };
    let is_for_people = !arguments.json && arguments.format.is_none();
    let world = Arc::new(World::new(options, Arc::new(crate::cli::variable)));
    let reports = examine(&world, |report| {
        if is_for_people {
            print(report);
        }
    })
    .await;
    let failed: Vec<&Report> = of(&reports, Verdict::Fail);
    let has_warned = !of(&reports, Verdict::Warn).is_empty();
    let is_well = failed.is_empty() && !(arguments.strict && has_warned);
    match arguments.format {
        Some(Format::Jamf) => println!("<result>{}</result>", in_a_word(&failed)),
        None if arguments.json => {
            let result = json!({ "schema": SCHEMA, "well": is_well, "checks": reports });
            println!("{result}");
        }
        None => print_end(&failed),
    }
    Ok(is_well)
}

fn of(reports: &[Report], verdict: Verdict) -> Vec<&Report> {
    let reports = reports.iter();
    reports.filter(|report| report.status == verdict).collect()
}

fn in_a_word(failed: &[&Report]) -> String {
    match failed.is_empty() {
        true => "ok".to_owned(),
        false => {
            let ids: Vec<&str> = failed.iter().map(|report| report.id).collect();
            format!("FAIL {}", ids.join(" "))
        }
    }
}

fn print(report: &Report) {
    let Report {
        id,
        summary,
        detail,
        fix,
        repaired,
        ..
    } = report;
    let word = match report.status {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
        Verdict::Skip => "skip",
    };
    for step in repaired {
        println!("       {id} did: {step}");
    }
    println!("[{word:<4}] {id} {summary}: {detail}");
    if let Some(fix) = fix {
        println!("       fix: {fix}");
    }
    // Whoever watches sees each check as it is made.
    if io::stdout().is_terminal() {
        let _ = io::stdout().flush();
    }
}

fn print_end(failed: &[&Report]) {
    if failed.is_empty() {
        println!("\nno check failed");
        return;
    }
    println!("\nfailed:");
    for report in failed {
        print(report);
    }
}
