//! `fieldpost central key`, `fieldpost central api-key`

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use fieldpost::central::Central;
use fieldpost::central::accounts::check_name;
use fieldpost::central::keys::KeyChangeError;
use fieldpost::central::store::{Access, Environment, Of, Role};
use fieldpost::words;

use super::{List, Place, lines, print, tell, tell_above};

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys, and how many live tokens each has signed.
    List(List),
    /// Make a key that signs from now on; tokens signed by others stay good.
    Rotate(List),
    /// Forget a key: tokens signed by it stop working.
    Retire(Retire),
}

#[derive(Args)]
pub(crate) struct Retire {
    /// The key's id, as listed.
    id: String,
    /// Retire it although live tokens are signed by it.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    list: List,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ApiKeyCommand {
    #[command(subcommand)]
    command: Option<OtherApiKeyCommand>,
    #[command(flatten)]
    new: NewApiKey,
}

#[derive(Subcommand)]
enum OtherApiKeyCommand {
    /// List an environment's keys; the keys themselves are not kept.
    List(OfRole),
    /// Delete a key by its id.
    Delete(DeleteApiKey),
}

#[derive(Args)]
struct NewApiKey {
    /// What the key is for.
    #[arg(long, default_value = "command line")]
    name: String,
    #[command(flatten)]
    of: OfRole,
}

#[derive(Args)]
struct OfRole {
    /// What the key may do; `list` and `delete` take `operator` for keys that are of no environment.
    #[arg(long, value_enum, default_value_t = KeyRole::Owner)]
    role: KeyRole,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct DeleteApiKey {
    /// The key's id, as listed.
    id: String,
    #[command(flatten)]
    of: OfRole,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyRole {
    /// Read an environment, but no content.
    Viewer,
    /// That, and change its tokens, integrations and keys.
    Admin,
    /// Everything of an environment, content too.
    Owner,
    /// Tenants, environments, signing keys and metrics of the whole service; no records.
    Operator,
}

pub(super) async fn run_key(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::List(list) => {
            let keys = list.file.open().await?.signing_keys().await?;
            print(list.json, &keys, |keys| {
                lines(keys, |key| {
                    let made = key
                        .made_at
                        .map_or(String::new(), |at| format!("  made {at}"));
                    let signs = if key.current {
                        "  signs new tokens"
                    } else {
                        ""
                    };
                    let live = words::live_tokens(key.live_tokens);
                    format!("{}{made}  {live}{signs}", key.id)
                })
            });
        }
        KeyCommand::Rotate(list) => {
            let central = list.file.open().await?;
            tell_above(&central, None, "signing_key.rotated", ("", "", "")).await?;
            let id = central.rotate_signing_key()?;
            print(list.json, &serde_json::json!({ "current": id }), |_| {
                format!("{id} signs from now on; tokens signed before stay good")
            });
        }
        KeyCommand::Retire(Retire { id, yes, list }) => {
            let central = list.file.open().await?;
            match central.check_signing_key(&id, yes).await {
                Err(error @ KeyChangeError::InUse { .. }) => {
                    anyhow::bail!("{error}; add --yes if that is meant")
                }
                outcome => outcome?,
            }
            tell_above(&central, None, "signing_key.retired", (&id, "", "")).await?;
            central.retire_signing_key(&id, yes).await?;
            println!("retired");
        }
    }
    Ok(())
}

pub(super) async fn run_api_key(arguments: ApiKeyCommand) -> anyhow::Result<()> {
    match arguments.command {
        None => make(arguments.new).await,
        Some(OtherApiKeyCommand::List(of)) => list(of).await,
        Some(OtherApiKeyCommand::Delete(delete)) => self::delete(delete).await,
    }
}

impl OfRole {
    /// The service, and the environment unless the keys are operators'.
    async fn open(&self) -> anyhow::Result<(Central, Option<Environment>)> {
        if self.role == KeyRole::Operator {
            return Ok((self.place.list.file.open().await?, None));
        }
        let (central, environment) = self.place.open().await?;
        Ok((central, Some(environment)))
    }
}

async fn make(NewApiKey { name, of }: NewApiKey) -> anyhow::Result<()> {
    check_name(&name).map_err(anyhow::Error::msg)?;
    let (central, environment) = of.open().await?;
    let access = match (&environment, of.role) {
        (Some(environment), KeyRole::Viewer) => {
            Access::Environment(environment.scope, Role::Viewer)
        }
        (Some(environment), KeyRole::Admin) => Access::Environment(environment.scope, Role::Admin),
        (Some(environment), _) => Access::Environment(environment.scope, Role::Owner),
        (None, _) => Access::Operator,
    };
    match (access, &environment) {
        (Access::Environment(_, role), Some(environment)) => {
            let change = (name.as_str(), "", role.word());
            tell(&central, environment, "api_key.made", change).await?;
        }
        _ => tell_above(&central, None, "api_key.made", (&name, "", "operator")).await?,
    }
    let key = central.create_api_key(access, &name).await?;
    let shown = serde_json::json!({ "api_key": key.expose() });
    print(of.place.list.json, &shown, |_| key.expose().to_owned());
    Ok(())
}

async fn list(of: OfRole) -> anyhow::Result<()> {
    let (central, environment) = of.open().await?;
    let keys = match environment {
        Some(environment) => {
            central
                .store
                .all(environment.scope, Of::Environment)
                .await?
        }
        None => central.store.operator_keys().await?,
    };
    print(of.place.list.json, &keys, |keys| {
        lines(keys, |key| {
            format!(
                "{}  {}  made {}  {}",
                key.id, key.role, key.created_at, key.name
            )
        })
    });
    Ok(())
}

async fn delete(DeleteApiKey { id, of }: DeleteApiKey) -> anyhow::Result<()> {
    let (central, environment) = of.open().await?;
    let keys = match &environment {
        Some(environment) => {
            central
                .store
                .all(environment.scope, Of::Environment)
                .await?
        }
        None => central.store.operator_keys().await?,
    };
    let key = keys.iter().find(|key| key.id == id);
    let key = key.with_context(|| {
        format!("there is no such key {id}; `fieldpost central api-key list` shows them")
    })?;
    let change = (id.as_str(), key.name.as_str(), "");
    match environment {
        Some(environment) => {
            tell(&central, &environment, "api_key.deleted", change).await?;
            central.store.delete_api_key(environment.scope, &id).await?
        }
        None => {
            tell_above(&central, None, "api_key.deleted", change).await?;
            central.store.delete_operator_key(&id).await?
        }
    };
    println!("deleted");
    Ok(())
}
