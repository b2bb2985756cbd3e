//! The tokens of an integration: what came with each, what was refused and why, and how one is taken back.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::portal::browse::{self, Spec, Tools, Wish};
use crate::central::portal::event_row::Stamp;
use crate::central::portal::failure::Failure;
use crate::central::portal::observability::{Pairs, read_query};
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::table::Head;
use crate::central::portal::text::{Text, short_id, visible};
use crate::central::store::{Of, Role, StoreError, Token, TokenRefusal};
use crate::event::Timestamp;
use crate::words;

/// A token in the list.
pub(super) struct TokenRow {
    /// Its id, cut, which also confirms that it is meant.
    pub(super) short: String,
    pub(super) id: String,
    pub(super) expires: Stamp,
    pub(super) first_used: Option<Stamp>,
    pub(super) last_used: Option<Stamp>,
    pub(super) last_used_ago: String,
    pub(super) requests: String,
    /// Where its own page is.
    pub(super) page: String,
    pub(super) created_by: Option<Text>,
    pub(super) events_a_day: String,
    pub(super) agents: String,
    pub(super) machines: String,
    /// Who falls silent when it is revoked.
    pub(super) silenced: String,
    pub(super) address: Option<Text>,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) revoke: Option<String>,
    pub(super) name: Option<Text>,
    /// Requests with it that were refused.
    pub(super) refusals: Vec<Refusal>,
}

/// Requests with a token that were refused for one reason.
pub(super) struct Refusal {
    pub(super) words: &'static str,
    pub(super) count: String,
    pub(super) last: Stamp,
}

/// That a token is meant, by its id.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::central::portal) struct Confirmation {
    confirm: String,
}

/// The tokens of an environment, with what was counted until now.
pub(super) async fn read(
    here: &Here,
    central: &Central,
    now: Timestamp,
) -> Result<Vec<TokenRow>, StoreError> {
    central.write_usage().await?;
    let tokens = central.store.all(here.scope(), Of::Environment).await?;
    rows(here, central, tokens, now).await
}

/// The columns of a list of tokens, but for the one that changes them.
pub(super) fn heads() -> Vec<Head> {
    Head::all(&[
        "Token",
        "State",
        "Created by",
        "Expires",
        "Last used",
        "#Events a day",
        "#Agents",
        "#Machines",
    ])
}

#[derive(Template)]
#[template(path = "token_list.html", config = "src/central/portal/askama.toml")]
struct TokensPage {
    shell: Shell,
    kit: Tools,
    heads: Vec<Head>,
    tokens: Vec<TokenRow>,
    more: Option<String>,
}

/// The list of an environment's tokens.
pub(in crate::central::portal) fn spec(here: &Here) -> Spec {
    let (path, export) = (here.base.tokens(), here.base.export("tokens"));
    Spec {
        is_inventory: false,
        ..Spec::of::<Token>(path, export, ("token", "tokens"))
    }
}

/// Someone looks which tokens there are.
pub(in crate::central::portal) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    central.write_usage().await?;
    let spec = spec(&here);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let selection = browse::select::<Token>(&central, here.scope(), &spec, wish).await?;
    draw(&TokensPage {
        heads: Head::sorted(heads(), &selection.tools),
        tokens: rows(&here, &central, selection.rows, Timestamp::now()).await?,
        shell: here.shell(Section::Install),
        kit: selection.tools,
        more: selection.more,
    })
}

/// Tokens as rows, with what was refused of each.
async fn rows(
    here: &Here,
    central: &Central,
    tokens: Vec<Token>,
    now: Timestamp,
) -> Result<Vec<TokenRow>, StoreError> {
    let mut refusals = central.store.token_refusals(here.scope()).await?;
    let rows = tokens.into_iter().map(|token| {
        let refusals = refusals.remove(&token.id).unwrap_or_default();
        TokenRow::new(here, &token, &refusals, now)
    });
    Ok(rows.collect())
}

