//! What documentation writes where a secret would stand: `aaaa…`, `0123…`, the alphabet.
//!
//! Only what no generator of secrets makes: ten characters that repeat or count up come once in 10^13 tokens.
use super::checksum::decode;

/// How many bytes make a run. Some tokens begin with a few equal ones.
const RUN: usize = 10;

/// Whether a token is none: the alphabet stands in it, or runs make up a good part of it, as it is written or decoded.
pub(super) fn is_filler(token: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    if token.windows(ALPHABET.len()).any(|w| w == ALPHABET) || is_mostly_runs(token) {
        return true;
    }
    // A prefix ends in one of these.
    let body = token.rsplit(|b| b"-_.:".contains(b)).next();
    body.filter(|body| body.len() >= 2 * RUN)
        .and_then(decode)
        .is_some_and(|bytes| is_mostly_runs(&bytes))
}

/// Whether runs in which each byte is the next one make up more than half of it, or those that repeat one byte more
/// than two fifths.
fn is_mostly_runs(token: &[u8]) -> bool {
    let signs = token.iter().filter(|b| b"-_.".contains(b)).count();
    let (mut counting, mut repeating) = (0, 0);
    let mut start = 0;
    while start + 1 < token.len() {
        let step = token[start + 1].wrapping_sub(token[start]);
        let mut end = start + 2;
        while end < token.len() && token[end].wrapping_sub(token[end - 1]) == step {
            end += 1;
        }
        if step <= 1 && end - start >= RUN {
            *(if step == 0 {
                &mut repeating
            } else {
                &mut counting
            }) += end - start;
            start = end;
        } else {
            // The last byte of one run may be the first of the next.
            start = end - 1;
        }
    }
    let in_runs = counting + repeating;
    in_runs > 0 && repeating * 5 + counting * 4 > (token.len() - signs) * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_no_secrets() {
        let filler: [&[u8]; 6] = [
            b"sb_secret_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            b"key_0000000000000000",
            b"key_0123456789mnopqrstuvwxyz",
            b"abcdefghijklmnopqrstuvwxyz1Zq8Km3Xw",
            b"ffffffffff-gggggggggggg-90125",
            b"pre-AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        ];
        for token in filler {
            assert!(is_filler(token), "{}", String::from_utf8_lossy(token));
        }
    }

    #[test]
    fn a_token_with_a_few_equal_bytes_is_one() {
        let tokens = [
            ["AAAAAAAAAAAAAAAAAAAAAG", "7Kq2mZx9Lw4RtVbN8sPdYc3HfJ5gE1uQ"].concat(),
            ["1234567", "8ABCDEFH1234567890"].concat(),
            ["q8Zk2Lm", "X9vTd4RwYbN7sPc"].concat(),
            ["pre_1234567890abcdefghij", "1234567890klmnopqrst"].concat(),
            String::new(),
            "a".to_owned(),
        ];
        for token in &tokens {
            assert!(!is_filler(token.as_bytes()), "{token}");
        }
    }
}
