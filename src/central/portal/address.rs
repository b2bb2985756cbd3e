//! Addresses of the portal's pages. Ids from records are percent-encoded whole; other text
//! of records gets into an address only as the value of a filter.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::central::store::Environment;
use crate::otlp::Signal;

/// What may stand in a segment or a query value without encoding.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The addresses of one environment.
#[derive(Clone, Debug)]
pub(super) struct Base(String);

impl Base {
    pub(super) fn of(environment: &Environment) -> Base {
        Base(format!(
            "/t/{}/{}",
            encode(&environment.tenant),
            encode(&environment.environment)
        ))
    }

    pub(super) fn overview(&self) -> String {
        format!("{}/", self.0)
    }

    /// A list of the inventory.
    pub(super) fn inventory(&self, segment: &str) -> String {
        format!("{}/inventory/{segment}", self.0)
    }

    /// Where such a list is taken away.
    pub(super) fn export(&self, list: &str) -> String {
        format!("{}/exports/{list}", self.0)
    }

    /// One thing of such a list.
    pub(super) fn entity(&self, segment: &str, name: &str) -> String {
        format!("{}/inventory/{segment}/{}", self.0, encode(name))
    }

    pub(super) fn agents(&self) -> String {
        format!("{}/inventory/agents", self.0)
    }

    pub(super) fn agent(&self, id: &str, tab: &str) -> String {
        format!("{}/inventory/agents/{}/{tab}", self.0, encode(id))
    }

    pub(super) fn observability(&self) -> String {
        format!("{}/observability", self.0)
    }

    pub(super) fn sessions(&self) -> String {
        format!("{}/observability?type=session", self.0)
    }

    pub(super) fn session(&self, id: &str) -> String {
        format!("{}/sessions/{}", self.0, encode(id))
    }

    pub(super) fn event(&self, id: &str) -> String {
        format!("{}/events/{}", self.0, encode(id))
    }

    /// Metrics or spans as they came.
    pub(super) fn signals(&self, signal: Signal) -> String {
        format!("{}/signals/{signal}", self.0)
    }

    pub(super) fn signals_export(&self, signal: Signal) -> String {
        format!("{}/export", self.signals(signal))
    }

    /// One message of them.
    pub(super) fn signal(&self, signal: Signal, id: &str) -> String {
        format!("{}/{}", self.signals(signal), encode(id))
    }

    pub(super) fn integrations(&self) -> String {
        format!("{}/integrations", self.0)
    }

    pub(super) fn install(&self) -> String {
        format!("{}/integrations/claude-cowork/install", self.0)
    }

    /// Anywhere by name.
    pub(super) fn go(&self) -> String {
        format!("{}/go", self.0)
    }

    /// The API's reference.
    pub(super) fn reference(&self) -> String {
        format!("{}/api", self.0)
    }

    /// The saved views.
    pub(super) fn views(&self) -> String {
        format!("{}/views", self.0)
    }

    /// What stands below this environment's own address.
    pub(super) fn at(&self, below: &str) -> String {
        format!("{}/{below}", self.0)
    }

    /// What of an address of this environment stands below its own.
    pub(super) fn below<'a>(&self, address: &'a str) -> Option<&'a str> {
        self.own(address)?.strip_prefix(&self.0)?.strip_prefix('/')
    }

    pub(super) fn reveals(&self) -> String {
        format!("{}/reveals", self.0)
    }

    /// `address`, if it is one of this environment's.
    pub(super) fn own<'a>(&self, address: &'a str) -> Option<&'a str> {
        let below = address.strip_prefix(&self.0)?;
        let is_plain = below
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        (below.starts_with('/') && is_plain).then_some(address)
    }

    pub(super) fn settings(&self, page: &str) -> String {
        format!("{}/settings/{page}", self.0)
    }

    /// The list of tokens.
    pub(super) fn tokens(&self) -> String {
        format!("{}/integrations/claude-cowork/tokens", self.0)
    }

    /// A token's own page.
    pub(super) fn token(&self, token_id: &str) -> String {
        format!("{}/{}", self.tokens(), encode(token_id))
    }

    pub(super) fn revoke(&self, token_id: &str) -> String {
        format!("{}/revoke", self.token(token_id))
    }
}

/// `path?key=value&…`, without the pairs whose value is empty.
pub(super) fn with_query(path: &str, pairs: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    let query: Vec<String> = pairs
        .iter()
        .map(|(key, value)| (key.as_ref(), value.as_ref()))
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", encode(value)))
        .collect();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}

/// An address without the pairs of these keys.
pub(super) fn without(address: &str, keys: &[&str]) -> String {
    let Some((path, query)) = address.split_once('?') else {
        return address.to_owned();
    };
    let key = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let kept = query.split('&').filter(|pair| !keys.contains(&&*key(pair)));
    let kept: Vec<&str> = kept.collect();
    match kept.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", kept.join("&")),
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_record_leaves_its_segment() {
        assert_eq!(
            encode("a/b?c#d\"<&\u{202e}"),
            "a%2Fb%3Fc%23d%22%3C%26%E2%80%AE"
        );
        assert_eq!(
            with_query("/x", &[("q", "a b"), ("tool", "")]),
            "/x?q=a%20b"
        );
    }

    #[test]
    fn pairs_are_left_out_by_their_keys() {
        let address = "/x?q=a%26wrap%3D1&wrap=1&range=24h&columns=a.b";
        assert_eq!(
            without(address, &["wrap", "columns"]),
            "/x?q=a%26wrap%3D1&range=24h"
        );
        assert_eq!(without("/x?wrap=1", &["wrap"]), "/x");
        assert_eq!(without("/x", &["wrap"]), "/x");
    }
}
