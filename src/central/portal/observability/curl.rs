//! A list of events as a command: what a program asks the API for the same rows.

use crate::central::portal::address::with_query;
use crate::central::store::EventFilter;
use crate::event::Timestamp;

/// Asks for a filter's events at the service's address. In its quotes is an address whose every sign is plain or
/// percent-encoded, so a shell finds nothing in it.
pub(super) fn command(service: &str, filter: &EventFilter) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let time = |time: Option<Timestamp>| time.map_or(String::new(), |it| it.to_string());
    let pairs = [
        ("agent", text(&filter.agent)),
        ("type", text(&filter.kind)),
        ("q", text(&filter.q)),
        ("from", time(filter.from)),
        ("to", time(filter.to)),
    ];
    let address = with_query(&format!("{service}/api/v1/events"), &pairs);
    format!("curl -H \"Authorization: Bearer $FIELDPOST_KEY\" '{address}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shell_finds_anything_in_a_command() {
        let filter = EventFilter {
            q: Some("\"it's $(id)\" -tool:Bash".to_owned()),
            kind: Some("error".to_owned()),
            from: Some("2026-11-22T14:03:00Z".parse().unwrap()),
            ..EventFilter::default()
        };
        assert_eq!(
            command("https://fieldpost.example", &filter),
            "curl -H \"Authorization: Bearer $FIELDPOST_KEY\" \
             'https://fieldpost.example/api/v1/events?type=error\
             &q=%22it%27s%20%24%28id%29%22%20-tool%3ABash&from=2026-11-22T14%3A03%3A00Z'"
        );
    }
}
