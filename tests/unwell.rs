//! An upstream that is unwell in every way that upstreams are: nothing is lost, nothing is twice in a
//! real central service, and the edge says what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use fieldpost::edge::link::State;

use crate::support::eventually;
use crate::support::fieldpost::{
    Service, TestCentral, TestEdge, client, edge_config, folder, free_port, write_token,
};
use crate::support::random::Random;
use crate::support::records::{claude_session, request};
use crate::support::relay::{Fate, Relay};
use crate::support::tls::{Authority, TlsListener};
use crate::support::upstream::{Upstream, broken_off, hanging};

/// An edge that never waits long between two tries.
fn quick(directory: &Path, endpoint: &str, token: Option<&str>) -> String {
    let config = edge_config(directory, endpoint, token, 0);
    format!("{config}max_retry_wait = \"10ms\"\nbatch_records = 20\nbatch_age = \"1ms\"\n")
}

async fn post(edge: &TestEdge, session: &str, count: usize) {
    let records = claude_session("ada@example.com", session, count);
    edge.post(&records).await;
}

/// How often each record was accepted, once there are `count`.
async fn wait_for_records(upstream: &Upstream, count: usize) -> BTreeMap<String, usize> {
    eventually(&format!("{count} records upstream"), async || {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for uid in upstream.accepted("log.record.uid") {
            *times.entry(uid).or_default() += 1;
        }
        (times.len() == count).then_some(times)
    })
    .await
}

