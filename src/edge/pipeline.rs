//! What happens to a request between decoding and the queue: identity, enrichment, redaction.

use crate::event::Identifier;
use crate::otlp::Request;

use super::enrich::Enricher;
use super::redact::{Redacted, Redactor};

/// The three steps, in the order in which they must happen.
pub(super) struct Pipeline {
    identifier: Identifier,
    enricher: Enricher,
    redactor: Redactor,
}

impl Pipeline {
    pub(super) fn new(identifier: Identifier, enricher: Enricher, redactor: Redactor) -> Pipeline {
        Pipeline {
            identifier,
            enricher,
            redactor,
        }
    }

    /// The request as it may be written to disk. Identity comes first: it is over the record as the
    /// client sent it, so that neither new rules nor new host attributes change it.
    pub(super) fn process(&self, mut request: Request) -> Redacted {
        if let Request::Logs(logs) = &mut request {
            self.identifier.identify(logs);
        }
        self.enricher.enrich(&mut request);
        self.redactor.redact(request)
    }
}
