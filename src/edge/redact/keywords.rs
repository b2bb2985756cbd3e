//! Finds every place where a keyword stands, without regard to case.
//!
//! An Aho-Corasick automaton of this many keywords is larger than a processor's nearest caches: walking through text in
//! which no keyword begins took three quarters of all the time that redaction took. Here a small table says for four
//! bytes whether a keyword may begin with them; it is asked at every place, without a branch that could be predicted
//! wrongly, and only where it lets a place pass are the keywords compared that begin so.
use std::ops::Range;

/// Bytes that the filter looks at. Shorter keywords begin with any that follow them.
const BEGINNING: usize = 4;
/// Bits of a hash of three bytes: the filter takes 32 KiB.
const FILTER_BITS: u32 = 13;
/// Bits of a hash of a beginning, to find the keywords that have it.
const LONG_BITS: u32 = 12;
/// The same for shorter keywords and their first two bytes.
const SHORT_BITS: u32 = 8;
/// Places that pass the filter are collected over so many bytes before they are looked at.
const BLOCK: usize = 128;
/// Bytes of a keyword that are compared at once.
const HEAD: usize = 8;

/// The keywords, by their numbers in the list that they were made of.
#[derive(Debug)]
pub(super) struct Keywords {
    filter: Filter,
    /// Of keywords with as many bytes as a beginning or more, by the hash of their beginning.
    long: Buckets,
    /// Of shorter ones, by the hash of their first two bytes.
    short: Buckets,
}

/// Keywords by a hash, those of one hash beside each other.
#[derive(Debug)]
struct Buckets {
    /// Where those of each hash begin; one more for the end.
    starts: Box<[u32]>,
    keywords: Box<[Keyword]>,
}

#[derive(Debug)]
struct Keyword {
    number: usize,
    /// In lower case.
    text: Box<[u8]>,
    /// Its first bytes, folded, and which of [`HEAD`] bytes they are.
    head: u64,
    mask: u64,
}

impl Keywords {
    /// Keywords in ASCII, each of two bytes or more.
    pub(super) fn new<'k>(keywords: impl Iterator<Item = &'k str>) -> Self {
        let mut filter = Filter::default();
        let (mut long, mut short) = (Vec::new(), Vec::new());
        for (number, text) in keywords.enumerate() {
            let keyword = Keyword::new(number, text);
            filter.add(&keyword.text);
            if text.len() < BEGINNING {
                short.push(keyword);
            } else {
                long.push(keyword);
            }
        }
        Self {
            filter,
            long: Buckets::new(long, LONG_BITS, long_bucket),
            short: Buckets::new(short, SHORT_BITS, short_bucket),
        }
    }

    /// Calls `found` with the number and the place of each keyword, in the order of their beginnings, until it fails.
    pub(super) fn find<E>(
        &self,
        text: &[u8],
        mut found: impl FnMut(usize, Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let last = text.len().saturating_sub(BEGINNING - 1);
        for start in (0..last).step_by(BLOCK) {
            let block = &text[start..text.len().min(start + BLOCK + BEGINNING - 1)];
            let mut places = [0; BLOCK];
            let mut count = 0;
            for (place, beginning) in block.windows(BEGINNING).enumerate() {
                places[count % BLOCK] = place;
                count += usize::from(self.filter.lets_pass(beginning));
            }
            for place in &places[..count] {
                self.compare(text, start + place, &mut found)?;
            }
        }
        // Only short keywords have room here.
        (last..text.len()).try_for_each(|at| self.compare(text, at, &mut found))
    }

    /// The keywords that begin right here.
    fn compare<E>(
        &self,
        text: &[u8],
        at: usize,
        found: &mut impl FnMut(usize, Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rest = &text[at..];
        let head = folded_head(rest);
        for keyword in self.short.get(short_bucket(head)) {
            if head & keyword.mask == keyword.head {
                keyword.report(text, at, found)?;
            }
        }
        for keyword in self.long.get(long_bucket(head)) {
            if head & keyword.mask == keyword.head {
                keyword.report(text, at, found)?;
            }
        }
        Ok(())
    }
}

impl Buckets {
    fn new(mut keywords: Vec<Keyword>, bits: u32, bucket: fn(u64) -> usize) -> Self {
        keywords.sort_by_key(|keyword| bucket(keyword.head));
        let start = |hash| keywords.partition_point(|keyword| bucket(keyword.head) < hash);
        Self {
            starts: (0..=1 << bits).map(|hash| start(hash) as u32).collect(),
            keywords: keywords.into_boxed_slice(),
        }
    }

    fn get(&self, bucket: usize) -> &[Keyword] {
        let [start, end] = [self.starts[bucket], self.starts[bucket + 1]];
        &self.keywords[start as usize..end as usize]
    }
}

impl Keyword {
    fn new(number: usize, text: &str) -> Self {
        let text = text.to_ascii_lowercase().into_bytes().into_boxed_slice();
        let mask = match 8 * text.len() {
            bits @ 0..64 => (1 << bits) - 1,
            _ => u64::MAX,
        };
        Self {
            number,
            head: folded_head(&text) & mask,
            mask,
            text,
        }
    }

    /// Kept out of the loop that asks for it: it is seldom called, and calls much.
    #[inline(never)]
    fn report<E>(
        &self,
        text: &[u8],
        at: usize,
        found: &mut impl FnMut(usize, Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = at..at + self.text.len();
        match text.get(place.clone()) {
            Some(here) if here.eq_ignore_ascii_case(&self.text) => found(self.number, place),
            _ => Ok(()),
        }
    }
}

/// Which beginnings keywords have, and some others have too.
#[derive(Debug)]
struct Filter {
    /// By the hash of three bytes: which fourth ones may follow, by their last five bits.
    fourth: Box<[u32; 1 << FILTER_BITS]>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            fourth: Box::new([0; 1 << FILTER_BITS]),
        }
    }
}

