//! A list as a file: the rows that the page's filters leave, all of them, in the page's order, streamed.
//!
//! * CSV as RFC 4180 has it. A cell that a spreadsheet would take for a formula gets a leading `'`, and a
//!   text that is absent or cut says why, in a column of its own.
//! * NDJSON is the exact form: one record a line as the API gives it, and a last line with the number of
//!   rows and the SHA-256 of everything before it, so that a broken download shows.

use std::io;
use std::sync::Arc;

use axum::Form;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::central::Central;
use crate::central::conversation::decision_of;
use crate::central::store::{Agent, Event, EventFilter, PageRequest, Session, Sight, StoreError};
use crate::event::Timestamp;
use crate::event::content::Content;

use super::agents::find;
use super::event_row::machine_name;
use super::failure::Failure;
use super::filters::Filters;
use super::observability::asked;
use super::preferences::Preferences;
use super::shell::Here;

/// Rows that are read at once.
const CHUNK: u32 = 500;

/// Chunks that wait for a slow reader at most.
const CHUNKS_ON_THE_WAY: usize = 2;

const EVENT_COLUMNS: [&str; 22] = [
    "time",
    "received_at",
    "agent",
    "agent_id",
    "type",
    "event",
    "tool",
    "model",
    "decision",
    "source",
    "success",
    "duration_ms",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "session",
    "machine",
    "client_version",
    "redactions",
    "text",
    "text_state",
    "id",
];

const SESSION_COLUMNS: [&str; 19] = [
    "started_at",
    "ended_at",
    "session",
    "agent",
    "agent_id",
    "owner",
    "turns",
    "events",
    "tools",
    "denied",
    "errors",
    "model_requests",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "models",
    "directories",
    "client_version",
    "machines",
];

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
}

/// Someone takes the list of Observability with them.
pub(super) async fn environment(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    export(&here, central, pairs, None, false).await
}

/// Someone takes an agent's audit log with them.
pub(super) async fn agent_events(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let agent = find(&here, &central).await?;
    export(&here, central, pairs, Some(&agent), false).await
}

/// Someone takes an agent's sessions with them.
pub(super) async fn agent_sessions(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let agent = find(&here, &central).await?;
    export(&here, central, pairs, Some(&agent), true).await
}

async fn export(
    here: &Here,
    central: Arc<Central>,
    mut pairs: Vec<(String, String)>,
    agent: Option<&Agent>,
    sessions_only: bool,
) -> Result<Response, Failure> {
    let format = pairs
        .iter()
        .find(|(key, _)| key == "format")
        .map(|(_, value)| value.as_str());
    let format = match format {
        Some("csv") => Format::Csv,
        Some("ndjson") => Format::Ndjson,
        _ => {
            return Err(Failure::BadRequest(
                "An export is asked for as csv or as ndjson.",
            ));
        }
    };
    pairs.retain(|(key, _)| key != "format" && key != "csrf");
    let filters = Filters::read(pairs)?;
    if filters.problem.is_some() {
        return Err(Failure::BadRequest(
            "A filter of this export cannot be read.",
        ));
    }
    let lists_sessions = sessions_only || filters.wants_sessions();
    let list = agent.map_or_else(
        || here.base.observability(),
        |agent| here.base.agent(&agent.id, "audit-logs"),
    );
    let what = if lists_sessions {
        "export.sessions"
    } else {
        "export.events"
    };
    let entry = central.entry(
        &here.actor(),
        Some(&here.environment),
        what,
        filters.address(&list),
    );
    central.audit(entry).await?;
    let sight = here.sight_of_list(&filters.first_page().address(&list));
    let (sender, body) = Channel::<Bytes, io::Error>::new(CHUNKS_ON_THE_WAY);
    let writer = Writer {
        central,
        sight,
        filter: asked(&filters, agent, Timestamp::now()),
        query: filters.address(""),
        format,
        preferences: Preferences::current(),
        sender,
        digest: Sha256::new(),
        rows: 0,
        bytes: 0,
    };
    let what = if lists_sessions { "sessions" } else { "events" };
    tokio::spawn(async move {
        match lists_sessions {
            true => writer.write_sessions().await,
            false => writer.write_events().await,
        }
    });
    let (kind, ending) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Ndjson => ("application/x-ndjson", "ndjson"),
    };
    let name = Preferences::current().format(Timestamp::now(), "%Y%m%d-%H%M%S");
    let disposition = format!("attachment; filename=\"fieldpost-{what}-{name}.{ending}\"");
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// Writes one file, piece by piece.
struct Writer {
    central: Arc<Central>,
    sight: Sight,
    filter: EventFilter,
    query: String,
    format: Format,
    preferences: Preferences,
    sender: Sender<Bytes, io::Error>,
    digest: Sha256,
    rows: u64,
    bytes: u64,
}

/// Why a file ends early.
enum Stopped {
    /// The reader has gone.
    Gone,
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        Stopped::Store(error)
    }
}

impl Writer {
    async fn write_events(mut self) {
        let written = self.events().await;
        self.finish(written).await;
    }

    async fn write_sessions(mut self) {
        let written = self.sessions().await;
        self.finish(written).await;
    }

