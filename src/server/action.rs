//! One RPC request to one agent: from the payload to the reply body.
//!
//! The order of the checks and the texts are part of the protocol (server notes 3.3).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use serde_json::{Map, Value};
use smol::future::FutureExt;

use super::agent::{Agent, Call, Failure, Outcome};
use super::node::Node;
use super::settings::Authorization;
use crate::ddl::{self, RequestFault};
use crate::protocol::Request;
use crate::protocol::rpc::{ReplyBody, RequestBody, StatusCode};

/// The text every denied caller sees.
const DENIED: &str = "You are not authorized to call this agent or action";

/// Answers a request; nothing when the action took longer than its agent may.
pub async fn answer(
    agent: &dyn Agent,
    request: &Arc<Request>,
    node: &Arc<Node>,
    authorization: Authorization,
) -> Option<ReplyBody> {
    let body = match RequestBody::decode(&request.payload()) {
        Ok(body) => body,
        Err(error) => {
            let message = format!(
                "Could not process request: could not parse incoming message as a MCollective SimpleRPC Request: {error}"
            );
            return Some(failed("", Failure::new(StatusCode::InvalidData, message)));
        }
    };
    let action = body.action.clone();
    let checked = check(agent, body, request, authorization);
    let (call, ddl) = match checked {
        Ok((data, ddl)) => {
            let (request, node) = (request.clone(), node.clone());
            (Call { action: action.clone(), data, request, node }, ddl)
        }
        Err(failure) => return Some(failed(&action, failure)),
    };
    let name = &agent.metadata().name;
    log::debug!(
        "server: handling request={} agent={name} action={action} caller={}",
        request.id,
        request.caller
    );
    let outcome = run(agent, &call).await?;
    Some(reply(&action, ddl, outcome))
}

/// Everything that is checked before an action runs; what passes are its declared inputs.
fn check<'a>(
    agent: &'a dyn Agent,
    body: RequestBody,
    request: &Request,
    authorization: Authorization,
) -> Result<(Map<String, Value>, &'a ddl::Action), Failure> {
    let name = &agent.metadata().name;
    let Some(action) = agent.ddl().action(&body.action) else {
        let message = format!("Unknown action {} for agent {name}", body.action);
        return Err(Failure::new(StatusCode::UnknownAction, message));
    };
    if authorization == Authorization::DenyAll {
        log::warn!(
            "server: denied request={} agent={name} action={} caller={}",
            request.id,
            body.action,
            request.caller
        );
        return Err(Failure::aborted(DENIED));
    }
    let data = declared_inputs(action, body.data, name)?;
    Ok((data, action))
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

/// Runs the action within its agent's time; a panic becomes a failure of this request alone.
async fn run(agent: &dyn Agent, call: &Call) -> Option<Outcome> {
    let metadata = agent.metadata();
    let timeout = async {
        smol::Timer::after(agent.timeout()).await;
        log::error!(
            "server: action timed out request={} agent={} action={} timeout={}s",
            call.request.id,
            metadata.name,
            call.action,
            metadata.timeout
        );
        None
    };
    let work = async { Some(AssertUnwindSafe(agent.handle(call)).catch_unwind().await) };
    match work.or(timeout).await? {
        Ok(outcome) => Some(outcome),
        Err(_) => {
            call.node.counters.panics.increment();
            log::error!(
                "server: action panicked request={} agent={} action={}",
                call.request.id,
                metadata.name,
                call.action
            );
            let message = format!("{}#{} failed unexpectedly", metadata.name, call.action);
            Some(Err(Failure::new(StatusCode::UnknownError, message)))
        }
    }
}

fn reply(name: &str, action: &ddl::Action, outcome: Outcome) -> ReplyBody {
    match outcome {
        Ok(data) => {
            let mut body = ReplyBody::ok(name, data);
            if let Value::Object(outputs) = &mut body.data {
                action.apply_output_defaults(outputs);
            }
            body
        }
        Err(failure) => failed(name, failure),
    }
}

fn failed(action: &str, failure: Failure) -> ReplyBody {
    ReplyBody {
        action: action.to_owned(),
        statuscode: failure.code,
        statusmsg: failure.message,
        data: Value::Object(failure.data),
    }
}

#[cfg(test)]
mod tests;
