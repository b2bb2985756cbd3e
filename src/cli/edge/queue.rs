//! `fieldpost edge queue`

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::{Args, Subcommand};
use fieldpost::edge::control::client::{Client, ClientError, Segments};
use fieldpost::edge::queue::{IdleQueue, SegmentCheck, SegmentSummary};
use fieldpost::words;
use serde_json::json;

use super::socket::Socket;

#[derive(Subcommand)]
pub(in crate::cli) enum Command {
    /// List the segments of the queue, oldest first.
    Ls(Arguments),
    /// Read every entry of the queue, and check it against its checksum and its neighbors. Nothing
    /// is changed. Works while the edge runs, and while none does.
    Verify(Arguments),
}

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Where the queue is asked: at the edge that has it, or on disk.
enum Queue {
    Running(Client),
    Idle(IdleQueue),
}

pub(super) async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Ls(arguments) => list(&arguments).await,
        Command::Verify(arguments) => verify(&arguments).await,
    }
}

async fn list(arguments: &Arguments) -> anyhow::Result<bool> {
    let (_, segments) = open(&arguments.socket).await?;
    if arguments.json {
        println!("{}", serde_json::to_string(&segments)?);
        return Ok(true);
    }
    println!("{}", segments.directory.display());
    println!("first entry       entries   records       bytes  state             since");
    for segment in &segments.segments {
        let since = segment.oldest.map(|oldest| oldest.display());
        println!(
            "{:016x}  {:>7}  {:>8}  {:>10}  {:<16}  {}",
            segment.first,
            segment.end - segment.first,
            segment.records,
            words::bytes(i64::try_from(segment.bytes).unwrap_or(i64::MAX)),
            segment.state(),
            since.as_ref().map_or("-", |since| &since[..19]),
        );
    }
    for first in &segments.put_aside {
        println!("{first:016x}  damaged, and put aside as {first:016x}.bad");
    }
    Ok(true)
}

async fn verify(arguments: &Arguments) -> anyhow::Result<bool> {
    let (queue, segments) = open(&arguments.socket).await?;
    let all = segments.segments.len();
    let mut checks = Vec::new();
    for (done, segment) in segments.segments.iter().enumerate() {
        progress(&format!("{done} of {all} segments read"));
        if let Some(check) = queue.check(segment).await? {
            checks.push(check);
        }
    }
    progress("");
    let whole = checks.iter().all(SegmentCheck::is_whole);
    let entries: u64 = checks.iter().map(|check| check.entries).sum();
    let records: u64 = checks.iter().map(|check| check.records).sum();
    if arguments.json {
        let result = json!({
            "whole": whole,
            "entries": entries,
            "records": records,
            "segments": checks,
            "put_aside": segments.put_aside,
        });
        println!("{result}");
        return Ok(whole);
    }
    for check in checks.iter().filter(|check| !check.is_whole()) {
        for (first, end) in &check.damaged {
            println!(
                "{:016x}: {} damaged, from {first:x} on",
                check.first,
                words::plural((end - first) as usize, "entry is", "entries are"),
            );
        }
        if let Some(reason) = &check.unreadable {
            println!("{:016x}: cannot be opened: {reason}", check.first);
        }
    }
    println!(
        "{} with {} read: {}",
        words::plural(checks.len(), "segment", "segments"),
        words::plural(records as usize, "record", "records"),
        match whole {
            true => "all are whole",
            false => "the edge delivers what is readable, and counts the rest as damaged",
        }
    );
    Ok(whole)
}

/// The queue of the running edge, or the one on disk when none is running.
async fn open(socket: &Socket) -> anyhow::Result<(Queue, Segments)> {
    let client = socket.client()?;
    let missing = match client.get("/queue/segments").await {
        Ok(segments) => return Ok((Queue::Running(client), segments)),
        Err(error @ ClientError::NotRunning(_)) => error,
        Err(error) => return Err(error.into()),
    };
    let Some(directory) = socket.queue()? else {
        return Err(missing.into());
    };
    let opened = IdleQueue::open(&directory);
    let queue = opened.with_context(|| missing.to_string())?;
    let segments = Segments {
        directory,
        segments: queue.segments(),
        put_aside: queue.put_aside()?,
    };
    Ok((Queue::Idle(queue), segments))
}

impl Queue {
    /// Reads a segment; `None` when it was delivered meanwhile.
    async fn check(&self, segment: &SegmentSummary) -> anyhow::Result<Option<SegmentCheck>> {
        match self {
            Queue::Running(client) => {
                let path = format!("/queue/segments/{}/check", segment.first);
                Ok(client.post(&path).await?)
            }
            Queue::Idle(queue) => Ok(Some(queue.check(segment)?)),
        }
    }
}

/// One line that is written over and over, for a person who waits.
pub(super) fn progress(text: &str) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        // Nothing is lost when it is not seen.
        let _ = write!(stderr, "\r\x1b[K{text}");
        let _ = stderr.flush();
    }
}
