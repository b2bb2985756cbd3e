//! `parked.db`: records that no upstream will take, kept for a person to look at.
//!
//! The same segments as the queue's, each entry a set whose frame is preceded by the status
//! (2 bytes, 0 for none), the length of the reason (2 bytes) and the reason. The number of a set's
//! first entry is its id. Nothing is read until somebody asks or parks, so a long list costs the
//! start nothing.
//!
//! What was removed is in the file `removed`: ids, one in a line, and the CRC32 of these lines. It stays
//! in its segment, which goes as soon as all in it is removed.

mod form;
mod store;

use std::{sync::Arc, time::SystemTime};

use tokio::task;

use super::{AppendError, Queue, Reason, StorageError};
use crate::{
    edge::redact::Redacted,
    otlp::{Request, Signal},
};

pub(super) use store::ParkedStore;

/// Records that the upstream refused for good. They were redacted before they were queued.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Why, for a person to read. Cut after 1 KiB.
    pub reason: String,
    /// The HTTP status that the upstream answered, if it did.
    pub status: Option<u16>,
    /// The records.
    pub request: Request,
}

/// What is known of a parked request without decoding it.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkedSummary {
    /// Higher for what was parked later.
    pub id: u64,
    /// Why it was parked.
    pub reason: String,
    /// The HTTP status that the upstream answered, if it did.
    pub status: Option<u16>,
    /// The signal of its records.
    pub signal: Signal,
    /// How many records.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was parked.
    pub parked_at: SystemTime,
}

/// The parked list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParkedList {
    /// Oldest first.
    pub items: Vec<ParkedSummary>,
    /// Records that had to go to make room, since the queue was made.
    pub dropped_records: u64,
}

impl Queue {
    /// Puts records aside for a person to look at. They are durable when this returns `Ok`. The
    /// list is bounded to 64 MiB; the oldest records go first, and the ledger counts them. Parked or not,
    /// they are lost to the upstream, and the ledger says so from here on.
    pub async fn park(&self, parked: Parked) -> Result<(), StorageError> {
        let compressors = Arc::clone(&self.0.compressors);
        let shared = Arc::clone(&self.0.shared);
        self.with_parked(move |store| {
            let numbers = form::numbers(&parked.request);
            let unnumbered = parked.request.record_count().saturating_sub(numbers.len());
            let ranges: Vec<_> = numbers.into_iter().map(|n| n..=n).collect();
            // Not removed yet, the records come again after a crash in between.
            store.park(&parked, SystemTime::now(), &compressors, |records| {
                shared.ledger.drop_parked(records);
            })?;
            let unnumbered = unnumbered as u64;
            shared.ledger.add(Reason::Parked, &ranges, unnumbered);
            Ok(())
        })
        .await
    }

    /// What is parked.
    pub async fn parked(&self) -> Result<ParkedList, StorageError> {
        let items = self.with_parked(ParkedStore::list).await?;
        Ok(ParkedList {
            items,
            dropped_records: self.parked_dropped(),
        })
    }

    /// Records that had to go from the parked list to make room, since the queue was made.
    pub fn parked_dropped(&self) -> u64 {
        self.0.shared.ledger.parked_dropped()
    }

    /// One parked request, whole. `None` when it is not in the list.
    pub async fn read_parked(&self, id: u64) -> Result<Option<Parked>, StorageError> {
        self.with_parked(move |store| store.read(id)).await
    }

    /// Appends a parked request again and takes it out of the list; its records get new numbers.
    /// It is redacted once more, by the rules of today. False when it is not in the list. After a
    /// crash in the middle it is in both places: the records' identities keep them single.
    pub async fn send_parked(
        &self,
        id: u64,
        redact: impl FnOnce(Request) -> Redacted,
    ) -> Result<bool, AppendError> {
        let Some(parked) = self.read_parked(id).await? else {
            return Ok(false);
        };
        self.append(redact(parked.request)).await?;
        Ok(self.drop_parked(id).await?)
    }

    /// Takes a request out of the parked list for good. False when it is not there. Its bytes are off
    /// the disk once its segment holds nothing else.
    pub async fn drop_parked(&self, id: u64) -> Result<bool, StorageError> {
        self.with_parked(move |store| store.remove(id)).await
    }

    /// How many requests are parked, and how many records are in them.
    pub async fn parked_totals(&self) -> Result<(u64, u64), StorageError> {
        self.with_parked(ParkedStore::totals).await
    }

    async fn with_parked<T: Send + 'static>(
        &self,
        act: impl FnOnce(&ParkedStore) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (store, shared) = (Arc::clone(&self.0.parked), Arc::clone(&self.0.shared));
        let acted = task::spawn_blocking(move || {
            if shared.is_closing() {
                Err(StorageError::Closed)
            } else {
                act(&store)
            }
        });
        acted.await.unwrap_or(Err(StorageError::Stopped))
    }
}
