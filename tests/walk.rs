//! Walks every address of the service for what none of them may forget: content leaves by no way for whom it
//! is hidden, and no form is taken without its session's token. The addresses are read from the routers, so
//! that a new one is walked from its first day on.

use std::path::Path;

use fieldpost::central::config::Config;
use fieldpost::central::store::Role;
use reqwest::{Method, RequestBuilder, StatusCode};

use crate::access::addresses;
use crate::people::with_secrets;
use crate::support::browser::{Browser, Page};
use crate::support::fieldpost::{Kind, TestCentral, on_both_databases};

on_both_databases! {
    content_leaves_by_no_way_for_whom_it_is_hidden,
    no_form_is_taken_without_its_sessions_token,
}

/// What is asked of every page and list: as it is; what its forms and links add; and a search for a text that
/// was sent, and for one that was not.
const QUESTIONS: [&str; 7] = [
    "",
    "type=session",
    "type=user_message",
    "event=EVENT",
    "q=MARK",
    "text=MARK",
    "find=MARK",
];

const SENT: &str = "SECRET-1";
const NEVER_SENT: &str = "SECRET-0";

/// A service that takes as many requests as a walk makes.
async fn start(kind: Kind, directory: &Path) -> TestCentral {
    let config = Config {
        database: kind.location(),
        api_requests_per_second: 1_000_000,
        ..Config::default()
    };
    TestCentral::start_with(directory, config).await
}

/// Every address of the environment, with what it takes filled in.
async fn filled_in(central: &TestCentral) -> Vec<(Method, String)> {
    let api = central.api().await;
    let first = async |list: &str| {
        let items = api.list(list).await;
        items[0]["id"].as_str().expect("an id").to_owned()
    };
    let (agent, token) = (first("agents").await, first("tokens").await);
    let event = first("events").await;
    let messages = [
        ("metrics", first("metrics/messages").await),
        ("traces", first("traces").await),
    ];
    let mut ways = vec![(Method::GET, "/t/default/default/".to_owned())];
    for (method, address) in addresses(central).await {
        let address = address
            .replace("TENANT", "default")
            .replace("{agent}", &agent)
            .replace("{session}", "s-1")
            .replace("{event}", &event)
            .replace("{token}", &token)
            .replace("{machine}", "machine-a")
            .replace("{name}", "Bash");
        let of_kind = ["tools", "mcp-tools", "models", "directories"].map(|kind| {
            let address = address.replace("{kind}", kind).replace("{list}", kind);
            address.replace("{id}", &event)
        });
        let of_id = [&agent, "s-1"].map(|id| address.replace("{id}", id));
        let of_signal = messages.iter().map(|(signal, message)| {
            let address = address.replace("{signal}", signal);
            address
                .replace("{message}", message)
                .replace("{id}", message)
        });
        let of_list = ["people", "keys"].map(|list| address.replace("{list}", list));
        for way in of_kind
            .into_iter()
            .chain(of_id)
            .chain(of_signal)
            .chain(of_list)
        {
            let way = (method.clone(), way);
            if !way.1.contains('{') && !ways.contains(&way) {
                ways.push(way);
            }
        }
    }
    assert!(ways.len() > 60, "{}", ways.len());
    ways
}

/// An answer as far as it comes: of a live stream its first piece, of an export that is broken off what came
/// before.
async fn read(request: RequestBuilder, path: &str) -> Page {
    let mut answer = request.send().await.expect("the portal answers");
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        body.extend_from_slice(&piece);
        if path.contains("/live") {
            break;
        }
    }
    Page {
        status: answer.status(),
        headers: answer.headers().clone(),
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// Every way on which records could leave: pages, panels, lists, counts and searches, and exports.
async fn ask(
    browser: &Browser,
    token: &str,
    (method, path): &(Method, String),
    question: &str,
) -> Option<Page> {
    if *method == Method::GET {
        let since = if path.contains("/live") {
            "since=0&"
        } else {
            ""
        };
        let path = format!("{path}?{since}{question}");
        return Some(read(browser.request(Method::GET, &path), &path).await);
    }
    let is_export = path.contains("/export") && *method == Method::POST;
    if !is_export {
        return None;
    }
    let mut all = None;
    for format in ["csv", "ndjson", "json", "markdown"] {
        let request = browser
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("csrf={token}&format={format}&{question}"));
        let page = read(request, path).await;
        match &mut all {
            None => all = Some(page),
            Some(Page { body, .. }) => body.push_str(&page.body),
        }
    }
    all
}

