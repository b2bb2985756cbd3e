//! Windows lets only administrators, the system and the edge's own account write to the pipe, so that
//! whoever can ask may do everything.

use std::fmt;

use super::super::routes::Failure;

/// Whoever is at the other end.
#[derive(Clone, Copy, Debug)]
pub(in crate::edge::control) struct Peer;

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an account that the pipe lets in")
    }
}

/// Everybody that the pipe lets in.
#[derive(Clone, Debug)]
pub(in crate::edge::control) struct Operators;

impl Operators {
    pub(in crate::edge::control) fn new(group: Option<String>) -> Operators {
        if let Some(group) = group {
            tracing::warn!(group, "control.group has no meaning on this system");
        }
        Operators
    }

    pub(super) fn include(&self, _peer: Peer) -> bool {
        true
    }

    pub(super) fn refusal(&self) -> Failure {
        Failure::forbidden("only administrators may do this".to_owned())
    }
}
