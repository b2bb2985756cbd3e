//! The ways in which fleets tell Claude.

use std::str::FromStr;

/// A text that carries the variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for a person's own shell.
    Shell,
    /// `/etc/profile.d/fieldpost.sh`: for login shells, without what shows content.
    ProfileD,
    /// `/etc/environment` (pam_env): no shell reads it, so nothing is expanded.
    Environment,
    /// A drop-in for Claude's managed settings, on every system.
    ManagedSettings,
    /// A macOS configuration profile, for Jamf, Kandji and others.
    MacosProfile,
    /// A PowerShell script for Intune or Group Policy: the policy in the machine's registry.
    IntuneScript,
    /// Intune's question whether that has been done.
    IntuneDetection,
    /// The same policy as a registry file.
    Registry,
    /// Tasks of an Ansible role.
    Ansible,
    /// A Salt state.
    Salt,
    /// The variables as one JSON object.
    Json,
}

/// There is no format of this name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no format {0}; there are: {1}")]
pub struct UnknownFormat(String, String);

impl Format {
    /// All of them.
    pub const ALL: [Format; 11] = [
        Format::Shell,
        Format::ProfileD,
        Format::Environment,
        Format::ManagedSettings,
        Format::MacosProfile,
        Format::IntuneScript,
        Format::IntuneDetection,
        Format::Registry,
        Format::Ansible,
        Format::Salt,
        Format::Json,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.names().0
    }

    /// Its file's name below `packaging/mdm/edge` and `packaging/mdm/central`.
    pub fn file(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Format::Shell => ("shell", "shell.sh"),
            Format::ProfileD => ("profile.d", "profile.d/fieldpost.sh"),
            Format::Environment => ("environment", "environment"),
            Format::ManagedSettings => ("managed-settings", "claude/10-fieldpost.json"),
            Format::MacosProfile => ("macos-profile", "macos/fieldpost.mobileconfig"),
            Format::IntuneScript => ("intune-script", "windows/fieldpost.ps1"),
            Format::IntuneDetection => ("intune-detection", "windows/fieldpost-detection.ps1"),
            Format::Registry => ("registry", "windows/fieldpost.reg"),
            Format::Ansible => ("ansible", "ansible/tasks/main.yml"),
            Format::Salt => ("salt", "salt/init.sls"),
            Format::Json => ("json", "variables.json"),
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        let mut all = Format::ALL.into_iter();
        all.find(|format| format.name() == name).ok_or_else(|| {
            let names = Format::ALL.map(Format::name).join(", ");
            UnknownFormat(name.to_owned(), names)
        })
    }
}
