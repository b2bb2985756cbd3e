//! What is known about the way of an agent's records: the machines they came by, the versions of the client, and
//! the kinds of records that do not come.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::portal::address::with_query;
use crate::central::portal::event_row::{Link, Stamp, Tag};
use crate::central::portal::failure::Failure;
use crate::central::portal::machines;
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::text::Text;
use crate::central::portal::versions;
use crate::central::store::{
    AgentMachine, AgentVersion, EventFilter, Machine, Qualifier, Sight, StoreError, Survey,
};
use crate::event::{Activity, Timestamp};
use crate::words;

use super::{AgentHeader, find};

#[derive(Template)]
#[template(path = "agent_health.html", config = "src/central/portal/askama.toml")]
struct AgentHealthPage {
    shell: Shell,
    agent: AgentHeader,
    /// Of how many events, the latest, the kinds are counted.
    of: String,
    kinds: Vec<KindRow>,
    ways: Vec<WayRow>,
    versions: Vec<VersionRow>,
}

/// A kind of record.
struct KindRow {
    title: &'static str,
    count: String,
    href: String,
    remark: Tag,
}

/// A way that records came by.
struct WayRow {
    machine: Option<Link>,
    state: Option<Tag>,
    account: String,
    sessions: String,
    last_seen: Stamp,
}

struct VersionRow {
    client: Text,
    version: Text,
    defect: Option<Tag>,
    sessions: String,
    first_seen: Stamp,
    last_seen: Stamp,
}

/// Kinds of records that any use of Claude brings, and what it means when none comes.
const EXPECTED: [(Activity, &str); 5] = [
    (
        Activity::UserMessage,
        "no prompt is sent: what people ask cannot be seen",
    ),
    (
        Activity::AgentMessage,
        "no response is sent: this client does not export them, or is too old to",
    ),
    (Activity::ToolInvocation, "no tool has run, or none is told"),
    (
        Activity::PermissionDecision,
        "no decision is told: headless clients ask nobody",
    ),
    (
        Activity::ApiRequest,
        "no request to the model is told: tokens and cost cannot be seen",
    ),
];

/// Someone asks whether an agent's records come as they should.
pub(in crate::central::portal) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let (store, scope) = (&central.store, here.scope());
    let agent = find(&here, &central).await?;
    let filter = EventFilter {
        agent: Some(agent.id.clone()),
        ..EventFilter::default()
    };
    let survey = store.survey(&Sight::metadata(scope), &filter).await?;
    let ways = store.machines_of_agent(scope, &agent.id).await?;
    let versions = store.versions_of_agent(scope, &agent.id).await?;
    let machines = machines_of(&here, &central, &ways).await?;
    let events = here.base.agent(&agent.id, "audit-logs");
    draw(&AgentHealthPage {
        shell: here.shell(Section::Agents),
        of: words::plural(survey.count, "event", "events"),
        kinds: EXPECTED
            .iter()
            .map(|(kind, missing)| KindRow::new(*kind, missing, &survey, &events))
            .collect(),
        ways: ways
            .iter()
            .map(|way| WayRow::new(&here, way, &machines))
            .collect(),
        versions: versions.iter().map(VersionRow::new).collect(),
        agent: AgentHeader::new(&here, &agent, "health"),
    })
}

async fn machines_of(
    here: &Here,
    central: &Central,
    ways: &[AgentMachine],
) -> Result<Vec<Machine>, StoreError> {
    let ids: Vec<&str> = ways
        .iter()
        .filter_map(|way| way.machine_id.as_deref())
        .collect();
    let now = Timestamp::now();
    central.store.machines_by_id(here.scope(), &ids, now).await
}

impl KindRow {
    fn new(kind: Activity, missing: &str, survey: &Survey, events: &str) -> KindRow {
        let types = survey
            .facets
            .iter()
            .find(|facet| facet.qualifier == Qualifier::Type);
        let found = types.and_then(|facet| facet.values.iter().find(|it| it.value == kind.slug()));
        let count = found.map_or(0, |value| value.count);
        KindRow {
            title: kind.title(),
            count: words::count(count as i64),
            href: with_query(events, &[("type", kind.slug())]),
            remark: match count {
                0 => Tag::new("alert", "warn", missing),
                _ => Tag::new("check", "ok", "they come"),
            },
        }
    }
}

impl WayRow {
    fn new(here: &Here, way: &AgentMachine, machines: &[Machine]) -> WayRow {
        let id = way.machine_id.as_deref();
        let machine = machines.iter().find(|machine| Some(&*machine.id) == id);
        WayRow {
            machine: machine.map(|machine| machines::link(here, machine)),
            state: machine.map(|machine| machines::state(machine, Timestamp::now())),
            account: match (id, machine) {
                (None, _) => {
                    "direct: nothing numbers these records, so losses cannot be seen".to_owned()
                }
                (Some(_), Some(machine)) => machines::one_line(machine),
                (Some(id), None) => format!(
                    "the machine {} is older than this environment keeps machines",
                    crate::central::portal::text::short_id(id)
                ),
            },
            sessions: words::count(way.session_count),
            last_seen: Stamp::brief(way.last_seen),
        }
    }
}

impl VersionRow {
    fn new(version: &AgentVersion) -> VersionRow {
        let number = version.version.as_deref();
        VersionRow {
            client: Text::name(version.client.as_deref().unwrap_or("–")),
            version: Text::name(number.unwrap_or("not told")),
            defect: number.and_then(versions::badge),
            sessions: words::count(version.session_count),
            first_seen: Stamp::brief(version.first_seen),
            last_seen: Stamp::brief(version.last_seen),
        }
    }
}
