//! What stands between a verified request and its action: body, action, authorization, inputs, audit.
//!
//! The order of the checks and the texts of replies are part of the protocol (server notes 3.3).
//! Nothing passes here without a line in the audit file when there is one.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::agent::{Agent, Failure};
use super::audit::{Audit, Outcome};
use super::authorization::Authorization;
use super::node::Node;
use super::workers::Workers;
use crate::ddl::{self, RequestFault};
use crate::protocol::rpc::{RequestBody, StatusCode};
use crate::protocol::{Plain, Request};
use crate::tokens::ClientClaims;
use crate::util::throttle::Throttle;

/// The text every denied caller sees.
pub(super) const DENIED: &str = "You are not authorized to call this agent or action";
/// The text a caller sees whose request would leave no trace.
pub(super) const NOT_AUDITED: &str = "The request could not be audited and was not run";

/// Lines about refusals in ten seconds. Only proven callers cause them, one for each signed request.
const REFUSALS_MAX: u32 = 200;

/// Decides about requests, on threads that may block when it has to.
pub struct Judge {
    authorization: Authorization,
    audit: Option<Arc<Audit>>,
    node: Arc<Node>,
    workers: Workers,
    refusals: Throttle,
    unwritten: Throttle,
}

/// A request that may run: its action and the declared inputs.
#[derive(Debug, PartialEq)]
pub(super) struct Permitted {
    pub(super) action: String,
    pub(super) data: Map<String, Value>,
}

/// Why a request does not run, and what its sender is told.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    /// The action, empty when the body could not be read.
    pub(super) action: String,
    /// What the sender is told.
    pub(super) failure: Failure,
    outcome: Outcome,
    /// The reason for log and audit file.
    reason: String,
}

impl Judge {
    /// A judge with these rules.
    pub(super) fn new(
        authorization: Authorization,
        audit: Option<Arc<Audit>>,
        node: Arc<Node>,
        workers: Workers,
    ) -> Judge {
        let (refusals, unwritten) = (Throttle::new(REFUSALS_MAX), Throttle::default());
        Judge { authorization, audit, node, workers, refusals, unwritten }
    }

    /// The audit log, when there is one.
    pub(super) fn audit(&self) -> Option<&Audit> {
        self.audit.as_deref()
    }

    /// Decides whether a request runs, and has it on record when this returns.
    pub(super) async fn judge(
        self: &Arc<Self>,
        agent: &Arc<dyn Agent>,
        request: &Arc<Request>,
        claims: Option<&Arc<ClientClaims>>,
    ) -> Result<Permitted, Refusal> {
        let verdict = if self.audit.is_some() || self.authorization.blocks() {
            let (judge, agent, subject) = (self.clone(), agent.clone(), request.clone());
            let claims = claims.cloned();
            let work = move || judge.decide(&*agent, &subject, claims.as_deref());
            match self.workers.run(work).await {
                Ok(verdict) => verdict,
                Err(lost) => {
                    self.node.counters.panics.increment();
                    let reason = format!("the decision failed: {lost}");
                    self.dropped(request, &reason).await;
                    Err(Refusal::denied(String::new(), reason))
                }
            }
        } else {
            self.decide(&**agent, request, claims.map(|claims| &**claims))
        };
        if let Err(refusal) = &verdict {
            self.tell(agent, request, refusal);
        }
        verdict
    }

    /// Records a request that is dropped without an answer, for a reason that only its sender can bring about.
    pub(super) async fn dropped(self: &Arc<Self>, request: &Arc<Request>, reason: &str) {
        if self.audit.is_none() {
            return;
        }
        let (judge, request, reason) = (self.clone(), request.clone(), reason.to_owned());
        let work = move || {
            let recorded =
                judge.audit().map(|audit| audit.refused(&request, Outcome::Refused, &reason));
            judge.note(recorded.unwrap_or(Ok(())));
        };
        // A panic is logged where it happens; the request is dropped in any case.
        let _ = self.workers.run(work).await;
    }

    /// Says so when a line is missing in the audit log.
    pub(super) fn note(&self, recorded: Result<(), impl fmt::Display>) {
        let Err(error) = recorded else { return };
        self.node.counters.unaudited.increment();
        self.unwritten.log(log::Level::Error, format_args!("server: audit failed err={error}"));
    }

