//! The service as metrics. Counts since the process started are of this process; what the store says
//! is the same in every replica.

use crate::event::Timestamp;
use crate::metrics::Page;

use super::Central;
use super::store::{Concern, Criteria, Environment, Fleet, MachineState, StoreError};

/// What one environment's machines add up to.
type Sum = fn(&Fleet) -> i64;

/// Sums over an environment's machines: the metric's name, its help, and what is summed.
const SUMS: [(&str, &str, Sum); 6] = [
    (
        "fieldpost_central_machine_records_appended",
        "Records that edges are known to have numbered.",
        |fleet| fleet.appended,
    ),
    (
        "fieldpost_central_machine_records_stored",
        "Of these, the ones that are here.",
        |fleet| fleet.stored,
    ),
    (
        "fieldpost_central_machine_records_waiting",
        "Records that waited on the machines at their latest heartbeats.",
        |fleet| fleet.waiting,
    ),
    (
        "fieldpost_central_machine_records_dropped",
        "Records that edges say will not come, for whatever reason.",
        |fleet| fleet.dropped,
    ),
    (
        "fieldpost_central_machine_records_unexplained",
        "Records that are missing without a reason.",
        |fleet| fleet.unexplained,
    ),
    (
        "fieldpost_central_machine_records_parked",
        "Records that were refused for good and that edges keep.",
        |fleet| fleet.parked,
    ),
];

/// Everything that is known, as a page.
pub(super) async fn text(central: &Central) -> String {
    let mut page = Page::default();
    process(&mut page, central);
    store(&mut page, central).await;
    machines(&mut page, central).await;
    ingest(&mut page, central);
    page.text()
}

fn process(page: &mut Page, central: &Central) {
    page.gauge("fieldpost_central_info", "The service and its version.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
    )
    .value(seconds(central.started));
}

async fn store(page: &mut Page, central: &Central) {
    let is_ready = central.readiness().await.is_ok();
    page.gauge(
        "fieldpost_central_ready",
        "1 when the store can write; /readyz says why not.",
    )
    .value(u64::from(is_ready));
    match central.store.unindexed().await {
        Ok(unindexed) => page
            .gauge(
                "fieldpost_central_unindexed_events",
                "Events that are stored and not in the text index yet: searches look through them one by one.",
            )
            .value(unindexed),
        Err(error) => tracing::warn!(%error, "what is not indexed could not be counted"),
    }
    match central.store.unfolded().await {
        Ok(unfolded) => page
            .gauge(
                "fieldpost_central_unfolded_deltas",
                "What could not be added to the lists and sums; above 0, `fieldpost central rebuild` \
                 makes them whole.",
            )
            .value(unfolded),
        // `fieldpost_central_ready` tells that the store does not answer.
        Err(error) => tracing::warn!(%error, "what was set aside could not be counted"),
    }
}

/// What is missing of each environment's machines, as the store has it.
async fn machines(page: &mut Page, central: &Central) {
    let fleets = match fleets(central).await {
        Ok(fleets) => fleets,
        // `fieldpost_central_ready` tells that the store does not answer.
        Err(error) => return tracing::warn!(%error, "the machines could not be counted"),
    };
    let mut count = page.gauge(
        "fieldpost_central_machines",
        "Machines, by whether they report: see the portal's page of machines.",
    );
    for (environment, fleet) in &fleets {
        for state in MachineState::ALL {
            let here = fleet.states.get(&state).copied().unwrap_or(0);
            let [tenant, name] = place(environment);
            count.sample(&[tenant, name, ("state", state.word())], here);
        }
    }
    let mut off = page.gauge(
        "fieldpost_central_machines_with_clock_off",
        "Machines whose clock is off by more than five minutes, but for those that were put aside.",
    );
    for (environment, fleet) in &fleets {
        let here = fleet.concerns.get(&Concern::Clock).copied().unwrap_or(0);
        off.sample(&place(environment), here);
    }
    for (name, help, of) in SUMS {
        let mut sum = page.gauge(name, help);
        for (environment, fleet) in &fleets {
            sum.sample(&place(environment), of(fleet));
        }
    }
}

async fn fleets(central: &Central) -> Result<Vec<(Environment, Fleet)>, StoreError> {
    let (now, all) = (Timestamp::now(), Criteria::default());
    let mut fleets = Vec::new();
    for environment in central.store.environments().await? {
        let fleet = central.store.fleet(environment.scope, &all, now).await?;
        fleets.push((environment, fleet));
    }
    Ok(fleets)
}

fn place(environment: &Environment) -> [(&str, &str); 2] {
    [
        ("tenant", &environment.tenant),
        ("environment", &environment.environment),
    ]
}

fn ingest(page: &mut Page, central: &Central) {
    let numbers = central.counters.snapshot();
    let mut requests = page.counter(
        "fieldpost_central_requests_total",
        "Requests for the OTLP endpoint, by protocol and by the HTTP status that they were answered \
         with, or that the gRPC code stands for.",
    );
    for ((protocol, status), count) in &numbers.requests {
        let status = status.to_string();
        requests.sample(&[("protocol", protocol.word()), ("status", &status)], count);
    }
    page.counter(
        "fieldpost_central_requests_refused_total",
        "Requests refused because of their token or its rate, by reason.",
    )
    .by("reason", &numbers.refused);
    page.counter(
        "fieldpost_central_received_bytes_total",
        "Bytes of bodies received, as they came.",
    )
    .value(central.counters.received_bytes());
    let mut stored = page.counter(
        "fieldpost_central_records_stored_total",
        "Log records, and resources of metrics and traces, newly stored.",
    );
    for (signal, of_signal) in &numbers.stored {
        stored.sample(&[("signal", signal.word())], of_signal.new);
    }
    let mut known = page.counter(
        "fieldpost_central_records_known_total",
        "The same that came again and were there already.",
    );
    for (signal, of_signal) in &numbers.stored {
        known.sample(&[("signal", signal.word())], of_signal.known);
    }
    page.counter(
        "fieldpost_central_records_rejected_total",
        "Records rejected while the rest of their request was stored, by reason.",
    )
    .by("reason", &numbers.rejected);
    page.gauge(
        "fieldpost_central_in_flight_bytes",
        "Memory that requests hold until they are stored.",
    )
    .value(central.admission.taken());
    page.gauge(
        "fieldpost_central_in_flight_limit_bytes",
        "What they may hold; further requests are answered with 503.",
    )
    .value(central.admission.limit());
}

fn seconds(time: Timestamp) -> f64 {
    time.0 as f64 / 1e9
}
