//! `fieldpost edge flush`

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fieldpost::config::parse_duration;
use fieldpost::edge::control::client::{Client, Flush};
use fieldpost::edge::status::Status;
use serde_json::json;
use tokio::time::Instant;

use super::queue::progress;
use super::socket::Socket;

/// Time between two looks at the queue.
const INTERVAL: Duration = Duration::from_millis(200);

/// Time after which the upstream is tried once more.
const TRY_AGAIN: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// How long to wait, such as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    timeout: Duration,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a time such as 30s, 5m or 1h".to_owned())
}

/// Says whether everything that waited is settled.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let client = arguments.socket.client()?;
    let (is_over, status) = drain(&client, arguments.timeout).await?;
    report(&arguments, &status, is_over)
}

/// Has the upstream tried at once, and waits until all that waited is settled, or for `timeout`.
pub(super) async fn drain(client: &Client, timeout: Duration) -> anyhow::Result<(bool, Status)> {
    let deadline = Instant::now() + timeout;
    let flush: Flush = client.post("/flush").await?;
    let mut tried = Instant::now();
    loop {
        let status: Status = client.get("/status").await?;
        let is_over = status.queue.next_entry >= flush.until;
        if is_over || Instant::now() >= deadline {
            progress("");
            return Ok((is_over, status));
        }
        let trouble = status.problems.first().map_or("", String::as_str);
        progress(&format!("{} {trouble}", status.waiting()));
        tokio::time::sleep(INTERVAL).await;
        if tried.elapsed() >= TRY_AGAIN {
            let _: Flush = client.post("/flush").await?;
            tried = Instant::now();
        }
    }
}

fn report(arguments: &Arguments, status: &Status, is_over: bool) -> anyhow::Result<bool> {
    if arguments.json {
        let result = json!({
            "flushed": is_over,
            "records": status.queue.records,
            "problems": status.problems,
        });
        println!("{result}");
        return Ok(is_over);
    }
    if is_over {
        println!("everything that waited is delivered, or parked");
        return Ok(true);
    }
    let reason = status.problems.first().cloned();
    let reason = reason.unwrap_or_else(|| format!("it is under way; {}", status.waiting()));
    Err(anyhow::anyhow!(reason)).context("not everything was delivered in time")
}
