//! Reads metrics and traces as they came: lists with filters, and all of them for an export.
//!
//! A row is one message, a `ResourceMetrics` or a `ResourceSpans`. Traces are found by an index; names are looked
//! for by reading, within a bound, after which the page says where to go on.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;
use crate::otlp::{Request, Signal};

use super::cursor::encode_cursor;
use super::events::given;
use super::query::{Query, Row, Value};
use super::signal_message::{SignalMessage, trace_key};
use super::{Page, PageRequest, Scope, Sight, Store, StoreError};

/// Messages that one page of a search by name reads at most.
const SCAN_BUDGET: usize = 20_000;

/// Messages that are read at once at most.
const CHUNK: usize = 64;

/// Bytes of a page, inflated, after which it ends.
const MAX_PAGE_BYTES: usize = 8 << 20;

/// Bytes of a trace's id.
const TRACE_BYTES: usize = 16;

/// Which metrics or spans a list shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalFilter {
    /// Name of a metric or of a span.
    pub name: Option<String>,
    /// A trace's id in hexadecimal digits.
    pub trace: Option<String>,
    /// Messages at or after this time.
    pub from: Option<Timestamp>,
    /// Messages before this time.
    pub to: Option<Timestamp>,
}

/// Metrics or spans of one resource that came together.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ReceivedSignal {
    /// Its identity.
    pub id: String,
    /// Time of the latest point, or start of the earliest span, by the client's clock; else of its arrival.
    pub time: Timestamp,
    /// When it was stored.
    pub received_at: Timestamp,
    /// `ResourceMetrics` or `ResourceSpans` in OTLP/JSON: all of it, or the metrics and spans that were asked for.
    pub message: serde_json::Value,
}

/// Some messages for an export, and where to go on.
pub struct ExportedSignals {
    /// Requests of one message each, with the message's time. Messages of the same time follow each other.
    pub requests: Vec<(Timestamp, Request)>,
    /// Hand this back to go on.
    pub next: SignalPlace,
}

/// A place in the order of an export: that of the beginning by default.
#[derive(Clone, Debug)]
pub struct SignalPlace(SignalKey);

/// The order of a list: time and identity.
type SignalKey = (i64, String);

/// What a list narrows messages by.
struct Wanted {
    signal: Signal,
    name: Option<String>,
    trace: Option<Vec<u8>>,
}

/// A message as it was read.
struct StoredSignal {
    key: SignalKey,
    received: Timestamp,
    bytes: usize,
    message: SignalMessage,
}

impl Default for SignalPlace {
    fn default() -> SignalPlace {
        SignalPlace((i64::MIN, String::new()))
    }
}

impl Store {
    /// Metrics or traces as they came, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::BadQuery`] when the trace's id cannot be one.
    pub async fn signals(
        &self,
        sight: &Sight,
        signal: Signal,
        filter: &SignalFilter,
        page: PageRequest,
    ) -> Result<Page<ReceivedSignal>, StoreError> {
        let wanted = Wanted {
            signal,
            name: given(&filter.name),
            trace: given(&filter.trace).map(|id| trace_id(&id)).transpose()?,
        };
        let mut after = page.after::<SignalKey>()?;
        let mut items = Vec::new();
        let (mut scanned, mut bytes) = (0, 0);
        loop {
            // One more than the page has room for, to know whether there is another page.
            let chunk = match wanted.name {
                None => CHUNK.min(page.limit() + 1 - items.len()),
                Some(_) => CHUNK,
            };
            let query = list_query(sight.scope, &wanted, filter, after.as_ref(), chunk);
            let rows = self.rows(query).await?;
            let is_last = rows.len() < chunk;
            scanned += rows.len();
            for mut stored in self.read_signals(signal, rows).await? {
                let is_wanted = stored
                    .message
                    .narrow(wanted.name.as_deref(), wanted.trace.as_deref());
                let is_full = items.len() == page.limit() || bytes >= MAX_PAGE_BYTES;
                if is_wanted && is_full {
                    return Ok(page_of(items, after));
                }
                after = Some(stored.key.clone());
                if is_wanted {
                    bytes += stored.bytes;
                    items.push(stored.seen_by(sight));
                }
            }
            if is_last {
                return Ok(page_of(items, None));
            }
            if scanned >= SCAN_BUDGET {
                return Ok(page_of(items, after));
            }
        }
    }

