//! Who is in an environment, and what they are there: as owners and the command line change it.

use crate::central::Central;
use crate::central::store::{
    AuditEntry, Environment, MemberChange, NewPerson, Person, Role, StoreError,
};
use crate::secret::{Secret, random_digits};

use super::audited::Actor;
use super::check_person_name;

/// Characters of a password that is made here: 128 bits.
const MADE_PASSWORD: usize = 32;

/// Why people were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The name or the password cannot be used, and why.
    #[error("{0}")]
    Unfit(&'static str),
    /// The person is in the environment already.
    #[error("{0} is here already; change the role instead")]
    Taken(String),
    /// There is nobody of that name.
    #[error("there is nobody called {0} here")]
    Missing(String),
    /// The environment would have no owner any more.
    #[error("{0} is the last owner here; make somebody else an owner first")]
    LastOwner(String),
    /// The role follows from groups at the identity provider.
    #[error("the role of {0} follows from groups at the identity provider; change it there")]
    ByGroups(String),
    /// Passwords let nobody in here, or not this person.
    #[error("only single sign-on lets that person in")]
    NoPasswords,
    /// The account is also of environments that whoever asks does not own.
    #[error("{0} belongs to other environments, too; only the person can change this")]
    Shared(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which password somebody gets.
#[derive(Clone, Debug)]
pub enum NewPassword {
    /// This one.
    Given(Secret),
    /// One that is made here, and shown once.
    Made,
    /// None: links let the person in.
    None,
}

impl Central {
    /// Lets somebody into an environment; the account is made when there is none of that name, and one that
    /// is there keeps its password. Gives a password that was made here.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn add_member(
        &self,
        environment: &Environment,
        name: &str,
        role: Role,
        password: NewPassword,
        actor: &Actor,
    ) -> Result<Option<Secret>, PeopleError> {
        let name = check_person_name(name).map_err(PeopleError::Unfit)?;
        let entry = AuditEntry {
            became: role.word().to_owned(),
            ..self.entry(actor, Some(environment), "person.added", &*name)
        };
        if let Some((person, _)) = self.store.person(&name).await? {
            let known = self.store.memberships(&person.id).await?;
            if known
                .iter()
                .any(|it| it.environment.scope == environment.scope)
            {
                return Err(PeopleError::Taken(name));
            }
            self.store
                .set_member(environment.scope, &person.id, role, &entry)
                .await?;
            return Ok(None);
        }
        let (hash, made) = self.hashed(password).await?;
        let new = NewPerson {
            id: crate::central::new_id(),
            name: name.clone(),
            password: hash,
            roles: vec![(environment.scope, role)],
        };
        match self.store.add_person(&new, &[entry]).await? {
            true => Ok(made),
            false => Err(PeopleError::Taken(name)),
        }
    }

    /// Gives a member another role, which signs the person out everywhere.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn change_role(
        &self,
        environment: &Environment,
        name: &str,
        role: Role,
        actor: &Actor,
    ) -> Result<(), PeopleError> {
        let person = self.member(environment, name).await?;
        let known = self.store.memberships(&person.id).await?;
        let mut here = known
            .iter()
            .filter(|it| it.environment.scope == environment.scope);
        if here.any(|it| it.by_groups_at.is_some()) {
            return Err(PeopleError::ByGroups(person.name));
        }
        let entry = self.entry(actor, Some(environment), "role.changed", &*person.name);
        let changed = self
            .store
            .set_member(environment.scope, &person.id, role, &entry)
            .await?;
        done(changed, person.name)
    }

    /// Takes somebody out of an environment. The account goes with its last one. Whoever is in a group that
    /// has a role here comes back by signing in.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn remove_member(
        &self,
        environment: &Environment,
        name: &str,
        actor: &Actor,
    ) -> Result<(), PeopleError> {
        let person = self.member(environment, name).await?;
        let entry = self.entry(actor, Some(environment), "person.removed", &*person.name);
        let changed = self
            .store
            .remove_member(environment.scope, &person.id, &entry)
            .await?;
        done(changed, person.name)
    }

    /// Sets somebody's password, and signs the person out, but for the session `kept`. Gives a password that
    /// was made here.
    ///
    /// # Errors
    /// [`PeopleError`]
    pub async fn change_password(
        &self,
        person: &Person,
        password: NewPassword,
        kept: Option<&str>,
        actor: &Actor,
    ) -> Result<Option<Secret>, PeopleError> {
        if self.follows_groups(person).await? {
            return Err(PeopleError::NoPasswords);
        }
        let (hash, made) = self.hashed(password).await?;
        let entry = self.entry(actor, None, "password.changed", &*person.name);
        let entries = self.about_account(entry, person).await?;
        self.store
            .set_password(&person.id, hash, kept, &entries)
            .await?;
        Ok(made)
    }

    /// Whether a role of the person's follows from groups at the identity provider. Then only that lets the
    /// person in: a password would go on to do so when the groups do not any more.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn follows_groups(&self, person: &Person) -> Result<bool, StoreError> {
        let known = self.store.memberships(&person.id).await?;
        Ok(known.iter().any(|it| it.by_groups_at.is_some()))
    }

    /// The person of this name.
    ///
    /// # Errors
    /// [`PeopleError::Missing`], or the store's.
    pub async fn known_person(&self, name: &str) -> Result<Person, PeopleError> {
        let name = check_person_name(name).map_err(PeopleError::Unfit)?;
        let found = self.store.person(&name).await?;
        found
            .map(|(person, _)| person)
            .ok_or(PeopleError::Missing(name))
    }

    /// The person of this name, if there is one in the environment.
    ///
    /// # Errors
    /// [`PeopleError::Missing`], or the store's.
    pub async fn member(
        &self,
        environment: &Environment,
        name: &str,
    ) -> Result<Person, PeopleError> {
        let person = self.known_person(name).await?;
        let known = self.store.memberships(&person.id).await?;
        let is_here = known
            .iter()
            .any(|it| it.environment.scope == environment.scope);
        match is_here {
            true => Ok(person),
            false => Err(PeopleError::Missing(person.name)),
        }
    }

    /// The hash of a new password, and the password when it was made here.
    async fn hashed(
        &self,
        password: NewPassword,
    ) -> Result<(Option<String>, Option<Secret>), PeopleError> {
        let (password, made) = match password {
            NewPassword::None => return Ok((None, None)),
            _ if !self.has_passwords => return Err(PeopleError::NoPasswords),
            NewPassword::Given(password) => (password, None),
            NewPassword::Made => {
                let made = Secret::new(&random_digits()[..MADE_PASSWORD]);
                (made.clone(), Some(made))
            }
        };
        let hash = self.passwords.hash(&password).await;
        Ok((Some(hash.map_err(PeopleError::Unfit)?), made))
    }
}

fn done(change: MemberChange, name: String) -> Result<(), PeopleError> {
    match change {
        MemberChange::LastOwner => Err(PeopleError::LastOwner(name)),
        MemberChange::Done | MemberChange::Nothing => Ok(()),
    }
}
