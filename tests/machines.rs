//! The list of machines: the database narrows, sorts, counts and pages it as somebody would who read every
//! machine whole.

use std::collections::BTreeMap;

use fieldpost::central::store::{
    Cataloged, Concern, Criteria, Location, Machine, MachineRules, MachineState, PageRequest, Pick,
    Role, Scope, Store, StoreError,
};
use fieldpost::event::Timestamp;
use serde_json::{Map, Value, json};

use crate::support::fieldpost::{
    Kind, TestCentral, client, on_both_databases, postgres_location, started_beside,
};
use crate::support::postgres;
use crate::support::random::Random;
use crate::support::records::{Record, request};

on_both_databases! {
    the_list_is_what_reading_every_machine_gives,
    where_machines_stand_is_made_anew_when_it_is_missing,
    the_page_and_the_api_narrow_sort_and_take_away_the_same_list,
    overview_names_few_machines_and_counts_many,
}

const MACHINES: u64 = 60;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const PAGE: &str = "/t/default/default/inventory/machines";

fn record(time: Timestamp, attributes: Map<String, Value>) -> Record {
    Record {
        time_unix_ms: time.0 / 1_000_000,
        body: "fieldpost.heartbeat".to_owned(),
        attributes,
    }
}

fn attributes(pairs: Vec<(&str, Value)>) -> Map<String, Value> {
    let owned = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    owned.collect()
}

async fn deliver(central: &TestCentral, bearer: &str, records: &[Record]) {
    let posted = client()
        .post(format!("{}/v1/logs", central.url))
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .body(request(records).to_string())
        .send()
        .await
        .expect("the service answers");
    assert_eq!(posted.status(), 200);
}

/// Machines of every kind: on many days or few, until now or long ago, with gaps and losses that overlap,
/// with and without names, reports, tokens that end, clocks that are off.
async fn fill(central: &TestCentral, now: Timestamp) {
    let bearer = central.install().await.authorization_header;
    let random = Random::new(7);
    for machine in 0..MACHINES {
        let id = format!("edge-{machine:02}");
        let last = match random.next() % 4 {
            0 => now.0 - 30 * SECOND,
            1 => now.0 - i64::try_from(random.next() % 5).expect("small") * DAY,
            _ => now.0 - i64::try_from(3 + random.next() % 25).expect("small") * DAY,
        };
        let days = 1 + random.next() % 16;
        let mut records = Vec::new();
        for day in 0..days {
            let day = i64::try_from(day).expect("small");
            let mut pairs = vec![
                ("event.name", json!("fieldpost.heartbeat")),
                ("fieldpost.edge.id", json!(id)),
                ("fieldpost.edge.seq", json!(1 + random.next() % 40)),
                ("queue.last_seq", json!(random.next() % 60)),
            ];
            if !machine.is_multiple_of(5) {
                pairs.push(("host.name", json!(format!("Laptop_{}", random.next() % 20))));
                pairs.push(("os.type", json!(["linux", "darwin"][machine as usize % 2])));
                pairs.push((
                    "fieldpost.edge.version",
                    json!(format!("0.{}", machine % 3)),
                ));
                pairs.push(("queue.records", json!(random.next() % 9)));
                pairs.push(("queue.bytes", json!(100)));
            }
            if machine.is_multiple_of(3) {
                let first = random.next() % 50;
                let ranges = json!([first, first + 5, first + 9, first + 9]);
                pairs.push(("queue.lost.size.ranges", ranges.clone()));
                pairs.push(("queue.lost.parked.ranges", ranges));
                pairs.push(("queue.lost.size", json!(random.next() % 12)));
            }
            if machine.is_multiple_of(4) {
                pairs.push(("clock.offset_seconds", json!(random.next() % 900)));
                pairs.push(("parked.records", json!(random.next() % 3)));
                let ends =
                    now.0 / SECOND + i64::try_from(random.next() % 90).expect("small") * 86_400;
                pairs.push(("token.expires_at", json!(ends - 10 * 86_400)));
            }
            if machine == 42 {
                // A machine can say anything of itself.
                pairs.push(("parked.records", json!(i64::MAX)));
                pairs.push(("clock.offset_seconds", json!(i64::MIN)));
                pairs.push(("queue.last_seq", json!(i64::MAX)));
            }
            records.push(record(Timestamp(last - day * DAY), attributes(pairs)));
        }
        deliver(central, &bearer, &records).await;
    }
}

