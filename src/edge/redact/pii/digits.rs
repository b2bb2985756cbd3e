//! Items that begin with a run of digits: one walk over the runs, each judged by its length and its neighbors.
use std::ops::Range;

use super::{Item, PiiKind, address, context, holds, phone, stands_alone};
use crate::edge::redact::checksum::{luhn, mod_97};
use crate::edge::redact::quotes::own_slashes;

/// How far a list of numbers may reach back, in bytes.
const LIST_REACH: usize = 256;
/// Bytes looked at together for a digit.
const BLOCK: usize = 32;

/// Walks over the runs of digits.
pub(super) fn find(text: &[u8], on: impl Fn(PiiKind) -> bool, found: &mut impl FnMut(Item)) {
    let mut from = 0;
    while let Some(start) = next_digit(text, from) {
        let end = run_end(text, start);
        let item = [
            (PiiKind::Iban, iban as Detector),
            (PiiKind::Card, card),
            (PiiKind::Ssn, ssn),
            (PiiKind::Ip, address::v4),
            (PiiKind::Phone, phone::phone),
        ]
        .into_iter()
        .filter(|(kind, _)| on(*kind))
        .find_map(|(_, detect)| detect(text, start..end));
        from = end;
        if let Some(item) = item {
            from = item.range.end.max(end);
            found(item);
        }
    }
}

type Detector = fn(&[u8], Range<usize>) -> Option<Item>;

/// The next digit from `from` on. Whole blocks are tested at once, which compilers turn into vector instructions.
fn next_digit(text: &[u8], mut from: usize) -> Option<usize> {
    let is_digit = |b: u8| b.wrapping_sub(b'0') < 10;
    while let Some(block) = text.get(from..from + BLOCK) {
        let any = block
            .iter()
            .fold(0u8, |any, b| any | u8::from(is_digit(*b)));
        if any != 0 {
            break;
        }
        from += BLOCK;
    }
    let rest = text.get(from..)?;
    rest.iter().position(|b| is_digit(*b)).map(|at| from + at)
}

