//! What is made of records: agents, owners, tools, models, directories, sessions, turns. From the
//! captured requests where they show it, from WIRE.md where they do not.

use std::collections::{BTreeMap, BTreeSet};

use fieldpost::event::Timestamp;
use fieldpost::otlp::{ExportLogsServiceRequest, Request};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::api::Api;
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};
use crate::support::wire;

on_both_databases! {
    an_agent_is_named_by_e_mail_and_else_by_user_id,
    two_people_with_one_prefix_are_two_agents,
    an_mcp_tool_is_named_in_any_of_the_ways_that_clients_know,
    directories_come_as_a_list_or_as_one_string,
    models_are_grouped_without_their_suffix,
    a_session_starts_with_its_first_record_or_with_a_session_start,
    a_resumed_session_is_one_session_although_its_numbers_start_again,
    denials_and_errors_are_counted,
    tokens_and_cost_are_summed_over_a_session,
    events_of_unknown_kinds_are_kept_whole,
    a_prompt_that_the_client_withheld_is_no_text,
    cowork_names_its_events_with_a_prefix_of_its_own,
    a_machine_says_how_it_is_and_is_put_aside_and_comes_back,
}

/// A service with an API, and a way in.
struct Stage {
    central: TestCentral,
    api: Api,
    bearer: String,
    _directory: tempfile::TempDir,
}

impl Stage {
    async fn new(kind: Kind) -> Stage {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let central = TestCentral::start_on(kind, directory.path()).await;
        let api = central.api().await;
        let bearer = central.install().await.authorization_header;
        Stage {
            central,
            api,
            bearer,
            _directory: directory,
        }
    }

    /// A service that has the captured requests of these folders.
    async fn with(kind: Kind, folders: &[&str]) -> Stage {
        let stage = Stage::new(kind).await;
        for capture in folders.iter().flat_map(|folder| wire::folder(folder)) {
            let address = stage.central.url.trim_start_matches("http://");
            let answer = capture.send(address, capture.path(), &stage.bearer).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        stage
    }

    /// A service that has one request with these records.
    async fn with_records(kind: Kind, records: Vec<LogRecord>) -> Stage {
        let stage = Stage::new(kind).await;
        stage.post(logs(records)).await;
        stage
    }

    async fn post(&self, logs: ExportLogsServiceRequest) {
        let answer = client()
            .post(&self.central.url)
            .header("authorization", &self.bearer)
            .header("content-type", "application/x-protobuf")
            .body(Request::Logs(logs).encode())
            .send()
            .await
            .expect("the service answers");
        assert_eq!(answer.status(), 200);
    }

    async fn entities(&self, kind: &str) -> BTreeSet<String> {
        self.api
            .column(&format!("entities?kind={kind}"), "name")
            .await
    }

    /// Every derived table, as the API shows it.
    async fn tables(&self) -> BTreeMap<&'static str, Vec<serde_json::Value>> {
        let mut tables = BTreeMap::new();
        for path in ["agents", "owners", "entities", "sessions"] {
            tables.insert(path, self.api.list(path).await);
        }
        let mut machines = self.api.list("machines").await;
        machines.sort_by_key(|machine| machine["id"].to_string());
        tables.insert("machines", machines);
        let mut turns = Vec::new();
        for session in self.api.column("sessions", "id").await {
            turns.push(self.api.get(&format!("sessions/{session}")).await["turn_count"].clone());
        }
        tables.insert("turns", turns);
        tables
    }
}

