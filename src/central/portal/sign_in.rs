//! Signing in and out.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{ConnectInfo, Extension, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::central::Central;
use crate::central::people::{Actor, Cookie, From, NewSession, Refused, SignedIn, Way, origin};
use crate::central::store::StoreError;
use crate::secret::Secret;

use super::address::with_query;
use super::assets;
use super::failure::Failure;
use super::guard::session;
use super::shell::draw;
use super::text::visible;

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/central/portal/askama.toml")]
pub(super) struct SignInPage {
    assets: String,
    next: String,
    name: String,
    has_passwords: bool,
    /// What people call the identity provider, and the address that leads to it.
    provider: Option<(String, String)>,
    /// Whether somebody was signed out here who is still signed in at the provider.
    left: bool,
    problem: Option<Problem>,
}

/// What went wrong, and what to do.
pub(super) struct Problem {
    pub(super) what: String,
    pub(super) advice: &'static str,
}

impl SignInPage {
    /// The page; whoever signs in goes on to `next`.
    pub(super) fn new(central: &Central, next: String) -> SignInPage {
        let provider = central.single_sign_on.as_ref().map(|provider| {
            let address = with_query("/sign-in/sso", &[("next", &next)]);
            (visible(&provider.config.name), address)
        });
        SignInPage {
            assets: assets::base(),
            next,
            name: String::new(),
            has_passwords: central.has_passwords,
            provider,
            left: false,
            problem: None,
        }
    }

    /// The page with what went wrong.
    pub(super) fn with(self, problem: Problem) -> SignInPage {
        SignInPage {
            problem: Some(problem),
            ..self
        }
    }

    /// The page as an answer.
    pub(super) fn answer(self, status: StatusCode) -> Result<Response, Failure> {
        Ok((status, draw(&self)?).into_response())
    }
}

#[derive(Template)]
#[template(path = "sign_in_link.html", config = "src/central/portal/askama.toml")]
struct LinkPage {
    assets: String,
    action: String,
    person: String,
}

/// Where to go once somebody is signed in, and whether somebody just left who came by the provider.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Next {
    pub(super) next: String,
    left: bool,
}

/// What the form of the sign-in page sends.
#[derive(Deserialize)]
pub(super) struct Credentials {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// Who asks, whether signed in or not, over a way on which a cookie can be kept.
pub(super) struct Visitor {
    pub(super) way: Way,
    pub(super) from: From,
    pub(super) headers: HeaderMap,
    peer: SocketAddr,
}

impl FromRequestParts<Arc<Central>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Visitor, Response> {
        let peer = ConnectInfo::from_request_parts(parts, central).await;
        let ConnectInfo(peer) = peer.map_err(IntoResponse::into_response)?;
        match central.way(peer, &parts.headers) {
            Way::Open => Err(Failure::NeedsTls.into_response()),
            way => Ok(Visitor {
                way,
                from: origin(peer, &parts.headers),
                headers: parts.headers.clone(),
                peer,
            }),
        }
    }
}

impl Visitor {
    pub(super) async fn is_signed_in(&self, central: &Central) -> Result<bool, StoreError> {
        Ok(session(central, self.peer, &self.headers).await?.is_some())
    }

