//! What happens to a request between decoding and the queue: identity, enrichment, redaction.

use std::sync::Arc;

use crate::event::Identifier;
use crate::otlp::Request;
use crate::reload::Swap;
use crate::shutdown::Shutdown;

use super::config::Config;
use super::enrich::{self, Enricher, Facts};
use super::owner::Owner;
use super::redact::{Hits, Identity, Placeholder, Redacted, Redactor, Refusal, Tally};
use super::state;

/// The three steps, in the order in which they must happen.
pub struct Pipeline {
    identifier: Identifier,
    tally: Arc<Tally>,
    facts: Arc<Swap<Facts>>,
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
        let tally = Arc::<Tally>::default();
        let facts = Arc::new(Swap::new(Facts::read()));
        let steps = Steps::new(config, edge_id, Arc::clone(&tally), Arc::clone(&facts))?;
        Ok(Pipeline {
            identifier: Identifier::new(identity_key),
            tally,
            facts,
            steps: Swap::new(steps),
        })
    }

    /// Reads the machine's facts again now and then, until `shutdown`.
    pub(super) fn keep_facts_fresh(&self, shutdown: Shutdown) -> impl Future<Output = ()> + use<> {
        enrich::keep_fresh(Arc::clone(&self.facts), shutdown)
    }

    /// What was taken out of records since the edge started, by type and rule.
    pub fn redactions(&self) -> Hits {
        self.tally.snapshot()
    }

    /// What of the configured rules is not in force, and why.
    pub fn refused_rules(&self) -> Vec<Refusal> {
        self.steps.load().redactor.refusals().to_vec()
    }

    /// Other steps after a changed configuration, to be put in force by [`Pipeline::replace`].
    ///
    /// # Errors
    /// When the rules of redaction cannot be used, or one that is in force has become bad: without
    /// it, what it found until now would go out.
    pub(super) fn prepare(&self, config: &Config, edge_id: &str) -> anyhow::Result<Steps> {
        let (tally, facts) = (Arc::clone(&self.tally), Arc::clone(&self.facts));
        let steps = Steps::new(config, edge_id, tally, facts)?;
        if let Some(refusal) = self.steps.load().redactor.refused_by(&steps.redactor) {
            anyhow::bail!("{refusal}");
        }
        Ok(steps)
    }

    /// Other steps from now on; a request under way goes on with the old ones.
    pub(super) fn replace(&self, steps: Steps) {
        self.steps.store(steps);
        self.tell_refused_rules();
    }

    /// Says in the log what of the configured rules is not in force.
    pub(super) fn tell_refused_rules(&self) {
        for refusal in self.refused_rules() {
            tracing::warn!("{refusal}; the other rules are in force");
        }
    }

    /// A text of the edge's own or of its upstream's, without secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        let steps = self.steps.load();
        steps.redactor.redact_text(text).0.into_owned()
    }

    /// What the edge itself has to say, as it may be written to disk.
    pub fn process(&self, request: Request) -> Redacted {
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

impl Steps {
    fn new(
        config: &Config,
        edge_id: &str,
        tally: Arc<Tally>,
        facts: Arc<Swap<Facts>>,
    ) -> anyhow::Result<Steps> {
        let extras = config.upstream.extras;
        let mut redactor = Redactor::new(&config.redact)?.counting_in(tally);
        if config.redact.placeholder == Placeholder::Hash {
            redactor = redactor.with_hash_key(state::redaction_key(&config.queue.directory)?);
        }
        if config.redact.identity == Identity::Hmac {
            redactor = redactor.with_identity_key(state::redaction_key(&config.queue.directory)?);
        }
        Ok(Steps {
            enricher: Enricher::new(extras.then_some(edge_id), &config.enrich, facts),
            redactor: match extras {
                true => redactor,
                false => redactor.without_extras(),
            },
        })
    }
}
