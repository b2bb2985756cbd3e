//! Says what was found in a text and where, never what it was.
use std::{borrow::Cow, ops::Range};

use super::{
    Hits,
    engine::{BUDGET_TYPE, Engine, MAX_PASSES, Scope},
    spans::replace,
};

/// Something that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The bytes of the text that are replaced.
    pub range: Range<usize>,
    /// The rule that found it, or the type where no rule did.
    pub rule: String,
    /// What the placeholder says.
    pub kind: String,
}

/// Goes over a text as redaction does, pass after pass.
pub(super) fn findings(engine: &Engine, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut current = Cow::Borrowed(text);
    // What each pass replaced, to lead places in later texts back to the first.
    let mut passes: Vec<Vec<Moved>> = Vec::new();
    for _ in 0..=MAX_PASSES {
        let spans = match engine.find(&current, Scope::All) {
            Ok(spans) if passes.len() < MAX_PASSES || spans.is_empty() => spans,
            _ => {
                return vec![Finding {
                    range: 0..text.len(),
                    rule: BUDGET_TYPE.to_owned(),
                    kind: BUDGET_TYPE.to_owned(),
                }];
            }
        };
        if spans.is_empty() {
            break;
        }
        let back = |range: &Range<usize>| {
            let range = passes.iter().rev().fold(range.clone(), |range, moved| {
                before(moved, range.start)..before(moved, range.end)
            });
            range.start..range.end.max(range.start)
        };
        findings.extend(spans.iter().map(|span| Finding {
            range: back(&span.range),
            rule: span.rule.to_owned(),
            kind: span.kind.to_owned(),
        }));
        let (result, places) = replace(&current, &spans, engine.key(), &mut Hits::default());
        let moved = spans.iter().zip(places).map(|(span, place)| Moved {
            before: span.range.clone(),
            after: place,
        });
        let moved = moved.collect();
        passes.push(moved);
        current = Cow::Owned(result);
    }
    findings.sort_by_key(|finding| finding.range.start);
    findings
}

/// A secret, and its placeholder in the next text.
struct Moved {
    before: Range<usize>,
    after: Range<usize>,
}

/// Where a place stood before a pass.
fn before(moved: &[Moved], at: usize) -> usize {
    let next = moved.partition_point(|one| one.after.start <= at);
    match next.checked_sub(1).map(|last| &moved[last]) {
        None => at,
        Some(one) if at < one.after.end => one.before.start,
        Some(one) => at - one.after.end + one.before.end,
    }
}
