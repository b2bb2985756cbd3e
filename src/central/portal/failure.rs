//! Pages for what did not work: what happened and what to do.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use crate::central::store::StoreError;

use super::assets;

/// Why a page cannot be shown.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such thing in this environment; the word says what kind.
    NotFound(&'static str),
    /// No tenant has been made yet.
    NoEnvironment,
    /// The address cannot be understood, and why.
    BadRequest(&'static str),
    /// The request does not come from the machine itself.
    NotLocal,
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
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::BadCursor => {
                Failure::BadRequest("The place in the list that this address names does not exist.")
            }
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
            leads_home: !matches!(self, Failure::NotLocal | Failure::NoEnvironment),
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
            Failure::NotFound(_) | Failure::NoEnvironment => StatusCode::NOT_FOUND,
            Failure::BadRequest(_) => StatusCode::BAD_REQUEST,
            Failure::NotLocal | Failure::ForeignForm => StatusCode::FORBIDDEN,
            Failure::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Failure::NotFound(_) => "Not here",
            Failure::NoEnvironment => "No environment yet",
            Failure::BadRequest(_) => "This address makes no sense",
            Failure::NotLocal => "Only from the machine itself",
            Failure::ForeignForm => "Not from one of our pages",
            Failure::Unavailable => "The store does not answer",
        }
    }

    fn explanation(&self) -> String {
        match self {
            Failure::NotFound(kind) => {
                format!("There is no such {kind} here.")
            }
            Failure::NoEnvironment => "This service has no tenant with an environment.".to_owned(),
            Failure::BadRequest(why) => (*why).to_owned(),
            Failure::NotLocal => "Until sign-in exists, the portal is reachable only from the \
                 machine it runs on, under a loopback name and without a proxy in between."
                .to_owned(),
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
            Failure::NoEnvironment => "Make one with: fieldpost central tenant add",
            Failure::BadRequest(_) => "Go back and set the filter again.",
            Failure::NotLocal => {
                "Open an SSH tunnel, such as: ssh -L 8080:127.0.0.1:8080 you@this-machine, \
                 then open http://127.0.0.1:8080/"
            }
            Failure::ForeignForm => "Open the portal and use the button there.",
            Failure::Unavailable => "Try again in a moment; the reason is in the service's log.",
        }
    }
}