    /// One message, as it came.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn signal(
        &self,
        sight: &Sight,
        signal: Signal,
        id: &str,
    ) -> Result<Option<ReceivedSignal>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM signals s WHERE s.tenant = $1 AND s.environment = $2 AND s.signal = $3
                 AND s.uid = $4"
        );
        let mut query = Query::scoped(sql, sight.scope);
        query.values.extend([signal.word().into(), id.into()]);
        let rows = self.rows(query).await?;
        let found = self.read_signals(signal, rows).await?.pop();
        Ok(found.map(|stored| stored.seen_by(sight)))
    }

    /// Some metrics or traces of an environment after a place, by time; none when all were given. One that
    /// comes meanwhile may be given or not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn export_signals(
        &self,
        scope: Scope,
        signal: Signal,
        after: SignalPlace,
    ) -> Result<ExportedSignals, StoreError> {
        // What an older version stored has its place once it is read.
        while self.read_old_signals().await? {}
        let sql = format!(
            "SELECT {COLUMNS} FROM signals s WHERE s.tenant = $1 AND s.environment = $2 AND s.signal = $3
                 AND {TIME} >= $4 AND ({TIME}, s.uid) > ($4, $5) ORDER BY {TIME}, s.uid LIMIT $6"
        );
        let mut query = Query::scoped(sql, scope);
        let SignalPlace((time, uid)) = after.clone();
        let rest: [Value; 4] = [
            signal.word().into(),
            time.into(),
            uid.into(),
            (CHUNK as i64).into(),
        ];
        query.values.extend(rest);
        let rows = self.rows(query).await?;
        let stored = self.read_signals(signal, rows).await?;
        let next = stored.last().map(|stored| stored.key.clone());
        let requests = stored
            .into_iter()
            .map(|stored| (Timestamp(stored.key.0), stored.message.into_request()));
        Ok(ExportedSignals {
            requests: requests.collect(),
            next: next.map_or(after, SignalPlace),
        })
    }

    /// A message as it came, whichever replica's dictionary it was compressed with.
    pub(super) async fn inflate_signal(&self, frame: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.have_dictionary(frame).await?;
        Ok(self.dictionaries.inflate(frame)?)
    }

    /// Sees that what a frame was made with is at hand.
    async fn have_dictionary(&self, frame: &[u8]) -> Result<(), StoreError> {
        match self.dictionaries.knows(frame) {
            true => Ok(()),
            false => self.load_dictionaries().await,
        }
    }

    /// The messages of rows of [`COLUMNS`], inflated off the threads that serve connections.
    async fn read_signals(
        &self,
        signal: Signal,
        rows: Vec<Row>,
    ) -> Result<Vec<StoredSignal>, StoreError> {
        let mut frames = Vec::with_capacity(rows.len());
        for mut row in rows {
            let key: SignalKey = (row.take(0)?, row.take(1)?);
            let (received, frame): (Timestamp, Vec<u8>) = (row.take(2)?, row.take(3)?);
            self.have_dictionary(&frame).await?;
            frames.push((key, received, frame));
        }
        let dictionaries = self.dictionaries.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut stored = Vec::with_capacity(frames.len());
            for (key, received, frame) in frames {
                let bytes = dictionaries.inflate(&frame)?;
                let message = SignalMessage::decode(signal, &bytes).ok_or_else(|| {
                    StoreError::Unavailable(format!("{signal} {} cannot be read", key.1))
                })?;
                stored.push(StoredSignal {
                    key,
                    received,
                    bytes: bytes.len(),
                    message,
                });
            }
            Ok(stored)
        });
        reading
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

/// When a message was, as its index has it.
const TIME: &str = "coalesce(s.time, s.received)";

/// What [`Store::read_signals`] takes.
const COLUMNS: &str = "coalesce(s.time, s.received), s.uid, s.received, s.message";

fn list_query(
    scope: Scope,
    wanted: &Wanted,
    filter: &SignalFilter,
    after: Option<&SignalKey>,
    limit: usize,
) -> Query {
    // The order of the join is told to SQLite by its name.
    let (from, time) = match wanted.trace {
        None => ("signals s", TIME),
        Some(_) => ("signal_traces t CROSS JOIN signals s", "t.time"),
    };
    let mut query = Query::scoped(format!("SELECT {COLUMNS} FROM {from} WHERE"), scope);
    query.push(" s.tenant = $1 AND s.environment = $2 AND s.signal = ");
    query.bind(wanted.signal.word());
    if let Some(trace) = &wanted.trace {
        query.push(" AND t.tenant = $1 AND t.environment = $2 AND s.uid = t.uid AND t.trace = ");
        query.bind(trace_key(trace));
    }
    for (bound, operator) in [(filter.from, ">="), (filter.to, "<")] {
        if let Some(bound) = bound {
            query.push(&format!(" AND {time} {operator} ")).bind(bound);
        }
    }
    if let Some((at, uid)) = after {
        query.push(&format!(" AND {time} <= ")).bind(*at);
        query.push(&format!(" AND ({time}, s.uid) < (")).bind(*at);
        query.push(", ").bind(uid.as_str()).push(")");
    }
    query.push(&format!(" ORDER BY {time} DESC, s.uid DESC LIMIT "));
    query.bind(limit as i64);
    query
}

fn page_of(items: Vec<ReceivedSignal>, next: Option<SignalKey>) -> Page<ReceivedSignal> {
    Page {
        items,
        next_cursor: next.map(|key| encode_cursor(&key)),
    }
}

/// A trace's id from its hexadecimal digits.
fn trace_id(text: &str) -> Result<Vec<u8>, StoreError> {
    let is_hex = text.len() == 2 * TRACE_BYTES && text.bytes().all(|it| it.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
    let bytes = number.map(|number| number.to_be_bytes().to_vec());
    bytes.ok_or_else(|| StoreError::BadQuery("a trace's id is 32 hexadecimal digits".to_owned()))
}

impl StoredSignal {
    /// What of it may be seen.
    fn seen_by(mut self, sight: &Sight) -> ReceivedSignal {
        let time = Timestamp(self.key.0);
        if sight.is_erased(time) {
            self.message.erase();
        }
        if !sight.shows(None) {
            self.message.hide();
        }
        ReceivedSignal {
            id: self.key.1,
            time,
            received_at: self.received,
            message: self.message.json(),
        }
    }
}
