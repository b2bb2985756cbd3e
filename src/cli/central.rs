//! `fieldpost central`

mod store;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use fieldpost::central::Central;
use fieldpost::central::config::{Config, default_file};
use fieldpost::central::store::{Environment, Store};
use fieldpost::config::{Mistakes, read_file};
use fieldpost::secret::private_directory;
use serde::Serialize;
use tokio::net::TcpListener;

use store::{Backup, RetentionCommand};
use transfer::{Export, Import};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the service until it is told to stop.
    Run(ConfigFile),
    /// Bring the database to the form that this version needs; `run` does it, too.
    Migrate(List),
    /// Recount everything from the events and compare it with the derived tables, as of one moment.
    Verify(List),
    /// Make the derived tables anew from the events.
    Rebuild(List),
    /// How long records are kept.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Copy the SQLite database and the keys into a folder, while the service runs.
    Backup(Backup),
    /// Write an environment's records, one OTLP/JSON request a line.
    Export(Export),
    /// Send exported records to an OTLP endpoint, such as that of another central service.
    Import(Import),
    /// Tenants and their environments.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Tokens that machines send telemetry with.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make a key for /api/v1; it is shown once.
    ApiKey(ApiKey),
}

#[derive(Args)]
pub(super) struct ConfigFile {
    /// Configuration file; variables such as FIELDPOST_DATA_DIRECTORY override its keys
    /// [default: /etc/fieldpost/central.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(super) enum TenantCommand {
    /// Make an environment, and its tenant when there is none of that name.
    Add(Place),
    /// List tenants and environments.
    List(List),
}

#[derive(Subcommand)]
pub(super) enum TokenCommand {
    /// Install Claude Cowork in an environment: a new token, shown once.
    Install(Place),
    /// List an environment's tokens; the tokens themselves are not kept.
    List(PlacedList),
    /// Revoke a token by its id.
    Revoke(Revoke),
}

#[derive(Args)]
pub(super) struct Place {
    /// Tenant, as in the portal's address.
    #[arg(long, default_value = "default")]
    tenant: String,
    /// Environment, as in the portal's address.
    #[arg(long, default_value = "default")]
    environment: String,
    #[command(flatten)]
    list: List,
}

#[derive(Args)]
pub(super) struct PlacedList {
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(super) struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Args)]
pub(super) struct Revoke {
    /// The token's id, as listed.
    id: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(super) struct ApiKey {
    /// What the key is for.
    #[arg(long, default_value = "command line")]
    name: String,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(file) => serve(&file),
        Command::Migrate(list) => super::block_on(migrate(list)),
        Command::Verify(list) => super::block_on(store::verify(list)),
        Command::Rebuild(list) => super::block_on(store::rebuild(list)),
        Command::Retention(command) => super::block_on(store::retention(command)),
        Command::Backup(backup) => super::block_on(store::backup(backup)),
        Command::Export(export) => super::block_on(transfer::export(export)),
        Command::Import(import) => super::block_on(transfer::import(import)),
        Command::Tenant(TenantCommand::Add(place)) => super::block_on(add_tenant(place)),
        Command::Tenant(TenantCommand::List(list)) => super::block_on(list_tenants(list)),
        Command::Token(TokenCommand::Install(place)) => super::block_on(install(place)),
        Command::Token(TokenCommand::List(list)) => super::block_on(list_tokens(list.place)),
        Command::Token(TokenCommand::Revoke(revoke)) => super::block_on(revoke_token(revoke)),
        Command::ApiKey(key) => super::block_on(add_api_key(key)),
    }
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Mistakes> {
        let path = self.config.clone().unwrap_or_else(default_file);
        let text = read_file(&path, self.config.is_some())?;
        Config::parse(&text, &super::variable)
    }

    /// The store alone, for what needs no keys.
    async fn open_store(&self) -> anyhow::Result<Store> {
        let config = self.load().context("the configuration cannot be used")?;
        private_directory(&config.data)
            .with_context(|| format!("cannot make the data folder {}", config.data.display()))?;
        Store::open(&config.database, &config.data)
            .await
            .context("cannot open the store")
    }