async fn filled(kind: Kind, directory: &std::path::Path) -> (TestCentral, Scope) {
    let central = TestCentral::start_on(kind, directory).await;
    fill(&central, Timestamp::now()).await;
    let environments = central.central.store.environments().await;
    let scope = environments.expect("the store reads")[0].scope;
    for retired in ["edge-03", "edge-04", "edge-08"] {
        let now = Some(Timestamp::now());
        let done = central.central.store.retire_machine(scope, retired, now);
        done.await.expect("it is put aside");
    }
    (central, scope)
}

/// Every machine, read whole, one by one.
async fn every_machine(store: &Store, scope: Scope, now: Timestamp) -> Vec<Machine> {
    let mut machines = Vec::new();
    for machine in 0..MACHINES {
        let id = format!("edge-{machine:02}");
        let machine = store.machine(scope, &id, now).await;
        machines.push(machine.expect("the store reads").expect(&id));
    }
    machines
}

fn is_met(machine: &Machine, criteria: &Criteria, now: Timestamp) -> bool {
    let text = criteria.text.to_lowercase();
    let names = [Some(machine.id.as_str()), machine.host_name.as_deref()];
    let has_text = names
        .iter()
        .flatten()
        .any(|name| name.to_lowercase().contains(&text));
    let has = |pick: &Pick| {
        let value = Some(pick.value.as_str());
        let has = match pick.facet {
            "state" => Some(machine.state.word()) == value,
            "system" => machine.os.as_deref() == value,
            "version" => machine.edge_version.as_deref() == value,
            // What pages say of one machine they have read is what the database says of all.
            _ => Concern::of(machine, now)
                .any(|concern| pick.value == "any" || concern.slug() == pick.value),
        };
        has != pick.is_excluded
    };
    has_text && criteria.picks.iter().all(has)
}

/// What a machine is sorted by: a number, or a text.
fn measure(machine: &Machine, column: &str) -> (i64, String) {
    let name = machine.host_name.as_deref().unwrap_or(&machine.id);
    let text = |text: Option<&str>| (0, text.unwrap_or_default().to_lowercase());
    let number = |number: i64| (number.min(1_000_000_000_000), String::new());
    match column {
        "machine" => text(Some(name)),
        "system" => text(machine.os.as_deref()),
        "edge" => text(machine.edge_version.as_deref()),
        "last-seen" => (machine.last_seen.0, String::new()),
        "last-heartbeat" => (machine.last_heartbeat.map_or(-1, |at| at.0), String::new()),
        "appended" => number(machine.last_seq),
        "stored" => number(machine.stored),
        "waiting" => number(machine.queue_records.unwrap_or(0)),
        "dropped" => number(machine.dropped_records()),
        "unexplained" => number(machine.missing),
        "parked" => number(machine.parked_records.unwrap_or(0)),
        "token-expires" => {
            let ends = machine.token_expires_at;
            (ends.map_or(i64::MAX, |at| at.0), String::new())
        }
        other => panic!("{other} is no column"),
    }
}

/// The ids of a list over all its pages, of which none has more than seven.
async fn listed(store: &Store, scope: Scope, criteria: &Criteria, now: Timestamp) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let page = PageRequest::new(cursor, Some(7));
        let page = store.list::<Machine>(scope, criteria, now, page).await;
        let page = page.expect("the store reads");
        ids.extend(page.items.into_iter().map(|machine| machine.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return ids;
        }
    }
}

fn pick(facet: &'static str, value: &str, is_excluded: bool) -> Pick {
    Pick {
        facet,
        value: value.to_owned(),
        is_excluded,
    }
}

fn picked(picks: Vec<Pick>) -> Criteria {
    Criteria {
        picks,
        ..Criteria::default()
    }
}

