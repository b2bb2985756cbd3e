//! Pages for what did not work: what happened and what to do.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use crate::central::people::PeopleError;
use crate::central::request_id;
use crate::central::store::StoreError;

use super::assets;

/// Why a page cannot be shown.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such thing in this environment; the word says what kind.
    NotFound(&'static str),
    /// The address cannot be understood, and why.
    BadRequest(&'static str),
    /// A change without a session.
    SignedOut,
    /// A form that does not carry its session's token.
    StaleForm,
    /// The person's role may not do that; the word says which may.
    NotAllowed(&'static str),
    /// The person has no role in any environment.
    NoMembership,
    /// The change cannot be made, and why.
    Refused(String),
    /// Nobody can sign in over a network without TLS.
    NeedsTls,
    /// Somebody tries too often.
    TooOften,
    /// More answers that go on for long than a person has at once.
    TooMany,
    /// A link that let somebody in already, or is too old.
    UsedLink,
    /// A change that no page of ours asked for.
    ForeignForm,
    /// The store does not answer.
    Unavailable,
}

#[derive(Template)]
#[template(path = "failure.html", config = "src/central/portal/askama.toml")]
struct FailurePage {
    assets: String,
    title: &'static str,
    explanation: String,
    advice: &'static str,
    code: u16,
    leads_home: bool,
    /// The request's number, as the service's log has it.
    request_id: String,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::BadCursor => {
                Failure::BadRequest("The place in the list that this address names does not exist.")
            }
            StoreError::ContentHidden => Failure::NotAllowed("owner"),
            StoreError::BadQuery(_) => {
                Failure::BadRequest("A filter in this address cannot be read.")
            }
            error => {
                tracing::error!(%error, "the portal could not read the store");
                Failure::Unavailable
            }
        }
    }
}

impl From<PeopleError> for Failure {
    fn from(error: PeopleError) -> Failure {
        match error {
            PeopleError::Store(error) => error.into(),
            PeopleError::Missing(_) => Failure::NotFound("person"),
            error => Failure::Refused(format!("{error}.")),
        }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Failure {
        tracing::error!(%error, "a page could not be drawn");
        Failure::Unavailable
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        let page = FailurePage {
            assets: assets::base(),
            title: self.title(),
            explanation: self.explanation(),
            advice: self.advice(),
            code: status.as_u16(),
            leads_home: !matches!(
                self,
                Failure::NoMembership | Failure::NeedsTls | Failure::TooOften
            ),
            request_id: request_id::current(),
        };
        match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => status.into_response(),
        }
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Failure::NotFound(_) => StatusCode::NOT_FOUND,
            Failure::BadRequest(_) => StatusCode::BAD_REQUEST,
            Failure::SignedOut => StatusCode::UNAUTHORIZED,
            Failure::ForeignForm
            | Failure::StaleForm
            | Failure::NotAllowed(_)
            | Failure::NoMembership
            | Failure::NeedsTls => StatusCode::FORBIDDEN,
            Failure::UsedLink => StatusCode::GONE,
            Failure::Refused(_) => StatusCode::CONFLICT,
            Failure::TooOften | Failure::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Failure::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Failure::NotFound(_) => "Not here",
            Failure::BadRequest(_) => "This address makes no sense",
            Failure::SignedOut => "You are signed out",
            Failure::StaleForm => "This form is too old",
            Failure::NotAllowed(_) => "Your role may not do that",
            Failure::NoMembership => "You are in no environment",
            Failure::Refused(_) => "That cannot be done",
            Failure::NeedsTls => "Signing in needs HTTPS",
            Failure::TooOften => "Too many tries",
            Failure::TooMany => "Too many at once",
            Failure::UsedLink => "This link is used up",
            Failure::ForeignForm => "Not from one of our pages",
            Failure::Unavailable => "The store does not answer",
        }
    }

    fn explanation(&self) -> String {
        match self {
            Failure::NotFound(kind) => {
                format!("There is no such {kind} here.")
            }
            Failure::BadRequest(why) => (*why).to_owned(),
            Failure::SignedOut => {
                "The session ended before this change was asked for; nothing was changed."
                    .to_owned()
            }
            Failure::StaleForm => "The form belongs to another session than the one you have \
                 now; nothing was changed."
                .to_owned(),
            Failure::NotAllowed(who) => format!("This is for the role {who} in this environment."),
            Failure::NoMembership => "Your account is known, but has no role anywhere.".to_owned(),
            Failure::Refused(why) => why.clone(),
            Failure::NeedsTls => "This address is reached over a network without encryption, \
                 where anybody in between could take your session."
                .to_owned(),
            Failure::UsedLink => {
                "A link lets somebody in once, within an hour after it was made.".to_owned()
            }
            Failure::TooOften => {
                "Signing in was tried too often, for this account or from this address.".to_owned()
            }
            Failure::TooMany => {
                "As many exports or live lists of yours are under way as there may be at once."
                    .to_owned()
            }
            Failure::ForeignForm => "A change has to be asked for on a page of this portal, and \
                 this request does not say that it was."
                .to_owned(),
            Failure::Unavailable => {
                "The page cannot be drawn now. Nothing that was received is lost.".to_owned()
            }
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Failure::NotFound(_) => {
                "Check the address. A record that was just sent can take a few seconds to arrive."
            }
            Failure::BadRequest(_) => "Go back and set the filter again.",
            Failure::SignedOut => "Sign in, and do it again.",
            Failure::StaleForm => "Go back, load the page anew, and do it again.",
            Failure::NotAllowed(_) | Failure::NoMembership => "Ask an owner for the role.",
            Failure::Refused(_) => "Go back to the page, and try it another way.",
            Failure::NeedsTls => {
                "Set [tls] or an https public_url in central.toml, or open an SSH tunnel \
                 (ssh -L 8080:127.0.0.1:8080 you@this-machine) and http://127.0.0.1:8080/"
            }
            Failure::UsedLink => {
                "Start `fieldpost dev` again, or run: fieldpost central user link NAME"
            }
            Failure::TooMany => "Wait until one has ended, or close one.",
            Failure::TooOften => "Wait a quarter of an hour. Whoever is signed in stays so.",
            Failure::ForeignForm => "Open the portal and use the button there.",
            Failure::Unavailable => "Try again in a moment; the reason is in the service's log.",
        }
    }
}
