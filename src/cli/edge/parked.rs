//! `fieldpost edge parked`

use std::io::{self, BufRead, IsTerminal};

use clap::{Args, Subcommand};
use fieldpost::edge::control::client::{Client, ParkedItem, ParkedItems, ParkedRecords};
use fieldpost::words;
use serde_json::{Value, json};

use super::socket::Socket;

#[derive(Subcommand)]
pub(in crate::cli) enum Command {
    /// List what is parked, oldest first, and why.
    List(Reading),
    /// Show a parked request with its records.
    Show(Show),
    /// Send parked requests again; their records are redacted once more, by the rules of today.
    Send(Which),
    /// Forget parked requests for good.
    Drop(Forget),
}

#[derive(Args)]
pub(in crate::cli) struct Reading {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Args)]
pub(in crate::cli) struct Show {
    /// Its number in the list.
    id: u64,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Args)]
pub(in crate::cli) struct Which {
    /// Their numbers in the list.
    #[arg(required_unless_present = "all")]
    ids: Vec<u64>,
    /// All that are parked now.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Args)]
pub(in crate::cli) struct Forget {
    #[command(flatten)]
    which: Which,
    /// Do not ask before all are forgotten.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::List(reading) => list(&reading).await?,
        Command::Show(show) => show_one(&show).await?,
        Command::Send(which) => {
            let client = which.reading.socket.client()?;
            let ids = which.ids(&client).await?;
            for id in &ids {
                let _: Value = client.post(&format!("/parked/{id}/send")).await?;
            }
            which.done("sent again", &ids);
        }
        Command::Drop(forget) => {
            let which = &forget.which;
            let client = which.reading.socket.client()?;
            let ids = which.ids(&client).await?;
            if which.all && !forget.yes && !ids.is_empty() {
                ask(ids.len())?;
            }
            for id in &ids {
                let _: Value = client.delete(&format!("/parked/{id}")).await?;
            }
            which.done("forgotten", &ids);
        }
    }
    Ok(true)
}

impl Which {
    async fn ids(&self, client: &Client) -> anyhow::Result<Vec<u64>> {
        if !self.all {
            return Ok(self.ids.clone());
        }
        let list: ParkedItems = client.get("/parked").await?;
        Ok(list.items.iter().map(|item| item.id).collect())
    }

    fn done(&self, what: &str, ids: &[u64]) {
        match self.reading.json {
            true => println!("{}", json!({ "done": what, "ids": ids })),
            false => println!(
                "{}: {what}",
                words::plural(ids.len(), "request", "requests")
            ),
        }
    }
}

/// Asks whether all shall go.
fn ask(requests: usize) -> anyhow::Result<()> {
    let requests = words::plural(requests, "request", "requests");
    anyhow::ensure!(
        io::stdin().is_terminal(),
        "{requests} would be forgotten for good; say so with --yes"
    );
    eprint!("Forget {requests} for good? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let is_yes = matches!(answer.trim(), "y" | "Y" | "yes");
    anyhow::ensure!(is_yes, "nothing was forgotten");
    Ok(())
}

async fn list(reading: &Reading) -> anyhow::Result<()> {
    let list: ParkedItems = reading.socket.client()?.get("/parked").await?;
    if reading.json {
        println!("{}", serde_json::to_string(&list)?);
        return Ok(());
    }
    if list.items.is_empty() {
        println!("nothing is parked");
    }
    for item in &list.items {
        let ParkedItem {
            id,
            parked_at,
            reason,
            signal,
            records,
            ..
        } = item;
        let (time, reason) = (parked_at.display(), words::printable(reason));
        println!("{id:>6}  {} UTC  {records} {signal}  {reason}", &time[..19]);
    }
    if list.dropped_records > 0 {
        let records = words::plural(list.dropped_records as usize, "record", "records");
        println!("{records} had to go to make room, since the queue was made");
    }
    Ok(())
}

async fn show_one(show: &Show) -> anyhow::Result<()> {
    let path = format!("/parked/{}", show.id);
    let parked: ParkedRecords = show.reading.socket.client()?.get(&path).await?;
    if show.reading.json {
        println!("{}", serde_json::to_string(&parked)?);
        return Ok(());
    }
    println!("{}", words::printable(&parked.reason));
    for record in &parked.records {
        for line in serde_json::to_string_pretty(record)?.lines() {
            println!("{}", words::printable(line));
        }
    }
    Ok(())
}
