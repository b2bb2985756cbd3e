//! What fell away over a fleet: kinds of events, and attributes of them, that a client used to send.
//!
//! Two comparisons, each of what came with what would have come had nothing changed. By version: each
//! version with those before it. By day: since the last day on which something came. A finding needs some
//! tens of events that should have come, so that chance makes none.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::store::{Grain, Scope, Sent, Store, StoreError};

/// Days that are looked at.
pub(super) const DAYS: i64 = 30;

/// So many should have come before anything is said.
const EXPECTED: f64 = 30.0;

/// What is left, at most, of what fell away.
const LEFT: f64 = 0.1;

/// Days on which nothing came before it is said to have ended.
const QUIET_DAYS: i64 = 3;

/// A kind of event, or an attribute of one, that a client used to send.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct FellAway {
    /// The client: `claude-code`, `cowork`, …; empty when its events do not say.
    pub client: String,
    /// The kind of event: `user_prompt`, …
    pub event: String,
    /// The attribute; `None` when the events themselves fell away.
    pub attribute: Option<&'static str>,
    /// The version at which it did; `None` when it did in all at once.
    pub version: Option<String>,
    /// The last day on which it came, when it ended in all versions at once.
    pub last_day: Option<Timestamp>,
    /// Its share before, in percent: of all events of the client, or of the events of its kind.
    pub percent_before: f64,
    /// Its share since.
    pub percent_now: f64,
    /// Events since, of which it is a share.
    pub event_count: i64,
}

/// What is counted: a kind of event, or an attribute of it.
type Key<'a> = (&'a str, Option<&'static str>);

/// How often something came, and among how many.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    hits: i64,
    of: i64,
}

impl Share {
    fn percent(self) -> f64 {
        100.0 * self.hits as f64 / self.of.max(1) as f64
    }

    fn add(&mut self, other: Share) {
        self.hits += other.hits;
        self.of += other.of;
    }

    /// Whether so few came later that they fell away.
    fn fell_to(self, later: Share) -> bool {
        let expected = self.percent() / 100.0 * later.of as f64;
        expected >= EXPECTED && later.hits as f64 <= LEFT * expected
    }
}

/// Counts of one version, or of one day.
#[derive(Default)]
struct Tally<'a> {
    events: i64,
    kinds: BTreeMap<&'a str, i64>,
    attributes: BTreeMap<Key<'a>, i64>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, sent: &'a Sent) {
        self.events += sent.events;
        *self.kinds.entry(&sent.name).or_default() += sent.events;
        for attribute in sent.shape.names() {
            let key = (sent.name.as_str(), Some(attribute));
            *self.attributes.entry(key).or_default() += sent.events;
        }
    }

    /// What it has of something.
    fn share(&self, (event, attribute): Key<'_>) -> Share {
        let events = self.kinds.get(event).copied().unwrap_or(0);
        match attribute {
            None => Share {
                hits: events,
                of: self.events,
            },
            Some(_) => Share {
                hits: self
                    .attributes
                    .get(&(event, attribute))
                    .copied()
                    .unwrap_or(0),
                of: events,
            },
        }
    }

    fn keys(&self) -> impl Iterator<Item = Key<'a>> {
        let kinds = self.kinds.keys().map(|kind| (*kind, None));
        kinds.chain(self.attributes.keys().copied())
    }
}

/// From when on it is looked.
pub(super) fn since(now: Timestamp) -> Timestamp {
    now.days_before(DAYS)
}

/// What fell away in an environment within the last [`DAYS`].
///
/// # Errors
/// [`StoreError`]
pub(super) async fn fell_away(
    store: &Store,
    scope: Scope,
    now: Timestamp,
) -> Result<Vec<FellAway>, StoreError> {
    let since = since(now);
    let versions = store.sent(scope, None, since, Grain::Version).await?;
    let days = store.sent(scope, None, since, Grain::Day).await?;
    let mut found = by_version(&versions);
    let ended = by_day(&days, now.day());
    let is_told = |it: &FellAway| {
        found.iter().any(|told| {
            (&told.client, &told.event, told.attribute) == (&it.client, &it.event, it.attribute)
        })
    };
    let ended: Vec<FellAway> = ended.into_iter().filter(|it| !is_told(it)).collect();
    found.extend(ended);
    Ok(found)
}

/// What fell away at a version of its client.
fn by_version(sent: &[Sent]) -> Vec<FellAway> {
    let mut clients: BTreeMap<&str, BTreeMap<Order<'_>, Tally<'_>>> = BTreeMap::new();
    for sent in sent.iter().filter(|sent| !sent.version.is_empty()) {
        let versions = clients.entry(&sent.client).or_default();
        let tally = versions.entry(order(&sent.version)).or_default();
        tally.add(sent);
    }
    let mut found = Vec::new();
    for (client, versions) in clients {
        let mut before: BTreeMap<Key<'_>, Share> = BTreeMap::new();
        let mut gone: BTreeSet<Key<'_>> = BTreeSet::new();
        for ((_, version), tally) in versions {
            let keys: BTreeSet<Key<'_>> = before.keys().copied().chain(tally.keys()).collect();
            for key in keys {
                let (share, known) = (tally.share(key), before.entry(key).or_default());
                if !known.fell_to(share) {
                    gone.remove(&key);
                    known.add(share);
                } else if gone.insert(key) {
                    found.push(FellAway {
                        version: Some(version.to_owned()),
                        ..FellAway::new(client, key, *known, share)
                    });
                }
            }
        }
    }
    found
}

