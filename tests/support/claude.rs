//! The real Claude Code, without an account: a home of its own, and a scripted model instead of
//! Anthropic's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::clients::{installed, source};
use super::model::ScriptedModel;
use super::process::{self, Output};

const LIMIT: Duration = Duration::from_secs(120);

/// A person's Claude Code; every prompt is a session of its own.
pub(crate) struct Claude {
    home: TempDir,
    /// A folder whose contents this person's machine has in /etc.
    etc: Option<PathBuf>,
}

impl Claude {
    /// Someone signed in as `user_email`, with the MCP server `tickets`
    /// (`tests/clients/mcp_server.mjs`) and rules that let Claude use its tools and `Bash`, but not
    /// `Bash` with a command that starts with one of `denied`.
    pub(crate) fn new(user_email: &str, denied: &[&str]) -> Claude {
        let home = tempfile::tempdir().expect("a home");
        let claude = Claude { home, etc: None };
        let denied: Vec<String> = denied
            .iter()
            .map(|command| format!("Bash({command}:*)"))
            .collect();
        fs::create_dir(claude.path(".claude")).expect("a new directory");
        fs::create_dir(claude.path("work")).expect("a new directory");
        claude.write(
            ".claude.json",
            &json!({
                "hasCompletedOnboarding": true,
                "oauthAccount": {
                    "emailAddress": user_email,
                    "accountUuid": "11111111-2222-4333-8444-555555555555",
                    "organizationUuid": "99999999-8888-4777-8666-555555555555",
                },
            }),
        );
        claude.write(
            ".claude/settings.json",
            &json!({"permissions": {"allow": ["Bash", "mcp__tickets"], "deny": denied}}),
        );
        claude.write(
            "mcp.json",
            &json!({"mcpServers": {"tickets": {"command": "node", "args": [source("mcp_server.mjs")]}}}),
        );
        claude
    }

    /// The same person on a machine that has the files of `folder` in its /etc, besides this one's.
    pub(crate) fn with_etc(self, folder: &Path) -> Claude {
        Claude {
            etc: Some(folder.to_owned()),
            ..self
        }
    }

    /// Asks `prompt` without a terminal; `environment` says where telemetry goes. It has been
    /// exported when this returns, or never will be.
    pub(crate) async fn ask(
        &self,
        prompt: &str,
        model: &ScriptedModel,
        environment: &[(&str, &str)],
    ) -> Output {
        let binary = format!(
            "node_modules/@anthropic-ai/claude-code-{}/claude",
            platform()
        );
        let mut command = match &self.etc {
            None => process::command(installed(&binary)),
            Some(folder) => process::over_etc(folder, &installed(&binary)),
        };
        command
            .args(["--print", prompt, "--mcp-config"])
            .arg(self.path("mcp.json"))
            .current_dir(self.path("work"))
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path())
            .env("ANTHROPIC_BASE_URL", model.base_url())
            .env("CLAUDE_CODE_OAUTH_TOKEN", "made-up")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .envs(environment.iter().copied());
        process::run(command, "", LIMIT).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, value: &Value) {
        fs::write(self.path(name), value.to_string()).expect("the home is writable");
    }
}

/// The name that Claude Code's packages give to this machine.
fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let libc = if cfg!(target_env = "musl") {
        "-musl"
    } else {
        ""
    };
    format!("{system}-{processor}{libc}")
}