fn filters() -> Vec<Criteria> {
    let states = MachineState::ALL.map(|it| picked(vec![pick("state", it.word(), false)]));
    let concerns = Concern::ALL.map(|it| picked(vec![pick("concern", it.slug(), false)]));
    let with_text = |text: &str| Criteria {
        text: text.to_owned(),
        ..Criteria::default()
    };
    let others = [
        picked(vec![]),
        picked(vec![pick("concern", "any", false)]),
        picked(vec![pick("concern", "any", true)]),
        picked(vec![pick("concern", "dropped", true)]),
        picked(vec![
            pick("system", "linux", true),
            pick("version", "0.1", false),
            pick("state", "reporting", true),
        ]),
        with_text("p_1"),
        with_text("EDGE-1"),
    ];
    states.into_iter().chain(concerns).chain(others).collect()
}

async fn the_list_is_what_reading_every_machine_gives(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, scope) = filled(kind, directory.path()).await;
    let (store, now) = (&central.central.store, Timestamp::now());
    let all = every_machine(store, scope, now).await;
    for state in MachineState::ALL {
        assert!(all.iter().any(|it| it.state == state), "some are {state:?}");
    }
    for concern in Concern::ALL {
        let about = all
            .iter()
            .filter(|it| Concern::of(it, now).any(|about| about == concern))
            .count();
        assert!((1..all.len()).contains(&about), "{concern:?}: {about}");
    }
    for filter in filters() {
        let met: Vec<&Machine> = all.iter().filter(|it| is_met(it, &filter, now)).collect();
        let fleet = store.fleet(scope, &filter, now).await;
        let fleet = fleet.expect("the store reads");
        let count = |is: &dyn Fn(&Machine) -> bool| met.iter().filter(|it| is(it)).count() as i64;
        assert_eq!(fleet.machine_count, met.len() as i64, "{filter:?}");
        for state in MachineState::ALL {
            let counted = fleet.states.get(&state).copied().unwrap_or(0);
            assert_eq!(counted, count(&|it| it.state == state), "{filter:?}");
        }
        for concern in Concern::ALL {
            let counted = fleet.concerns.get(&concern).copied().unwrap_or(0);
            assert_eq!(
                counted,
                count(&|it| Concern::of(it, now).any(|about| about == concern)),
                "{filter:?}"
            );
        }
        let concerned = count(&|it| Concern::of(it, now).next().is_some());
        assert_eq!(fleet.concerned_count, concerned, "{filter:?}");
        let mut systems: BTreeMap<String, i64> = BTreeMap::new();
        for system in met.iter().filter_map(|it| it.os.clone()) {
            *systems.entry(system).or_default() += 1;
        }
        assert_eq!(fleet.systems, systems, "{filter:?}");
        let sum = |of: &dyn Fn(&Machine) -> i64| -> i64 {
            met.iter().map(|it| of(it).min(1_000_000_000_000)).sum()
        };
        assert_eq!(fleet.appended, sum(&|it| it.last_seq), "{filter:?}");
        assert_eq!(fleet.stored, sum(&|it| it.stored), "{filter:?}");
        assert_eq!(fleet.unexplained, sum(&|it| it.missing), "{filter:?}");
        assert_eq!(fleet.dropped, sum(&Machine::dropped_records), "{filter:?}");
        assert_eq!(fleet.waiting, sum(&|it| it.queue_records.unwrap_or(0)));
        assert_eq!(fleet.parked, sum(&|it| it.parked_records.unwrap_or(0)));

        let found = listed(store, scope, &filter, now).await;
        let mut expected: Vec<&&Machine> = met.iter().collect();
        expected.sort_by_key(|it| (std::cmp::Reverse(it.last_seen), it.id.clone()));
        let expected: Vec<&str> = expected.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    for column in const { &Machine::CATALOG }.columns() {
        for is_descending in [false, true] {
            let mut expected: Vec<&Machine> = all.iter().collect();
            expected.sort_by_key(|it| it.id.clone());
            expected.sort_by(|one, other| {
                let order = measure(one, column).cmp(&measure(other, column));
                if is_descending {
                    order.reverse()
                } else {
                    order
                }
            });
            let expected: Vec<&str> = expected.iter().map(|it| it.id.as_str()).collect();
            let criteria = Criteria {
                sort: format!("{}{column}", if is_descending { "-" } else { "" }),
                ..Criteria::default()
            };
            let found = listed(store, scope, &criteria, now).await;
            assert_eq!(found, expected, "{}", criteria.sort);
        }
    }
    // By other rules, too, a list has the states that reading each machine gives.
    for (silent_after_days, usual_days, usual_of_days) in [(3, 2, 20), (1, 6, 10), (7, 1, 65)] {
        let rules = MachineRules {
            late_after_seconds: 86_400,
            silent_after_days,
            usual_days,
            usual_of_days,
        };
        let set = store.set_machine_rules(scope, rules).await;
        set.expect("the store writes");
        let all = every_machine(store, scope, now).await;
        for state in MachineState::ALL {
            let mut expected: Vec<&str> = all
                .iter()
                .filter(|it| it.state == state)
                .map(|it| it.id.as_str())
                .collect();
            expected.sort_unstable();
            let of_state = picked(vec![pick("state", state.word(), false)]);
            let mut found = listed(store, scope, &of_state, now).await;
            found.sort_unstable();
            assert_eq!(found, expected, "{state:?} by {rules}");
        }
    }
    let unknown = picked(vec![pick("concern", "none-such", false)]);
    let refused = store.fleet(scope, &unknown, now).await;
    assert!(matches!(refused, Err(StoreError::BadQuery(_))));
    let audit = store.verify(|_| ()).await.expect("the store reads");
    assert_eq!(audit.differences, 0, "{:?}", audit.told);
    let audit = store.rebuild(|_| ()).await.expect("the store writes");
    assert_eq!(audit.differences, 0, "{:?}", audit.told);
    let audit = store.verify(|_| ()).await.expect("the store reads");
    assert_eq!(audit.differences, 0, "{:?}", audit.told);
    central.stop().await;
}

