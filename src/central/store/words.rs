//! What the text index knows of an event: the words in it, in any script, and marks for what lists are
//! filtered by. Both databases index these and nothing else, so that they find the same.
//!
//! A word is a run of letters and digits, in lower case. Scripts without spaces give pairs of
//! neighboring characters instead. Marks begin with a character for private use, which no word has.
//! Values that are ids give a mark of the whole value, and no words: nobody looks for a part of one, and
//! the parts would be most of the index.

use std::collections::{BTreeSet, HashSet};

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::event::RECORD_UID;

use super::Scope;
use super::event_row::{StoredEvent, activity_key};
use super::keys::text_key;

/// Longest word in characters; the rest of a longer one is left out of the index.
const MAX_WORD: usize = 40;

/// Words and marks of one event that are indexed at most.
pub(super) const MAX_WORDS: usize = 4_000;

/// Marks of one event at most, ids apart.
pub(super) const MAX_MARKS: usize = 4;

/// Bytes of one event in which words are looked for at most.
const MAX_TEXT: usize = 256 << 10;

const AGENT: char = '\u{e000}';
const SESSION: char = '\u{e001}';
const ACTIVITY: char = '\u{e002}';
const TOOL: char = '\u{e003}';
const UID: char = '\u{e004}';
const SCOPE: char = '\u{e005}';
const ID: char = '\u{e006}';

/// Attributes with times and counters, which are not looked for by words.
const NOT_INDEXED: [&str; 3] = [RECORD_UID, "event.timestamp", "event.sequence"];

/// Shortest value that is an id.
const MIN_ID: usize = 16;

/// Adds the words and marks of an event to those of others.
pub(super) fn add_words(event: &StoredEvent, words: &mut HashSet<String>) {
    let facts = &event.facts;
    words.insert(activity_mark(activity_key(Some(facts.activity))));
    let most = words.len() + MAX_WORDS;
    words.extend(event.agent.as_deref().map(agent_mark));
    words.extend(facts.session.as_deref().map(session_mark));
    words.extend(facts.tool.as_ref().map(|tool| tool_mark(&tool.name)));
    for_each_part(event, &mut |part| match part {
        Part::Id(text) => {
            words.insert(id_mark(text));
        }
        Part::Word(word) => {
            if words.len() < most && !words.contains(word) {
                words.insert(word.to_owned());
            }
        }
    });
}

/// A part of what an event says, as the index takes it.
pub(super) enum Part<'a> {
    /// A word.
    Word(&'a str),
    /// A value that is an id.
    Id(&'a str),
}

/// Calls `found` with each part of what an event says.
pub(super) fn for_each_part(event: &StoredEvent, found: &mut impl FnMut(Part<'_>)) {
    for_each_word(&event.facts.name, &mut |word| found(Part::Word(word)));
    let mut left = MAX_TEXT;
    let record = &event.whole.record;
    let attributes = record.attributes.iter();
    let attributes = attributes.filter(|it| !NOT_INDEXED.contains(&it.key.as_str()));
    let values = attributes.filter_map(|attribute| attribute.value.as_ref());
    for value in record.body.iter().chain(values) {
        for_each_text(value, &mut |text| {
            let text = &text[..text.floor_char_boundary(left)];
            left -= text.len();
            match is_id(text) {
                true => found(Part::Id(text)),
                false => for_each_word(text, &mut |word| found(Part::Word(word))),
            }
        });
    }
}

/// The words of what somebody looks for, and whether the last may go on.
pub(super) fn words_sought(text: &str) -> (BTreeSet<String>, Option<String>) {
    let mut words = Vec::new();
    for_each_word(text, &mut |word| words.push(word.to_owned()));
    let goes_on = text
        .chars()
        .next_back()
        .is_some_and(|letter| letter.is_alphanumeric() || is_without_spaces(letter));
    let last = words.pop();
    // A character alone ends what is sought, but in the text it may go on, where it is indexed in pairs only.
    words.retain(|word| !is_character_alone(word));
    let mut whole: BTreeSet<String> = words.into_iter().collect();
    match goes_on {
        true => (whole, last),
        false => {
            whole.extend(last);
            (whole, None)
        }
    }
}

/// The mark of events of a tenant's environment.
pub(super) fn scope_mark(scope: Scope) -> String {
    format!("{SCOPE}{:x}x{:x}", scope.tenant, scope.environment)
}

/// The mark of events with an attribute that is this id, should the text be one.
pub(super) fn id_sought(text: &str) -> Option<String> {
    is_id(text).then(|| id_mark(text))
}

/// The mark of events with an attribute that is this id.
pub(super) fn id_mark(text: &str) -> String {
    short_mark(ID, &text.to_lowercase())
}

/// Whether a word is the mark of an id.
pub(super) fn is_id_mark(word: &str) -> bool {
    word.starts_with(ID)
}

/// Whether a text is an id: long, one word but for hyphens and underscores, with digits in it.
fn is_id(text: &str) -> bool {
    text.len() >= MIN_ID
        && text.len() <= 128
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The mark of an agent's events.
pub(super) fn agent_mark(id: &str) -> String {
    format!("{AGENT}{id}")
}

/// The mark of a session's events.
pub(super) fn session_mark(id: &str) -> String {
    mark(SESSION, text_key(id))
}

/// The mark of events about a tool.
pub(super) fn tool_mark(name: &str) -> String {
    mark(TOOL, text_key(name))
}

/// The mark of events of an activity.
pub(super) fn activity_mark(activity: i64) -> String {
    mark(ACTIVITY, activity)
}

/// The mark of the events with an identity.
pub(super) fn uid_mark(uid: &str) -> String {
    short_mark(UID, uid)
}

/// A mark of a text that hardly two events have in common: 35 bits in seven letters and digits, since
/// such marks are most of the index. Whoever searches reads the event itself.
fn short_mark(kind: char, text: &str) -> String {
    const DIGITS: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r',
        's', 't', 'u', 'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
    ];
    let key = text_key(text).cast_unsigned();
    let digits = (0..7).map(|place| DIGITS[(key >> (5 * place)) as usize % 32]);
    std::iter::once(kind).chain(digits).collect()
}

fn mark(kind: char, key: i64) -> String {
    format!("{kind}{:x}", key.cast_unsigned())
}

/// Calls `found` with each text in a value.
fn for_each_text(value: &AnyValue, found: &mut impl FnMut(&str)) {
    match &value.value {
        Some(Value::StringValue(text)) => found(text),
        Some(Value::ArrayValue(array)) => {
            for value in &array.values {
                for_each_text(value, found);
            }
        }
        Some(Value::KvlistValue(list)) => {
            for value in list.values.iter().filter_map(|pair| pair.value.as_ref()) {
                for_each_text(value, found);
            }
        }
        _ => {}
    }
}

/// Calls `found` with each word of a text.
fn for_each_word(text: &str, found: &mut impl FnMut(&str)) {
    match text.is_ascii() {
        true => for_each_ascii_word(text, found),
        false => for_each_word_of_any_script(text, found),
    }
}

/// The same of the usual text, which needs no look at what a letter is.
fn for_each_ascii_word(text: &str, found: &mut impl FnMut(&str)) {
    let mut lower = String::new();
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        let word = &word[..word.len().min(MAX_WORD)];
        match word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => {
                lower.clear();
                lower.push_str(word);
                lower.make_ascii_lowercase();
                found(&lower);
            }
            false => found(word),
        }
    }
}

