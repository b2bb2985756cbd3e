//! `fieldpost central integration`, `fieldpost central token`

use anyhow::Context;
use clap::{Args, Subcommand};
use fieldpost::central::Central;
use fieldpost::central::accounts::{TokenDeletion, TokenDetail, check_name};
use fieldpost::central::people::Actor;
use fieldpost::central::store::{Environment, Of, SenderKind, Token};
use fieldpost::event::Timestamp;
use fieldpost::words;

use super::{Place, ensure_agreed, lines, print, tell};

#[derive(Subcommand)]
pub(crate) enum IntegrationCommand {
    /// List integrations, and how many live tokens each has.
    List(Placed),
    /// End Claude Cowork's integration: every token of it is revoked.
    Uninstall(Uninstall),
}

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Install Claude Cowork in an environment, or again: a new token, shown once.
    Install(Install),
    /// List an environment's tokens; the tokens themselves are not kept.
    List(Placed),
    /// Show what one token is used for: who sends with it, addresses, what was refused or rejected.
    Show(OfToken),
    /// Give a token another name.
    Rename(Rename),
    /// Revoke a token by its id, everywhere within a second; says who falls silent.
    Revoke(Revoke),
    /// Forget a token that is revoked or expired.
    Delete(OfToken),
}

#[derive(Args)]
pub(crate) struct Placed {
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Uninstall {
    /// Do it; without this, only say what would go.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Install {
    /// What people call the token.
    #[arg(long, default_value = "")]
    name: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct OfToken {
    /// The token's id, as listed.
    id: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Revoke {
    /// The token's id, as listed.
    id: String,
    /// Revoke it even if agents or machines send with it and with no other; without this, only say who they
    /// are.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Rename {
    /// The token's id, as listed.
    id: String,
    /// Its new name.
    name: String,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run_integration(command: IntegrationCommand) -> anyhow::Result<()> {
    match command {
        IntegrationCommand::List(Placed { place }) => {
            let (central, environment) = place.open().await?;
            let integrations = central.store.integrations(environment.scope).await?;
            print(place.list.json, &integrations, |integrations| {
                lines(integrations, |integration| {
                    let installed = match integration.installed_at {
                        Some(at) => format!("installed {at}"),
                        None => "not installed".to_owned(),
                    };
                    let live = words::live_tokens(integration.live_tokens);
                    format!("{}  {installed}  {live}", integration.name)
                })
            });
        }
        IntegrationCommand::Uninstall(Uninstall { yes, place }) => {
            let (central, environment) = place.open().await?;
            let integrations = central.store.integrations(environment.scope).await?;
            let live: i64 = integrations.iter().map(|it| it.live_tokens).sum();
            let goes = words::live_tokens(live);
            ensure_agreed(yes, "the integration Claude Cowork", &goes)?;
            let change = ("claude-cowork", goes.as_str(), "");
            tell(&central, &environment, "integration.removed", change).await?;
            let revoked = central.uninstall(environment.scope).await?;
            let done = serde_json::json!({ "revoked_tokens": revoked });
            print(place.list.json, &done, |_| {
                let revoked = i64::try_from(revoked).unwrap_or(i64::MAX);
                format!("revoked {}", words::live_tokens(revoked))
            });
        }
    }
    Ok(())
}

pub(super) async fn run_token(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Install(arguments) => install(arguments).await,
        TokenCommand::List(Placed { place }) => list(place).await,
        TokenCommand::Show(arguments) => show(arguments).await,
        TokenCommand::Rename(arguments) => rename(arguments).await,
        TokenCommand::Revoke(arguments) => revoke(arguments).await,
        TokenCommand::Delete(arguments) => delete(arguments).await,
    }
}

async fn install(Install { name, place }: Install) -> anyhow::Result<()> {
    check_name(&name).map_err(anyhow::Error::msg)?;
    let (central, environment) = place.open().await?;
    tell(&central, &environment, "token.made", (&name, "", "")).await?;
    let installation = central
        .install(&environment, &name, &Actor::command_line())
        .await?;
    print(place.list.json, &installation, |installation| {
        format!(
            "endpoint             {}\nprotocol             {}\nauthorizationHeader  {}\n\n\
             The header is not shown again. Keep it like a password.",
            installation.endpoint, installation.protocol, installation.authorization_header
        )
    });
    Ok(())
}

async fn list(place: Place) -> anyhow::Result<()> {
    let (central, environment) = place.open().await?;
    let tokens = central
        .store
        .all::<Token>(environment.scope, Of::Environment)
        .await?;
    print(place.list.json, &tokens, |tokens| lines(tokens, line));
    Ok(())
}

fn line(token: &Token) -> String {
    let state = match token.revoked_at {
        Some(at) => format!("revoked {at}"),
        None if token.expires_at <= Timestamp::now() => format!("expired {}", token.expires_at),
        None => format!("expires {}", token.expires_at),
    };
    let name = match token.name.as_str() {
        "" => String::new(),
        name => format!("  {name}"),
    };
    let by = match &token.created_by {
        Some(by) => format!("  by {by}"),
        None => String::new(),
    };
    format!(
        "{}  {state}  {} requests  {} events in 7 days  {}{name}{by}",
        token.id,
        token.request_count,
        token.event_count_7d,
        words::senders(token.agent_count, token.machine_count),
    )
}

async fn show(OfToken { id, place }: OfToken) -> anyhow::Result<()> {
    let (central, environment) = place.open().await?;
    let token = central.token(environment.scope, &id).await?;
    let token = token.with_context(|| missing(&id))?;
    print(place.list.json, &token, describe);
    Ok(())
}

fn describe(detail: &TokenDetail) -> String {
    let TokenDetail {
        token,
        addresses,
        senders,
        days,
        refused,
        rejected,
    } = detail;
    let mut text = line(token);
    text.push_str(&format!(
        "\nissued   {}, signed by {}",
        token.issued_at, token.key_id
    ));
    if let (Some(first), Some(last)) = (token.first_used, token.last_used) {
        text.push_str(&format!("\nused     {first} to {last}"));
    }
    for from in addresses {
        text.push_str(&format!(
            "\nfrom     {}  {} requests, the latest {}",
            from.address, from.request_count, from.last_used
        ));
    }
    for day in days {
        text.push_str(&format!(
            "\nday      {}  {} events",
            day.start, day.event_count
        ));
    }
    for sender in senders {
        let kind = match sender.kind {
            SenderKind::Agent => "agent",
            SenderKind::Machine => "machine",
        };
        let depends = match sender.depends {
            true => ", falls silent when this token is revoked",
            false => "",
        };
        text.push_str(&format!(
            "\n{kind:<8} {}  the latest {}{depends}",
            sender.name.as_deref().unwrap_or(&sender.id),
            sender.last_used
        ));
    }
    for rejection in rejected {
        text.push_str(&format!(
            "\nrejected {}  {} records, the latest {}",
            rejection.reason, rejection.record_count, rejection.last_rejected
        ));
    }
    for refusal in refused {
        text.push_str(&format!(
            "\nrefused  {}  {} requests, the latest {}",
            refusal.reason, refusal.request_count, refusal.last_refused
        ));
    }
    text
}

async fn rename(Rename { id, name, place }: Rename) -> anyhow::Result<()> {
    check_name(&name).map_err(anyhow::Error::msg)?;
    let (central, environment) = place.open().await?;
    let token = find(&central, &environment, &id).await?;
    let change = (id.as_str(), token.name.as_str(), name.as_str());
    tell(&central, &environment, "token.renamed", change).await?;
    let store = &central.store;
    let renamed = store.rename_token(environment.scope, &id, &name).await?;
    anyhow::ensure!(renamed, missing(&id));
    println!("renamed");
    Ok(())
}

async fn revoke(Revoke { id, yes, place }: Revoke) -> anyhow::Result<()> {
    let (central, environment) = place.open().await?;
    let token = find(&central, &environment, &id).await?;
    let is_live = token.revoked_at.is_none();
    anyhow::ensure!(is_live, "there is no live token {id} in this environment");
    let (agents, machines) = (token.dependent_agents, token.dependent_machines);
    anyhow::ensure!(
        yes || agents + machines == 0,
        "{} would fall silent: they sent with this token within the last 30 days, and with no other since; \
         `fieldpost central token show {id}` names them; add --yes if that is meant",
        words::senders(agents, machines)
    );
    tell(&central, &environment, "token.revoked", (&id, "", "")).await?;
    central.revoke_token(environment.scope, &id).await?;
    println!("revoked");
    Ok(())
}

async fn delete(OfToken { id, place }: OfToken) -> anyhow::Result<()> {
    let (central, environment) = place.open().await?;
    let token = find(&central, &environment, &id).await?;
    tell(
        &central,
        &environment,
        "token.deleted",
        (&id, &token.name, ""),
    )
    .await?;
    match central.delete_token(environment.scope, &id).await? {
        TokenDeletion::Done => println!("deleted"),
        TokenDeletion::Missing => anyhow::bail!(missing(&id)),
        TokenDeletion::Live => anyhow::bail!(
            "the token can still be used; revoke it first: fieldpost central token revoke {id}"
        ),
    }
    Ok(())
}

async fn find(central: &Central, environment: &Environment, id: &str) -> anyhow::Result<Token> {
    let store = &central.store;
    let token = store.token(environment.scope, id, Timestamp::now()).await?;
    token.with_context(|| missing(id))
}

fn missing(id: &str) -> String {
    format!("there is no token {id} in this environment; `fieldpost central token list` shows them")
}
