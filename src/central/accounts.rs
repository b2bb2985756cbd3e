//! Installations, tokens, keys: what lets somebody in, and how that ends.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;
use crate::secret::{Secret, random_digits};

use super::auth::{self, Claims, TOKEN_LIFETIME_SECONDS};
use super::keys::{KeyChangeError, SigningKey};
use super::people::Actor;
use super::store::{
    Access, AuditEntry, Environment, Installation, PersonalKey, Role, Scope, StoreError, Token,
    TokenAddress, TokenDay, TokenRefusal, TokenRejection, TokenSender,
};
use super::{Central, OTLP_PREFIX};

/// Time between two writes of what was counted of tokens.
const USAGE_INTERVAL: Duration = Duration::from_secs(1);

/// Characters of a hash that name an API key in lists.
const KEY_ID_DIGITS: usize = 16;

/// Longest name of a token or a key, in characters.
const MAX_NAME: usize = 100;

/// A token with everything that is known of its use.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TokenDetail {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The latest addresses that it was used from, at most 100.
    pub addresses: Vec<TokenAddress>,
    /// Who sends with it: those first that depend on it, then the latest. At most 500 agents and 500 machines.
    pub senders: Vec<TokenSender>,
    /// New events of the last 30 days that came with it, by day, the latest first; days without any are left
    /// out.
    pub days: Vec<TokenDay>,
    /// Requests with it that were refused, by reason.
    pub refused: Vec<TokenRefusal>,
    /// Records that came with it and were rejected while the rest of their request was stored, by reason.
    pub rejected: Vec<TokenRejection>,
}

/// What became of a token that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDeletion {
    /// It is forgotten.
    Done,
    /// There is none with this id.
    Missing,
    /// It could still be used: it must be revoked first.
    Live,
}

