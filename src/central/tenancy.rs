//! Tenants and environments, as an operator manages them.

use std::time::Duration;

use super::Central;
use super::store::{Contents, Environment, Renamed, StoreError, Tenant};

/// Longest name of a tenant or an environment, which stands in addresses.
const MAX_SLUG: usize = 63;

/// Time after which nothing is written any more to what was deleted: tokens are looked up every second,
/// and a request that was let in before is over by then or fails.
const SETTLE: Duration = Duration::from_secs(30);

/// Time between two looks for what was deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Time between two bites, for others to use the store.
const BREATH: Duration = Duration::from_millis(20);

/// Why a tenant or an environment was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The name cannot stand in an address.
    #[error(
        "{0:?} cannot be a name: use 1 to 63 lower-case letters, digits and hyphens, and begin and \
         end with a letter or a digit"
    )]
    BadName(String),
    /// The name is another's.
    #[error("there is {0} already; choose another name")]
    Taken(String),
    /// There is nothing of that name.
    #[error("there is no {0}; `fieldpost central tenant list` shows what there is")]
    Missing(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Central {
    /// Makes an environment, and its tenant when there is none of that name.
    ///
    /// # Errors
    /// [`TenancyError`]
    pub async fn create_environment(
        &self,
        tenant: &str,
        environment: &str,
    ) -> Result<Environment, TenancyError> {
        check_slug(tenant)?;
        check_slug(environment)?;
        if self.store.environment(tenant, environment).await?.is_some() {
            return Err(TenancyError::Taken(format!("{tenant}/{environment}")));
        }
        Ok(self.store.create_environment(tenant, environment).await?)
    }

    /// The environment with this address.
    ///
    /// # Errors
    /// [`TenancyError::Missing`], or the store's.
    pub async fn environment(
        &self,
        tenant: &str,
        environment: &str,
    ) -> Result<Environment, TenancyError> {
        let found = self.store.environment(tenant, environment).await?;
        found.ok_or_else(|| TenancyError::Missing(format!("environment {tenant}/{environment}")))
    }

    /// The tenant of this name.
    ///
    /// # Errors
    /// [`TenancyError::Missing`], or the store's.
    pub async fn tenant(&self, tenant: &str) -> Result<Tenant, TenancyError> {
        let mut tenants = self.store.tenants().await?.into_iter();
        tenants
            .find(|known| known.tenant == tenant)
            .ok_or_else(|| TenancyError::Missing(format!("tenant {tenant}")))
    }

    /// Gives a tenant another name. Tokens and keys go on working; addresses of the portal change.
    ///
    /// # Errors
    /// [`TenancyError`]
    pub async fn rename_tenant(&self, from: &str, to: &str) -> Result<(), TenancyError> {
        check_slug(to)?;
        match self.store.rename_tenant(from, to).await? {
            Renamed::Done => Ok(()),
            Renamed::Missing => Err(TenancyError::Missing(format!("tenant {from}"))),
            Renamed::Taken => Err(TenancyError::Taken(to.to_owned())),
        }
    }

    /// Gives an environment another name. Tokens and keys go on working; addresses of the portal change.
    ///
    /// # Errors
    /// [`TenancyError`]
    pub async fn rename_environment(
        &self,
        environment: &Environment,
        to: &str,
    ) -> Result<(), TenancyError> {
        check_slug(to)?;
        let Environment { tenant, .. } = environment;
        let named = |name: &str| format!("{tenant}/{name}");
        match self.store.rename_environment(environment.scope, to).await? {
            Renamed::Done => Ok(()),
            Renamed::Missing => Err(TenancyError::Missing(format!(
                "environment {}",
                named(&environment.environment)
            ))),
            Renamed::Taken => Err(TenancyError::Taken(named(to))),
        }
    }

    /// What goes with a tenant.
    ///
    /// # Errors
    /// [`TenancyError`]
    pub async fn tenant_contents(&self, tenant: &str) -> Result<Contents, TenancyError> {
        self.tenant(tenant).await?;
        let mut environments = self.store.environments().await?;
        environments.retain(|environment| environment.tenant == tenant);
        Ok(self.store.contents(&environments).await?)
    }

    /// What goes with an environment.
    ///
    /// # Errors
    /// [`TenancyError`]
    pub async fn environment_contents(
        &self,
        environment: &Environment,
    ) -> Result<Contents, TenancyError> {
        let one = std::slice::from_ref(environment);
        Ok(self.store.contents(one).await?)
    }

    /// Deletes a tenant with all its environments: at once for everybody, and from the disk soon.
    ///
    /// # Errors
    /// [`TenancyError`]
    pub async fn delete_tenant(&self, tenant: &str) -> Result<(), TenancyError> {
        let deleted = self.store.delete_tenant(tenant).await?;
        self.verified.forget();
        match deleted {
            true => Ok(()),
            false => Err(TenancyError::Missing(format!("tenant {tenant}"))),
        }
    }

    /// Deletes an environment: at once for everybody, and from the disk soon.
    ///
    /// # Errors
    /// [`TenancyError`]
    pub async fn delete_environment(&self, environment: &Environment) -> Result<(), TenancyError> {
        let deleted = self.store.delete_environment(environment.scope).await?;
        self.verified.forget();
        match deleted {
            true => Ok(()),
            false => Err(TenancyError::Missing(
                "such environment any more".to_owned(),
            )),
        }
    }

    /// Deletes the rows of what was deleted, as long as it is polled.
    pub(super) async fn keep_sweeping(&self) {
        loop {
            match self.store.sweep(SETTLE).await {
                Ok(true) => tokio::time::sleep(BREATH).await,
                Ok(false) => tokio::time::sleep(SWEEP_INTERVAL).await,
                Err(error) => {
                    tracing::warn!(%error, "what was deleted goes from the disk later");
                    tokio::time::sleep(SWEEP_INTERVAL).await;
                }
            }
        }
    }
}

fn check_slug(name: &str) -> Result<(), TenancyError> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = (1..=MAX_SLUG).contains(&name.len())
        && name.bytes().all(|byte| is_word(byte) || byte == b'-')
        && name.bytes().next().is_some_and(is_word)
        && name.bytes().last().is_some_and(is_word);
    match fits {
        true => Ok(()),
        false => Err(TenancyError::BadName(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_stand_in_addresses() {
        for name in ["a", "7", "acme", "acme-eu-1", &"x".repeat(63)] {
            assert!(check_slug(name).is_ok(), "{name}");
        }
        let long = "x".repeat(64);
        for name in [
            "", "-", "-a", "a-", "Acme", "a b", "a/b", "a.b", "ä", "..", &long,
        ] {
            assert!(check_slug(name).is_err(), "{name}");
        }
    }
}
