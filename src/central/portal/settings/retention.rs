//! How long the environment keeps records, for its owners.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{AuditEntry, Retention, Role};

use super::{Tab, tabs};
use crate::central::portal::failure::Failure;
use crate::central::portal::shell::{Here, Section, Shell, draw};

const DAY: i64 = 86_400;

/// Longest time, in days.
const MAX_DAYS: i64 = 36_500;

#[derive(Template)]
#[template(
    path = "settings_retention.html",
    config = "src/central/portal/askama.toml"
)]
struct RetentionPage {
    shell: Shell,
    tabs: Vec<Tab>,
    action: String,
    everything: String,
    content: String,
}

/// What the form sends: days, or nothing for ever.
#[derive(Deserialize)]
pub(in crate::central::portal) struct Days {
    #[serde(default)]
    everything: String,
    #[serde(default)]
    content: String,
}

/// Someone looks at how long records are kept.
pub(in crate::central::portal) async fn page(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    here.require(Role::Owner)?;
    let retention = central.store.retention_of(here.scope()).await?;
    draw(&RetentionPage {
        shell: here.shell(Section::Settings),
        tabs: tabs(&here, "retention"),
        action: here.base.settings("retention"),
        everything: days(retention.keep_seconds),
        content: days(retention.content_seconds),
    })
}

/// Someone changes it. What is older goes within the hour, and cannot be brought back.
pub(in crate::central::portal) async fn change(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(form): Form<Days>,
) -> Result<Redirect, Failure> {
    here.require(Role::Owner)?;
    let old = central.store.retention_of(here.scope()).await?;
    let new = Retention {
        keep_seconds: seconds(&form.everything)?,
        content_seconds: seconds(&form.content)?,
    };
    let entry = AuditEntry {
        was: words(old),
        became: words(new),
        ..central.entry(
            &here.actor(),
            Some(&here.environment),
            "retention.changed",
            "",
        )
    };
    central.audit(entry).await?;
    central.store.set_retention(here.scope(), new).await?;
    Ok(Redirect::to(&here.base.settings("retention")))
}

fn seconds(days: &str) -> Result<Option<i64>, Failure> {
    match days.trim() {
        "" => Ok(None),
        days => match days.parse::<i64>() {
            Ok(days) if (1..=MAX_DAYS).contains(&days) => Ok(Some(days * DAY)),
            _ => Err(Failure::BadRequest(
                "A time to keep records is a number of days from 1 on, or nothing for ever.",
            )),
        },
    }
}

/// Whole days, rounded up; nothing for ever.
fn days(seconds: Option<i64>) -> String {
    seconds.map_or(String::new(), |seconds| {
        ((seconds + DAY - 1) / DAY).to_string()
    })
}

fn words(retention: Retention) -> String {
    let told = |seconds: Option<i64>| match seconds {
        Some(_) => format!("{} days", days(seconds)),
        None => "for ever".to_owned(),
    };
    format!(
        "everything {}, content {}",
        told(retention.keep_seconds),
        told(retention.content_seconds)
    )
}