impl Central {
    /// Installs Claude Cowork, for the first time or again: a new token, shown once. Tokens issued
    /// before go on working until they are revoked. `name` is what people call the token, and `actor` makes
    /// it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn install(
        &self,
        environment: &Environment,
        name: &str,
        actor: &Actor,
    ) -> Result<Installation, StoreError> {
        let now = Timestamp::now();
        let issued = now.0 / 1_000_000_000;
        let claims = Claims::new(environment, issued);
        let (token, key_id) = self.token_keys.sign(&claims);
        let expires = Timestamp(now.0.saturating_add(TOKEN_LIFETIME_SECONDS * 1_000_000_000));
        self.store
            .add_token(
                environment.scope,
                &claims.jti,
                &key_id,
                (name, &actor.name),
                now,
                expires,
            )
            .await?;
        Ok(Installation {
            endpoint: format!("{}{OTLP_PREFIX}/v1/logs", self.public_url),
            protocol: "http/json".to_owned(),
            authorization_header: format!("Bearer {token}"),
        })
    }

    /// Takes the integration away: every token of it is revoked. Gives how many lived.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn uninstall(&self, scope: Scope) -> Result<u64, StoreError> {
        let revoked = self.store.uninstall(scope).await;
        self.verified.forget();
        revoked
    }

    /// Revokes a token; false when there is none to revoke.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn revoke_token(&self, scope: Scope, token_id: &str) -> Result<bool, StoreError> {
        let revoked = self.store.revoke_token(scope, token_id).await;
        // Other processes ask again within a second.
        self.verified.forget();
        revoked
    }

    /// Forgets a token that cannot be used any more.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete_token(
        &self,
        scope: Scope,
        token_id: &str,
    ) -> Result<TokenDeletion, StoreError> {
        if self.store.delete_dead_token(scope, token_id).await? {
            self.verified.forget();
            return Ok(TokenDeletion::Done);
        }
        let token = self.store.token(scope, token_id, Timestamp::now()).await?;
        Ok(match token {
            Some(_) => TokenDeletion::Live,
            None => TokenDeletion::Missing,
        })
    }

    /// A token with everything that is known of its use; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token(
        &self,
        scope: Scope,
        token_id: &str,
    ) -> Result<Option<TokenDetail>, StoreError> {
        // What this process counted is shown at once, that of others within a second.
        self.write_usage().await?;
        let (store, now) = (&self.store, Timestamp::now());
        let Some(token) = store.token(scope, token_id, now).await? else {
            return Ok(None);
        };
        let mut refusals = store.token_refusals(scope).await?;
        let mut rejections = store.token_rejections(scope).await?;
        Ok(Some(TokenDetail {
            token,
            addresses: store.token_addresses(scope, token_id).await?,
            senders: store.token_senders(scope, token_id, now).await?,
            days: store.token_days(scope, token_id, now).await?,
            refused: refusals.remove(token_id).unwrap_or_default(),
            rejected: rejections.remove(token_id).unwrap_or_default(),
        }))
    }

    /// Makes an API key: shown once, kept as a hash.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn create_api_key(&self, access: Access, name: &str) -> Result<Secret, StoreError> {
        let key = Secret::new(format!("{}{}", auth::API_KEY_PREFIX, random_digits()));
        let hash = auth::api_key_hash(key.expose());
        let id = &hash[..KEY_ID_DIGITS];
        self.store.add_api_key(access, &hash, id, name).await?;
        Ok(key)
    }

    /// Makes an API key of a person's, whose name is the entry's object: shown once, kept as a hash.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn create_personal_key(
        &self,
        scope: Scope,
        person: &str,
        role: Role,
        expires_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<Secret, StoreError> {
        let key = Secret::new(format!("{}{}", auth::API_KEY_PREFIX, random_digits()));
        let hash = auth::api_key_hash(key.expose());
        let noted = PersonalKey {
            hash: &hash,
            id: &hash[..KEY_ID_DIGITS],
            person,
            role,
            expires_at,
        };
        self.store.add_personal_key(scope, &noted, entry).await?;
        Ok(key)
    }

    /// Whether an API key is one of this service's.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn knows_api_key(&self, key: &str) -> Result<bool, StoreError> {
        let hash = auth::api_key_hash(key);
        let (now, confirmed) = (self.clock.now(), self.keys_confirmed_after());
        let found = self.store.api_key_access(&hash, now, confirmed).await?;
        Ok(found.is_some())
    }

    /// The keys that sign tokens, without their secrets.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let live = self.store.live_tokens_by_key().await?;
        Ok(self.token_keys.ring().list(&live))
    }

    /// Makes a key that signs from now on; tokens signed by others stay good. Gives its id.
    ///
    /// # Errors
    /// [`KeyChangeError`]
    pub fn rotate_signing_key(&self) -> Result<String, KeyChangeError> {
        self.token_keys.rotate()
    }

    /// Forgets a key: tokens signed by it stop working. One that live tokens were signed by is only
    /// retired when that is `agreed`.
    ///
    /// # Errors
    /// [`KeyChangeError`]
    pub async fn retire_signing_key(&self, id: &str, agreed: bool) -> Result<(), KeyChangeError> {
        self.check_signing_key(id, agreed).await?;
        self.token_keys.retire(id)
    }

    /// Whether [`Central::retire_signing_key`] would do it, for whoever notes it in the audit before.
    ///
    /// # Errors
    /// [`KeyChangeError`]
    pub async fn check_signing_key(&self, id: &str, agreed: bool) -> Result<(), KeyChangeError> {
        let known = self.signing_keys().await?;
        match known.into_iter().find(|key| key.id == id) {
            None => Err(KeyChangeError::Unknown(id.to_owned())),
            Some(key) if key.live_tokens > 0 && !agreed => Err(KeyChangeError::InUse {
                id: key.id,
                live: key.live_tokens,
            }),
            Some(key) if key.current => Err(KeyChangeError::Current(key.id)),
            Some(_) => Ok(()),
        }
    }

    /// Writes what was counted of tokens' use.
    ///
    /// # Errors
    /// [`StoreError`]; then it is kept for the next time.
    pub(super) async fn write_usage(&self) -> Result<(), StoreError> {
        let uses = self.usage.take();
        if uses.is_empty() {
            return Ok(());
        }
        let written = self.store.add_token_use(&uses).await;
        if written.is_err() {
            self.usage.put_back(uses);
        }
        written
    }

    /// Writes it once a second, as long as it is polled.
    pub(super) async fn keep_usage(&self) {
        loop {
            tokio::time::sleep(USAGE_INTERVAL).await;
            if let Err(error) = self.write_usage().await {
                tracing::warn!(%error, "the use of tokens is written later");
            }
        }
    }
}

/// Checks what somebody wants to call a token or a key.
///
/// # Errors
/// Words that say what would be right.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let fits = name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    match fits {
        true => Ok(()),
        false => Err("a name has at most 100 characters, on one line"),
    }
}
