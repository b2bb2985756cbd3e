//! Nothing acknowledged is lost and nothing is stored twice, whatever is killed, and however often,
//! late and mixed up records come. `verify` recounts everything from the events each time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::support::api::Api;
use crate::support::disk::SmallDisk;
use crate::support::fieldpost::{
    Kind, Service, TestCentral, client, folder, free_port, on_both_databases, postgres_location,
};
use crate::support::postgres::{self, Cluster};
use crate::support::random::Random;
use crate::support::records::{Record, claude_session, request};
use crate::support::{PATIENCE, eventually};

on_both_databases! {
    late_shuffled_and_repeated_records_give_the_tables_of_a_punctual_run,
    sums_made_anew_while_records_come_are_those_of_the_events,
}

/// Records in one batch.
const BATCH: usize = 20;

/// How often something is killed: a few times, or as often as the environment says.
fn kills() -> usize {
    let kills = std::env::var("FIELDPOST_SOAK_KILLS");
    kills.ok().and_then(|kills| kills.parse().ok()).unwrap_or(3)
}

async fn post(url: &str, bearer: &str, records: &[Record]) -> Option<StatusCode> {
    let answer = client()
        .post(url)
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .timeout(Duration::from_secs(20))
        .body(request(records).to_string())
        .send()
        .await;
    answer.ok().map(|answer| answer.status())
}

/// Asserts that a service's derived tables are as its events say.
async fn verify(central: &TestCentral) {
    let audit = central
        .central
        .store
        .verify(|_| ())
        .await
        .expect("the store reads");
    assert_eq!(audit.differences, 0, "{:?}", audit.told);
    assert!(audit.events > 0 && audit.rows > 0);
}

/// Every list, without what differs between two services by design: ids of agents are keyed.
async fn tables(api: &Api) -> Vec<serde_json::Value> {
    let mut tables = Vec::new();
    for list in ["agents", "owners", "entities", "sessions", "machines"] {
        let mut rows = api.list(list).await;
        for row in &mut rows {
            let fields = row.as_object_mut().expect("a row");
            fields.remove("agent_id");
            fields.remove("agent_ids");
            if fields.contains_key("user_email") {
                fields.remove("id");
            }
        }
        rows.sort_by_key(serde_json::Value::to_string);
        tables.push(rows.into());
    }
    tables
}

/// Sessions of a few people, the last of them ten days old.
fn sessions() -> Vec<Vec<Record>> {
    let ten_days_ms = 10 * 86_400_000;
    (0..12)
        .map(|number| {
            let email = format!("person-{}@example.com", number % 4);
            let mut records = claude_session(&email, &format!("session-{number}"), BATCH);
            for record in &mut records {
                record.time_unix_ms -= ten_days_ms * i64::from(number % 3 == 0);
            }
            records
        })
        .collect()
}

async fn late_shuffled_and_repeated_records_give_the_tables_of_a_punctual_run(kind: Kind) {
    let sessions = sessions();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let punctual = TestCentral::start_on(kind, &folder(directory.path(), "punctual")).await;
    let bearer = punctual.install().await.authorization_header;
    for session in &sessions {
        assert_eq!(
            post(&punctual.url, &bearer, session).await,
            Some(StatusCode::OK)
        );
    }
    let expected = tables(&punctual.api().await).await;
    verify(&punctual).await;
    punctual.stop().await;

    let mixed = TestCentral::start_on(kind, &folder(directory.path(), "mixed")).await;
    let bearer = mixed.install().await.authorization_header;
    let mut records: Vec<Record> = sessions.concat();
    let random = Random::new(7);
    for last in (1..records.len()).rev() {
        records.swap(last, (random.next() % (last as u64 + 1)) as usize);
    }
    let mut posts = JoinSet::new();
    for (size, start) in [(7, 0), (13, 3), (50, 1)] {
        for batch in records[start..].chunks(size).chain([&records[..start]]) {
            let (url, bearer, batch) = (mixed.url.clone(), bearer.clone(), batch.to_vec());
            posts.spawn(async move { post(&url, &bearer, &batch).await });
        }
    }
    while let Some(status) = posts.join_next().await {
        assert_eq!(status.expect("it ends"), Some(StatusCode::OK));
    }
    assert_eq!(tables(&mixed.api().await).await, expected);
    verify(&mixed).await;

    // Made anew, they are the same.
    let store = &mixed.central.store;
    let before = store.rebuild(|_| ()).await.expect("the store writes");
    assert_eq!(before.differences, 0);
    assert_eq!(tables(&mixed.api().await).await, expected);
    verify(&mixed).await;
    mixed.stop().await;
}

