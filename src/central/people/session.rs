//! Sessions: a browser holds a random secret in a cookie, the store its hash.
//!
//! A session ends by itself some time after it began, or after it was used last; when its person signs out
//! here or everywhere; when a role or the password changes. Trying passwords is slow: so many tries of one
//! account and from one address in a quarter of an hour, right ones of the address included.

use std::time::Duration;

use crate::central::Central;
use crate::central::store::{Person, StoreError};
use crate::event::Timestamp;
use crate::secret::{Secret, random_digits};

use super::audited::Actor;

/// Tries of one account in one span.
const ACCOUNT_TRIES: i64 = 10;

/// Tries from one address in one span.
const ADDRESS_TRIES: i64 = 60;

/// The span in which tries are counted.
const SPAN: Duration = Duration::from_secs(15 * 60);

/// How exactly it is kept when a session was used last.
const USE_STEP: Duration = Duration::from_secs(60);

/// Longest name of a browser that is kept, in characters.
const MAX_CLIENT: usize = 200;

/// How somebody signed in whom the identity provider sent.
pub(in crate::central) const SINGLE_SIGN_ON: &str = "single sign-on";

/// When sessions end by themselves.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// After they began.
    pub max_age: Duration,
    /// After they were used last.
    pub idle: Duration,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            max_age: Duration::from_secs(24 * 3600),
            idle: Duration::from_secs(8 * 3600),
        }
    }
}

/// A browser's way in, for its cookie.
#[derive(Debug)]
pub struct NewSession {
    /// What the cookie holds.
    pub secret: Secret,
}

/// Who uses a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The person.
    pub person: Person,
    /// What forms of this session carry.
    pub form_token: String,
    /// Whether the identity provider signed the person in.
    pub(in crate::central) is_single_sign_on: bool,
    /// Names the session in the store.
    pub(in crate::central) hash: String,
}

/// Why somebody was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The name, the password or the link is wrong; which is not said.
    #[error("the name or the password is wrong")]
    Wrong,
    /// Passwords let nobody in here, or not this person.
    #[error("only single sign-on lets you in")]
    NoPasswords,
    /// It was tried too often.
    #[error("it was tried too often; try again in a quarter of an hour")]
    TooOften,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct From {
    /// Its address.
    pub address: String,
    /// What the browser calls itself.
    pub client: String,
}

