//! What of a session's content came, and a hint at what did not.

use std::collections::BTreeSet;

use crate::central::store::Event;
use crate::event::Timestamp;
use crate::event::content::Content;

/// How much of a session's content its client exported. Facts, but for
/// `missing_numbers`, which is a hint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Prompts with their text.
    pub prompts: Share,
    /// Responses with their text.
    pub responses: Share,
    /// Tool results with their arguments.
    pub tool_details: Share,
    /// Texts that the client cut.
    pub cut_count: usize,
    /// Numbers of the client that no record has.
    pub missing_numbers: Option<MissingNumbers>,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Those that have it.
    pub with: usize,
    /// Those of which whoever asks may not see whether they have it.
    pub hidden: usize,
    /// Those that had it once, longer ago than it is kept.
    pub erased: usize,
    /// All that could.
    pub all: usize,
}

/// Client numbers without a record, and the time in which they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingNumbers {
    /// How many.
    pub count: i64,
    /// Time of the last record before the first hole.
    pub from: Timestamp,
    /// Time of the first record after the last hole.
    pub to: Timestamp,
}

impl Completeness {
    /// Looks at `events`, which are in order.
    pub(super) fn of(events: &[Event]) -> Completeness {
        let mut completeness = Completeness::default();
        for event in events {
            let content = match event.name.as_str() {
                "user_prompt" => completeness
                    .prompts
                    .count(Content::prompt(&event.attributes)),
                "assistant_response" => completeness
                    .responses
                    .count(Content::response(&event.attributes)),
                "tool_result" => completeness
                    .tool_details
                    .count(Content::tool_argument(&event.attributes)),
                _ => continue,
            };
            if matches!(content, Content::TruncatedByClient { .. }) {
                completeness.cut_count += 1;
            }
        }
        completeness.missing_numbers = missing_numbers(events);
        completeness
    }
}

impl Share {
    fn count(&mut self, content: Content) -> Content {
        self.all += 1;
        self.with += usize::from(content.text().is_some());
        self.hidden += usize::from(matches!(content, Content::HiddenByRole));
        self.erased += usize::from(matches!(content, Content::Erased));
        content
    }
}

/// The numbers that one client process has given so far.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeSet<i64>);

impl Numbers {
    /// Takes the next number in order of time; says whether another process began with it.
    pub(super) fn restarts_at(&mut self, number: i64) -> bool {
        let restarted = !self.0.is_empty() && (number == 0 || self.0.contains(&number));
        if restarted {
            self.0.clear();
        }
        self.0.insert(number);
        restarted
    }
}

fn missing_numbers(events: &[Event]) -> Option<MissingNumbers> {
    let mut numbers = Numbers::default();
    let mut run: Vec<(i64, Timestamp)> = Vec::new();
    let mut missing = None;
    for event in events {
        let Some(number) = event.sequence else {
            continue;
        };
        if numbers.restarts_at(number) {
            missing = add(missing, holes(&mut run));
            run.clear();
        }
        run.push((number, event.time));
    }
    add(missing, holes(&mut run))
}

/// The holes within one process; what came before its first number is not known to be lost.
fn holes(run: &mut [(i64, Timestamp)]) -> Option<MissingNumbers> {
    run.sort_unstable();
    let steps = run.windows(2).filter_map(|pair| {
        let (first, from) = pair[0];
        let (second, to) = pair[1];
        let count = second.saturating_sub(first) - 1;
        (count > 0).then_some(MissingNumbers {
            count,
            from: from.min(to),
            to: to.max(from),
        })
    });
    steps.fold(None, |sum, hole| add(sum, Some(hole)))
}

fn add(a: Option<MissingNumbers>, b: Option<MissingNumbers>) -> Option<MissingNumbers> {
    match (a, b) {
        (Some(a), Some(b)) => Some(MissingNumbers {
            count: a.count.saturating_add(b.count),
            from: a.from.min(b.from),
            to: a.to.max(b.to),
        }),
        (one, other) => one.or(other),
    }
}
