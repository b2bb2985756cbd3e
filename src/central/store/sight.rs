//! What whoever asks may see. Every read of events takes a [`Sight`], and what it hides never leaves the
//! store: pages, API, exports and counts cannot show it by mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::event::content::{Content, WITHHELD};
use crate::event::{Timestamp, is_metadata, is_name_of};

use super::Scope;
use super::retention::{Retention, oldest_kept};

/// An environment, and how much of its records may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The environment.
    pub scope: Scope,
    content: Shown,
    /// Before this time, content is kept no longer.
    erased_before: Option<Timestamp>,
}

/// Whose content may be seen: prompts, responses, commands, arguments of tools, error text, raw bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    All,
    /// That of these sessions.
    Sessions(Arc<BTreeSet<String>>),
}

impl Sight {
    /// Everything.
    pub fn everything(scope: Scope) -> Sight {
        Sight {
            scope,
            content: Shown::All,
            erased_before: None,
        }
    }

    /// Everything but content.
    pub fn metadata(scope: Scope) -> Sight {
        Sight::sessions(scope, BTreeSet::new())
    }

    /// Content of these sessions only.
    pub fn sessions(scope: Scope, sessions: BTreeSet<String>) -> Sight {
        Sight {
            scope,
            content: Shown::Sessions(Arc::new(sessions)),
            erased_before: None,
        }
    }

    /// The same, where an environment keeps content as long as `retention` says: what is not there of an
    /// older record was not withheld by its client, as far as anybody knows.
    pub fn kept(self, retention: Retention, now: Timestamp) -> Sight {
        Sight {
            erased_before: retention
                .content_seconds
                .map(|seconds| oldest_kept(now, seconds)),
            ..self
        }
    }

    /// Whether content of a record of this time is kept no longer.
    pub(super) fn is_erased(&self, time: Timestamp) -> bool {
        self.erased_before.is_some_and(|before| time < before)
    }

    /// Whether content of a record of this session may be seen; `None` for one of no session.
    pub fn shows(&self, session: Option<&str>) -> bool {
        match (&self.content, session) {
            (Shown::All, _) => true,
            (Shown::Sessions(sessions), Some(session)) => sessions.contains(session),
            (Shown::Sessions(_), None) => false,
        }
    }

    /// Whether all content may be seen of what a list shows: of one session's records, or of anything.
    pub fn shows_all(&self, session: Option<&str>) -> bool {
        let session = session.map(str::trim).filter(|session| !session.is_empty());
        self.shows(session)
    }
}

/// Takes content out of what is known of an event; what stands in its place says that it was there.
pub(super) fn hide(name: &str, body: &mut Value, attributes: &mut BTreeMap<String, Value>) {
    let is_name = |text: &str| is_name_of(text, name);
    if !matches!(body, Value::Null) && !body.as_str().is_some_and(is_name) {
        *body = Content::hidden();
    }
    for (key, value) in attributes {
        let was_withheld = value.as_str() == Some(WITHHELD);
        if !was_withheld && !is_metadata(key, value) {
            *value = Content::hidden();
        }
    }
}

/// Says of content that is not there that it is kept no longer.
pub(super) fn tell_erased(name: &str, attributes: &mut BTreeMap<String, Value>) {
    let keys: &[&str] = match name {
        "user_prompt" => &["prompt"],
        "assistant_response" => &["response"],
        "tool_result" => &["tool_input"],
        "api_request_body" | "api_response_body" => &["body"],
        _ => &[],
    };
    for key in keys {
        let value = attributes.entry((*key).to_owned());
        value.or_insert_with(Content::erased);
    }
    // The place of what was stored apart.
    for value in attributes.values_mut().filter(|value| value.is_null()) {
        *value = Content::erased();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCOPE: Scope = Scope {
        tenant: 1,
        environment: 2,
    };

    #[test]
    fn content_of_a_session_is_shown_and_searched_only_there() {
        let sight = Sight::sessions(SCOPE, ["a".to_owned()].into());
        assert!(sight.shows(Some("a")) && sight.shows_all(Some(" a ")));
        assert!(!sight.shows(Some("b")) && !sight.shows(None) && !sight.shows_all(Some("")));
        assert!(Sight::everything(SCOPE).shows(None));
        assert!(!Sight::metadata(SCOPE).shows(Some("a")));
    }

    #[test]
    fn what_is_hidden_leaves_its_key_and_nothing_of_its_text() {
        let mut body = json!("claude_code.user_prompt");
        let mut attributes = BTreeMap::from([
            ("prompt".to_owned(), json!("SECRET words")),
            ("tool_input".to_owned(), json!(WITHHELD)),
            ("prompt_length".to_owned(), json!("12")),
            ("new.thing".to_owned(), json!({"deep": ["SECRET"]})),
        ]);
        hide("user_prompt", &mut body, &mut attributes);
        assert_eq!(body, "claude_code.user_prompt");
        assert_eq!(attributes["prompt"], json!({"state": "hidden_by_role"}));
        assert_eq!(attributes["tool_input"], WITHHELD);
        assert_eq!(attributes["prompt_length"], "12");
        assert!(!format!("{attributes:?}").contains("SECRET"));
        let mut body = json!("SECRET user_prompt");
        hide("user_prompt", &mut body, &mut attributes);
        assert_eq!(body, Content::hidden());
    }

    #[test]
    fn what_is_kept_no_longer_is_told_apart_from_what_never_came() {
        let retention = Retention {
            keep_seconds: None,
            content_seconds: Some(60),
        };
        let now = Timestamp(3_600_000_000_000);
        let sight = Sight::everything(SCOPE).kept(retention, now);
        assert!(sight.is_erased(Timestamp(0)) && !sight.is_erased(now));
        assert!(!Sight::everything(SCOPE).is_erased(Timestamp(0)));
        let mut attributes = BTreeMap::from([("prompt_length".to_owned(), json!("12"))]);
        tell_erased("user_prompt", &mut attributes);
        assert_eq!(Content::prompt(&attributes), Content::Erased);
        let mut withheld = BTreeMap::from([("prompt".to_owned(), json!(WITHHELD))]);
        tell_erased("user_prompt", &mut withheld);
        assert_eq!(Content::prompt(&withheld).state(), "not_exported");
    }
}
