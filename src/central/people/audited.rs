//! Who does something, for the audit.

use crate::central::Central;
use crate::central::store::{AuditEntry, Environment, Person, StoreError};

/// Who does something, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The person's id; `None` for the command line, keys of an environment, and strangers.
    pub person: Option<String>,
    /// The person's name, or what stands for it.
    pub name: String,
    /// The address of the request.
    pub address: String,
}

impl Actor {
    /// A person.
    pub fn person(person: &Person, address: &str) -> Actor {
        Actor {
            person: Some(person.id.clone()),
            name: person.name.clone(),
            address: address.to_owned(),
        }
    }

    /// Whoever may run the service's own commands on its machine.
    pub fn command_line() -> Actor {
        Actor {
            person: None,
            name: "command line".to_owned(),
            address: String::new(),
        }
    }

    /// Whoever it was that tried to sign in.
    pub fn stranger(address: &str) -> Actor {
        Actor {
            person: None,
            name: "somebody".to_owned(),
            address: address.to_owned(),
        }
    }

    /// Whoever holds a key.
    pub fn key(name: &str, address: &str) -> Actor {
        Actor {
            person: None,
            name: format!("API key {name}"),
            address: address.to_owned(),
        }
    }
}

impl Central {
    /// An entry of the audit: `actor` did `action` to `object` in an environment, or in none.
    pub fn entry(
        &self,
        actor: &Actor,
        environment: Option<&Environment>,
        action: &'static str,
        object: impl Into<String>,
    ) -> AuditEntry {
        AuditEntry {
            time: self.clock.now(),
            scope: environment.map(|environment| environment.scope),
            place: environment.map_or(String::new(), AuditEntry::place_of),
            person: actor.person.clone(),
            name: actor.name.clone(),
            action,
            object: object.into(),
            was: String::new(),
            became: String::new(),
            reason: String::new(),
            address: actor.address.clone(),
        }
    }

    /// Writes an entry. What it tells of may be done, or shown, once this returns.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.store.add_audit(&[entry]).await
    }

    /// Writes what stands above the environments where their people can read it: in those of one tenant, or
    /// in all.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be done.
    pub async fn audit_above(
        &self,
        entry: AuditEntry,
        tenant: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut environments = self.store.environments().await?;
        environments.retain(|it| tenant.is_none_or(|tenant| it.tenant == tenant));
        self.audit_in(entry, &environments).await
    }

    /// Writes an entry in each of these environments; where there is none, in none.
    async fn audit_in(
        &self,
        entry: AuditEntry,
        environments: &[Environment],
    ) -> Result<(), StoreError> {
        self.store.add_audit(&in_each(entry, environments)).await
    }

    /// What is done to somebody's account, as entries of all environments in which the account opens doors.
    pub(super) async fn about_account(
        &self,
        entry: AuditEntry,
        person: &Person,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let known = self.store.memberships(&person.id).await?.into_iter();
        let environments: Vec<Environment> = known.map(|it| it.environment).collect();
        Ok(in_each(entry, &environments))
    }

    /// Writes what a stranger tried, where somebody can read it: in the environments, when they are all of
    /// one tenant. No tenant is told what was tried elsewhere.
    pub(super) async fn audit_stranger(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let environments = self.store.environments().await?;
        let is_one = environments
            .iter()
            .all(|other| other.tenant_id == environments[0].tenant_id);
        if !is_one || entry.person.is_some() {
            return self.audit(entry).await;
        }
        self.audit_in(entry, &environments).await
    }
}

/// An entry for each of these environments; where there is none, for none.
fn in_each(entry: AuditEntry, environments: &[Environment]) -> Vec<AuditEntry> {
    if environments.is_empty() {
        return vec![entry];
    }
    let in_each = environments.iter().map(|environment| AuditEntry {
        scope: Some(environment.scope),
        place: AuditEntry::place_of(environment),
        ..entry.clone()
    });
    in_each.collect()
}