fn logs(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn text(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

fn list(items: &[&str]) -> AnyValue {
    let values = items.iter().map(|item| text(item)).collect();
    AnyValue {
        value: Some(Value::ArrayValue(ArrayValue { values })),
    }
}

/// A record `second` seconds after the captures.
fn record(second: u64, event: &str, attributes: &[(&str, AnyValue)]) -> LogRecord {
    let mut pairs = vec![("event.name", text(event))];
    pairs.extend(attributes.iter().cloned());
    LogRecord {
        time_unix_nano: (1_795_351_700 + second) * 1_000_000_000,
        body: Some(text(&format!("claude_code.{event}"))),
        attributes: pairs
            .into_iter()
            .map(|(key, value)| KeyValue {
                key: key.to_owned(),
                value: Some(value),
                ..KeyValue::default()
            })
            .collect(),
        ..LogRecord::default()
    }
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

async fn an_agent_is_named_by_e_mail_and_else_by_user_id(kind: Kind) {
    let stage = Stage::with(kind, &["list-files", "api-key-no-email"]).await;
    let id = "5f2c".repeat(16);
    let names = stage.api.column("agents", "name").await;
    assert_eq!(names, set(["Cowork/ada", &format!("Cowork/{id}")]));
    assert_eq!(
        stage.api.column("owners", "owner").await,
        set(["ada@example.com", &id])
    );
    let ada = stage.api.list("agents?text=ada").await.remove(0);
    assert_eq!(
        ada["user_id"].as_str(),
        Some(id.as_str()),
        "the id is kept beside the e-mail"
    );
}

async fn two_people_with_one_prefix_are_two_agents(kind: Kind) {
    let stage = Stage::with_records(
        kind,
        vec![
            record(
                0,
                "user_prompt",
                &[("user.email", text(" Ada@Example.com "))],
            ),
            record(1, "user_prompt", &[("user.email", text("ada@example.com"))]),
            record(
                2,
                "user_prompt",
                &[("user.email", text("ada@elsewhere.example"))],
            ),
        ],
    )
    .await;
    let agents = stage.api.list("agents").await;
    assert_eq!(agents.len(), 2, "{agents:?}");
    assert!(agents.iter().all(|agent| agent["name"] == "Cowork/ada"));
    assert_ne!(agents[0]["id"], agents[1]["id"]);
    let owners = stage.api.column("agents", "owner").await;
    assert_eq!(owners, set(["ada@example.com", "ada@elsewhere.example"]));
}

async fn an_mcp_tool_is_named_in_any_of_the_ways_that_clients_know(kind: Kind) {
    let stage = Stage::with(kind, &["mcp"]).await;
    let captured = stage.entities("mcp_tool").await;
    assert!(
        !captured.is_empty() && captured.iter().all(|name| name.starts_with("demo:")),
        "{captured:?}"
    );
    assert!(
        stage
            .entities("tool")
            .await
            .iter()
            .all(|name| name != "mcp_tool")
    );

    let parameters = r#"{"mcp_server_name":"jira","mcp_tool_name":"search"}"#;
    let cut = r#"{"mcp_server_name":"wiki","mcp_tool_name":"read","note":"cut he"#;
    let cut_too_early = r#"{"mcp_server_name":"wiki","mcp_tool_na"#;
    let stage = Stage::with_records(
        kind,
        vec![
            record(
                0,
                "tool_result",
                &[
                    ("tool_name", text("mcp_tool")),
                    ("tool_parameters", text(parameters)),
                ],
            ),
            record(
                1,
                "tool_decision",
                &[
                    ("tool_name", text("mcp_tool")),
                    ("tool_parameters", text(cut)),
                ],
            ),
            record(
                2,
                "tool_result",
                &[
                    ("tool_name", text("mcp_tool")),
                    ("mcp_server.name", text("slack")),
                    ("mcp_tool.name", text("post")),
                ],
            ),
            record(3, "tool_result", &[("tool_name", text("mcp__git__commit"))]),
            record(
                4,
                "tool_result",
                &[
                    ("tool_name", text("mcp_tool")),
                    ("tool_parameters", text(cut_too_early)),
                ],
            ),
            record(5, "tool_result", &[("tool_name", text("Read"))]),
            // The server whose result a request consumed is no invocation.
            record(
                6,
                "api_request",
                &[("mcp_server.name", text("x")), ("mcp_tool.name", text("y"))],
            ),
        ],
    )
    .await;
    assert_eq!(
        stage.entities("mcp_tool").await,
        set([
            "jira:search",
            "wiki:read",
            "slack:post",
            "git:commit",
            "mcp_tool"
        ])
    );
    assert_eq!(stage.entities("tool").await, set(["Read"]));
    let tools = stage.api.list("entities?kind=mcp_tool").await;
    assert!(
        tools.iter().all(|tool| tool["protocol"] == "MCP"),
        "{tools:?}"
    );
}

async fn directories_come_as_a_list_or_as_one_string(kind: Kind) {
    let key = "workspace.host_paths";
    let stage = Stage::with_records(
        kind,
        vec![
            record(
                0,
                "user_prompt",
                &[(key, list(&["/home/ada/a", "/home/ada/b|c"]))],
            ),
            record(1, "user_prompt", &[(key, text("/home/ada/d"))]),
            record(2, "user_prompt", &[(key, text("/home/ada/a|/home/ada/e"))]),
        ],
    )
    .await;
    assert_eq!(
        stage.entities("working_directory").await,
        set(["/home/ada/a", "/home/ada/b|c", "/home/ada/d", "/home/ada/e"])
    );
}

async fn models_are_grouped_without_their_suffix(kind: Kind) {
    let stage = Stage::with_records(
        kind,
        vec![
            record(0, "api_request", &[("model", text("claude-opus-4-8[1m]"))]),
            record(1, "api_request", &[("model", text("claude-opus-4-8"))]),
            record(2, "api_error", &[("model", text("<synthetic>"))]),
        ],
    )
    .await;
    let models = stage.api.list("entities?kind=model").await;
    assert_eq!(models.len(), 1, "{models:?}");
    assert_eq!(models[0]["name"], "claude-opus-4-8");
    assert_eq!(models[0]["event_count"], 2);
}

async fn a_session_starts_with_its_first_record_or_with_a_session_start(kind: Kind) {
    let stage = Stage::with(kind, &["list-files"]).await;
    let session = stage.api.list("sessions").await.remove(0);
    assert_eq!(session["started_at"], "2026-11-22T12:46:05.346Z");
    assert_eq!(session["ended_at"], "2026-11-22T12:46:05.692Z");
    assert_eq!(
        (&session["turn_count"], &session["tool_count"]),
        (&1.into(), &1.into())
    );
    assert_eq!(session["client_version"], "2.1.197");
    assert_eq!(session["models"], serde_json::json!(["claude-sonnet-5"]));

    let id = ("session.id", text("told"));
    let stage = Stage::with_records(
        kind,
        vec![
            record(5, "user_prompt", std::slice::from_ref(&id)),
            record(3, "session_start", std::slice::from_ref(&id)),
        ],
    )
    .await;
    let session = stage.api.get("sessions/told").await;
    assert_eq!(session["started_at"], "2026-11-22T12:48:23Z");
    let events = stage.api.list("events?type=session").await;
    assert_eq!(events[0]["name"], "session_start");
}

async fn a_resumed_session_is_one_session_although_its_numbers_start_again(kind: Kind) {
    let stage = Stage::with(kind, &["resume-1", "resume-2"]).await;
    let sessions = stage.api.list("sessions").await;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(sessions[0]["event_count"], 16);
    assert_eq!(sessions[0]["turn_count"], 2);
    let id = sessions[0]["id"].as_str().expect("an id");
    let detail = stage.api.get(&format!("sessions/{id}")).await;
    let events: Vec<_> = detail["turns"]
        .as_array()
        .expect("turns")
        .iter()
        .flat_map(|turn| turn["events"].as_array().expect("events"))
        .collect();
    assert_eq!(events.len(), 16);
    let restarts = events.iter().filter(|event| event["sequence"] == 0).count();
    assert_eq!(restarts, 2, "both processes counted from 0");
}

async fn denials_and_errors_are_counted(kind: Kind) {
    let stage = Stage::with(kind, &["interactive", "api-error-400", "refactor"]).await;
    let sessions = stage.api.list("sessions").await;
    let sum = |key: &str| {
        sessions
            .iter()
            .filter_map(|session| session[key].as_i64())
            .sum::<i64>()
    };
    let rejected = stage.api.list("events?type=permission_decision").await;
    let rejected = rejected
        .iter()
        .filter(|event| event["decision"] == "reject")
        .count();
    assert!(rejected > 0);
    assert_eq!(sum("denied_count"), rejected as i64);
    let failed_tools = stage.api.list("events?type=tool_invocation").await;
    let failed_tools = failed_tools
        .iter()
        .filter(|event| event["success"] == false)
        .count();
    let errors = stage.api.list("events?type=error").await.len();
    assert!(failed_tools > 0 && errors > 0);
    assert_eq!(sum("error_count"), (failed_tools + errors) as i64);
}

async fn tokens_and_cost_are_summed_over_a_session(kind: Kind) {
    let capture = wire::folder("refactor").remove(0);
    let stage = Stage::with(kind, &["refactor"]).await;
    let session = stage.api.list("sessions").await.remove(0);
    let requests = stage.api.list("events?type=api_request").await;
    let sum = |key: &str| {
        requests
            .iter()
            .filter_map(|event| event[key].as_i64())
            .sum::<i64>()
    };
    assert!(sum("input_tokens") > 0);
    assert_eq!(session["input_tokens"], sum("input_tokens"));
    assert_eq!(session["output_tokens"], sum("output_tokens"));
    let cost: f64 = capture
        .logs()
        .resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records)
        .flat_map(|record| &record.attributes)
        .filter(|attribute| attribute.key == "cost_usd")
        .filter_map(
            |attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::DoubleValue(cost) => Some(*cost),
                _ => None,
            },
        )
        .sum();
    let shown = session["cost_usd"].as_f64().expect("a cost");
    assert!((shown - cost).abs() < 1e-5, "{shown} is {cost}");
}

async fn events_of_unknown_kinds_are_kept_whole(kind: Kind) {
    let stage = Stage::with_records(
        kind,
        vec![record(
            0,
            "brand_new_thing",
            &[
                ("session.id", text("s")),
                ("some.future.key", list(&["a", "b"])),
            ],
        )],
    )
    .await;
    let event = stage.api.list("events?type=other").await.remove(0);
    assert_eq!(event["name"], "brand_new_thing");
    assert_eq!(
        event["attributes"]["some.future.key"],
        serde_json::json!(["a", "b"])
    );
    assert_eq!(event["body"], "claude_code.brand_new_thing");
    assert_eq!(stage.api.list("events?type=brand_new_thing").await.len(), 1);
}

async fn a_prompt_that_the_client_withheld_is_no_text(kind: Kind) {
    let stage = Stage::with(kind, &["seed-defaults"]).await;
    let session = stage.api.list("sessions").await.remove(0);
    let id = session["id"].as_str().expect("an id");
    let detail = stage.api.get(&format!("sessions/{id}")).await;
    let turn = &detail["turns"]
        .as_array()
        .expect("turns")
        .last()
        .expect("a turn");
    assert_eq!(turn["prompt"]["state"], "not_exported", "{turn}");
}

async fn cowork_names_its_events_with_a_prefix_of_its_own(kind: Kind) {
    let mut cowork = record(0, "user_prompt", &[("user.email", text("ada@example.com"))]);
    cowork.attributes.remove(0);
    cowork.body = Some(text("claude_cowork.user_prompt"));
    let stage = Stage::with_records(kind, vec![cowork]).await;
    assert_eq!(stage.api.list("events").await[0]["name"], "user_prompt");
}

async fn a_machine_says_how_it_is_and_is_put_aside_and_comes_back(kind: Kind) {
    let number = |number: i64| AnyValue {
        value: Some(Value::IntValue(number)),
    };
    let now = u64::try_from(Timestamp::now().0).expect("it is not 1970");
    let heartbeat = |seq: i64, time: u64| LogRecord {
        time_unix_nano: time,
        ..record(
            0,
            "fieldpost.heartbeat",
            &[
                ("fieldpost.edge.id", text("machine-a")),
                ("fieldpost.edge.seq", number(seq)),
                ("queue.records", number(7)),
                ("queue.last_seq", number(seq + 7)),
                ("parked.records", number(2)),
                ("clock.offset_seconds", number(-400)),
                ("token.expires_at", number(1_800_000_000)),
                ("redacted.github-pat", number(3)),
                ("redacted.<script>", number(1)),
            ],
        )
    };
    // The clock is 400 seconds behind: by a right one, the heartbeat was just now.
    let late = now - 400_000_000_000;
    let stage = Stage::with_records(kind, vec![heartbeat(1, late - 60), heartbeat(3, late)]).await;
    let machine = stage.api.get("machines/machine-a").await;
    assert_eq!(machine["state"], "reporting", "{machine}");
    assert_eq!(machine["last_seq"], 10);
    assert_eq!(
        (&machine["stored"], &machine["missing"]),
        (&2.into(), &1.into())
    );
    assert_eq!(machine["queue_records"], 7);
    assert_eq!(machine["parked_records"], 2);
    assert_eq!(machine["clock_offset_seconds"], -400);
    assert_eq!(machine["clock_is_off"], true);
    assert_eq!(machine["token_expires_at"], "2027-01-15T08:00:00Z");
    let redactions = serde_json::json!({"github-pat": 3});
    assert_eq!(machine["redactions"], redactions, "names are names");

    let metrics = client()
        .get(format!("{}/metrics", stage.central.url))
        .send()
        .await
        .expect("the service answers");
    let metrics = metrics.text().await.expect("text");
    for line in [
        "machines{tenant=\"default\",environment=\"default\",state=\"reporting\"} 1",
        "machine_records_unexplained{tenant=\"default\",environment=\"default\"} 1",
        "machine_records_appended{tenant=\"default\",environment=\"default\"} 10",
        "machines_with_clock_off{tenant=\"default\",environment=\"default\"} 1",
    ] {
        assert!(
            metrics.contains(&format!("fieldpost_central_{line}")),
            "{line} is not in {metrics}"
        );
    }

    let change = async |what: &str| {
        let answer = stage.api.post(&format!("machines/machine-a/{what}")).await;
        assert_eq!(answer.status(), 204, "{what}");
    };
    change("retire").await;
    let state = async || stage.api.get("machines/machine-a").await["state"].clone();
    assert_eq!(state().await, "retired");
    change("restore").await;
    assert_eq!(state().await, "reporting");
    change("retire").await;
    stage
        .post(logs(vec![heartbeat(4, late + 60_000_000_000)]))
        .await;
    assert_eq!(state().await, "reporting", "it comes back by itself");
}

/// Records of every captured request, with machine numbers as an edge would give them.
fn all_records() -> Vec<LogRecord> {
    let captures = wire::all()
        .into_iter()
        .filter(|capture| capture.path().ends_with("logs"));
    let mut records: Vec<LogRecord> = captures
        .flat_map(|capture| capture.logs().resource_logs)
        .flat_map(|resource| resource.scope_logs)
        .flat_map(|scope| scope.log_records)
        .collect();
    for (number, record) in records.iter_mut().enumerate() {
        let is_heartbeat = number % 10 == 0;
        if is_heartbeat {
            record
                .attributes
                .retain(|attribute| attribute.key != "event.name");
        }
        let mut add = |key: &str, value: Value| {
            record.attributes.push(KeyValue {
                key: key.to_owned(),
                value: Some(AnyValue { value: Some(value) }),
                ..KeyValue::default()
            });
        };
        let machine = if number % 3 == 0 {
            "machine-a"
        } else {
            "machine-b"
        };
        add("fieldpost.edge.id", Value::StringValue(machine.to_owned()));
        add("fieldpost.edge.seq", Value::IntValue(number as i64));
        add(
            "workspace.host_paths",
            Value::StringValue(format!("/work/{}", number % 4)),
        );
        // Some are heartbeats that tell of losses, each of a few; some of these are here all the same.
        if is_heartbeat {
            let (number, many) = (number as i64, 10_000 + number as i64);
            let ends = [number + 1, number + 2, many, many + 4, many + 5, many + 9];
            let ends = ends.map(|end| AnyValue {
                value: Some(Value::IntValue(end)),
            });
            let values = ends.to_vec();
            add(
                "event.name",
                Value::StringValue("fieldpost.heartbeat".to_owned()),
            );
            add("queue.lost.size", Value::IntValue(number));
            add("queue.last_seq", Value::IntValue(many));
            add("redacted.github-pat", Value::IntValue(number + 1));
            add(
                "queue.lost.size.ranges",
                Value::ArrayValue(ArrayValue {
                    values: values.clone(),
                }),
            );
            add(
                "queue.lost.age.ranges",
                Value::ArrayValue(ArrayValue { values }),
            );
        }
        // Some records say less about the person than others.
        if number % 5 == 0 {
            record
                .attributes
                .retain(|attribute| attribute.key != "user.email");
        }
    }
    records
}

#[test]
fn shuffled_repeated_and_recut_records_give_the_same_tables_in_sqlite() {
    shuffled_repeated_and_recut_records_give_the_same_tables(Kind::Sqlite);
}

#[test]
fn shuffled_repeated_and_recut_records_give_the_same_tables_in_postgres() {
    shuffled_repeated_and_recut_records_give_the_same_tables(Kind::Postgres);
}

fn shuffled_repeated_and_recut_records_give_the_same_tables(kind: Kind) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let records = all_records();
    let in_order = runtime.block_on(async {
        let stage = Stage::with_records(kind, records.clone()).await;
        stage.tables().await
    });
    assert!(in_order["sessions"].len() >= 10 && in_order["machines"].len() == 2);
    for machine in &in_order["machines"] {
        let reasons = machine["dropped"].as_array().expect("a list");
        let numbers: Vec<_> = reasons.iter().map(|of| of["numbers"].as_u64()).collect();
        assert_eq!(reasons.len(), 2, "{machine}");
        assert!(
            numbers[0] > Some(0) && numbers[1] == Some(0),
            "a number is lost for one reason: {machine}"
        );
        assert!(machine["missing"].as_u64() > Some(0), "{machine}");
    }

    let shuffled = Just(records).prop_shuffle();
    let cuts = proptest::collection::vec(1_usize..40, 1..12);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(6)
    });
    runner
        .run(&(shuffled, cuts), |(records, cuts)| {
            let tables = runtime.block_on(async {
                let stage = Stage::new(kind).await;
                let mut rest = records.as_slice();
                for size in cuts.iter().cycle() {
                    let (batch, after) = rest.split_at((*size).min(rest.len()));
                    stage.post(logs(batch.to_vec())).await;
                    // Some batches come twice.
                    if size % 4 == 0 {
                        stage.post(logs(batch.to_vec())).await;
                    }
                    rest = after;
                    if rest.is_empty() {
                        break;
                    }
                }
                stage.tables().await
            });
            for (name, rows) in &in_order {
                prop_assert_eq!(&without_ids(&tables[name]), &without_ids(rows), "{}", name);
            }
            Ok(())
        })
        .expect("order makes no difference");
}

/// Rows without what differs between two services by design: agents' ids are keyed.
fn without_ids(rows: &[serde_json::Value]) -> Vec<serde_json::Value> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        if let Some(fields) = row.as_object_mut() {
            fields.remove("agent_id");
            fields.remove("agent_ids");
            if fields.contains_key("user_email") {
                fields.remove("id");
            }
        }
    }
    rows.sort_by_key(serde_json::Value::to_string);
    rows
}
