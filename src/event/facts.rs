//! What one log record says: who, where, what, how much.

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::{
    Activity, Attributes, EDGE_ID, EDGE_SEQ, EDGE_VERSION, HEARTBEAT, LOST, RECORD_UID,
    REDACTION_COUNT, Report, Timestamp, ToolName,
};

/// Prefixes that clients put before an event's name in the body, and some also in `event.name`.
const NAME_PREFIXES: [&str; 3] = ["claude_code.", "claude_cowork.", "cowork."];

/// Identity attributes that are kept per agent, whether or not they name it.
const IDENTITY_KEYS: [&str; 8] = [
    "user.email",
    "user.id",
    "user.account_uuid",
    "user.account_id",
    "organization.id",
    "enduser.id",
    "process.owner",
    "identity.source",
];

/// Who a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentIdentity {
    /// By e-mail, trimmed and in lower case.
    Email(String),
    /// By the first of `user.id`, `enduser.id`, `user.account_uuid`, `process.owner`.
    Id(String),
}

impl AgentIdentity {
    /// Who the attributes say that it is.
    pub fn read(attributes: &Attributes<'_>) -> Option<AgentIdentity> {
        if let Some(email) = attributes.text("user.email") {
            return Some(AgentIdentity::Email(email.to_lowercase()));
        }
        [
            "user.id",
            "enduser.id",
            "user.account_uuid",
            "process.owner",
        ]
        .iter()
        .find_map(|key| attributes.text(key))
        .map(AgentIdentity::Id)
    }

    /// The owner that the inventory shows: the e-mail, else the raw id.
    pub fn owner(&self) -> &str {
        match self {
            AgentIdentity::Email(email) => email,
            AgentIdentity::Id(id) => id,
        }
    }

    /// `Cowork/<part of the e-mail before @>`, or `Cowork/<id>`.
    pub fn name(&self) -> String {
        let prefix = match self {
            AgentIdentity::Email(email) => match email.split_once('@') {
                Some((prefix, _)) if !prefix.is_empty() => prefix,
                _ => email,
            },
            AgentIdentity::Id(id) => id,
        };
        format!("Cowork/{prefix}")
    }
}

/// What a record says about the machine it came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFacts {
    /// `fieldpost.edge.id`.
    pub id: String,
    /// The record's number at that edge.
    pub seq: Option<i64>,
    /// `host.name`.
    pub host_name: Option<String>,
    /// `os.type` and `os.version`.
    pub os: Option<String>,
    /// `fieldpost.edge.version`.
    pub edge_version: Option<String>,
    /// For a heartbeat: what the edge says of its queue.
    pub heartbeat: Option<Heartbeat>,
}

/// What an edge says about itself once a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Records waiting when it was written.
    pub queue_records: i64,
    /// Bytes waiting when it was written.
    pub queue_bytes: i64,
    /// The rest of what it says.
    pub report: Report,
    /// Numbers of records that will not come, with the reason: first and last.
    pub lost: Vec<(String, i64, i64)>,
    /// How many records did not come so far, by reason.
    pub lost_counts: Vec<(String, i64)>,
}

