//! Signing in through the identity provider: out to it, and back.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use crate::central::Central;
use crate::central::people::{Attempt, Callback, Cookie, NewSession, OidcError, SingleSignOn, Way};

use super::failure::Failure;
use super::observability::read_query;
use super::sign_in::{Next, Problem, SignInPage, Visitor, own_address};

/// Time to sign in at the provider, in seconds.
const ATTEMPT_SECONDS: u64 = 600;

/// Someone wants to sign in through the provider: the browser goes there, and keeps meanwhile what shows that
/// it was the one that began.
pub(super) async fn begin(
    State(central): State<Arc<Central>>,
    visitor: Visitor,
    next: Result<Query<Next>, QueryRejection>,
) -> Result<Response, Failure> {
    let provider = provider(&central)?;
    let next = read_query(next)?.next;
    if visitor.is_signed_in(&central).await? {
        return Ok(Redirect::to(own_address(&next)).into_response());
    }
    match provider.begin(&next, central.clock.now()).await {
        Ok((address, attempt)) => {
            let cookie = visitor
                .way
                .set(Cookie::Attempt, Some(&attempt.cookie()), ATTEMPT_SECONDS);
            Ok(with_cookie(Redirect::to(&address).into_response(), cookie))
        }
        Err(error) => refused(&central, &error, next),
    }
}

/// The provider sends somebody back.
pub(super) async fn callback(
    State(central): State<Arc<Central>>,
    visitor: Visitor,
    callback: Result<Query<Callback>, QueryRejection>,
) -> Result<Response, Failure> {
    let provider = provider(&central)?;
    let callback = read_query(callback)?;
    let way = visitor.way;
    let kept = way.value(Cookie::Attempt, &visitor.headers);
    let attempt = kept.as_ref().and_then(Attempt::of_cookie);
    let entered: Result<NewSession, OidcError> = central
        .sign_in_by_provider(provider, attempt.as_ref(), &callback, &visitor.from)
        .await;
    let next = attempt.map(|attempt| attempt.next).unwrap_or_default();
    let response = match entered {
        Ok(session) => visitor.let_in(&central, &session, &next),
        Err(error) => refused(&central, &error, next)?,
    };
    // It is used up, whatever came of it.
    Ok(with_cookie(response, used_up(way)))
}

/// Someone who signed out of fieldpost wants to be signed out of the provider, too.
pub(super) async fn leave(State(central): State<Arc<Central>>) -> Result<Response, Failure> {
    match provider(&central)?.end_session(central.clock.now()).await {
        Ok(Some(address)) => Ok(Redirect::to(&address).into_response()),
        Ok(None) => Err(Failure::Refused(
            "The identity provider has no address for signing out.".to_owned(),
        )),
        Err(error) => refused(&central, &error, String::new()),
    }
}

fn provider(central: &Central) -> Result<&SingleSignOn, Failure> {
    let provider = central.single_sign_on.as_ref();
    provider.ok_or(Failure::NotFound("way to sign in"))
}

fn used_up(way: Way) -> Option<HeaderValue> {
    way.set(Cookie::Attempt, None, 0)
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The sign-in page again, with what went wrong and what to do.
fn refused(central: &Central, error: &OidcError, next: String) -> Result<Response, Failure> {
    let (status, title, advice) = match error {
        OidcError::TooOften => return Err(Failure::TooOften),
        OidcError::Store(error) => {
            tracing::error!(%error, "the portal could not read the store");
            return Err(Failure::Unavailable);
        }
        OidcError::Unreachable(why) => {
            tracing::error!(why, "the identity provider cannot be used");
            (
                StatusCode::BAD_GATEWAY,
                "The identity provider does not answer as it should.".to_owned(),
                "Try again in a moment; the reason is in the service's log.",
            )
        }
        OidcError::Stale => (
            StatusCode::BAD_REQUEST,
            "This browser did not begin this sign-in, or more than ten minutes ago.".to_owned(),
            "Begin again here.",
        ),
        OidcError::Declined(why) => (
            StatusCode::FORBIDDEN,
            format!("The identity provider did not sign you in: {why}."),
            "Try again, or ask whoever looks after the provider.",
        ),
        OidcError::Token(refusal) => (
            StatusCode::FORBIDDEN,
            format!("What the identity provider sent is not believed: {refusal}."),
            "Begin again here. If it happens again, tell whoever looks after fieldpost.",
        ),
        OidcError::Incomplete(why) => (
            StatusCode::FORBIDDEN,
            format!("You cannot be let in: {why}."),
            "Ask whoever looks after the identity provider.",
        ),
        OidcError::Domain(_) | OidcError::NoRole(_) => (
            StatusCode::FORBIDDEN,
            format!("You are signed in at the identity provider, but {error}."),
            "Ask an owner to let you in, or whoever looks after the groups at the provider.",
        ),
        OidcError::Taken(_) => (
            StatusCode::FORBIDDEN,
            format!(
                "You are signed in at the identity provider, but {error}, which is somebody else there."
            ),
            "If that person is gone, an owner must remove the account under Settings, People.",
        ),
    };
    let problem = Problem {
        what: title,
        advice,
    };
    SignInPage::new(central, next).with(problem).answer(status)
}
