//! Pages as people see and use them: in Chromium, light and dark, wide and narrow, by keyboard and mouse, with
//! and without JavaScript. The pictures are kept under `target/portal`, to be looked at.

use std::path::Path;

use fieldpost::central::store::Role;
use serde_json::{Map, Value, json};

use crate::support::browser::Browser;
use crate::support::fieldpost::TestCentral;
use crate::support::hands;
use crate::support::records::{claude_session, request};

use super::{ENVIRONMENT, filled, values};

/// A session with a denied tool, or any.
async fn session_of(browser: &Browser) -> String {
    for query in ["&q=tool%3ABash%20decision%3Areject", ""] {
        let list = format!("{ENVIRONMENT}/observability?type=session{query}");
        let page = browser.get(&list).await;
        let sessions = values(&page.body, "<th scope=\"row\" class=\"when\"><a href=\"");
        if let Some(session) = sessions.into_iter().next() {
            return session;
        }
    }
    panic!("there is a session");
}

/// Every kind of page, by a name for its picture.
pub(super) async fn every_kind_of_page(browser: &Browser) -> Map<String, Value> {
    let list = format!("{ENVIRONMENT}/observability");
    let rows = browser.get(&list).await;
    let opened = values(&rows.body, "class=\"opens\" href=\"").remove(3);
    let id = opened.split("event=").nth(1).expect("a record").to_owned();
    let agents = browser
        .get(&format!("{ENVIRONMENT}/inventory/agents"))
        .await;
    let agent = values(&agents.body, "<th scope=\"row\"><a href=\"").remove(0);
    let agent = agent.trim_end_matches("/audit-logs").to_owned();
    let mut pages = Map::new();
    for (name, path) in [
        ("overview", "/"),
        ("agents", "/inventory/agents"),
        ("agents-narrowed", "/inventory/agents?text=ada&sort=-events"),
        ("agents-none", "/inventory/agents?text=nobody"),
        ("machines", "/inventory/machines"),
        ("tools", "/inventory/tools"),
        ("tool", "/inventory/tools/Bash"),
        ("mcp-tools", "/inventory/mcp-tools"),
        ("models", "/inventory/models"),
        ("directories", "/inventory/directories"),
        ("owners", "/inventory/owners"),
        ("versions", "/inventory/versions"),
        ("drift", "/inventory/drift"),
        (
            "drift-of-an-event",
            "/inventory/drift?client=claude-code&event=tool_result",
        ),
        ("events", "/observability"),
        (
            "events-wrapped",
            "/observability?wrap=1&rows=l&columns=detail.session.machine",
        ),
        (
            "events-other-columns",
            "/observability?columns=machine.model.version.tool.session.flags.cost.duration.decision.detail.activity.agent",
        ),
        ("events-values", "/observability/values?of=agent"),
        (
            "sessions-laid-out",
            "/observability?type=session&session-columns=version.prompt.cost&rows=s&wrap=1",
        ),
        ("events-none", "/observability?q=tool%3Anone&range=30d"),
        ("events-problem", "/observability?q=toll%3ABash"),
        ("sessions", "/observability?type=session"),
        ("metrics", "/signals/metrics"),
        ("metrics-none", "/signals/metrics?name=none"),
        ("traces", "/signals/traces"),
        ("integrations", "/integrations"),
        ("install", "/integrations/claude-cowork/install"),
        ("tokens", "/integrations/claude-cowork/tokens"),
        ("api", "/api"),
        ("views", "/views"),
        ("go", "/go?text=a"),
        ("settings-account", "/settings/account"),
        ("settings-keys", "/settings/keys"),
        ("settings-keys-none", "/settings/keys?text=none"),
        ("settings-people", "/settings/people"),
        (
            "settings-people-narrowed",
            "/settings/people?role=owner&sort=-name",
        ),
        ("settings-audit", "/settings/audit"),
        ("settings-machines", "/settings/machines"),
        ("settings-retention", "/settings/retention"),
        ("missing", "/no/such/page"),
    ] {
        pages.insert(name.to_owned(), format!("{ENVIRONMENT}{path}").into());
    }
    for (name, tab) in [
        ("record", ""),
        ("record-context", "context"),
        ("record-raw", "raw"),
        ("record-identity", "identity"),
    ] {
        let tab = if tab.is_empty() {
            String::new()
        } else {
            format!("&tab={tab}")
        };
        pages.insert(name.to_owned(), format!("{opened}{tab}").into());
    }
    pages.insert(
        "event".to_owned(),
        format!("{ENVIRONMENT}/events/{id}").into(),
    );
    pages.insert("session".to_owned(), session_of(browser).await.into());
    for (name, list) in [
        ("metrics", "/signals/metrics"),
        ("spans", "/signals/traces"),
    ] {
        let list = browser.get(&format!("{ENVIRONMENT}{list}")).await;
        let messages = values(&list.body, "<th scope=\"row\"><a href=\"");
        pages.insert(format!("message-of-{name}"), messages[0].clone().into());
    }
    for tab in [
        "overview",
        "audit-logs",
        "sessions",
        "entities",
        "owner",
        "health",
    ] {
        pages.insert(format!("agent-{tab}"), format!("{agent}/{tab}").into());
    }
    pages
}

