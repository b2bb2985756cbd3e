//! What an edge is, beside its queue: its id and its identity key, made once.

use std::path::Path;

use anyhow::Context;
use uuid::Uuid;

use crate::secret;

const ID: &str = "edge.id";
const KEY: &str = "edge.key";
const REDACTION_KEY: &str = "redact.key";

/// Names of the files beside the queue's directory.
#[cfg(unix)]
pub(super) const FILES: [&str; 3] = [ID, KEY, REDACTION_KEY];

/// The files beside the queue's directory.
pub(super) struct State {
    /// `fieldpost.edge.id`: random, so that two machines made from one image differ once they run.
    pub(super) edge_id: String,
    /// The key of its records' identities.
    pub(super) identity_key: [u8; 32],
}

impl State {
    /// Reads the files beside `queue_directory`, and makes those that are missing.
    pub(super) fn open(queue_directory: &Path) -> anyhow::Result<State> {
        let directory = queue_directory.parent().unwrap_or(Path::new("."));
        // What waits in the queue was redacted, and is nobody else's business all the same.
        secret::private_directory(queue_directory)
            .with_context(|| format!("cannot make the folder {}", queue_directory.display()))?;
        let id_file = directory.join(ID);
        secret::make_file(&id_file, || Ok(Uuid::new_v4().to_string()))
            .with_context(|| format!("cannot write {}", id_file.display()))?;
        let edge_id = std::fs::read_to_string(&id_file)
            .with_context(|| format!("cannot read {}", id_file.display()))?
            .trim()
            .to_owned();
        let key_file = directory.join(KEY);
        let identity_key = secret::key_file(&key_file)
            .with_context(|| format!("cannot use {}", key_file.display()))?;
        Ok(State {
            edge_id,
            identity_key,
        })
    }
}

/// The key of the hashes in this machine's placeholders, made when it is first needed. It stands beside
/// `queue_directory` and is the owner's only: whoever has it could try guesses against the hashes.
pub(super) fn redaction_key(queue_directory: &Path) -> anyhow::Result<[u8; 32]> {
    let directory = queue_directory.parent().unwrap_or(Path::new("."));
    let file = directory.join(REDACTION_KEY);
    secret::key_file(&file).with_context(|| format!("cannot use {}", file.display()))
}
