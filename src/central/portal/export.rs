//! A list as a file: the rows that the page's filters leave, all of them, in the page's order, streamed; and a
//! session as one.
//!
//! * CSV as RFC 4180 has it. A cell that a spreadsheet would take for a formula gets a leading `'`, and a
//!   text that is absent or cut says why, in a column of its own.
//! * NDJSON is the exact form: one record a line as the API gives it, and a last line with the number of
//!   rows and the SHA-256 of everything before it, so that a broken download shows.

use std::sync::Arc;

use axum::Form;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::central::Central;
use crate::central::store::{Agent, Criteria, Role};
use crate::central::streams::Stream;
use crate::event::Timestamp;

use super::address::with_query;
use super::agents::{self, find};
use super::browse::{Spec, Wish};
use super::entities;
use super::failure::Failure;
use super::filters::Filters;
use super::integrations;
use super::inventory;
use super::machines;
use super::observability::{asked, read_query};
use super::preferences::Preferences;
use super::settings;
use super::shell::Here;
use super::signals::{SignalWish, signal_of};
use super::versions;
use super::views;

use list::{Format, List};

mod list;
mod rows;
mod csv;
mod writer;
pub(super) mod session;

/// An export that is asked for by what nobody can read.
const UNREADABLE: Failure = Failure::BadRequest("A filter of this export cannot be read.");

/// What a form of an export sends.
type Pairs = Vec<(String, String)>;