/// What is stored is committed together with what recounts, in one transaction.
async fn sums_made_anew_while_records_come_are_those_of_the_events(kind: Kind) {
    const SENDERS: usize = 8;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let records = sessions().concat();
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (url, bearer) = (central.url.clone(), bearer.clone());
        let own: Vec<Record> = records
            .iter()
            .skip(sender)
            .step_by(SENDERS)
            .cloned()
            .collect();
        senders.spawn(async move {
            for record in own {
                assert_eq!(post(&url, &bearer, &[record]).await, Some(StatusCode::OK));
            }
        });
    }
    while !senders.is_empty() {
        let rebuilt = central.central.store.rebuild(|_| ()).await;
        rebuilt.expect("the store writes");
        while let Some(ended) = senders.try_join_next() {
            ended.expect("every record is taken");
        }
    }
    verify(&central).await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_batches_sent_to_three_replicas_at_once_are_stored_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = postgres::database();
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(TestCentral::start_at(postgres_location(&url), directory.path()).await);
    }
    let bearer = replicas[0].install().await.authorization_header;
    let sessions = sessions();
    let mut posts = JoinSet::new();
    for session in &sessions {
        for replica in &replicas {
            let (url, bearer, session) = (replica.url.clone(), bearer.clone(), session.clone());
            posts.spawn(async move { post(&url, &bearer, &session).await });
        }
    }
    while let Some(status) = posts.join_next().await {
        assert_eq!(status.expect("it ends"), Some(StatusCode::OK));
    }
    for replica in &replicas {
        // No page is behind, whichever replica stored what it shows.
        let rows = replica.api().await.list("sessions").await;
        assert_eq!(rows.len(), sessions.len());
        assert!(rows.iter().all(|session| session["event_count"] == BATCH));
        verify(replica).await;
    }

    // A token that one replica revokes is refused by all of them, within the second that they may remember it.
    let token = replicas[0].api().await.list("tokens").await[0]["id"].clone();
    let token = token.as_str().expect("an id");
    let revoked = replicas[1]
        .api()
        .await
        .post(&format!("tokens/{token}/revoke"))
        .await;
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    for replica in replicas {
        eventually("the token to be refused", async || {
            let status = post(&replica.url, &bearer, &sessions[0]).await;
            (status == Some(StatusCode::UNAUTHORIZED)).then_some(())
        })
        .await;
        replica.stop().await;
    }
}

