//! OpenTelemetry exporters that nobody here wrote, in JavaScript and Python.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::process::{self, Output};
use super::records::Record;

const LIMIT: Duration = Duration::from_secs(60);

/// How an exporter writes OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Protobuf,
}

/// Where and how an exporter sends.
#[derive(Clone, Debug)]
pub(crate) struct Export<'a> {
    /// The full address that records are posted to.
    pub(crate) endpoint: &'a str,
    /// The value of the header `Authorization`.
    pub(crate) authorization: Option<&'a str>,
    pub(crate) gzip: bool,
}

/// Exports with `@opentelemetry/exporter-logs-otlp-http` or `-proto`.
pub(crate) async fn javascript(
    export: &Export<'_>,
    encoding: Encoding,
    records: &[Record],
) -> Output {
    let mut command = process::command("node");
    command.arg(source("export.mjs")).arg(match encoding {
        Encoding::Json => "json",
        Encoding::Protobuf => "proto",
    });
    run(command, export, records).await
}

/// Exports with `opentelemetry-exporter-otlp-proto-http`, which knows protobuf only.
pub(crate) async fn python(export: &Export<'_>, records: &[Record]) -> Output {
    let mut command = process::command(installed("python/bin/python"));
    command.arg(source("export.py"));
    run(command, export, records).await
}

/// Exports logs, a metric and a span with `opentelemetry-exporter-otlp-proto-grpc`, which calls
/// `endpoint`'s host. `authority` signs the certificate there, if it has one.
pub(crate) async fn python_grpc(
    export: &Export<'_>,
    authority: Option<&Path>,
    records: &[Record],
) -> Output {
    let mut command = process::command(installed("python/bin/python"));
    command
        .arg(source("export_grpc.py"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", export.endpoint);
    if let Some(authorization) = export.authorization {
        let authorization = authorization.replace(' ', "%20");
        command.env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            format!("authorization={authorization}"),
        );
    }
    if export.gzip {
        command.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    }
    if let Some(authority) = authority {
        command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", authority);
    }
    let input = serde_json::to_string(records).expect("records are plain JSON");
    process::run(command, &input, LIMIT).await
}

async fn run(mut command: Command, export: &Export<'_>, records: &[Record]) -> Output {
    command
        .current_dir(installed(""))
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", export.endpoint);
    if let Some(authorization) = export.authorization {
        // The variable holds percent-encoded values.
        let authorization = authorization.replace(' ', "%20");
        command.env(
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
            format!("Authorization={authorization}"),
        );
    }
    if export.gzip {
        command.env("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "gzip");
    }
    let input = serde_json::to_string(records).expect("records are plain JSON");
    process::run(command, &input, LIMIT).await
}

/// A file of `tests/clients`.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// A file that `tests/clients/install` put under `target/clients`. Panics unless the installation
/// is complete.
pub(crate) fn installed(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    assert!(
        directory.join("stamp").exists(),
        "the clients are not installed: run tests/run --install"
    );
    let file = directory.join(name);
    assert!(
        file.exists(),
        "{} is missing: run tests/run --install",
        file.display()
    );
    file
}
