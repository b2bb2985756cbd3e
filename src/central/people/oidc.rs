//! Single sign-on by OpenID Connect: the authorization code flow with PKCE.
//!
//! ```text
//! sign-in page -> begin: redirect with state, nonce, challenge; a cookie holds what they follow from
//!              -> provider signs in
//!              -> finish: state? -> code + verifier for an ID token -> signature, issuer, audience, nonce, times
//!              -> e-mail of an allowed domain -> person, roles by groups (arrive.rs) -> session
//! ```
//! * What the provider says of itself is asked for when it is first needed, and again every hour, or when it
//!   signs with a key that is not known yet: it may be down while the service starts.
//! * A person is known by issuer and subject, which stay; the e-mail address is the name.

mod attempt;
mod groups;
mod id_token;
mod provider;

use std::sync::Arc;

use reqwest::Client;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::central::config::{ClientSecret, Oidc};
use crate::central::store::StoreError;
use crate::event::Timestamp;
use crate::secret::{self, Secret};

use id_token::{Expected, TokenRefusal};
use provider::{Exchange, Provider, Tokens, form};

pub(in crate::central) use attempt::Attempt;
pub use groups::{RoleRule, RoleRules};
pub(in crate::central) use provider::is_trusted_address;

/// How long what a provider said of itself is believed, in nanoseconds: an hour.
const BELIEVED_FOR: i64 = 3_600 * 1_000_000_000;

/// Time between two questions because of a key that is not known, in nanoseconds: whoever makes up keys
/// shall not make us ask.
const ASKED_AGAIN_AFTER: i64 = 10 * 1_000_000_000;

/// Where the provider sends people back to, below the service's address.
const CALLBACK: &str = "/sign-in/sso/callback";

/// Why somebody could not sign in through the provider.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// It was tried too often.
    #[error("it was tried too often")]
    TooOften,
    /// The browser did not begin this, or too long ago.
    #[error("this browser did not begin this sign-in, or too long ago")]
    Stale,
    /// The provider does not answer, or not as it should; for the log.
    #[error("the provider: {0}")]
    Unreachable(String),
    /// The provider did not sign the person in, and says why.
    #[error("the provider refused: {0}")]
    Declined(String),
    /// The ID token is not believed.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// The provider does not say what is needed, and what that is.
    #[error("{0}")]
    Incomplete(&'static str),
    /// The address is of a domain that is not let in.
    #[error("{0} is not of an allowed domain")]
    Domain(String),
    /// No group of the person has a role here.
    #[error("no group of {0} has a role here")]
    NoRole(String),
    /// The address is that of an account that belongs to somebody else at the provider.
    #[error("{0} is the name of another account")]
    Taken(String),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who somebody is, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::central) struct Identity {
    pub(in crate::central) subject: String,
    pub(in crate::central) email: String,
    pub(in crate::central) groups: Vec<String>,
}

/// What the provider sends the browser back with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::central) struct Callback {
    code: String,
    state: String,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// The provider that people sign in through.
pub(in crate::central) struct SingleSignOn {
    pub(in crate::central) config: Oidc,
    /// The service's address, without a slash at its end.
    public_url: String,
    client: Client,
    known: Mutex<Option<Arc<Provider>>>,
}

impl SingleSignOn {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// When the authorities' file cannot be used.
    pub(in crate::central) fn new(config: Oidc, public_url: &str) -> anyhow::Result<SingleSignOn> {
        Ok(SingleSignOn {
            client: provider::client(&config)?,
            public_url: public_url.trim_end_matches('/').to_owned(),
            config,
            known: Mutex::new(None),
        })
    }

    /// Begins: where the browser goes, and what it keeps meanwhile.
    pub(in crate::central) async fn begin(
        &self,
        next: &str,
        now: Timestamp,
    ) -> Result<(String, Attempt), OidcError> {
        let provider = self.provider(now, BELIEVED_FOR).await?;
        let attempt = Attempt::new(next);
        let address = with_parameters(
            &provider.metadata.authorization_endpoint,
            &[
                ("response_type", "code"),
                ("client_id", &self.config.client_id),
                ("redirect_uri", &self.redirect()),
                ("scope", &self.config.scopes.join(" ")),
                ("state", &attempt.state()),
                ("nonce", &attempt.nonce()),
                ("code_challenge", &attempt.challenge()),
                ("code_challenge_method", "S256"),
            ],
        );
        Ok((address, attempt))
    }

    /// Finishes: who the browser's person is.
    pub(in crate::central) async fn finish(
        &self,
        attempt: &Attempt,
        callback: &Callback,
        now: Timestamp,
    ) -> Result<Identity, OidcError> {
        if !secret::is_same(&callback.state, attempt.state()) {
            return Err(OidcError::Stale);
        }
        if let Some(error) = &callback.error {
            let why = callback.error_description.as_ref().unwrap_or(error);
            return Err(OidcError::Declined(why.chars().take(200).collect()));
        }
        let provider = self.provider(now, BELIEVED_FOR).await?;
        let names_itself = provider
            .metadata
            .authorization_response_iss_parameter_supported;
        let is_named = callback.iss.as_ref() == Some(&self.config.issuer);
        if !is_named && (names_itself || callback.iss.is_some()) {
            return Err(TokenRefusal::Issuer.into());
        }
        let secret = self.secret()?;
        let exchange = Exchange {
            code: &callback.code,
            verifier: &attempt.verifier(),
            redirect: &self.redirect(),
            client_id: &self.config.client_id,
            client_secret: secret.as_ref(),
        };
        let tokens = provider.exchange(&self.client, &exchange).await?;
        let claims = self.claims(&provider, &tokens, attempt, now).await?;
        self.identity(&provider, &tokens, claims).await
    }

