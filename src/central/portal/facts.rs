//! The line on a session that says what came and what did not. Facts and hints are kept
//! apart, in words.

use crate::central::conversation::{Conversation, Share};
use crate::central::defects::of_version;
use crate::central::store::{Event, MAX_GAPS, Machine, SeqRange, Session};
use crate::event::content::{SWITCH_PROMPTS, SWITCH_RESPONSES, SWITCH_TOOL_DETAILS};

use super::event_row::Tag;
use super::preferences::Preferences;
use super::text::{short_id, visible};
use super::words;

/// Everything that is known about the completeness of `session`.
pub(super) fn of(session: &Session, conversation: &Conversation, machines: &[Machine]) -> Vec<Tag> {
    let completeness = &conversation.completeness;
    let mut facts = Vec::new();
    let version = session.client_version.as_deref().unwrap_or_default();
    facts.extend(of_version(version).map(|defect| {
        let (words, source) = (defect.words(), defect.sources.join(", "));
        let words = format!("client {version} {words} (known defect, {source})");
        Tag::new("alert", "warn", words)
    }));
    facts.extend(share("prompts", completeness.prompts, SWITCH_PROMPTS));
    facts.extend(share("responses", completeness.responses, SWITCH_RESPONSES));
    facts.extend(share(
        "tool details",
        completeness.tool_details,
        SWITCH_TOOL_DETAILS,
    ));
    if completeness.cut_count > 0 {
        let words = words::plural(
            completeness.cut_count,
            "text cut by the client",
            "texts cut by the client",
        );
        facts.push(Tag::new("cut", "warn", words));
    }
    let redactions = usize::try_from(session.redaction_count).unwrap_or(0);
    facts.push(match redactions {
        0 => Tag::new("redact", "", "no secret redacted"),
        count => Tag::new(
            "redact",
            "mark",
            words::plural(count, "secret redacted", "secrets redacted"),
        ),
    });
    let shown: usize = conversation
        .turns
        .iter()
        .map(|turn| turn.events.len())
        .sum();
    let shown = i64::try_from(shown).unwrap_or(i64::MAX);
    if shown < session.event_count {
        let (shown, all) = (words::count(shown), words::count(session.event_count));
        let words = format!("{shown} of {all} events are shown here, all under Raw events");
        facts.push(Tag::new("cut", "warn", words));
    }
    if session.machines.is_empty() {
        facts.push(Tag::new(
            "unknown",
            "",
            "no machine numbering: loss cannot be seen",
        ));
    }
    for id in &session.machines {
        let machine = machines.iter().find(|machine| machine.id == *id);
        facts.extend(numbering(id, machine, conversation));
    }
    if let Some(missing) = completeness.missing_numbers {
        facts.push(Tag::new(
            "unknown",
            "warn",
            format!(
                "hint: {} missing between {} and {}, which need not mean loss",
                words::plural(
                    usize::try_from(missing.count).unwrap_or(0),
                    "client number",
                    "client numbers"
                ),
                Preferences::current().clock(missing.from),
                Preferences::current().clock(missing.to),
            ),
        ));
    }
    facts
}

fn share(what: &str, share: Share, switch: &str) -> Option<Tag> {
    // What is hidden or gone was exported: it is no fault of the client's.
    for (count, why) in [
        (share.hidden, "hidden by your role"),
        (share.erased, "older than this environment keeps content"),
    ] {
        if count > 0 {
            let words = match count == share.all {
                true => format!("{what}: {why}"),
                false => format!("{what}: {count} of {} {why}", share.all),
            };
            return Some(Tag::new("none", "", words));
        }
    }
    match (share.with, share.all) {
        (_, 0) => None,
        (0, _) => Some(Tag::new(
            "none",
            "warn",
            format!("{what}: not exported ({switch} is off)"),
        )),
        (with, all) if with == all => Some(Tag::new("check", "ok", format!("{what}: yes"))),
        (with, all) => Some(Tag::new("none", "warn", format!("{what}: {with} of {all}"))),
    }
}

/// What an edge's own numbers say about the time of this session.
fn numbering(id: &str, machine: Option<&Machine>, conversation: &Conversation) -> Vec<Tag> {
    let name = machine.and_then(|machine| machine.host_name.as_deref());
    let name = name.map_or_else(|| short_id(id), visible);
    let events = conversation.turns.iter().flat_map(|turn| &turn.events);
    let Some(range) = range_of(id, events) else {
        return vec![Tag::new(
            "unknown",
            "",
            format!("{name} sent no numbers: loss cannot be seen"),
        )];
    };
    let Some(machine) = machine else {
        return vec![Tag::new(
            "unknown",
            "",
            format!("nothing is known of machine {name} yet"),
        )];
    };
    let mut tags = vec![gaps(&name, machine, range)];
    if let Some(waiting) = machine.queue_records.filter(|records| *records > 0) {
        let records = words::plural(usize::try_from(waiting).unwrap_or(0), "record", "records");
        tags.push(Tag::new(
            "clock",
            "warn",
            format!("{records} of {name} still on the way at its last heartbeat"),
        ));
    }
    tags
}

fn gaps(name: &str, machine: &Machine, range: SeqRange) -> Tag {
    // What was refused there, its sender kept.
    let dropped = machine.dropped.iter().filter(|of| of.reason != "refused");
    let within: Vec<String> = machine
        .gaps
        .iter()
        .chain(dropped.flat_map(|dropped| &dropped.ranges))
        .filter(|gap| gap.first <= range.last && gap.last >= range.first)
        .map(|gap| match gap.last - gap.first {
            0 => gap.first.to_string(),
            _ => format!("{} to {}", gap.first, gap.last),
        })
        .collect();
    let has_unlisted = machine.dropped.iter().any(|of| of.ranges.len() >= MAX_GAPS);
    let listed: i64 = machine
        .gaps
        .iter()
        .map(|gap| gap.last - gap.first + 1)
        .sum();
    if !within.is_empty() {
        let words = format!(
            "records {} of {name} are missing in this time and may belong here",
            within.join(", ")
        );
        Tag::new("alert", "danger", words)
    } else if listed < machine.missing || has_unlisted {
        Tag::new(
            "unknown",
            "warn",
            format!("{name} has more gaps than are listed: loss cannot be excluded"),
        )
    } else {
        Tag::new(
            "check",
            "ok",
            format!("all records of {name} in this time are here"),
        )
    }
}

fn range_of<'a>(machine: &str, events: impl Iterator<Item = &'a Event>) -> Option<SeqRange> {
    let numbers = events
        .filter(|event| event.machine_id.as_deref() == Some(machine))
        .filter_map(|event| event.machine_seq);
    numbers.fold(None, |range: Option<SeqRange>, number| {
        Some(range.map_or(
            SeqRange {
                first: number,
                last: number,
            },
            |range| SeqRange {
                first: range.first.min(number),
                last: range.last.max(number),
            },
        ))
    })
}
