//! Writes one file, piece by piece, as fast as its reader takes it and as long as its person may.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::central::Central;
use crate::central::people::Actor;
use crate::central::portal::preferences::Preferences;
use crate::central::portal::shell::Here;
use crate::central::store::{AuditEntry, Environment, Role, Sight, StoreError};
use crate::central::streams::OpenStream;

use super::list::{Format, List};

/// Pieces that wait for a slow reader at most.
const PIECES_ON_THE_WAY: usize = 2;

/// A file that is being written.
pub(super) struct Writer {
    central: Arc<Central>,
    environment: Environment,
    actor: Actor,
    role: Role,
    sight: Sight,
    list: List,
    query: String,
    format: Format,
    preferences: Preferences,
    sender: Sender<Bytes, io::Error>,
    digest: Sha256,
    rows: usize,
    bytes: usize,
    _open: OpenStream,
}

/// Why a file ends early.
enum Stopped {
    /// The reader has gone.
    Gone,
    /// Whoever reads may do so no longer.
    NotAllowed,
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        Stopped::Store(error)
    }
}

/// Begins to write a list as a file; what is read of the result is the file.
pub(super) fn write(
    here: &Here,
    central: Arc<Central>,
    sight: Sight,
    list: List,
    query: String,
    format: Format,
    open: OpenStream,
) -> Body {
    let (sender, body) = Channel::<Bytes, io::Error>::new(PIECES_ON_THE_WAY);
    let writer = Writer {
        central,
        environment: here.environment.clone(),
        actor: here.actor(),
        role: here.role,
        sight,
        list,
        query,
        format,
        preferences: Preferences::current(),
        sender,
        digest: Sha256::new(),
        rows: 0,
        bytes: 0,
        _open: open,
    };
    tokio::spawn(writer.run());
    Body::new(body)
}

impl Writer {
    async fn run(mut self) {
        let written = self.pieces().await;
        self.finish(written).await;
    }

    async fn pieces(&mut self) -> Result<(), Stopped> {
        self.send(self.list.head(self.format)).await?;
        let mut cursor = None;
        loop {
            self.check_role().await?;
            let piece = self
                .list
                .piece(
                    &self.central,
                    &self.sight,
                    self.format,
                    &self.preferences,
                    cursor,
                )
                .await?;
            self.rows += piece.rows;
            self.send(piece.text).await?;
            cursor = piece.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// A role that was taken away ends what was begun with it.
    async fn check_role(&self) -> Result<(), Stopped> {
        let person = self.actor.person.as_deref().ok_or(Stopped::NotAllowed)?;
        let memberships = self.central.store.memberships(person).await?;
        let is_allowed = memberships.iter().any(|known| {
            known.environment.scope == self.environment.scope && known.role >= self.role
        });
        is_allowed.then_some(()).ok_or(Stopped::NotAllowed)
    }

    async fn send(&mut self, text: String) -> Result<(), Stopped> {
        self.digest.update(&text);
        self.bytes += text.len();
        let sent = self.sender.send_data(Bytes::from(text)).await;
        sent.map_err(|_| Stopped::Gone)
    }

    /// The manifest, or a connection that is cut: a file that ends early must not look whole. What was
    /// taken is written in the audit either way.
    async fn finish(mut self, written: Result<(), Stopped>) {
        let digest = self.digest.clone().finalize();
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let outcome = match &written {
            Ok(()) => "whole",
            Err(Stopped::Gone) => "broken off by the reader",
            Err(Stopped::NotAllowed) => "ended with the role",
            Err(Stopped::Store(error)) => {
                tracing::error!(%error, "an export could not be read to its end");
                "broken off by the store"
            }
        };
        if written.is_err() {
            self.sender.abort(io::Error::other(outcome));
        } else if self.format == Format::Ndjson {
            let manifest = json!({ "manifest": {
                "rows": self.rows,
                "sha256": sha256,
                "query": self.query,
                "role": self.role.word(),
                "zone": self.preferences.zone_name,
            } });
            let line = Bytes::from(format!("{manifest}\n"));
            let _ = self.sender.send_data(line).await;
        }
        let (rows, bytes) = (self.rows, self.bytes);
        let entry = AuditEntry {
            became: format!("{outcome}: {rows} rows, {bytes} bytes, SHA-256 {sha256}"),
            ..self.central.entry(
                &self.actor,
                Some(&self.environment),
                "export.ended",
                self.query.clone(),
            )
        };
        if let Err(error) = self.central.audit(entry).await {
            tracing::error!(%error, "the end of an export was not written in the audit");
        }
    }
}
