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
use super::audit::Audit;
use super::authorization::Authorization;
use super::gate::{Gate, Limits, Permit};
use super::judge::Judge;
use super::link::Unsent;
use super::node::Node;
use super::registry::{Hosted, Registry};
use super::workers::Workers;
use crate::nats::subject;
use crate::protocol::filter::NodeData;
use crate::protocol::passage::{self, Passage};
use crate::protocol::rpc::{DISCOVERY_PONG, DISCOVERY_WORD, ReplyBody, StatusCode};
use crate::protocol::{Fault, Plain, Request, Transport};
use crate::security::{Denied, Provider, ReplayCache, Verified};
use crate::tokens::ClientClaims;
use crate::util::throttle::Throttle;

/// Requests that are remembered against replay, a quarter for each certificate: about 40 MiB when full,
/// which takes 3,700 verified requests a second with the usual time to live of 60 seconds.
const REPLAY_ENTRIES_MAX: usize = 262_144;

/// Everything the requests of one server share.
pub struct Pipeline {
    parts: Parts,
    judge: Arc<Judge>,
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
    /// Where requests are recorded, when they are.
    pub audit: Option<Arc<Audit>>,
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
    /// What the token of the caller says, if it has one.
    claims: Option<Arc<ClientClaims>>,
    /// A subject that replies can be published to.
    reply_to: String,
    /// When it came in.
    received: SystemTime,
}

/// Why a message goes no further.
#[derive(Debug)]
enum Refused {
    /// It is no message of this protocol.
    Envelope(Fault),
    /// Its caller is not proven.
    Security(Denied),
    /// Its caller is proven.
    Unfit(Box<Request>, Unfit),
}

/// Why a verified request goes no further.
#[derive(Debug)]
enum Unfit {
    /// Not meant for this node; not a fault.
    Filtered,
    NotAMember,
    NoAgent,
    ReplyTo(String),
    Expired,
    Replay(Denied),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Envelope(fault) => write!(f, "err={fault}"),
            Refused::Security(denied) => write!(f, "err={denied}"),
            Refused::Unfit(request, unfit) => {
                write!(f, "request={} err={}", Plain(&request.id), unfit.reason(request))
            }
        }
    }
}

impl Unfit {
    /// The same text in the log and in the audit file.
    fn reason(&self, request: &Request) -> String {
        match self {
            Unfit::Filtered => "not meant for this node".to_owned(),
            Unfit::NotAMember => format!("not a member of collective {:?}", request.collective),
            Unfit::NoAgent => "it names no agent".to_owned(),
            Unfit::ReplyTo(subject) => format!("replies cannot go to subject {subject:?}"),
            Unfit::Expired => format!("outside its time to live of {}s", request.ttl_secs),
            Unfit::Replay(denied) => denied.to_string(),
        }
    }
}

