//! `fieldpost central import`: what was exported, from its file into any OTLP endpoint.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use blake3::Hash;
use clap::Args;
use fieldpost::http::client;
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::decode::decode;
use fieldpost::otlp::reply::{PartialSuccess, read_partial_success};
use fieldpost::otlp::route::{Target, sibling_endpoint};
use fieldpost::otlp::{Encoding, Request, Signal};
use fieldpost::{secret, words};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use reqwest::StatusCode;
use serde::Serialize;

use super::print;

/// Lines in one request.
const BATCH: usize = 500;

/// Bytes of records in one request, before they are compressed: far below what endpoints take.
const BATCH_BYTES: usize = 8 << 20;

/// How often a request is sent that the endpoint cannot take right now, a second apart.
const ATTEMPTS: usize = 120;

#[derive(Args)]
pub(in crate::cli) struct Import {
    /// File with one OTLP/JSON request a line, as `export` writes it; - reads standard input.
    file: PathBuf,
    /// Where the records go: the full URL of an OTLP endpoint for logs. Metrics and traces go beside it, to
    /// …/v1/metrics and …/v1/traces.
    #[arg(long, value_name = "URL")]
    to: String,
    /// File with the token for it, or with the whole Authorization header.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What became of what was sent.
#[derive(Clone, Copy, Default, Serialize)]
struct Imported {
    /// Log records that the endpoint took.
    records: u64,
    /// Points of metrics that it took.
    points: u64,
    /// Spans that it took.
    spans: u64,
    /// Of all of them, those that it rejected: it will not have them.
    rejected: u64,
}

/// Sends the lines of a file to an OTLP endpoint. What is there already is stored once.
pub(super) async fn import(import: Import) -> anyhow::Result<()> {
    let input: Box<dyn BufRead> = match import.file.as_os_str() == "-" {
        true => Box::new(std::io::stdin().lock()),
        false => {
            let file = std::fs::File::open(&import.file);
            let file = file.with_context(|| format!("cannot read {}", import.file.display()))?;
            Box::new(std::io::BufReader::new(file))
        }
    };
    let token = import
        .token_file
        .as_deref()
        .map(secret::read_file)
        .transpose()?;
    let endpoint = Endpoint {
        client: client::builder().timeout(Duration::from_secs(60)).build()?,
        logs_url: import.to,
        authorization: token.map(|token| match token.expose().split_once(' ') {
            Some(_) => token.expose().to_owned(),
            None => format!("Bearer {}", token.expose()),
        }),
    };
    let mut batch = Batch::default();
    let mut imported = Imported::default();
    for (number, line) in input.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let read = decode(Target::Sniff, Encoding::Json, line.as_bytes())
            .with_context(|| format!("line {} is no OTLP/JSON request", number + 1))?;
        if read.rejected > 0 {
            eprintln!(
                "{} of line {} cannot be read",
                words::plural(read.rejected, "record", "records"),
                number + 1
            );
            imported.rejected += read.rejected as u64;
        }
        let line = Line::new(read.request);
        if !batch.has_room(&line) {
            endpoint.send(batch.take(), &mut imported).await?;
            if !import.json {
                eprintln!("{} sent", imported.told());
            }
        }
        batch.push(line);
    }
    endpoint.send(batch.take(), &mut imported).await?;
    print(import.json, &imported, Imported::told);
    anyhow::ensure!(
        imported.rejected == 0,
        "{} rejected {}; the lines above say why",
        endpoint.logs_url,
        words::plural(
            usize::try_from(imported.rejected).unwrap_or(usize::MAX),
            "record",
            "records"
        )
    );
    Ok(())
}

impl Imported {
    fn told(&self) -> String {
        format!(
            "{} records, {} points, {} spans",
            self.records, self.points, self.spans
        )
    }

    fn count(&mut self, signal: Signal, taken: u64, rejected: u64) {
        self.rejected += rejected;
        match signal {
            Signal::Logs => self.records += taken,
            Signal::Metrics => self.points += taken,
            Signal::Traces => self.spans += taken,
        }
    }
}

/// A line of the file.
struct Line {
    request: Request,
    /// Length of its protobuf message.
    bytes: usize,
    /// The messages in it that have no identity of their own.
    messages: HashSet<Hash>,
}

impl Line {
    fn new(request: Request) -> Line {
        let messages = match request.signal() {
            Signal::Logs => HashSet::new(),
            _ => {
                let messages = request.clone().into_messages().into_iter();
                messages
                    .map(|message| blake3::hash(&message.encode()))
                    .collect()
            }
        };
        Line {
            bytes: request.encode().len(),
            messages,
            request,
        }
    }
}

