//! `fieldpost central export` and `import`: records out as lines of OTLP/JSON, and from there into any
//! OTLP endpoint.

use std::io::{BufRead, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fieldpost::http::client;
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::{ExportLogsServiceRequest, Request};
use fieldpost::secret;
use reqwest::StatusCode;
use serde::Serialize;

use super::{Place, print};

/// Records in one request.
const BATCH: usize = 500;

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

/// What went through.
#[derive(Serialize)]
struct Transferred {
    records: u64,
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
        print(export.place.list.json, &Transferred { records }, describe);
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
    let mut records = 0_u64;
    for (number, line) in input.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let request: ExportLogsServiceRequest = serde_json::from_str(&line)
            .with_context(|| format!("line {} is no OTLP/JSON request", number + 1))?;
        batch.resource_logs.extend(request.resource_logs);
        if batch.resource_logs.len() >= BATCH {
            records += endpoint.send(std::mem::take(&mut batch)).await?;
            if !import.json {
                eprintln!("{records} records sent");
            }
        }
    }
    records += endpoint.send(batch).await?;
    print(import.json, &Transferred { records }, describe);
    Ok(())
}

fn describe(transferred: &Transferred) -> String {
    format!("{} records", transferred.records)
}

struct Endpoint {
    client: reqwest::Client,
    url: String,
    authorization: Option<String>,
}

impl Endpoint {
    /// Sends records until they are taken; gives how many they are.
    async fn send(&self, logs: ExportLogsServiceRequest) -> anyhow::Result<u64> {
        let scopes = logs
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs);
        let records = scopes.map(|scope| scope.log_records.len() as u64).sum();
        if records == 0 {
            return Ok(0);
        }
        let body = Coding::Zstd.compress(&Request::Logs(logs).encode())?;
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
                Ok(answer) if answer.status().is_success() => return Ok(records),
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

/// Whether another attempt may do better.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}
