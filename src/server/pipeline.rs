//! The way of one message through a server: who may ask, whether this node is meant, what runs.
//!
//! The order of the checks, what each counts, and which of them are silent is protocol (server
//! notes 3.1). Nothing but an agent's own answer is ever sent back: a client that may not ask
//! learns nothing. Start reading at [`Pipeline::accept`].

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use smol::Executor;
use smol::future::FutureExt;

use super::action;
use super::agent::Agent;
use super::gate::{Gate, Limits, Permit};
use super::link::Unsent;
use super::node::Node;
use super::registry::{Hosted, Registry};
use super::settings::Authorization;
use super::workers::Workers;
use crate::nats::subject;
use crate::protocol::filter::NodeData;
use crate::protocol::rpc::{DISCOVERY_PONG, DISCOVERY_WORD, ReplyBody, StatusCode};
use crate::protocol::{Fault, Request, Transport};
use crate::security::{Denied, Provider, ReplayCache, Verified};
use crate::util::throttle::Throttle;

/// Requests that are remembered against replay, a quarter for each certificate: about 40 MiB when full,
/// which takes 3,700 verified requests a second with the usual time to live of 60 seconds.
const REPLAY_ENTRIES_MAX: usize = 262_144;

/// Everything the requests of one server share.
pub struct Pipeline {
    parts: Parts,
    gate: Arc<Gate>,
    replay: Mutex<ReplayCache>,
    throttles: Throttles,
}

/// What a [`Pipeline`] is made of.
pub struct Parts {
    /// The server itself.
    pub node: Arc<Node>,
    /// Its agents.
    pub agents: Registry,
    /// Who may call them.
    pub authorization: Authorization,
    /// Checks signatures, seals replies.
    pub security: Arc<Provider>,
    /// Where signatures are checked.
    pub workers: Workers,
    /// Where actions run.
    pub executor: Arc<Executor<'static>>,
    /// How much runs at once.
    pub limits: Limits,
}

/// One for each kind of line that a peer can cause.
#[derive(Default)]
struct Throttles {
    refused: Throttle,
    overloaded: Throttle,
    unknown_agent: Throttle,
    reply: Throttle,
}

/// A request that passed every check.
struct Admitted {
    request: Arc<Request>,
    /// A subject that replies can be published to.
    reply_to: String,
}

/// Why a message goes no further.
#[derive(Debug)]
enum Refused {
    Envelope(Fault),
    Security(Denied),
    /// Not meant for this node; not a fault.
    Filtered(String),
    NotAMember {
        request: String,
        collective: String,
    },
    NoAgent(String),
    ReplyTo {
        request: String,
        subject: String,
    },
    Expired {
        request: String,
        ttl_secs: u64,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Envelope(fault) => write!(f, "err={fault}"),
            Refused::Security(denied) => write!(f, "err={denied}"),
            Refused::Filtered(request) => {
                write!(f, "request={request} err=not meant for this node")
            }
            Refused::NotAMember { request, collective } => {
                write!(f, "request={request} err=not a member of collective {collective:?}")
            }
            Refused::NoAgent(request) => write!(f, "request={request} err=it names no agent"),
            Refused::ReplyTo { request, subject } => {
                write!(f, "request={request} err=replies cannot go to subject {subject:?}")
            }
            Refused::Expired { request, ttl_secs } => {
                write!(f, "request={request} err=outside its time to live of {ttl_secs}s")
            }
        }
    }
}

impl Pipeline {
    /// A pipeline that has seen no request yet.
    pub fn new(parts: Parts) -> Arc<Pipeline> {
        Arc::new(Pipeline {
            gate: Gate::new(parts.limits),
            replay: Mutex::new(ReplayCache::new(REPLAY_ENTRIES_MAX)),
            throttles: Throttles::default(),
            parts,
        })
    }

