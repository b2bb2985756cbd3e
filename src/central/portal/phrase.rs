//! What an event is, said in a few words.

use crate::central::store::{EntityKind, Event};
use crate::event::Activity;
use crate::event::content::{self, Content};

use super::text::{Snippet, Text, visible};
use super::words;

/// What an event is, in a phrase.
pub(super) struct Phrase {
    pub(super) icon: &'static str,
    pub(super) tone: &'static str,
    pub(super) verb: Text,
    pub(super) detail: Snippet,
}

impl Phrase {
    /// Says what `event` is, for every kind that is known, and for all others by name.
    pub(super) fn of(event: &Event) -> Phrase {
        let attributes = &event.attributes;
        let tool = || visible(&tool_name(event));
        let own = |key| event.text(key).unwrap_or_default();
        let phrase = |icon, tone, verb: String, detail| Phrase {
            icon,
            tone,
            verb: Text::name(&verb),
            detail,
        };
        match event.name.as_str() {
            "user_prompt" => phrase(
                "person",
                "",
                "asked".to_owned(),
                Snippet::words(&Content::prompt(attributes)),
            ),
            "assistant_response" => phrase(
                "agent",
                "",
                "answered".to_owned(),
                Snippet::words(&Content::response(attributes)),
            ),
            "api_request_body" | "api_response_body" => phrase(
                "cloud",
                "",
                event.name.clone(),
                Snippet::code(&Content::raw_body(attributes)),
            ),
            "tool_result" if event.success == Some(false) => phrase(
                "tool",
                "danger",
                format!("{} failed", tool()),
                Snippet::code(&Content::tool_argument(attributes)),
            ),
            "tool_result" => phrase(
                "tool",
                "",
                format!("ran {}", tool()),
                Snippet::code(&Content::tool_argument(attributes)),
            ),
            "tool_decision" => {
                let denied = event.decision.as_deref() == Some("reject");
                let verb = if denied { "denied" } else { "allowed" };
                let detail = match attributes.contains_key("tool_parameters") {
                    true => Snippet::code(&Content::tool_argument(attributes)),
                    // A decision about most tools carries no argument, whatever the switches.
                    false => Snippet::none(),
                };
                phrase(
                    "shield",
                    if denied { "danger" } else { "" },
                    format!("{verb} {}", tool()),
                    detail,
                )
            }
            "api_request" => phrase(
                "cloud",
                "",
                "called the model".to_owned(),
                Snippet::plain(&request_words(event)),
            ),
            "api_error" | "api_retries_exhausted" => phrase(
                "alert",
                "danger",
                match content::number(attributes, "status_code") {
                    Some(status) => format!("model error {status}"),
                    None => "model error".to_owned(),
                },
                error(event),
            ),
            "api_refusal" => phrase(
                "alert",
                "danger",
                "the model refused".to_owned(),
                Snippet::plain(own("category")),
            ),
            "mcp_server_connection" => {
                let failed = own("status") == "failed";
                let name = match event.text("server_name") {
                    Some(name) => format!("MCP {name} {}", own("status")),
                    None => format!("MCP server {}", own("status")),
                };
                let over = format!(
                    "over {}, scope {}",
                    own("transport_type"),
                    own("server_scope")
                );
                phrase(
                    "plug",
                    if failed { "danger" } else { "" },
                    name,
                    Snippet::plain(&over),
                )
            }
            "permission_mode_changed" => phrase(
                "shield",
                if own("to_mode") == "bypassPermissions" {
                    "danger"
                } else {
                    ""
                },
                "changed the permission mode".to_owned(),
                Snippet::plain(&format!("{} → {}", own("from_mode"), own("to_mode"))),
            ),
            "compaction" => {
                let failed = content::flag(attributes, "success") == Some(false);
                let words = match content::number(attributes, "pre_tokens") {
                    Some(tokens) => {
                        format!("{}, from {} tokens", own("trigger"), words::count(tokens))
                    }
                    None => own("trigger").to_owned(),
                };
                let verb = if failed {
                    "compaction failed"
                } else {
                    "compacted the context"
                };
                phrase(
                    "fold",
                    if failed { "danger" } else { "" },
                    verb.to_owned(),
                    Snippet::plain(&words),
                )
            }
            name => phrase(icon_of(event.activity), "", visible(name), error(event)),
        }
    }
}

/// What went wrong, where the record says so.
fn error(event: &Event) -> Snippet {
    Content::error(&event.attributes).map_or(Snippet::none(), |error| Snippet::words(&error))
}

/// `Bash`, `demo:lookup_ticket`, or what the record says.
pub(super) fn tool_name(event: &Event) -> String {
    let named = event.tool.as_deref().or_else(|| event.text("tool_name"));
    named.unwrap_or("a tool without a name").to_owned()
}

/// Whether the tool belongs to an MCP server.
pub(super) fn is_mcp(event: &Event) -> bool {
    event.tool_kind == Some(EntityKind::McpTool)
        || event
            .text("tool_name")
            .is_some_and(|name| name == "mcp_tool" || name.starts_with("mcp__"))
}

/// The sign of an activity.
fn icon_of(activity: Activity) -> &'static str {
    match activity {
        Activity::Session => "session",
        Activity::UserMessage => "person",
        Activity::AgentMessage => "agent",
        Activity::ToolInvocation => "tool",
        Activity::PermissionDecision => "shield",
        Activity::ApiRequest => "cloud",
        Activity::Error => "alert",
        Activity::Configuration => "gear",
        Activity::Machine => "machine",
        Activity::Other => "dot",
    }
}

fn request_words(event: &Event) -> String {
    let model = event.model.as_deref().unwrap_or("model not named");
    let tokens = |count: Option<i64>| count.map_or("?".to_owned(), words::tokens);
    format!(
        "{model}, {} in, {} out",
        tokens(event.input_tokens),
        tokens(event.output_tokens)
    )
}
