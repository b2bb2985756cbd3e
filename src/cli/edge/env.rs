//! `fieldpost edge env`

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use fieldpost::edge::config::LOOPBACK;
use fieldpost::rollout::{CENTRAL_PLACEHOLDER, Format, Rollout};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// What to print: shell, profile.d, environment, managed-settings, macos-profile, intune-script,
    /// intune-detection, registry, ansible, salt or json.
    #[arg(long, value_name = "NAME", default_value = "shell")]
    format: Format,
    /// Where the edge listens.
    #[arg(long, value_name = "URL", default_value_t = usual(), conflicts_with = "direct")]
    edge: String,
    /// Without an edge: straight to this endpoint of the central service, as the portal shows it. A
    /// token has to be put where the text says so, by the fleet's own store of secrets.
    #[arg(long, value_name = "URL")]
    direct: Option<String>,
    /// Have Claude export what people ask and what it answers.
    #[arg(long)]
    content: bool,
    /// Have Claude export no metrics.
    #[arg(long)]
    no_metrics: bool,
    /// The company's own NO_PROXY, to which loopback is added.
    #[arg(long, value_name = "LIST", default_value = "")]
    no_proxy: String,
    /// Write the files of every format into this folder, for the edge and for direct export.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

/// Where the edge listens, unless told otherwise.
fn usual() -> String {
    format!("http://{}", LOOPBACK[0])
}

/// Prints one text, or writes them all.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let with_options = |rollout: Rollout| Rollout {
        content: arguments.content,
        metrics: !arguments.no_metrics,
        no_proxy: arguments.no_proxy.clone(),
        ..rollout
    };
    let edge = with_options(Rollout::edge(&arguments.edge));
    let direct = arguments.direct.as_deref();
    let central = with_options(Rollout::central(direct.unwrap_or(CENTRAL_PLACEHOLDER)));
    match &arguments.write {
        Some(folder) => {
            write_all(&folder.join("edge"), &edge)?;
            write_all(&folder.join("central"), &central)
        }
        None => {
            let rollout = if direct.is_some() { central } else { edge };
            print!("{}", rollout.render(arguments.format));
            Ok(())
        }
    }
}

fn write_all(folder: &Path, rollout: &Rollout) -> anyhow::Result<()> {
    for format in Format::ALL {
        let file = folder.join(format.file());
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&file, rollout.render(format)))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