    async fn open(&self) -> anyhow::Result<Central> {
        let config = self.load().context("the configuration cannot be used")?;
        let url = public_url(&config, &config.address.to_string());
        Central::open(&config, url).await
    }
}

impl Place {
    async fn open(&self) -> anyhow::Result<(Central, Environment)> {
        let central = self.list.file.open().await?;
        let environment = central
            .store
            .environment(&self.tenant, &self.environment)
            .await?
            .with_context(|| {
                format!(
                    "there is no environment {}/{}; `fieldpost central tenant list` shows them",
                    self.tenant, self.environment
                )
            })?;
        Ok((central, environment))
    }
}

fn public_url(config: &Config, address: &str) -> String {
    config
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{address}"))
}

fn serve(file: &ConfigFile) -> anyhow::Result<()> {
    let config = file.load().context("the configuration cannot be used")?;
    super::serve(async |shutdown| {
        let listener = TcpListener::bind(config.address).await.with_context(|| {
            format!(
                "cannot listen on {}; choose another with listen.address",
                config.address
            )
        })?;
        let url = public_url(&config, &listener.local_addr()?.to_string());
        let central = Arc::new(Central::open(&config, url).await?);
        fieldpost::central::run(central, listener, shutdown).await;
        Ok(())
    })
}

async fn migrate(list: List) -> anyhow::Result<()> {
    let config = list
        .file
        .load()
        .context("the configuration cannot be used")?;
    private_directory(&config.data)
        .with_context(|| format!("cannot make the data folder {}", config.data.display()))?;
    let applied = Store::migrate(&config.database, &config.data)
        .await
        .context("the database cannot be migrated; nothing but whole migrations was applied")?;
    print(list.json, &applied, |applied| match applied.len() {
        0 => "the database has the newest form".to_owned(),
        _ => format!("applied {}", applied.join(", ")),
    });
    Ok(())
}

async fn add_tenant(place: Place) -> anyhow::Result<()> {
    let central = place.list.file.open().await?;
    let environment = central
        .store
        .create_environment(&place.tenant, &place.environment)
        .await?;
    print(place.list.json, &environment, |environment| {
        format!("{}/{}", environment.tenant, environment.environment)
    });
    Ok(())
}

async fn list_tenants(list: List) -> anyhow::Result<()> {
    let environments = list.file.open().await?.store.environments().await?;
    print(list.json, &environments, |environments| {
        let lines = environments
            .iter()
            .map(|environment| format!("{}/{}", environment.tenant, environment.environment));
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

async fn install(place: Place) -> anyhow::Result<()> {
    let (central, environment) = place.open().await?;
    let installation = central.install(&environment).await?;
    print(place.list.json, &installation, |installation| {
        format!(
            "endpoint             {}\nprotocol             {}\nauthorizationHeader  {}\n\n\
             The header is not shown again. Keep it like a password.",
            installation.endpoint, installation.protocol, installation.authorization_header
        )
    });
    Ok(())
}

async fn list_tokens(place: Place) -> anyhow::Result<()> {
    let (central, environment) = place.open().await?;
    let tokens = central.store.tokens(environment.scope).await?;
    print(place.list.json, &tokens, |tokens| {
        let lines = tokens.iter().map(|token| {
            let state = match token.revoked_at {
                Some(at) => format!("revoked {at}"),
                None => format!("expires {}", token.expires_at),
            };
            format!("{}  {state}  {} requests", token.id, token.request_count)
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

async fn revoke_token(revoke: Revoke) -> anyhow::Result<()> {
    let (central, environment) = revoke.place.open().await?;
    let revoked = central.revoke_token(environment.scope, &revoke.id).await?;
    anyhow::ensure!(
        revoked,
        "there is no live token {} in this environment",
        revoke.id
    );
    println!("revoked");
    Ok(())
}

async fn add_api_key(key: ApiKey) -> anyhow::Result<()> {
    let (central, environment) = key.place.open().await?;
    let secret = central.create_api_key(environment.scope, &key.name).await?;
    println!("{}", secret.expose());
    Ok(())
}

fn print<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) {
    match json {
        true => println!("{}", serde_json::to_string(value).expect("rows are JSON")),
        false => println!("{}", text(value)),
    }
}