/// Clients that send batch after batch, each until it is acknowledged, to one address after the other.
struct Clients {
    stop: Arc<AtomicBool>,
    /// Batches that were acknowledged.
    taken: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Clients {
    fn start(urls: &[String], bearer: &str) -> Clients {
        let stop = Arc::new(AtomicBool::new(false));
        let taken = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        for number in 0..4 {
            let (stop, taken) = (Arc::clone(&stop), Arc::clone(&taken));
            let (urls, bearer) = (urls.to_vec(), bearer.to_owned());
            tasks.spawn(async move {
                let mut acknowledged = 0;
                while !stop.load(Ordering::Relaxed) {
                    let session = format!("client-{number}-{acknowledged}");
                    let records = claude_session("ada@example.com", &session, BATCH);
                    let mut addresses = urls.iter().cycle();
                    // However long it takes: what is killed all the time may take it only afterwards.
                    while let Some(url) = addresses.next()
                        && post(url, &bearer, &records).await != Some(StatusCode::OK)
                    {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    acknowledged += 1;
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Clients { stop, taken, tasks }
    }

    /// Lets them get some way, so that what comes next comes in the middle.
    async fn go_on(&self, random: &Random) {
        let before = self.taken.load(Ordering::Relaxed);
        eventually("a batch to be taken", async || {
            (self.taken.load(Ordering::Relaxed) > before).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(random.next() % 400)).await;
    }

    /// Ends after the batches under way; gives how many were acknowledged.
    async fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let ended = async {
            while let Some(client) = self.tasks.join_next().await {
                client.expect("a client ends");
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        ended.expect("what stands still takes every batch");
        self.taken.load(Ordering::Relaxed)
    }
}

/// A service as a process.
async fn start(directory: &Path, database: &str) -> (Service, String) {
    let port = free_port();
    let config = format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n[data]\ndirectory = \"{}\"\n{database}",
        directory.join("data").display()
    );
    let place = folder(directory, &format!("service-{port}"));
    let service = Service::start("central", &place, &config, port).await;
    (service, format!("http://127.0.0.1:{port}"))
}

async fn bearer(service: &Service) -> String {
    let installation = service.run_json(&["token", "install", "--json"]).await;
    installation["authorizationHeader"]
        .as_str()
        .expect("a text")
        .to_owned()
}

/// Asserts that every acknowledged batch is there, each record once, and that the tables say so.
async fn assert_whole(service: &Service, url: &str, batches: usize) {
    let audit = service.run_json(&["verify", "--json"]).await;
    assert_eq!(audit["events"], batches * BATCH, "{audit}");
    assert_eq!(audit["differences"], 0, "{audit}");
    let key = service.run(&["api-key"]).await;
    let api = Api::new(url, key.trim());
    let sessions = api.list("sessions?limit=1000").await;
    assert_eq!(sessions.len(), batches);
    assert!(
        sessions
            .iter()
            .all(|session| session["event_count"] == BATCH)
    );
}

#[expect(clippy::print_stdout, reason = "the long form tells its figures")]
fn tell(killed: &str, batches: usize) {
    println!(
        "{killed}: {} kills, {} records acknowledged, 0 missing, 0 twice, 0 sums wrong",
        kills(),
        batches * BATCH,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_sqlite_that_is_killed_loses_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (mut service, url) = start(directory.path(), "").await;
    let clients = Clients::start(std::slice::from_ref(&url), &bearer(&service).await);
    let random = Random::new(1);
    for _ in 0..kills() {
        clients.go_on(&random).await;
        service.kill().await;
        service.start_again().await;
    }
    let batches = clients.stop().await;
    assert_whole(&service, &url, batches).await;
    tell("a service on SQLite", batches);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_killed_by_turns_lose_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = format!("[database]\nurl = \"{}\"\n", postgres::database());
    let mut replicas = [
        start(directory.path(), &database).await,
        start(directory.path(), &database).await,
    ];
    let urls: Vec<String> = replicas.iter().map(|(_, url)| url.clone()).collect();
    let clients = Clients::start(&urls, &bearer(&replicas[0].0).await);
    let random = Random::new(2);
    for kill in 0..kills() {
        clients.go_on(&random).await;
        let (replica, _) = &mut replicas[kill % 2];
        replica.kill().await;
        replica.start_again().await;
    }
    let batches = clients.stop().await;
    assert_whole(&replicas[0].0, &urls[1], batches).await;
    tell("two replicas by turns", batches);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_killed_and_recovers_loses_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start("killed", &[]);
    let database = format!("[database]\nurl = \"{}\"\n", cluster.url("postgres"));
    let (service, url) = start(directory.path(), &database).await;
    let clients = Clients::start(std::slice::from_ref(&url), &bearer(&service).await);
    let random = Random::new(3);
    for _ in 0..kills() {
        clients.go_on(&random).await;
        cluster.kill();
        cluster = tokio::task::spawn_blocking(move || {
            cluster.start_again();
            cluster
        })
        .await
        .expect("it starts");
    }
    // The service was never started anew.
    let batches = clients.stop().await;
    assert_whole(&service, &url, batches).await;
    tell("PostgreSQL", batches);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_gone_clients_are_told_to_come_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start("gone", &[]);
    let central = TestCentral::start_at(
        postgres_location(&cluster.url("postgres")),
        directory.path(),
    )
    .await;
    let bearer = central.install().await.authorization_header;
    let records = claude_session("ada@example.com", "patient", BATCH);
    cluster.kill();
    for _ in 0..5 {
        let answer = client()
            .post(&central.url)
            .header("authorization", &bearer)
            .header("content-type", "application/json")
            .body(request(&records).to_string())
            .send()
            .await
            .expect("the service answers");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
    }
    cluster.start_again();
    eventually("the batch to be taken", async || {
        (post(&central.url, &bearer, &records).await == Some(StatusCode::OK)).then_some(())
    })
    .await;
    assert_eq!(central.api().await.list("events").await.len(), BATCH);
    verify(&central).await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_answered_with_503_and_forgotten_when_there_is_room() {
    let disk = SmallDisk::mount(48 << 20);
    let central = TestCentral::start(&folder(&disk.path(), "data")).await;
    let bearer = central.install().await.authorization_header;
    let filler = disk.fill(256 << 10);
    let mut taken = 0;
    let refused = loop {
        let session = format!("session-{taken}");
        let records = claude_session("ada@example.com", &session, 500);
        match post(&central.url, &bearer, &records).await {
            Some(StatusCode::OK) => taken += 1,
            status => {
                assert_eq!(status, Some(StatusCode::SERVICE_UNAVAILABLE));
                break records;
            }
        }
        assert!(taken < 1_000, "the disk is small");
    };
    std::fs::remove_file(filler).expect("the file is there");
    eventually("the batch to be taken", async || {
        (post(&central.url, &bearer, &refused).await == Some(StatusCode::OK)).then_some(())
    })
    .await;
    let sessions = central.api().await.list("sessions?limit=1000").await;
    assert_eq!(sessions.len(), taken + 1);
    assert!(sessions.iter().all(|session| session["event_count"] == 500));
    verify(&central).await;
    central.stop().await;
}
