//! Exporters that nobody here wrote, through the edge and straight to the central service.

use std::collections::BTreeSet;

use crate::support::clients::{Encoding, Export, javascript, python};
use crate::support::fieldpost::{TestCentral, TestEdge, folder};
use crate::support::records::claude_session;
use crate::support::rust_exporter;

/// Records that each exporter sends.
const RECORDS: usize = 10;

/// Sends one session with every exporter, plain and gzipped; the sessions' names.
async fn export_with_all(endpoint: &str, authorization: Option<&str>) -> BTreeSet<String> {
    let mut sessions = BTreeSet::new();
    for gzip in [false, true] {
        let export = Export {
            endpoint,
            authorization,
            gzip,
        };
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let session = format!("javascript {encoding:?} {gzip}").replace(' ', "-");
            let records = claude_session("js@example.com", &session, RECORDS);
            javascript(&export, encoding, &records)
                .await
                .expect_success();
            sessions.insert(session);

            let session = format!("rust {encoding:?} {gzip}").replace(' ', "-");
            let records = claude_session("rust@example.com", &session, RECORDS);
            rust_exporter::export(&export, encoding, &records)
                .await
                .expect("the export succeeds");
            sessions.insert(session);
        }
        let session = format!("python-{gzip}");
        let records = claude_session("python@example.com", &session, RECORDS);
        python(&export, &records).await.expect_success();
        sessions.insert(session);
    }
    sessions
}

#[tokio::test(flavor = "multi_thread")]
async fn other_exporters_arrive_through_the_edge() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(&folder(data.path(), "central")).await;
    let installation = central.install().await;
    let edge_folder = folder(data.path(), "edge");
    let token = installation.authorization_header;
    let edge = TestEdge::start(&edge_folder, &installation.endpoint, Some(&token)).await;
    let sessions = export_with_all(&edge.logs(), None).await;
    arrived(&central, &sessions).await;
    edge.stop().await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_exporters_arrive_without_an_edge() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(data.path()).await;
    let installation = central.install().await;
    let token = installation.authorization_header;
    let sessions = export_with_all(&installation.endpoint, Some(&token)).await;
    arrived(&central, &sessions).await;
    central.stop().await;
}

/// Every session is there, whole, with what its records say.
async fn arrived(central: &TestCentral, sessions: &BTreeSet<String>) {
    let api = central.api().await;
    for session in sessions {
        let events = api
            .wait_for_events(&format!("events?session={session}"), RECORDS)
            .await;
        assert!(
            events
                .iter()
                .any(|event| event["attributes"]["prompt"] == "Look at ticket FP-12")
        );
    }
    assert_eq!(&api.column("sessions", "id").await, sessions);
    let names = api.column("agents", "name").await;
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        api.column("entities?kind=mcp_tool", "name")
            .await
            .contains("tickets:lookup_ticket")
    );
}
