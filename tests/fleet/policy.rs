//! A real Claude Code that knows of the edge from its managed settings alone.

use std::fs;

use fieldpost::rollout::{Format, Rollout};
use serde_json::json;

use crate::support::claude::Claude;
use crate::support::fieldpost::Dev;
use crate::support::model::{ScriptedModel, Turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_real_claude_exports_to_where_its_managed_settings_say() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(data.path(), &[]).await;
    let etc = tempfile::tempdir().expect("a temporary directory");
    let policy = etc.path().join("claude-code/managed-settings.d");
    fs::create_dir_all(&policy).expect("a folder");
    let rollout = Rollout::edge(dev.address("otlp"));
    let settings = rollout.render(Format::ManagedSettings);
    fs::write(policy.join("10-fieldpost.json"), settings).expect("a file");

    let model = ScriptedModel::start(vec![
        Turn::tool(
            "Bash",
            json!({"command": "ls -la", "description": "List files"}),
        ),
        Turn::text("That is all there is."),
    ])
    .await;
    let claude = Claude::new("ada@example.com", &[]).with_etc(etc.path());
    // Nothing of its environment speaks of telemetry, and a person's own wish counts for less.
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let output = claude.ask("List the files.", &model, &environment).await;
    assert!(
        output
            .expect_success()
            .stdout
            .contains("That is all there is.")
    );

    let api = dev.api();
    let prompt = api
        .wait_for_events("events?type=user_message", 1)
        .await
        .remove(0);
    // As the policy says: no content, but the details of tools, and version and surface on every record.
    assert_eq!(prompt["attributes"]["prompt"], "<REDACTED>");
    assert!(prompt["attributes"]["app.version"].is_string(), "{prompt}");
    let tool = api
        .wait_for_events("events?type=tool_invocation", 1)
        .await
        .remove(0);
    let parameters = tool["attributes"]["tool_parameters"].to_string();
    assert!(parameters.contains("ls -la"), "{tool}");
    dev.interrupt().await;
}