/// What one log record says. Absent is `None`, never a default.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// `log.record.uid`; empty when the record has not been identified.
    pub uid: String,
    /// Short event name without the client's prefix; `unknown` when there is none.
    pub name: String,
    /// What the event is about.
    pub activity: Activity,
    /// When it happened by the client's clock, if the record says so.
    pub time: Option<Timestamp>,
    /// Who it is about.
    pub agent: Option<AgentIdentity>,
    /// Every identity attribute, by key.
    pub identities: Vec<(&'static str, String)>,
    /// `session.id`.
    pub session: Option<String>,
    /// `prompt.id`.
    pub prompt: Option<String>,
    /// `event.sequence`, a counter of the client's process.
    pub sequence: Option<i64>,
    /// The tool, on tool events.
    pub tool: Option<ToolName>,
    /// `tool_use_id`.
    pub tool_use_id: Option<String>,
    /// The model, without a suffix such as `[1m]`.
    pub model: Option<String>,
    /// `workspace.host_paths`.
    pub directories: Vec<String>,
    /// `accept` or `reject`, on `tool_decision`.
    pub decision: Option<String>,
    /// Who decided.
    pub decision_source: Option<String>,
    /// Whether it succeeded.
    pub success: Option<bool>,
    /// Duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// The client's estimate in millionths of a US dollar: whole, so that sums do not depend on order.
    pub cost_micros: Option<i64>,
    /// Tokens sent to the model, without cached ones.
    pub input_tokens: Option<i64>,
    /// Tokens that the model wrote.
    pub output_tokens: Option<i64>,
    /// Tokens read from the prompt cache.
    pub cache_read_tokens: Option<i64>,
    /// Tokens written to the prompt cache.
    pub cache_creation_tokens: Option<i64>,
    /// Secrets that the edge took out.
    pub redactions: i64,
    /// Version of the client: the scope's, which Desktop and Cowork tell apart from the app's.
    pub client_version: Option<String>,
    /// `service.name`.
    pub service: Option<String>,
    /// The edge that the record came through.
    pub machine: Option<MachineFacts>,
}

impl Facts {
    /// Reads a record with its resource's attributes and its scope.
    pub fn read(
        record: &LogRecord,
        resource: &[KeyValue],
        scope: Option<&InstrumentationScope>,
    ) -> Facts {
        let attributes = Attributes::new(&record.attributes, resource);
        let name = event_name(record).unwrap_or_else(|| "unknown".to_owned());
        let activity = Activity::of_event(&name);
        let agent = (activity != Activity::Machine)
            .then(|| AgentIdentity::read(&attributes))
            .flatten();
        let is_tool_event = matches!(
            activity,
            Activity::ToolInvocation | Activity::PermissionDecision
        );
        let facts = Facts {
            uid: attributes.text(RECORD_UID).unwrap_or_default(),
            time: event_time(record, &attributes),
            identities: IDENTITY_KEYS
                .iter()
                .filter_map(|key| Some((*key, attributes.text(key)?)))
                .collect(),
            agent,
            session: attributes.text("session.id"),
            prompt: attributes.text("prompt.id"),
            sequence: attributes.integer("event.sequence"),
            tool: is_tool_event.then(|| ToolName::read(&attributes)).flatten(),
            tool_use_id: attributes.text("tool_use_id"),
            model: model(&attributes),
            directories: directories(&attributes),
            decision: (activity == Activity::PermissionDecision)
                .then(|| attributes.text("decision"))
                .flatten(),
            decision_source: attributes
                .text("source")
                .or_else(|| attributes.text("decision_source"))
                .filter(|_| is_tool_event),
            success: attributes.boolean("success"),
            duration_ms: count(&attributes, "duration_ms"),
            cost_micros: cost_micros(&attributes),
            input_tokens: count(&attributes, "input_tokens"),
            output_tokens: count(&attributes, "output_tokens"),
            cache_read_tokens: count(&attributes, "cache_read_tokens"),
            cache_creation_tokens: count(&attributes, "cache_creation_tokens"),
            redactions: count(&attributes, REDACTION_COUNT).unwrap_or(0),
            client_version: scope
                .map(|scope| scope.version.clone())
                .filter(|version| !version.is_empty())
                .or_else(|| attributes.text("app.version"))
                .or_else(|| attributes.text("service.version")),
            service: attributes.text("service.name"),
            machine: machine(&name, &attributes),
            name,
            activity,
        };
        facts.bounded()
    }

