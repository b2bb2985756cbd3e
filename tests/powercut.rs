//! The power is cut under load: what was acknowledged is on the disk, or with the upstream.
//!
//! The cut is simulated (`support/powercut.rs` says how, and why so). One run of the daemon gives a journal
//! of all that it did to its disk; every moment of it is one on which the power can go. A short form runs
//! every time; `tests/run --soak` cuts a hundred times.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use fieldpost::edge::queue::{Limits, Queue};
use serde_json::json;
use tempfile::TempDir;

use crate::support::fieldpost::{Service, client, edge_config, folder, free_port};
use crate::support::powercut::{Disk, environment};
use crate::support::preload::Preload;
use crate::support::queue::{blobs, logs, next, redacted};
use crate::support::random::Random;
use crate::support::records::{Record, claude_session, request};
use crate::support::upstream::{Received, Upstream, attribute};

/// Clients that post without pause.
const CLIENTS: u64 = 3;

/// Requests of each client in one run.
const REQUESTS: u64 = 40;

/// Cuts of one run.
const CUTS: u64 = 10;

/// Runs in the short form, one for each upstream.
const SHORT: u64 = 3;

/// How the upstream is during a run.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Down,
    Up,
    Flapping,
}

/// Ids of records, and how long the journal was when they were seen.
type Seen = Arc<Mutex<Vec<(BTreeSet<String>, u64)>>>;

