//! `fieldpost edge status`

use std::collections::BTreeMap;

use clap::Args;
use fieldpost::edge::status::{State, Status, Upstream, lost_because};
use fieldpost::words;

use super::socket::Socket;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    socket: Socket,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints how the edge is; false when something is wrong.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let status: Status = arguments.socket.client()?.get("/status").await?;
    match arguments.json {
        true => println!("{}", serde_json::to_string(&status)?),
        false => print!("{}", text(&status)),
    }
    Ok(status.well)
}

fn text(status: &Status) -> String {
    let mut text = match status.problems.as_slice() {
        [] => "all well\n".to_owned(),
        [problem] => format!("not well: {problem}\n"),
        problems => {
            let lines = problems.iter().map(|problem| format!("  - {problem}\n"));
            format!("not well:\n{}", lines.collect::<String>())
        }
    };
    text.push('\n');
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<14}{value}\n"));
    let up = status.age(status.started);
    line(
        "edge",
        format!("{}, {}, up {up}", status.version, status.edge_id),
    );
    let listening: Vec<String> = status.listening.iter().map(ToString::to_string).collect();
    line("listening", listening.join(", "));
    line("upstream", status.upstream.endpoint.clone());
    line("", upstream_state(status));
    line("token", token(status));
    line("queue", queue(status));
    line("parked", parked(status));
    line("lost", by(&status.lost, lost_because));
    line(
        "received",
        by(&status.stored, |signal| signal) + " since the start",
    );
    if !status.discarded.is_empty() {
        let discarded = by(&status.discarded, |signal| signal);
        line("discarded", discarded + ", as upstream.signals says");
    }
    if !status.dropped_foreign.is_empty() {
        let dropped = by(&status.dropped_foreign, |signal| signal);
        line("not Claude's", dropped + ", dropped as listen.foreign says");
    }
    line("refused", by(&status.refused, |reason| reason));
    if !status.over_quota.is_empty() {
        line("over quota", by(&status.over_quota, |account| account));
    }
    line("redacted", by(&status.redacted, |rule| rule));
    line("configuration", configuration(status));
    for check in &status.checks {
        let fix = check.fix.as_deref().unwrap_or_default();
        line("check", format!("{check}; {fix}"));
    }
    text
}

fn upstream_state(status: &Status) -> String {
    let Upstream {
        state,
        last_delivery,
        in_flight,
        extras,
        ..
    } = status.upstream;
    let state = match state {
        State::NotTried => "nothing sent yet",
        State::Delivering => "takes records",
        State::Retrying => "takes no records",
        State::Holding => "waits for another token",
    };
    let last = last_delivery.map_or("nothing delivered yet".to_owned(), |last| {
        format!("last delivery {}", words::ago(last, status.now))
    });
    let plain = match extras {
        true => "",
        false => "; plain OTLP, without heartbeats and numbers",
    };
    format!("{state}; {last}; {in_flight} requests under way{plain}")
}

fn token(status: &Status) -> String {
    match (status.upstream.has_token, status.upstream.token_expires) {
        (false, _) => "none is configured, none is sent".to_owned(),
        (true, None) => "configured".to_owned(),
        (true, Some(expires)) => format!("expires {} UTC", &expires.display()[..16]),
    }
}

fn queue(status: &Status) -> String {
    let queue = &status.queue;
    let bytes = words::bytes(i64::try_from(queue.bytes).unwrap_or(i64::MAX));
    let damaged = match queue.damaged {
        0 => String::new(),
        damaged => format!(
            "; {} found since the start",
            words::plural(damaged as usize, "damaged entry", "damaged entries")
        ),
    };
    format!(
        "{} ({bytes}); last number {}{damaged}",
        status.waiting(),
        words::count(i64::try_from(queue.last_seq).unwrap_or(i64::MAX)),
    )
}

fn parked(status: &Status) -> String {
    match status.parked {
        None => "cannot be read".to_owned(),
        Some(parked) if parked.items == 0 => "none".to_owned(),
        Some(parked) => format!(
            "{} in {}",
            words::plural(parked.records as usize, "record", "records"),
            words::plural(parked.items as usize, "request", "requests")
        ),
    }
}

fn configuration(status: &Status) -> String {
    let configuration = &status.configuration;
    let file = configuration.file.as_ref();
    let file = file.map_or("no file".to_owned(), |file| file.display().to_string());
    let since = status.clock(configuration.in_force_since);
    let waits = match configuration.waits_for_restart.join(", ") {
        keys if keys.is_empty() => keys,
        keys => format!("; at the next start: {keys}"),
    };
    format!("{file}, in force since {since}{waits}")
}

/// `12 logs, 3 traces`
fn by(counts: &BTreeMap<String, u64>, word: impl Fn(&str) -> &str) -> String {
    let of = |(key, count): (&String, &u64)| {
        let count = words::count(i64::try_from(*count).unwrap_or(i64::MAX));
        format!("{count} {}", word(key))
    };
    match counts.is_empty() {
        true => "none".to_owned(),
        false => counts.iter().map(of).collect::<Vec<_>>().join(", "),
    }
}
