//! The tokens of an integration: what came with each, what was refused and why, and how one is taken back.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;

use crate::central::Central;
use crate::central::portal::event_row::Stamp;
use crate::central::portal::failure::Failure;
use crate::central::portal::shell::Here;
use crate::central::portal::text::{Text, short_id, visible};
use crate::central::store::{Role, StoreError, Token, TokenRefusal};
use crate::event::Timestamp;
use crate::words;

/// A token in the list.
pub(super) struct TokenRow {
    /// Its id, cut, which also confirms that it is meant.
    pub(super) short: String,
    pub(super) id: String,
    pub(super) issued: Stamp,
    pub(super) expires: Stamp,
    pub(super) first_used: Option<Stamp>,
    pub(super) last_used: Option<Stamp>,
    pub(super) last_used_ago: String,
    pub(super) requests: String,
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
    let mut refusals = central.store.token_refusals(here.scope()).await?;
    let tokens = central.store.tokens(here.scope()).await?.into_iter();
    let rows = tokens.map(|token| {
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
    let tokens = central.store.tokens(here.scope()).await?;
    if !tokens.iter().any(|known| known.id == token) {
        return Err(Failure::NotFound("token"));
    }
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

impl TokenRow {
    fn new(here: &Here, token: &Token, refusals: &[TokenRefusal], now: Timestamp) -> TokenRow {
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
            issued: Stamp::brief(token.issued_at),
            expires: Stamp::brief(token.expires_at),
            first_used: token.first_used.map(Stamp::brief),
            last_used: token.last_used.map(Stamp::brief),
            last_used_ago: token
                .last_used
                .map_or(String::new(), |time| words::ago(time, now)),
            requests: words::count(token.request_count),
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
            words: match refusal.reason.as_str() {
                "revoked" => "the token was revoked",
                "expired" => "the token has expired",
                "future" => "the token is not valid yet: a clock is off",
                "rate" => "too many requests a second",
                _ => "refused",
            },
            count: words::count(refusal.request_count),
            last: Stamp::brief(refusal.last_refused),
        }
    }
}
