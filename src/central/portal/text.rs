//! Text from records, made fit to be shown. Every character of it is hostile until it has
//! gone through [`Text`]: what cannot be seen becomes a visible token, what the edge took
//! out becomes a mark, and the template escapes the rest.

use std::fmt::Write;

use askama::Template;
use askama::filters::HtmlSafe;

use crate::event::content::Content;

pub(super) use found::holds;

mod found;

/// A piece of text as the page shows it.
pub(super) enum Piece {
    /// As it is.
    Plain(String),
    /// A character that would be invisible or change the order of others.
    Token(String),
    /// A placeholder of the edge, by the kind of secret it stands for.
    Redacted(String),
    /// What somebody looks for.
    Found(String),
}

/// Text in pieces, each escaped by its template.
#[derive(Template)]
#[template(path = "text.html", config = "src/central/portal/askama.toml")]
pub(super) struct Text {
    pieces: Vec<Piece>,
}

// Its `Display` is `text.html`, which escapes every piece.
impl HtmlSafe for Text {}

/// Text that may be long, or absent for a reason.
#[derive(Template)]
#[template(path = "passage.html", config = "src/central/portal/askama.toml")]
pub(super) struct Passage {
    head: Option<Text>,
    rest: Option<Text>,
    /// Whether the rest is shown at once.
    is_open: bool,
    character_count: String,
    absence: Option<String>,
    note: Option<String>,
}

// Its `Display` is `passage.html`, which escapes.
impl HtmlSafe for Passage {}

/// The same in one line.
#[derive(Template)]
#[template(path = "snippet.html", config = "src/central/portal/askama.toml")]
pub(super) struct Snippet {
    text: Option<Text>,
    absence: Option<String>,
    code: bool,
}

// Its `Display` is `snippet.html`, which escapes.
impl HtmlSafe for Snippet {}

/// Characters of a passage that are shown before "show all".
const PASSAGE_LIMIT: usize = 4_000;
/// Characters of a line.
const LINE_LIMIT: usize = 240;
/// Characters of a name: an agent, a tool, a path.
const NAME_LIMIT: usize = 160;
/// How a placeholder of the edge begins.
const PLACEHOLDER: &str = "[REDACTED:";
/// The longest kind that a placeholder names.
const PLACEHOLDER_LIMIT: usize = 80;

impl Text {
    /// The whole of `text`.
    pub(super) fn new(text: &str) -> Text {
        Text {
            pieces: pieces(text),
        }
    }

    /// `text` as a name: one line, cut where it is absurdly long.
    pub(super) fn name(text: &str) -> Text {
        Text::line(text, NAME_LIMIT)
    }

    /// `text` as a name in a list: a long one, such as a raw id, cut in the middle.
    pub(super) fn short(text: &str) -> Text {
        Text::name(&cut_in_the_middle(text, 40, 24, 8))
    }

    /// An id, cut in the middle.
    pub(super) fn id(id: &str) -> Text {
        Text::name(&cut_in_the_middle(id, 14, 8, 4))
    }

    fn line(text: &str, limit: usize) -> Text {
        let flat: String = text
            .chars()
            .take(limit)
            .map(|character| {
                if matches!(character, '\n' | '\r' | '\t') {
                    ' '
                } else {
                    character
                }
            })
            .collect();
        let mut line = Text::new(flat.trim());
        if text.chars().nth(limit).is_some() {
            line.pieces.push(Piece::Plain("…".to_owned()));
        }
        line
    }
}

impl Passage {
    /// `content` as a block of text.
    pub(super) fn new(content: &Content) -> Passage {
        let text = content.text();
        let cut = text.and_then(|text| text.char_indices().nth(PASSAGE_LIMIT));
        let (head, rest) = match (text, cut) {
            (Some(text), Some((index, _))) => (Some(&text[..index]), Some(&text[index..])),
            (text, _) => (text, None),
        };
        Passage {
            head: head.map(Text::new),
            rest: rest.map(Text::new),
            is_open: false,
            character_count: super::words::count(
                text.map_or(0, |text| text.chars().count() as i64),
            ),
            absence: absence(content),
            note: cut_note(content),
        }
    }

    /// Text that is simply there.
    pub(super) fn plain(text: &str) -> Passage {
        Passage::new(&Content::Text {
            text: text.to_owned(),
        })
    }

    /// An absence in words of its own.
    pub(super) fn absent(words: &str) -> Passage {
        Passage {
            absence: Some(words.to_owned()),
            ..Passage::new(&Content::Missing)
        }
    }
}

impl Snippet {
    /// `content` in words.
    pub(super) fn words(content: &Content) -> Snippet {
        Snippet {
            text: content.text().map(|text| Text::line(text, LINE_LIMIT)),
            absence: absence(content),
            code: false,
        }
    }

    /// `content` as a command or path, in monospace.
    pub(super) fn code(content: &Content) -> Snippet {
        Snippet {
            code: true,
            ..Snippet::words(content)
        }
    }

    /// Our own or a record's words.
    pub(super) fn plain(text: &str) -> Snippet {
        Snippet::words(&Content::Text {
            text: text.to_owned(),
        })
    }

    /// An absence in words of its own.
    pub(super) fn absent(words: &str) -> Snippet {
        Snippet {
            absence: Some(words.to_owned()),
            ..Snippet::none()
        }
    }

