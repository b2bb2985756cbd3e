//! What an upstream's answer means for the records that were sent. Pure: judging is not waiting.

use std::time::{Duration, SystemTime};

/// What came back from an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An HTTP answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its `Retry-After`, as it stands in the header.
        retry_after: Option<String>,
    },
    /// No answer: no connection, no name, no trust, no time.
    NoAnswer,
}

impl Outcome {
    /// The status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Outcome::Answer { status, .. } => Some(*status),
            Outcome::NoAnswer => None,
        }
    }
}

/// What to do with the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are stored: remove them.
    Remove,
    /// It may pass later: keep them and try again, after this time if the upstream named one.
    Retry {
        /// The time that the upstream asked for.
        after: Option<Duration>,
    },
    /// The token is refused: keep everything until it changes.
    Hold,
    /// One of them cannot be taken: halve, until the one at fault stands alone, and park that one.
    Split,
}

impl Verdict {
    /// Judges an outcome; `now` is for a `Retry-After` that is a date.
    pub fn of(outcome: &Outcome, now: SystemTime) -> Verdict {
        let Outcome::Answer {
            status,
            retry_after,
        } = outcome
        else {
            return Verdict::Retry { after: None };
        };
        let after = retry_after
            .as_deref()
            .and_then(|text| parse_retry_after(text, now));
        match status {
            200..=299 => Verdict::Remove,
            401 | 403 => Verdict::Hold,
            // These speak of the address or of the way there, not of a record: nothing is gained by
            // parking records until somebody has corrected the configuration.
            404 | 405 | 407 | 408 | 415 | 421 | 425 | 429 => Verdict::Retry { after },
            400..=499 => Verdict::Split,
            _ => Verdict::Retry { after },
        }
    }
}

/// Longest `Retry-After` that is obeyed: a mistaken date must not silence a machine for a year.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// `Retry-After` in seconds or as an HTTP date (RFC 9110, section 10.2.3).
fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?;
            let seconds = u64::try_from(date.timestamp().as_second()).unwrap_or_default();
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            date.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}
