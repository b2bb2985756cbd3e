//! Redaction: no secret leaves the machine.
//!
//! What goes in: a decoded request. What comes out: the same request, each secret replaced by `[REDACTED:<type>]`,
//! and each record that held any annotated with how many and of which types (`fieldpost.redaction.count`,
//! `fieldpost.redaction.types`). Covered is everything textual: bodies, attributes of records, spans, data points,
//! exemplars, scopes and resources, names and messages, maps and arrays at any depth, and bytes (searched if they
//! are UTF-8, replaced if not).
//!
//! The policy (`policy.toml`) decides by an attribute's key whether its value passes, is dropped or is searched; the
//! rules (`rules.toml`) say what a secret looks like. Both are data.
//!
//! What is absent: nothing else makes a [`Redacted`], and the queue takes nothing else.
mod walk;
mod attributes;
mod dropped;
mod policy;
mod profile;
mod truncate;
mod engine;
mod escapes;
mod keywords;
mod search;
mod spans;
mod pairs;
mod signs;
mod quotes;
mod values;
mod words;
mod grades;
mod filler;
mod natural;
mod forms;
mod providers;
mod pem;
mod manifest;
mod opaque;
mod pii;
mod checksum;
mod hash;
mod rules;
mod expression;
mod load;
mod file;
mod allow;
mod config;
mod tally;
mod explain;
mod stream;
mod split;

use std::{borrow::Cow, path::Path, sync::Arc};

use engine::{Engine, Scope};
use hash::HashKey;
use load::Loaded;
use policy::Policy;

pub use config::{Identity, Placeholder, Profile, RedactConfig};
pub use explain::Finding;
pub use file::Refusal;
pub use pii::{PiiKind, UnknownPii};
pub use rules::RuleError;
pub use split::split_half;
pub use stream::{Block, redact_stream};
pub use tally::{Hits, Tally};

use crate::event::{EDGE_SEQ, set_attribute};
use crate::otlp::{Request, Signal};

/// Proof that a request went through redaction: made here and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct Redacted {
    request: Request,
    extras: bool,
}

impl Redacted {
    /// The signal that the request carries.
    pub fn signal(&self) -> Signal {
        self.request.signal()
    }

    /// Log records, metrics or spans.
    pub fn record_count(&self) -> usize {
        self.request.record_count()
    }

    /// The request, to look at or to encode.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The request itself.
    pub fn into_request(self) -> Request {
        self.request
    }

    /// Log records: those that [`Redacted::number_from`] numbers. None in other signals.
    pub fn numbered_records(&self) -> u64 {
        match self.request {
            Request::Logs(_) => self.record_count() as u64,
            Request::Metrics(_) | Request::Traces(_) => 0,
        }
    }

    /// Gives each log record the attribute `fieldpost.edge.seq`, counting up from `first_seq`. An attribute of that
    /// name which came in from outside gives way. Other signals stay as they are, and so does everything from
    /// [`Redactor::without_extras`]: then the numbers are the queue's own affair.
    pub fn number_from(&mut self, first_seq: u64) {
        let Request::Logs(logs) = &mut self.request else {
            return;
        };
        if !self.extras {
            return;
        }
        let scopes = logs
            .resource_logs
            .iter_mut()
            .flat_map(|resource| &mut resource.scope_logs);
        for (record, seq) in scopes
            .flat_map(|scope| &mut scope.log_records)
            .zip(first_seq..)
        {
            set_attribute(&mut record.attributes, EDGE_SEQ, walk::int(seq));
        }
    }

    /// Two halves by top-level records, each with resource and scope; the same again when there is nothing to halve.
    ///
    /// # Errors
    /// The request itself, when it holds one record or none.
    pub fn split_at_half(self) -> Result<(Self, Self), Self> {
        let extras = self.extras;
        let part = |request| Self { request, extras };
        match split_half(self.request) {
            Ok((first, second)) => Ok((part(first), part(second))),
            Err(request) => Err(part(request)),
        }
    }
}

/// Redacts requests and texts.
#[derive(Debug)]
pub struct Redactor {
    engine: Option<Engine>,
    policy: Policy,
    /// The hash of what names a person is under this key; without one nothing is left of it.
    identity_key: Option<HashKey>,
    refusals: Vec<Refusal>,
    tally: Arc<Tally>,
    extras: bool,
}

/// What stands in the list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo<'r> {
    /// The rule's name.
    pub id: &'r str,
    /// What its placeholder says.
    pub kind: &'r str,
    /// The file it stands in; `None` for what fieldpost brings along.
    pub file: Option<&'r Path>,
}

impl Redactor {
    /// The built-in rules, all of them on.
    ///
    /// # Panics
    /// Never in a build that passed its tests: they compile the same built-in rules.
    pub fn builtin() -> Self {
        Self::new(&RedactConfig::default()).expect("the built-in rules compile, as a test shows")
    }

