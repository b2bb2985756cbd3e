//! What becomes of somebody whom the identity provider signed in: who it is here, and with which roles.
//!
//! * A person is known by issuer and subject. One that is new gets the account whose name is the e-mail
//!   address, if there is one that the provider does not call otherwise already; else a new one.
//! * A role that follows from groups is given, changed and taken away at each sign-in; a change ends the
//!   person's other sessions. A role that was given by hand stays as it is.
//! * Whoever has no role at all is not let in, and is forgotten.

use std::collections::BTreeMap;

use crate::central::Central;
use crate::central::store::{
    Arrival, AuditEntry, Environment, Membership, Person, Role, Scope, StoreError,
};
use crate::event::Timestamp;

use super::audited::Actor;
use super::oidc::{Attempt, Callback, Identity, OidcError, SingleSignOn};
use super::session::{From, NewSession, Refused, SINGLE_SIGN_ON, nanoseconds};

/// Times that one address may come back from the provider in a quarter of an hour.
const CALLBACK_TRIES: i64 = 60;

/// What the audit calls the reason of roles that follow from groups.
const BY_GROUPS: &str = "groups at the identity provider";

impl Central {
    /// Lets somebody in whom the provider sent back.
    ///
    /// # Errors
    /// [`OidcError`]
    pub(in crate::central) async fn sign_in_by_provider(
        &self,
        provider: &SingleSignOn,
        attempt: Option<&Attempt>,
        callback: &Callback,
        from: &From,
    ) -> Result<NewSession, OidcError> {
        let subject = format!("single sign-on {}", from.address);
        match self.count_try(&subject, CALLBACK_TRIES, from).await {
            Ok(()) => {}
            Err(Refused::Store(error)) => return Err(error.into()),
            Err(_) => return Err(OidcError::TooOften),
        }
        let arrived = self.arrive(provider, attempt, callback, from).await;
        match arrived {
            Ok(person) => Ok(self.open_session(&person, SINGLE_SIGN_ON, from).await?),
            Err(error) => {
                tracing::warn!(%error, "nobody was signed in through the identity provider");
                let entry = AuditEntry {
                    reason: error.to_string(),
                    ..self.entry(
                        &Actor::stranger(&from.address),
                        None,
                        "sign_in.failed",
                        SINGLE_SIGN_ON,
                    )
                };
                self.audit_stranger(entry).await?;
                Err(error)
            }
        }
    }

    /// The time before which the provider must have told of a person's groups for the person's keys to rest.
    pub(in crate::central) fn keys_confirmed_after(&self) -> Timestamp {
        let resting = match &self.single_sign_on {
            Some(provider) => nanoseconds(provider.config.keys_rest_after),
            // Nobody can confirm them any more.
            None => 0,
        };
        Timestamp(self.clock.now().0.saturating_sub(resting))
    }

    async fn arrive(
        &self,
        provider: &SingleSignOn,
        attempt: Option<&Attempt>,
        callback: &Callback,
        from: &From,
    ) -> Result<Person, OidcError> {
        let attempt = attempt.ok_or(OidcError::Stale)?;
        let now = self.clock.now();
        let identity = provider.finish(attempt, callback, now).await?;
        let environments = self.store.environments().await?;
        let roles = provider.config.roles.of(&identity.groups, &environments);
        let issuer = &provider.config.issuer;
        let known = self.known_by(issuer, &identity).await?;
        let memberships = match &known {
            Some((person, _)) => self.store.memberships(&person.id).await?,
            None => Vec::new(),
        };
        let is_by_hand = |it: &Membership| it.by_groups_at.is_none();
        let has_role = !roles.is_empty() || memberships.iter().any(is_by_hand);
        if known.is_none() && !has_role {
            return Err(OidcError::NoRole(identity.email));
        }
        let changes = Changes {
            central: self,
            environments: &environments,
            address: &from.address,
            was: &memberships,
            roles: &roles,
        };
        let arrival = changes.arrival(issuer, &identity, known).await?;
        self.store.arrive(&arrival).await?;
        if !has_role {
            return Err(OidcError::NoRole(identity.email));
        }
        let person = self.store.person_of_identity(issuer, &identity.subject);
        let person = person.await?;
        person.ok_or_else(|| StoreError::Unavailable("the account was not made".to_owned()).into())
    }

    /// Who that is here, and whether that is new.
    async fn known_by(
        &self,
        issuer: &str,
        identity: &Identity,
    ) -> Result<Option<(Person, bool)>, OidcError> {
        let of_subject = self.store.person_of_identity(issuer, &identity.subject);
        if let Some(person) = of_subject.await? {
            return Ok(Some((person, false)));
        }
        let Some((person, _)) = self.store.person(&identity.email).await? else {
            return Ok(None);
        };
        // Addresses are given to others in time; an account is not.
        match self.store.has_identity(&person.id).await? {
            true => Err(OidcError::Taken(identity.email.clone())),
            false => Ok(Some((person, true))),
        }
    }
}

/// What an arrival changes, and how the audit tells of it.
struct Changes<'a> {
    central: &'a Central,
    environments: &'a [Environment],
    address: &'a str,
    was: &'a [Membership],
    roles: &'a BTreeMap<Scope, Role>,
}

impl Changes<'_> {
    async fn arrival(
        &self,
        issuer: &str,
        identity: &Identity,
        known: Option<(Person, bool)>,
    ) -> Result<Arrival, OidcError> {
        let (person, name, is_linked) = match known {
            None => (crate::central::new_id(), identity.email.clone(), false),
            Some((person, is_linked)) => {
                let name = self.name_of(&person, &identity.email).await?;
                (person.id, name, is_linked)
            }
        };
        let actor = Actor {
            person: Some(person.clone()),
            name: name.clone(),
            address: self.address.to_owned(),
        };
        let mut entries = Vec::new();
        if is_linked {
            entries.push(AuditEntry {
                became: identity.subject.clone(),
                reason: issuer.to_owned(),
                ..self.central.entry(&actor, None, "person.linked", &*name)
            });
        }
        let mut signs_out = false;
        let mut gone = Vec::new();
        for environment in self.environments {
            let was = self
                .was
                .iter()
                .find(|it| it.environment.scope == environment.scope);
            if was.is_some_and(|was| was.by_groups_at.is_none()) {
                continue;
            }
            let was = was.map(|was| was.role);
            let becomes = self.roles.get(&environment.scope).copied();
            let action = match (was, becomes) {
                (None, Some(_)) => "person.added",
                (Some(_), None) => "person.removed",
                (Some(was), Some(becomes)) if was != becomes => "role.changed",
                _ => continue,
            };
            signs_out |= was.is_some();
            if becomes.is_none() {
                gone.push(environment.scope);
            }
            entries.push(AuditEntry {
                was: was.map_or("", Role::word).to_owned(),
                became: becomes.map_or("", Role::word).to_owned(),
                reason: BY_GROUPS.to_owned(),
                ..self
                    .central
                    .entry(&actor, Some(environment), action, &*name)
            });
        }
        Ok(Arrival {
            issuer: issuer.to_owned(),
            subject: identity.subject.clone(),
            person,
            name,
            now: self.central.clock.now(),
            roles: self
                .roles
                .iter()
                .map(|(scope, role)| (*scope, *role))
                .collect(),
            gone,
            signs_out,
            entries,
        })
    }

    /// What somebody is called whose address may have changed: a name that is another's stays another's.
    async fn name_of(&self, person: &Person, email: &str) -> Result<String, StoreError> {
        let is_free = person.name == email || self.central.store.person(email).await?.is_none();
        Ok(if is_free { email } else { &person.name }.to_owned())
    }
}
