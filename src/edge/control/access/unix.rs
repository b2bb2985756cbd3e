//! Accounts as unix knows them.

use std::fmt;

use super::super::routes::Failure;

/// The account at the other end of a connection, as the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge::control) struct Peer {
    pub(in crate::edge::control) uid: u32,
    pub(in crate::edge::control) gid: u32,
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "uid {}", self.uid)
    }
}

/// Root, the edge's own account, and the members of a group.
#[derive(Clone, Debug)]
pub(in crate::edge::control) struct Operators {
    own: u32,
    group: Option<String>,
}

impl Operators {
    pub(in crate::edge::control) fn new(group: Option<String>) -> Operators {
        if let Some(group) = &group
            && uzers::get_group_by_name(group).is_none()
        {
            tracing::warn!(group, "control.group names no group of this machine");
        }
        Operators {
            own: uzers::get_effective_uid(),
            group,
        }
    }

    /// Asks the system for the group's members where that decides; this may take a while.
    pub(super) fn include(&self, peer: Peer) -> bool {
        peer.uid == 0 || peer.uid == self.own || self.group_includes(peer)
    }

    fn group_includes(&self, peer: Peer) -> bool {
        let group = self.group.as_ref().and_then(uzers::get_group_by_name);
        let Some(group) = group else {
            return false;
        };
        let of_user = || {
            let user = uzers::get_user_by_uid(peer.uid)?;
            uzers::get_user_groups(user.name(), user.primary_group_id())
        };
        peer.gid == group.gid()
            || of_user().is_some_and(|of_user| of_user.iter().any(|of| of.gid() == group.gid()))
    }

    pub(super) fn refusal(&self) -> Failure {
        let own = uzers::get_user_by_uid(self.own);
        let own = own.map_or(format!("uid {}", self.own), |own| {
            own.name().to_string_lossy().into_owned()
        });
        let allowed = match &self.group {
            Some(group) => format!("root, {own} and members of the group {group}"),
            None if self.own == 0 => "root".to_owned(),
            None => format!("root and {own}"),
        };
        Failure::forbidden(format!(
            "this shows records, or changes something, and is only for {allowed}: \
             run it with sudo, or let a group do so with control.group in the edge's configuration"
        ))
    }
}
