//! Whose agent it is. What a client says of its person is asserted: anybody who can send can say it. What an
//! edge adds from the operating system is observed: whose process had opened the connection. Where both are
//! known and the names cannot be one person's, somebody should look.

use schemars::JsonSchema;
use serde::Serialize;

use super::Central;
use super::store::{Agent, Identity, Scope, StoreError};

/// Attributes that an edge sets.
pub(super) const OBSERVED: [&str; 5] = [
    SYSTEM_USER,
    "fieldpost.peer.uid",
    "host.name",
    "host.id",
    "device.serial",
];

/// The user of the operating system whose process sent.
const SYSTEM_USER: &str = crate::event::PROCESS_OWNER;

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Basis {
    /// The client.
    Asserted,
    /// The edge of the machine, by its operating system.
    Observed,
}

impl Basis {
    /// Who says the value of `key` in what came by an edge, or did not.
    pub(super) fn of(key: &str, by_edge: bool) -> Basis {
        match by_edge && OBSERVED.contains(&key) {
            true => Basis::Observed,
            false => Basis::Asserted,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Basis::Asserted => "asserted",
            Basis::Observed => "observed",
        }
    }
}

/// An identity attribute, and who says it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct KnownIdentity {
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// Who says it.
    pub(super) basis: Basis,
    /// Whether it was observed, and is no name of whom the client says that it is.
    pub(super) differs: bool,
}

impl Central {
    /// Every identity attribute seen on an agent's records.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) async fn identities(
        &self,
        scope: Scope,
        agent: &Agent,
    ) -> Result<Vec<KnownIdentity>, StoreError> {
        let ways = self.store.machines_of_agent(scope, &agent.id).await?;
        let by_edge = ways.iter().any(|way| way.machine_id.is_some());
        let identities = self.store.identities(scope, &agent.id).await?.into_iter();
        let known = identities.map(|identity| {
            let basis = Basis::of(&identity.key, by_edge);
            let email = agent.user_email.as_deref();
            let differs = basis == Basis::Observed
                && identity.key == SYSTEM_USER
                && email.is_some_and(|email| !can_be_one(email, &identity.value));
            KnownIdentity {
                identity,
                basis,
                differs,
            }
        });
        Ok(known.collect())
    }
}

/// Whether an e-mail and a user of an operating system can be one person's, by their names: `ana.silva@…` goes
/// as `ana`, `silva`, `asilva`, `anas`, `CORP\ana.silva`.
fn can_be_one(email: &str, user: &str) -> bool {
    let user = user.rsplit(['\\', '/']).next().unwrap_or(user);
    let plain = |text: &str| -> String {
        let letters = text.chars().filter(|letter| letter.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    let local = |address: &str| address.split(['@', '+']).next().unwrap_or("").to_owned();
    let (email, user) = (local(email), local(user));
    let (whole, user_name) = (plain(&email), plain(&user));
    if user_name.is_empty() || whole.contains(&user_name) || user_name.contains(&whole) {
        return true;
    }
    let parts: Vec<String> = email
        .split(['.', '_', '-'])
        .map(plain)
        .filter(|part| !part.is_empty())
        .collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    let initial = |name: &str| name.chars().take(1).collect::<String>();
    let forms = [
        format!("{}{last}", initial(first)),
        format!("{first}{}", initial(last)),
        format!("{last}{}", initial(first)),
        format!("{last}{first}"),
    ];
    forms.contains(&user_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_goes_by_many_names_and_another_by_none_of_them() {
        let email = "ana.silva+work@example.com";
        for user in [
            "ana",
            "silva",
            "asilva",
            "anas",
            "silvaa",
            "Ana.Silva",
            "CORP\\ana.silva",
            "ana@corp",
            "",
        ] {
            assert!(can_be_one(email, user), "{user}");
        }
        for user in ["root", "joan", "bsilva", "ubuntu"] {
            assert!(!can_be_one(email, user), "{user}");
        }
    }

    #[test]
    fn only_an_edge_observes() {
        assert_eq!(Basis::of("process.owner", true), Basis::Observed);
        assert_eq!(Basis::of("process.owner", false), Basis::Asserted);
        assert_eq!(Basis::of("user.email", true), Basis::Asserted);
    }
}
