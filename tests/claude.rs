//! A real Claude Code, against a scripted model: one prompt, one shell command, one MCP call, one
//! refusal; then read from the API and from the page.

use serde_json::{Value, json};

use crate::support::chromium;
use crate::support::claude::Claude;
use crate::support::eventually;
use crate::support::fieldpost::Dev;
use crate::support::model::{ScriptedModel, Turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_real_claude_is_seen_from_the_prompt_to_the_page() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(data.path(), &[]).await;
    let model = ScriptedModel::start(vec![
        Turn::tool(
            "Bash",
            json!({"command": "ls -la", "description": "List files"}),
        ),
        Turn::tool("mcp__tickets__lookup_ticket", json!({"id": "FP-12"})),
        Turn::tool(
            "Bash",
            json!({"command": "rm -rf build", "description": "Clean up"}),
        ),
        Turn::text("The ticket is open, and the build folder stays."),
    ])
    .await;
    let claude = Claude::new("Ada@example.com", &["rm"]);
    let logs = format!("{}/v1/logs", dev.address("otlp"));
    let output = claude
        .ask(
            "Look at ticket FP-12 and clean up.",
            &model,
            &[
                ("CLAUDE_CODE_ENABLE_TELEMETRY", "1"),
                ("OTEL_LOGS_EXPORTER", "otlp"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
                ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &logs),
                ("OTEL_LOG_USER_PROMPTS", "1"),
                ("OTEL_LOG_TOOL_DETAILS", "1"),
            ],
        )
        .await
        .expect_success();
    assert!(
        output.stdout.contains("the build folder stays"),
        "{output:?}"
    );
    assert_eq!(
        model.turns_left(),
        0,
        "Claude went through the whole script"
    );

    // The API.
    let api = dev.api();
    let session = eventually("the whole session", async || {
        let session = api.list("sessions").await.into_iter().next()?;
        let id = session["id"].as_str()?;
        let session = api.get(&format!("sessions/{id}")).await;
        let names = events(&session)
            .map(|event| event["name"].clone())
            .collect::<Vec<_>>();
        names
            .contains(&json!("assistant_response"))
            .then_some(session)
    })
    .await;
    assert_eq!(session["agent_name"], "Cowork/ada");
    assert_eq!(session["owner"], "ada@example.com");
    assert_eq!(session["denied_count"], 1);
    assert!(
        api.column("entities?kind=tool", "name")
            .await
            .contains("Bash")
    );
    assert!(
        api.column("entities?kind=mcp_tool", "name")
            .await
            .contains("tickets:lookup_ticket")
    );
    let models = api.column("entities?kind=model", "name").await;
    assert!(
        models.iter().any(|name| name.starts_with("claude-")),
        "{models:?}"
    );
    let refused = events(&session)
        .find(|event| event["decision"] == "reject")
        .expect("a refusal");
    assert!(
        refused["attributes"]["tool_parameters"]
            .to_string()
            .contains("rm -rf build")
    );

    // The page.
    let id = session["id"].as_str().expect("an id");
    let lent = dev.browser().await.lend().await;
    let portal = lent.url();
    let url = format!("{portal}t/default/default/sessions/{id}");
    let page = chromium::dump_dom(&url).await;
    for words in [
        "Cowork/ada",
        "Look at ticket FP-12 and clean up.",
        "ls -la",
        "tickets:lookup_ticket",
        "rm -rf build",
        "denied by configuration",
        "The ticket is open, and the build folder stays.",
    ] {
        assert!(page.contains(words), "{words} is not on the page:\n{page}");
    }
    let picture = data.path().join("session.png");
    chromium::screenshot(&url, &picture, 1440, 900).await;
    let size = picture.metadata().expect("a picture").len();
    assert!(size > 20_000, "the picture shows something: {size} bytes");
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_claude_whose_model_refuses_is_seen_to_fail() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(data.path(), &[]).await;
    let model = ScriptedModel::start(vec![Turn::Error(400)]).await;
    let claude = Claude::new("grace@example.com", &[]);
    // The seed's variables: the endpoint already ends in /v1/logs, and prompts are withheld.
    let endpoint = format!("{}/v1/logs", dev.address("otlp"));
    let environment = [
        ("CLAUDE_CODE_ENABLE_TELEMETRY", "1"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
    ];
    let output = claude.ask("Say hello.", &model, &environment).await;
    assert!(
        !output.success,
        "Claude tells that its model refused: {output:?}"
    );
    let api = dev.api();
    let error = api.wait_for_events("events?type=error", 1).await.remove(0);
    assert_eq!(error["name"], "api_error");
    assert_eq!(error["attributes"]["status_code"], 400);
    let session = error["session_id"].as_str().expect("a session");
    let lent = dev.browser().await.lend().await;
    let portal = lent.url();
    let page = chromium::dump_dom(&format!("{portal}t/default/default/sessions/{session}")).await;
    assert!(
        page.contains("Not exported by the client (OTEL_LOG_USER_PROMPTS is off)"),
        "{page}"
    );
    assert!(page.contains("400"), "{page}");
    dev.interrupt().await;
}

fn events(session: &Value) -> impl Iterator<Item = &Value> {
    let turns = session["turns"].as_array().into_iter().flatten();
    turns.flat_map(|turn| turn["events"].as_array().into_iter().flatten())
}
