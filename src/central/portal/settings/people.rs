//! People and roles of the environment, for its owners.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::people::{NewPassword, PeopleError};
use crate::central::store::{Member, Person, Role};

use super::{Tab, tabs};
use crate::central::portal::browse::{self, Spec, Tools, Wish};
use crate::central::portal::event_row::Stamp;
use crate::central::portal::failure::Failure;
use crate::central::portal::observability::{Pairs, read_query};
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::table::Head;
use crate::central::portal::text::{Text, visible};

#[derive(Template)]
#[template(
    path = "settings_people.html",
    config = "src/central/portal/askama.toml"
)]
struct PeoplePage {
    shell: Shell,
    tabs: Vec<Tab>,
    action: String,
    /// A link that lets somebody in, shown once, and whom.
    link: Option<(String, String)>,
    /// Whether links are made here.
    has_links: bool,
    /// What people call the identity provider.
    provider: Option<String>,
    kit: Tools,
    heads: Vec<Head>,
    rows: Vec<MemberView>,
    more: Option<String>,
}

struct MemberView {
    name: Text,
    value: String,
    label: String,
    role: &'static str,
    is_by_groups: bool,
    way_in: String,
    seen: Option<Stamp>,
    roles: Vec<&'static str>,
}

/// What the page's forms send.
#[derive(Deserialize)]
pub(in crate::central::portal) struct Change {
    name: String,
    #[serde(default)]
    role: Option<Role>,
}

/// The list of the environment's people.
pub(in crate::central::portal) fn spec(here: &Here) -> Spec {
    let (path, export) = (here.base.settings("people"), here.base.export("people"));
    Spec {
        is_inventory: false,
        ..Spec::of::<Member>(path, export, ("person", "people"))
    }
}

/// Someone looks at who is here.
pub(in crate::central::portal) async fn page(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    here.require(Role::Owner)?;
    let wish = Wish::read(&spec(&here), read_query(pairs)?)?;
    draw_with(&here, &central, wish, None).await
}

/// Someone lets somebody in: the page that follows shows the link for it, once.
pub(in crate::central::portal) async fn add(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(change): Form<Change>,
) -> Result<Html<String>, Failure> {
    here.require(Role::Owner)?;
    let role = change.role.unwrap_or(Role::Viewer);
    central
        .add_member(
            &here.environment,
            &change.name,
            role,
            NewPassword::None,
            &here.actor(),
        )
        .await?;
    let person = central.member(&here.environment, &change.name).await?;
    let is_ours = ensure_ours(&here, &central, &person).await.is_ok();
    // Whoever had an account before knows the way in.
    let is_new = is_ours && !person.has_password && !central.store.has_identity(&person.id).await?;
    let link = match is_new && central.has_passwords {
        true => Some(central.sign_in_link(&person.name, &here.actor()).await?),
        false => None,
    };
    let link = link.map(|link| (visible(&person.name), link.url.expose().to_owned()));
    draw_with(&here, &central, Wish::default(), link).await
}

/// Someone makes a link for somebody who cannot get in any more.
pub(in crate::central::portal) async fn link(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(change): Form<Change>,
) -> Result<Html<String>, Failure> {
    here.require(Role::Owner)?;
    // Where passwords are off, nobody comes in past the identity provider but by the command line.
    let person = central.member(&here.environment, &change.name).await?;
    if !central.has_passwords || central.follows_groups(&person).await? {
        return Err(PeopleError::NoPasswords.into());
    }
    ensure_ours(&here, &central, &person).await?;
    let link = central.sign_in_link(&person.name, &here.actor()).await?;
    let link = (visible(&person.name), link.url.expose().to_owned());
    draw_with(&here, &central, Wish::default(), Some(link)).await
}

/// Someone gives somebody another role.
pub(in crate::central::portal) async fn change_role(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(change): Form<Change>,
) -> Result<Redirect, Failure> {
    here.require(Role::Owner)?;
    let role = change.role.ok_or(Failure::BadRequest("Choose a role."))?;
    central
        .change_role(&here.environment, &change.name, role, &here.actor())
        .await?;
    Ok(Redirect::to(&here.base.settings("people")))
}

/// Someone takes somebody out of the environment.
pub(in crate::central::portal) async fn remove(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(change): Form<Change>,
) -> Result<Redirect, Failure> {
    here.require(Role::Owner)?;
    central
        .remove_member(&here.environment, &change.name, &here.actor())
        .await?;
    Ok(Redirect::to(&here.base.settings("people")))
}

/// Whoever gets a link can be that person everywhere: it is only made by somebody who owns every
/// environment that the person is in.
async fn ensure_ours(here: &Here, central: &Central, person: &Person) -> Result<(), Failure> {
    let own = central.store.memberships(&here.session.person.id).await?;
    let theirs = central.store.memberships(&person.id).await?;
    let owns = |scope| {
        own.iter()
            .any(|it| it.role == Role::Owner && it.environment.scope == scope)
    };
    match theirs.iter().all(|it| owns(it.environment.scope)) {
        true => Ok(()),
        false => Err(PeopleError::Shared(person.name.clone()).into()),
    }
}

async fn draw_with(
    here: &Here,
    central: &Central,
    wish: Wish,
    link: Option<(String, String)>,
) -> Result<Html<String>, Failure> {
    let people = browse::select::<Member>(central, here.scope(), &spec(here), wish).await?;
    let rows = people.rows.iter().map(|member| MemberView {
        name: Text::name(&member.person.name),
        value: member.person.name.clone(),
        label: visible(&member.person.name),
        role: member.role.word(),
        is_by_groups: member.is_by_groups,
        way_in: ways_in(member, central),
        seen: member.last_seen.map(Stamp::brief),
        roles: [Role::Viewer, Role::Admin, Role::Owner]
            .into_iter()
            .filter(|role| *role != member.role)
            .map(Role::word)
            .collect(),
    });
    draw(&PeoplePage {
        rows: rows.collect(),
        heads: Head::sorted(
            Head::all(&["Name", "Role", "Signs in by", "Last seen"]),
            &people.tools,
        ),
        kit: people.tools,
        more: people.more,
        shell: here.shell(Section::Settings),
        tabs: tabs(here, "people"),
        action: here.base.settings("people"),
        link,
        has_links: central.has_passwords,
        provider: central
            .single_sign_on
            .as_ref()
            .map(|provider| visible(&provider.config.name)),
    })
}

fn ways_in(member: &Member, central: &Central) -> String {
    let provider = central.single_sign_on.as_ref();
    let provider = provider.map(|provider| visible(&provider.config.name));
    let password = member.person.has_password && central.has_passwords;
    let ways: Vec<String> = [
        provider.filter(|_| member.has_single_sign_on),
        password.then(|| "password".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    match ways.is_empty() {
        true if central.has_passwords => "link".to_owned(),
        true => "not yet".to_owned(),
        false => ways.join(", "),
    }
}