    /// Blocks when there is an audit log, or when policies are read.
    fn decide(
        &self,
        agent: &dyn Agent,
        request: &Request,
        claims: Option<&ClientClaims>,
    ) -> Result<Permitted, Refusal> {
        let checked = self.check(agent, request, claims);
        let Some(audit) = self.audit() else { return checked.map(|(permitted, _)| permitted) };
        match checked {
            Ok((permitted, reason)) => match audit.allowed(request, &reason) {
                Ok(()) => Ok(permitted),
                Err(error) => {
                    let refusal = Refusal::not_audited(permitted.action, &error);
                    self.note(Err(error));
                    Err(refusal)
                }
            },
            Err(refusal) => {
                self.note(audit.refused(request, refusal.outcome, &refusal.reason));
                Err(refusal)
            }
        }
    }

    /// Everything that is checked before an action runs, with the reason why it may.
    fn check(
        &self,
        agent: &dyn Agent,
        request: &Request,
        claims: Option<&ClientClaims>,
    ) -> Result<(Permitted, String), Refusal> {
        let body =
            RequestBody::decode(&request.payload()).map_err(|fault| Refusal::body(&fault))?;
        let name = &agent.metadata().name;
        let Some(action) = agent.ddl().action(&body.action) else {
            return Err(Refusal::unknown_action(body.action, name));
        };
        let ruling = self.authorization.decide(request, &body, claims, &self.node);
        if !ruling.allow {
            return Err(Refusal::denied(body.action, ruling.reason));
        }
        match declared_inputs(action, body.data, name) {
            Ok(data) => Ok((Permitted { action: body.action, data }, ruling.reason)),
            Err(failure) => Err(Refusal::inputs(body.action, failure)),
        }
    }

    /// One line in the log for each refusal.
    fn tell(&self, agent: &Arc<dyn Agent>, request: &Request, refusal: &Refusal) {
        let counters = &self.node.counters;
        match refusal.outcome {
            Outcome::Denied => counters.denied.increment(),
            _ => counters.refused.increment(),
        }
        self.refusals.warn(format_args!(
            "server: {} request={} agent={} action={} caller={} reason={}",
            refusal.outcome.word(),
            request.id,
            agent.metadata().name,
            Plain(&refusal.action),
            request.caller,
            refusal.reason,
        ));
    }
}

impl Refusal {
    fn new(action: String, failure: Failure, reason: String) -> Refusal {
        Refusal { action, failure, outcome: Outcome::Refused, reason }
    }

    fn body(fault: &impl fmt::Display) -> Refusal {
        let message = format!(
            "Could not process request: could not parse incoming message as a MCollective SimpleRPC Request: {fault}"
        );
        let failure = Failure::new(StatusCode::InvalidData, message);
        Refusal::new(String::new(), failure, fault.to_string())
    }

    fn unknown_action(action: String, agent: &str) -> Refusal {
        let message = format!("Unknown action {action} for agent {agent}");
        let reason = format!("agent {agent} has no action {}", Plain(&action));
        Refusal::new(action, Failure::new(StatusCode::UnknownAction, message), reason)
    }

    fn inputs(action: String, failure: Failure) -> Refusal {
        let reason = Plain(&failure.message).to_string();
        Refusal::new(action, failure, reason)
    }

    fn not_audited(action: String, error: &impl fmt::Display) -> Refusal {
        let reason = format!("it could not be audited: {error}");
        Refusal::new(action, Failure::aborted(NOT_AUDITED), reason)
    }

    fn denied(action: String, reason: String) -> Refusal {
        Refusal { action, failure: Failure::aborted(DENIED), outcome: Outcome::Denied, reason }
    }
}

/// The inputs the action declares, checked; others are left out, `null` counts as missing.
fn declared_inputs(
    action: &ddl::Action,
    data: Value,
    agent: &str,
) -> Result<Map<String, Value>, Failure> {
    if action.inputs.is_empty() {
        return Ok(Map::new());
    }
    let Value::Object(mut data) = data else {
        let message = format!(
            "Could not parse request data for {agent}#{}: the data is not a hash map",
            action.name
        );
        return Err(Failure::new(StatusCode::InvalidData, message));
    };
    data.retain(|name, value| action.inputs.contains_key(name) && !value.is_null());
    match action.validate_request(&data) {
        Ok(_) => Ok(data),
        Err(fault) => {
            let code = match &fault {
                RequestFault::Required { .. } => StatusCode::MissingData,
                _ => StatusCode::InvalidData,
            };
            Err(Failure::new(code, format!("Validation failed: {fault}")))
        }
    }
}
