//! Telephone numbers: with a country code, as in North America, or after a word that says so.
use std::ops::Range;

use super::digits::run_end;
use super::{Item, PiiKind, context, holds, stands_alone};

/// Country codes, with the fewest and the most digits of their numbers, the code included.
const LENGTHS: &str = "1 11 11; 7 11 11; 20 11 12; 27 11 11; 30 12 12; 31 11 11; 32 10 11; 33 11 11; 34 11 11; 36 10 11; 39 9 13; 40 11 11; 41 11 11; 43 9 15; 44 11 12; \
    45 10 10; 46 9 12; 47 10 10; 48 11 11; 49 9 15; 52 12 13; 55 12 13; 61 11 11; 65 10 10; 81 11 12; 82 10 12; 86 11 13; 90 12 12; 91 12 12; 351 12 12";
/// Elsewhere.
const USUAL: (usize, usize) = (9, 14);
const WORDS: [&str; 9] = [
    "phone", "tel", "mobile", "cell", "call", "fax", "sms", "whatsapp", "handy",
];

/// A number that begins with this run of digits.
pub(super) fn phone(text: &[u8], run: Range<usize>) -> Option<Item> {
    let before = run.start.checked_sub(1).map(|at| text[at]);
    let range = match before {
        Some(b'+') => international(text, run.clone()),
        _ => north_american(text, run.clone()).or_else(|| national(text, run.clone())),
    }?;
    let hyphen = text.get(range.end) == Some(&b'-');
    (stands_alone(text, &range) && !hyphen).then(|| Item::new(PiiKind::Phone, range))
}

/// The run stands after a plus sign, which belongs to the number.
fn international(text: &[u8], run: Range<usize>) -> Option<Range<usize>> {
    let start = run.start - 1;
    let digits: Vec<u8> = text[run.start..text.len().min(run.start + 8)]
        .iter()
        .copied()
        .filter(u8::is_ascii_digit)
        .collect();
    if digits.first() == Some(&b'0') {
        return None;
    }
    let (least, most) = lengths(&digits);
    groups(text, run, least, most).map(|range| start..range.end)
}

/// Other numbers begin with 0 and need a word before them.
fn national(text: &[u8], run: Range<usize>) -> Option<Range<usize>> {
    let dialed = run.len() >= 2 && text[run.start] == b'0';
    (dialed && holds(&context(text, run.start), &WORDS)).then(|| groups(text, run, 9, 12))?
}

fn lengths(digits: &[u8]) -> (usize, usize) {
    let known = LENGTHS.split("; ").find_map(|known| {
        let mut numbers = known.split(' ');
        numbers
            .next()
            .filter(|code| digits.starts_with(code.as_bytes()))?;
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    known.unwrap_or(USUAL)
}

/// Groups of digits with at most two separators between them, `least` to `most` digits in all.
fn groups(text: &[u8], run: Range<usize>, least: usize, most: usize) -> Option<Range<usize>> {
    let mut count = run.len();
    let mut end = run.end;
    while count < most {
        let gap = text[end..text.len().min(end + 2)]
            .iter()
            .take_while(|b| b" -.()/".contains(b))
            .count();
        let next = end + gap;
        if gap == 0 || !text.get(next).is_some_and(u8::is_ascii_digit) {
            break;
        }
        let group = run_end(text, next) - next;
        if count + group > most {
            break;
        }
        count += group;
        end = next + group;
    }
    (least..=most).contains(&count).then_some(run.start..end)
}

/// `555-123-4567`, `555.123.4567`, `(555) 123-4567`; area and exchange do not begin with 0 or 1.
fn north_american(text: &[u8], area: Range<usize>) -> Option<Range<usize>> {
    if area.len() != 3 {
        return None;
    }
    let bracket = area.start > 0 && text[area.start - 1] == b'(';
    let mut at = area.end;
    if bracket {
        if text.get(at) != Some(&b')') {
            return None;
        }
        at += 1;
    }
    let first = text.get(at).copied().filter(|b| b" -.".contains(b));
    let separator = match (bracket, first) {
        (true, Some(_)) => b'-',
        (true, None) => {
            at -= 1;
            b'-'
        }
        (false, Some(b' ')) | (false, None) => return None,
        (false, Some(sign)) => sign,
    };
    let exchange = at + 1..run_end(text, (at + 1).min(text.len()));
    if exchange.len() != 3
        || !matches!(text.get(exchange.end), Some(b) if *b == separator || bracket && b" .".contains(b))
    {
        return None;
    }
    let line = exchange.end + 1..run_end(text, (exchange.end + 1).min(text.len()));
    let valid = line.len() == 4 && text[area.start] >= b'2' && text[exchange.start] >= b'2';
    let start = area.start - usize::from(bracket);
    let inside = start > 0 && b"-.".contains(&text[start - 1]);
    (valid && !inside).then_some(start..line.end)
}
