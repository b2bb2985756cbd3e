//! The columns of each list, and the cells of its rows.

use serde::Serialize;

use crate::central::conversation::decision_of;
use crate::central::defects::{Defect, of_version};
use crate::central::portal::event_row::machine_name;
use crate::central::portal::preferences::Preferences;
use crate::central::portal::signals::Message;
use crate::central::store::{
    Agent, ClientVersion, Entity, EntityUser, Event, Machine, Owner, ReceivedSignal, Session,
};
use crate::event::Timestamp;
use crate::event::content::Content;

pub(super) use accounts::*;

mod accounts;

pub(super) const EVENT_COLUMNS: [&str; 22] = [
    "time",
    "received_at",
    "agent",
    "agent_id",
    "type",
    "event",
    "tool",
    "model",
    "decision",
    "source",
    "success",
    "duration_ms",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "session",
    "machine",
    "client_version",
    "redactions",
    "text",
    "text_state",
    "id",
];

pub(super) const SESSION_COLUMNS: [&str; 19] = [
    "started_at",
    "ended_at",
    "session",
    "agent",
    "agent_id",
    "owner",
    "turns",
    "events",
    "tools",
    "denied",
    "errors",
    "model_requests",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "models",
    "directories",
    "client_version",
    "machines",
];

pub(super) const SIGNAL_COLUMNS: [&str; 11] = [
    "time",
    "received_at",
    "names",
    "points",
    "user_email",
    "user_id",
    "host_name",
    "edge_id",
    "session",
    "client_version",
    "id",
];

pub(super) const AGENT_COLUMNS: [&str; 19] = [
    "agent",
    "agent_id",
    "owner",
    "user_email",
    "user_id",
    "platform",
    "client_version",
    "first_seen",
    "last_seen",
    "activity",
    "events",
    "sessions",
    "sessions_7d",
    "tools",
    "mcp_tools",
    "models",
    "cost_usd",
    "cost_usd_30d",
    "completeness",
];

pub(super) const USER_COLUMNS: [&str; 7] = [
    "agent",
    "agent_id",
    "owner",
    "first_used",
    "last_used",
    "uses",
    "denied",
];

pub(super) const VERSION_COLUMNS: [&str; 5] =
    ["client", "version", "agents", "last_seen", "known_defects"];

pub(super) const OWNER_COLUMNS: [&str; 6] = [
    "owner",
    "user_email",
    "agent_ids",
    "first_seen",
    "last_seen",
    "events",
];

pub(super) const ENTITY_COLUMNS: [&str; 10] = [
    "name",
    "kind",
    "protocol",
    "first_seen",
    "last_seen",
    "events",
    "uses",
    "denied",
    "agents",
    "sessions",
];

pub(super) const MACHINE_COLUMNS: [&str; 16] = [
    "machine",
    "id",
    "system",
    "edge_version",
    "state",
    "first_seen",
    "last_seen",
    "last_heartbeat",
    "appended",
    "stored",
    "waiting",
    "dropped",
    "unexplained",
    "parked",
    "clock_offset_seconds",
    "token_expires_at",
];

pub(super) fn event(event: &Event, preferences: &Preferences) -> Vec<String> {
    let (decision, source) = decision_of(event).unwrap_or_default();
    let content = match event.name.as_str() {
        "user_prompt" => Some(Content::prompt(&event.attributes)),
        "assistant_response" => Some(Content::response(&event.attributes)),
        "tool_result" => Some(Content::tool_argument(&event.attributes)),
        _ => event.text("error").map(|text| Content::Text {
            text: text.to_owned(),
        }),
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |value: Option<i64>| value.map_or(String::new(), |value| value.to_string());
    vec![
        preferences.with_offset(event.time),
        preferences.with_offset(event.received_at),
        text(&event.agent_name),
        text(&event.agent_id),
        event.activity.slug().to_owned(),
        event.name.clone(),
        text(&event.tool),
        text(&event.model),
        decision.to_owned(),
        source.unwrap_or_default().to_owned(),
        event
            .success
            .map_or(String::new(), |success| success.to_string()),
        number(event.duration_ms),
        event
            .cost_usd
            .map_or(String::new(), |cost| cost.to_string()),
        number(event.input_tokens),
        number(event.output_tokens),
        text(&event.session_id),
        machine_name(event).unwrap_or_default(),
        event.scope_version.clone(),
        event.redaction_count.to_string(),
        content
            .as_ref()
            .and_then(Content::text)
            .unwrap_or_default()
            .to_owned(),
        content.as_ref().map_or("", Content::state).to_owned(),
        event.id.clone(),
    ]
}

pub(super) fn session(session: &Session, preferences: &Preferences) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    vec![
        preferences.with_offset(session.started_at),
        preferences.with_offset(session.ended_at),
        session.id.clone(),
        text(&session.agent_name),
        text(&session.agent_id),
        text(&session.owner),
        session.turn_count.to_string(),
        session.event_count.to_string(),
        session.tool_count.to_string(),
        session.denied_count.to_string(),
        session.error_count.to_string(),
        session.request_count.to_string(),
        session.input_tokens.to_string(),
        session.output_tokens.to_string(),
        session.cost_usd.to_string(),
        session.models.join("; "),
        session.directories.join("; "),
        text(&session.client_version),
        session.machines.join("; "),
    ]
}

