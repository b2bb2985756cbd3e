//! New records as a count: a stream of server-sent events with a number and a cursor, and no content.
//!
//! It follows arrival, not event time, so that a laptop back from a week offline shows. A stream ends after
//! a while and the browser opens it again with the cursor that it saw last (`Last-Event-ID`): so whoever may
//! no longer look is noticed, and nothing is counted twice or missed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};

use crate::central::Central;
use crate::central::store::{Agent, EventFilter, Sight};
use crate::central::streams::{OpenStream, Stream};
use crate::event::Timestamp;

use super::agents::find;
use super::failure::Failure;
use super::filters::Filters;
use super::observability::{Pairs, asked, beside, read_query};
use super::shell::Here;

/// Time between two looks.
const EACH: Duration = Duration::from_secs(1);

/// Looks of one stream.
const LOOKS: u32 = 60;

/// Someone watches Observability.
pub(super) async fn environment(
    here: Here,
    State(central): State<Arc<Central>>,
    headers: HeaderMap,
    pairs: Pairs,
) -> Result<Response, Failure> {
    let list = (here.base.observability(), None);
    watch(&here, central, &headers, read_query(pairs)?, list)
}

/// Someone watches an agent.
pub(super) async fn agent(
    here: Here,
    State(central): State<Arc<Central>>,
    headers: HeaderMap,
    pairs: Pairs,
) -> Result<Response, Failure> {
    let agent = find(&here, &central).await?;
    let list = (here.base.agent(&agent.id, "audit-logs"), Some(&agent));
    watch(&here, central, &headers, read_query(pairs)?, list)
}

fn watch(
    here: &Here,
    central: Arc<Central>,
    headers: &HeaderMap,
    pairs: Vec<(String, String)>,
    (list, agent): (String, Option<&Agent>),
) -> Result<Response, Failure> {
    let of_page = pairs
        .iter()
        .find(|(key, _)| key == "since")
        .map(|(_, value)| value.clone());
    let seen = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let (position, counted) = seen
        .or(of_page)
        .as_deref()
        .and_then(place)
        .ok_or(Failure::BadRequest("This stream goes on from nowhere."))?;
    // Where the stream goes on is no filter.
    let of_list = pairs.into_iter().filter(|(key, _)| key != "since");
    let filters = Filters::read(of_list.collect())?;
    let filters = beside(agent, filters);
    let filter = asked(&filters, agent, Timestamp::now());
    // As the list that it stands above, which may be opened.
    let sight = here.sight_of_list(&filters.first_page().address(&list));
    let open = central.streams.open(Stream::Live, &here.session.person.id);
    let open = open.ok_or(Failure::TooMany)?;
    let (sender, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(count(
        central, sight, filter, position, counted, sender, open,
    ));
    let headers = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((headers, Body::new(body)).into_response())
}

/// `position` or `position-counted`, as ids of this stream are.
fn place(id: &str) -> Option<(i64, usize)> {
    match id.split_once('-') {
        Some((position, counted)) => Some((position.parse().ok()?, counted.parse().ok()?)),
        None => Some((id.parse().ok()?, 0)),
    }
}

/// Sends how many records arrived, whenever some did, until nobody reads or it has been long enough.
async fn count(
    central: Arc<Central>,
    sight: Sight,
    filter: EventFilter,
    mut position: i64,
    mut counted: usize,
    mut sender: Sender<Bytes, Infallible>,
    _open: OpenStream,
) {
    for _ in 0..LOOKS {
        let message = match central.store.arrivals(&sight, &filter, position).await {
            Ok(arrivals) => {
                let is_news = arrivals.count > 0;
                position = arrivals.position;
                counted += arrivals.count;
                match is_news {
                    true => {
                        format!("id: {position}-{counted}\nevent: arrived\ndata: {counted}\n\n")
                    }
                    // A comment, so that proxies do not take the line for dead.
                    false => ": nothing new\n\n".to_owned(),
                }
            }
            Err(error) => {
                tracing::error!(%error, "a live count could not be read");
                return;
            }
        };
        if sender.send_data(Bytes::from(message)).await.is_err() {
            return;
        }
        tokio::time::sleep(EACH).await;
    }
}
