//! How a list looks: columns, their order, the height of rows, wrapping; in its address, or as a preference.

use fieldpost::central::store::Role;
use reqwest::{Method, StatusCode};

use crate::support::browser::{Browser, Page};
use crate::support::fieldpost::{Kind, TestCentral, on_both_databases};
use crate::support::records::{claude_session, request};

use super::{ENVIRONMENT, filled_on, values};

on_both_databases! {
    columns_are_chosen_in_a_form_and_kept_in_the_address,
    a_layout_becomes_a_preference_and_ends_as_one,
    what_a_list_cannot_be_asked_for_is_said,
    a_list_that_was_opened_stays_open_however_it_looks,
    values_are_searched_and_narrow_their_list,
}

/// The titles of a list's columns.
fn heads(page: &Page) -> Vec<String> {
    let head = page.body.split("<thead>").last().unwrap_or_default();
    let head = head.split("</thead>").next().unwrap_or_default();
    let cells = head.split("<th scope=\"col\"").skip(1);
    let text = |cell: &str| cell.split('>').nth(1)?.split('<').next().map(str::to_owned);
    cells.filter_map(text).collect()
}

/// The form's own fields, as the page has them.
fn form(page: &Page) -> Vec<(String, String)> {
    let (_, form) = page
        .body
        .split_once("action=\"/preferences/lists\"")
        .expect("the form");
    let form = form.split("</form>").next().expect("its end");
    let mut fields = Vec::new();
    for name in ["address", "of", "usual"] {
        let value = values(form, &format!("name=\"{name}\" value=\"")).remove(0);
        fields.push((name.to_owned(), value));
    }
    for part in form.split("name=\"column\" value=\"").skip(1) {
        let tag = part.split('>').next().expect("a tag");
        if tag.ends_with(" checked") {
            let slug = tag.split('"').next().expect("a name");
            fields.push(("column".to_owned(), slug.to_owned()));
        }
    }
    fields
}

