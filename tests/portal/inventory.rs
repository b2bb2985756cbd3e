//! Lists of the inventory: each is narrowed, counted, sorted and taken away alike on its page, in its export
//! and in the API.

use fieldpost::central::store::Role;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::browser::Browser;
use crate::support::fieldpost::{Kind, TestCentral, on_both_databases};
use crate::support::records::{Record, claude_session, request};

use super::ENVIRONMENT;

on_both_databases! {
    every_filter_and_order_is_the_same_on_the_page_in_the_export_and_in_the_api,
    an_agent_says_whether_its_records_are_all_here,
    what_cannot_be_a_filter_is_refused,
    what_has_no_name_or_no_prompt_says_so,
}

/// Three people: two whose clients are known by e-mail, and one whose is not; one of them by an edge.
async fn filled(kind: Kind, directory: &std::path::Path) -> (TestCentral, Api, Browser) {
    let central = TestCentral::start_on(kind, directory).await;
    let bearer = central.install().await.authorization_header;
    let mut by_edge = claude_session("ada@example.com", "s-ada", 10);
    numbered(&mut by_edge, "edge-1", 1..11);
    let mut refused = claude_session("élodie@other.example", "s-elodie", 5);
    refused[1]
        .attributes
        .insert("decision".to_owned(), json!("reject"));
    refused[3]
        .attributes
        .insert("model".to_owned(), json!("claude-opus-4-8"));
    let mut nobody = claude_session("x", "s-nobody", 5);
    for record in &mut nobody {
        record.attributes.remove("user.email");
    }
    for (records, version) in [
        (&by_edge, "2.1.197"),
        (&refused, "2.1.220"),
        (&nobody, "2.1.197"),
    ] {
        let body = request(records).to_string().replace("2.1.197", version);
        central.post(&bearer, "logs", body).await;
    }
    let api = central.api().await;
    let viewer = central.sign_in(Role::Viewer).await;
    (central, api, viewer)
}

/// Records as an edge numbers them.
fn numbered(records: &mut [Record], edge: &str, numbers: impl Iterator<Item = i64>) {
    for (seq, record) in numbers.zip(records) {
        let attributes = &mut record.attributes;
        attributes.insert("fieldpost.edge.id".to_owned(), json!(edge));
        attributes.insert("fieldpost.edge.seq".to_owned(), json!(seq));
    }
}

/// A list: its page, its export, what the API calls it, and the parameters that it always has there.
struct List {
    page: String,
    export: String,
    api: String,
    facets: Option<&'static str>,
    always: String,
}

impl List {
    fn of(segment: &str, api: &str, facets: &'static str, always: &str) -> List {
        List {
            page: format!("{ENVIRONMENT}/inventory/{segment}"),
            export: format!("{ENVIRONMENT}/exports/{segment}"),
            api: api.to_owned(),
            facets: Some(facets),
            always: always.to_owned(),
        }
    }

    /// The address in the API with these parameters, each with a `&` before it.
    fn address(&self, pairs: &str) -> String {
        format!("{}?{}{pairs}", self.api, self.always)
    }

    /// The rows of the API, of the export, and how many the page counts.
    async fn check(&self, api: &Api, viewer: &Browser, pairs: &str) -> Vec<Value> {
        let listed = api.list(&self.address(pairs)).await;
        let exported = viewer.request(reqwest::Method::POST, &self.export);
        let csrf = viewer.form_token().await;
        let exported = exported
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("format=ndjson&csrf={csrf}{pairs}"));
        let exported = exported.send().await.expect("an answer");
        assert_eq!(exported.status(), 200, "{}{pairs}", self.export);
        let exported = exported.text().await.expect("a text");
        let mut exported: Vec<Value> = exported
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let manifest = exported.pop().expect("a manifest");
        assert_eq!(manifest["manifest"]["rows"], listed.len());
        // The API adds what is known of a version; an export of it is the rest.
        let without_defects = listed.iter().cloned().map(|mut row| {
            row.as_object_mut().expect("an object").remove("defects");
            row
        });
        let without_defects: Vec<Value> = without_defects.collect();
        assert_eq!(exported, without_defects, "{}{pairs}", self.export);
        let page = viewer
            .get(&format!("{}?{}", self.page, &pairs[1.min(pairs.len())..]))
            .await;
        assert_eq!(page.status, 200, "{}{pairs}: {}", self.page, page.body);
        let rows = page.body.matches("<th scope=\"row\">").count();
        assert!(
            rows >= listed.len(),
            "{}{pairs}: {rows}\n{}",
            self.page,
            page.body
        );
        assert!(
            page.body.contains(&format!("<strong>{} ", listed.len())),
            "{}{pairs} counts {}\n{}",
            self.page,
            listed.len(),
            page.body
        );
        listed
    }
}

