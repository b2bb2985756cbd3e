//! `fieldpost central tenant`, `fieldpost central environment`

use anyhow::Context;
use clap::{Args, Subcommand};
use fieldpost::central::people::Actor;
use fieldpost::central::store::MachineRules;
use fieldpost::config::parse_duration;

use super::{List, Place, ensure_agreed, lines, print, tell, tell_above};

#[derive(Subcommand)]
pub(crate) enum TenantCommand {
    /// Make an environment, and its tenant when there is none of that name.
    Add(Place),
    /// List tenants and environments.
    List(List),
    /// Give a tenant another name; tokens and keys go on working, addresses of the portal change.
    Rename(RenameTenant),
    /// Delete a tenant with everything in it.
    Delete(DeleteTenant),
}

#[derive(Args)]
pub(crate) struct RenameTenant {
    /// Its name.
    tenant: String,
    /// Its new name: lower-case letters, digits and hyphens.
    new: String,
    #[command(flatten)]
    list: List,
}

#[derive(Args)]
pub(crate) struct DeleteTenant {
    /// Its name.
    tenant: String,
    /// Delete it; without this, only say what would go.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand)]
pub(crate) enum EnvironmentCommand {
    /// Give an environment another name; tokens and keys go on working, addresses of the portal change.
    Rename(RenameEnvironment),
    /// When machines of an environment are late, and when silent.
    #[command(subcommand)]
    Machines(MachinesCommand),
    /// Delete an environment with everything in it.
    Delete(DeleteEnvironment),
}

#[derive(Subcommand)]
pub(crate) enum MachinesCommand {
    /// Say by which rules machines are late or silent.
    Show(Place),
    /// Change the rules; those that are not named stay. In force at once, in every process.
    Set(SetMachines),
}

#[derive(Args)]
pub(crate) struct SetMachines {
    /// A machine is late when its latest heartbeat is older: 3m.
    #[arg(long, value_name = "TIME", value_parser = late_after)]
    late_after: Option<i64>,
    /// It is silent after so many working days without a heartbeat.
    #[arg(long, value_name = "DAYS")]
    silent_after: Option<i64>,
    /// If it was there before on at least so many working days.
    #[arg(long, value_name = "DAYS")]
    usual: Option<i64>,
    /// Of so many working days up to its latest heartbeat.
    #[arg(long, value_name = "DAYS")]
    usual_of: Option<i64>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct RenameEnvironment {
    /// Its new name: lower-case letters, digits and hyphens.
    new: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct DeleteEnvironment {
    /// Delete it; without this, only say what would go.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run_tenant(command: TenantCommand) -> anyhow::Result<()> {
    match command {
        TenantCommand::Add(place) => add(place).await,
        TenantCommand::List(list) => self::list(list).await,
        TenantCommand::Rename(RenameTenant { tenant, new, list }) => {
            let central = list.file.open().await?;
            central.tenant(&tenant).await?;
            let change = ("", tenant.as_str(), new.as_str());
            tell_above(&central, Some(&tenant), "tenant.renamed", change).await?;
            central.rename_tenant(&tenant, &new).await?;
            let renamed = serde_json::json!({ "tenant": new });
            print(list.json, &renamed, |_| format!("{tenant} is {new} now"));
            Ok(())
        }
        TenantCommand::Delete(DeleteTenant { tenant, yes, list }) => {
            let central = list.file.open().await?;
            let contents = central.tenant_contents(&tenant).await?;
            ensure_agreed(yes, &format!("the tenant {tenant}"), &contents)?;
            let change = (tenant.as_str(), &*contents.to_string(), "");
            tell_above(&central, Some(&tenant), "tenant.deleted", change).await?;
            central.delete_tenant(&tenant).await?;
            print(list.json, &contents, |contents| {
                format!("deleted {contents}")
            });
            Ok(())
        }
    }
}

pub(super) async fn run_environment(command: EnvironmentCommand) -> anyhow::Result<()> {
    match command {
        EnvironmentCommand::Rename(RenameEnvironment { new, place }) => {
            let (central, environment) = place.open().await?;
            let change = ("", place.environment.as_str(), new.as_str());
            tell(&central, &environment, "environment.renamed", change).await?;
            central.rename_environment(&environment, &new).await?;
            let renamed = serde_json::json!({ "tenant": place.tenant, "environment": new });
            print(place.list.json, &renamed, |_| {
                format!("{}/{} is {new} now", place.tenant, place.environment)
            });
        }
        EnvironmentCommand::Machines(command) => machines(command).await?,
        EnvironmentCommand::Delete(DeleteEnvironment { yes, place }) => {
            let (central, environment) = place.open().await?;
            let contents = central.environment_contents(&environment).await?;
            let what = format!("the environment {}/{}", place.tenant, place.environment);
            ensure_agreed(yes, &what, &contents)?;
            let change = (what.as_str(), &*contents.to_string(), "");
            tell(&central, &environment, "environment.deleted", change).await?;
            central.delete_environment(&environment).await?;
            print(place.list.json, &contents, |contents| {
                format!("deleted {contents}")
            });
        }
    }
    Ok(())
}

async fn machines(command: MachinesCommand) -> anyhow::Result<()> {
    let (place, rules) = match command {
        MachinesCommand::Show(place) => {
            let (central, environment) = place.open().await?;
            let rules = central.store.machine_rules(environment.scope).await?;
            (place, rules)
        }
        MachinesCommand::Set(set) => {
            let (central, environment) = set.place.open().await?;
            let old = central.store.machine_rules(environment.scope).await?;
            let rules = MachineRules {
                late_after_seconds: set.late_after.unwrap_or(old.late_after_seconds),
                silent_after_days: set.silent_after.unwrap_or(old.silent_after_days),
                usual_days: set.usual.unwrap_or(old.usual_days),
                usual_of_days: set.usual_of.unwrap_or(old.usual_of_days),
            };
            rules.check().map_err(anyhow::Error::msg)?;
            let actor = Actor::command_line();
            central
                .set_machine_rules(&environment, rules, &actor)
                .await?;
            (set.place, rules)
        }
    };
    print(place.list.json, &rules, MachineRules::to_string);
    Ok(())
}

/// Whole seconds.
fn late_after(text: &str) -> anyhow::Result<i64> {
    let time =
        parse_duration(text).with_context(|| format!("{text:?} is no time; write 3m or 180s"))?;
    Ok(i64::try_from(time.as_secs())?)
}

async fn add(place: Place) -> anyhow::Result<()> {
    let central = place.list.file.open().await?;
    let environment = central
        .create_environment(&place.tenant, &place.environment)
        .await?;
    tell(&central, &environment, "environment.made", ("", "", "")).await?;
    print(place.list.json, &environment, |environment| {
        format!("{}/{}", environment.tenant, environment.environment)
    });
    Ok(())
}

async fn list(list: List) -> anyhow::Result<()> {
    let environments = list.file.open().await?.store.environments().await?;
    print(list.json, &environments, |environments| {
        lines(environments, |environment| {
            format!("{}/{}", environment.tenant, environment.environment)
        })
    });
    Ok(())
}
