//! Where the next page of a list begins: the sort key of the last row, opaque to whoever carries it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Page, StoreError};

/// Rows on a page unless asked otherwise.
const DEFAULT_LIMIT: u32 = 100;

/// Rows on a page at most.
const MAX_LIMIT: u32 = 1_000;

/// Where a page of a list begins and how long it is.
#[derive(Clone, Debug)]
pub struct PageRequest {
    cursor: Option<String>,
    limit: u32,
}

impl Default for PageRequest {
    fn default() -> PageRequest {
        PageRequest::new(None, None)
    }
}

impl PageRequest {
    /// The page after `cursor` with at most `limit` rows, which is brought into its bounds.
    pub fn new(cursor: Option<String>, limit: Option<u32>) -> PageRequest {
        let limit = limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        PageRequest {
            cursor: cursor.filter(|cursor| !cursor.is_empty()),
            limit,
        }
    }

    /// The page after `cursor` with so many rows, whatever pages have usually.
    pub(super) fn of_rows(cursor: Option<String>, rows: u32) -> PageRequest {
        PageRequest {
            limit: rows,
            ..PageRequest::new(cursor, None)
        }
    }

    /// Rows on the page.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Rows to read: one more than the page has, to know whether there is another page.
    pub(super) fn limit_to_read(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The sort key to go on after.
    pub(super) fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, StoreError> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let json = URL_SAFE_NO_PAD
            .decode(cursor)
            .map_err(|_| StoreError::BadCursor)?;
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(|_| StoreError::BadCursor)
    }

    /// A page from the rows read, of which there may be one too many.
    pub(super) fn page<T, K: Serialize>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Page<T> {
        let has_more = rows.len() > self.limit();
        rows.truncate(self.limit());
        let next_cursor = rows
            .last()
            .filter(|_| has_more)
            .map(|last| encode_cursor(&key(last)));
        Page {
            items: rows,
            next_cursor,
        }
    }
}

impl PageRequest {
    /// The place of an event in a list, for a page that begins or ends there.
    pub fn at_event(event: &super::Event) -> String {
        encode_cursor(&(event.time.0, super::keys::uid_number(&event.id)))
    }
}

/// A sort key as a cursor.
pub(super) fn encode_cursor<K: Serialize>(key: &K) -> String {
    let json = serde_json::to_vec(key).expect("numbers and strings are JSON");
    URL_SAFE_NO_PAD.encode(json)
}