pub(super) fn run_end(text: &[u8], start: usize) -> usize {
    start
        + text[start..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
}

/// A number of a payment card: whole, or in groups of its print.
fn card(text: &[u8], run: Range<usize>) -> Option<Item> {
    let mut digits = [0u8; 19];
    let mut groups = [0usize; 5];
    let mut count = 0;
    let mut end = run.start;
    let mut group = run.clone();
    let separator = text.get(run.end).copied().filter(|b| b" -".contains(b));
    for size in &mut groups {
        if count + group.len() > digits.len() {
            break;
        }
        digits[count..count + group.len()].copy_from_slice(&text[group.clone()]);
        count += group.len();
        *size = group.len();
        end = group.end;
        let next = group.end + 1;
        if separator.is_none() || text.get(group.end).copied() != separator {
            break;
        }
        group = next..run_end(text, next.min(text.len()));
        if group.is_empty() {
            break;
        }
    }
    let used = match groups {
        [14..=16, ..] => run.len(),
        [4, 4, 4, 4, ..] => 16,
        [4, 6, 5, ..] => 15,
        [4, 6, 4, ..] => 14,
        _ => return None,
    };
    let whole = used == run.len();
    let end = match (whole, used) {
        (true, _) => run.end,
        // Groups and the separators between them.
        (false, 16) => run.start + 19,
        (false, used) => run.start + used + 2,
    }
    .min(end.max(run.end));
    let digits = &digits[..used];
    let range = run.start..end;
    let neighbor = |at: Option<&u8>| at.is_some_and(|b| b".-".contains(b));
    let more = neighbor(text.get(end)) && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    let before = run.start.checked_sub(1).and_then(|at| text.get(at));
    let less = neighbor(before)
        && run
            .start
            .checked_sub(2)
            .is_some_and(|at| text[at].is_ascii_digit());
    if !stands_alone(text, &range) || more || less || !is_issued(digits) || !luhn(digits) {
        return None;
    }
    // `order_id: 4…`
    let named = context(text, run.start);
    let key = named.trim_ascii_end();
    let key = key
        .iter()
        .rposition(|b| !b"\"'\\:= ".contains(b))
        .map_or(&[][..], |last| &key[..=last]);
    if whole && (key.ends_with(b"id") || key.ends_with(b"uuid")) {
        return None;
    }
    let wrap = match whole.then(|| place(text, &range)) {
        None | Some(Place::Text) => None,
        Some(Place::JsonNumber(quote)) => Some(quote),
        Some(Place::Unclear) => return None,
    };
    Some(Item {
        kind: PiiKind::Card,
        range,
        wrap,
    })
}

/// Where a number stands.
enum Place {
    /// In text, or in a string.
    Text,
    /// A bare value of JSON; the quote after its key.
    JsonNumber(Range<usize>),
    /// A value of JSON or the beginning of a string, which only the whole document could tell. The number stays:
    /// either guess could break the document.
    Unclear,
}

/// Begins as the numbers of a card network do, and is as long.
fn is_issued(digits: &[u8]) -> bool {
    let lead = |length: usize| {
        digits[..length]
            .iter()
            .fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    match digits.len() {
        14 => matches!(lead(3), 300..=305 | 309 | 360..=369 | 380..=399),
        15 => matches!(lead(2), 34 | 37),
        16 => {
            lead(1) == 4
                || matches!(lead(2), 51..=55 | 62 | 65)
                || matches!(lead(3), 644..=649)
                || matches!(lead(4), 2221..=2720 | 3528..=3589 | 6011 | 5018 | 5020 | 5038 | 6304)
        }
        _ => false,
    }
}

/// `"pan": 4…,` and `"pans": [4…, 5…]` have bare numbers.
fn place(text: &[u8], number: &Range<usize>) -> Place {
    let back = |from: usize, test: fn(&u8) -> bool| {
        let reach = &text[from.saturating_sub(LIST_REACH)..from];
        from - reach.iter().rev().take_while(|b| test(b)).count()
    };
    let blank = u8::is_ascii_whitespace;
    let last = |end: usize| end.checked_sub(1).map(|at| text[at]);
    let after = text[number.end..].iter().find(|b| !b.is_ascii_whitespace());
    let mut value = back(number.start, blank);
    let list = back(value, |b| b.is_ascii_digit() || b", \t\r\n.-".contains(b));
    if last(list) == Some(b'[') {
        value = back(list - 1, blank);
    }
    if last(value) != Some(b':') || !after.is_none_or(|b| b",}]".contains(b)) {
        return Place::Text;
    }
    let quote = back(value - 1, blank);
    if last(quote) != Some(b'"') {
        return Place::Text;
    }
    let slashes = quote - 1 - back(quote - 1, |b| *b == b'\\');
    let own = own_slashes(slashes);
    let key = last(quote - 1 - slashes);
    if own == slashes && key.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Place::JsonNumber(quote - 1 - own..quote)
    } else {
        Place::Unclear
    }
}

/// An international bank account number, whole or in groups of four.
fn iban(text: &[u8], run: Range<usize>) -> Option<Item> {
    let start = run.start.checked_sub(2)?;
    let country = &text[start..run.start];
    if run.len() < 2 || !country.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let known = COUNTRIES
        .split(' ')
        .find(|known| known.as_bytes().starts_with(country))?;
    let length: usize = known[2..].parse().ok()?;
    let mut account = Vec::with_capacity(length);
    let mut at = start;
    while account.len() < length {
        match text.get(at) {
            Some(b' ' | b'-') if account.len().is_multiple_of(4) => {}
            Some(b) if b.is_ascii_digit() || b.is_ascii_uppercase() => account.push(*b),
            _ => return None,
        }
        at += 1;
    }
    let range = start..at;
    (stands_alone(text, &range) && mod_97(&account)).then(|| Item::new(PiiKind::Iban, range))
}

/// Countries and the lengths of their account numbers, as in the registry of SWIFT.
const COUNTRIES: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 \
    ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 \
    LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 \
    PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 TN24 TR26 UA29 VA22 XK20";

/// A US social security number: with hyphens, or otherwise where the text says that it is one.
fn ssn(text: &[u8], run: Range<usize>) -> Option<Item> {
    let named = || {
        holds(
            &context(text, run.start),
            &["ssn", "social sec", "social_sec"],
        )
    };
    let (digits, end) = match run.len() {
        9 if named() => (text[run.clone()].to_vec(), run.end),
        3 => {
            let separator = *text.get(run.end)?;
            let rest = text.get(run.end..run.end + 8)?;
            let shaped =
                rest[0] == rest[3] && rest[1..3].iter().chain(&rest[4..]).all(u8::is_ascii_digit);
            if !shaped || !(separator == b'-' || separator == b' ' && named()) {
                return None;
            }
            let digits = [&text[run.clone()], &rest[1..3], &rest[4..]].concat();
            (digits, run.end + 8)
        }
        _ => return None,
    };
    let range = run.start..end;
    let (area, group, serial) = (&digits[..3], &digits[3..5], &digits[5..]);
    let given_out =
        area != b"000" && area != b"666" && area[0] != b'9' && group != b"00" && serial != b"0000";
    let hyphen = |at: Option<usize>| at.and_then(|at| text.get(at)) == Some(&b'-');
    let part = hyphen(run.start.checked_sub(1)) || hyphen(Some(end));
    (given_out && !part && stands_alone(text, &range)).then(|| Item::new(PiiKind::Ssn, range))
}