    /// Where the browser goes to be signed out of the provider, too, if the provider can do that.
    pub(in crate::central) async fn end_session(
        &self,
        now: Timestamp,
    ) -> Result<Option<String>, OidcError> {
        let provider = self.provider(now, BELIEVED_FOR).await?;
        let back = format!("{}/sign-in", self.public_url);
        let endpoint = provider.metadata.end_session_endpoint.as_ref();
        Ok(endpoint.map(|endpoint| {
            let client = ("client_id", self.config.client_id.as_str());
            with_parameters(endpoint, &[client, ("post_logout_redirect_uri", &back)])
        }))
    }

    fn redirect(&self) -> String {
        format!("{}{CALLBACK}", self.public_url)
    }

    fn secret(&self) -> Result<Option<Secret>, OidcError> {
        match &self.config.client_secret {
            ClientSecret::None => Ok(None),
            ClientSecret::Variable(secret) => Ok(Some(secret.clone())),
            ClientSecret::File(file) => {
                let read = secret::read_file(file);
                read.map(Some)
                    .map_err(|error| OidcError::Unreachable(format!("its client secret: {error}")))
            }
        }
    }

    /// The provider, asked again when what is known is older than `believed`, in nanoseconds.
    async fn provider(&self, now: Timestamp, believed: i64) -> Result<Arc<Provider>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some(provider) = known.as_ref()
            && now.0.saturating_sub(provider.asked_at.0) < believed
        {
            return Ok(Arc::clone(provider));
        }
        let asked = Provider::discover(&self.client, &self.config.issuer, now).await?;
        let asked = Arc::new(asked);
        *known = Some(Arc::clone(&asked));
        Ok(asked)
    }

    async fn claims(
        &self,
        provider: &Arc<Provider>,
        tokens: &Tokens,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<id_token::Claims, OidcError> {
        let header = id_token::header(&tokens.id_token)?;
        let mut provider = Arc::clone(provider);
        if id_token::find_key(&provider.keys, &header).is_none() {
            provider = self.provider(now, ASKED_AGAIN_AFTER).await?;
        }
        let key = id_token::find_key(&provider.keys, &header).ok_or(TokenRefusal::UnknownKey)?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &attempt.nonce(),
            now,
        };
        Ok(id_token::verify(&tokens.id_token, &header, key, &expected)?)
    }

    /// What the claims say of a person; what is missing is asked for at the userinfo endpoint.
    async fn identity(
        &self,
        provider: &Provider,
        tokens: &Tokens,
        claims: id_token::Claims,
    ) -> Result<Identity, OidcError> {
        let id_token::Claims { subject, mut all } = claims;
        if !all.contains_key("email") || !all.contains_key(&self.config.groups_claim) {
            let more = provider.userinfo(&self.client, tokens).await?;
            if !more.is_empty() && more.get("sub") != Some(&Value::from(&*subject)) {
                return Err(OidcError::Incomplete(
                    "the provider tells of another person",
                ));
            }
            for (name, value) in more {
                all.entry(name).or_insert(value);
            }
        }
        Ok(Identity {
            email: self.email(&all)?,
            groups: groups_in(&all, &self.config.groups_claim)?,
            subject,
        })
    }

    /// The address, if it may be let in.
    fn email(&self, claims: &Map<String, Value>) -> Result<String, OidcError> {
        let email = claims
            .get("email")
            .and_then(Value::as_str)
            .ok_or(OidcError::Incomplete(
                "the provider does not say the e-mail address; ask for the scope email",
            ))?;
        // Some providers write it as a text.
        let is_verified = claims
            .get("email_verified")
            .is_some_and(|told| *told == Value::Bool(true) || told.as_str() == Some("true"));
        if !is_verified && !self.config.accept_unverified_email {
            return Err(OidcError::Incomplete(
                "the provider does not say that the e-mail address is verified \
                 (oidc.accept_unverified_email lets such in)",
            ));
        }
        let email = super::check_person_name(email).map_err(|_| {
            OidcError::Incomplete("the provider's e-mail address cannot be a name here")
        })?;
        let domain = email.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        let is_allowed = self.config.domains.is_empty()
            || domain.is_some_and(|domain| self.config.domains.contains(&domain));
        match is_allowed {
            true => Ok(email),
            false => Err(OidcError::Domain(email)),
        }
    }
}

/// The groups in a claim: a list of texts, or one text.
fn groups_in(claims: &Map<String, Value>, claim: &str) -> Result<Vec<String>, OidcError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match claims.get(claim) {
        Some(Value::Array(groups)) => Ok(groups.iter().filter_map(text).collect()),
        Some(one) => Ok(text(one).into_iter().collect()),
        // Who is in too many groups gets a reference instead (OpenID Connect Core 1.0, section 5.6.2).
        None if claims
            .get("_claim_names")
            .is_some_and(|names| names.get(claim).is_some()) =>
        {
            Err(OidcError::Incomplete(
                "the person is in more groups than the provider puts into a token; let it send only \
                 those that are assigned to fieldpost",
            ))
        }
        None => Ok(Vec::new()),
    }
}

fn with_parameters(endpoint: &str, parameters: &[(&str, &str)]) -> String {
    let query: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", form(value)))
        .collect();
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    format!("{endpoint}{joint}{}", query.join("&"))
}
