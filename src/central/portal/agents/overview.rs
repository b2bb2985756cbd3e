//! An agent at a glance: what it did in the last 30 days, and its latest sessions.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::materialize::Span;
use crate::central::portal::address::with_query;
use crate::central::portal::event_row::SessionRow;
use crate::central::portal::failure::Failure;
use crate::central::portal::filters::Filters;
use crate::central::portal::histogram::Histogram;
use crate::central::portal::layout::{Columns, Rows};
use crate::central::portal::observability::{columns_of, looks};
use crate::central::portal::overview::Figure;
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::store::{PageRequest, SessionFilter, Stats};
use crate::event::Timestamp;
use crate::words;

use super::{AgentHeader, find};

/// Days that are summed up.
const DAYS: i64 = 30;

/// Sessions that are listed.
const LATEST: u32 = 8;

#[derive(Template)]
#[template(
    path = "agent_overview.html",
    config = "src/central/portal/askama.toml"
)]
struct AgentOverviewPage {
    shell: Shell,
    agent: AgentHeader,
    days: i64,
    figures: Vec<Figure>,
    histogram: Histogram,
    listing: Latest,
    sessions: String,
    /// Whether nothing but configuration has come of it.
    is_idle: bool,
}

/// The rows that the list of sessions has, too.
struct Latest {
    columns: Columns,
    looks: String,
    sessions: Vec<SessionRow>,
}

/// Someone looks at an agent.
pub(in crate::central::portal) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let (store, scope) = (&central.store, here.scope());
    let agent = find(&here, &central).await?;
    let now = Timestamp::now();
    let since = now.days_before(DAYS);
    let sums = store.days_of_agent(scope, &agent.id, since).await?;
    let filter = SessionFilter {
        agent: Some(agent.id.clone()),
        ..SessionFilter::default()
    };
    let page = PageRequest::new(None, Some(LATEST));
    let latest = store.sessions(scope, &filter, page).await?.items;
    let ids: Vec<String> = latest.iter().map(|session| session.id.clone()).collect();
    let prompts = store.first_prompts(&here.sight(), &ids).await?;
    let events = here.base.agent(&agent.id, "audit-logs");
    let filters = Filters::last("30d");
    draw(&AgentOverviewPage {
        shell: here.shell(Section::Agents),
        days: DAYS,
        figures: figures(&sums, &events, &here.base.agent(&agent.id, "sessions")),
        histogram: Histogram::of_sums(&sums, (since, now), Span::Day, &filters, &events),
        listing: Latest {
            columns: columns_of(&filters.layout, Rows::Sessions, true),
            looks: looks(&filters.layout),
            sessions: latest
                .iter()
                .map(|row| SessionRow::new(&here.base, row, prompts.get(&row.id)))
                .collect(),
        },
        sessions: here.base.agent(&agent.id, "sessions"),
        is_idle: agent.tool_count + agent.mcp_tool_count + agent.model_count == 0
            && prompts.is_empty(),
        agent: AgentHeader::new(&here, &agent, "overview"),
    })
}

fn figures(sums: &[Stats], events: &str, sessions: &str) -> Vec<Figure> {
    let sum = |of: fn(&Stats) -> i64| -> i64 { sums.iter().map(of).sum() };
    let list = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(&str, &str)> = [pairs, &[("range", "30d")]].concat();
        with_query(events, &pairs)
    };
    let figure = |title, value: i64, href, is_bad| Figure {
        title,
        value: words::count(value),
        href,
        is_bad: is_bad && value > 0,
    };
    let cost: f64 = sums.iter().map(|sum| sum.cost_usd).sum();
    let calls = || list(&[("type", "api_request")]);
    vec![
        figure("Events", sum(|it| it.event_count), list(&[]), false),
        figure(
            "Active days",
            i64::try_from(sums.len()).unwrap_or(0),
            with_query(sessions, &[("range", "30d")]),
            false,
        ),
        figure(
            "Tools run",
            sum(|it| it.tool_count),
            list(&[("type", "tool_invocation")]),
            false,
        ),
        figure(
            "Denied",
            sum(|it| it.denied_count),
            list(&[("q", "decision:reject")]),
            true,
        ),
        figure(
            "Errors",
            sum(|it| it.error_count),
            list(&[("type", "error")]),
            true,
        ),
        figure("Model requests", sum(|it| it.request_count), calls(), false),
        Figure {
            title: "Cost (estimate)",
            value: words::dollars(cost),
            href: calls(),
            is_bad: false,
        },
        figure(
            "Secrets redacted",
            sum(|it| it.redaction_count),
            list(&[]),
            false,
        ),
    ]
}
