//! What people decide about machines: which are put aside, and when one is late or silent.

use super::Central;
use super::people::Actor;
use super::store::{AuditEntry, Environment, MachineRules, MachineState, StoreError};

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

    /// Sets by which rules an environment tells how its machines report; they can be followed
    /// ([`MachineRules::check`]).
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn set_machine_rules(
        &self,
        environment: &Environment,
        rules: MachineRules,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let scope = environment.scope;
        let old = self.store.machine_rules(scope).await?;
        let entry = AuditEntry {
            was: old.to_string(),
            became: rules.to_string(),
            ..self.entry(actor, Some(environment), "machine_rules.changed", "")
        };
        self.audit(entry).await?;
        self.store.set_machine_rules(scope, rules).await
    }
}
