//! `fieldpost central`

mod store;
mod export;
mod import;
mod tenants;
mod tokens;
mod keys;
mod users;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use fieldpost::central::Central;
use fieldpost::central::config::{Config, default_file};
use fieldpost::central::people::Actor;
use fieldpost::central::store::{AuditEntry, Environment, Store};
use fieldpost::config::{Mistakes, read_file};
use fieldpost::secret::private_directory;
use fieldpost::supervisor;
use serde::Serialize;
use tokio::net::TcpListener;

use export::Export;
use import::Import;
use store::{Backup, RetentionCommand};

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
    /// Write an environment's records, metrics and traces, one OTLP/JSON request a line.
    Export(Export),
    /// Send what was exported to an OTLP endpoint, such as that of another central service.
    Import(Import),
    /// Tenants and their environments.
    #[command(subcommand)]
    Tenant(tenants::TenantCommand),
    /// Rename or delete an environment of a tenant, or say when its machines are missed.
    #[command(subcommand)]
    Environment(tenants::EnvironmentCommand),
    /// What an environment takes telemetry from.
    #[command(subcommand)]
    Integration(tokens::IntegrationCommand),
    /// Tokens that machines send telemetry with.
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Keys that sign those tokens.
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// People who sign in to the portal, and their roles.
    #[command(subcommand)]
    User(users::UserCommand),
    /// Make a key for /api/v1, which is shown once; list and delete them.
    ApiKey(keys::ApiKeyCommand),
}

#[derive(Args)]
pub(super) struct ConfigFile {
    /// Configuration file; variables such as FIELDPOST_DATA_DIRECTORY override its keys
    /// [default: /etc/fieldpost/central.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
pub(super) struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(file) => serve(&file),
        Command::Migrate(list) => super::block_on(migrate(list)),
        Command::Verify(list) => super::block_on(store::verify(list)),
        Command::Rebuild(list) => super::block_on(store::rebuild(list)),
        Command::Retention(command) => super::block_on(store::retention(command)),
        Command::Backup(backup) => super::block_on(store::backup(backup)),
        Command::Export(export) => super::block_on(export::export(export)),
        Command::Import(import) => super::block_on(import::import(import)),
        Command::Tenant(command) => super::block_on(tenants::run_tenant(command)),
        Command::Environment(command) => super::block_on(tenants::run_environment(command)),
        Command::Integration(command) => super::block_on(tokens::run_integration(command)),
        Command::Token(command) => super::block_on(tokens::run_token(command)),
        Command::Key(command) => super::block_on(keys::run_key(command)),
        Command::User(command) => super::block_on(users::run(command)),
        Command::ApiKey(command) => super::block_on(keys::run_api_key(command)),
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
        let url = config.url(config.address);
        Central::open(&config, url).await
    }
}

impl Place {
    async fn open(&self) -> anyhow::Result<(Central, Environment)> {
        let central = self.list.file.open().await?;
        let environment = central.environment(&self.tenant, &self.environment).await?;
        Ok((central, environment))
    }
}

fn serve(file: &ConfigFile) -> anyhow::Result<()> {
    let config = file.load().context("the configuration cannot be used")?;
    let handed = supervisor::listeners()?;
    super::serve(async |shutdown| {
        let listener = listen(&config, handed)?;
        let url = config.url(listener.local_addr()?);
        let central = Arc::new(Central::open(&config, url).await?);
        if let Some(link) = central.first_owner_link().await? {
            println!(
                "Nobody can sign in yet. This link lets the first owner in, once, until {}:\n{}",
                link.expires_at,
                link.url.expose()
            );
        }
        fieldpost::central::run(central, listener, shutdown).await;
        Ok(())
    })
}

/// Takes the socket that a supervisor has handed over, or else opens the configured address.
fn listen(config: &Config, mut handed: Vec<std::net::TcpListener>) -> anyhow::Result<TcpListener> {
    anyhow::ensure!(
        handed.len() < 2,
        "the supervisor handed over {} sockets, and the service listens on one: \
         [::]:443 takes connections of both kinds",
        handed.len()
    );
    if let Some(listener) = handed.pop() {
        listener.set_nonblocking(true)?;
        return Ok(TcpListener::from_std(listener)?);
    }
    fieldpost::http::listen(config.address).with_context(|| {
        format!(
            "cannot listen on {}; choose another with listen.address",
            config.address
        )
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

fn print<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) {
    match json {
        true => println!("{}", serde_json::to_string(value).expect("rows are JSON")),
        false => println!("{}", text(value)),
    }
}

/// One line for each.
fn lines<T>(items: &[T], line: impl FnMut(&T) -> String) -> String {
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What the audit tells of something that is done here: the object, what it was, and what it becomes.
type Change<'a> = (&'a str, &'a str, &'a str);

/// Writes what is about to be done in an environment. It is only done once this is on disk.
async fn tell(
    central: &Central,
    environment: &Environment,
    action: &'static str,
    change: Change<'_>,
) -> anyhow::Result<()> {
    let entry = entry(central, Some(environment), action, change);
    Ok(central.audit(entry).await?)
}

/// The same of what stands above the environments: of one tenant, or of all.
async fn tell_above(
    central: &Central,
    tenant: Option<&str>,
    action: &'static str,
    change: Change<'_>,
) -> anyhow::Result<()> {
    let entry = entry(central, None, action, change);
    Ok(central.audit_above(entry, tenant).await?)
}

fn entry(
    central: &Central,
    environment: Option<&Environment>,
    action: &'static str,
    (object, was, became): Change<'_>,
) -> AuditEntry {
    AuditEntry {
        was: was.to_owned(),
        became: became.to_owned(),
        ..central.entry(&Actor::command_line(), environment, action, object)
    }
}

/// Refuses to delete what nobody agreed to lose; says what that is.
fn ensure_agreed(yes: bool, what: &str, goes: &impl std::fmt::Display) -> anyhow::Result<()> {
    anyhow::ensure!(
        yes,
        "this deletes {what} with {goes}, which cannot be brought back; add --yes if that is meant"
    );
    Ok(())
}
