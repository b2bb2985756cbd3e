//! What a provider's groups may do here.

use std::collections::BTreeMap;

use crate::central::store::{Environment, Role, Scope};

/// The group that everybody is in whom the provider lets in.
const EVERYBODY: &str = "*";

/// The roles that follow from groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRules(Vec<RoleRule>);

/// One role that follows from one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRule {
    group: String,
    role: Role,
    /// `tenant/environment`; `None` is every environment.
    place: Option<String>,
}

impl RoleRule {
    /// Reads what a group may do: `viewer`, or `admin in acme/production, owner in acme/staging`.
    pub fn parse_all(group: &str, text: &str) -> Option<Vec<RoleRule>> {
        let rule = |part: &str| {
            let mut words = part.split_whitespace();
            let role = match words.next()? {
                "owner" => Role::Owner,
                "admin" => Role::Admin,
                "viewer" => Role::Viewer,
                _ => return None,
            };
            let place = match (words.next(), words.next(), words.next()) {
                (None, None, None) => None,
                (Some("in"), Some(place), None) => {
                    let (tenant, environment) = place.split_once('/')?;
                    let is_whole = !tenant.is_empty() && !environment.is_empty();
                    Some(is_whole.then(|| place.to_owned())?)
                }
                _ => return None,
            };
            Some(RoleRule {
                group: group.to_owned(),
                role,
                place,
            })
        };
        text.split(',').map(rule).collect()
    }
}

impl RoleRules {
    /// Rules together.
    pub fn new(rules: Vec<RoleRule>) -> RoleRules {
        RoleRules(rules)
    }

    /// Whether no group may do anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What somebody in these groups is where: the highest role that a group gives.
    pub(in crate::central) fn of(
        &self,
        groups: &[String],
        environments: &[Environment],
    ) -> BTreeMap<Scope, Role> {
        let mut roles = BTreeMap::new();
        let holds = |rule: &&RoleRule| rule.group == EVERYBODY || groups.contains(&rule.group);
        for rule in self.0.iter().filter(holds) {
            for environment in environments {
                let name = format!("{}/{}", environment.tenant, environment.environment);
                if rule.place.as_ref().is_none_or(|place| *place == name) {
                    let role = roles.entry(environment.scope).or_insert(rule.role);
                    *role = rule.role.max(*role);
                }
            }
        }
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(id: i64, tenant: &str, environment: &str) -> Environment {
        Environment {
            scope: Scope {
                tenant: 1,
                environment: id,
            },
            tenant: tenant.to_owned(),
            environment: environment.to_owned(),
            tenant_id: String::new(),
            environment_id: String::new(),
        }
    }

    #[test]
    fn the_highest_role_of_all_groups_counts_in_each_environment() {
        let rules = [
            ("*", "viewer in acme/staging"),
            ("soc", "viewer"),
            ("leads", "admin in acme/production, owner in acme/staging"),
        ];
        let rules = rules
            .iter()
            .flat_map(|(group, text)| RoleRule::parse_all(group, text).unwrap())
            .collect();
        let rules = RoleRules::new(rules);
        let [production, staging] = [
            environment(1, "acme", "production"),
            environment(2, "acme", "staging"),
        ];
        let all = [production.clone(), staging.clone()];
        let roles = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
            rules.of(&groups, &all).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(roles(&[]), [(staging.scope, Role::Viewer)]);
        assert_eq!(
            roles(&["leads", "soc"]),
            [
                (production.scope, Role::Admin),
                (staging.scope, Role::Owner)
            ]
        );
        assert_eq!(roles(&["SOC"]), [(staging.scope, Role::Viewer)]);
    }

    #[test]
    fn what_is_no_role_is_refused() {
        for text in [
            "",
            "root",
            "admin in acme",
            "admin at a/b",
            "owner,",
            "owner in a/",
        ] {
            assert_eq!(RoleRule::parse_all("group", text), None, "{text:?}");
        }
    }
}
