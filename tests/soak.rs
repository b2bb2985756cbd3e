//! kill -9 under load, again and again, with the service up, down, or at the end of a line that fails
//! at random: every acknowledged record arrives, and none twice.
//!
//! A short form runs every time; `tests/run --soak` runs a hundred kills.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;

use crate::support::fieldpost::{Pair, client};
use crate::support::random::Random;
use crate::support::records::{claude_session, request};
use crate::support::relay::{Fate, Relay};

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
    let is_flapping = Arc::new(AtomicBool::new(false));
    let flapping = Arc::clone(&is_flapping);
    let mut line = None;
    let lead = async |endpoint: String| {
        let fates = Random::new(7);
        let decide = move || match flapping.load(Ordering::Relaxed) {
            true => fate(fates.next()),
            false => Fate::Arrive,
        };
        let relay = line.insert(Relay::start(&endpoint, decide).await);
        relay.endpoint.clone()
    };
    let more = "timeout = \"2s\"\nmax_retry_wait = \"200ms\"\n";
    let Pair {
        mut central,
        mut edge,
        edge_port,
        api,
    } = Pair::start_through(data.path(), lead, more).await;

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(post_without_pause(number, edge_port, Arc::clone(&stop))))
        .collect();
    // Kills come at all distances, and after each the service may be up, away, or badly reached.
    let random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut central_is_up = true;
    let mut weathers = [0; 3];
    for kill in 0..kills() {
        tokio::time::sleep(Duration::from_millis(random.next() % 400)).await;
        edge.kill().await;
        // Each once, then by chance.
        let weather = if kill < 3 { kill } else { random.next() % 3 } as usize;
        weathers[weather] += 1;
        let is_away = weather == 1;
        is_flapping.store(weather == 2, Ordering::Relaxed);
        if is_away && central_is_up {
            central.kill().await;
        }
        if !is_away && !central_is_up {
            central.start_again().await;
        }
        central_is_up = !is_away;
        edge.start_again().await;
    }
    is_flapping.store(false, Ordering::Relaxed);
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
    // The service's own account says so, too: no number is missing. Those of appends that a kill cut short,
    // and that others were stored before, are accounted for.
    crate::support::eventually("the account of the machine to be whole", async || {
        let machines = api.list("machines").await;
        let [machine] = &machines[..] else {
            return None;
        };
        let dropped = machine["dropped"].as_array().expect("a list");
        let is_whole =
            machine["missing"] == 0 && dropped.iter().all(|dropped| dropped["reason"] == "refused");
        is_whole.then_some(())
    })
    .await;
    let [up, down, bad] = weathers;
    let line = line.expect("the line was laid");
    let again = line.arrived().values().filter(|times| **times > 1).count();
    println!(
        "{} kills, the service then up {up}, down {down}, badly reached {bad} times: {} records \
         acknowledged, {} stored, 0 missing, 0 twice; {again} had been sent more than once",
        kills(),
        acknowledged.len() * RECORDS,
        events.len(),
    );
}

/// What becomes of a request on a bad line.
fn fate(dice: u64) -> Fate {
    match dice % 8 {
        0 => Fate::AnswerLate(Duration::from_secs(3_600)),
        1 => Fate::Hang,
        2 | 3 => Fate::AnswerCut,
        4 | 5 => Fate::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        _ => Fate::Arrive,
    }
}
