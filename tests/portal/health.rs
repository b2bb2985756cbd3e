//! Whether records come as they should, by agent and by version of the client.

use fieldpost::central::store::Role;
use serde_json::json;

use crate::support::fieldpost::{Kind, TestCentral, on_both_databases};
use crate::support::records::{claude_session, request};

use super::ENVIRONMENT;

on_both_databases! {
    an_owner_is_asserted_by_the_client_and_observed_by_the_edge,
    an_agent_says_what_does_not_come_and_by_which_way,
}

async fn an_agent_says_what_does_not_come_and_by_which_way(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let mut with_prompts = claude_session("ada@example.com", "whole", 10);
    for (seq, record) in (1..).zip(&mut with_prompts) {
        let attributes = &mut record.attributes;
        attributes.insert("fieldpost.edge.id".to_owned(), json!("edge-1"));
        attributes.insert("host.name".to_owned(), json!("ada-laptop"));
        attributes.insert("fieldpost.edge.seq".to_owned(), json!(seq));
    }
    let mut without = claude_session("joan@example.com", "broken", 10);
    without.retain(|record| record.body != "claude_code.user_prompt");
    for (records, version) in [(&with_prompts, "2.1.197"), (&without, "2.1.220")] {
        let body = request(records).to_string().replace("2.1.197", version);
        central.post(&bearer, "logs", body).await;
    }
    let viewer = central.sign_in(Role::Viewer).await;
    let api = central.api().await;
    let id = async |name: &str| {
        let found = api.list(&format!("agents?text={name}")).await;
        found[0]["id"].as_str().expect("an id").to_owned()
    };
    let (ada, joan) = (id("ada").await, id("joan").await);
    let tab = async |agent: &str, tab: &str| {
        let path = format!("{ENVIRONMENT}/inventory/agents/{agent}/{tab}");
        viewer.get(&path).await.body
    };
    let of_ada = tab(&ada, "health").await;
    assert!(!of_ada.contains("no prompt is sent"), "{of_ada}");
    assert!(of_ada.contains("ada-laptop") && of_ada.contains("10 appended, 10 stored"));
    assert!(of_ada.contains("none known"));
    let of_joan = tab(&joan, "health").await;
    assert!(of_joan.contains("no prompt is sent"), "{of_joan}");
    assert!(of_joan.contains("direct: nothing numbers these records"));
    assert!(of_joan.contains("sends no prompts (user_prompt)"));
    let health = api.get(&format!("agents/{joan}/health")).await;
    assert_eq!(health["machines"][0]["machine_id"], json!(null));
    assert_eq!(health["versions"][0]["version"], "2.1.220");
    assert_eq!(api.request("agents/none/health").await.status(), 404);

    let machine = viewer
        .get(&format!("{ENVIRONMENT}/inventory/machines/edge-1"))
        .await;
    assert!(machine.body.contains("Cowork/ada"), "{}", machine.body);
    let agents = api.list("machines/edge-1/agents").await;
    assert_eq!(agents.len(), 1);
    assert_eq!(
        (&agents[0]["agent_id"], &agents[0]["session_count"]),
        (&json!(ada), &json!(1))
    );
    assert_eq!(api.request("machines/none/agents").await.status(), 404);

    let events = tab(&ada, "audit-logs").await;
    assert!(
        events.contains("with content hidden by your role"),
        "{events}"
    );
    let overview = tab(&ada, "overview").await;
    for said in [
        "<span class=\"figure\">10</span><span class=\"note\">Events</span>",
        "/sessions/whole",
    ] {
        assert!(overview.contains(said), "{said}: {overview}");
    }
    assert!(
        !overview.contains("Look at ticket"),
        "a viewer sees no content"
    );

    // The defect shows wherever the version does.
    let defect = "sends no prompts (user_prompt)";
    for path in [
        "inventory/versions",
        "inventory/agents",
        "sessions/broken",
        "inventory/agents?version=2.1.220",
    ] {
        let page = viewer.get(&format!("{ENVIRONMENT}/{path}")).await.body;
        assert!(page.contains(defect), "{path}: {page}");
    }
    let whole = viewer.get(&format!("{ENVIRONMENT}/sessions/whole")).await;
    assert!(!whole.body.contains(defect));
    let versions = api.list("versions").await;
    let defects: Vec<usize> = versions
        .iter()
        .map(|it| it["defects"].as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(versions.len(), 2);
    assert_eq!(defects.iter().sum::<usize>(), 1, "{versions:?}");
    central.stop().await;
}

async fn an_owner_is_asserted_by_the_client_and_observed_by_the_edge(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    for (who, session, edge, owner) in [
        ("ada", "s-1", Some("edge-1"), "ada"),
        ("joan", "s-2", Some("edge-1"), "root"),
        ("grace", "s-3", None, "root"),
    ] {
        let mut records = claude_session(&format!("{who}@example.com"), session, 5);
        for (seq, record) in (1..).zip(&mut records) {
            let attributes = &mut record.attributes;
            attributes.insert("process.owner".to_owned(), json!(owner));
            if let Some(edge) = edge {
                attributes.insert("fieldpost.edge.id".to_owned(), json!(edge));
                attributes.insert("fieldpost.edge.seq".to_owned(), json!(seq));
            }
        }
        central
            .post(&bearer, "logs", request(&records).to_string())
            .await;
    }
    let (api, viewer) = (central.api().await, central.sign_in(Role::Viewer).await);
    let mark = "not the name of the e-mail";
    for (who, basis, differs) in [
        ("ada", "observed", false),
        ("joan", "observed", true),
        ("grace", "asserted", false),
    ] {
        let found = api.list(&format!("agents?text={who}")).await.remove(0);
        let id = found["id"].as_str().expect("an id");
        let agent = api.get(&format!("agents/{id}")).await;
        let identities = agent["identities"].as_array().expect("identities").iter();
        let of = |key: &str| identities.clone().find(|it| it["key"] == key).expect("one");
        assert_eq!(of("user.email")["basis"], "asserted");
        let owner = of("process.owner");
        assert_eq!(
            (&owner["basis"], &owner["differs"]),
            (&json!(basis), &json!(differs)),
            "{who}"
        );
        let page = viewer
            .get(&format!("{ENVIRONMENT}/inventory/agents/{id}/owner"))
            .await
            .body;
        assert_eq!(page.contains(mark), differs, "{who}: {page}");
        assert!(page.contains(&format!("<span>{basis}</span>")), "{who}");
    }
    central.stop().await;
}
