//! Links that let somebody in once: for the first owner, and for people who have no password.

use std::time::Duration;

use crate::central::Central;
use crate::central::store::{NewPerson, Person, Role, StoreError};
use crate::event::Timestamp;
use crate::secret::{Secret, random_digits};

use super::audited::Actor;
use super::manage::PeopleError;
use super::session::{From, NewSession, Refused, hash, nanoseconds};

/// How long a link is good.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Tries of links from one address in a quarter of an hour.
const LINK_TRIES: i64 = 60;

/// What the first owner is called, until somebody else is one.
const FIRST_OWNER: &str = "owner";

/// A link that lets one person in, once.
#[derive(Clone, Debug)]
pub struct SignInLink {
    /// The whole address, with its secret.
    pub url: Secret,
    /// Whom it lets in.
    pub person: String,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Central {
    /// A link for the first owner, while nobody has another way in. The account is made when there is none.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn first_owner_link(&self) -> Result<Option<SignInLink>, StoreError> {
        if self.store.has_people_with_a_way_in().await? {
            return Ok(None);
        }
        let owner = self.first_owner().await?;
        self.link_for(&owner, &Actor::command_line())
            .await
            .map(Some)
    }

    /// A link for the owner of `fieldpost dev`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn developer_link(&self) -> Result<SignInLink, StoreError> {
        let owner = self.first_owner().await?;
        self.link_for(&owner, &Actor::command_line()).await
    }

    /// A link for the person of this name.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn sign_in_link(&self, name: &str, actor: &Actor) -> Result<SignInLink, PeopleError> {
        let person = self.known_person(name).await?;
        Ok(self.link_for(&person, actor).await?)
    }

    async fn link_for(&self, person: &Person, actor: &Actor) -> Result<SignInLink, StoreError> {
        let secret = Secret::new(random_digits());
        let entry = self.entry(actor, None, "link.made", &*person.name);
        let now = entry.time;
        let expires_at = Timestamp(now.0.saturating_add(nanoseconds(LIFETIME)));
        let entries = self.about_account(entry, person).await?;
        self.store
            .add_sign_in_link(&hash(&secret), &person.id, now, expires_at, &entries)
            .await?;
        Ok(SignInLink {
            url: Secret::new(format!(
                "{}/sign-in/link/{}",
                self.public_url,
                secret.expose()
            )),
            person: person.name.clone(),
            expires_at,
        })
    }

    async fn first_owner(&self) -> Result<Person, StoreError> {
        if let Some((person, _)) = self.store.person(FIRST_OWNER).await? {
            return Ok(person);
        }
        let environments = self.store.environments().await?;
        let actor = Actor::command_line();
        let entries: Vec<_> = environments
            .iter()
            .map(|environment| {
                let mut entry = self.entry(&actor, Some(environment), "person.added", FIRST_OWNER);
                entry.became = Role::Owner.word().to_owned();
                entry
            })
            .collect();
        let new = NewPerson {
            id: crate::central::new_id(),
            name: FIRST_OWNER.to_owned(),
            password: None,
            roles: environments
                .iter()
                .map(|environment| (environment.scope, Role::Owner))
                .collect(),
        };
        self.store.add_person(&new, &entries).await?;
        let made = self.store.person(FIRST_OWNER).await?;
        made.map(|(person, _)| person)
            .ok_or_else(|| StoreError::Unavailable("the first owner was not made".to_owned()))
    }

    /// Whom a link would let in; `None` when it is used up or too old.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn link_person(&self, secret: &Secret) -> Result<Option<Person>, StoreError> {
        self.store
            .sign_in_link(&hash(secret), self.clock.now())
            .await
    }

    /// Lets somebody in by a link, which is used up by it.
    ///
    /// # Errors
    /// [`Refused`]
    pub async fn sign_in_by_link(
        &self,
        secret: &Secret,
        from: &From,
    ) -> Result<NewSession, Refused> {
        let subject = format!("link {}", from.address);
        self.count_try(&subject, LINK_TRIES, from).await?;
        let person = self.link_person(secret).await?;
        let used = self
            .store
            .use_sign_in_link(&hash(secret), self.clock.now())
            .await?;
        let Some(person) = person.filter(|_| used) else {
            let actor = Actor::stranger(&from.address);
            let entry = self.entry(&actor, None, "sign_in.failed", "link");
            self.audit_stranger(entry).await?;
            return Err(Refused::Wrong);
        };
        Ok(self.open_session(&person, "link", from).await?)
    }
}
