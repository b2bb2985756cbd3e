//! Forms of values that are no secrets: versions, paths, code, patterns; and of those that may be.
use super::natural::is_natural;

/// `0.11.2`, `rc0.15.0_20231217`: two dots between digits; or a date.
pub(super) fn is_version(value: &str) -> bool {
    let date = |w: &[u8]| w.iter().all(|b| b.is_ascii_digit());
    if let [year @ .., b'-', month, month_2, b'-', _, _] = &value.as_bytes()[..value.len().min(10)]
        && date(year)
        && date(&[*month, *month_2])
    {
        return true;
    }
    let dots = value
        .as_bytes()
        .windows(3)
        .filter(|w| w[0].is_ascii_digit() && w[1] == b'.' && w[2].is_ascii_digit());
    dots.count() >= 2
}

/// `user-226709-f4206a`, `Linux-node-f4206a`: a word, and parts after hyphens.
pub(super) fn is_slug(value: &str) -> bool {
    let mut parts = value.split(['-', '_', ':']);
    let word = parts.next().is_some_and(|part| {
        part.len() >= 2
            && part.bytes().skip(1).all(|b| b.is_ascii_lowercase())
            && part.starts_with(|first: char| first.is_ascii_alphabetic())
    });
    word && parts.next().is_some()
}

pub(super) fn is_mixed(value: &str) -> bool {
    value.bytes().any(|b| b.is_ascii_digit()) && value.bytes().any(|b| b.is_ascii_alphabetic())
}

pub(super) fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// A path, relative or absolute, whose parts are words, or that ends in a file's name.
pub(super) fn is_path(value: &str) -> bool {
    let file = value
        .rsplit_once('/')
        .and_then(|(_, file)| file.rsplit_once('.'));
    let kind = |ending: &str| {
        (2..=8).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_lowercase())
    };
    if file.is_some_and(|(name, ending)| !name.is_empty() && kind(ending)) {
        return true;
    }
    let rooted = ["/", "./", "../", "~/"]
        .iter()
        .any(|root| value.starts_with(root));
    let parts = value.split('/').filter(|part| !part.is_empty());
    (rooted || value.matches('/').count() >= 2)
        && parts
            .clone()
            .all(|part| part.len() <= 24 || part.contains('.'))
        && (is_natural(value) || value.len() < 16)
}

/// A call, an index, a path through members or types: `get_password(`, `os.environ[`, `config.password`.
pub(super) fn is_code(bytes: &[u8]) -> bool {
    let member = bytes.contains(&b'.')
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphabetic() || matches!(b, b'.' | b'_'))
        && !bytes[0].is_ascii_punctuation();
    member
        || bytes.contains(&b'(')
        || bytes.contains(&b'[')
        || bytes.contains(&b'{')
        || bytes.windows(2).any(|w| w == b"::" || w == b"->")
}

/// A regular expression or a format string.
pub(super) fn is_pattern(value: &str) -> bool {
    const SIGNS: [&str; 14] = [
        "[^", "(?", "]+", "]*", "]{", "\\d", "\\s", "\\w", "{{", "${", "$(", "<%", "%s", "{}",
    ];
    // Most values have none of these.
    let may = |b: u8| matches!(b, b'[' | b'(' | b']' | b'\\' | b'{' | b'$' | b'<' | b'%');
    value.bytes().any(may) && SIGNS.iter().any(|sign| value.contains(sign))
}