    /// A redactor after a configuration, but for the hashes of [`Placeholder::Hash`], whose key the caller has. Rules that cannot work are left out: see [`Redactor::refusals`].
    ///
    /// # Errors
    /// A file of rules that cannot be read as a whole.
    pub fn new(config: &RedactConfig) -> Result<Self, RuleError> {
        let Loaded {
            engine,
            policy,
            mut pii,
            refusals,
        } = load::load(config)?;
        pii.extend(&config.pii);
        let redactor = Self {
            engine: config.secrets.then_some(engine),
            policy,
            identity_key: None,
            refusals,
            tally: Arc::default(),
            extras: true,
        };
        Ok(if pii.is_empty() {
            redactor
        } else {
            redactor.with_pii(pii)
        })
    }

    /// The same for an upstream that wants plain OTLP: no record is annotated or numbered.
    pub fn without_extras(self) -> Self {
        Self {
            extras: false,
            ..self
        }
    }

    /// The same, counting what it takes out of requests in a tally that others share.
    pub fn counting_in(self, tally: Arc<Tally>) -> Self {
        Self { tally, ..self }
    }

    /// The same, looking for personal data of these kinds too. Attributes that say who or what sent a record keep
    /// theirs.
    pub fn with_pii(self, kinds: impl IntoIterator<Item = PiiKind>) -> Self {
        let engine = self.engine.unwrap_or_else(Engine::without_rules);
        Self {
            engine: Some(engine.with_pii(kinds.into_iter().collect())),
            ..self
        }
    }

    /// The same, with a hash in each placeholder (`[REDACTED:<type>:h=<16 characters>]`): equal secrets of one
    /// installation have equal hashes. Cards, social security numbers, telephone numbers, IP addresses and anything
    /// shorter than 12 bytes have none, since whoever got hold of the key could try all values.
    pub fn with_hash_key(self, key: [u8; 32]) -> Self {
        Self {
            engine: self
                .engine
                .map(|engine| engine.with_hash_key(HashKey::new(key))),
            ..self
        }
    }

    /// The same, with the key for the hashes of [`Identity::Hmac`]; without it nothing is left of identities there.
    pub fn with_identity_key(self, key: [u8; 32]) -> Self {
        Self {
            identity_key: Some(HashKey::new(key)),
            ..self
        }
    }

    /// Replaces every secret in a request.
    pub fn redact(&self, request: Request) -> Redacted {
        Redacted {
            request: walk::request(self, request),
            extras: self.extras,
        }
    }

    /// Replaces every secret in a text; borrowed when it has none. This is not counted in the tally.
    pub fn redact_text<'a>(&self, text: &'a str) -> (Cow<'a, str>, Hits) {
        self.search(text, Scope::All)
    }

    fn search<'a>(&self, text: &'a str, scope: Scope) -> (Cow<'a, str>, Hits) {
        match &self.engine {
            Some(engine) => engine.redact(text, scope),
            None => (Cow::Borrowed(text), Hits::default()),
        }
    }

    /// What [`Redactor::redact_text`] replaces, in the order of the places.
    pub fn findings(&self, text: &str) -> Vec<Finding> {
        self.engine
            .as_ref()
            .map_or_else(Vec::new, |engine| explain::findings(engine, text))
    }

    /// What of the configured files of rules is not in force, and why.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// A rule of one's own that is in force here, and that `next` refuses.
    pub fn refused_by<'n>(&self, next: &'n Redactor) -> Option<&'n Refusal> {
        let is_in_force = |id: &str| {
            self.rules()
                .any(|rule| rule.file.is_some() && rule.id == id)
        };
        let refused = |refusal: &&Refusal| refusal.rule.as_deref().is_some_and(is_in_force);
        next.refusals.iter().find(refused)
    }

    /// The rules in force, in the order in which they were read, and what finds secrets beside them.
    pub fn rules(&self) -> impl Iterator<Item = RuleInfo<'_>> {
        let rules = self.engine.iter().flat_map(|engine| engine.rules());
        let rules = rules.map(|rule| RuleInfo {
            id: &rule.id,
            kind: &rule.kind,
            file: rule.source.as_ref().map(|place| &*place.file),
        });
        let beside = self.engine.iter().flat_map(|_| Engine::built_in_kinds());
        rules.chain(beside.map(|kind| RuleInfo {
            id: kind,
            kind,
            file: None,
        }))
    }

    /// How many rules are in force.
    pub fn rule_count(&self) -> usize {
        self.engine
            .as_ref()
            .map_or(0, |engine| engine.rules().len())
    }

    /// Checks every rule on its examples and counter-examples.
    ///
    /// # Errors
    /// Every rule that fails its own.
    pub fn check_rules(&self) -> Result<(), Vec<RuleError>> {
        let Some(engine) = &self.engine else {
            return Ok(());
        };
        let failures: Vec<RuleError> = engine
            .rules()
            .iter()
            .filter_map(|rule| rule.check(|text| engine.spans(text)).err())
            .collect();
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }
}