/// A session that came by an edge, which says how it is.
async fn post_through_an_edge(central: &TestCentral) {
    let bearer = central.install().await.authorization_header;
    let mut records = claude_session("ada@example.com", "by-an-edge", 10);
    for record in &mut records {
        if record.body == "claude_code.api_request" {
            record.body = "fieldpost.heartbeat".to_owned();
            for (key, value) in [
                ("event.name", json!("fieldpost.heartbeat")),
                ("queue.records", json!(3)),
                ("queue.last_seq", json!(40)),
                ("queue.lost.size", json!(2)),
                ("queue.lost.size.ranges", json!([12, 13])),
                ("redacted.github-token", json!(4)),
            ] {
                record.attributes.insert(key.to_owned(), value);
            }
        }
    }
    for (seq, record) in (1..).zip(&mut records) {
        let attributes = &mut record.attributes;
        attributes.insert("fieldpost.edge.id".to_owned(), json!("edge-1"));
        attributes.insert("host.name".to_owned(), json!("ada-laptop"));
        attributes.insert("fieldpost.edge.seq".to_owned(), json!(seq));
    }
    central
        .post(&bearer, "logs", request(&records).to_string())
        .await;
}

/// In both widths and both themes, with everything folded and unfolded: axe-core finds no violation, nothing
/// sticks out to the side, no error is on the console, and nothing from elsewhere is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_both_widths_and_themes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    post_through_an_edge(&central).await;
    let mut pages = every_kind_of_page(&browser).await;
    for (name, path) in [
        ("machine", "/inventory/machines/edge-1"),
        ("machine-retire", "/inventory/machines/edge-1/retire"),
    ] {
        pages.insert(name.to_owned(), format!("{ENVIRONMENT}{path}").into());
    }
    let token = central.api().await.list("tokens").await.remove(0);
    let token = token["id"].as_str().expect("an id");
    let of_token = format!("{ENVIRONMENT}/integrations/claude-cowork/tokens/{token}");
    pages.insert("token".to_owned(), of_token.into());
    for (name, path) in &pages {
        let page = browser.get(path.as_str().expect("a path")).await;
        assert!(
            page.body.len() < 200_000,
            "{name} has {} bytes",
            page.body.len()
        );
    }
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/portal");
    let of_admin = json!({ "session-as-admin": session_of(&browser).await });
    let of_nobody = json!({ "sign-in": "/sign-in" });
    let admin = central.sign_in(Role::Admin).await;
    let nobody = Browser::with_session(&central.url, "nobody=1");
    for (person, pages) in [
        (&browser, json!(pages)),
        (&admin, of_admin),
        (&nobody, of_nobody),
    ] {
        let asked = json!({ "pages": pages, "axe": true, "pictures": pictures });
        let wrong = hands::run("look.mjs", person, asked).await;
        assert!(wrong.is_empty(), "{wrong}");
    }
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_is_used_by_keyboard_and_by_mouse() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    let asked = json!({
        "list": format!("{ENVIRONMENT}/observability"),
        "session": session_of(&browser).await,
        "word": "python",
        "bearer": central.install().await.authorization_header,
        "arriving": request(&claude_session("new@example.com", "new", 1)),
    });
    hands::run("keys.mjs", &browser, asked).await;
    central.stop().await;
}

/// A service with more tools than stand in a facet, and its owner's browser.
async fn with_many_tools(directory: &Path) -> (TestCentral, Browser) {
    let (central, browser) = filled(directory).await;
    let bearer = central.install().await.authorization_header;
    let mut records = claude_session("ada@example.com", "many-tools", 75);
    let tools = records
        .iter_mut()
        .filter(|record| record.body == "claude_code.tool_result");
    for (number, record) in tools.enumerate() {
        record.attributes.remove("tool_parameters");
        record.attributes["tool_name"] = format!("tool-{number:02}").into();
    }
    let body = request(&records).to_string();
    central.post(&bearer, "logs", body).await;
    (central, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_narrowed_and_laid_out_by_keyboard_and_by_mouse() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = with_many_tools(directory.path()).await;
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/portal");
    std::fs::create_dir_all(&pictures).expect("a folder for pictures");
    let asked = json!({
        "list": format!("{ENVIRONMENT}/observability"),
        "session": session_of(&browser).await,
        "pictures": pictures,
    });
    hands::run("lists.mjs", &browser, asked).await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_is_used_without_javascript() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = with_many_tools(directory.path()).await;
    let downloads = tempfile::tempdir().expect("a directory for downloads");
    let asked = json!({
        "list": format!("{ENVIRONMENT}/observability"),
        "session": session_of(&browser).await,
        "word": "python",
        "downloads": downloads.path(),
    });
    hands::run("plain.mjs", &browser, asked).await;
    central.stop().await;
}

/// All scripts together are small, and none is needed for what is first drawn.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_few_and_small() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/central/portal/assets");
    let mut bytes = 0;
    for file in std::fs::read_dir(folder).expect("the assets") {
        let path = file.expect("an asset").path();
        if path.extension().is_some_and(|ending| ending == "js") {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            assert!(text.lines().count() < 150, "{}", path.display());
            bytes += text.len();
        }
    }
    assert!(bytes < 40_000, "{bytes} bytes of scripts");
    let page = browser
        .get(&format!("{ENVIRONMENT}/observability"))
        .await
        .body;
    let kinds = values(&page, "<script type=\"");
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "module"));
    central.stop().await;
}
