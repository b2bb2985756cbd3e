//! What people decide about machines.

use super::Central;
use super::people::Actor;
use super::store::{AuditEntry, Environment, MachineState, StoreError};

impl Central {
    /// Puts a machine aside, which ends all alarm about its silence until it reports again; or takes that
    /// back. False when there is no such machine.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn retire_machine(
        &self,
        environment: &Environment,
        id: &str,
        retired: bool,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let scope = environment.scope;
        let Some(machine) = self.store.machine(scope, id, now).await? else {
            return Ok(false);
        };
        let (action, becomes) = match retired {
            true => ("machine.retired", MachineState::Retired.word()),
            false => ("machine.restored", ""),
        };
        let entry = AuditEntry {
            was: machine.state.word().to_owned(),
            became: becomes.to_owned(),
            ..self.entry(actor, Some(environment), action, id)
        };
        self.audit(entry).await?;
        let since = retired.then_some(now);
        self.store.retire_machine(scope, id, since).await?;
        Ok(true)
    }
}
