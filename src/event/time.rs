//! Points in time as the store keeps them.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Nanoseconds of a day.
pub const DAY: i64 = 86_400 * 1_000_000_000;

/// Nanoseconds since the Unix epoch, in UTC; RFC 3339 as text and in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time of this machine's clock.
    pub fn now() -> Timestamp {
        Timestamp(i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX))
    }

    /// So many days before this time.
    pub fn days_before(self, days: i64) -> Timestamp {
        Timestamp(self.0.saturating_sub(days.saturating_mul(DAY)))
    }

    /// The day of UTC that this time lies in, counted from the Unix epoch.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// The start of a day, counted from the Unix epoch.
    pub fn of_day(day: i64) -> Timestamp {
        Timestamp(day.saturating_mul(DAY))
    }

    /// `2026-11-22 14:03:07.412`, for people.
    pub fn display(self) -> String {
        self.civil().strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }

    /// `14:03:07`, for people, beside a date.
    pub fn clock(self) -> String {
        self.civil().strftime("%H:%M:%S").to_string()
    }

    fn civil(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .expect("every i64 of nanoseconds lies within jiff's range")
    }
}

impl From<SystemTime> for Timestamp {
    /// A time before 1970 becomes 1970.
    fn from(time: SystemTime) -> Timestamp {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.civil().fmt(formatter)
    }
}

/// The text is no RFC 3339 time, or lies outside the years 1677 to 2262.
#[derive(Debug, thiserror::Error)]
#[error("expected a time such as 2026-11-22T14:03:07Z")]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        i64::try_from(time.as_nanosecond())
            .map(Timestamp)
            .map_err(|_| TimestampError)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "central")]
impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}
