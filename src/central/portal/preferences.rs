//! How a person wants pages to look: the zone of times, light or dark, and what lists look like. Kept in
//! cookies and set by forms, so that the server sends the right page at once and nothing flashes.
//!
//! They go with the request, as a task-local value, because every time on a page needs the zone: handing
//! it through each function that draws one would say nothing anywhere.

use axum::Form;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::event::Timestamp;

use super::layout::Layout;

/// What the cookies say.
#[derive(Clone, Debug)]
pub(super) struct Preferences {
    /// IANA name; `UTC` until somebody chooses.
    pub(super) zone_name: String,
    zone: TimeZone,
    /// `light`, `dark`, or empty for what the system wants.
    pub(super) theme: &'static str,
    /// Whether single keys do something.
    pub(super) keys: bool,
    /// How lists look whose address does not say it.
    pub(super) layout: Layout,
}

const ZONE_COOKIE: &str = "fieldpost-zone";
const THEME_COOKIE: &str = "fieldpost-theme";
const KEYS_COOKIE: &str = "fieldpost-keys";
const LAYOUT_COOKIE: &str = "fieldpost-lists";

/// What the cookie of keys says when somebody wants none.
const OFF: &str = "off";

/// A cookie's attributes: for a year, for this site only, out of the reach of scripts.
const ATTRIBUTES: &str = "Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly";

tokio::task_local! {
    static CURRENT: Preferences;
}

impl Default for Preferences {
    fn default() -> Preferences {
        Preferences {
            zone_name: "UTC".to_owned(),
            zone: TimeZone::UTC,
            theme: "",
            keys: true,
            layout: Layout::default(),
        }
    }
}

impl Preferences {
    /// Those of the request that is being answered.
    pub(super) fn current() -> Preferences {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    fn read(headers: &HeaderMap) -> Preferences {
        let zone = cookie(headers, ZONE_COOKIE).and_then(|name| zone_named(&name));
        let theme = cookie(headers, THEME_COOKIE).unwrap_or_default();
        let (zone_name, zone) = zone.unwrap_or(("UTC".to_owned(), TimeZone::UTC));
        Preferences {
            zone_name,
            zone,
            theme: theme_named(&theme),
            keys: cookie(headers, KEYS_COOKIE).as_deref() != Some(OFF),
            layout: Layout::remembered(&cookie(headers, LAYOUT_COOKIE).unwrap_or_default()),
        }
    }

    /// `2026-11-22 14:03:07.412` in this zone.
    pub(super) fn display(&self, time: Timestamp) -> String {
        self.format(time, "%Y-%m-%d %H:%M:%S%.3f")
    }

    /// `14:03:07` in this zone.
    pub(super) fn clock(&self, time: Timestamp) -> String {
        self.format(time, "%H:%M:%S")
    }

    /// A time in this zone as strftime says it.
    pub(super) fn format(&self, time: Timestamp, pattern: &str) -> String {
        let time = jiff::Timestamp::from_nanosecond(i128::from(time.0))
            .expect("every i64 of nanoseconds lies within jiff's range");
        time.to_zoned_datetime(self.zone.clone())
            .strftime(pattern)
            .to_string()
    }

    /// RFC 3339 with this zone's offset, as exports write it.
    pub(super) fn with_offset(&self, time: Timestamp) -> String {
        self.format(time, "%Y-%m-%dT%H:%M:%S%.3f%:z")
    }

    /// A day and time without a zone, as typed on a page with these preferences.
    pub(super) fn parse(&self, text: &str) -> Option<Timestamp> {
        let civil: jiff::civil::DateTime = text.parse().ok().or_else(|| {
            let day: jiff::civil::Date = text.parse().ok()?;
            Some(day.to_datetime(jiff::civil::Time::midnight()))
        })?;
        let time = civil.to_zoned_datetime(self.zone.clone()).ok()?.timestamp();
        i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
    }
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    zone: String,
    #[serde(default)]
    theme: String,
    #[serde(default)]
    keys: String,
    /// The page to go back to.
    #[serde(default)]
    back: String,
}

/// Answers a request with the preferences that its cookies say.
pub(super) async fn of_request(request: Request, next: Next) -> Response {
    let preferences = Preferences::read(request.headers());
    CURRENT.scope(preferences, next.run(request)).await
}

/// Someone chooses a zone, a theme, and whether keys do something. A zone that nobody knows becomes UTC.
pub(super) async fn set(Form(wish): Form<Wish>) -> impl IntoResponse {
    let zone = zone_named(wish.zone.trim()).map_or("UTC".to_owned(), |(name, _)| name);
    let theme = theme_named(&wish.theme);
    let keys = if wish.keys == OFF { OFF } else { "" };
    let back = own_page(&wish.back).unwrap_or("/");
    (
        AppendHeaders([
            (
                header::SET_COOKIE,
                format!("{ZONE_COOKIE}={zone}; {ATTRIBUTES}"),
            ),
            (
                header::SET_COOKIE,
                format!("{THEME_COOKIE}={theme}; {ATTRIBUTES}"),
            ),
            (
                header::SET_COOKIE,
                format!("{KEYS_COOKIE}={keys}; {ATTRIBUTES}"),
            ),
        ]),
        Redirect::to(back),
    )
}

/// What makes browsers keep how lists look.
pub(super) fn layout_cookie(layout: &Layout) -> String {
    format!("{LAYOUT_COOKIE}={}; {ATTRIBUTES}", layout.kept())
}

/// The address, if it is one of ours: `//elsewhere` would be another host's.
pub(super) fn own_page(address: &str) -> Option<&str> {
    let is_own = address.starts_with('/') && !address.starts_with("//") && !address.contains('\\');
    is_own.then_some(address)
}

/// The zone of an IANA name, which holds nothing that a cookie could not.
fn zone_named(name: &str) -> Option<(String, TimeZone)> {
    let is_name =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
        return None;
    }
    let zone = TimeZone::get(name).ok()?;
    let name = zone.iana_name().unwrap_or("UTC").to_owned();
    Some((name, zone))
}

