//! `fieldpost dev`

use std::path::PathBuf;

use clap::Args;
use fieldpost::dev::{Addresses, Options};

#[derive(Args)]
pub(super) struct Arguments {
    /// Replay captured sessions of a real Claude Code, so that every page has something to show.
    #[arg(long)]
    sample: bool,
    /// Print one JSON object on one line when everything is ready.
    #[arg(long)]
    json: bool,
    /// Port of the local OTLP endpoint; 0 picks a free one.
    #[arg(long, value_name = "N", default_value_t = 4318)]
    edge_port: u16,
    /// Port of the portal and API; 0 picks a free one.
    #[arg(long, value_name = "N", default_value_t = 4380)]
    central_port: u16,
    /// Where everything is kept; a second start goes on with it
    /// [default: fieldpost/dev in $XDG_STATE_HOME or ~/.local/state].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let options = Options {
        edge_port: arguments.edge_port,
        central_port: arguments.central_port,
        data: arguments.data.unwrap_or_else(default_data),
        sample: arguments.sample,
    };
    super::serve(async |shutdown| {
        fieldpost::dev::run(options, shutdown, |addresses| match arguments.json {
            true => print_json(addresses),
            false => print_text(addresses),
        })
        .await
    })
}

fn default_data() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    state.unwrap_or_default().join("fieldpost/dev")
}

fn print_json(addresses: &Addresses) {
    let json = serde_json::to_string(addresses).expect("addresses are strings");
    println!("{json}");
}

fn print_text(addresses: &Addresses) {
    println!("\nfieldpost is ready.\n");
    println!(
        "  Portal         {}\n                 (the link signs you in, once, within an hour)",
        addresses.portal
    );
    println!("  OTLP endpoint  {}", addresses.otlp);
    println!(
        "  API            {}  (key: {})",
        addresses.api, addresses.api_key
    );
    println!("\nPaste this into the shell that you start Claude from:\n");
    for line in addresses.exports().lines() {
        println!("  {line}");
    }
    println!("\nCtrl-C stops it; nothing is lost, and the next start goes on from here.");
}
