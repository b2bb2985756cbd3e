//! kill -9 under load, again and again: every acknowledged record arrives, and none twice.
//!
//! A short form runs every time; `tests/run --soak` runs a hundred kills.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::support::fieldpost::{Pair, client};
use crate::support::records::{claude_session, request};

/// Kills of the edge in the short form.
const SHORT: u64 = 4;

/// Clients that post without pause.
const CLIENTS: usize = 3;

/// Records in each request.
const RECORDS: usize = 4;

/// How many kills were asked for.
fn kills() -> u64 {
    match std::env::var("FIELDPOST_SOAK_KILLS") {
        Ok(number) => number.parse().expect("FIELDPOST_SOAK_KILLS is a number"),
        Err(_) => SHORT,
    }
}

/// Posts one new session after the other until told to stop; the sessions that were acknowledged.
async fn post_without_pause(number: usize, port: u16, stop: Arc<AtomicBool>) -> BTreeSet<String> {
    let client = client();
    let mut acknowledged = BTreeSet::new();
    for request_number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let session = format!("client-{number}-request-{request_number}");
        let body = request(&claude_session("ada@example.com", &session, RECORDS)).to_string();
        let answer = client
            .post(format!("http://127.0.0.1:{port}/v1/logs"))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        match answer {
            Ok(answer) if answer.status().is_success() => {
                acknowledged.insert(session);
            }
            // The edge is down just now: a client would lose this batch, and nobody told it otherwise.
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the long form tells its figures")]
async fn every_acknowledged_record_survives_kill_9_under_load() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let Pair {
        mut central,
        mut edge,
        edge_port,
        api,
    } = Pair::start(data.path()).await;

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(post_without_pause(number, edge_port, Arc::clone(&stop))))
        .collect();
    // Kills come at all distances; every third time the service goes as well, and stays away for one
    // round.
    let random = Mutex::new(0x9e37_79b9_7f4a_7c15_u64);
    let mut central_is_up = true;
    for kill in 0..kills() {
        let wait = {
            let mut state = random.lock().await;
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (*state >> 33) % 400
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        if kill % 3 == 1 {
            central.kill().await;
            central_is_up = false;
        }
        edge.kill().await;
        edge.start_again().await;
        if kill % 3 == 2 && !central_is_up {
            central.start_again().await;
            central_is_up = true;
        }
    }
    if !central_is_up {
        central.start_again().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    for client in clients {
        acknowledged.append(&mut client.await.expect("a client ends"));
    }
    // Records may also have arrived whose acknowledgement the kill cut off: more is right, less is not.
    edge.kill().await;
    edge.start_again().await;

    let arrived = crate::support::eventually("every acknowledged session", async || {
        let sessions = api.list("sessions?limit=1000").await;
        let arrived: BTreeSet<String> = sessions
            .iter()
            .filter_map(|session| session["id"].as_str().map(str::to_owned))
            .collect();
        let counts = sessions
            .iter()
            .all(|session| session["event_count"] == RECORDS);
        (counts && acknowledged.is_subset(&arrived)).then_some(sessions)
    })
    .await;
    let events = api.list("events?limit=1000").await;
    assert_eq!(
        events.len(),
        arrived.len() * RECORDS,
        "nothing is there twice"
    );
    let identities: BTreeSet<&str> = events
        .iter()
        .filter_map(|event| event["id"].as_str())
        .collect();
    assert_eq!(identities.len(), events.len());
    println!(
        "{} kills: {} records acknowledged, {} stored, 0 missing, 0 twice",
        kills(),
        acknowledged.len() * RECORDS,
        events.len()
    );
}
