//! `/api/v1/drift`: what clients used to send and no longer do, and what each version of them sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::Central;
use crate::central::drift::{FellAway, fell_away, since};
use crate::central::store::{Grain, Sent, SilentSession};
use crate::event::Timestamp;

use super::Answer;
use super::caller::Reader;
use super::openapi::about;
use super::request::{List, Params, whole};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/drift",
            get_with(
                drift,
                about(
                    "drift",
                    "Kinds of events and attributes that clients used to send within the last 30 days, and \
                     sessions of which metrics come, but no events.",
                ),
            ),
        )
        .api_route(
            "/drift/events",
            get_with(
                events,
                about(
                    "sentEvents",
                    "Events by client, version, day and kind of the last 30 days, and how many carry each \
                     attribute.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Inventory"))
}

#[derive(Serialize, JsonSchema)]
struct Drift {
    /// What fell away.
    fell_away: Vec<FellAway>,
    /// Sessions of which metrics tell long after their last event, the latest first.
    silent_sessions: Vec<SilentSession>,
}

async fn drift(Reader { central, scope, .. }: Reader) -> Answer<Drift> {
    let now = Timestamp::now();
    let store = &central.store;
    Ok(Json(Drift {
        fell_away: fell_away(store, scope, now).await?,
        silent_sessions: store.silent_sessions(scope, since(now), now).await?,
    }))
}

#[derive(Deserialize, JsonSchema)]
struct SentParams {
    /// One client only: `claude-code`, `cowork`, …
    client: Option<String>,
}

/// Events of one kind that one version of a client sent on one day.
#[derive(Serialize, JsonSchema)]
struct SentEvents {
    /// The client; empty when its events do not say.
    client: String,
    /// Its version; empty when its events do not say.
    version: String,
    /// The day, of UTC.
    day: Timestamp,
    /// The kind of event.
    event: String,
    /// How many.
    event_count: i64,
    /// How many of them carry an attribute, by attribute; content is not looked at.
    attributes: BTreeMap<&'static str, i64>,
}

impl SentEvents {
    /// None yet, of the kind that these are of.
    fn of(sent: &Sent) -> SentEvents {
        SentEvents {
            client: sent.client.clone(),
            version: sent.version.clone(),
            day: Timestamp::of_day(sent.day),
            event: sent.name.clone(),
            event_count: 0,
            attributes: BTreeMap::new(),
        }
    }

    fn is_of(&self, sent: &Sent) -> bool {
        (&self.client, &self.version, self.day.day(), &self.event)
            == (&sent.client, &sent.version, sent.day, &sent.name)
    }
}

async fn events(
    Reader { central, scope, .. }: Reader,
    Params(params): Params<SentParams>,
) -> Answer<List<SentEvents>> {
    let since = since(Timestamp::now());
    let client = params.client.as_deref();
    let grain = Grain::VersionAndDay;
    let mut all: Vec<SentEvents> = Vec::new();
    for sent in central.store.sent(scope, client, since, grain).await? {
        // The shapes of one kind follow one another.
        if !all.last().is_some_and(|last| last.is_of(&sent)) {
            all.push(SentEvents::of(&sent));
        }
        let of_kind = all.last_mut().expect("one is there, or was just put there");
        of_kind.event_count += sent.events;
        for attribute in sent.shape.names() {
            *of_kind.attributes.entry(attribute).or_default() += sent.events;
        }
    }
    Ok(whole(all))
}
