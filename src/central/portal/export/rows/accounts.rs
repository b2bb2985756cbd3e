//! Lists of who and what may come in, and of what was done.

use crate::central::portal::preferences::Preferences;
use crate::central::store::{ApiKey, Audited, Member, SavedView, Token};

use super::time_of;

pub(in crate::central::portal::export) const VIEW_COLUMNS: [&str; 6] =
    ["name", "address", "shared", "saved_by", "saved_at", "id"];

pub(in crate::central::portal::export) const TOKEN_COLUMNS: [&str; 13] = [
    "name",
    "id",
    "created_by",
    "issued_at",
    "expires_at",
    "revoked_at",
    "first_used",
    "last_used",
    "requests",
    "events_7d",
    "agents",
    "machines",
    "last_address",
];

pub(in crate::central::portal::export) const PERSON_COLUMNS: [&str; 9] = [
    "name",
    "id",
    "role",
    "role_by_groups",
    "single_sign_on",
    "password",
    "signed_in_browsers",
    "last_seen",
    "created_at",
];

pub(in crate::central::portal::export) const KEY_COLUMNS: [&str; 6] = [
    "name",
    "id",
    "role",
    "created_at",
    "expires_at",
    "last_used",
];

pub(in crate::central::portal::export) const AUDIT_COLUMNS: [&str; 9] = [
    "time", "place", "person", "action", "object", "before", "after", "reason", "address",
];

pub(in crate::central::portal::export) fn view(
    view: &SavedView,
    preferences: &Preferences,
) -> Vec<String> {
    vec![
        view.name.clone(),
        view.address.clone(),
        view.is_shared.to_string(),
        view.saved_by.clone(),
        preferences.with_offset(view.saved_at),
        view.id.clone(),
    ]
}

pub(in crate::central::portal::export) fn token(
    token: &Token,
    preferences: &Preferences,
) -> Vec<String> {
    let time = |time| time_of(time, preferences);
    vec![
        token.name.clone(),
        token.id.clone(),
        token.created_by.clone().unwrap_or_default(),
        time(Some(token.issued_at)),
        time(Some(token.expires_at)),
        time(token.revoked_at),
        time(token.first_used),
        time(token.last_used),
        token.request_count.to_string(),
        token.event_count_7d.to_string(),
        token.agent_count.to_string(),
        token.machine_count.to_string(),
        token.last_address.clone().unwrap_or_default(),
    ]
}

pub(in crate::central::portal::export) fn person(
    member: &Member,
    preferences: &Preferences,
) -> Vec<String> {
    vec![
        member.person.name.clone(),
        member.person.id.clone(),
        member.role.word().to_owned(),
        member.is_by_groups.to_string(),
        member.has_single_sign_on.to_string(),
        member.person.has_password.to_string(),
        member.sign_in_count.to_string(),
        time_of(member.last_seen, preferences),
        preferences.with_offset(member.person.created_at),
    ]
}

pub(in crate::central::portal::export) fn key(
    key: &ApiKey,
    preferences: &Preferences,
) -> Vec<String> {
    let time = |time| time_of(time, preferences);
    vec![
        key.name.clone(),
        key.id.clone(),
        key.role.to_owned(),
        time(Some(key.created_at)),
        time(key.expires_at),
        time(key.last_used),
    ]
}

pub(in crate::central::portal::export) fn audited(
    entry: &Audited,
    preferences: &Preferences,
) -> Vec<String> {
    let texts = [
        &entry.place,
        &entry.person,
        &entry.action,
        &entry.object,
        &entry.before,
        &entry.after,
        &entry.reason,
        &entry.address,
    ];
    let time = preferences.with_offset(entry.time);
    std::iter::once(time)
        .chain(texts.into_iter().cloned())
        .collect()
}