async fn every_filter_and_order_is_the_same_on_the_page_in_the_export_and_in_the_api(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api, viewer) = filled(kind, directory.path()).await;
    let ada = api.list("agents?text=ada").await.remove(0);
    let ada = ada["id"].as_str().expect("an id");
    let of_agent = format!("{ENVIRONMENT}/inventory/agents/{ada}/entities");
    let of_tool = format!("{ENVIRONMENT}/inventory/mcp-tools/tickets%3Alookup_ticket");
    let lists = [
        List::of("agents", "agents", "agents/facets", ""),
        List::of("owners", "owners", "owners/facets", ""),
        List::of("mcp-tools", "entities", "entities/facets", "kind=mcp_tool"),
        List::of("models", "entities", "entities/facets", "kind=model"),
        List {
            facets: None,
            ..List::of("versions", "versions", "", "")
        },
        List::of("machines", "machines", "machines/facets", ""),
        List {
            page: format!("{ENVIRONMENT}/integrations/claude-cowork/tokens"),
            ..List::of("tokens", "tokens", "tokens/facets", "")
        },
        List {
            page: of_agent.clone(),
            export: format!("{of_agent}/export"),
            api: format!("agents/{ada}/entities"),
            facets: None,
            always: String::new(),
        },
        List {
            page: of_tool.clone(),
            export: format!("{of_tool}/export"),
            api: "entity/users".to_owned(),
            facets: None,
            always: "kind=mcp_tool&name=tickets%3Alookup_ticket".to_owned(),
        },
    ];
    let document = api.get("openapi.json").await;
    for list in &lists {
        // MCP tools stand by their servers on the page unless they are sorted.
        let all = list.check(&api, &viewer, "&sort=").await;
        assert!(!all.is_empty(), "{}", list.page);
        let path = format!("/{}", list.api.replace(ada, "{id}"));
        let parameters = document["paths"][&path]["get"]["parameters"].as_array();
        let sorts = parameters.expect("parameters").iter();
        let mut sorts = sorts.filter(|it| it["name"] == "sort");
        let sorts = sorts.next().expect("an order")["schema"]["enum"].as_array();
        let sorts = sorts.expect("orders");
        assert!(sorts.len() >= 8);
        for sort in sorts {
            let sort = format!("&sort={}", sort.as_str().expect("a name"));
            let sorted = list.check(&api, &viewer, &sort).await;
            let paged = api.list(&list.address(&format!("{sort}&limit=1"))).await;
            assert_eq!(sorted, paged, "{}{sort}", list.api);
            assert_eq!(sorted.len(), all.len());
        }
        let Some(facets) = list.facets else {
            continue;
        };
        let facets = api.get(&format!("{facets}?{}", list.always)).await;
        assert_eq!(facets["row_count"], all.len());
        for facet in facets["facets"].as_array().expect("facets") {
            let name = facet["name"].as_str().expect("a name");
            for value in facet["values"].as_array().expect("values") {
                if name == "kind" {
                    continue;
                }
                let rows = value["row_count"].as_u64().expect("a count") as usize;
                let value = value["value"].as_str().expect("a value");
                let value = crate::support::browser::encoded(value);
                let with = list.check(&api, &viewer, &format!("&{name}={value}")).await;
                let rest = list
                    .check(&api, &viewer, &format!("&-{name}={value}"))
                    .await;
                assert_eq!(
                    (with.len(), with.len() + rest.len()),
                    (rows, all.len()),
                    "{name}={value}"
                );
            }
        }
    }
    let names = [
        "activity", "records", "known", "model", "tool", "mcp", "version",
    ];
    let facets = api.get("agents/facets").await;
    for name in names {
        let facet = facets["facets"].as_array().expect("facets").iter();
        let mut facet = facet.filter(|facet| facet["name"] == name);
        let values = &facet.next().expect(name)["values"];
        assert!(values.as_array().is_some_and(|it| !it.is_empty()), "{name}");
    }
    let found = api.list("agents?text=%C3%89LO&known=e-mail").await;
    assert_eq!(found.len(), 1, "capitals or not, whatever the alphabet");
    assert_eq!(found[0]["user_email"], "élodie@other.example");
    central.stop().await;
}

