//! What values are made of: whether one may be a password, or looks random enough for a token.
use super::forms::{is_mixed, is_slug, is_uuid, is_version};
use super::natural::{is_natural, naturalness};

/// Whether a value may be a password: what it is made of is all that is known of it.
pub(super) fn is_password(value: &str, quoted: bool) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() > 128 || bytes.len() < 6 && !(quoted && bytes.len() >= 5) {
        return false;
    }
    let digit = bytes.iter().any(u8::is_ascii_digit);
    let letter = bytes.iter().any(u8::is_ascii_alphabetic);
    let sign = bytes.iter().any(|b| b"!@#$%^&*+=?~".contains(b)) || !value.is_ascii();
    if !digit && !sign {
        // Letters alone: only what no language would write.
        return bytes.len() >= 8
            && bytes.iter().all(u8::is_ascii_alphabetic)
            && naturalness(value) < 60;
    }
    letter || sign || bytes.len() >= 8 || quoted
}

/// How random a value must look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// After an authentication scheme.
    Scheme,
    /// After a key that says it is a secret.
    Secret,
    /// After a key that only hints.
    Hint,
}

/// Whether a value looks as random as a token in such a place.
pub(super) fn is_token(value: &str, quoted: bool, strictness: Strictness) -> bool {
    let bytes = value.as_bytes();
    let shortest = match strictness {
        Strictness::Scheme => 12,
        Strictness::Secret => 10,
        Strictness::Hint => 16,
    };
    let signs: &[u8] = if quoted {
        b"_/+=.~:-!@#$%^*?&()<>;|"
    } else {
        b"_/+=.~:-!@#$%^*?"
    };
    let alphabet = |b: &u8| b.is_ascii_alphanumeric() || signs.contains(b);
    if bytes.len() < shortest || !bytes.iter().all(alphabet) {
        return false;
    }
    if is_uuid(bytes) {
        return strictness != Strictness::Hint && entropy(bytes) > 2.0;
    }
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    if letters == 0
        || is_version(value)
        || (is_slug(value)
            && (strictness == Strictness::Hint
                || strictness == Strictness::Secret && bytes.len() < 16))
        || (digits == 0 && (bytes.len() < 20 || naturalness(value) >= 60))
        || is_natural(value)
    {
        return false;
    }
    let floor = match strictness {
        Strictness::Scheme => 2.5,
        Strictness::Secret if bytes.len() < 16 => 2.8,
        Strictness::Secret => 3.0,
        Strictness::Hint => 3.2,
    };
    entropy(bytes) >= floor
}

/// Whether a value looks random enough for a place where a token is expected, without a key of its own.
pub(super) fn is_token_after(value: &str) -> bool {
    is_mixed(value) && is_token(value, false, Strictness::Secret)
        || value.len() >= 20 && is_token(value, false, Strictness::Hint)
}

/// Bits of information per byte, as far as the value itself tells.
pub(super) fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u16; 256];
    for &byte in bytes {
        counts[usize::from(byte)] = counts[usize::from(byte)].saturating_add(1);
    }
    let length = bytes.len() as f32;
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f32::from(count) / length)
        .map(|p| -p * p.log2())
        .sum()
}