/// Someone takes the list of Observability with them.
pub(super) async fn environment(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Failure> {
    events(&here, central, pairs, None, false).await
}

/// Someone takes an agent's audit log with them.
pub(super) async fn agent_events(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Failure> {
    let agent = find(&here, &central).await?;
    events(&here, central, pairs, Some(&agent), false).await
}

/// Someone takes an agent's sessions with them.
pub(super) async fn agent_sessions(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Failure> {
    let agent = find(&here, &central).await?;
    events(&here, central, pairs, Some(&agent), true).await
}

/// Someone takes a list of the inventory with them.
pub(super) async fn of_inventory(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Failure> {
    let list = match here.param("list") {
        "agents" => Wanted::of(agents::spec(&here), List::Agents),
        "owners" => Wanted::of(inventory::owners_spec(&here), List::Owners),
        "versions" => Wanted::of(versions::spec(&here), List::Versions),
        "views" => Wanted::of(views::spec(&here), List::Views),
        "tokens" => Wanted::of(integrations::tokens_spec(&here), List::Tokens),
        "machines" => Wanted::of(machines::spec(&here), List::Machines),
        "keys" => Wanted::of(settings::keys::spec(&here), List::Keys),
        "people" => {
            here.require(Role::Owner)?;
            Wanted::of(settings::people::spec(&here), List::People)
        }
        segment => {
            let kind = inventory::kind_of(segment)?;
            Wanted::of(inventory::spec(&here, kind), List::Entities)
        }
    };
    list.written(&here, central, pairs).await
}

/// Someone takes the agents with them that used a thing.
pub(super) async fn users(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Failure> {
    let kind = inventory::kind_of(here.param("kind"))?;
    let spec = inventory::users_spec(&here, kind, here.param("name"));
    let list = Wanted::of(spec, List::Users);
    list.written(&here, central, pairs).await
}

/// Someone takes with them what an agent used.
pub(super) async fn agent_entities(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Failure> {
    let agent = find(&here, &central).await?;
    let list = Wanted::of(entities::spec(&here, &agent), List::Entities);
    list.written(&here, central, pairs).await
}

/// A list with a catalog that somebody takes with them.
struct Wanted {
    spec: Spec,
    list: fn(Criteria, Timestamp) -> List,
}

impl Wanted {
    fn of(spec: Spec, list: fn(Criteria, Timestamp) -> List) -> Wanted {
        Wanted { spec, list }
    }

    async fn written(
        self,
        here: &Here,
        central: Arc<Central>,
        pairs: Pairs,
    ) -> Result<Response, Failure> {
        let (format, pairs) = format_of(pairs)?;
        let query = with_query(&self.spec.path, &pairs);
        let criteria = Wish::read(&self.spec, pairs)?.criteria(&self.spec);
        let list = (self.list)(criteria, Timestamp::now());
        written(here, central, here.sight(), list, query, format).await
    }
}

/// Someone takes metrics or spans with them, as they came.
pub(super) async fn signals(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Failure> {
    let signal = signal_of(&here)?;
    let (format, pairs) = format_of(pairs)?;
    let wish = SignalWish::read(signal, pairs)?;
    let filter = wish.for_store().map_err(|_| UNREADABLE)?;
    let query = wish.address(&here.base.signals(signal));
    let list = List::Signals(signal, filter);
    written(&here, central, here.sight(), list, query, format).await
}

/// Someone takes the audit with them, or of it what the person may see.
pub(super) async fn audit(
    here: Here,
    State(central): State<Arc<Central>>,
    filters: Result<Query<settings::audit::Filters>, QueryRejection>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Failure> {
    let (format, _) = format_of(pairs)?;
    let filters = read_query(filters)?;
    let only = settings::audit::only(&here).map(str::to_owned);
    let query = filters.address(&here.base.settings("audit"), "");
    let wanted = filters.for_store().map_err(|_| UNREADABLE)?;
    let list = List::Audit(wanted, only);
    let sight = here.sight();
    written(&here, central, sight, list, query, format).await
}

async fn events(
    here: &Here,
    central: Arc<Central>,
    pairs: Pairs,
    agent: Option<&Agent>,
    sessions_only: bool,
) -> Result<Response, Failure> {
    let (format, pairs) = format_of(pairs)?;
    let filters = Filters::read(pairs)?;
    if filters.problem.is_some() {
        return Err(UNREADABLE);
    }
    let address = agent.map_or_else(
        || here.base.observability(),
        |agent| here.base.agent(&agent.id, "audit-logs"),
    );
    let sight = here.sight_of_list(&filters.first_page().address(&address));
    let filter = asked(&filters, agent, Timestamp::now());
    let list = match sessions_only || filters.wants_sessions() {
        true => List::Sessions(filter),
        false => List::Events(filter),
    };
    let query = filters.address(&address);
    written(here, central, sight, list, query, format).await
}

/// The format that a form asks for, and the rest of it.
fn format_of(mut pairs: Pairs) -> Result<(Format, Pairs), Failure> {
    let format = pairs
        .iter()
        .find(|(key, _)| key == "format")
        .map(|(_, value)| value.as_str());
    let format = match format {
        Some("csv") => Format::Csv,
        Some("ndjson") => Format::Ndjson,
        _ => {
            return Err(Failure::BadRequest(
                "An export is asked for as csv or as ndjson.",
            ));
        }
    };
    pairs.retain(|(key, _)| key != "format" && key != "csrf");
    Ok((format, pairs))
}

/// The answer that is the file. That it was asked for is written first.
async fn written(
    here: &Here,
    central: Arc<Central>,
    sight: crate::central::store::Sight,
    list: List,
    query: String,
    format: Format,
) -> Result<Response, Failure> {
    list.check(&central, &sight).await?;
    let open = central
        .streams
        .open(Stream::Export, &here.session.person.id);
    let open = open.ok_or(Failure::TooMany)?;
    let noun = list.noun();
    let action = match &list {
        List::Events(_) => "export.events",
        List::Sessions(_) => "export.sessions",
        List::Audit(..) => "export.audit",
        List::Signals(..) => "export.signals",
        _ => "export.inventory",
    };
    let entry = central.entry(&here.actor(), Some(&here.environment), action, &*query);
    central.audit(entry).await?;
    let (kind, ending) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Ndjson => ("application/x-ndjson", "ndjson"),
    };
    let body = writer::write(here, central, sight, list, query, format, open);
    Ok(attached(kind, noun, ending, body))
}

/// A file to be kept; its name is ours.
fn attached(kind: &'static str, noun: &str, ending: &str, body: Body) -> Response {
    let time = Preferences::current().format(Timestamp::now(), "%Y%m%d-%H%M%S");
    let disposition = format!("attachment; filename=\"fieldpost-{noun}-{time}.{ending}\"");
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, body).into_response()
}
