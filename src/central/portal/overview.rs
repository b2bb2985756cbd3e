//! Overview: what is missing comes first, then what happens. Every number leads to the rows behind it.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;

use crate::central::Central;
use crate::central::materialize::{Span, Subject};
use crate::central::store::{
    Agent, Criteria, Entity, EventFilter, PageRequest, Stats, StatsFilter, StoreError,
};
use crate::event::Timestamp;

use super::address::with_query;
use super::event_row::{Link, Stamp};
use super::failure::Failure;
use super::filters::{Choice, Filters};
use super::histogram::Histogram;
use super::inventory::{entity_link, singular};
use super::observability::read_query;
use super::shell::{Here, Section, Shell, draw};
use super::words;

use missing::{Concern, missing};

mod missing;

#[derive(Template)]
#[template(path = "overview.html", config = "src/central/portal/askama.toml")]
struct OverviewPage {
    shell: Shell,
    has_anything: bool,
    missing: Vec<Concern>,
    /// The times that can be chosen, and which is.
    ranges: Vec<Choice>,
    title: &'static str,
    figures: Vec<Figure>,
    histogram: Histogram,
    newest: Vec<Newest>,
    install: String,
}

/// A number with the rows behind it.
pub(super) struct Figure {
    pub(super) title: &'static str,
    pub(super) value: String,
    pub(super) href: String,
    pub(super) is_bad: bool,
}

/// Something that was seen for the first time.
struct Newest {
    kind: &'static str,
    link: Link,
    first_seen: Stamp,
    agents: String,
}

/// Things that were seen for the first time latest, as many as are shown.
const NEWEST: u32 = 8;

/// Times that the figures are about: name in addresses, title, days, how they are summed.
const RANGES: [(&str, &str, i64, Span); 3] = [
    ("24h", "24 hours", 1, Span::Hour),
    ("7d", "7 days", 7, Span::Hour),
    ("30d", "30 days", 30, Span::Day),
];

/// Which of them is wanted; unless said, the shortest in which anything happened.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OverviewQuery {
    range: String,
}

/// Someone opens an environment.
pub(super) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
    query: Result<Query<OverviewQuery>, QueryRejection>,
) -> Result<Html<String>, Failure> {
    let wanted = read_query(query)?.range;
    let store = &central.store;
    let now = Timestamp::now();
    let known = RANGES.iter().position(|(name, ..)| *name == wanted);
    let mut chosen = known.unwrap_or(0);
    let mut sums = sums_of(&here, &central, chosen, now).await?;
    while known.is_none() && sums.is_empty() && chosen + 1 < RANGES.len() {
        chosen += 1;
        sums = sums_of(&here, &central, chosen, now).await?;
    }
    let (name, title, days, span) = RANGES[chosen];
    let since = now.days_before(days);
    let any = Criteria::default();
    let one = PageRequest::new(None, Some(1));
    let agents = store.list::<Agent>(here.scope(), &any, now, one).await?;
    let by_first_seen = Criteria {
        sort: "-first-seen".to_owned(),
        ..Criteria::default()
    };
    let some = PageRequest::new(None, Some(NEWEST));
    let newest = store.list::<Entity>(here.scope(), &by_first_seen, now, some);
    let newest = newest.await?;
    let filters = Filters::last(name);
    let events = here.base.observability();
    draw(&OverviewPage {
        shell: here.shell(Section::Overview),
        has_anything: !agents.items.is_empty(),
        missing: missing(&here, &central, now).await?,
        ranges: ranges(&here, name),
        title,
        figures: figures(&here, &central, &sums, since, name).await?,
        histogram: Histogram::of_sums(&sums, (since, now), span, &filters, &events),
        newest: newest
            .items
            .iter()
            .map(|entity| newcomer(&here, entity))
            .collect(),
        install: here.base.install(),
    })
}

async fn sums_of(
    here: &Here,
    central: &Central,
    range: usize,
    now: Timestamp,
) -> Result<Vec<Stats>, StoreError> {
    let (_, _, days, span) = RANGES[range];
    let filter = StatsFilter {
        span,
        subject: Subject::All,
        from: Some(now.days_before(days)),
        ..StatsFilter::default()
    };
    let sums = central.store.stats(here.scope(), &filter, None).await?;
    Ok(sums.items)
}

fn ranges(here: &Here, chosen: &str) -> Vec<Choice> {
    let choice = |(name, title, ..): &(&str, &str, i64, Span)| Choice {
        value: (*name).to_owned(),
        title: (*title).to_owned(),
        href: with_query(&here.base.overview(), &[("range", name)]),
        chosen: *name == chosen,
    };
    RANGES.iter().map(choice).collect()
}

fn newcomer(here: &Here, entity: &Entity) -> Newest {
    let agents = usize::try_from(entity.agent_count).unwrap_or(0);
    Newest {
        kind: singular(entity.kind),
        link: entity_link(here, entity),
        first_seen: Stamp::brief(entity.first_seen),
        agents: words::plural(agents, "agent", "agents"),
    }
}

async fn figures(
    here: &Here,
    central: &Central,
    sums: &[Stats],
    since: Timestamp,
    range: &str,
) -> Result<Vec<Figure>, StoreError> {
    let sum = |of: fn(&Stats) -> i64| words::count(sums.iter().map(of).sum());
    let day = EventFilter {
        from: Some(since),
        ..EventFilter::default()
    };
    let page = PageRequest::new(None, Some(1));
    let sessions = central
        .store
        .find_sessions(&here.sight(), &day, page)
        .await?;
    let events = here.base.observability();
    let list = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(&str, &str)> = [pairs, &[("range", range)]].concat();
        with_query(&events, &pairs)
    };
    let figure = |title, value, href, is_bad| Figure {
        title,
        value,
        href,
        is_bad,
    };
    let denied: i64 = sums.iter().map(|sum| sum.denied_count).sum();
    let errors: i64 = sums.iter().map(|sum| sum.error_count).sum();
    let cost: f64 = sums.iter().map(|sum| sum.cost_usd).sum();
    Ok(vec![
        figure("Events", sum(|sum| sum.event_count), list(&[]), false),
        figure(
            "Sessions",
            words::count(sessions.count),
            list(&[("type", "session")]),
            false,
        ),
        figure(
            "Tools run",
            sum(|sum| sum.tool_count),
            list(&[("type", "tool_invocation")]),
            false,
        ),
        figure(
            "Denied",
            words::count(denied),
            list(&[("q", "decision:reject")]),
            denied > 0,
        ),
        figure(
            "Errors",
            words::count(errors),
            list(&[("type", "error")]),
            errors > 0,
        ),
        figure(
            "Model requests",
            sum(|sum| sum.request_count),
            list(&[("type", "api_request")]),
            false,
        ),
        figure(
            "Cost (estimate)",
            words::dollars(cost),
            list(&[("type", "api_request")]),
            false,
        ),
        figure(
            "Secrets redacted",
            sum(|sum| sum.redaction_count),
            list(&[]),
            false,
        ),
    ])
}
