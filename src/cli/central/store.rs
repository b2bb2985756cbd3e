//! `fieldpost central verify`, `rebuild`, `retention`, `backup`: looking after what is stored.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use fieldpost::central::store::{Audit, Retention, Store};
use fieldpost::config::parse_duration;
use fieldpost::event::Timestamp;
use fieldpost::secret::private_directory;
use serde::Serialize;

use super::{List, Place, print, tell};

#[derive(Subcommand)]
pub(in crate::cli) enum RetentionCommand {
    /// Say how long an environment keeps its records.
    Show(Place),
    /// Set how long an environment keeps its records: what is older is deleted in the background.
    Set(SetRetention),
    /// Delete now what is older than every environment keeps.
    Run(List),
}

#[derive(Args)]
pub(in crate::cli) struct SetRetention {
    /// How long everything is kept: 365d, or forever.
    #[arg(long, value_name = "TIME")]
    keep: Option<String>,
    /// How long prompts, responses and tool input are kept: 90d, or forever (as long as the rest).
    #[arg(long, value_name = "TIME")]
    content: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(in crate::cli) struct Backup {
    /// Folder for the copy; it must not exist, or be empty.
    folder: PathBuf,
    #[command(flatten)]
    list: List,
}

/// Compares the derived tables with the events.
pub(super) async fn verify(list: List) -> anyhow::Result<()> {
    let store = list.file.open_store().await?;
    let audit = store.verify(tell_progress).await?;
    store.close().await;
    print(list.json, &audit, describe);
    anyhow::ensure!(
        audit.differences == 0,
        "the derived tables differ from the events; `fieldpost central rebuild` makes them anew"
    );
    Ok(())
}

/// Makes the derived tables anew.
pub(super) async fn rebuild(list: List) -> anyhow::Result<()> {
    let store = list.file.open_store().await?;
    let audit = store.rebuild(tell_progress).await?;
    store.close().await;
    print(list.json, &audit, |audit| {
        format!("{}\nthe derived tables were made anew", describe(audit))
    });
    Ok(())
}

fn tell_progress(events: u64) {
    if events.is_multiple_of(100_000) {
        eprintln!("{events} events counted");
    }
}

fn describe(audit: &Audit) -> String {
    let mut text = format!(
        "{} events counted, {} rows compared, {} differences",
        audit.events, audit.rows, audit.differences
    );
    for told in &audit.told {
        text.push_str("\n  ");
        text.push_str(told);
    }
    text
}

pub(super) async fn retention(command: RetentionCommand) -> anyhow::Result<()> {
    match command {
        RetentionCommand::Show(place) => {
            let (central, environment) = place.open().await?;
            let retention = central.store.retention_of(environment.scope).await?;
            print(place.list.json, &retention, describe_retention);
        }
        RetentionCommand::Set(set) => {
            let (central, environment) = set.place.open().await?;
            let was = central.store.retention_of(environment.scope).await?;
            let mut retention = was;
            if let Some(keep) = &set.keep {
                retention.keep_seconds = seconds(keep)?;
            }
            if let Some(content) = &set.content {
                retention.content_seconds = seconds(content)?;
            }
            let (was, becomes) = (describe_retention(&was), describe_retention(&retention));
            let change = ("", was.as_str(), becomes.as_str());
            tell(&central, &environment, "retention.changed", change).await?;
            central
                .store
                .set_retention(environment.scope, retention)
                .await?;
            print(set.place.list.json, &retention, describe_retention);
        }
        RetentionCommand::Run(list) => {
            let store = list.file.open_store().await?;
            let expired = store.expire(Timestamp::now(), &|| false).await?;
            store.close().await;
            print(list.json, &expired, |expired| {
                format!(
                    "deleted {} events, {} contents, {} metrics and traces",
                    expired.events, expired.contents, expired.signals
                )
            });
        }
    }
    Ok(())
}

fn seconds(text: &str) -> anyhow::Result<Option<i64>> {
    if text == "forever" {
        return Ok(None);
    }
    let time = parse_duration(text)
        .filter(|time| !time.is_zero())
        .with_context(|| format!("{text:?} is no time; write 365d, 12h or forever"))?;
    Ok(Some(i64::try_from(time.as_secs())?))
}

fn describe_retention(retention: &Retention) -> String {
    let words = |seconds: Option<i64>| match seconds {
        None => "forever".to_owned(),
        Some(seconds) if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        Some(seconds) => format!("{seconds}s"),
    };
    format!(
        "everything  {}\ncontent     {}",
        words(retention.keep_seconds),
        words(retention.content_seconds)
    )
}

/// What was copied.
#[derive(Serialize)]
struct Copied {
    folder: PathBuf,
    bytes: u64,
}

/// Copies the database and the keys while the service runs.
pub(super) async fn backup(backup: Backup) -> anyhow::Result<()> {
    let config = backup
        .list
        .file
        .load()
        .context("the configuration cannot be used")?;
    let folder = &backup.folder;
    let is_free = !folder.exists()
        || folder
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_none());
    anyhow::ensure!(
        is_free,
        "{} holds something; name a new folder",
        folder.display()
    );
    private_directory(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Store::backup(&config.database, &config.data, folder).await?;
    let bytes = copy_keys(&config.data, folder)
        .and_then(|()| folder_bytes(folder))
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    let copied = Copied {
        folder: folder.clone(),
        bytes,
    };
    print(backup.list.json, &copied, |copied| {
        format!("{} bytes in {}", copied.bytes, copied.folder.display())
    });
    Ok(())
}

/// Copies the files of keys beside the database, which belong to it.
fn copy_keys(data: &Path, folder: &Path) -> std::io::Result<()> {
    for entry in data.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let is_database = name.to_string_lossy().starts_with("fieldpost");
        if entry.file_type()?.is_file() && !is_database {
            // With its mode: nobody else may read it.
            std::fs::copy(entry.path(), folder.join(name))?;
        }
    }
    Ok(())
}

fn folder_bytes(folder: &Path) -> std::io::Result<u64> {
    folder
        .read_dir()?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .sum()
}
