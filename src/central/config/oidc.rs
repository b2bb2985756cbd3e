//! The `[oidc]` section: the provider through which people sign in, and what its groups may do here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::central::people::{RoleRule, RoleRules};
use crate::config::{Reader, Setting};
use crate::secret::{self, Secret};

/// The file of the client's secret among systemd's credentials.
const CREDENTIAL: &str = "oidc-client-secret";

/// How long a person's keys work on after the provider last said who the person is.
const DEFAULT_KEYS_REST_AFTER: Duration = Duration::from_secs(30 * 86_400);

/// Single sign-on with an OpenID Connect provider.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// The provider's issuer, as it writes it itself.
    pub issuer: String,
    /// What the provider calls this service.
    pub client_id: String,
    /// What proves to the provider that it is this service.
    pub client_secret: ClientSecret,
    /// What people call the provider.
    pub name: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The claim that lists a person's groups.
    pub groups_claim: String,
    /// The domains of e-mail addresses that are let in; none is every one.
    pub domains: Vec<String>,
    /// Whether an address counts of which the provider does not say that it is verified.
    pub accept_unverified_email: bool,
    /// What the groups may do here.
    pub roles: RoleRules,
    /// How long the keys of a person with a role by groups work after the last sign-in.
    pub keys_rest_after: Duration,
    /// Authorities of the provider's certificate, besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where the client's secret comes from.
#[derive(Clone, Debug)]
pub enum ClientSecret {
    /// There is none: PKCE alone protects the code.
    None,
    /// A file, read whenever it is needed, so that a new secret is in force at once.
    File(PathBuf),
    /// The environment.
    Variable(Secret),
}

/// Reads the section; `None` when there is none of it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<Oidc> {
    let mut has_issuer = false;
    let issuer = reader.parsed("oidc.issuer", ISSUER, |value| {
        has_issuer = true;
        match value {
            Setting::Text(url) => is_issuer(url).then(|| url.clone()),
            _ => None,
        }
    });
    let client_id = reader.text("oidc.client_id");
    let name = reader.text("oidc.name");
    let oidc = Oidc {
        client_secret: client_secret(reader, variable),
        scopes: reader
            .texts("oidc.scopes")
            .unwrap_or_else(|| ["openid", "email", "profile"].map(str::to_owned).to_vec()),
        groups_claim: reader
            .text("oidc.groups_claim")
            .unwrap_or_else(|| "groups".to_owned()),
        domains: domains(reader),
        accept_unverified_email: reader
            .flag("oidc.accept_unverified_email")
            .unwrap_or_default(),
        keys_rest_after: super::time(reader, "oidc.keys_rest_after", DEFAULT_KEYS_REST_AFTER),
        ca_file: reader.text("oidc.ca_file").map(PathBuf::from),
        roles: roles(reader),
        name: name.unwrap_or_else(|| "single sign-on".to_owned()),
        issuer: issuer.unwrap_or_default(),
        client_id: client_id.clone().unwrap_or_default(),
    };
    match (has_issuer, client_id.is_some()) {
        (false, false) => return None,
        (true, false) => reader.missing("oidc.client_id", "what the provider calls fieldpost"),
        (false, true) => reader.missing("oidc.issuer", ISSUER),
        (true, true) => {}
    }
    if !oidc.scopes.iter().any(|scope| scope == "openid") {
        reader.wrong("oidc.scopes", "\"openid\" must be among them");
    }
    if oidc.roles.is_empty() {
        let help =
            "groups and what they may do, such as \"security\" = \"owner\" below [oidc.roles]";
        reader.missing("oidc.roles", help);
    }
    Some(oidc)
}

const ISSUER: &str = "the provider's issuer, such as \"https://login.example.com\"";

/// Plain HTTP is only for a provider on this machine: whoever stands between could be anybody.
fn is_issuer(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|parsed| {
        crate::central::people::is_trusted_address(&parsed)
            && parsed.query().is_none()
            && parsed.fragment().is_none()
    })
}

/// systemd's credential comes first: it is what the service was started with.
fn client_secret(
    reader: &mut Reader<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> ClientSecret {
    let credential = variable("CREDENTIALS_DIRECTORY")
        .map(|directory| Path::new(&directory).join(CREDENTIAL))
        .filter(|file| file.exists());
    let file = reader.text("oidc.client_secret_file").map(PathBuf::from);
    if let Some(file) = credential.or(file) {
        if let Err(error) = secret::read_file(&file) {
            reader.wrong("oidc.client_secret_file", &error.to_string());
        }
        return ClientSecret::File(file);
    }
    match variable("FIELDPOST_OIDC_CLIENT_SECRET") {
        Some(given) => ClientSecret::Variable(Secret::new(given)),
        None => ClientSecret::None,
    }
}

fn domains(reader: &mut Reader<'_>) -> Vec<String> {
    let domains = reader.texts("oidc.domains").unwrap_or_default();
    let domains: Vec<String> = domains.iter().map(|domain| domain.to_lowercase()).collect();
    let is_domain = |domain: &String| !domain.is_empty() && !domain.contains(['@', ' ', '/', '*']);
    if !domains.iter().all(is_domain) {
        let help = "a list of domains, such as [\"example.com\"]; each stands for itself alone";
        reader.wrong("oidc.domains", help);
    }
    domains
}

fn roles(reader: &mut Reader<'_>) -> RoleRules {
    let mut rules = Vec::new();
    for (group, text) in reader.free_texts("oidc.roles") {
        match RoleRule::parse_all(&group, &text) {
            Some(of_group) => rules.extend(of_group),
            None => reader.wrong(
                &format!("oidc.roles.{group}"),
                "expected a role, such as \"viewer\", or roles of environments, such as \
                 \"admin in acme/production, owner in acme/staging\"",
            ),
        }
    }
    RoleRules::new(rules)
}
