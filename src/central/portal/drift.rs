//! Inventory → Versions → Drift: which kinds of events, and which of their attributes, each version of a client
//! sends; what fell away; and sessions of which metrics tell, but no events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;

use crate::central::Central;
use crate::central::drift::{self, DAYS, FellAway, fell_away, order};
use crate::central::store::{Grain, Sent, SilentSession};
use crate::event::Timestamp;
use crate::words;

use super::address::with_query;
use super::event_row::{Link, Stamp, Tag};
use super::failure::Failure;
use super::observability::read_query;
use super::shell::{Here, Section, Shell, draw};
use super::text::Text;

/// Versions that are compared side by side, the latest.
const COLUMNS: usize = 6;

#[derive(Template)]
#[template(path = "drift.html", config = "src/central/portal/askama.toml")]
struct DriftPage {
    shell: Shell,
    versions: String,
    /// What is looked at, from the outside in: client, event, attribute; each with its address.
    crumbs: Vec<Link>,
    days: i64,
    fell: Vec<FellRow>,
    grids: Vec<Grid>,
    silent: Vec<SilentRow>,
}

/// Something that fell away.
struct FellRow {
    words: Tag,
    link: Link,
    client: Text,
    since: String,
    of: String,
}

/// Shares by something and by version.
struct Grid {
    title: String,
    corner: &'static str,
    versions: Vec<Text>,
    rows: Vec<GridRow>,
}

struct GridRow {
    name: Link,
    /// One for each version; `None` where it sent nothing of which this were a share.
    shares: Vec<Option<Share>>,
}

struct Share {
    percent: String,
    count: String,
}

/// A session of which metrics tell, and events do not.
struct SilentRow {
    session: Link,
    first: Stamp,
    last: Stamp,
    last_event: Option<Stamp>,
}

/// What is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DriftQuery {
    client: Option<String>,
    event: Option<String>,
    attribute: Option<String>,
}

/// Someone asks what clients send.
pub(super) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
    query: Result<Query<DriftQuery>, QueryRejection>,
) -> Result<Html<String>, Failure> {
    let query = read_query(query)?;
    let (store, scope) = (&central.store, here.scope());
    let now = Timestamp::now();
    let since = drift::since(now);
    let fell = fell_away(store, scope, now).await?;
    let mut grids = Vec::new();
    match (&query.client, &query.event) {
        (Some(client), Some(event)) => {
            let grain = Grain::VersionAndDay;
            let sent = store.sent(scope, Some(client), since, grain).await?;
            grids = grids_of_event(&here, &sent, event, query.attribute.as_deref());
        }
        (client, _) => {
            let grain = Grain::Version;
            let sent = store.sent(scope, client.as_deref(), since, grain).await?;
            let clients: BTreeSet<&str> = sent.iter().map(|it| it.client.as_str()).collect();
            for client in clients {
                let of_client: Vec<&Sent> = sent.iter().filter(|it| it.client == client).collect();
                grids.push(grid_of_client(&here, client, &of_client));
            }
        }
    }
    let silent = store.silent_sessions(scope, since, now).await?;
    draw(&DriftPage {
        shell: here.shell(Section::Versions),
        versions: here.base.inventory("versions"),
        crumbs: crumbs(&here, &query),
        days: DAYS,
        fell: fell.iter().map(|fell| fell_row(&here, fell)).collect(),
        grids,
        silent: silent.iter().map(|it| silent_row(&here, it)).collect(),
    })
}

/// `user_prompt fell from 1.4 % to 0 % at 2.1.220`.
pub(super) fn words_of(fell: &FellAway) -> String {
    let what = match fell.attribute {
        Some(attribute) => format!("{attribute} of {}", fell.event),
        None => fell.event.clone(),
    };
    let before = words::percent(fell.percent_before);
    let now = words::percent(fell.percent_now);
    let since = match (&fell.version, fell.last_day) {
        (Some(version), _) => format!("at {version}"),
        (None, Some(day)) => format!("after {}", day_words(day)),
        (None, None) => "since".to_owned(),
    };
    format!("{what} fell from {before} to {now} {since}")
}