impl Central {
    /// Lets somebody in by name and password.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn sign_in(
        &self,
        name: &str,
        password: &Secret,
        from: &From,
    ) -> Result<NewSession, Refused> {
        if !self.has_passwords {
            return Err(Refused::NoPasswords);
        }
        let name = super::check_person_name(name).map_err(|_| Refused::Wrong)?;
        let account = format!("account {name}");
        for (subject, limit) in [
            (format!("address {}", from.address), ADDRESS_TRIES),
            (account.clone(), ACCOUNT_TRIES),
        ] {
            self.count_try(&subject, limit, from).await?;
        }
        let found = self.store.person(&name).await?;
        let hash = found.as_ref().and_then(|(_, hash)| hash.as_deref());
        if !self.passwords.matches(password, hash).await {
            let actor = Actor {
                person: found.map(|(person, _)| person.id),
                name,
                address: from.address.clone(),
            };
            let entry = self.entry(&actor, None, "sign_in.failed", "password");
            self.audit_stranger(entry).await?;
            return Err(Refused::Wrong);
        }
        let (person, _) = found.ok_or(Refused::Wrong)?;
        if self.follows_groups(&person).await? {
            return Err(Refused::NoPasswords);
        }
        self.store.forget_tries(&account).await?;
        Ok(self.open_session(&person, "password", from).await?)
    }

    /// Checks the password of somebody who is signed in already.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn check_password(
        &self,
        person: &Person,
        password: &Secret,
        from: &From,
    ) -> Result<(), Refused> {
        let account = format!("account {}", person.name);
        self.count_try(&account, ACCOUNT_TRIES, from).await?;
        let hash = self.store.person(&person.name).await?;
        let hash = hash.and_then(|(_, hash)| hash);
        match self.passwords.matches(password, hash.as_deref()).await {
            true => Ok(self.store.forget_tries(&account).await?),
            false => Err(Refused::Wrong),
        }
    }

    /// Counts a try; the first one too many is written to the audit.
    pub(super) async fn count_try(
        &self,
        subject: &str,
        limit: i64,
        from: &From,
    ) -> Result<(), Refused> {
        let span = self.clock.now().0 / nanoseconds(SPAN);
        if self.store.count_try(subject, span, limit).await? {
            return Ok(());
        }
        let told = format!("told {subject}");
        if self.store.count_try(&told, span, 1).await? {
            let actor = Actor::stranger(&from.address);
            let entry = self.entry(&actor, None, "sign_in.throttled", subject);
            self.audit_stranger(entry).await?;
        }
        Err(Refused::TooOften)
    }

    /// Signs a person in whose identity was proven by `how`.
    pub(in crate::central) async fn open_session(
        &self,
        person: &Person,
        how: &str,
        from: &From,
    ) -> Result<NewSession, StoreError> {
        let secret = Secret::new(random_digits());
        let actor = Actor::person(person, &from.address);
        let entry = self.entry(&actor, None, "sign_in", how);
        let client: String = from.client.chars().take(MAX_CLIENT).collect();
        let hash = hash(&secret);
        self.store
            .add_sign_in(&hash, &hash[..16], &person.id, &client, &entry)
            .await?;
        let limits = self.sessions;
        let now = self.clock.now();
        self.store
            .forget_ended_sign_ins(before(now, limits.max_age), before(now, limits.idle))
            .await?;
        Ok(NewSession { secret })
    }

    /// Who holds this secret of a cookie; `None` when its session ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn session(&self, secret: &Secret) -> Result<Option<SignedIn>, StoreError> {
        let hash = hash(secret);
        let Some(sign_in) = self.store.sign_in(&hash).await? else {
            return Ok(None);
        };
        let (now, limits) = (self.clock.now(), self.sessions);
        if sign_in.created_at <= before(now, limits.max_age)
            || sign_in.used_at <= before(now, limits.idle)
        {
            return Ok(None);
        }
        if sign_in.used_at <= before(now, USE_STEP) {
            self.store.use_sign_in(&hash, now).await?;
        }
        Ok(Some(SignedIn {
            person: sign_in.person,
            form_token: form_token(secret),
            is_single_sign_on: sign_in.how == SINGLE_SIGN_ON,
            hash,
        }))
    }

    /// Signs this browser out.
    ///
    /// # Errors
    /// [`StoreError`]; then it stays signed in.
    pub async fn sign_out(&self, session: &SignedIn, address: &str) -> Result<(), StoreError> {
        let actor = Actor::person(&session.person, address);
        let entry = self.entry(&actor, None, "sign_out", "this browser");
        self.store.end_sign_in(&session.hash, &entry).await
    }

    /// Signs a person out everywhere. Gives how many browsers that were.
    ///
    /// # Errors
    /// [`StoreError`]; then they stay signed in.
    pub async fn sign_out_everywhere(
        &self,
        person: &Person,
        actor: &Actor,
    ) -> Result<u64, StoreError> {
        let entry = self.entry(actor, None, "sign_out.everywhere", &*person.name);
        let entries = self.about_account(entry, person).await?;
        self.store.end_sign_ins(&person.id, &entries).await
    }
}

/// What is kept of a random secret.
pub(super) fn hash(secret: &Secret) -> String {
    blake3::hash(secret.expose().as_bytes())
        .to_hex()
        .to_string()
}

/// What forms of a session carry: nobody who does not know the cookie can make it up.
fn form_token(secret: &Secret) -> String {
    let key = blake3::derive_key(
        "fieldpost 2026 portal form token",
        secret.expose().as_bytes(),
    );
    blake3::Hash::from_bytes(key).to_hex().to_string()
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(nanoseconds(time)))
}

pub(super) fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
