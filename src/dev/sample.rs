//! Replays captured sessions of a real Claude Code through the edge, with fresh times and ids.

use std::collections::HashMap;
use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::event::Timestamp;

use super::Addresses;

/// Time for the replayed records to arrive at the central service.
const ARRIVAL: Duration = Duration::from_secs(20);

/// Just after the last of the captured records, in nanoseconds since the Unix epoch.
const CAPTURED_AT: i64 = 1_795_351_648_000_000_000;

const MINUTE: i64 = 60_000_000_000;

/// Attributes whose values name something that must be new at each replay.
const ID_KEYS: [&str; 6] = [
    "session.id",
    "prompt.id",
    "tool_use_id",
    "request_id",
    "client_request_id",
    "message.uuid",
];

/// Fields and attributes with nanoseconds since the Unix epoch.
const TIME_KEYS: [&str; 4] = [
    "timeUnixNano",
    "observedTimeUnixNano",
    "startTimeUnixNano",
    "endTimeUnixNano",
];

/// One captured request. Where it holds made-up secrets it is gzipped, so that scanners do not trip.
struct Capture {
    /// How long before now it is to have happened.
    minutes_ago: i64,
    signal: &'static str,
    body: &'static [u8],
}

macro_rules! capture {
    ($minutes_ago:literal, $signal:literal, $file:literal) => {
        Capture {
            minutes_ago: $minutes_ago,
            signal: $signal,
            body: include_bytes!(concat!("../../tests/fixtures/wire/", $file)),
        }
    };
}

/// The captured sessions, the oldest first; requests of one session share their time.
const CAPTURES: [Capture; 18] = [
    capture!(1640, "logs", "seed-defaults/001-logs.json"),
    capture!(1520, "logs", "resume-1/001-logs.json"),
    capture!(410, "logs", "api-key-no-email/001-logs.json"),
    capture!(365, "logs", "api-error-429/001-logs.json"),
    capture!(350, "logs", "api-error-400/001-logs.json"),
    capture!(240, "traces", "three-signals/001-traces.json"),
    capture!(240, "logs", "three-signals/002-logs.json"),
    capture!(240, "metrics", "three-signals/003-metrics.json"),
    capture!(190, "logs", "list-files/001-logs.json"),
    capture!(135, "logs", "resume-2/001-logs.json"),
    capture!(96, "logs", "mcp/001-logs.json"),
    capture!(52, "logs", "secrets/001-logs.json.gz"),
    capture!(23, "logs", "interactive/001-logs.json"),
    capture!(23, "logs", "interactive/002-logs.json"),
    capture!(23, "logs", "interactive/003-logs.json"),
    capture!(23, "logs", "interactive/004-logs.json"),
    capture!(23, "logs", "interactive/005-logs.json"),
    capture!(4, "logs", "refactor/001-logs.json"),
];

impl Capture {
    fn read(&self) -> anyhow::Result<Value> {
        let mut inflated = Vec::new();
        let json = match self.body.starts_with(b"\x1f\x8b") {
            true => {
                GzDecoder::new(self.body).read_to_end(&mut inflated)?;
                inflated.as_slice()
            }
            false => self.body,
        };
        serde_json::from_slice(json).context("a captured request is not JSON")
    }
}

/// Posts all captures to the edge, and waits until their events can be read from the API.
pub(super) async fn replay(addresses: &Addresses) -> anyhow::Result<()> {
    let client = crate::http::client::builder().no_proxy().build()?;
    let mut freshener = Freshener {
        // Claude's clock has milliseconds.
        now: Timestamp::now().0 / 1_000_000 * 1_000_000,
        ..Freshener::default()
    };
    for capture in &CAPTURES {
        let mut body = capture.read()?;
        freshener.minutes_ago = capture.minutes_ago;
        freshener.freshen(&mut body);
        let request = client
            .post(format!("{}/v1/{}", addresses.otlp, capture.signal))
            .header("content-type", "application/json")
            .body(body.to_string());
        request.send().await?.error_for_status()?;
    }
    wait_for_arrival(&client, addresses, &freshener.events).await
}