    /// Nothing to show, and nothing missing.
    pub(super) fn none() -> Snippet {
        Snippet {
            text: None,
            absence: None,
            code: false,
        }
    }
}

/// `text` in one string, for titles and attributes: tokens in brackets.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Plain(text) => shown.push_str(&text),
            Piece::Token(name) => {
                let _ = write!(shown, "‹{name}›");
            }
            Piece::Redacted(kind) => {
                let _ = write!(shown, "[redacted: {kind}]");
            }
            Piece::Found(text) => shown.push_str(&text),
        }
    }
    shown
}

/// An id cut in the middle, as a string.
pub(super) fn short_id(id: &str) -> String {
    visible(&cut_in_the_middle(id, 14, 8, 4))
}

/// `text`, or its first `head` and last `tail` characters when it has more than `limit`.
fn cut_in_the_middle(text: &str, limit: usize, head: usize, tail: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let first: String = text.chars().take(head).collect();
    let last: String = text.chars().skip(count - tail).collect();
    format!("{first}…{last}")
}

fn absence(content: &Content) -> Option<String> {
    match content {
        Content::NotExported { switch } => {
            Some(format!("Not exported by the client ({switch} is off)"))
        }
        Content::HiddenByRole => Some("Hidden by your role".to_owned()),
        Content::Erased => Some("Older than this environment keeps content".to_owned()),
        Content::Missing => Some("No record brought this text".to_owned()),
        Content::Text { .. } | Content::TruncatedByClient { .. } => None,
    }
}

fn cut_note(content: &Content) -> Option<String> {
    match content {
        Content::TruncatedByClient {
            limit: Some(limit), ..
        } => Some(format!("cut by the client at {limit} characters")),
        Content::TruncatedByClient { limit: None, .. } => Some("cut by the client".to_owned()),
        _ => None,
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, kind, after)) = next_placeholder(rest) {
        push_visible(&mut pieces, before);
        pieces.push(Piece::Redacted(kind.to_owned()));
        rest = after;
    }
    push_visible(&mut pieces, rest);
    pieces
}

/// What stands before the next placeholder, its kind, and what comes after.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find(PLACEHOLDER) {
        let start = from + found;
        let kind_start = start + PLACEHOLDER.len();
        let kind = text[kind_start..]
            .split_once(']')
            .map(|(kind, _)| kind)
            .filter(|kind| kind.len() <= PLACEHOLDER_LIMIT && kind.bytes().all(in_placeholder));
        if let Some(kind) = kind {
            let after = &text[kind_start + kind.len() + 1..];
            return Some((&text[..start], kind, after));
        }
        from = kind_start;
    }
    None
}

fn in_placeholder(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'.' | b'=' | b'-')
}

fn push_visible(pieces: &mut Vec<Piece>, text: &str) {
    let mut plain = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\r' && characters.peek() == Some(&'\n') {
            continue;
        }
        if !is_unseen(character) {
            plain.push(character);
            continue;
        }
        let mut run = 1;
        while characters.next_if_eq(&character).is_some() {
            run += 1;
        }
        if !plain.is_empty() {
            pieces.push(Piece::Plain(std::mem::take(&mut plain)));
        }
        let name = format!("U+{:04X}", u32::from(character));
        pieces.push(Piece::Token(if run == 1 {
            name
        } else {
            format!("{name} ×{run}")
        }));
    }
    if !plain.is_empty() {
        pieces.push(Piece::Plain(plain));
    }
}

/// Controls, direction changes, and what takes no room.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{8}'
            | '\u{b}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_escaped() {
        let html = Text::new("<script>alert(\"1\")</script>&'").to_string();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains('"') && !html.contains('\''), "{html}");
    }

    #[test]
    fn what_cannot_be_seen_is_a_token() {
        let html = Text::new("a\u{202e}b\u{200b}\u{200b}\u{0}").to_string();
        for token in ["U+202E", "U+200B ×2", "U+0000"] {
            assert!(html.contains(token), "{token} in {html}");
        }
        for raw in ['\u{202e}', '\u{200b}', '\0'] {
            assert!(!html.contains(raw));
        }
        assert_eq!(visible("a\u{202e}b"), "a‹U+202E›b");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(visible("a\r\nb\tc"), "a\nb\tc");
    }

    #[test]
    fn a_placeholder_is_a_mark_and_a_lookalike_is_text() {
        let html = Text::new("key [REDACTED:aws.key] end").to_string();
        assert!(html.contains("<span class=\"redacted\""), "{html}");
        assert!(html.contains("aws.key"));
        let lookalike = Text::new("[REDACTED:<b>] [REDACTED:").to_string();
        assert!(!lookalike.contains("class=\"redacted\""), "{lookalike}");
        assert!(!lookalike.contains("<b>"));
    }

    #[test]
    fn long_text_is_cut_and_kept() {
        let passage = Passage::plain(&"é".repeat(PASSAGE_LIMIT + 5)).to_string();
        assert!(passage.contains("<details"), "the rest unfolds");
        assert_eq!(passage.matches('é').count(), PASSAGE_LIMIT + 5);
        assert_eq!(
            Text::name(&"n".repeat(500))
                .to_string()
                .matches('n')
                .count(),
            NAME_LIMIT
        );
    }
}
