//! `fieldpost edge tail`

use std::io::{self, ErrorKind, Write};

use clap::Args;
use fieldpost::words;
use serde_json::Value;

use super::socket::Socket;

/// Attributes that stand elsewhere in a line, or say nothing to a person.
const LEFT_OUT: [&str; 7] = [
    "event.name",
    "event.timestamp",
    "event.sequence",
    "session.id",
    "user.id",
    "user.email",
    "log.record.uid",
];

/// Longest value in a line for people, in characters.
const VALUE_MAX: usize = 80;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Only records of this event, such as user_prompt or tool_result.
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// End after so many records.
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Print each record as one JSON object on a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Prints records until an interrupt, or until the edge stops.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let path = match &arguments.event {
        Some(event) => format!("/tail?event={}", escaped(event)),
        None => "/tail".to_owned(),
    };
    let mut lines = arguments.socket.client()?.lines(&path).await?;
    eprintln!("watching what clients send; Ctrl-C ends");
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        let line = tokio::select! {
            line = lines.next() => line?,
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted.map(|()| true)?),
        };
        let Some(line) = line else {
            eprintln!("the edge has stopped");
            return Ok(true);
        };
        let record: Value = serde_json::from_str(&line)?;
        let skipped = record["skipped"].as_u64();
        left -= u64::from(skipped.is_none());
        let text = match (arguments.json, skipped) {
            (true, _) => line,
            (false, Some(records)) => {
                format!("… {records} records came faster than they were read, and are not shown")
            }
            (false, None) => text(&record),
        };
        // Whoever reads may have seen enough.
        match writeln!(io::stdout(), "{text}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(true),
            written => written?,
        }
    }
    Ok(true)
}

/// `14:03:07 user_prompt ada@example.com 5f0c… prompt="…"`
fn text(record: &Value) -> String {
    let word = |key: &str| record[key].as_str().unwrap_or("-");
    let time = word("time");
    let clock = time.get(11..19).unwrap_or(time);
    let session = word("session");
    let session = session.get(..8).unwrap_or(session);
    let mut text = format!(
        "{clock} {} {} {session}",
        visible(word("event")),
        visible(word("user"))
    );
    if let Some(attributes) = record["attributes"].as_object() {
        for (key, value) in attributes {
            if !LEFT_OUT.contains(&key.as_str()) {
                text.push_str(&format!(" {key}={}", visible(&value.to_string())));
            }
        }
    }
    text
}

/// For a terminal, and not too long.
fn visible(value: &str) -> String {
    let mut text: String = words::printable(value).chars().take(VALUE_MAX).collect();
    if value.chars().nth(VALUE_MAX).is_some() {
        text.push('…');
    }
    text
}

/// As part of an address.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
