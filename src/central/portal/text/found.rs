//! Marks what somebody looks for in text that is shown.

use super::{Passage, Piece, Snippet, Text};

impl Text {
    /// Marks every place where `word` stands, capitals or not, and counts them.
    pub(in crate::central::portal) fn mark(&mut self, word: &str) -> usize {
        let mut count = 0;
        let mut marked = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Plain(text) => count += split(&text, word, &mut marked),
                other => marked.push(other),
            }
        }
        self.pieces = marked;
        count
    }
}

impl Passage {
    /// The same for a passage; one that has it below "show all" is shown whole.
    pub(in crate::central::portal) fn mark(&mut self, word: &str) -> usize {
        let below = self.rest.as_mut().map_or(0, |rest| rest.mark(word));
        self.is_open |= below > 0;
        below + self.head.as_mut().map_or(0, |head| head.mark(word))
    }
}

impl Snippet {
    /// The same for a line.
    pub(in crate::central::portal) fn mark(&mut self, word: &str) -> usize {
        self.text.as_mut().map_or(0, |text| text.mark(word))
    }
}

/// Whether `text` has `word` in it, capitals or not.
pub(in crate::central::portal) fn holds(text: &str, word: &str) -> bool {
    place(text, &folded(word)).is_some()
}

/// The pieces of `text`, and how many of them are `word`.
fn split(text: &str, word: &str, pieces: &mut Vec<Piece>) -> usize {
    let word = folded(word);
    let mut count = 0;
    let mut rest = text;
    while let Some((start, end)) = place(rest, &word) {
        if start > 0 {
            pieces.push(Piece::Plain(rest[..start].to_owned()));
        }
        pieces.push(Piece::Found(rest[start..end].to_owned()));
        rest = &rest[end..];
        count += 1;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Plain(rest.to_owned()));
    }
    count
}

/// Where `word` first stands in `text`, in bytes.
fn place(text: &str, word: &[char]) -> Option<(usize, usize)> {
    let first = *word.first()?;
    text.char_indices()
        .filter(|(_, character)| fold(*character) == first)
        .find_map(|(start, _)| {
            let mut rest = text[start..].char_indices();
            let mut end = start;
            for wanted in word {
                let (at, character) = rest.next()?;
                if fold(character) != *wanted {
                    return None;
                }
                end = start + at + character.len_utf8();
            }
            Some((start, end))
        })
}

fn folded(word: &str) -> Vec<char> {
    word.chars().map(fold).collect()
}

fn fold(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_marked_whatever_its_capitals() {
        let mut text = Text::new("Git add, GIT push\u{202e}git");
        assert_eq!(text.mark("git"), 3);
        let html = text.to_string();
        assert!(html.contains("<mark>GIT</mark> push"), "{html}");
        assert_eq!(Text::new("İstanbul").mark("istanbul"), 1);
        assert_eq!(Text::new("aaa").mark("aa"), 1);
        assert_eq!(Text::new("日本語のテスト").mark("テスト"), 1);
        assert_eq!(Text::new("a").mark(""), 0);
        let mut hostile = Text::new("<b>");
        assert_eq!(hostile.mark("<b>"), 1);
        assert!(!hostile.to_string().contains("<b>"));
    }
}