/// Lines of one signal that are sent together.
#[derive(Default)]
struct Batch {
    lines: Vec<Request>,
    bytes: usize,
    /// The messages of metrics or spans in it. One that comes in two lines is known by its place in each, so
    /// these do not go into one request.
    messages: HashSet<Hash>,
}

impl Batch {
    fn has_room(&self, line: &Line) -> bool {
        let Some(first) = self.lines.first() else {
            return true;
        };
        first.signal() == line.request.signal()
            && self.lines.len() < BATCH
            && self.bytes + line.bytes <= BATCH_BYTES
            && line.messages.is_disjoint(&self.messages)
    }

    fn push(&mut self, line: Line) {
        self.bytes += line.bytes;
        self.messages.extend(line.messages);
        self.lines.push(line.request);
    }

    /// The lines, which leaves the batch empty.
    fn take(&mut self) -> Vec<Request> {
        std::mem::take(self).lines
    }
}

struct Endpoint {
    client: reqwest::Client,
    logs_url: String,
    authorization: Option<String>,
}

/// What an endpoint answered for good.
enum Answer {
    Taken(PartialSuccess),
    TooLarge(String),
}

impl Endpoint {
    /// Sends lines until they are taken: in halves where they are too many for one request. A record that is
    /// too large by itself is rejected, as those are that the endpoint names.
    async fn send(&self, lines: Vec<Request>, imported: &mut Imported) -> anyhow::Result<()> {
        let mut pieces = vec![lines];
        while let Some(mut lines) = pieces.pop() {
            let records = lines.iter().map(count).sum();
            let Some(signal) = lines.first().map(Request::signal) else {
                continue;
            };
            match self.post(signal, &lines).await? {
                Answer::Taken(partial) => {
                    let rejected = u64::try_from(partial.rejected).unwrap_or(0).min(records);
                    imported.count(signal, records - rejected, rejected);
                    if rejected > 0 {
                        eprintln!("{rejected} rejected: {}", partial.message);
                    }
                }
                Answer::TooLarge(message) => {
                    if lines.len() == 1 {
                        let line = lines.pop().expect("there is one");
                        lines = line.into_messages();
                    }
                    if lines.len() == 1 {
                        imported.count(signal, 0, records);
                        eprintln!("{records} rejected, too large for one request: {message}");
                        continue;
                    }
                    let rest = lines.split_off(lines.len() / 2);
                    pieces.extend([rest, lines]);
                }
            }
        }
        Ok(())
    }

    /// Sends one request until there is an answer that another attempt would not better.
    async fn post(&self, signal: Signal, lines: &[Request]) -> anyhow::Result<Answer> {
        let url = sibling_endpoint(&self.logs_url, signal);
        // Requests of one signal, one after another, are one.
        let body: Vec<u8> = lines.iter().flat_map(Request::encode).collect();
        let body = Coding::Zstd.compress(&body)?;
        for _ in 0..ATTEMPTS {
            let mut request = self
                .client
                .post(&url)
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "zstd")
                .body(body.clone());
            if let Some(authorization) = &self.authorization {
                request = request.header("authorization", authorization);
            }
            match request.send().await {
                Ok(answer) if answer.status().is_success() => {
                    let content_type = answer.headers().get("content-type");
                    let encoding = content_type
                        .and_then(|it| Encoding::of_content_type(it.to_str().ok()?))
                        .unwrap_or(Encoding::Protobuf);
                    let Ok(body) = answer.bytes().await else {
                        continue;
                    };
                    let partial = read_partial_success(signal, encoding, &body);
                    return Ok(Answer::Taken(partial.unwrap_or_default()));
                }
                Ok(answer) if answer.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                    return Ok(Answer::TooLarge(answer.text().await.unwrap_or_default()));
                }
                Ok(answer) if !is_passing(answer.status()) => {
                    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
                    anyhow::bail!("{url} answered {status}: {text}");
                }
                _ => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
        anyhow::bail!(
            "{url} did not take the records within {ATTEMPTS} attempts; run the import again: what is \
             there already is stored once"
        )
    }
}

/// Records, points or spans of a line, as an endpoint counts those that it rejects.
fn count(line: &Request) -> u64 {
    let Request::Metrics(request) = line else {
        return line.record_count() as u64;
    };
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|it| &it.scope_metrics);
    let points = scopes.flat_map(|scope| &scope.metrics).map(|metric| {
        metric.data.as_ref().map_or(0, |data| match data {
            Data::Gauge(it) => it.data_points.len(),
            Data::Sum(it) => it.data_points.len(),
            Data::Histogram(it) => it.data_points.len(),
            Data::ExponentialHistogram(it) => it.data_points.len(),
            Data::Summary(it) => it.data_points.len(),
        })
    });
    points.map(|points| points as u64).sum()
}

/// Whether another attempt may do better.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}