    /// The same with every text that others are grouped by in a form that any index takes.
    fn bounded(mut self) -> Facts {
        let agent = self.agent.iter_mut().map(|agent| match agent {
            AgentIdentity::Email(text) | AgentIdentity::Id(text) => text,
        });
        let identities = self.identities.iter_mut().map(|(_, value)| value);
        let tool = self.tool.iter_mut().map(|tool| &mut tool.name);
        let machine = self.machine.iter_mut().flat_map(|machine| {
            let told = [
                &mut machine.host_name,
                &mut machine.os,
                &mut machine.edge_version,
            ];
            told.into_iter().flatten().chain([&mut machine.id])
        });
        let optional = [
            &mut self.session,
            &mut self.prompt,
            &mut self.model,
            &mut self.client_version,
            &mut self.service,
        ];
        optional
            .into_iter()
            .flatten()
            .chain([&mut self.name])
            .chain(&mut self.directories)
            .chain(agent)
            .chain(identities)
            .chain(tool)
            .chain(machine)
            .for_each(bound);
        self
    }

    /// Whether the event is a failure: an API error or refusal, or a tool that did not succeed.
    pub fn is_error(&self) -> bool {
        self.activity == Activity::Error
            || (self.activity == Activity::ToolInvocation && self.success == Some(false))
    }

    /// Whether the event is a permission refused.
    pub fn is_denial(&self) -> bool {
        self.decision.as_deref() == Some("reject")
    }
}

/// Longest text that others are grouped by, in bytes: PostgreSQL's indexes hold no key of 2704 bytes,
/// and keys have up to two such texts.
const MAX_GROUPING: usize = 1_000;

/// Cuts a text that is too long, and puts a hash of all of it in the place of the rest, so that two long
/// texts stay two; takes out NUL, which PostgreSQL's texts cannot hold.
pub fn bound(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
    if text.len() > MAX_GROUPING {
        let hash = blake3::hash(text.as_bytes()).to_hex();
        text.truncate(text.floor_char_boundary(MAX_GROUPING - 40));
        text.push('…');
        text.push_str(&hash[..32]);
    }
}

/// The short name of the event that a record tells of, without the client's prefix, wherever the
/// client puts it: in `event.name`, in the field of that name, or in the body.
pub fn event_name(record: &LogRecord) -> Option<String> {
    let named = Attributes::new(&record.attributes, &[])
        .text("event.name")
        .or_else(|| Some(record.event_name.clone()).filter(|name| !name.is_empty()))
        .or_else(|| body_name(record))?;
    let short = NAME_PREFIXES
        .iter()
        .find_map(|prefix| named.strip_prefix(prefix));
    Some(short.unwrap_or(&named).to_owned())
}

/// The event's name from a body such as `claude_code.tool_result`; any other body is no name.
fn body_name(record: &LogRecord) -> Option<String> {
    let Some(Value::StringValue(body)) = &record.body.as_ref()?.value else {
        return None;
    };
    NAME_PREFIXES
        .iter()
        .any(|prefix| body.starts_with(prefix))
        .then(|| body.clone())
}

fn event_time(record: &LogRecord, attributes: &Attributes<'_>) -> Option<Timestamp> {
    [record.time_unix_nano, record.observed_time_unix_nano]
        .into_iter()
        .find(|nanos| *nanos != 0)
        .map(|nanos| Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX)))
        .or_else(|| attributes.text("event.timestamp")?.parse().ok())
}

/// The model for grouping: `claude-opus-4-8[1m]` is `claude-opus-4-8`, `<synthetic>` is none.
fn model(attributes: &Attributes<'_>) -> Option<String> {
    let raw = attributes.text("model")?;
    let name = match raw.split_once('[') {
        Some((name, suffix)) if suffix.ends_with(']') => name.trim_end().to_owned(),
        _ => raw,
    };
    (!name.is_empty() && !name.starts_with('<')).then_some(name)
}

/// Directories that are believed of one record: all that is made of it is made for each of them.
const MAX_DIRECTORIES: usize = 200;

