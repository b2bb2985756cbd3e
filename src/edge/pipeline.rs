//! What happens to a request between decoding and the queue: identity, enrichment, redaction.

use crate::event::Identifier;
use crate::otlp::Request;
use crate::reload::Swap;

use super::config::Config;
use super::enrich::Enricher;
use super::owner::Owner;
use super::redact::{Redacted, Redactor};

/// The three steps, in the order in which they must happen.
pub struct Pipeline {
    identifier: Identifier,
    steps: Swap<Steps>,
}

/// What the configuration says about records.
pub(super) struct Steps {
    pub(super) enricher: Enricher,
    pub(super) redactor: Redactor,
}

impl Pipeline {
    /// What `config` says about records, for the edge of this id; `identity_key` is the key of its
    /// records' identities.
    ///
    /// # Errors
    /// When the rules of redaction cannot be used.
    pub fn new(config: &Config, edge_id: &str, identity_key: [u8; 32]) -> anyhow::Result<Pipeline> {
        Ok(Pipeline {
            identifier: Identifier::new(identity_key),
            steps: Swap::new(Steps::new(config, edge_id)?),
        })
    }

    /// Other steps from now on; a request under way goes on with the old ones.
    pub(super) fn replace(&self, steps: Steps) {
        self.steps.store(steps);
    }

    /// What the edge itself has to say, as it may be written to disk.
    pub fn process(&self, request: Request) -> Redacted {
        self.process_from(request, None)
    }

    /// A client's request as it may be written to disk; `owner` is the account that posted it.
    /// Identity comes first: it is over the record as the client sent it, so that neither new rules
    /// nor new host attributes change it.
    pub(super) fn process_from(&self, mut request: Request, owner: Option<&Owner>) -> Redacted {
        if let Request::Logs(logs) = &mut request {
            self.identifier.identify(logs);
        }
        let steps = self.steps.load();
        steps.enricher.enrich(&mut request, owner);
        steps.redactor.redact(request)
    }
}

impl Steps {
    pub(super) fn new(config: &Config, edge_id: &str) -> anyhow::Result<Steps> {
        let extras = config.upstream.extras;
        let redactor = Redactor::new(&config.redact)?;
        Ok(Steps {
            enricher: Enricher::new(extras.then_some(edge_id), &config.enrich),
            redactor: match extras {
                true => redactor,
                false => redactor.without_extras(),
            },
        })
    }
}