fn runs() -> u64 {
    match std::env::var("FIELDPOST_SOAK_POWER_CUTS") {
        Ok(number) => {
            let cuts: u64 = number
                .parse()
                .expect("FIELDPOST_SOAK_POWER_CUTS is a number");
            cuts.div_ceil(CUTS)
        }
        Err(_) => SHORT,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the long form tells its figures")]
async fn every_acknowledged_record_survives_a_power_cut() {
    let preload = Preload::build("powercut/journal.c").await;
    let (mut acknowledged, mut cuts) = (0, 0);
    for run in 0..runs() {
        let weather = [Weather::Down, Weather::Flapping, Weather::Up][run as usize % 3];
        let (records, of_run) = cut_one_run(&preload, weather, run).await;
        acknowledged += records;
        cuts += of_run;
    }
    println!("{cuts} power cuts: {acknowledged} records acknowledged before them, 0 missing");
}

/// Records acknowledged before the cuts, and the cuts.
async fn cut_one_run(preload: &Preload, weather: Weather, seed: u64) -> (usize, u64) {
    let data = TempDir::new().expect("a temporary directory");
    // As the daemon will name it.
    let data_folder = data.path().canonicalize().expect("it is there");
    let root = folder(&data_folder, "queue");
    let journal = data_folder.join("journal");
    let (acknowledged, delivered) = (Seen::default(), Seen::default());
    let upstream = upstream(weather, seed, &journal, &delivered).await;

    let port = free_port();
    let config = edge_config(&data_folder, &upstream.endpoint, None, port);
    let environment = environment(preload, &journal, &root);
    let mut edge = Service::start_in("edge", &data_folder, &config, port, &environment).await;
    let clients = (0..CLIENTS).map(|client| {
        let (journal, acknowledged) = (journal.clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move { post(client, port, &journal, &acknowledged).await })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("a client ends");
    }
    edge.kill().await;

    let journal = fs::read(&journal).expect("the daemon wrote it");
    let acknowledged = acknowledged.lock().expect("nobody panics").clone();
    let delivered = delivered.lock().expect("nobody panics").clone();
    let chance = Random::new(seed);
    let mut before_the_cuts = 0;
    for cut in 0..CUTS {
        // Half of them right when an acknowledgement went out: then nothing may be late.
        let moment = if cut % 2 == 0 {
            acknowledged[chance.next() as usize % acknowledged.len()].1
        } else {
            chance.next() % (journal.len() as u64 + 1)
        };
        let found = TempDir::new().expect("a temporary directory");
        Disk::after(&journal[..moment as usize]).cut(&root, found.path(), &chance);
        let by_then = |seen: &[(BTreeSet<String>, u64)]| -> BTreeSet<String> {
            let seen = seen.iter().filter(|(_, at)| *at <= moment);
            seen.flat_map(|(ids, _)| ids.clone()).collect()
        };
        let expected = by_then(&acknowledged);
        let mut there = by_then(&delivered);
        there.extend(found_in(found.path()).await);
        let missing: Vec<_> = expected.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "{weather:?}, seed {seed}, cut {cut} after {moment} bytes: {missing:?} are missing"
        );
        before_the_cuts += expected.len();
    }
    (before_the_cuts, CUTS)
}

/// Refuses one record in some, and is there as the weather is.
async fn upstream(weather: Weather, seed: u64, journal: &Path, delivered: &Seen) -> Upstream {
    let (journal, delivered) = (journal.to_owned(), Arc::clone(delivered));
    let chance = Random::new(seed + 1000);
    Upstream::judging(move |received: &Received| {
        let is_there = match weather {
            Weather::Down => false,
            Weather::Up => true,
            Weather::Flapping => chance.next().is_multiple_of(2),
        };
        if !is_there {
            return Some((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response());
        }
        let ids: BTreeSet<String> = ids(received);
        if ids.iter().any(|id| id.ends_with("-7")) {
            return Some(StatusCode::BAD_REQUEST.into_response());
        }
        let seen = (ids, length(&journal));
        delivered.lock().expect("nobody panics").push(seen);
        None
    })
    .await
}

fn ids(received: &Received) -> BTreeSet<String> {
    attribute(&received.request, "test.id")
        .into_iter()
        .collect()
}

/// Posts requests of different lengths, and writes down which were acknowledged.
async fn post(number: u64, port: u16, journal: &Path, acknowledged: &Seen) {
    let client = client();
    let chance = Random::new(number);
    for request_number in 0..REQUESTS {
        let count = 1 + chance.next() as usize % 6;
        let session = format!("client-{number}-{request_number}");
        let mut records = claude_session("ada@example.com", &session, count);
        let mut ids = BTreeSet::new();
        for (at, record) in records.iter_mut().enumerate() {
            let id = format!(
                "{number}-{request_number}-{}",
                at as u64 + chance.next() % 5
            );
            lengthen(record, &chance);
            record.attributes.insert("test.id".into(), json!(id));
            ids.insert(id);
        }
        let answer = client
            .post(format!("http://127.0.0.1:{port}/v1/logs"))
            .header("content-type", "application/json")
            .body(request(&records).to_string())
            .send()
            .await
            .expect("the edge is there");
        assert!(answer.status().is_success(), "{}", answer.status());
        let seen = (ids, length(journal));
        acknowledged.lock().expect("nobody panics").push(seen);
    }
}

/// Some records are long: a request may take many entries, and a segment few requests.
fn lengthen(record: &mut Record, chance: &Random) {
    let words = match chance.next() % 8 {
        0 => 30_000,
        1 => 3000,
        _ => 30,
    };
    let text: Vec<String> = (0..words).map(|_| chance.next().to_string()).collect();
    let attributes = &mut record.attributes;
    attributes.insert("test.words".into(), json!(text.join(" ")));
}

fn length(journal: &Path) -> u64 {
    fs::metadata(journal).expect("the daemon made it").len()
}

/// What a queue opened in the directory holds, waiting or parked; and that it goes on as if nothing was.
async fn found_in(directory: &Path) -> BTreeSet<String> {
    let queue = Queue::open(directory, Limits::default()).expect("it opens after any cut");
    assert_nothing_is_damaged(&queue);
    // A marker, for what was being written at the cut may be torn, and then nothing comes of it.
    let last = queue.last_seq();
    let marker = queue.append(redacted(logs(0..1, 10))).await;
    assert_eq!(marker.expect("it takes records"), last + 1);
    let mut found = BTreeSet::new();
    loop {
        let batch = next(&queue).await;
        let request = batch.decode().expect("it is whole");
        found.extend(attribute(&request, "test.id"));
        let has_marker =
            attribute(&request, "fieldpost.edge.seq").contains(&(last + 1).to_string());
        queue.remove(batch).await.expect("the disk is well");
        if has_marker {
            break;
        }
    }
    // What was torn was never acknowledged, and is no loss.
    assert_nothing_is_damaged(&queue);
    for item in queue.parked().await.expect("the list is whole").items {
        let parked = queue.read_parked(item.id).await.expect("the disk is well");
        found.extend(attribute(
            &parked.expect("it is in the list").request,
            "test.id",
        ));
    }
    queue.close().await;
    assert_eq!(blobs(directory), [] as [std::path::PathBuf; 0]);
    found
}

fn assert_nothing_is_damaged(queue: &Queue) {
    let losses = queue.losses(100);
    let others = losses
        .counts
        .iter()
        .filter(|count| !matches!(count.0.word(), "parked" | "refused"));
    assert_eq!(others.count(), 0, "{losses:?}");
    assert_eq!(queue.depth().damaged, 0);
}