/// The directories a person gave to the client, each once: an array, one string, or one string
/// with several paths joined by `|`.
fn directories(attributes: &Attributes<'_>) -> Vec<String> {
    const KEY: &str = "workspace.host_paths";
    let mut paths = match attributes.get(KEY) {
        Some(Value::StringValue(joined)) => joined
            .split('|')
            .map(|path| path.trim().to_owned())
            .filter(|path| !path.is_empty())
            .collect(),
        _ => attributes.list(KEY),
    };
    paths.sort();
    paths.dedup();
    paths.truncate(MAX_DIRECTORIES);
    paths
}

/// Largest count, duration or cost that is believed of one record: ten thousand million tokens, ten thousand
/// dollars. More than nine hundred million such records fit into a sum of 64 bits.
const MAX_COUNT: i64 = 10_000_000_000;

/// Largest number of a record that is believed. An edge that numbers as much as it takes at most, a hundred
/// thousand records each second, gets there after three hundred years.
const MAX_NUMBER: i64 = 1_000_000_000_000_000;

fn count(attributes: &Attributes<'_>, key: &str) -> Option<i64> {
    attributes
        .integer(key)
        .filter(|count| (0..=MAX_COUNT).contains(count))
}

fn cost_micros(attributes: &Attributes<'_>) -> Option<i64> {
    count(attributes, "cost_usd_micros").or_else(|| {
        let micros = (attributes.number("cost_usd")? * 1e6).round();
        (0.0..=MAX_COUNT as f64)
            .contains(&micros)
            .then_some(micros as i64)
    })
}

fn machine(name: &str, attributes: &Attributes<'_>) -> Option<MachineFacts> {
    let os = match (attributes.text("os.type"), attributes.text("os.version")) {
        (Some(kind), Some(version)) => Some(format!("{kind} {version}")),
        (kind, version) => kind.or(version),
    };
    Some(MachineFacts {
        id: attributes.text(EDGE_ID)?,
        seq: attributes
            .integer(EDGE_SEQ)
            .filter(|seq| (1..=MAX_NUMBER).contains(seq)),
        host_name: attributes.text("host.name"),
        os,
        edge_version: attributes.text(EDGE_VERSION),
        heartbeat: (name == HEARTBEAT).then(|| Heartbeat {
            queue_records: attributes.integer("queue.records").unwrap_or(0),
            queue_bytes: attributes.integer("queue.bytes").unwrap_or(0),
            report: Report::of(attributes),
            lost: lost_ranges(attributes),
            lost_counts: lost_counts(attributes),
        }),
    })
}

/// Reasons and ranges that are believed of one heartbeat.
const MAX_LOST: usize = 4096;

fn lost_ranges(attributes: &Attributes<'_>) -> Vec<(String, i64, i64)> {
    let mut lost = Vec::new();
    for (key, value) in attributes.starting_with(LOST) {
        if let Some(reason) = key.strip_suffix(".ranges").filter(|it| is_reason(it))
            && let Value::ArrayValue(list) = value
        {
            let (pairs, _) = list.values.as_chunks::<2>();
            for [first, last] in pairs {
                if let (Some(first), Some(last)) = (number(first), number(last))
                    && first <= last
                {
                    lost.push((reason.to_owned(), first, last));
                }
            }
        }
    }
    lost.truncate(MAX_LOST);
    lost
}

fn lost_counts(attributes: &Attributes<'_>) -> Vec<(String, i64)> {
    let counts = attributes
        .starting_with(LOST)
        .filter_map(|(reason, value)| {
            let Value::IntValue(count) = value else {
                return None;
            };
            (is_reason(reason) && (1..=MAX_NUMBER).contains(count))
                .then(|| (reason.to_owned(), *count))
        });
    counts.take(MAX_LOST).collect()
}

/// A word, so that what an edge of a later version says is shown too.
fn is_reason(word: &str) -> bool {
    (1..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// A record's number.
fn number(value: &AnyValue) -> Option<i64> {
    match value.value {
        Some(Value::IntValue(number)) if (1..=MAX_NUMBER).contains(&number) => Some(number),
        _ => None,
    }
}