    async fn events(&mut self) -> Result<(), Stopped> {
        self.head(&EVENT_COLUMNS).await?;
        let mut cursor = None;
        loop {
            let page = PageRequest::new(cursor, Some(CHUNK));
            let page = self
                .central
                .store
                .events(&self.sight, &self.filter, page)
                .await?;
            let preferences = self.preferences.clone();
            self.rows(&page.items, |event| event_cells(event, &preferences))
                .await?;
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn sessions(&mut self) -> Result<(), Stopped> {
        self.head(&SESSION_COLUMNS).await?;
        let mut cursor = None;
        loop {
            let page = PageRequest::new(cursor, Some(CHUNK));
            let found = self
                .central
                .store
                .find_sessions(&self.sight, &self.filter, page)
                .await?;
            let preferences = self.preferences.clone();
            self.rows(&found.page.items, |session| {
                session_cells(session, &preferences)
            })
            .await?;
            cursor = found.page.next_cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn head(&mut self, columns: &[&str]) -> Result<(), Stopped> {
        match self.format {
            Format::Csv => self.send(format!("{}\r\n", columns.join(","))).await,
            Format::Ndjson => Ok(()),
        }
    }

    async fn rows<T: Serialize>(
        &mut self,
        items: &[T],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Stopped> {
        let mut text = String::new();
        for item in items {
            match self.format {
                Format::Csv => text.push_str(&csv_line(&cells(item))),
                Format::Ndjson => {
                    text.push_str(&serde_json::to_string(item).unwrap_or_default());
                    text.push('\n');
                }
            }
        }
        self.rows += items.len() as u64;
        self.send(text).await
    }

    async fn send(&mut self, text: String) -> Result<(), Stopped> {
        self.digest.update(&text);
        self.bytes += text.len() as u64;
        let sent = self.sender.send_data(Bytes::from(text)).await;
        sent.map_err(|_| Stopped::Gone)
    }

    /// The manifest, or a connection that is cut: a file that ends early must not look whole.
    async fn finish(mut self, written: Result<(), Stopped>) {
        let digest = self.digest.clone().finalize();
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let is_whole = written.is_ok();
        match written {
            Ok(()) if self.format == Format::Ndjson => {
                let manifest = json!({ "manifest": {
                    "rows": self.rows,
                    "sha256": sha256,
                    "query": self.query,
                    "zone": self.preferences.zone_name,
                } });
                let _ = self
                    .sender
                    .send_data(Bytes::from(format!("{manifest}\n")))
                    .await;
            }
            Ok(()) | Err(Stopped::Gone) => {}
            Err(Stopped::Store(error)) => {
                tracing::error!(%error, "an export could not be read to its end");
                self.sender
                    .abort(io::Error::other("the store cannot be read"));
            }
        }
        tracing::info!(
            query = self.query,
            rows = self.rows,
            bytes = self.bytes,
            sha256,
            is_whole,
            "a list was exported"
        );
    }
}

fn event_cells(event: &Event, preferences: &Preferences) -> Vec<String> {
    let (decision, source) = decision_of(event).unwrap_or_default();
    let content = match event.name.as_str() {
        "user_prompt" => Some(Content::prompt(&event.attributes)),
        "assistant_response" => Some(Content::response(&event.attributes)),
        "tool_result" => Some(Content::tool_argument(&event.attributes)),
        _ => event.text("error").map(|text| Content::Text {
            text: text.to_owned(),
        }),
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |value: Option<i64>| value.map_or(String::new(), |value| value.to_string());
    vec![
        preferences.with_offset(event.time),
        preferences.with_offset(event.received_at),
        text(&event.agent_name),
        text(&event.agent_id),
        event.activity.slug().to_owned(),
        event.name.clone(),
        text(&event.tool),
        text(&event.model),
        decision.to_owned(),
        source.unwrap_or_default().to_owned(),
        event
            .success
            .map_or(String::new(), |success| success.to_string()),
        number(event.duration_ms),
        event
            .cost_usd
            .map_or(String::new(), |cost| cost.to_string()),
        number(event.input_tokens),
        number(event.output_tokens),
        text(&event.session_id),
        machine_name(event).unwrap_or_default(),
        event.scope_version.clone(),
        event.redaction_count.to_string(),
        content
            .as_ref()
            .and_then(Content::text)
            .unwrap_or_default()
            .to_owned(),
        content.as_ref().map_or("", Content::state).to_owned(),
        event.id.clone(),
    ]
}

fn session_cells(session: &Session, preferences: &Preferences) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    vec![
        preferences.with_offset(session.started_at),
        preferences.with_offset(session.ended_at),
        session.id.clone(),
        text(&session.agent_name),
        text(&session.agent_id),
        text(&session.owner),
        session.turn_count.to_string(),
        session.event_count.to_string(),
        session.tool_count.to_string(),
        session.denied_count.to_string(),
        session.error_count.to_string(),
        session.request_count.to_string(),
        session.input_tokens.to_string(),
        session.output_tokens.to_string(),
        session.cost_usd.to_string(),
        session.models.join("; "),
        session.directories.join("; "),
        text(&session.client_version),
        session.machines.join("; "),
    ]
}

/// One line. What a spreadsheet would take for a formula it gets as text.
fn csv_line(cells: &[String]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| {
            let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
            let guard = if is_formula { "'" } else { "" };
            match is_formula || cell.contains([',', '"', '\n', '\r']) {
                true => format!("\"{guard}{}\"", cell.replace('"', "\"\"")),
                false => cell.clone(),
            }
        })
        .collect();
    format!("{}\r\n", cells.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_every_cell_reads_back() {
        let line = |cells: &[&str]| {
            csv_line(
                &cells
                    .iter()
                    .map(|cell| (*cell).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(line(&["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(
            line(&["=HYPERLINK(\"x\")"]),
            "\"'=HYPERLINK(\"\"x\"\")\"\r\n"
        );
        assert_eq!(line(&["+1", "-1", "@a"]), "\"'+1\",\"'-1\",\"'@a\"\r\n");
        assert_eq!(line(&["a\nb", "c,d"]), "\"a\nb\",\"c,d\"\r\n");
    }
}