/// Someone takes a token back.
pub(in crate::central::portal) async fn revoke(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(Confirmation { confirm }): Form<Confirmation>,
) -> Result<Redirect, Failure> {
    here.require(Role::Admin)?;
    let token = here.param("token");
    let known = central
        .store
        .token(here.scope(), token, Timestamp::now())
        .await?;
    known.ok_or(Failure::NotFound("token"))?;
    let is_meant = [token, &short_id(token)].contains(&confirm.trim());
    if !is_meant {
        return Err(Failure::Refused(format!(
            "The token was not revoked: type {}, as the list shows it, to confirm that it is meant.",
            short_id(token)
        )));
    }
    let entry = central.entry(
        &here.actor(),
        Some(&here.environment),
        "token.revoked",
        token,
    );
    central.audit(entry).await?;
    match central
        .revoke_token(here.scope(), here.param("token"))
        .await?
    {
        true => Ok(Redirect::to(&format!("{}#tokens", here.base.install()))),
        false => Err(Failure::NotFound("token")),
    }
}

/// Who falls silent when a token is revoked, in a sentence.
fn silenced(token: &Token) -> String {
    let (agents, machines) = (token.dependent_agents, token.dependent_machines);
    match agents + machines {
        0 if token.agent_count + token.machine_count == 0 => {
            "Nobody sent with it within the last 30 days.".to_owned()
        }
        0 => "Nobody who sends with it falls silent: whoever sent with it within the last 30 days has another \
              token since."
            .to_owned(),
        1 => format!("{} falls silent at once.", words::senders(agents, machines)),
        _ => format!("{} fall silent at once.", words::senders(agents, machines)),
    }
}

/// Why records were rejected, in words.
pub(in crate::central::portal) fn rejected_words(reason: &str) -> &'static str {
    match reason {
        "unreadable" => "they could not be read as OTLP",
        "too_large" => "they were larger than ingest.max_record",
        "too_old" => "they were older than the time for which records are kept",
        _ => "rejected",
    }
}

/// Why requests were refused, in words.
pub(super) fn refused_words(reason: &str) -> &'static str {
    match reason {
        "revoked" => "the token was revoked",
        "expired" => "the token has expired",
        "future" => "the token is not valid yet: a clock is off",
        "rate" => "too many requests a second",
        _ => "refused",
    }
}

impl TokenRow {
    pub(super) fn new(
        here: &Here,
        token: &Token,
        refusals: &[TokenRefusal],
        now: Timestamp,
    ) -> TokenRow {
        let (state, tone, icon) = match token.revoked_at {
            Some(_) => ("revoked", "danger", "deny"),
            None if token.expires_at <= now => ("expired", "warn", "clock"),
            None if token.first_used.is_none() => ("not used yet", "", "unknown"),
            None => ("in use", "ok", "allow"),
        };
        let lives = token.revoked_at.is_none() && token.expires_at > now;
        TokenRow {
            short: short_id(&token.id),
            id: visible(&token.id),
            expires: Stamp::brief(token.expires_at),
            first_used: token.first_used.map(Stamp::brief),
            last_used: token.last_used.map(Stamp::brief),
            last_used_ago: token
                .last_used
                .map_or(String::new(), |time| words::ago(time, now)),
            requests: words::count(token.request_count),
            page: here.base.token(&token.id),
            created_by: token.created_by.as_deref().map(Text::name),
            events_a_day: words::count(token.event_count_7d / 7),
            agents: words::count(token.agent_count),
            machines: words::count(token.machine_count),
            silenced: silenced(token),
            address: token.last_address.as_deref().map(Text::name),
            state,
            tone,
            icon,
            name: Some(token.name.as_str())
                .filter(|name| !name.is_empty())
                .map(Text::name),
            refusals: refusals.iter().map(Refusal::new).collect(),
            revoke: lives.then(|| here.base.revoke(&token.id)),
        }
    }
}

impl Refusal {
    fn new(refusal: &TokenRefusal) -> Refusal {
        Refusal {
            words: refused_words(&refusal.reason),
            count: words::count(refusal.request_count),
            last: Stamp::brief(refusal.last_refused),
        }
    }
}
