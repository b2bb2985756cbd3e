//! `fieldpost central export`: records, metrics and traces out as lines of OTLP/JSON.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use blake3::Hash;
use clap::Args;
use fieldpost::central::store::{Scope, SignalPlace, Store};
use fieldpost::event::Timestamp;
use fieldpost::otlp::decode::decode;
use fieldpost::otlp::route::Target;
use fieldpost::otlp::{Encoding, ExportLogsServiceRequest, Request, Signal};
use serde::Serialize;

use super::{Place, print};

#[derive(Args)]
pub(in crate::cli) struct Export {
    /// File to write; standard output when none is named.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only this: logs, metrics or traces; can be given more than once [default: all of them].
    #[arg(long = "signal", value_name = "SIGNAL", value_parser = signal)]
    signals: Vec<Signal>,
    #[command(flatten)]
    place: Place,
}

/// What was exported.
#[derive(Default, Serialize)]
struct Exported {
    /// Log records.
    records: u64,
    /// Messages of metrics.
    metrics: u64,
    /// Messages of spans.
    traces: u64,
    /// Messages that hold what OTLP/JSON cannot say: numbers that are not finite.
    inexact: u64,
}

/// Writes everything of an environment, a record or a message of metrics or spans a line: records by their
/// arrival, the rest by time.
pub(super) async fn export(export: Export) -> anyhow::Result<()> {
    let (central, environment) = export.place.open().await?;
    let (store, scope) = (&central.store, environment.scope);
    let file: Box<dyn Write> = match &export.output {
        None => Box::new(std::io::stdout().lock()),
        Some(file) => {
            let created = std::fs::File::create_new(file);
            Box::new(created.with_context(|| format!("cannot make {}", file.display()))?)
        }
    };
    let mut output = BufWriter::new(file);
    let mut exported = Exported::default();
    let is_wanted = |signal| export.signals.is_empty() || export.signals.contains(&signal);
    for signal in Signal::ALL.into_iter().filter(|signal| is_wanted(*signal)) {
        match signal {
            Signal::Logs => export_logs(store, scope, &mut output, &mut exported).await?,
            _ => export_signal(store, scope, signal, &mut output, &mut exported).await?,
        }
    }
    output.flush()?;
    if exported.inexact > 0 {
        eprintln!(
            "of {} messages of metrics or spans, the file lacks numbers that are not finite: OTLP/JSON has \
             no way to say them",
            exported.inexact
        );
    }
    if export.output.is_some() {
        print(export.place.list.json, &exported, |exported| {
            format!(
                "{} records, {} messages of metrics, {} of spans",
                exported.records, exported.metrics, exported.traces
            )
        });
    }
    Ok(())
}

async fn export_logs(
    store: &Store,
    scope: Scope,
    output: &mut impl Write,
    exported: &mut Exported,
) -> anyhow::Result<()> {
    let mut next = 0;
    loop {
        let some = store.export(scope, next).await?;
        if some.records.is_empty() {
            return Ok(());
        }
        next = some.next;
        for record in some.records {
            let request = ExportLogsServiceRequest {
                resource_logs: vec![record],
            };
            serde_json::to_writer(&mut *output, &request)?;
            output.write_all(b"\n")?;
            exported.records += 1;
        }
    }
}

async fn export_signal(
    store: &Store,
    scope: Scope,
    signal: Signal,
    output: &mut impl Write,
    exported: &mut Exported,
) -> anyhow::Result<()> {
    let mut place = SignalPlace::default();
    let mut twins = Twins::default();
    loop {
        let some = store.export_signals(scope, signal, place).await?;
        if some.requests.is_empty() {
            return Ok(());
        }
        place = some.next;
        for (time, request) in some.requests {
            let request = twins.beside(time, request);
            let line = match &request {
                Request::Logs(request) => serde_json::to_vec(request)?,
                Request::Metrics(request) => serde_json::to_vec(request)?,
                Request::Traces(request) => serde_json::to_vec(request)?,
            };
            let read = decode(Target::Signal(signal), Encoding::Json, &line);
            exported.inexact += u64::from(!read.is_ok_and(|read| read.request == request));
            output.write_all(&line)?;
            output.write_all(b"\n")?;
            match signal {
                Signal::Metrics => exported.metrics += 1,
                _ => exported.traces += 1,
            }
        }
    }
}

/// Tells messages apart that are the same to the byte. They have no identity of their own, and are known by their
/// place among identical ones of one request: so each is written with those before it, in one line.
#[derive(Default)]
struct Twins {
    time: Option<Timestamp>,
    /// How many of each message of this time there have been.
    seen: HashMap<Hash, usize>,
}

impl Twins {
    /// A request of one message, with as many more of it as came before.
    fn beside(&mut self, time: Timestamp, mut request: Request) -> Request {
        if self.time != Some(time) {
            self.time = Some(time);
            self.seen.clear();
        }
        let seen = self.seen.entry(blake3::hash(&request.encode()));
        let copies = seen.and_modify(|seen| *seen += 1).or_insert(1);
        match &mut request {
            Request::Logs(request) => repeat(&mut request.resource_logs, *copies),
            Request::Metrics(request) => repeat(&mut request.resource_metrics, *copies),
            Request::Traces(request) => repeat(&mut request.resource_spans, *copies),
        }
        request
    }
}

/// Makes one message so many.
fn repeat<M: Clone>(messages: &mut Vec<M>, copies: usize) {
    if let Some(message) = messages.first().cloned() {
        messages.resize(copies, message);
    }
}

/// A signal by its word.
fn signal(word: &str) -> Result<Signal, &'static str> {
    let mut all = Signal::ALL.into_iter();
    all.find(|signal| signal.word() == word)
        .ok_or("expected logs, metrics or traces")
}
