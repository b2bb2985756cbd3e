//! A scripted model behind Anthropic's Messages API, for a real Claude Code to talk to.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What the model says when Claude asks it to go on.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// An answer, which ends the prompt.
    Text(String),
    /// A wish to use a tool, such as `Bash` or `mcp__SERVER__TOOL`.
    ToolUse { name: String, input: Value },
    /// The API refuses with this status. Claude asks again after 408, 409, 429 and 5xx, which takes
    /// the next turn.
    Error(u16),
}

impl Turn {
    pub(crate) fn text(text: &str) -> Turn {
        Turn::Text(text.to_owned())
    }

    pub(crate) fn tool(name: &str, input: Value) -> Turn {
        Turn::ToolUse {
            name: name.to_owned(),
            input,
        }
    }
}

/// The model's server; it ends when the value is dropped.
pub(crate) struct ScriptedModel {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    script: VecDeque<Turn>,
    answers: usize,
}

impl ScriptedModel {
    /// Starts on a free port of the loopback interface.
    pub(crate) async fn start(script: Vec<Turn>) -> ScriptedModel {
        let shared = Arc::new(Mutex::new(Shared {
            script: script.into(),
            ..Shared::default()
        }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let server =
            tokio::spawn(
                async move { axum::serve(listener, app).await.expect("the model serves") },
            );
        ScriptedModel {
            address,
            shared,
            server,
        }
    }

    /// The value for `ANTHROPIC_BASE_URL`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many turns nobody has asked for yet.
    pub(crate) fn turns_left(&self) -> usize {
        self.shared.lock().expect("no handler panics").script.len()
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Mutex<Shared>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let mut shared = shared.lock().expect("no handler panics");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (method, uri.path()) {
        (Method::GET | Method::HEAD, "/") => StatusCode::OK.into_response(),
        (Method::POST, "/v1/messages") => message(&mut shared, &body),
        (Method::POST, "/v1/messages/count_tokens") => {
            axum::Json(json!({"input_tokens": 1000})).into_response()
        }
        _ => error(
            StatusCode::NOT_FOUND,
            "the scripted model does not know this address",
        ),
    }
}

/// The conversation itself offers tools; what comes without is Claude's housekeeping, such as
/// finding a title.
fn message(shared: &mut Shared, request: &Value) -> Response {
    shared.answers += 1;
    let conversation = request["tools"]
        .as_array()
        .is_some_and(|tools| !tools.is_empty());
    let turn = if conversation {
        shared.script.pop_front()
    } else {
        Some(Turn::text("A session"))
    };
    let block = match turn {
        Some(Turn::Text(text)) => json!({"type": "text", "text": text}),
        Some(Turn::ToolUse { name, input }) => {
            json!({"type": "tool_use", "id": format!("toolu_{:022}", shared.answers), "name": name, "input": input})
        }
        Some(Turn::Error(status)) => {
            let status = StatusCode::from_u16(status).expect("the script holds real statuses");
            return error(status, "as the script has it");
        }
        None => return error(StatusCode::BAD_REQUEST, "the script has no more turns"),
    };
    let stop_reason = if block["type"] == "text" {
        "end_turn"
    } else {
        "tool_use"
    };
    let mut message = json!({
        "id": format!("msg_{:022}", shared.answers),
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [block],
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {
            "input_tokens": 1500,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 4000,
            "output_tokens": 70,
        },
    });
    let request_id = [("request-id", format!("req_{:022}", shared.answers))];
    if request["stream"] == true {
        let content_type = [(header::CONTENT_TYPE, "text/event-stream")];
        (request_id, content_type, stream(&mut message)).into_response()
    } else {
        (request_id, axum::Json(message)).into_response()
    }
}

/// The events that carry a message of one block: its frame first, then the block with its content
/// in one delta.
fn stream(message: &mut Value) -> String {
    let mut block = message["content"][0].take();
    message["content"] = json!([]);
    let stop_reason = message["stop_reason"].take();
    let delta = if block["type"] == "text" {
        json!({"type": "text_delta", "text": std::mem::replace(&mut block["text"], json!(""))})
    } else {
        let input = std::mem::replace(&mut block["input"], json!({}));
        json!({"type": "input_json_delta", "partial_json": input.to_string()})
    };
    [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": null},
            "usage": {"output_tokens": message["usage"]["output_tokens"]},
        }),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(|event| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().expect("a name")
        )
    })
    .collect()
}

fn error(status: StatusCode, message: &str) -> Response {
    let kind = match status.as_u16() {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    (status, axum::Json(body)).into_response()
}
