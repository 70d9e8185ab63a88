//! One RPC request to one agent: from the payload to the reply body.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use serde_json::Value;
use smol::future::FutureExt;

use super::agent::{Agent, Call, Failure, Outcome};
use super::judge::Judge;
use super::node::Node;
use crate::ddl;
use crate::protocol::Request;
use crate::protocol::rpc::{ReplyBody, StatusCode};
use crate::tokens::ClientClaims;

/// Answers a request, whose caller proved these claims if it has a token; nothing when the action took longer than its agent may.
pub(super) async fn answer(
    agent: &Arc<dyn Agent>,
    request: &Arc<Request>,
    claims: Option<&Arc<ClientClaims>>,
    node: &Arc<Node>,
    judge: &Arc<Judge>,
) -> Option<ReplyBody> {
    let permitted = match judge.judge(agent, request, claims).await {
        Ok(permitted) => permitted,
        Err(refusal) => return Some(failed(&refusal.action, refusal.failure)),
    };
    let (request, node) = (request.clone(), node.clone());
    let call = Call { action: permitted.action, data: permitted.data, request, node };
    let name = &agent.metadata().name;
    log::debug!(
        "server: handling request={} agent={name} action={} caller={}",
        call.request.id,
        call.action,
        call.request.caller
    );
    let outcome = run(&**agent, &call).await?;
    Some(reply(agent.ddl().action(&call.action), &call.action, outcome))
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

fn reply(action: Option<&ddl::Action>, name: &str, outcome: Outcome) -> ReplyBody {
    match outcome {
        Ok(data) => {
            let mut body = ReplyBody::ok(name, data);
            if let (Some(action), Value::Object(outputs)) = (action, &mut body.data) {
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