/// Sends the form of a page with changes; gives where it leads, and the preference that it sets.
async fn send(
    browser: &Browser,
    page: &Page,
    columns: Option<&[&str]>,
    others: &[(&str, &str)],
) -> (String, Option<String>) {
    let mut fields = form(page);
    if let Some(columns) = columns {
        fields.retain(|(key, _)| key != "column");
        fields.extend(
            columns
                .iter()
                .map(|it| ("column".to_owned(), (*it).to_owned())),
        );
    }
    let fields = fields
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let fields: Vec<(&str, &str)> = fields.chain(others.iter().copied()).collect();
    let answer = browser.post("/preferences/lists", &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .map(str::to_owned);
    (
        answer.header("location").to_owned(),
        cookie.filter(|cookie| !cookie.is_empty()),
    )
}

async fn columns_are_chosen_in_a_form_and_kept_in_the_address(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled_on(kind, directory.path()).await;
    let list = format!("{ENVIRONMENT}/observability?q=tool%3ABash");
    let usual = browser.get(&list).await;
    assert_eq!(
        heads(&usual),
        [
            "Time",
            "Agent",
            "Activity",
            "Detail",
            "Decision",
            "Duration",
            "Cost (est.)"
        ]
    );
    let nothing = [("rows", "m")];
    let (same, cookie) = send(&browser, &usual, None, &nothing).await;
    assert_eq!((same.as_str(), cookie), (list.as_str(), None));
    let (chosen, cookie) = send(
        &browser,
        &usual,
        Some(&["detail", "tool", "machine"]),
        &[("rows", "l"), ("wrap", "1")],
    )
    .await;
    assert_eq!(cookie, None);
    assert_eq!(
        chosen,
        format!("{list}&columns=detail.tool.machine&rows=l&wrap=1")
    );
    let page = browser.get(&chosen).await;
    assert_eq!(heads(&page), ["Time", "Detail", "Tool", "Machine"]);
    assert!(page.body.contains("events large wraps chosen\""));
    // Links of the list keep it, and so does what stands beside an open record.
    let opened = values(&page.body, "class=\"opens\" href=\"").remove(0);
    assert_eq!(heads(&browser.get(&opened).await), heads(&page));
    // The buttons beside a column move it.
    let fields = [("rows", "l"), ("wrap", "1"), ("up", "machine")];
    let (moved, _) = send(&browser, &page, None, &fields).await;
    assert!(
        moved.contains("&columns=detail.machine.tool&rows=l&wrap=1#column-machine"),
        "{moved}"
    );
    // Sessions have columns of their own; those of events stay for events.
    let sessions = browser
        .get(&format!("{list}&type=session&columns=tool"))
        .await;
    assert_eq!(heads(&sessions)[..3], ["Started", "Agent", "First prompt"]);
    let few = Some(&["cost", "prompt"][..]);
    let (chosen, _) = send(&browser, &sessions, few, &[("rows", "s")]).await;
    assert!(
        chosen.ends_with("&columns=tool&session-columns=cost.prompt&rows=s"),
        "{chosen}"
    );
    let sessions = browser.get(&chosen).await;
    assert_eq!(heads(&sessions), ["Started", "Cost (est.)", "First prompt"]);
    assert!(sessions.body.contains("sessions small\""));
    // What arrives is counted for it as for any.
    let live = format!("{ENVIRONMENT}/observability/live?since=0&columns=tool.cost&wrap=1");
    let stream = browser.request(Method::GET, &live).send().await;
    let mut stream = stream.expect("it answers");
    let first = stream.chunk().await.expect("it goes on").expect("a word");
    assert!(first.starts_with(b"id: "), "{first:?}");
    // A file has every field of the same rows.
    let fields = [("format", "csv"), ("q", "tool:Bash"), ("columns", "tool")];
    let csv = browser
        .post(&format!("{ENVIRONMENT}/observability/export"), &fields)
        .await;
    assert!(
        csv.body.starts_with("time,received_at,agent,"),
        "{}",
        csv.body
    );
    for address in ["//elsewhere.example", "https://elsewhere.example/", ""] {
        let fields = [("address", address), ("of", "columns"), ("column", "tool")];
        let refused = browser.post("/preferences/lists", &fields).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{address}");
    }
    central.stop().await;
}

async fn a_layout_becomes_a_preference_and_ends_as_one(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled_on(kind, directory.path()).await;
    let list = format!("{ENVIRONMENT}/observability");
    let page = browser
        .get(&format!("{list}?columns=model.agent&range=30d"))
        .await;
    let fields = [("rows", "s"), ("keep", "1")];
    let (plain, cookie) = send(&browser, &page, None, &fields).await;
    let cookie = cookie.expect("a preference");
    assert_eq!(plain, format!("{list}?range=30d"));
    assert_eq!(cookie, "fieldpost-lists=columns=model.agent&rows=s");
    let mine = browser.with_cookie(format!("{}; {cookie}", browser.cookie));
    let page = mine.get(&list).await;
    assert_eq!(heads(&page), ["Time", "Model", "Agent"]);
    assert!(page.body.contains("events small chosen\""));
    // An agent's own list need not name it, and an address goes before a preference.
    let agents = mine.get(&format!("{ENVIRONMENT}/inventory/agents")).await;
    let agent = values(&agents.body, "<th scope=\"row\"><a href=\"").remove(0);
    assert_eq!(heads(&mine.get(&agent).await), ["Time", "Model"]);
    let other = mine.get(&format!("{list}?columns=cost&rows=m")).await;
    assert_eq!(heads(&other), ["Time", "Cost (est.)"]);
    assert!(other.body.contains("events chosen\""));
    // What the preference says need not stand in the address; what is usual otherwise must.
    let fields = [("rows", "m")];
    let usual = [
        "agent", "activity", "detail", "decision", "duration", "cost",
    ];
    let (all, _) = send(&mine, &page, Some(&usual), &fields).await;
    assert!(
        all.ends_with("?columns=agent.activity.detail.decision.duration.cost&rows=m"),
        "{all}"
    );
    let (reset, cookie) = send(&mine, &page, None, &[("rows", "s"), ("reset", "1")]).await;
    assert_eq!((reset, cookie.as_deref()), (list, Some("fieldpost-lists=")));
    central.stop().await;
}

async fn what_a_list_cannot_be_asked_for_is_said(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled_on(kind, directory.path()).await;
    for (query, words) in [
        ("columns=detail.color", "“color” is no column of this list"),
        (
            "type=session&session-columns=detail",
            "There are agent, prompt",
        ),
        ("rows=xl", "“xl” is nothing that rows= can be"),
        ("range=2h", "“2h” is no range"),
        ("tol=Bash", "“tol” is no filter of this list"),
    ] {
        let page = browser
            .get(&format!("{ENVIRONMENT}/observability?{query}"))
            .await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert!(page.body.contains(words), "{query}: {}", page.body);
        assert!(!page.body.contains("class=\"when\""), "{query} lists rows");
    }
    central.stop().await;
}

async fn a_list_that_was_opened_stays_open_however_it_looks(kind: Kind) {
    const PROMPT: &str = "Look at ticket FP-12";
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let body = request(&claude_session("ada@example.com", "s", 10)).to_string();
    central.post(&bearer, "logs", body).await;
    let admin = central.sign_in(Role::Admin).await;
    let list = format!("{ENVIRONMENT}/observability?session=s");
    let wide = format!("{ENVIRONMENT}/observability?q=session%3As&columns=detail.cost&wrap=1");
    let page = admin.get(&wide).await;
    assert!(!page.body.contains(PROMPT));
    let fields = [("list", wide.as_str()), ("reason", "incident 7")];
    let opened = admin.post(&format!("{ENVIRONMENT}/reveals"), &fields).await;
    assert_eq!(opened.header("location"), wide);
    for address in [
        wide.as_str(),
        &list,
        &format!("{list}&columns=detail&rows=s"),
    ] {
        let page = admin.get(address).await;
        assert!(page.body.contains(PROMPT), "{address}");
        assert!(!page.body.contains("name=\"reason\""), "{address}");
    }
    let other = admin
        .get(&format!("{list}&range=24h&columns=detail.cost&wrap=1"))
        .await;
    assert!(!other.body.contains(PROMPT), "other rows are not open");
    central.stop().await;
}

async fn values_are_searched_and_narrow_their_list(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let mut records = claude_session("ada@example.com", "s", 120);
    for (place, record) in records.iter_mut().enumerate() {
        if record.attributes.contains_key("tool_parameters") {
            record.attributes.remove("tool_parameters");
            record.attributes["tool_name"] = format!("tool \"{place:03}\"").into();
        }
    }
    central
        .post(&bearer, "logs", request(&records).to_string())
        .await;
    let browser = central.sign_in(Role::Viewer).await;
    let list = format!("{ENVIRONMENT}/observability");
    let page = browser.get(&format!("{list}?range=30d")).await;
    let all = values(&page.body, "class=\"all\" href=\"").remove(0);
    assert_eq!(all, format!("{list}/values?range=30d&of=tool"));
    let tool = page
        .body
        .split("<summary>Tool</summary>")
        .nth(1)
        .expect("the facet");
    let tool = tool.split("</details>").next().expect("its end");
    assert_eq!(tool.matches("class=\"only\"").count(), 10, "{tool}");
    let page = browser.get(&all).await;
    assert!(
        page.body.contains("<strong>48 values</strong>"),
        "{}",
        page.body
    );
    let found = browser.get(&format!("{all}&like=TOOL%20%22011")).await;
    let terms = values(&found.body, "<data value=\"");
    assert_eq!(terms.len(), 1, "{}", found.body);
    let only = values(&found.body, "class=\"only\" href=\"").remove(0);
    let narrowed = browser.get(&only).await;
    assert!(narrowed.body.contains("<strong>1 event</strong>"), "{only}");
    for (query, words) in [
        ("of=user", "<strong>0 values</strong>"),
        ("of=type&like=request", "<data value=\"type:api_request\">"),
        ("of=tool&like=nothing", "<strong>0 values</strong>"),
    ] {
        let page = browser.get(&format!("{list}/values?{query}")).await;
        assert!(page.body.contains(words), "{query}: {}", page.body);
    }
    for (query, status) in [
        ("of=color", StatusCode::NOT_FOUND),
        ("", StatusCode::NOT_FOUND),
        ("of=tool&tol=x", StatusCode::BAD_REQUEST),
        // What a role may not see it may not search.
        ("of=tool&q=ticket", StatusCode::FORBIDDEN),
    ] {
        let page = browser.request(Method::GET, &format!("{list}/values?{query}"));
        let status_of = page.send().await.expect("it answers").status();
        assert_eq!(status_of, status, "{query}");
    }
    central.stop().await;
}
