//! Views that people save: a name for the address of a list, for oneself or shared in the environment. What a
//! view shows is what its reader's role may see.

use super::Central;
use super::accounts::check_name;
use super::people::Actor;
use super::store::{AuditEntry, Environment, Role, SavedView, StoreError};

/// Longest address of a view, in bytes.
const MAX_ADDRESS: usize = 4_000;

/// A view to be saved.
#[derive(Clone, Debug, Default)]
pub struct NewView {
    /// What it is called.
    pub name: String,
    /// The list's address below the environment's own.
    pub address: String,
    /// Whether everybody in the environment has it.
    pub is_shared: bool,
}

/// Why a view is not saved.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// It cannot be one; the words say why.
    #[error("{0}")]
    Unusable(&'static str),
    /// The role may not share it.
    #[error("viewers keep views for themselves; admins and owners share them")]
    NotShared,
    /// There are as many as there may be.
    #[error("there are 200 views already; delete some")]
    Full,
    /// The store did not keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Central {
    /// Saves a view for whoever asks.
    ///
    /// # Errors
    /// [`ViewError`]; then nothing is saved.
    pub async fn save_view(
        &self,
        environment: &Environment,
        new: NewView,
        role: Role,
        actor: &Actor,
    ) -> Result<SavedView, ViewError> {
        let name = new.name.trim();
        if name.is_empty() {
            return Err(ViewError::Unusable("a view has a name"));
        }
        check_name(name).map_err(ViewError::Unusable)?;
        check_address(&new.address)?;
        if new.is_shared && role < Role::Admin {
            return Err(ViewError::NotShared);
        }
        if !new.is_shared && actor.person.is_none() {
            return Err(ViewError::Unusable(
                "a key of the environment has nobody to keep a view for: share it",
            ));
        }
        let action = match new.is_shared {
            true => "view.shared",
            false => "view.saved",
        };
        let entry = AuditEntry {
            became: new.address.clone(),
            ..self.entry(actor, Some(environment), action, name)
        };
        let view = SavedView {
            id: super::new_id(),
            name: name.to_owned(),
            address: new.address,
            is_shared: new.is_shared,
            person_id: actor.person.clone(),
            saved_by: actor.name.clone(),
            saved_at: entry.time,
        };
        match self
            .store
            .save_view(environment.scope, &view, &entry)
            .await?
        {
            true => Ok(view),
            false => Err(ViewError::Full),
        }
    }

    /// Forgets a view: one's own; for owners any that is shared; and for keys of the environment, which are
    /// nobody in person, what such keys shared. False when there is none.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn delete_view(
        &self,
        environment: &Environment,
        id: &str,
        role: Role,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let person = actor.person.as_deref();
        let view = self.store.saved_view(environment.scope, person, id).await?;
        let may_delete = |view: &SavedView| match view.is_shared && role == Role::Owner {
            true => true,
            false => {
                view.person_id.as_deref() == person && (person.is_some() || role >= Role::Admin)
            }
        };
        let Some(view) = view.filter(may_delete) else {
            return Ok(false);
        };
        let entry = AuditEntry {
            was: view.address,
            ..self.entry(actor, Some(environment), "view.deleted", view.name)
        };
        self.store
            .delete_view(environment.scope, &view.id, &entry)
            .await
    }
}

/// A list of the environment, and nothing that leads out of it.
fn check_address(address: &str) -> Result<(), ViewError> {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let is_list = path == "observability" || path.starts_with("inventory/");
    let stays = path.split('/').all(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        !plain.is_empty() && plain != "." && plain != ".."
    });
    let is_plain = [path, query]
        .iter()
        .flat_map(|part| part.bytes())
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%=&/".contains(&byte));
    match is_list && stays && is_plain && address.len() <= MAX_ADDRESS {
        true => Ok(()),
        false => Err(ViewError::Unusable(
            "address is that of a list below the environment, percent-encoded: \
             observability?type=error",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_of_a_list_of_its_environment() {
        for address in [
            "observability",
            "observability?type=error&q=tool%3ABash%20-dir%3A%2Fetc",
            "inventory/agents?text=ada&sort=-events",
            "inventory/agents/0f.1/audit-logs?range=24h",
        ] {
            assert!(check_address(address).is_ok(), "{address}");
        }
        for address in [
            "",
            "/observability",
            "settings/people",
            "inventory/../../../sign-out",
            "inventory/%2E%2e/settings",
            "inventory//agents",
            "observability?q=a b",
            "observability?q=\u{202e}",
            "observability#a",
            "https://example.com/",
        ] {
            assert!(check_address(address).is_err(), "{address}");
        }
        assert!(check_address(&format!("observability?q={}", "a".repeat(4_000))).is_err());
    }
}
