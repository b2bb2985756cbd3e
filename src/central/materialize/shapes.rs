//! Which events each version of a client sends on each day, and which attributes they carry: where a kind
//! of event or an attribute falls away, it shows.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

use crate::event::Activity;

use super::{NewEvent, entry};

/// The attributes that are looked for (WIRE.md, section 2), none of them content: sums stay when content is
/// deleted. Each place is a bit in the store, so that names are added at the end only.
const ATTRIBUTES: [&str; 60] = [
    "user.email",
    "user.id",
    "user.account_uuid",
    "user.account_id",
    "organization.id",
    "session.id",
    "prompt.id",
    "terminal.type",
    "event.sequence",
    "event.timestamp",
    "app.version",
    "app.entrypoint",
    "process.owner",
    "enduser.id",
    "workspace.host_paths",
    "vcs.repository.url.full",
    "prompt_length",
    "message.uuid",
    "response_length",
    "model",
    "request_id",
    "client_request_id",
    "query_source",
    "tool_name",
    "tool_use_id",
    "success",
    "duration_ms",
    "ttft_ms",
    "decision",
    "source",
    "decision_type",
    "decision_source",
    "tool_source",
    "tool_input_size_bytes",
    "tool_result_size_bytes",
    "error_type",
    "mcp_server_scope",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
    "cost_usd",
    "cost_usd_micros",
    "speed",
    "effort",
    "agent.name",
    "skill.name",
    "plugin.name",
    "marketplace.name",
    "mcp_server.name",
    "mcp_tool.name",
    "status_code",
    "attempt",
    "status",
    "transport_type",
    "server_scope",
    "server_name",
    "hook_event",
    "hook_name",
    "trigger",
];

/// The bit of each attribute.
static BITS: LazyLock<HashMap<&str, u64>> = LazyLock::new(|| {
    let bits = (0..).map(|place| 1 << place);
    ATTRIBUTES.into_iter().zip(bits).collect()
});

/// Which attributes an event carries, of those that are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape(u64);

impl Shape {
    /// The attributes of a record or of its resource. One without a value, or with a blank one, is not there;
    /// one with an empty value is: where text was stored apart from its record, that is what stays.
    pub fn of(attributes: &[KeyValue]) -> Shape {
        let said = attributes.iter().filter(|attribute| {
            let value = attribute.value.as_ref();
            match value.map(|it| &it.value) {
                Some(Some(Value::StringValue(text))) => !text.trim().is_empty(),
                value => value.is_some(),
            }
        });
        let bits = said.filter_map(|attribute| BITS.get(attribute.key.as_str()));
        Shape(bits.fold(0, |all, bit| all | bit))
    }

    /// What either carries.
    pub fn with(self, other: Shape) -> Shape {
        Shape(self.0 | other.0)
    }

    /// The shape with this number in the store.
    pub fn from_number(number: i64) -> Shape {
        Shape(number.cast_unsigned())
    }

    /// Its number in the store.
    pub fn number(self) -> i64 {
        self.0.cast_signed()
    }

    /// The names of the attributes.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let bits = (0..).map(move |place| self.0 & (1 << place) != 0);
        ATTRIBUTES
            .into_iter()
            .zip(bits)
            .filter_map(|(name, is_there)| is_there.then_some(name))
    }
}

/// Events by day, client, version, name and shape.
pub type Shapes = BTreeMap<i64, By<By<By<BTreeMap<i64, i64>>>>>;

/// Parts of a sum by a name.
type By<T> = BTreeMap<String, T>;

/// Adds an event.
pub(super) fn add(shapes: &mut Shapes, event: &NewEvent) {
    let facts = &event.facts;
    // What edges say of themselves comes from no client.
    if facts.activity == Activity::Machine {
        return;
    }
    let of_day = shapes.entry(event.time.day()).or_default();
    let client = facts.service.as_deref().unwrap_or_default();
    let of_client = entry(of_day, client, BTreeMap::new);
    let version = facts.client_version.as_deref().unwrap_or_default();
    let of_version = entry(of_client, version, BTreeMap::new);
    let of_name = entry(of_version, &facts.name, BTreeMap::new);
    *of_name.entry(event.shape.number()).or_default() += 1;
}

/// Adds what others add.
pub(super) fn merge(into: &mut Shapes, from: Shapes) {
    for (day, clients) in from {
        let of_day = into.entry(day).or_default();
        for (client, versions) in clients {
            let of_client = of_day.entry(client).or_default();
            for (version, names) in versions {
                let of_version = of_client.entry(version).or_default();
                for (name, counts) in names {
                    let of_name = of_version.entry(name).or_default();
                    for (shape, events) in counts {
                        *of_name.entry(shape).or_default() += events;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{attribute, is_content};

    use super::*;

    #[test]
    fn a_shape_names_what_is_said_and_is_no_content() {
        assert!(ATTRIBUTES.iter().all(|name| !is_content(name)));
        let text = |key, text: &str| attribute(key, Value::StringValue(text.to_owned()));
        let record = Shape::of(&[
            text("session.id", "s"),
            text("user.email", " "),
            text("prompt", "hello"),
            attribute("success", Value::BoolValue(false)),
            KeyValue {
                key: "model".to_owned(),
                ..KeyValue::default()
            },
        ]);
        let shape = record.with(Shape::of(&[text("process.owner", "ada")]));
        let names: Vec<&str> = Shape::from_number(shape.number()).names().collect();
        assert_eq!(names, ["session.id", "process.owner", "success"]);
    }
}