fn for_each_word_of_any_script(text: &str, found: &mut impl FnMut(&str)) {
    let mut word = String::new();
    let mut length = 0;
    let mut before: Option<char> = None;
    for letter in text.chars() {
        if is_without_spaces(letter) {
            flush(&mut word, &mut length, found);
            // The pair that this character ends, and the character alone, should it be the last.
            if let Some(before) = before {
                found(&format!("{before}{letter}"));
            }
            before = Some(letter);
            continue;
        }
        if let Some(last) = before.take() {
            found(&last.to_string());
        }
        if letter.is_alphanumeric() {
            if length < MAX_WORD {
                word.extend(letter.to_lowercase());
                length += 1;
            }
        } else {
            flush(&mut word, &mut length, found);
        }
    }
    if let Some(last) = before {
        found(&last.to_string());
    }
    flush(&mut word, &mut length, found);
}

fn flush(word: &mut String, length: &mut usize, found: &mut impl FnMut(&str)) {
    if !word.is_empty() {
        found(word);
    }
    word.clear();
    *length = 0;
}

/// Whether a word is one character of a script that is written without spaces.
fn is_character_alone(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(is_without_spaces) && letters.next().is_none()
}

/// Whether a character belongs to a script that is written without spaces between words.
fn is_without_spaces(letter: char) -> bool {
    matches!(letter,
        '\u{0e00}'..='\u{0eff}'     // Thai, Lao
        | '\u{1000}'..='\u{109f}'   // Burmese
        | '\u{1780}'..='\u{17ff}'   // Khmer
        | '\u{3040}'..='\u{30ff}'   // Hiragana, Katakana
        | '\u{3400}'..='\u{4dbf}'   // Chinese, Japanese, Korean ideographs
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3134f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_each_word(text, &mut |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_any_script() {
        assert_eq!(
            words("Look at FP-12, ada@example.com!"),
            ["look", "at", "fp", "12", "ada", "example", "com"]
        );
        assert_eq!(words("Größe ΣΊΣΥΦΟΣ مرحبا"), ["größe", "σίσυφοσ", "مرحبا"]);
        assert_eq!(words("検索する"), ["検索", "索す", "する", "る"]);
        assert_eq!(words("v2検索"), ["v2", "検索", "索"]);
        assert_eq!(words("\u{e000}forged \u{e004}"), ["forged"]);
    }

    #[test]
    fn the_usual_text_has_the_same_words_as_any_other() {
        let long = "Ab9".repeat(20);
        for text in [
            "",
            "  Look at FP-12,\tada@example.com!\n",
            "a_b C",
            "x",
            "-",
            &long,
        ] {
            let mut any = Vec::new();
            for_each_word_of_any_script(text, &mut |word| any.push(word.to_owned()));
            assert_eq!(words(text), any, "{text}");
        }
        assert_eq!(words(&long)[0].len(), MAX_WORD);
    }

    #[test]
    fn what_is_sought_may_end_within_a_word() {
        let (whole, last) = words_sought("list Fil");
        assert_eq!(
            (whole, last.as_deref()),
            (BTreeSet::from(["list".to_owned()]), Some("fil"))
        );
        let (whole, last) = words_sought("list.");
        assert_eq!((whole, last), (BTreeSet::from(["list".to_owned()]), None));
        assert_eq!(words_sought("->"), (BTreeSet::new(), None));
        assert_eq!(words_sought("検"), (BTreeSet::new(), Some("検".to_owned())));
        // The last one is no letter: a mark that belongs to the one before.
        let (_, last) = words_sought("เซิร์");
        assert_eq!(last.as_deref(), Some("\u{e4c}"));
        // Of two words, each may stand in the middle of a text.
        let (whole, last) = words_sought("修复 引擎");
        let pairs = ["修复", "引擎"].map(str::to_owned);
        assert_eq!(
            (whole, last.as_deref()),
            (BTreeSet::from(pairs), Some("擎"))
        );
    }
}