async fn an_agent_says_whether_its_records_are_all_here(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api, viewer) = filled(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let mut with_a_gap = claude_session("joan@example.com", "s-joan", 5);
    numbered(&mut with_a_gap, "edge-2", [1, 2, 5, 6, 7].into_iter());
    central
        .post(&bearer, "logs", request(&with_a_gap).to_string())
        .await;
    for (who, completeness, word) in [
        ("ada", "complete", "complete"),
        ("élodie", "not_numbered", "not numbered"),
        ("joan", "missing", "missing"),
    ] {
        let who = crate::support::browser::encoded(who);
        let agent = api.list(&format!("agents?text={who}")).await.remove(0);
        assert_eq!(agent["completeness"], completeness, "{who}");
        assert_eq!(agent["session_count_7d"], 1);
        let facet = crate::support::browser::encoded(word);
        let alike = api.list(&format!("agents?records={facet}")).await;
        assert!(alike.contains(&agent), "{who}: {alike:?}");
        assert_eq!(agent["cost_usd_30d"], agent["cost_usd"]);
        let page = viewer
            .get(&format!("{ENVIRONMENT}/inventory/agents?text={who}"))
            .await;
        assert!(
            page.body.contains(&format!("<span>{word}</span>")),
            "{who}: {}",
            page.body
        );
    }
    central.stop().await;
}

async fn what_cannot_be_a_filter_is_refused(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api, viewer) = filled(kind, directory.path()).await;
    for address in [
        "agents?sort=color",
        "agents?modle=x",
        "agents?q=ada",
        "agents?known=x",
        "agents?model=a&model=b",
        "agents?cursor=x",
        "agents/facets?sort=name",
        "entities?kind=x",
        "entity/users?kind=tool",
    ] {
        let answer = api.request(address).await;
        assert_eq!(answer.status(), 400, "{address}");
        let problem = answer.text().await.expect("a text");
        let problem: Value = serde_json::from_str(&problem).expect("JSON");
        assert!(
            problem["detail"].as_str().is_some_and(|it| it.len() > 20),
            "{problem}"
        );
    }
    for address in ["agents?sort=color", "agents?known=x", "agents?after=x"] {
        let page = viewer
            .get(&format!("{ENVIRONMENT}/inventory/{address}"))
            .await;
        assert_eq!(page.status, 400, "{address}");
    }
    // A cursor belongs to its order.
    let page = api.get("agents?sort=name&limit=1").await;
    let cursor = page["next_cursor"].as_str().expect("more than one");
    let other = api
        .request(&format!("agents?sort=owner&limit=1&cursor={cursor}"))
        .await;
    assert_eq!(other.status(), 400);
    central.stop().await;
}

async fn what_has_no_name_or_no_prompt_says_so(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api, viewer) = filled(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let mut records = claude_session("new@example.com", "s-new", 1);
    records[0].body = "claude_code.managed_settings_resolved".to_owned();
    let attributes = &mut records[0].attributes;
    attributes.insert("event.name".to_owned(), json!("managed_settings_resolved"));
    attributes.remove("prompt");
    let mut unnamed = claude_session("ada@example.com", "s-ada", 1);
    unnamed[0].body = "claude_code.tool_result".to_owned();
    let attributes = &mut unnamed[0].attributes;
    attributes.insert("event.name".to_owned(), json!("tool_result"));
    attributes.insert("tool_name".to_owned(), json!("mcp_tool"));
    records.extend(unnamed);
    let body = request(&records).to_string();
    central.post(&bearer, "logs", body).await;
    for (who, is_new) in [("new", true), ("ada", false)] {
        let agent = api.list(&format!("agents?text={who}")).await.remove(0);
        let agent = agent["id"].as_str().expect("an id");
        let page = format!("{ENVIRONMENT}/inventory/agents/{agent}/overview");
        let page = viewer.get(&page).await.body;
        assert_eq!(page.contains("No prompt yet"), is_new, "{who}: {page}");
    }
    for (tool, is_unnamed) in [("mcp_tool", true), ("tickets%3Alookup_ticket", false)] {
        let page = format!("{ENVIRONMENT}/inventory/mcp-tools/{tool}");
        let page = viewer.get(&page).await.body;
        let says = page.contains("OTEL_LOG_TOOL_DETAILS was off");
        assert_eq!(says, is_unnamed, "{tool}: {page}");
    }
    let list = format!("{ENVIRONMENT}/inventory/mcp-tools");
    assert!(
        viewer
            .get(&list)
            .await
            .body
            .contains("OTEL_LOG_TOOL_DETAILS was off")
    );
    central.stop().await;
}
