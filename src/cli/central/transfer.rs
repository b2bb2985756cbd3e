//! `fieldpost central export` and `import`: records out as lines of OTLP/JSON, and from there into any
//! OTLP endpoint.

use std::io::{BufRead, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fieldpost::http::client;
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::reply::{PartialSuccess, read_partial_success};
use fieldpost::otlp::{Encoding, ExportLogsServiceRequest, Signal};
use fieldpost::{secret, words};
use prost::Message;
use reqwest::StatusCode;
use serde::Serialize;

use super::{Place, print};

/// Records in one request.
const BATCH: usize = 500;

/// Bytes of records in one request, before they are compressed: far below what endpoints take.
const BATCH_BYTES: usize = 8 << 20;

/// How often a request is sent that the endpoint cannot take right now, a second apart.
const ATTEMPTS: usize = 120;

#[derive(Args)]
pub(in crate::cli) struct Export {
    /// File to write; standard output when none is named.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(in crate::cli) struct Import {
    /// File with one OTLP/JSON request a line, as `export` writes it; - reads standard input.
    file: PathBuf,
    /// Where the records go: the full URL of an OTLP endpoint for logs.
    #[arg(long, value_name = "URL")]
    to: String,
    /// File with the token for it, or with the whole Authorization header.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was exported.
#[derive(Serialize)]
struct Exported {
    records: u64,
}

/// What became of the records that were sent.
#[derive(Clone, Copy, Default, Serialize)]
struct Imported {
    /// Those that the endpoint took.
    records: u64,
    /// Those that it rejected: it will not have them.
    rejected: u64,
}

/// Writes every record of an environment, oldest arrival first, one a line.
pub(super) async fn export(export: Export) -> anyhow::Result<()> {
    let (central, environment) = export.place.open().await?;
    let output: Box<dyn Write> = match &export.output {
        None => Box::new(std::io::stdout().lock()),
        Some(file) => {
            let created = std::fs::File::create_new(file);
            Box::new(created.with_context(|| format!("cannot make {}", file.display()))?)
        }
    };
    let mut output = BufWriter::new(output);
    let mut records = 0_u64;
    let mut next = 0;
    loop {
        let exported = central.store.export(environment.scope, next).await?;
        if exported.records.is_empty() {
            break;
        }
        next = exported.next;
        for record in exported.records {
            let request = ExportLogsServiceRequest {
                resource_logs: vec![record],
            };
            serde_json::to_writer(&mut output, &request)?;
            output.write_all(b"\n")?;
            records += 1;
        }
    }
    output.flush()?;
    if export.output.is_some() {
        print(export.place.list.json, &Exported { records }, |exported| {
            format!("{} records", exported.records)
        });
    }
    Ok(())
}

/// Sends the records of a file to an OTLP endpoint. What is there already is stored once.
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
        url: import.to,
        authorization: token.map(|token| match token.expose().split_once(' ') {
            Some(_) => token.expose().to_owned(),
            None => format!("Bearer {}", token.expose()),
        }),
    };
    let mut batch = ExportLogsServiceRequest::default();
    let mut bytes = 0;
    let mut imported = Imported::default();
    for (number, line) in input.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let request: ExportLogsServiceRequest = serde_json::from_str(&line)
            .with_context(|| format!("line {} is no OTLP/JSON request", number + 1))?;
        let more = request.encoded_len();
        if batch.resource_logs.len() >= BATCH || (bytes > 0 && bytes + more > BATCH_BYTES) {
            endpoint
                .send(std::mem::take(&mut batch), &mut imported)
                .await?;
            bytes = 0;
            if !import.json {
                eprintln!("{} records sent", imported.records);
            }
        }
        batch.resource_logs.extend(request.resource_logs);
        bytes += more;
    }
    endpoint.send(batch, &mut imported).await?;
    print(import.json, &imported, |imported| {
        format!("{} records", imported.records)
    });
    anyhow::ensure!(
        imported.rejected == 0,
        "{} rejected {}; the lines above say why",
        endpoint.url,
        words::plural(
            usize::try_from(imported.rejected).unwrap_or(usize::MAX),
            "record",
            "records"
        )
    );
    Ok(())
}

struct Endpoint {
    client: reqwest::Client,
    url: String,
    authorization: Option<String>,
}

/// What an endpoint answered for good.
enum Answer {
    Taken(PartialSuccess),
    TooLarge(String),
}

impl Endpoint {
    /// Sends records until they are taken: in halves where they are too many for one request. A record that is
    /// too large by itself is rejected, as those are that the endpoint names.
    async fn send(
        &self,
        logs: ExportLogsServiceRequest,
        imported: &mut Imported,
    ) -> anyhow::Result<()> {
        let mut pieces = vec![logs];
        while let Some(mut logs) = pieces.pop() {
            let records = count(&logs);
            if records == 0 {
                continue;
            }
            match self.post(&logs).await? {
                Answer::Taken(partial) => {
                    let rejected = u64::try_from(partial.rejected).unwrap_or(0).min(records);
                    imported.records += records - rejected;
                    imported.rejected += rejected;
                    if rejected > 0 {
                        eprintln!("{rejected} rejected: {}", partial.message);
                    }
                }
                Answer::TooLarge(_) if logs.resource_logs.len() > 1 => {
                    let rest = logs.resource_logs.split_off(logs.resource_logs.len() / 2);
                    pieces.push(ExportLogsServiceRequest {
                        resource_logs: rest,
                    });
                    pieces.push(logs);
                }
                Answer::TooLarge(message) => {
                    imported.rejected += records;
                    eprintln!("{records} rejected, too large for one request: {message}");
                }
            }
        }
        Ok(())
    }

    /// Sends one request until there is an answer that another attempt would not better.
    async fn post(&self, logs: &ExportLogsServiceRequest) -> anyhow::Result<Answer> {
        let body = Coding::Zstd.compress(&logs.encode_to_vec())?;
        for _ in 0..ATTEMPTS {
            let mut request = self
                .client
                .post(&self.url)
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
                    let partial = read_partial_success(Signal::Logs, encoding, &body);
                    return Ok(Answer::Taken(partial.unwrap_or_default()));
                }
                Ok(answer) if answer.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                    return Ok(Answer::TooLarge(answer.text().await.unwrap_or_default()));
                }
                Ok(answer) if !is_passing(answer.status()) => {
                    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
                    anyhow::bail!("{} answered {status}: {text}", self.url);
                }
                _ => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
        anyhow::bail!(
            "{} did not take the records within {ATTEMPTS} attempts; run the import again: what is \
             there already is stored once",
            self.url
        )
    }
}

fn count(logs: &ExportLogsServiceRequest) -> u64 {
    let scopes = logs
        .resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs);
    scopes.map(|scope| scope.log_records.len() as u64).sum()
}

/// Whether another attempt may do better.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}
