//! Who may see records and change things.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::routes::{Control, Failure};

/// The account at the other end of a connection, as the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "uid {}", self.uid)
    }
}

/// Root, the edge's own account, and the members of a group.
#[derive(Clone, Debug)]
pub(super) struct Operators {
    own: u32,
    group: Option<String>,
}

impl Operators {
    pub(super) fn new(group: Option<String>) -> Operators {
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
    fn include(&self, peer: Peer) -> bool {
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

    fn refusal(&self) -> Failure {
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

/// Lets only operators through.
pub(super) async fn operators_only(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let operators = control.operators.clone();
    let asked = tokio::task::spawn_blocking(move || match operators.include(peer) {
        true => Ok(()),
        false => Err(operators.refusal()),
    });
    asked.await.map_err(Failure::internal)??;
    Ok(next.run(request).await)
}