/// The reason that the edge gives for not getting through, once it has one.
async fn wait_for_trouble(edge: &TestEdge) -> State {
    eventually("the edge to see that something is wrong", async || {
        let state = edge.link().state;
        matches!(state, State::Retrying { .. } | State::Holding { .. }).then_some(state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed_as_seconds_and_as_a_date_until_somebody_asks_for_a_try() {
    let in_an_hour = (jiff::Timestamp::now() + jiff::Span::new().hours(1)).as_second();
    let date = jiff::Timestamp::from_second(in_an_hour).expect("a time");
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for retry_after in ["3600".to_owned(), date] {
        let is_well = Arc::new(AtomicBool::new(false));
        let well = Arc::clone(&is_well);
        let upstream = Upstream::judging(move |_| {
            let refusal = StatusCode::SERVICE_UNAVAILABLE;
            let refusal = (
                refusal,
                [(header::RETRY_AFTER, retry_after.clone())],
                "maintenance",
            );
            (!well.load(Ordering::Relaxed)).then(|| refusal.into_response())
        })
        .await;
        let directory = tempfile::tempdir().expect("a directory");
        let config = quick(directory.path(), &upstream.endpoint, None);
        let edge =
            TestEdge::start_with(directory.path(), &format!("{config}extras = false\n")).await;
        post(&edge, "waits", 3).await;
        let State::Retrying {
            since,
            reason,
            next_attempt,
        } = wait_for_trouble(&edge).await
        else {
            panic!("{:?}", edge.link())
        };
        assert_eq!(reason, "503: maintenance");
        let wait = next_attempt.duration_since(since).expect("it lies ahead");
        assert!(wait > Duration::from_secs(3_000), "{wait:?}");
        is_well.store(true, Ordering::Relaxed);
        // It may still be about to wait when it is first asked.
        eventually("the records upstream", async || {
            edge.gauges.link.wake();
            (upstream.accepted("log.record.uid").len() == 3).then_some(())
        })
        .await;
        eventually("the state to be well", async || {
            (edge.link().state == State::Delivering).then_some(())
        })
        .await;
        assert!(edge.link().last_delivery >= Some(since));
        edge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_refusals_costs_nothing_but_tries() {
    let requests = Arc::new(AtomicUsize::new(0));
    let (count, random) = (Arc::clone(&requests), Random::new(7));
    let upstream = Upstream::judging(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        match random.next() % 5 {
            0 | 1 => Some(StatusCode::SERVICE_UNAVAILABLE.into_response()),
            2 => Some(StatusCode::TOO_MANY_REQUESTS.into_response()),
            _ => None,
        }
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = quick(directory.path(), &upstream.endpoint, None);
    let edge = TestEdge::start_with(directory.path(), &format!("{config}extras = false\n")).await;
    for n in 0..40 {
        post(&edge, &n.to_string(), 10).await;
    }
    let times = wait_for_records(&upstream, 400).await;
    assert!(times.values().all(|times| *times == 1));
    eventually("every request to be counted", async || {
        let counters = edge.link().counters;
        let counted = counters.batches + counters.retries;
        let requests = requests.load(Ordering::Relaxed) as u64;
        (counters.records == 400 && counted == requests).then_some(())
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_for_a_while_is_replaced_by_renaming_or_behind_a_symlink() {
    for is_symlink in [false, true] {
        let upstream = Upstream::judging(|received| {
            let is_new = received.authorization.as_deref() == Some("Bearer token-2");
            (!is_new).then(|| (StatusCode::UNAUTHORIZED, "expired").into_response())
        })
        .await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        let config = quick(directory.path(), &upstream.endpoint, Some("token-1"));
        if is_symlink {
            fs::rename(&file, directory.path().join("first")).expect("writable");
            symlink("first", &file).expect("writable");
        }
        let edge = TestEdge::start_with(directory.path(), &config).await;
        // Several batches wait, and none but the first is sent.
        for n in 0..5 {
            post(&edge, &n.to_string(), 20).await;
        }
        let state = eventually("the hold", async || {
            let state = edge.link().state;
            matches!(state, State::Holding { .. }).then_some(state)
        })
        .await;
        let State::Holding { status, reason, .. } = state else {
            panic!("{state:?}")
        };
        assert_eq!(status, Some(401));
        assert_eq!(reason, "the upstream refuses the token, 401: expired");
        if is_symlink {
            write_token(&directory.path().join("second"), "token-2");
            symlink("second", directory.path().join("swap")).expect("writable");
            fs::rename(directory.path().join("swap"), &file).expect("writable");
        } else {
            write_token(&file, "token-2");
        }
        let times = wait_for_records(&upstream, 100).await;
        assert!(times.values().all(|times| *times == 1));
        edge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_wait_for_a_token_whose_folder_is_not_there_yet() {
    let upstream = Upstream::judging(|received| {
        let is_known = received.authorization.as_deref() == Some("Bearer token-2");
        (!is_known).then(|| StatusCode::UNAUTHORIZED.into_response())
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("later/token");
    let config = quick(directory.path(), &upstream.endpoint, None);
    let config = format!("{config}token_file = \"{}\"\n", file.display());
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post(&edge, "waits", 3).await;
    let hold = wait_for_trouble(&edge).await;
    assert!(
        matches!(hold, State::Holding { status: None, .. }),
        "{hold:?}"
    );
    folder(directory.path(), "later");
    write_token(&file, "token-1");
    eventually("the token to be tried", async || {
        // As after the half minute that is waited otherwise.
        edge.gauges.link.wake();
        let is_refused = |state| {
            matches!(
                state,
                State::Holding {
                    status: Some(401),
                    ..
                }
            )
        };
        is_refused(edge.link().state).then_some(())
    })
    .await;
    // From now on the file is watched.
    write_token(&file, "token-2");
    wait_for_records(&upstream, 3).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_hangs_is_given_up_and_said_to_have_taken_too_long() {
    let hangs = AtomicBool::new(true);
    let upstream = Upstream::judging(move |_| {
        // Its head comes, and its body never does.
        let first = hangs.swap(false, Ordering::Relaxed);
        first.then(hanging)
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = quick(directory.path(), &upstream.endpoint, None);
    let config = format!("{config}timeout = \"300ms\"\nextras = false\n")
        .replace("max_retry_wait = \"10ms\"", "max_retry_wait = \"1h\"");
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post(&edge, "hangs", 3).await;
    let State::Retrying { reason, .. } = wait_for_trouble(&edge).await else {
        panic!("{:?}", edge.link())
    };
    assert!(reason.contains("timeout"), "{reason}");
    eventually("the records again", async || {
        edge.gauges.link.wake();
        (upstream.accepted("log.record.uid").len() >= 6).then_some(())
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_may_have_said_anything_so_the_batch_goes_again() {
    let breaks = AtomicBool::new(true);
    let upstream = Upstream::judging(move |_| {
        let first = breaks.swap(false, Ordering::Relaxed);
        first.then(broken_off)
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = quick(directory.path(), &upstream.endpoint, None);
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post(&edge, "breaks off", 3).await;
    eventually("the records again", async || {
        (upstream.accepted("log.record.uid").len() == 6).then_some(())
    })
    .await;
    assert_eq!(edge.link().counters.retries, 1);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_is_named_in_plain_words() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, authority, knows_authority, expected) in [
        (
            "localhost",
            Authority::new(),
            false,
            "does not trust who signed the upstream's certificate",
        ),
        (
            "other.example.com",
            Authority::new(),
            true,
            "shows a certificate for another name",
        ),
        (
            "localhost",
            Authority::new().late(),
            true,
            "certificate has expired, or this machine's clock is wrong",
        ),
    ] {
        let folder = tempfile::tempdir_in(directory.path()).expect("a directory");
        let folder = folder.path();
        let ca_file = authority.write(folder);
        let listener = TlsListener::bind(name, &authority, None).await;
        let base = format!("https://localhost:{}", listener.address().port());
        let upstream = Upstream::on(listener, base, |_| None);
        let mut config = quick(folder, &upstream.endpoint, None);
        if knows_authority {
            config.push_str(&format!("ca_file = \"{}\"\n", ca_file.display()));
        }
        let edge = TestEdge::start_with(folder, &config).await;
        post(&edge, "certificates", 2).await;
        let State::Retrying { reason, .. } = wait_for_trouble(&edge).await else {
            panic!("{:?}", edge.link())
        };
        assert!(reason.contains(expected), "{reason}");
        assert!(upstream.received().is_empty());
        edge.stop().await;
    }
}

/// Posts through an edge whose line to a real service has the fates that `decide` says, until
/// everything is there; says how often each record arrived.
async fn through(
    decide: impl FnMut() -> Fate + Send + 'static,
    more: &str,
    posts: usize,
) -> BTreeMap<String, usize> {
    let directory = tempfile::tempdir().expect("a directory");
    let central = TestCentral::start(&folder(directory.path(), "central")).await;
    let installation = central.install().await;
    let relay = Relay::start(&installation.endpoint, decide).await;
    let token = Some(installation.authorization_header.as_str());
    let config = quick(directory.path(), &relay.endpoint, token);
    let edge = TestEdge::start_with(directory.path(), &format!("{config}{more}")).await;
    for n in 0..posts {
        post(&edge, &format!("session-{n}"), 5).await;
    }
    let api = central.api().await;
    let events = api.wait_for_events("events?limit=1000", posts * 5).await;
    let ids: BTreeSet<&str> = events
        .iter()
        .filter_map(|event| event["id"].as_str())
        .collect();
    assert_eq!(ids.len(), posts * 5, "each record is there once");
    // The last answers may have been lost: what is stored is settled only once one has come.
    eventually("everything to be settled", async || {
        let link = edge.link();
        (link.in_flight == 0 && link.state == State::Delivering).then_some(())
    })
    .await;
    edge.stop().await;
    let machine = &api.list("machines").await[0];
    assert_eq!(machine["missing"], 0, "{machine}");
    central.stop().await;
    relay.arrived()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_come_too_late_make_records_arrive_twice_and_stand_there_once() {
    let requests = AtomicUsize::new(0);
    let decide = move || match requests.fetch_add(1, Ordering::Relaxed) {
        0 => Fate::AnswerLate(Duration::from_secs(3_600)),
        1 => Fate::AnswerCut,
        _ => Fate::Arrive,
    };
    let arrived = through(decide, "timeout = \"3s\"\n", 6).await;
    assert_eq!(arrived.len(), 30);
    assert!(arrived.values().any(|times| *times > 1), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_fails_at_random_delivers_every_record_once() {
    let random = Random::new(20_261_123);
    let bad = AtomicUsize::new(0);
    let decide = move || {
        // A bad line for fifty requests, so that it ends however the dice fall.
        match bad.fetch_add(1, Ordering::Relaxed) {
            0 => return Fate::AnswerCut,
            50.. => return Fate::Arrive,
            _ => {}
        }
        match random.next() % 10 {
            0 => Fate::AnswerLate(Duration::from_secs(3_600)),
            1 => Fate::Hang,
            2 | 3 => Fate::AnswerCut,
            4 | 5 => Fate::Refuse(StatusCode::SERVICE_UNAVAILABLE),
            6 => Fate::Refuse(StatusCode::BAD_GATEWAY),
            _ => Fate::Arrive,
        }
    };
    let arrived = through(decide, "timeout = \"2s\"\n", 40).await;
    assert_eq!(arrived.len(), 200);
    assert!(arrived.values().any(|times| *times > 1), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_offline_and_in_the_middle_of_a_request_loses_nothing_and_ends() {
    let stuck = Upstream::judging(|_| Some(hanging())).await;
    let nobody = format!("http://127.0.0.1:{}/v1/logs", free_port());
    for endpoint in [&stuck.endpoint, &nobody] {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        // Neither the request nor the wait ends by itself.
        let config = |endpoint: &str| {
            let config = edge_config(directory.path(), endpoint, None, port);
            format!("{config}timeout = \"1h\"\nmax_retry_wait = \"1h\"\nextras = false\n")
        };
        let mut edge = Service::start("edge", directory.path(), &config(endpoint), port).await;
        for n in 0..3 {
            let records = claude_session("ada@example.com", &n.to_string(), 4);
            let answer = client()
                .post(format!("http://127.0.0.1:{port}/v1/logs"))
                .header("content-type", "application/json")
                .body(request(&records).to_string())
                .send()
                .await
                .expect("the edge answers");
            assert_eq!(answer.status(), StatusCode::OK);
        }
        if *endpoint == stuck.endpoint {
            eventually("a request on its way", async || {
                (!stuck.received().is_empty()).then_some(())
            })
            .await;
        }
        edge.terminate().await;

        let well = Upstream::start().await;
        let mut edge =
            Service::start("edge", directory.path(), &config(&well.endpoint), port).await;
        let times = wait_for_records(&well, 12).await;
        assert!(times.values().all(|times| *times == 1));
        edge.terminate().await;
    }
}
