//! The running edge seen from inside: `status` and the other commands, by the real binary.

mod status;
mod control;
mod tail;
mod queue;
mod metrics;

use std::fs;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::fieldpost::{Service, client, command, edge_config, free_port};
use crate::support::records::{claude_session, request};
use crate::support::upstream::Received;

/// `fieldpost edge run` as a process.
struct Edge {
    directory: TempDir,
    port: u16,
    service: Service,
    client: reqwest::Client,
}

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Edge {
    async fn start(endpoint: &str, token: Option<&str>) -> Edge {
        Edge::start_with(endpoint, token, |config| config).await
    }

    /// The same with a configuration that `change` has changed.
    async fn start_with(
        endpoint: &str,
        token: Option<&str>,
        change: impl FnOnce(String) -> String,
    ) -> Edge {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let config = change(edge_config(directory.path(), endpoint, token, port));
        let service = Service::start("edge", directory.path(), &config, port).await;
        Edge {
            directory,
            port,
            service,
            client: client(),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn socket(&self) -> PathBuf {
        self.path().join("edge.sock")
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Writes the configuration file anew, renamed into place.
    fn configure(&self, text: &str) {
        let beside = self.path().join("edge.toml.new");
        fs::write(&beside, text).expect("writable");
        fs::rename(beside, self.path().join("edge.toml")).expect("writable");
    }

    /// `fieldpost edge` with arguments, for this edge.
    async fn run(&self, arguments: &[&str]) -> Ran {
        run(&self.path().join("edge.toml"), arguments).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments).await;
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {ran:?}"))
    }

    async fn status(&self) -> Value {
        self.json(&["status", "--json"]).await
    }

    /// Posts so many records of a session.
    async fn post(&self, session: &str, records: usize) -> StatusCode {
        let body = request(&claude_session("ada@example.com", session, records));
        self.post_body("/v1/logs", &body).await
    }

    async fn post_body(&self, path: &str, body: &Value) -> StatusCode {
        let answer = self
            .client
            .post(self.url(path))
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await;
        answer.expect("the edge answers").status()
    }
}

async fn run(config: &Path, arguments: &[&str]) -> Ran {
    let output = command()
        .arg("edge")
        .args(arguments)
        .arg("--config")
        .arg(config)
        .output()
        .await
        .expect("the binary starts");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// An answer of the upstream with words for a person.
fn refusal(status: u16, words: &str) -> Option<Response> {
    let status = StatusCode::from_u16(status).expect("a status");
    Some((status, words.to_owned()).into_response())
}

/// One log record with a text that does not compress, and that no redaction rule knows.
fn bulky(seed: u64, bytes: usize) -> Value {
    let mut records = claude_session("ada@example.com", "bulky", 1);
    // Words of few letters: nothing in them looks like a key.
    let noise = crate::support::queue::noise(seed, bytes);
    let text: String = noise
        .chunks(3)
        .flat_map(|chunk| {
            chunk
                .iter()
                .map(|byte| char::from(b'a' + byte % 26))
                .chain([' '])
        })
        .collect();
    records[0]
        .attributes
        .insert("prompt".to_owned(), Value::String(text));
    request(&records)
}

/// The texts of an attribute in a request that the upstream got.
fn sessions(received: &Received) -> Vec<String> {
    crate::support::upstream::attribute(&received.request, "session.id")
}
