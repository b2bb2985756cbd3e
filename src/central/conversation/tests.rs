use serde_json::{Value, json};

use super::*;
use crate::event::content::number;

const SECOND: i64 = 1_000_000_000;

/// An event `second` seconds after the beginning, with the attributes of `extra`.
fn event(name: &str, second: i64, sequence: i64, prompt: Option<&str>, extra: Value) -> Event {
    let Value::Object(extra) = extra else {
        panic!("attributes are an object")
    };
    let attributes: content::Attributes = extra.into_iter().collect();
    let text = |key: &str| content::text_of(&attributes, key).map(str::to_owned);
    Event {
        id: format!("{name}-{second}-{sequence}"),
        time: Timestamp(second * SECOND),
        received_at: Timestamp(second * SECOND + SECOND),
        activity: Activity::of_event(name),
        name: name.to_owned(),
        agent_id: None,
        agent_name: None,
        session_id: Some("session".to_owned()),
        prompt_id: prompt.map(str::to_owned),
        sequence: Some(sequence),
        tool: text("tool_name"),
        tool_kind: None,
        tool_use_id: text("tool_use_id"),
        model: text("model"),
        decision: text("decision"),
        decision_source: text("source"),
        success: content::flag(&attributes, "success"),
        duration_ms: number(&attributes, "duration_ms"),
        cost_usd: None,
        input_tokens: number(&attributes, "input_tokens"),
        output_tokens: None,
        redaction_count: 0,
        machine_id: None,
        machine_seq: None,
        body: Value::Null,
        attributes,
        resource: content::Attributes::new(),
        scope_name: String::new(),
        scope_version: String::new(),
    }
}

/// One turn with an allowed tool, a rejected one and an answer; then a resumed process.
fn session() -> Vec<Event> {
    let tool = |id: &str| json!({"tool_name": "Bash", "tool_use_id": id});
    let decision = |id: &str, decision: &str, source: &str| json!({"tool_name": "Bash", "tool_use_id": id, "decision": decision, "source": source});
    vec![
        event(
            "mcp_server_connection",
            0,
            0,
            None,
            json!({"status": "connected"}),
        ),
        event(
            "user_prompt",
            1,
            1,
            Some("p1"),
            json!({"prompt": "list", "prompt_length": "4"}),
        ),
        event(
            "tool_decision",
            2,
            2,
            Some("p1"),
            decision("t1", "accept", "config"),
        ),
        event("api_request", 2, 3, Some("p1"), json!({"input_tokens": 5})),
        event("tool_result", 3, 4, Some("p1"), tool("t1")),
        event(
            "api_request",
            4,
            5,
            Some("p1"),
            json!({"input_tokens": "7"}),
        ),
        event(
            "tool_decision",
            5,
            6,
            Some("p1"),
            decision("t2", "reject", "user_reject"),
        ),
        event(
            "assistant_response",
            6,
            7,
            Some("p1"),
            json!({"response": "done"}),
        ),
        event(
            "mcp_server_connection",
            7_206,
            0,
            None,
            json!({"status": "connected"}),
        ),
        event(
            "user_prompt",
            7_207,
            1,
            Some("p2"),
            json!({"prompt": "<REDACTED>"}),
        ),
        event(
            "api_error",
            7_208,
            2,
            Some("p2"),
            json!({"status_code": 429}),
        ),
    ]
}

#[test]
fn a_turn_is_a_prompt_id_and_start_is_what_came_before() {
    let conversation = Conversation::build(session());
    let turns: Vec<_> = conversation
        .turns
        .iter()
        .map(|turn| (turn.number, turn.prompt_id.as_deref(), turn.events.len()))
        .collect();
    assert_eq!(
        turns,
        [(0, None, 1), (1, Some("p1"), 8), (2, Some("p2"), 2)]
    );
    assert_eq!(conversation.turns[1].prompt.text(), Some("list"));
    assert_eq!(conversation.turns[1].ended_at, Timestamp(6 * SECOND));
}

