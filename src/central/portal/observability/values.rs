//! The values that a list can be narrowed by, of one kind: all of them, or those that have a text. A facet's
//! search is this page, and the query box completes from it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::portal::address::with_query;
use crate::central::portal::agents::find;
use crate::central::portal::failure::Failure;
use crate::central::portal::filters::{Filters, title_of};
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::store::{Agent, Qualifier, Term};
use crate::event::Timestamp;
use crate::words;

use super::facets::link;
use super::{FacetLink, Pairs, asked, beside, read_query};

/// Values that are shown.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "values.html", config = "src/central/portal/askama.toml")]
struct ValuesPage {
    shell: Shell,
    title: &'static str,
    /// The list that is narrowed.
    back: String,
    action: String,
    hidden: Vec<(&'static str, String)>,
    of: &'static str,
    like: String,
    count: String,
    values: Vec<FacetLink>,
}

/// Where the values of a kind are, among what these filters leave of the list at `path`.
pub(super) fn address(qualifier: Qualifier, filters: &Filters, path: &str) -> String {
    let mut pairs = filters.first_page().pairs();
    pairs.push(("of", qualifier.word().to_owned()));
    with_query(&format!("{path}/values"), &pairs)
}

/// Someone looks for a value of Observability's list.
pub(in crate::central::portal) async fn environment(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let list = here.base.observability();
    show(&here, &central, read_query(pairs)?, list, None).await
}

/// Someone looks for a value of an agent's list.
pub(in crate::central::portal) async fn agent(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let agent = find(&here, &central).await?;
    let list = here.base.agent(&agent.id, "audit-logs");
    show(&here, &central, read_query(pairs)?, list, Some(&agent)).await
}

async fn show(
    here: &Here,
    central: &Central,
    mut pairs: Vec<(String, String)>,
    list: String,
    agent: Option<&Agent>,
) -> Result<Html<String>, Failure> {
    let (of, like) = (taken(&mut pairs, "of"), taken(&mut pairs, "like"));
    let of = Qualifier::from_word(&of).ok_or(Failure::NotFound("facet"))?;
    let filters = Filters::read(pairs)?;
    if filters.problem.is_some() {
        return Err(Failure::BadRequest(
            "A filter in this address cannot be read.",
        ));
    }
    let filters = beside(agent, filters);
    let sight = here.sight_of_list(&filters.first_page().address(&list));
    let filter = asked(&filters, agent, Timestamp::now());
    let facet = central.store.values(&sight, &filter, of).await?;
    let wanted = like.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let mut found = facet.values;
    found.retain(|value| has(&value.label) || has(&value.value));
    let all = words::plural(found.len(), "value", "values");
    draw(&ValuesPage {
        shell: here.shell(Section::Events),
        title: title_of(of),
        back: filters.first_page().address(&list),
        action: format!("{list}/values"),
        hidden: filters.first_page().pairs(),
        of: of.word(),
        count: match found.len() > SHOWN {
            true => format!("the {SHOWN} most frequent of {all}"),
            false => all,
        },
        values: found
            .iter()
            .take(SHOWN)
            .map(|value| FacetLink {
                term: Some(Term::new(of, value.value.as_str()).to_string()),
                ..link(of, value, &filters, &list)
            })
            .collect(),
        like,
    })
}

/// The value of a key, which is taken out.
fn taken(pairs: &mut Vec<(String, String)>, key: &str) -> String {
    let place = pairs.iter().position(|(other, _)| other == key);
    place.map_or_else(String::new, |place| pairs.remove(place).1.trim().to_owned())
}