pub(super) fn agent(agent: &Agent, preferences: &Preferences) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    vec![
        agent.name.clone(),
        agent.id.clone(),
        agent.owner.clone(),
        text(&agent.user_email),
        text(&agent.user_id),
        text(&agent.service),
        text(&agent.client_version),
        preferences.with_offset(agent.first_seen),
        preferences.with_offset(agent.last_seen),
        word(agent.activity),
        agent.event_count.to_string(),
        agent.session_count.to_string(),
        agent.session_count_7d.to_string(),
        agent.tool_count.to_string(),
        agent.mcp_tool_count.to_string(),
        agent.model_count.to_string(),
        agent.cost_usd.to_string(),
        agent.cost_usd_30d.to_string(),
        agent.completeness.map_or(String::new(), word),
    ]
}

pub(super) fn user(user: &EntityUser, preferences: &Preferences) -> Vec<String> {
    vec![
        user.agent_name.clone(),
        user.agent_id.clone(),
        user.owner.clone(),
        preferences.with_offset(user.first_seen),
        preferences.with_offset(user.last_seen),
        user.use_count.to_string(),
        user.denied_count.to_string(),
    ]
}

pub(super) fn version(version: &ClientVersion, preferences: &Preferences) -> Vec<String> {
    let defects = of_version(&version.version).map(Defect::words);
    vec![
        version.client.clone().unwrap_or_default(),
        version.version.clone(),
        version.agent_count.to_string(),
        preferences.with_offset(version.last_seen),
        defects.collect::<Vec<_>>().join("; "),
    ]
}

/// A time in the person's zone; nothing where there is none.
fn time_of(time: Option<Timestamp>, preferences: &Preferences) -> String {
    time.map_or(String::new(), |time| preferences.with_offset(time))
}

/// A value as the API says it.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn owner(owner: &Owner, preferences: &Preferences) -> Vec<String> {
    vec![
        owner.owner.clone(),
        owner.user_email.clone().unwrap_or_default(),
        owner.agent_ids.join("; "),
        preferences.with_offset(owner.first_seen),
        preferences.with_offset(owner.last_seen),
        owner.event_count.to_string(),
    ]
}

pub(super) fn entity(entity: &Entity, preferences: &Preferences) -> Vec<String> {
    vec![
        entity.name.clone(),
        entity.kind.slug().to_owned(),
        entity.protocol.unwrap_or_default().to_owned(),
        preferences.with_offset(entity.first_seen),
        preferences.with_offset(entity.last_seen),
        entity.event_count.to_string(),
        entity.use_count.to_string(),
        entity.denied_count.to_string(),
        entity.agent_count.to_string(),
        entity.session_count.to_string(),
    ]
}

pub(super) fn machine(machine: &Machine, preferences: &Preferences) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |value: Option<i64>| value.map_or(String::new(), |value| value.to_string());
    let time = |time| time_of(time, preferences);
    let dropped = machine.dropped_records();
    vec![
        text(&machine.host_name),
        machine.id.clone(),
        text(&machine.os),
        text(&machine.edge_version),
        word(machine.state),
        preferences.with_offset(machine.first_seen),
        preferences.with_offset(machine.last_seen),
        time(machine.last_heartbeat),
        machine.last_seq.to_string(),
        machine.stored.to_string(),
        number(machine.queue_records),
        dropped.to_string(),
        machine.missing.to_string(),
        number(machine.parked_records),
        number(machine.clock_offset_seconds),
        time(machine.token_expires_at),
    ]
}

pub(super) fn signal(received: &ReceivedSignal, preferences: &Preferences) -> Vec<String> {
    let message = Message::new(&received.message);
    let text = |key| message.text(key).unwrap_or_default().to_owned();
    vec![
        preferences.with_offset(received.time),
        preferences.with_offset(received.received_at),
        message.names().join("; "),
        message.point_count().to_string(),
        text("user.email"),
        text("user.id"),
        text("host.name"),
        text("fieldpost.edge.id"),
        text("session.id"),
        text("service.version"),
        received.id.clone(),
    ]
}
