//! Whom a verifier listens to, besides callers.

use super::Denied;
use crate::protocol::Request;

/// Requests to this agent are what nodes say about themselves.
pub(super) const REGISTRATION_AGENT: &str = "registration";

/// Whose requests are believed when their signature is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of callers.
    Callers,
    /// What nodes say about themselves as well.
    CallersAndNodes,
}

impl Whose {
    /// Whether `request` is what the node of this proven name says about itself. A node speaks for nobody else.
    pub(super) fn includes(self, request: &Request, node: &str) -> Result<bool, Denied> {
        if self == Whose::Callers || request.agent != REGISTRATION_AGENT {
            return Ok(false);
        }
        if request.sender != node {
            let (claimed, proven) = (request.sender.clone(), node.to_owned());
            return Err(Denied::NodeMismatch { claimed, proven });
        }
        Ok(true)
    }
}
