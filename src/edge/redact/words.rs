//! The words of a key.

/// The words of a key in lower case: `apiKey2`, `API_KEY` → `api`, `key`. Digits end a word and are dropped.
pub(super) struct Words {
    letters: [u8; KEY_LETTERS],
    /// Where each word ends.
    ends: [u8; KEY_WORDS],
    count: usize,
}

/// Letters of a key that are looked at, and words.
const KEY_LETTERS: usize = 192;
const KEY_WORDS: usize = 32;

impl Words {
    pub(super) fn of(key: &str) -> Self {
        let mut words = Self {
            letters: [0; KEY_LETTERS],
            ends: [0; KEY_WORDS],
            count: 0,
        };
        let bytes = key.as_bytes();
        let mut previous = 0u8;
        let mut length = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if byte.is_ascii_alphabetic() && length < KEY_LETTERS {
                let camel = byte.is_ascii_uppercase()
                    && (previous.is_ascii_lowercase()
                        || (previous.is_ascii_uppercase()
                            && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase)));
                // The last word takes what is left of a key with more.
                let goes_on = !camel && previous.is_ascii_alphabetic() && words.count > 0;
                if !goes_on && words.count < KEY_WORDS {
                    words.count += 1;
                }
                words.letters[length] = byte.to_ascii_lowercase();
                length += 1;
                words.ends[words.count - 1] = length as u8;
            }
            previous = byte;
        }
        words
    }

    fn start(&self, word: usize) -> usize {
        word.checked_sub(1).map_or(0, |last| self.ends[last].into())
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        (0..self.count).map(|word| &self.letters[self.start(word)..self.ends[word].into()])
    }

    /// Each two neighbors as one word.
    pub(super) fn joined(&self) -> impl Iterator<Item = &[u8]> {
        (1..self.count).map(|word| &self.letters[self.start(word - 1)..self.ends[word].into()])
    }
}