async fn where_machines_stand_is_made_anew_when_it_is_missing(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    fill(&central, Timestamp::now()).await;
    let found = central.api().await.list("machines?concern=dropped").await;
    assert!(!found.is_empty());
    central.stop().await;
    // As a version left it that did not know of this table.
    let forget = "DELETE FROM machine_standing WHERE machine <> 'edge-07'";
    let forgotten = match &url {
        None => {
            let file = directory.path().join("fieldpost.db");
            let database = rusqlite::Connection::open(file).expect("a database");
            database.execute(forget, []).expect("it writes")
        }
        Some(url) => {
            let client = postgres::connect(url).await;
            let forgotten = client.execute(forget, &[]).await;
            usize::try_from(forgotten.expect("it writes")).expect("few")
        }
    };
    assert_eq!(forgotten as u64, MACHINES - 1);
    let location = url
        .as_deref()
        .map_or(Location::DataDirectory, postgres_location);
    let central = TestCentral::start_at(location, directory.path()).await;
    let audit = central.central.store.verify(|_| ()).await;
    let audit = audit.expect("the store reads");
    assert_eq!(audit.differences, 0, "{:?}", audit.told);
    let again = central.api().await.list("machines?concern=dropped").await;
    assert_eq!(again.len(), found.len());
    central.stop().await;
}

/// The host names or ids that a page's table shows, in its order.
fn shown(page: &str) -> Vec<String> {
    let rows = page.split("<tr>").skip(2);
    let link = |row: &str| {
        let (_, after) = row.split_once("/inventory/machines/")?;
        Some(after.split('"').next()?.to_owned())
    };
    rows.filter_map(link).collect()
}

/// The count beside the link that narrows a list to a value.
fn counted(page: &str, query: &str) -> i64 {
    let link = format!("href=\"{PAGE}?{query}\"");
    let (_, after) = page.split_once(&link).unwrap_or_else(|| panic!("{link}"));
    let (_, count) = after.split_once("class=\"count\">").expect("a count");
    let digits: String = count
        .chars()
        .take_while(|letter| *letter != '<')
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().expect("a number")
}