/// The page about what fell away.
pub(super) fn page_of(here: &Here, fell: &FellAway) -> String {
    address(here, &fell.client, Some(&fell.event), fell.attribute)
}

/// `2026-11-20`, a day of UTC.
fn day_words(day: Timestamp) -> String {
    day.to_string().chars().take(10).collect()
}

fn address(here: &Here, client: &str, event: Option<&str>, attribute: Option<&str>) -> String {
    let pairs = [
        Some(("client", client)),
        event.map(|event| ("event", event)),
        attribute.map(|attribute| ("attribute", attribute)),
    ];
    let pairs: Vec<(&str, &str)> = pairs.into_iter().flatten().collect();
    with_query(&here.base.inventory("drift"), &pairs)
}

fn crumbs(here: &Here, query: &DriftQuery) -> Vec<Link> {
    let Some(client) = &query.client else {
        return Vec::new();
    };
    let mut crumbs = vec![
        Link::new(here.base.inventory("drift"), "All clients"),
        Link::new(address(here, client, None, None), client_name(client)),
    ];
    if let Some(event) = &query.event {
        crumbs.push(Link::new(address(here, client, Some(event), None), event));
        let attribute = query.attribute.as_deref();
        crumbs.extend(attribute.map(|attribute| {
            Link::new(
                address(here, client, Some(event), Some(attribute)),
                attribute,
            )
        }));
    }
    crumbs
}

fn client_name(client: &str) -> &str {
    match client {
        "" => "a client without a name",
        client => client,
    }
}

fn fell_row(here: &Here, fell: &FellAway) -> FellRow {
    let name = match fell.attribute {
        Some(attribute) => format!("{}: {attribute}", fell.event),
        None => fell.event.clone(),
    };
    let of = match fell.attribute {
        Some(_) => "events of this kind since",
        None => "events since",
    };
    FellRow {
        words: Tag::new("alert", "warn", words_of(fell)),
        link: Link::new(page_of(here, fell), &name),
        client: Text::name(client_name(&fell.client)),
        since: match (&fell.version, fell.last_day) {
            (Some(version), _) => format!("version {version}"),
            (None, Some(day)) => day_words(day),
            (None, None) => String::new(),
        },
        of: format!("{} {of}", words::count(fell.event_count)),
    }
}

fn silent_row(here: &Here, session: &SilentSession) -> SilentRow {
    SilentRow {
        session: Link::new(here.base.session(&session.session_id), &session.session_id),
        first: Stamp::brief(session.first_metric),
        last: Stamp::brief(session.last_metric),
        last_event: session.last_event.map(Stamp::brief),
    }
}

/// The latest versions among these, the oldest of them first.
fn latest<'a>(sent: impl Iterator<Item = &'a Sent>) -> Vec<&'a str> {
    let all: BTreeSet<_> = sent.map(|sent| order(&sent.version)).collect();
    let skipped = all.len().saturating_sub(COLUMNS);
    all.into_iter().skip(skipped).map(|(_, it)| it).collect()
}

/// How often something came, and among how many, by row and version.
type Counts<'a> = BTreeMap<(String, &'a str), i64>;

fn grid(
    title: String,
    corner: &'static str,
    versions: &[&str],
    rows: Vec<(Link, Vec<(i64, i64)>)>,
) -> Grid {
    let rows = rows.into_iter().map(|(name, shares)| GridRow {
        name,
        shares: shares
            .into_iter()
            .map(|(hits, of)| {
                (of > 0).then(|| Share {
                    percent: words::percent(100.0 * hits as f64 / of as f64),
                    count: words::count(hits),
                })
            })
            .collect(),
    });
    Grid {
        title,
        corner,
        versions: versions
            .iter()
            .map(|version| version_name(version))
            .collect(),
        rows: rows.collect(),
    }
}

fn version_name(version: &str) -> Text {
    match version {
        "" => Text::name("not told"),
        version => Text::name(version),
    }
}