    /// Gives the browser its session, and leads on.
    pub(super) fn let_in(self, central: &Central, session: &NewSession, next: &str) -> Response {
        let age = central.sessions.max_age.as_secs();
        let cookie = self.way.set(Cookie::Session, Some(&session.secret), age);
        let mut response = Redirect::to(own_address(next)).into_response();
        if let Some(cookie) = cookie {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// Someone wants to sign in.
pub(super) async fn page(
    State(central): State<Arc<Central>>,
    visitor: Visitor,
    Query(Next { next, left }): Query<Next>,
) -> Result<Response, Failure> {
    if visitor.is_signed_in(&central).await? {
        return Ok(Redirect::to(own_address(&next)).into_response());
    }
    let page = SignInPage {
        left,
        ..SignInPage::new(&central, next)
    };
    page.answer(StatusCode::OK)
}

/// Someone signs in by name and password.
pub(super) async fn enter(
    State(central): State<Arc<Central>>,
    visitor: Visitor,
    Form(form): Form<Credentials>,
) -> Result<Response, Failure> {
    let password = Secret::new(form.password);
    match central.sign_in(&form.name, &password, &visitor.from).await {
        Ok(session) => Ok(visitor.let_in(&central, &session, &form.next)),
        Err(Refused::Wrong) => {
            let page = SignInPage {
                name: form.name.chars().take(254).collect(),
                ..SignInPage::new(&central, form.next)
            };
            let problem = Problem {
                what: "The name or the password is wrong.".to_owned(),
                advice: "",
            };
            page.with(problem).answer(StatusCode::UNAUTHORIZED)
        }
        Err(refused) => Err(refused.into()),
    }
}

/// Someone opens a link that lets in once. Opening it changes nothing: whoever checks links in mail opens
/// them, too.
pub(super) async fn link_page(
    State(central): State<Arc<Central>>,
    visitor: Visitor,
    Path(secret): Path<String>,
) -> Result<Response, Failure> {
    let secret = Secret::new(secret);
    match central.link_person(&secret).await? {
        Some(person) => {
            let page = LinkPage {
                assets: assets::base(),
                action: format!("/sign-in/link/{}", secret.expose()),
                person: visible(&person.name),
            };
            Ok(draw(&page)?.into_response())
        }
        // Whoever used it here and opens it again wants to go on.
        None if visitor.is_signed_in(&central).await? => Ok(Redirect::to("/").into_response()),
        None => Err(Failure::UsedLink),
    }
}

/// Someone signs in by such a link.
pub(super) async fn enter_by_link(
    State(central): State<Arc<Central>>,
    visitor: Visitor,
    Path(secret): Path<String>,
) -> Result<Response, Failure> {
    let entered = central
        .sign_in_by_link(&Secret::new(secret), &visitor.from)
        .await;
    match entered {
        Ok(session) => Ok(visitor.let_in(&central, &session, "/")),
        Err(Refused::Wrong) => Err(Failure::UsedLink),
        Err(refused) => Err(refused.into()),
    }
}

/// Someone signs out of this browser.
pub(super) async fn leave(
    State(central): State<Arc<Central>>,
    Extension(session): Extension<SignedIn>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    central.sign_out(&session, &visitor.from.address).await?;
    Ok(signed_out(&session, visitor.way))
}

/// Someone signs out of every browser.
pub(super) async fn leave_everywhere(
    State(central): State<Arc<Central>>,
    Extension(session): Extension<SignedIn>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let actor = Actor::person(&session.person, &visitor.from.address);
    central.sign_out_everywhere(&session.person, &actor).await?;
    Ok(signed_out(&session, visitor.way))
}

fn signed_out(session: &SignedIn, way: Way) -> Response {
    let address = match session.is_single_sign_on {
        true => "/sign-in?left=true",
        false => "/sign-in",
    };
    let mut response = Redirect::to(address).into_response();
    if let Some(cookie) = way.set(Cookie::Session, None, 0) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

impl std::convert::From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused {
            Refused::Wrong => Failure::Refused("The present password is wrong.".to_owned()),
            Refused::NoPasswords => Failure::Refused(format!("{refused}.")),
            Refused::TooOften => Failure::TooOften,
            Refused::Store(error) => error.into(),
        }
    }
}

/// Where to go on: an address of ours, or the portal's first page.
pub(super) fn own_address(next: &str) -> &str {
    let is_ours = next.starts_with('/')
        && !next.starts_with("//")
        && next
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_ours { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        assert_eq!(own_address("/t/a/b/?q=%20x"), "/t/a/b/?q=%20x");
        for next in [
            "",
            "https://example.com",
            "//example.com",
            "/\\example.com",
            "/a\r\nb",
            "javascript:1",
        ] {
            assert_eq!(own_address(next), "/", "{next:?}");
        }
    }
}