async fn the_page_and_the_api_narrow_sort_and_take_away_the_same_list(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = filled(kind, directory.path()).await;
    let browser = central.sign_in(Role::Viewer).await;
    let api = central.api().await;
    let all = browser.get(PAGE).await.body;
    assert!(all.contains("60 machines"), "{all}");
    let fleet = api.get("fleet").await;
    assert_eq!(fleet["machine_count"], 60);
    for state in MachineState::ALL {
        let query = format!("state={}", state.word());
        assert_eq!(fleet["states"][state.word()], counted(&all, &query));
    }
    for query in [
        "concern=unexplained",
        "state=late&sort=-stored",
        "-concern=clock&sort=machine",
        "text=laptop_1&system=linux&sort=-appended",
        "-version=0.1&-state=reporting&concern=dropped",
    ] {
        let page = browser.get(&format!("{PAGE}?{query}")).await.body;
        let rows = api.list(&format!("machines?limit=4&{query}")).await;
        let ids: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
        assert!(!ids.is_empty() && ids.len() < 60, "{query}: {ids:?}");
        assert_eq!(shown(&page), ids, "{query}");
        assert_eq!(
            api.get(&format!(
                "fleet?{}",
                query.split("&sort").next().expect("a query")
            ))
            .await["machine_count"],
            ids.len(),
            "{query}"
        );
        let fields: Vec<(&str, &str)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .chain([("format", "ndjson")])
            .collect();
        let file = browser
            .post("/t/default/default/exports/machines", &fields)
            .await;
        let taken: Vec<Value> = file
            .body
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let (manifest, taken) = taken.split_last().expect("a manifest");
        assert_eq!(manifest["manifest"]["rows"], ids.len(), "{query}");
        let taken: Vec<&str> = taken.iter().filter_map(|row| row["id"].as_str()).collect();
        assert_eq!(taken, ids, "{query}");
    }
    for (path, status) in [
        ("machines?sort=nothing", 400),
        ("machines?state=asleep", 400),
        ("machines?cursor=abc", 400),
        ("fleet?concern=none", 400),
    ] {
        assert_eq!(api.request(path).await.status(), status, "{path}");
    }
    // A cursor is good for its own order only.
    let first = api.get("machines?limit=1&sort=machine").await;
    let cursor = first["next_cursor"].as_str().expect("more");
    let other = format!("machines?sort=-stored&cursor={cursor}");
    assert_eq!(api.request(&other).await.status(), 400);
    central.stop().await;
}

async fn overview_names_few_machines_and_counts_many(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = filled(kind, directory.path()).await;
    let browser = central.sign_in(Role::Viewer).await;
    let page = browser.get("/t/default/default/").await.body;
    let fleet = central.api().await.get("fleet").await;
    for concern in Concern::ALL {
        let link = format!("{PAGE}?concern={}", concern.slug());
        let (_, after) = page.split_once(&link).unwrap_or_else(|| panic!("{link}"));
        let said = format!("{} machines ", fleet["concerns"][concern.slug()]);
        let words = after.split("</a>").next().expect("words");
        assert!(words.contains(&said), "{said}: {words}");
    }
    central.stop().await;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let now = Timestamp::now();
    for (host, seq) in [("one", 3), ("two", 9)] {
        let of = |seq: i64| {
            let pairs = vec![
                ("event.name", json!("fieldpost.heartbeat")),
                ("fieldpost.edge.id", json!(host)),
                ("host.name", json!(format!("host-{host}"))),
                ("fieldpost.edge.seq", json!(seq)),
            ];
            record(now, attributes(pairs))
        };
        deliver(&central, &bearer, &[of(1), of(seq)]).await;
    }
    let browser = central.sign_in(Role::Viewer).await;
    let page = browser.get("/t/default/default/").await.body;
    for said in ["host-one: 1 record missing", "host-two: 7 records missing"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    central.stop().await;
}