impl Pipeline {
    /// A pipeline that has seen no request yet.
    pub fn new(parts: Parts) -> Arc<Pipeline> {
        let (node, workers) = (parts.node.clone(), parts.workers.clone());
        let (authorization, audit) = (parts.authorization.clone(), parts.audit.clone());
        Arc::new(Pipeline {
            judge: Arc::new(Judge::new(authorization, audit, node, workers)),
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

    /// Steps 1 to 6, and the audit of what is refused here. Blocks: signatures are checked, facts may
    /// be read and lines written.
    fn admit(&self, raw: &[u8], now: SystemTime) -> Result<Admitted, Refused> {
        let transport = Transport::decode(raw).map_err(Refused::Envelope)?;
        let verified = match self.parts.security.decode_request(&transport, now) {
            Ok(verified) => verified,
            Err(denied) => {
                self.record_unverified(&transport, &denied);
                return Err(Refused::Security(denied));
            }
        };
        match self.consider(&verified, transport.reply_to, now) {
            Ok(reply_to) => {
                let (request, claims) = (Arc::new(verified.request), verified.token);
                Ok(Admitted { request, claims, reply_to, received: now })
            }
            Err(unfit) => {
                self.record_unfit(&verified.request, &unfit);
                Err(Refused::Unfit(Box::new(verified.request), unfit))
            }
        }
    }

    /// Steps 4 to 6; gives the subject for replies.
    fn consider(
        &self,
        verified: &Verified,
        reply_to: Option<String>,
        now: SystemTime,
    ) -> Result<String, Unfit> {
        let request = &verified.request;
        if !self.is_meant(request) {
            return Err(Unfit::Filtered);
        }
        self.parts.node.counters.passed.increment();
        let reply_to = self.addressed(request, reply_to)?;
        if request.is_expired(now) {
            return Err(Unfit::Expired);
        }
        self.remember(verified, now)?;
        self.parts.node.counters.valid.increment();
        self.parts.node.counters.message_seen(now);
        Ok(reply_to)
    }

    fn record_unverified(&self, transport: &Transport, denied: &Denied) {
        let Some(audit) = self.judge.audit() else { return };
        let claims = || self.parts.security.claims(transport);
        self.judge.note(audit.unverified(&denied.to_string(), claims));
    }

    fn record_unfit(&self, request: &Request, unfit: &Unfit) {
        if let (Some(audit), false) = (self.judge.audit(), matches!(unfit, Unfit::Filtered)) {
            self.judge.note(audit.refused_copy(request, &unfit.reason(request)));
        }
    }

    /// A request that was handled once is refused for as long as it would be valid.
    fn remember(&self, verified: &Verified, now: SystemTime) -> Result<(), Unfit> {
        let mut replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        replay.admit(verified, now).map_err(Unfit::Replay)
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
    fn addressed(&self, request: &Request, reply_to: Option<String>) -> Result<String, Unfit> {
        if request.agent.is_empty() {
            return Err(Unfit::NoAgent);
        }
        if !self.parts.node.collectives.contains(&request.collective) {
            return Err(Unfit::NotAMember);
        }
        let reply_to = reply_to.unwrap_or_default();
        if !subject::valid_publish(reply_to.as_bytes()) {
            return Err(Unfit::ReplyTo(reply_to));
        }
        Ok(reply_to)
    }

    fn count(&self, refused: &Refused) {
        let counters = &self.parts.node.counters;
        match refused {
            Refused::Unfit(_, Unfit::Filtered) => {
                counters.filtered.increment();
                log::debug!("server: request skipped {refused}");
                return;
            }
            Refused::Unfit(_, Unfit::Expired) => counters.ttl_expired.increment(),
            Refused::Envelope(_) | Refused::Security(_) | Refused::Unfit(..) => {
                counters.invalid.increment();
            }
        }
        self.throttles.refused.warn(format_args!("server: request dropped {refused}"));
    }

    /// Step 7: finds the agent and starts it.
    async fn dispatch(self: &Arc<Self>, admitted: Admitted) {
        let request = &admitted.request;
        match self.parts.agents.get(&request.agent) {
            Some(Hosted::Discovery(_)) => self.answer_discovery(admitted).await,
            Some(Hosted::Rpc(agent)) => self.start(agent.clone(), admitted).await,
            None => {
                let reason = format!("no agent {:?}", request.agent);
                self.drop_admitted(request, &self.throttles.unknown_agent, &reason).await;
            }
        }
    }

    /// A request that passed every check and has no place to go.
    async fn drop_admitted(&self, request: &Arc<Request>, throttle: &Throttle, reason: &str) {
        throttle.warn(format_args!("server: request dropped request={} err={reason}", request.id));
        self.judge.dropped(request, reason).await;
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
            let reason = "not a discovery ping";
            self.drop_admitted(request, &self.throttles.unknown_agent, reason).await;
        }
    }

    /// Steps 8 and 9, on their own task. Too much at once is dropped.
    async fn start(self: &Arc<Self>, agent: Arc<dyn Agent>, admitted: Admitted) {
        let name = &admitted.request.agent;
        let Some(permit) = self.gate.enter(name, admitted.request.message.len()) else {
            self.parts.node.counters.overloaded.increment();
            let reason = format!("too many requests to agent {name}");
            self.drop_admitted(&admitted.request, &self.throttles.overloaded, &reason).await;
            return;
        };
        let pipeline = self.clone();
        let work = async move { pipeline.perform(&agent, admitted, permit).await };
        self.parts.executor.spawn(work).detach();
    }

    async fn perform(&self, agent: &Arc<dyn Agent>, admitted: Admitted, _permit: Permit) {
        let answer = action::answer(
            agent,
            &admitted.request,
            admitted.claims.as_ref(),
            &self.parts.node,
            &self.judge,
        );
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
                transport.append_hop(&url, &processor(node, admitted), &url);
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

/// Who the reply comes from, with the times when the caller wants them.
fn processor(node: &Node, admitted: &Admitted) -> String {
    let request = &admitted.request;
    if request.federation.is_none() || !passage::is_wanted(&request.hops) {
        return node.identity.clone();
    }
    let took = SystemTime::now().duration_since(admitted.received).unwrap_or_default();
    passage::processor(&node.identity, &[Passage { at: admitted.received, took }.entry()])
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