    /// Takes one message from the network. Returns once it is refused, or its action was started:
    /// callers wait for this before they take the next one, so that nothing piles up here.
    pub async fn accept(self: &Arc<Self>, raw: Vec<u8>, now: SystemTime) {
        self.parts.node.counters.total.increment();
        let pipeline = self.clone();
        let verdict = self.parts.workers.run(move || pipeline.admit(&raw, now)).await;
        match verdict {
            Ok(Ok(admitted)) => self.dispatch(admitted).await,
            Ok(Err(refused)) => self.count(&refused),
            Err(lost) => {
                self.parts.node.counters.invalid.increment();
                self.parts.node.counters.panics.increment();
                self.throttles.refused.warn(format_args!("server: message dropped err={lost}"));
            }
        }
    }

    /// Steps 1 to 6. Blocks: signatures are checked and facts may be read.
    fn admit(&self, raw: &[u8], now: SystemTime) -> Result<Admitted, Refused> {
        let transport = Transport::decode(raw).map_err(Refused::Envelope)?;
        let verified =
            self.parts.security.decode_request(&transport, now).map_err(Refused::Security)?;
        let request = &verified.request;
        if !self.is_meant(request) {
            return Err(Refused::Filtered(request.id.clone()));
        }
        self.parts.node.counters.passed.increment();
        let reply_to = self.addressed(request, transport.reply_to)?;
        if request.is_expired(now) {
            let (request, ttl_secs) = (request.id.clone(), request.ttl_secs);
            return Err(Refused::Expired { request, ttl_secs });
        }
        self.remember(&verified, now)?;
        self.parts.node.counters.valid.increment();
        self.parts.node.counters.message_seen(now);
        Ok(Admitted { request: Arc::new(verified.request), reply_to })
    }

    /// A request that was handled once is refused for as long as it would be valid.
    fn remember(&self, verified: &Verified, now: SystemTime) -> Result<(), Refused> {
        let mut replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        replay.admit(verified, now).map_err(Refused::Security)
    }

    /// Whether the filter matches this node. Facts and classes are read only if it asks for them.
    fn is_meant(&self, request: &Request) -> bool {
        let filter = &request.filter;
        if filter.is_empty() {
            return true;
        }
        let node = &*self.parts.node;
        let classes = (!filter.classes.is_empty()).then(|| node.classes_blocking());
        let facts = (!filter.facts.is_empty()).then(|| node.facts_blocking());
        let data = NodeData {
            identity: &node.identity,
            agents: node.agent_names(),
            classes: classes.as_deref().unwrap_or_default(),
            facts: facts.as_deref().unwrap_or(&serde_json::Value::Null),
        };
        filter.matches(&data).unwrap_or_else(|fault| {
            log::debug!("server: filter does not apply request={} err={fault}", request.id);
            false
        })
    }

    /// Step 5: where it goes and where the answer goes.
    fn addressed(&self, request: &Request, reply_to: Option<String>) -> Result<String, Refused> {
        if request.agent.is_empty() {
            return Err(Refused::NoAgent(request.id.clone()));
        }
        if !self.parts.node.collectives.contains(&request.collective) {
            let collective = request.collective.clone();
            return Err(Refused::NotAMember { request: request.id.clone(), collective });
        }
        let reply_to = reply_to.unwrap_or_default();
        if !subject::valid_publish(reply_to.as_bytes()) {
            return Err(Refused::ReplyTo { request: request.id.clone(), subject: reply_to });
        }
        Ok(reply_to)
    }

    fn count(&self, refused: &Refused) {
        let counters = &self.parts.node.counters;
        match refused {
            Refused::Filtered(_) => {
                counters.filtered.increment();
                log::debug!("server: request skipped {refused}");
                return;
            }
            Refused::Expired { .. } => counters.ttl_expired.increment(),
            Refused::Envelope(_)
            | Refused::Security(_)
            | Refused::NotAMember { .. }
            | Refused::NoAgent(_)
            | Refused::ReplyTo { .. } => counters.invalid.increment(),
        }
        self.throttles.refused.warn(format_args!("server: request dropped {refused}"));
    }