/// What has not come on the last days, though much else did.
fn by_day(sent: &[Sent], today: i64) -> Vec<FellAway> {
    let mut clients: BTreeMap<&str, BTreeMap<i64, Tally<'_>>> = BTreeMap::new();
    for sent in sent {
        let days = clients.entry(&sent.client).or_default();
        days.entry(sent.day).or_default().add(sent);
    }
    let mut found = Vec::new();
    for (client, days) in clients {
        let mut last: BTreeMap<Key<'_>, i64> = BTreeMap::new();
        for (day, tally) in &days {
            last.extend(tally.keys().map(|key| (key, *day)));
        }
        for (key, last) in last {
            if today - last <= QUIET_DAYS {
                continue;
            }
            let sum = |days: &mut dyn Iterator<Item = (&i64, &Tally<'_>)>| {
                let mut sum = Share::default();
                for (_, tally) in days {
                    sum.add(tally.share(key));
                }
                sum
            };
            let before = sum(&mut days.range(..=last));
            let since = sum(&mut days.range(last + 1..));
            if before.fell_to(since) {
                found.push(FellAway {
                    last_day: Some(Timestamp::of_day(last)),
                    ..FellAway::new(client, key, before, since)
                });
            }
        }
    }
    found
}

impl FellAway {
    fn new(client: &str, (event, attribute): Key<'_>, before: Share, now: Share) -> FellAway {
        FellAway {
            client: client.to_owned(),
            event: event.to_owned(),
            attribute,
            version: None,
            last_day: None,
            percent_before: before.percent(),
            percent_now: now.percent(),
            event_count: now.of,
        }
    }
}

/// A version among others: its numbers, then its words.
type Order<'a> = (Vec<u64>, &'a str);

/// Where a version stands: 2.1.99 before 2.1.100.
pub(super) fn order(version: &str) -> Order<'_> {
    let numbers = version
        .split(['.', '-', '+'])
        .map_while(|it| it.parse().ok());
    (numbers.collect(), version)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use crate::central::materialize::Shape;
    use crate::event::attribute;

    use super::*;

    fn sent(version: &str, day: i64, name: &str, attributes: &[&str], events: i64) -> Sent {
        let attributes: Vec<_> = attributes
            .iter()
            .map(|key| attribute(key, Value::IntValue(1)))
            .collect();
        Sent {
            client: "claude-code".to_owned(),
            version: version.to_owned(),
            day,
            name: name.to_owned(),
            shape: Shape::of(&attributes),
            events,
        }
    }

    fn told(found: &[FellAway]) -> Vec<(&str, Option<&str>, Option<&str>)> {
        let told = found.iter();
        told.map(|it| (it.event.as_str(), it.attribute, it.version.as_deref()))
            .collect()
    }

    #[test]
    fn a_kind_that_a_version_no_longer_sends_is_told_once_and_not_where_it_comes_back() {
        let mut all = Vec::new();
        for version in ["2.1.99", "2.1.100", "2.1.220", "2.1.221", "2.1.222"] {
            all.push(sent(version, 0, "api_request", &["cost_usd"], 5_000));
            if !["2.1.220", "2.1.221"].contains(&version) {
                all.push(sent(version, 0, "user_prompt", &[], 70));
            }
        }
        let found = by_version(&all);
        assert_eq!(told(&found), [("user_prompt", None, Some("2.1.220"))]);
        assert!((found[0].percent_before - 1.38).abs() < 0.01, "{found:?}");
        assert!(found[0].percent_now.abs() < f64::EPSILON && found[0].event_count == 5_000);
    }

    #[test]
    fn an_attribute_that_a_version_leaves_out_is_told() {
        let all = [
            sent("2.1.121", 0, "api_request", &["cost_usd", "model"], 900),
            sent("2.1.121", 0, "api_request", &["model"], 10),
            sent("2.1.122", 0, "api_request", &["model"], 200),
            sent("2.1.122", 0, "api_request", &["cost_usd", "model"], 4),
        ];
        let found = by_version(&all);
        assert_eq!(
            told(&found),
            [("api_request", Some("cost_usd"), Some("2.1.122"))]
        );
    }

    #[test]
    fn too_little_to_tell_is_not_told() {
        let all = [
            sent("2.1.1", 0, "api_request", &[], 10_000),
            sent("2.1.1", 0, "compaction", &[], 30),
            sent("2.1.2", 0, "api_request", &[], 9_000),
        ];
        assert!(by_version(&all).is_empty(), "27 should have come");
    }

    #[test]
    fn what_ended_in_all_versions_at_once_is_told_after_three_days() {
        let mut all = Vec::new();
        for day in 100..110 {
            let attributes: &[&str] = if day < 105 { &["user.email"] } else { &[] };
            all.push(sent("", day, "tool_result", attributes, 40));
        }
        assert!(by_day(&all, 107).is_empty());
        let found = by_day(&all, 109);
        assert_eq!(told(&found), [("tool_result", Some("user.email"), None)]);
        assert_eq!(found[0].last_day, Some(Timestamp::of_day(104)));
    }
}
