//! When a list's events happened, as bars that lead to their rows; the same numbers stand in a table.
//!
//! Up to the bound of counting, each event is in a bar, told apart by what it is about. Beyond it the
//! roll-ups tell, by hour or day, where the filter is one that they know; else the bars are of the latest
//! events, and the page says so.

use crate::central::materialize::{Span, Subject};
use crate::central::store::{
    EntityKind, Qualifier, Scope, Stats, StatsFilter, Store, StoreError, Survey,
};
use crate::event::{Activity, Timestamp};

use super::filters::Filters;
use super::preferences::Preferences;
use super::words;

/// Bars at most.
const MAX_BARS: i64 = 60;

/// Height of the tallest bar in the picture's own units.
const HEIGHT: f64 = 64.0;

/// Width of a bar with its gap, in the same units.
const STEP: f64 = 16.0;

const SECOND: i64 = 1_000_000_000;

/// Widths that bars may have, in seconds.
const WIDTHS: [i64; 19] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 604_800,
];

/// The picture.
pub(super) struct Histogram {
    pub(super) width: f64,
    pub(super) bars: Vec<Bar>,
    pub(super) each: String,
    pub(super) most: String,
    pub(super) first: String,
    pub(super) last: String,
    /// Whether the bars are of the latest events only.
    pub(super) is_partial: bool,
}

/// One bar, of three parts from the bottom up.
pub(super) struct Bar {
    pub(super) href: String,
    pub(super) x: f64,
    pub(super) parts: Vec<Part>,
    pub(super) label: String,
    pub(super) start: String,
    pub(super) tools: String,
    pub(super) requests: String,
    pub(super) others: String,
    pub(super) total: String,
}

/// A part of a bar.
pub(super) struct Part {
    pub(super) series: &'static str,
    pub(super) y: f64,
    pub(super) height: f64,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    tools: i64,
    requests: i64,
    others: i64,
}

impl Counts {
    fn total(self) -> i64 {
        self.tools + self.requests + self.others
    }
}

impl Histogram {
    /// Draws the events of a survey, or the sums of the roll-ups where it is incomplete.
    pub(super) async fn draw(
        store: &Store,
        scope: Scope,
        survey: &Survey,
        filters: &Filters,
        path: &str,
        now: Timestamp,
    ) -> Result<Option<Histogram>, StoreError> {
        let mut counted: Vec<(i64, Counts)> = survey
            .times
            .iter()
            .map(|(time, activity)| (*time, counts_of(*activity)))
            .collect();
        let mut is_partial = !survey.is_exact;
        let mut least_width = 1;
        if let (false, Some((subject, name))) = (survey.is_exact, subject_of(filters)) {
            let (from, to) = filters.range.bounds(now);
            let span = span_for(from, to, now);
            let stats = StatsFilter {
                span,
                subject,
                name: Some(name),
                from,
                to,
            };
            // One row for each span: more than a page of them would be more than a year of hours.
            let sums = store.stats(scope, &stats, None).await?.items.into_iter();
            counted = sums.map(|sum| (sum.start.0, counts_of_sum(&sum))).collect();
            least_width = span.seconds();
            is_partial = false;
        }
        counted.sort_by_key(|(time, _)| *time);
        let (Some((earliest, _)), Some((latest, _))) = (counted.first(), counted.last()) else {
            return Ok(None);
        };
        let (from, to) = filters.range.bounds(now);
        let first = from
            .filter(|_| !is_partial)
            .map_or(*earliest, |from| from.0);
        let last = to.map_or((*latest).max(first), |to| to.0 - 1).max(*latest);
        let width = width_for(last - first).max(least_width) * SECOND;
        let begin = first.div_euclid(width) * width;
        let number = usize::try_from((last - begin) / width + 1).unwrap_or(1);
        let mut bars = vec![Counts::default(); number.min(400)];
        for (time, counts) in counted {
            let place = usize::try_from((time - begin) / width).unwrap_or(0);
            if let Some(bar) = bars.get_mut(place) {
                bar.tools += counts.tools;
                bar.requests += counts.requests;
                bar.others += counts.others;
            }
        }
        Ok(Some(Histogram::of(
            &bars, begin, width, is_partial, filters, path,
        )))
    }