/// Polls until every session has all its events, or until it takes too long: then the records are
/// safe on disk all the same, and come when they come.
async fn wait_for_arrival(
    client: &reqwest::Client,
    addresses: &Addresses,
    expected: &HashMap<String, i64>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + ARRIVAL;
    for (session, events) in expected {
        while session_events(client, addresses, session).await? < *events {
            if Instant::now() > deadline {
                tracing::warn!("the sample has not arrived at the central service yet");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn session_events(
    client: &reqwest::Client,
    addresses: &Addresses,
    session: &str,
) -> anyhow::Result<i64> {
    let url = format!("{}/sessions/{session}", addresses.api);
    let answer = client
        .get(url)
        .bearer_auth(&addresses.api_key)
        .send()
        .await?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(0);
    }
    let session: Value = serde_json::from_str(&answer.error_for_status()?.text().await?)?;
    Ok(session["event_count"].as_i64().unwrap_or(0))
}

/// Gives captured records new ids and times. An id that occurs again gets the same new one, so that
/// a resumed session stays one.
#[derive(Default)]
struct Freshener {
    now: i64,
    minutes_ago: i64,
    ids: HashMap<String, String>,
    /// Log records by their new session id.
    events: HashMap<String, i64>,
}

impl Freshener {
    fn freshen(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.freshen(item)),
            Value::Object(fields) => {
                for key in TIME_KEYS {
                    if let Some(time) = fields.get_mut(key) {
                        *time = Value::String(self.shift(time).to_string());
                    }
                }
                if let Some(key) = fields.get("key").and_then(Value::as_str) {
                    let key = key.to_owned();
                    if let Some(text) = fields
                        .get_mut("value")
                        .and_then(|value| value.get_mut("stringValue"))
                    {
                        self.freshen_text(&key, text);
                    }
                }
                fields.values_mut().for_each(|field| self.freshen(field));
                if fields.contains_key("body") {
                    self.count(fields);
                }
            }
            _ => {}
        }
    }

    fn freshen_text(&mut self, key: &str, text: &mut Value) {
        let Some(old) = text.as_str() else {
            return;
        };
        if key == "event.timestamp" {
            if let Ok(Timestamp(time)) = old.parse() {
                *text = Value::String(Timestamp(self.shifted(time)).to_string());
            }
        } else if ID_KEYS.contains(&key) {
            let fresh = self
                .ids
                .entry(old.to_owned())
                .or_insert_with(|| fresh_id(old));
            *text = Value::String(fresh.clone());
        }
    }

    fn shift(&self, time: &Value) -> i64 {
        let time = time
            .as_str()
            .and_then(|text| text.parse().ok())
            .or_else(|| time.as_i64());
        self.shifted(time.unwrap_or(CAPTURED_AT))
    }

    fn shifted(&self, time: i64) -> i64 {
        self.now - self.minutes_ago * MINUTE + (time - CAPTURED_AT)
    }

    fn count(&mut self, record: &serde_json::Map<String, Value>) {
        let attributes = record
            .get("attributes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let session = attributes
            .filter(|attribute| attribute["key"] == "session.id")
            .find_map(|attribute| attribute["value"]["stringValue"].as_str());
        if let Some(session) = session {
            *self.events.entry(session.to_owned()).or_default() += 1;
        }
    }
}

/// A new id in the form of the old one: a UUID, or a prefix with as many letters behind it.
fn fresh_id(old: &str) -> String {
    let fresh = Uuid::new_v4();
    match old.rsplit_once('_') {
        None => fresh.to_string(),
        Some((prefix, rest)) => {
            let letters = fresh.simple().to_string();
            format!("{prefix}_{}", &letters[..rest.len().min(letters.len())])
        }
    }
}