/// Kinds of events of one client, by version.
fn grid_of_client(here: &Here, client: &str, sent: &[&Sent]) -> Grid {
    let versions = latest(sent.iter().copied());
    let (mut all, mut kinds) = (BTreeMap::<&str, i64>::new(), Counts::new());
    for sent in sent {
        *all.entry(&sent.version).or_default() += sent.events;
        *kinds.entry((sent.name.clone(), &sent.version)).or_default() += sent.events;
    }
    let names: BTreeSet<&str> = sent.iter().map(|sent| sent.name.as_str()).collect();
    let rows = names.into_iter().map(|name| {
        let shares = versions.iter().map(|version| {
            let hits = kinds.get(&(name.to_owned(), version)).copied();
            (hits.unwrap_or(0), all.get(version).copied().unwrap_or(0))
        });
        let link = Link::new(address(here, client, Some(name), None), name);
        (link, shares.collect())
    });
    grid(
        format!("Kinds of events of {}", client_name(client)),
        "Kind",
        &versions,
        rows.collect(),
    )
}

/// One kind of event: its attributes by version, and its days.
fn grids_of_event(here: &Here, sent: &[Sent], event: &str, attribute: Option<&str>) -> Vec<Grid> {
    let versions = latest(sent.iter().filter(|sent| sent.name == event));
    let Some(client) = sent.first().map(|sent| sent.client.as_str()) else {
        return Vec::new();
    };
    let (mut kinds, mut carried) = (BTreeMap::<&str, i64>::new(), Counts::new());
    let (mut of_day, mut on_day) = (Counts::new(), Counts::new());
    for sent in sent {
        let day = day_words(Timestamp::of_day(sent.day));
        let is_event = sent.name == event;
        let carries = |wanted: &str| sent.shape.names().any(|name| name == wanted);
        let (is_of, is_hit) = match attribute {
            None => (true, is_event),
            Some(attribute) => (is_event, is_event && carries(attribute)),
        };
        let key = (day, sent.version.as_str());
        *of_day.entry(key.clone()).or_default() += if is_of { sent.events } else { 0 };
        *on_day.entry(key).or_default() += if is_hit { sent.events } else { 0 };
        if is_event {
            *kinds.entry(&sent.version).or_default() += sent.events;
            for name in sent.shape.names() {
                *carried.entry((name.to_owned(), &sent.version)).or_default() += sent.events;
            }
        }
    }
    let names: BTreeSet<String> = carried.keys().map(|(name, _)| name.clone()).collect();
    let of_attributes = names.into_iter().map(|name| {
        let shares = versions.iter().map(|version| {
            let hits = carried.get(&(name.clone(), version)).copied();
            (hits.unwrap_or(0), kinds.get(version).copied().unwrap_or(0))
        });
        let link = Link::new(address(here, client, Some(event), Some(&name)), &name);
        (link, shares.collect())
    });
    let days: BTreeSet<String> = of_day.keys().map(|(day, _)| day.clone()).collect();
    let of_days = days.into_iter().rev().map(|day| {
        let shares = versions.iter().map(|version| {
            let key = (day.clone(), *version);
            let hits = on_day.get(&key).copied().unwrap_or(0);
            (hits, of_day.get(&key).copied().unwrap_or(0))
        });
        let begin = format!("{day}T00:00:00Z");
        let end = format!("{day}T23:59:59Z");
        let pairs = [
            ("q", format!("event:{event}")),
            ("from", begin),
            ("to", end),
        ];
        let pairs = pairs.each_ref().map(|(key, value)| (*key, value.as_str()));
        let list = with_query(&here.base.observability(), &pairs);
        (Link::new(list, &day), shares.collect())
    });
    let by_day = match attribute {
        Some(attribute) => format!("{attribute} in {event}, by day"),
        None => format!("{event} among all events, by day"),
    };
    let by_day = grid(by_day, "Day (UTC)", &versions, of_days.collect());
    let attributes = grid(
        format!("Attributes of {event}"),
        "Attribute",
        &versions,
        of_attributes.collect(),
    );
    match attribute {
        Some(_) => vec![by_day, attributes],
        None => vec![attributes, by_day],
    }
}