    fn of(
        counts: &[Counts],
        begin: i64,
        width: i64,
        is_partial: bool,
        filters: &Filters,
        path: &str,
    ) -> Histogram {
        let preferences = Preferences::current();
        let pattern = match width / SECOND {
            86_400.. => "%Y-%m-%d",
            60.. => "%Y-%m-%d %H:%M",
            _ => "%Y-%m-%d %H:%M:%S",
        };
        let most = counts.iter().map(|it| it.total()).max().unwrap_or(0);
        let start_of = |index: usize| Timestamp(begin + i64::try_from(index).unwrap_or(0) * width);
        let bars = counts.iter().enumerate().map(|(index, counts)| {
            let start = start_of(index);
            let shown = preferences.format(start, pattern);
            Bar {
                href: filters
                    .between(start, Timestamp(start.0 + width))
                    .address(path),
                x: index as f64 * STEP,
                parts: parts(*counts, most),
                label: format!("{shown}: {} events", words::count(counts.total())),
                start: shown,
                tools: words::count(counts.tools),
                requests: words::count(counts.requests),
                others: words::count(counts.others),
                total: words::count(counts.total()),
            }
        });
        Histogram {
            width: counts.len() as f64 * STEP,
            each: words::span(width),
            most: words::count(most),
            first: preferences.format(start_of(0), pattern),
            last: preferences.format(start_of(counts.len()), pattern),
            is_partial,
            bars: bars.collect(),
        }
    }

    /// Events per hour or day of a whole environment or of one agent, for overviews.
    pub(super) fn of_sums(
        sums: &[Stats],
        (from, to): (Timestamp, Timestamp),
        span: Span,
        filters: &Filters,
        path: &str,
    ) -> Histogram {
        let width = span.seconds() * SECOND;
        let begin = from.0.div_euclid(width) * width;
        let number = usize::try_from((to.0 - begin) / width + 1).unwrap_or(1);
        let mut bars = vec![Counts::default(); number.min(400)];
        for sum in sums {
            let place = usize::try_from((sum.start.0 - begin) / width).ok();
            if let Some(bar) = place.and_then(|place| bars.get_mut(place)) {
                *bar = counts_of_sum(sum);
            }
        }
        Histogram::of(&bars, begin, width, false, filters, path)
    }
}

fn parts(counts: Counts, most: i64) -> Vec<Part> {
    let mut top = HEIGHT;
    let series = [
        ("tools", counts.tools),
        ("requests", counts.requests),
        ("others", counts.others),
    ];
    let present = series.into_iter().filter(|(_, count)| *count > 0);
    present
        .map(|(series, count)| {
            // What is there is seen, however little it is.
            let height = (count as f64 / most.max(1) as f64 * HEIGHT).max(1.0);
            top -= height;
            Part {
                series,
                y: top.max(0.0),
                height,
            }
        })
        .collect()
}

fn counts_of(activity: Activity) -> Counts {
    match activity {
        Activity::ToolInvocation => Counts {
            tools: 1,
            ..Counts::default()
        },
        Activity::ApiRequest => Counts {
            requests: 1,
            ..Counts::default()
        },
        _ => Counts {
            others: 1,
            ..Counts::default()
        },
    }
}

fn counts_of_sum(sum: &Stats) -> Counts {
    Counts {
        tools: sum.tool_count,
        requests: sum.request_count,
        others: (sum.event_count - sum.tool_count - sum.request_count).max(0),
    }
}

/// What the roll-ups know of a filter: everything, or one tool or model.
fn subject_of(filters: &Filters) -> Option<(Subject, String)> {
    if !filters.kind.is_empty() {
        return None;
    }
    match filters.terms.as_slice() {
        [] => Some((Subject::All, String::new())),
        [term] if !term.is_excluded => {
            let kind = match term.qualifier? {
                Qualifier::Tool if term.value.contains(':') => EntityKind::McpTool,
                Qualifier::Tool => EntityKind::Tool,
                Qualifier::Model => EntityKind::Model,
                _ => return None,
            };
            Some((Subject::Entity(kind), term.value.clone()))
        }
        _ => None,
    }
}

fn span_for(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> Span {
    let length = to.unwrap_or(now).0 - from.map_or(0, |from| from.0);
    match length / SECOND {
        ..259_200 => Span::Hour,
        _ => Span::Day,
    }
}

fn width_for(length: i64) -> i64 {
    let seconds = length / SECOND;
    let fits = WIDTHS.into_iter().find(|width| seconds / width < MAX_BARS);
    fits.unwrap_or(seconds / MAX_BARS + 1)
}