#[test]
fn a_decision_and_its_result_share_a_line_and_a_rejected_call_has_no_result() {
    let conversation = Conversation::build(session());
    let turn = &conversation.turns[1];
    let calls: Vec<_> = turn
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Tool(call) => Some(*call),
            _ => None,
        })
        .collect();
    assert_eq!(
        calls,
        [
            ToolCall {
                decision: Some(1),
                result: Some(3)
            },
            ToolCall {
                decision: Some(5),
                result: None
            },
        ]
    );
    assert_eq!(
        (turn.tool_count(), turn.denied_count(), turn.error_count()),
        (2, 1, 0)
    );
    let rejected = &turn.events[5];
    let (decision, source) = decision_of(rejected).expect("a decision was recorded");
    assert_eq!(decision_words(decision, source), "rejected by the user");
}

#[test]
fn model_calls_fold_into_one_line() {
    let conversation = Conversation::build(session());
    let folded: Vec<_> = conversation.turns[1]
        .items
        .iter()
        .filter(|item| matches!(item, Item::ModelCalls(_)))
        .collect();
    assert_eq!(folded, [&Item::ModelCalls(vec![2, 4])]);
}

#[test]
fn a_resumed_session_says_so_between_its_turns() {
    let conversation = Conversation::build(session());
    let gap = Gap {
        from: Timestamp(6 * SECOND),
        to: Timestamp(7_206 * SECOND),
    };
    assert!(conversation.turns[1].items.contains(&Item::Restart(gap)));
    assert_eq!(conversation.completeness.missing_numbers, None);
}

#[test]
fn a_long_pause_is_a_line_and_a_short_one_is_none() {
    let prompt = |second, id| {
        event(
            "user_prompt",
            second,
            second,
            Some(id),
            json!({"prompt": "go on", "prompt_length": "5"}),
        )
    };
    let conversation =
        Conversation::build(vec![prompt(0, "a"), prompt(299, "b"), prompt(599, "c")]);
    let gaps: Vec<_> = conversation
        .turns
        .iter()
        .map(|turn| turn.items.clone())
        .collect();
    let idle = Item::Idle(Gap {
        from: Timestamp(299 * SECOND),
        to: Timestamp(599 * SECOND),
    });
    assert_eq!(gaps, [vec![], vec![idle], vec![]]);
}

#[test]
fn order_of_arrival_changes_nothing() {
    let punctual = Conversation::build(session());
    let mut late = session();
    late.reverse();
    late.swap(1, 4);
    assert_eq!(Conversation::build(late), punctual);
}

#[test]
fn completeness_counts_what_came_and_hints_at_holes() {
    let mut events = session();
    events.retain(|event| !(event.name == "tool_result" || event.sequence == Some(3)));
    let completeness = Conversation::build(events).completeness;
    assert_eq!(
        completeness.prompts,
        Share {
            with: 1,
            all: 2,
            ..Share::default()
        }
    );
    assert_eq!(
        completeness.responses,
        Share {
            with: 1,
            all: 1,
            ..Share::default()
        }
    );
    let missing = completeness
        .missing_numbers
        .expect("two numbers are missing");
    assert_eq!(
        (missing.count, missing.from, missing.to),
        (2, Timestamp(2 * SECOND), Timestamp(4 * SECOND))
    );
}

#[test]
fn answers_to_the_client_itself_are_no_responses() {
    let title = json!({"response": "A title", "query_source": "generate_session_title"});
    let conversation =
        Conversation::build(vec![event("assistant_response", 0, 0, Some("p"), title)]);
    assert_eq!(conversation.turns[0].items, [Item::Notice(vec![0])]);
}

#[test]
fn json_carries_turns_with_their_events_and_the_names_of_absences() {
    let json = serde_json::to_value(Conversation::build(session())).expect("serializable");
    assert_eq!(json["turns"][2]["prompt"]["state"], "not_exported");
    assert_eq!(json["turns"][1]["events"][0]["name"], "user_prompt");
    assert!(json["turns"][1].get("items").is_none());
}
