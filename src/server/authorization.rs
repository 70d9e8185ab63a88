//! Who may call which action. Discovery is not asked about: it runs nothing.

use super::node::Node;
use crate::protocol::Request;
use crate::protocol::rpc::RequestBody;

/// Who may call actions.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// Every verified caller may call everything.
    Off,
    /// Nobody may call anything, for this reason; discovery alone answers.
    Nobody(&'static str),
}

/// The answer to the question whether an action may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether it may.
    pub allow: bool,
    /// Why, for log and audit file.
    pub reason: String,
}

impl Ruling {
    fn new(allow: bool, reason: impl Into<String>) -> Ruling {
        Ruling { allow, reason: reason.into() }
    }
}

impl Authorization {
    /// Decides about one call of an action. Blocks when policies are read.
    pub(super) fn decide(&self, request: &Request, body: &RequestBody, _node: &Node) -> Ruling {
        if matches!(self, Authorization::Off) {
            return Ruling::new(true, "authorization is off");
        }
        if body.agent != request.agent {
            let (body, envelope) = (&body.agent, &request.agent);
            let reason =
                format!("the body is for agent {body:?} and its envelope for {envelope:?}");
            return Ruling::new(false, reason);
        }
        match self {
            Authorization::Off => Ruling::new(true, "authorization is off"),
            Authorization::Nobody(reason) => Ruling::new(false, *reason),
        }
    }

    /// Whether [`Authorization::decide`] may block.
    pub(super) fn blocks(&self) -> bool {
        false
    }
}
