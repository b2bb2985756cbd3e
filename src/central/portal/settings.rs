//! Settings: one's own account and keys; for admins, when machines are missed; for owners, people and
//! retention; the audit of the portal.

pub(super) mod account;
pub(super) mod people;
pub(super) mod keys;
pub(super) mod audit;
pub(super) mod machines;
pub(super) mod retention;

use crate::central::store::Role;

use super::shell::Here;

/// A page of the settings.
pub(super) struct Tab {
    pub(super) label: &'static str,
    pub(super) href: String,
    pub(super) lit: bool,
}

/// The pages that the person may open.
fn tabs(here: &Here, lit: &str) -> Vec<Tab> {
    let pages = [
        ("account", "Account", Role::Viewer),
        ("keys", "My API keys", Role::Viewer),
        ("people", "People", Role::Owner),
        ("audit", "Audit", Role::Viewer),
        ("machines", "Machines", Role::Admin),
        ("retention", "Retention", Role::Owner),
    ];
    pages
        .into_iter()
        .filter(|(_, _, least)| here.role >= *least)
        .map(|(page, label, _)| Tab {
            label,
            href: here.base.settings(page),
            lit: page == lit,
        })
        .collect()
}
