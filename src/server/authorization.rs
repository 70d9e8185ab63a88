//! Who may call which action. Discovery is not asked about: it runs nothing.

use std::sync::Arc;

use super::node::Node;
use crate::policy::{Authorizer, Question};
use crate::protocol::Request;
use crate::protocol::rpc::RequestBody;
use crate::tokens::ClientClaims;

/// Who may call actions.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// Every verified caller may call everything.
    Off,
    /// Whom these policies allow to.
    Policies(Arc<Authorizer>),
}

/// The answer to the question whether an action may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    /// Whether it may.
    pub(super) allow: bool,
    /// Why, for log and audit file.
    pub(super) reason: String,
}

impl Authorization {
    /// Decides about one call of an action. Blocks when policies are read.
    pub(super) fn decide(
        &self,
        request: &Request,
        body: &RequestBody,
        claims: Option<&ClientClaims>,
        node: &Node,
    ) -> Ruling {
        let Authorization::Policies(authorizer) = self else {
            return Ruling { allow: true, reason: "authorization is off".to_owned() };
        };
        // The policy asked is that of the agent that would act.
        if body.agent != request.agent {
            let (body, envelope) = (&body.agent, &request.agent);
            let reason =
                format!("the body is for agent {body:?} and its envelope for {envelope:?}");
            return Ruling { allow: false, reason };
        }
        let (facts, classes) = (node.known_facts_blocking(), node.known_classes_blocking());
        let decision = authorizer.decide(&Question {
            caller: &request.caller,
            agent: &request.agent,
            action: &body.action,
            data: &body.data,
            facts: facts.as_deref(),
            classes: classes.as_deref(),
            agents: node.agent_names(),
            collective: &request.collective,
            sender: &request.sender,
            ttl_secs: request.ttl_secs,
            time: request.time,
            filter: &request.filter,
            claims,
        });
        Ruling { allow: decision.allow, reason: decision.reason.to_string() }
    }

    /// Whether [`Authorization::decide`] may block.
    pub(super) fn blocks(&self) -> bool {
        matches!(self, Authorization::Policies(_))
    }
}
