//! What happens to a request between decoding and the queue: identity, enrichment, redaction.

use crate::event::Identifier;
use crate::otlp::Request;
use crate::reload::Swap;

use super::enrich::Enricher;
use super::owner::Owner;
use super::redact::{Redacted, Redactor};

/// The three steps, in the order in which they must happen.
pub(super) struct Pipeline {
    identifier: Identifier,
    steps: Swap<Steps>,
}

/// What the configuration says about records.
pub(super) struct Steps {
    pub(super) enricher: Enricher,
    pub(super) redactor: Redactor,
}

impl Pipeline {
    pub(super) fn new(identifier: Identifier, steps: Steps) -> Pipeline {
        Pipeline {
            identifier,
            steps: Swap::new(steps),
        }
    }

    /// Other steps from now on; a request under way goes on with the old ones.
    pub(super) fn replace(&self, steps: Steps) {
        self.steps.store(steps);
    }

    /// What the edge itself has to say, as it may be written to disk.
    pub(super) fn process(&self, request: Request) -> Redacted {
        self.process_from(request, None)
    }

    /// What was written to disk before, by the rules of today: its identity and its origin stay.
    pub(super) fn redact_again(&self, request: Request) -> Redacted {
        self.steps.load().redactor.redact(request)
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