async fn content_leaves_by_no_way_for_whom_it_is_hidden(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = start(kind, directory.path()).await;
    with_secrets(&central).await;
    let ways = filled_in(&central).await;
    let event = central.api().await.list("events").await[0]["id"].clone();
    let event = event.as_str().expect("an id");
    let mut people = Vec::new();
    for role in [Role::Owner, Role::Admin, Role::Viewer] {
        let browser = central.sign_in(role).await;
        let token = browser.form_token().await;
        people.push((role, browser, token));
    }
    let (mut shown, mut hidden) = (0, 0);
    for way in &ways {
        for question in QUESTIONS {
            let question = question.replace("EVENT", event);
            for (role, browser, token) in &people {
                let told = format!("{role:?} {} {}?{question}", way.0, way.1);
                let sent = question.replace("MARK", SENT);
                let Some(page) = ask(browser, token, way, &sent).await else {
                    continue;
                };
                assert_ne!(page.status, StatusCode::INTERNAL_SERVER_ERROR, "{told}");
                let body = without_questions(&page.body, &sent);
                if *role == Role::Owner {
                    shown += usize::from(body.contains("SECRET"));
                    continue;
                }
                hidden += 1;
                let never = question.replace("MARK", NEVER_SENT);
                // The audit tells what was asked in exports, and grows by being exported itself.
                if never == sent || way.1.contains("/settings/audit") {
                    assert!(!body.contains("SECRET"), "{told}\n{body}");
                    continue;
                }
                // Whether a text is there shows in no search: the answers differ in nothing but digits.
                let other = ask(browser, token, way, &never).await.expect("an answer");
                assert_eq!(page.status, other.status, "{told}");
                let [page, other] = [&page.body, &other.body].map(|body| without_digits(body));
                assert_eq!(page, other, "{told}");
            }
        }
    }
    assert!(shown > 30, "an owner sees content: {shown}");
    assert!(hidden > 400, "{hidden}");
    central.stop().await;
}

/// An answer without what was asked for, which stands in it again and says nothing.
fn without_questions(body: &str, sent: &str) -> String {
    let mut body = body.replace(sent, "");
    for parameter in ["q", "text", "find"] {
        for mark in [SENT, NEVER_SENT] {
            for within in ["", "text%3A"] {
                body = body.replace(&format!("{parameter}={within}{mark}"), "");
            }
        }
    }
    body.replace("SECRET-1\"", "\"").replace(">SECRET-1<", "><")
}

fn without_digits(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect()
}

async fn no_form_is_taken_without_its_sessions_token(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = start(kind, directory.path()).await;
    with_secrets(&central).await;
    let owner = central.sign_in(Role::Owner).await;
    let other = central.sign_in(Role::Owner).await.form_token().await;
    let own = owner.form_token().await;
    let mut ways = filled_in(&central).await;
    ways.retain(|(method, _)| *method != Method::GET);
    ways.extend(
        [
            "/sign-out",
            "/sign-out/everywhere",
            "/preferences",
            "/preferences/lists",
        ]
        .map(|path| (Method::POST, path.to_owned())),
    );
    assert!(ways.len() > 25, "{}", ways.len());
    for (method, path) in &ways {
        for (site, token) in [
            ("same-origin", ""),
            ("same-origin", other.as_str()),
            ("cross-site", own.as_str()),
        ] {
            // The API has no forms, and its browsers no way to send its header from elsewhere.
            let is_api = path.starts_with("/api/");
            if is_api && site == "cross-site" {
                continue;
            }
            let mut request = owner
                .request(method.clone(), path)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("fieldpost-form-token", token)
                .body(format!("csrf={token}"))
                .build()
                .expect("a request");
            let site = site.parse().expect("a value");
            request.headers_mut().insert("sec-fetch-site", site);
            let answer = crate::support::browser::plain_client()
                .execute(request)
                .await;
            let status = answer.expect("the portal answers").status();
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path} {token}");
        }
    }
    let still = owner.get("/t/default/default/").await;
    assert_eq!(still.status, StatusCode::OK, "nobody was signed out");
    central.stop().await;
}
