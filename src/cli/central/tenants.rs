//! `fieldpost central tenant`, `fieldpost central environment`

use clap::{Args, Subcommand};

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
    /// Delete an environment with everything in it.
    Delete(DeleteEnvironment),
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
