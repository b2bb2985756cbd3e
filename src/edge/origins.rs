//! Who sends records: for each account and program when the last came, and with which e-mail addresses.
//!
//! It is read off redacted records, kept in memory alone, bounded, and told to those who may see
//! records.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde::{Deserialize, Serialize};

use crate::event::{Attributes, Timestamp};
use crate::otlp::Request;

use super::owner::Owner;

/// The scope of the edge's own records, such as those that doctor sends.
const OWN_SCOPE: &str = "fieldpost.edge";

/// Most accounts with a program each; further ones are not told apart from each other.
const ORIGINS_MAX: usize = 256;

/// Most e-mail addresses of one of them.
const EMAILS_MAX: usize = 8;

/// Longest text that is kept, in bytes.
const TEXT_MAX_BYTES: usize = 128;

/// All of them since the edge started. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(Arc<Mutex<BTreeMap<Key, Origin>>>);

/// The account's number and the program.
type Key = (Option<u32>, String);

/// What one account has sent with one program since the edge started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The account's number; `None` when it could not be told.
    pub(super) uid: Option<u32>,
    /// Its name, if the system has one for it.
    pub(super) account: Option<String>,
    /// `app.entrypoint`, or else `terminal.type`.
    pub(super) program: String,
    /// When the last record came.
    pub(super) last: Timestamp,
    /// Log records.
    pub(super) records: u64,
    /// Of these, how many had no `user.email`.
    pub(super) without_email: u64,
    /// The `user.email`s of the others.
    pub(super) emails: BTreeSet<String>,
}

impl Origin {
    /// The account in words.
    pub(super) fn who(&self) -> String {
        match (&self.account, self.uid) {
            (Some(account), _) => account.clone(),
            (None, Some(uid)) => format!("uid {uid}"),
            (None, None) => "an unknown account".to_owned(),
        }
    }
}

impl Origins {
    /// Records were stored.
    pub(super) fn add(&self, seen: Vec<Origin>) {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for origin in seen {
            let mut key = (origin.uid, origin.program.clone());
            if origins.len() >= ORIGINS_MAX && !origins.contains_key(&key) {
                key = (None, "others".to_owned());
            }
            merge(&mut origins, key, origin);
        }
    }

    /// The latest come first.
    pub(super) fn list(&self) -> Vec<Origin> {
        let origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<Origin> = origins.values().cloned().collect();
        list.sort_by_key(|origin| std::cmp::Reverse(origin.last));
        list
    }
}

/// Where the log records of a redacted request come from, which `owner` has posted.
pub(super) fn seen(request: &Request, owner: Option<&Owner>, now: Timestamp) -> Vec<Origin> {
    let Request::Logs(logs) = request else {
        return Vec::new();
    };
    let mut programs: BTreeMap<&str, Sent> = BTreeMap::new();
    for resource in &logs.resource_logs {
        let shared = resource.resource.as_ref();
        let shared = shared.map_or(&[][..], |resource| &resource.attributes);
        for scope in &resource.scope_logs {
            let name = scope.scope.as_ref().map(|scope| scope.name.as_str());
            if name == Some(OWN_SCOPE) {
                continue;
            }
            for record in &scope.log_records {
                let attributes = Attributes::new(&record.attributes, shared);
                let program = text(attributes, "app.entrypoint");
                let program = program.or_else(|| text(attributes, "terminal.type"));
                let sent = programs.entry(program.unwrap_or("unknown")).or_default();
                sent.records += 1;
                match text(attributes, "user.email") {
                    None => sent.without_email += 1,
                    Some(email) if sent.emails.len() < EMAILS_MAX => {
                        sent.emails.insert(email);
                    }
                    Some(_) => {}
                }
            }
        }
    }
    let origin = |(program, sent): (&str, Sent<'_>)| Origin {
        uid: owner.map(|owner| owner.uid),
        account: owner.and_then(|owner| owner.name.clone()),
        program: program.to_owned(),
        last: now,
        records: sent.records,
        without_email: sent.without_email,
        emails: sent.emails.into_iter().map(str::to_owned).collect(),
    };
    programs.into_iter().map(origin).collect()
}

/// What one program sent in one request. It borrows: this is on the way of every record.
#[derive(Default)]
struct Sent<'r> {
    records: u64,
    without_email: u64,
    emails: BTreeSet<&'r str>,
}

fn merge(origins: &mut BTreeMap<Key, Origin>, key: Key, later: Origin) {
    match origins.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(later);
        }
        Entry::Occupied(mut occupied) => {
            let origin = occupied.get_mut();
            origin.account = later.account.or(origin.account.take());
            origin.last = origin.last.max(later.last);
            origin.records += later.records;
            origin.without_email += later.without_email;
            let room = EMAILS_MAX.saturating_sub(origin.emails.len());
            origin.emails.extend(later.emails.into_iter().take(room));
        }
    }
}

fn text<'a>(attributes: Attributes<'a>, key: &str) -> Option<&'a str> {
    match attributes.get(key)? {
        Value::StringValue(text) => {
            let text = text.trim();
            let end = text.floor_char_boundary(TEXT_MAX_BYTES);
            (!text.is_empty()).then_some(&text[..end])
        }
        _ => None,
    }
}
