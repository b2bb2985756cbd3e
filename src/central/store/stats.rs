//! Sums over time, read from the roll-ups: never by counting rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::materialize::{Span, Subject};
use crate::event::Timestamp;

use super::event_row::dollars;
use super::query::{Dialect, Query};
use super::{Page, PageRequest, Scope, Store, StoreError};

/// Rows of one page.
const PAGE_ROWS: u32 = 10_000;

/// Which sums are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StatsFilter {
    /// By hour or by day.
    pub span: Span,
    /// Of everything together, by agent, or by entity of a kind.
    pub subject: Subject,
    /// Only of the agent with this id, or of the entity of this name.
    pub name: Option<String>,
    /// Spans that begin at or after this time; the last 30 days unless given.
    pub from: Option<Timestamp>,
    /// Spans that begin before this time.
    pub to: Option<Timestamp>,
}

impl Default for StatsFilter {
    fn default() -> StatsFilter {
        StatsFilter {
            span: Span::Day,
            subject: Subject::All,
            name: None,
            from: None,
            to: None,
        }
    }
}

/// Sums over one span.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Stats {
    /// When the span begins.
    pub start: Timestamp,
    /// The agent's id or the entity's name; empty for everything together.
    pub name: String,
    /// Events.
    pub event_count: i64,
    /// Tool results.
    pub tool_count: i64,
    /// Permission decisions that said no.
    pub denied_count: i64,
    /// API errors, refusals and failed tools.
    pub error_count: i64,
    /// Model requests.
    pub request_count: i64,
    /// Tokens sent to the model, without cached ones.
    pub input_tokens: i64,
    /// Tokens the model wrote.
    pub output_tokens: i64,
    /// Tokens read from the prompt cache.
    pub cache_read_tokens: i64,
    /// Tokens written to the prompt cache.
    pub cache_creation_tokens: i64,
    /// The client's own estimate, in US dollars.
    pub cost_usd: f64,
    /// Secrets that edges took out.
    pub redaction_count: i64,
}

/// The sum of one of Claude's metrics.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MetricTotal {
    /// Name without the client's prefix: `token.usage`, `lines_of_code.count`, …
    pub metric: String,
    /// The person's e-mail, or the raw id.
    pub owner: Option<String>,
    /// `input`, `added`, `accept`, …: what the metric tells apart.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The model, where the metric tells it.
    pub model: Option<String>,
    /// The sum, in the metric's unit.
    pub value: f64,
}

impl Store {
    /// Sums by hour or day, the latest first, the busiest first within a span: the page after `cursor`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn stats(
        &self,
        scope: Scope,
        filter: &StatsFilter,
        cursor: Option<String>,
    ) -> Result<Page<Stats>, StoreError> {
        const MONTH_SECONDS: i64 = 30 * 86_400;
        let seconds = |time: Timestamp| time.0.div_euclid(1_000_000_000);
        let from = filter
            .from
            .map_or(seconds(Timestamp::now()) - MONTH_SECONDS, seconds);
        let to = filter.to.map_or(i64::MAX, seconds);
        let by_name = match (&filter.name, self.dialect()) {
            // By itself, SQLite takes the key, and reads the spans of all names.
            (Some(_), Dialect::Sqlite) => " INDEXED BY rollups_by_name",
            _ => "",
        };
        let mut query = Query::scoped(
            format!(
                "SELECT start, name, event_count, tool_count, denied_count, error_count, request_count,
                     input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, cost_micros,
                     redactions
                 FROM rollups{by_name} WHERE tenant = $1 AND environment = $2 AND span = $3
                     AND subject = $4 AND start >= $5 AND start < $6"
            ),
            scope,
        );
        query.values.extend([
            filter.span.seconds().into(),
            filter.subject.slug().into(),
            from.into(),
            to.into(),
        ]);
        if let Some(name) = &filter.name {
            query.push(" AND name = ").bind(name.as_str());
        }
        let page = PageRequest::of_rows(cursor, PAGE_ROWS);
        if let Some((start, events, name)) = page.after::<(i64, i64, String)>()? {
            let (start, events) = (query.name(start), query.name(events));
            query.push(&format!(
                " AND (start < {start} OR (start = {start} AND (event_count < {events}
                     OR (event_count = {events} AND name > "
            ));
            query.bind(name).push("))))");
        }
        query.push(" ORDER BY start DESC, event_count DESC, name LIMIT ");
        query.bind(page.limit_to_read());
        let rows = self.derived_rows(query).await?.into_iter();
        let stats = rows.map(|mut row| {
            let start: i64 = row.take(0)?;
            Ok(Stats {
                start: Timestamp(start.saturating_mul(1_000_000_000)),
                name: row.take(1)?,
                event_count: row.take(2)?,
                tool_count: row.take(3)?,
                denied_count: row.take(4)?,
                error_count: row.take(5)?,
                request_count: row.take(6)?,
                input_tokens: row.take(7)?,
                output_tokens: row.take(8)?,
                cache_read_tokens: row.take(9)?,
                cache_creation_tokens: row.take(10)?,
                cost_usd: dollars(row.take(11)?),
                redaction_count: row.take(12)?,
            })
        });
        let stats = stats.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(page.page(stats, |it| {
            (seconds(it.start), it.event_count, it.name.clone())
        }))
    }

    /// Sums of an agent by day, the latest first, from the day of `since` on.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn days_of_agent(
        &self,
        scope: Scope,
        agent: &str,
        since: Timestamp,
    ) -> Result<Vec<Stats>, StoreError> {
        let filter = StatsFilter {
            span: Span::Day,
            subject: Subject::Agent,
            name: Some(agent.to_owned()),
            from: Some(Timestamp::of_day(since.day())),
            to: None,
        };
        Ok(self.stats(scope, &filter, None).await?.items)
    }

    /// Sums of Claude's metrics over the hours that begin from `from` on and before `to`. Of running
    /// totals, what they grew by. They are added up as what is shown, numbers with a point: those of a fleet
    /// over months do not fit into whole millionths.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn metric_totals(
        &self,
        scope: Scope,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Vec<MetricTotal>, StoreError> {
        let seconds = |time: Timestamp| time.0.div_euclid(1_000_000_000);
        let mut query = Query::scoped(
            "SELECT metric, nullif(owner, ''), nullif(kind, ''), nullif(model, ''),
                 sum(added + reached_to - reached_from)
             FROM (
                 SELECT metric, owner, kind, model, series, started,
                     sum(CASE WHEN hour >= $3 THEN CAST(added_micros AS double precision)
                         ELSE 0 END) AS added,
                     max(reached_micros) AS reached_to,
                     max(CASE WHEN hour < $3 THEN reached_micros ELSE 0 END) AS reached_from
                 FROM metric_hours WHERE tenant = $1 AND environment = $2 AND hour < $4
                 GROUP BY metric, owner, kind, model, series, started
             ) totals
             GROUP BY metric, owner, kind, model
             HAVING sum(added + reached_to - reached_from) > 0
             ORDER BY metric, owner, kind, model",
            scope,
        );
        query.values.extend([
            from.map_or(i64::MIN, seconds).into(),
            to.map_or(i64::MAX, seconds).into(),
        ]);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(MetricTotal {
                metric: row.take(0)?,
                owner: row.take(1)?,
                kind: row.take(2)?,
                model: row.take(3)?,
                value: row.take::<f64>(4)? / 1e6,
            })
        })
        .collect()
    }
}