fn theme_named(name: &str) -> &'static str {
    match name {
        "light" => "light",
        "dark" => "dark",
        _ => "",
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(cookies: &str) -> Preferences {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(cookies).unwrap());
        Preferences::read(&headers)
    }

    #[test]
    fn times_are_utc_until_somebody_chooses() {
        let time: Timestamp = "2026-07-22T14:03:07.412Z".parse().unwrap();
        assert_eq!(
            Preferences::default().display(time),
            "2026-07-22 14:03:07.412"
        );
        let lisbon =
            of("a=b; fieldpost-zone=Europe/Lisbon; fieldpost-theme=dark; fieldpost-keys=off");
        assert!(!lisbon.keys && of("a=b").keys);
        assert_eq!(lisbon.display(time), "2026-07-22 15:03:07.412");
        assert_eq!(lisbon.with_offset(time), "2026-07-22T15:03:07.412+01:00");
        assert_eq!(lisbon.parse("2026-07-22T15:03:07.412"), Some(time));
        assert_eq!(lisbon.theme, "dark");
        for nonsense in [
            "fieldpost-zone=Mars/Base; fieldpost-theme=<b>",
            "fieldpost-zone=../../etc/passwd",
        ] {
            let preferences = of(nonsense);
            assert_eq!(
                (preferences.zone_name.as_str(), preferences.theme),
                ("UTC", "")
            );
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_told_apart_by_its_offset() {
        let lisbon = of("fieldpost-zone=Europe/Lisbon");
        let at = |text: &str| lisbon.with_offset(text.parse().unwrap());
        assert_eq!(at("2026-10-25T00:30:00Z"), "2026-10-25T01:30:00.000+01:00");
        assert_eq!(at("2026-10-25T01:30:00Z"), "2026-10-25T01:30:00.000+00:00");
    }
}