    /// Step 7: finds the agent and starts it.
    async fn dispatch(self: &Arc<Self>, admitted: Admitted) {
        let request = &admitted.request;
        match self.parts.agents.get(&request.agent) {
            Some(Hosted::Discovery(_)) => self.answer_discovery(admitted).await,
            Some(Hosted::Rpc(agent)) => self.start(agent.clone(), admitted),
            None => self.throttles.unknown_agent.warn(format_args!(
                "server: request dropped request={} err=no agent {:?}",
                request.id, request.agent
            )),
        }
    }

    async fn answer_discovery(&self, admitted: Admitted) {
        let request = &admitted.request;
        let payload = request.payload();
        let asked = payload.windows(DISCOVERY_WORD.len()).any(|window| window == DISCOVERY_WORD);
        if asked {
            log::debug!("server: discovered request={} caller={}", request.id, request.caller);
            // What went wrong is logged there; there is nothing else to try.
            let _ = self.respond(&admitted, DISCOVERY_PONG.to_vec()).await;
        } else {
            self.throttles.unknown_agent.warn(format_args!(
                "server: request dropped request={} err=not a discovery ping",
                request.id
            ));
        }
    }

    /// Steps 8 and 9, on their own task. Too much at once is dropped.
    fn start(self: &Arc<Self>, agent: Arc<dyn Agent>, admitted: Admitted) {
        let name = &admitted.request.agent;
        let Some(permit) = self.gate.enter(name, admitted.request.message.len()) else {
            self.parts.node.counters.overloaded.increment();
            self.throttles.overloaded.warn(format_args!(
                "server: request dropped request={} err=too many requests to agent {name}",
                admitted.request.id
            ));
            return;
        };
        let pipeline = self.clone();
        let work = async move { pipeline.perform(&*agent, admitted, permit).await };
        self.parts.executor.spawn(work).detach();
    }

    async fn perform(&self, agent: &dyn Agent, admitted: Admitted, _permit: Permit) {
        let answer =
            action::answer(agent, &admitted.request, &self.parts.node, self.parts.authorization);
        // The action's own panics are answered inside; this guards the code around it.
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Some(body)) => self.respond_within_limits(&admitted, body).await,
            Ok(None) => {}
            Err(_) => {
                self.parts.node.counters.panics.increment();
                log::error!("server: handling panicked request={}", admitted.request.id);
            }
        }
    }

    /// Sends the reply, or in its place a short one that says it is too large.
    async fn respond_within_limits(&self, admitted: &Admitted, body: ReplyBody) {
        let sent = self.respond(admitted, body.encode()).await;
        if sent == Err(Unsent::TooLarge) {
            let code = StatusCode::UnknownError;
            let short = ReplyBody::failed(&body.action, code, "The reply is too large to be sent");
            let _ = self.respond(admitted, short.encode()).await;
        }
    }

    /// Step 9: wraps the payload as the request was wrapped, and publishes it.
    async fn respond(&self, admitted: &Admitted, payload: Vec<u8>) -> Result<(), Unsent> {
        let (request, node) = (&admitted.request, &self.parts.node);
        let reply = request.reply(&node.identity, payload, SystemTime::now());
        let sent = match self.parts.security.encode_reply(&reply) {
            Ok(mut transport) => {
                let url = node.link.connected_url().unwrap_or_else(|| "unknown".to_owned());
                transport.append_hop(&url, &node.identity, &url);
                node.link.publish(&admitted.reply_to, &transport.encode()).await
            }
            Err(fault) => Err(Unsent::Failed(fault.to_string())),
        };
        if sent != Err(Unsent::TooLarge) {
            node.counters.replies.increment();
        }
        if let Err(error) = &sent {
            self.throttles
                .reply
                .warn(format_args!("server: reply not sent request={} err={error}", request.id));
        }
        sent
    }
}

#[cfg(test)]
mod tests;