impl Filter {
    fn add(&mut self, keyword: &[u8]) {
        match *keyword {
            [a, b, c, d, ..] => self.fourth[three(&[a, b, c, d])] |= 1 << (d % 32),
            [a, b, c] => self.fourth[three(&[a, b, c, 0])] = u32::MAX,
            [a, b] => (0..32).for_each(|c| self.fourth[three(&[a, b, c, 0])] = u32::MAX),
            _ => {}
        }
    }

    fn lets_pass(&self, beginning: &[u8]) -> bool {
        self.fourth[three(beginning)] >> (beginning[3] % 32) & 1 == 1
    }
}

/// A hash of the last five bits of three bytes, which do not tell the case of letters.
fn three(beginning: &[u8]) -> usize {
    hash(word(beginning) & 0x001f_1f1f, FILTER_BITS)
}

fn long_bucket(head: u64) -> usize {
    hash(head as u32, LONG_BITS)
}

fn short_bucket(head: u64) -> usize {
    hash(head as u32 & 0xffff, SHORT_BITS)
}

/// Fibonacci hashing: the upper bits of the product depend on all of the number.
fn hash(number: u32, bits: u32) -> usize {
    (number.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The first bytes without regard to the case of letters; some signs become the same.
fn folded_head(text: &[u8]) -> u64 {
    let mut head = [0; HEAD];
    match text.first_chunk() {
        Some(first) => head = *first,
        None => head[..text.len()].copy_from_slice(text),
    }
    u64::from_le_bytes(head) | 0x2020_2020_2020_2020
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keywords: &[&str], text: &str) -> Vec<(usize, Range<usize>)> {
        let mut all = Vec::new();
        let keywords = Keywords::new(keywords.iter().copied());
        let done = keywords.find(text.as_bytes(), |number, place| {
            all.push((number, place));
            Ok::<_, ()>(())
        });
        done.expect("nothing failed");
        all
    }

    #[test]
    fn every_keyword_is_found_wherever_it_stands_in_any_case() {
        let keywords = ["pw", "key", "token", "keyword", "ord", "_long_Keyword_"];
        assert_eq!(
            found(&keywords, "PW my_KeyWord"),
            [(0, 0..2), (1, 6..9), (3, 6..13), (4, 10..13)]
        );
        assert_eq!(found(&keywords, "tOkEn"), [(2, 0..5)]);
        for text in ["", "p", "toke", "éé", "key\u{7}ord".get(1..).unwrap_or("")] {
            assert!(
                found(&keywords, text)
                    .iter()
                    .all(|(number, _)| *number == 4),
                "{text}"
            );
        }
        for before in 0..300 {
            let text = format!("{}_long_KEYWORD_", ".".repeat(before));
            let all = found(&keywords, &text);
            assert!(all.contains(&(5, before..before + 14)), "{before}: {all:?}");
            assert_eq!(all.len(), 4, "{before}: {all:?}");
        }
    }
}
