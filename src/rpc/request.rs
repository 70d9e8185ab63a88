//! One request: publish it, in batches when asked to, and collect the replies.
//!
//! A task of the client's executor publishes and receives, so that the pace of whoever reads the replies changes
//! nothing on the network. Replies wait in a queue of [`REPLIES_QUEUED_MAX`]; a node can be in it once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};
use smol::future::or;
use smol::{Task, Timer};

use super::client::Client;
use super::discovery::{checked_names, is_unfiltered};
use super::error::Error;
use super::options::{RequestOptions, Targets};
use super::reply::{NodeReply, open};
use super::stats::Stats;
use super::tracker::{Heard, Tracker};
use super::wait::next_before;
use crate::ddl::Agent;
use crate::nats::client::{Message, Subscription};
use crate::protocol::rpc::RequestBody;
use crate::protocol::{Filter, Request, Transport, subject};
use crate::util::shutdown::Shutdown;

/// Replies that may wait for the caller.
pub const REPLIES_QUEUED_MAX: usize = 100_000;
/// Unusable messages that are logged one by one.
const FAULTS_LOGGED_MAX: usize = 20;

/// The replies to one request as they arrive. Dropping it ends the request.
pub struct ReplyStream {
    request_id: String,
    timeout: Duration,
    replies: flume::Receiver<NodeReply>,
    shared: Arc<Shared>,
    _task: Task<()>,
}

struct Shared {
    tracker: Mutex<Tracker>,
    cancel: Shutdown,
    end: Mutex<Option<End>>,
}

/// How a request ended.
#[derive(Clone)]
struct End {
    at: SystemTime,
    cancelled: bool,
    failure: Option<String>,
}

/// A request that is checked and ready to be signed.
struct Plan {
    request: Request,
    /// Subjects of each batch, and the nodes they belong to when known.
    batches: Vec<Batch>,
    reply_to: String,
    timeout: Duration,
    sleep: Duration,
    ends_with_first: bool,
}

struct Batch {
    nodes: Vec<String>,
    subjects: Vec<String>,
}

impl Client {
    /// Sends a request and hands out the replies. The inputs are sent as they are: type and check them first with
    /// [`crate::ddl::Action::typed_inputs`] or [`crate::ddl::Action::complete_inputs`].
    ///
    /// # Errors
    /// When the options do not make a request, or nothing could be sent. Later trouble is in [`Stats::failure`].
    pub async fn request(
        &self,
        agent: &Agent,
        action: &str,
        inputs: Map<String, Value>,
        options: RequestOptions,
    ) -> Result<ReplyStream, Error> {
        let started = SystemTime::now();
        let discovery = options.discovery;
        let (plan, tracker) = self.plan(agent, action, inputs, options, |id, nodes| {
            let mut stats = Stats::new(id, &agent.metadata.name, action, started);
            stats.discovery = discovery;
            if nodes.is_empty() {
                Tracker::to_anyone(stats)
            } else {
                Tracker::to_nodes(stats, nodes)
            }
        })?;
        // Signed here once, so that a key that cannot be used is known at once.
        let first = self.seal(&plan.request, &plan.reply_to).await?;
        let subscription = self.nats().subscribe(&plan.reply_to, None)?;
        let (sender, replies) = flume::bounded(REPLIES_QUEUED_MAX);
        let shared = Arc::new(Shared {
            tracker: Mutex::new(tracker),
            cancel: Shutdown::new(),
            end: Mutex::new(None),
        });
        let request_id = plan.request.id.clone();
        let timeout = plan.timeout;
        let run = Run {
            client: self.clone(),
            plan,
            subscription,
            replies: sender,
            shared: Arc::clone(&shared),
            faults: 0,
        };
        let task = self.settings().executor.spawn(run.run(first));
        Ok(ReplyStream { request_id, timeout, replies, shared, _task: task })
    }

    /// Sends a request whose replies go to a subject of the caller's choice, and does not wait for them. Answers the
    /// request's id.
    ///
    /// # Errors
    /// When the options do not make a request, or it could not be sent to everybody.
    pub async fn send(
        &self,
        agent: &Agent,
        action: &str,
        inputs: Map<String, Value>,
        options: RequestOptions,
        reply_to: &str,
    ) -> Result<String, Error> {
        let (mut plan, ()) = self.plan(agent, action, inputs, options, |_, _| ())?;
        for (index, batch) in plan.batches.iter().enumerate() {
            if index > 0 {
                Timer::after(plan.sleep).await;
                plan.request.time = SystemTime::now();
            }
            let transport = self.seal(&plan.request, reply_to).await?;
            self.publish(&transport, &plan.request.id, &batch.subjects).await?;
        }
        Ok(plan.request.id)
    }

    /// Checks the options and works out what is published where. `track` gets the request's id and the nodes whose
    /// replies are expected, none when anyone may answer.
    fn plan<T>(
        &self,
        agent: &Agent,
        action: &str,
        inputs: Map<String, Value>,
        options: RequestOptions,
        track: impl FnOnce(&str, Vec<String>) -> T,
    ) -> Result<(Plan, T), Error> {
        let name = &agent.metadata.name;
        if agent.action(action).is_none() {
            let nearest = agent.nearest_action(action).map(str::to_owned);
            return Err(Error::UnknownAction {
                agent: name.clone(),
                action: action.to_owned(),
                nearest,
            });
        }
        check(&options, agent.metadata.service, self.settings().require_filter)?;
        let collective = self.collective(options.collective.as_deref())?;
        let mut request = self.new_request(name, collective, options.ttl);
        let body = RequestBody {
            agent: name.clone(),
            action: action.to_owned(),
            data: Value::Object(inputs),
        };
        request.message = body.encode();
        let (expected, batches) = match &options.targets {
            Targets::Nodes(nodes) => {
                request.filter.add_agent(name);
                let nodes = limited(nodes, &options)?;
                (nodes.clone(), node_batches(collective, &nodes, options.batch))
            }
            Targets::Broadcast { expected } => {
                request.filter = options.filter.clone();
                request.filter.add_agent(name);
                let expected = checked_names(expected)?;
                let subjects = vec![subject::broadcast_agent(collective, name)];
                (expected.clone(), vec![Batch { nodes: expected, subjects }])
            }
            Targets::Service => {
                let subjects = vec![subject::service_agent(collective, name)];
                (Vec::new(), vec![Batch { nodes: Vec::new(), subjects }])
            }
        };
        let tracked = track(&request.id, expected);
        let plan = Plan {
            // Replies go below the main collective whichever one is asked: brokers grant clients that subject.
            reply_to: self.reply_subject(&self.settings().main_collective, &request.id),
            timeout: options.timeout.unwrap_or(self.settings().discovery_timeout + agent.timeout()),
            sleep: options.batch_sleep,
            ends_with_first: options.targets == Targets::Service,
            request,
            batches,
        };
        Ok((plan, tracked))
    }
}

impl ReplyStream {
    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// How long each batch is waited for.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many nodes have answered, of how many.
    pub fn progress(&self) -> (usize, usize) {
        locked(&self.shared.tracker).progress()
    }

    /// The next reply; nothing once the request is over. Safe to abandon while waiting.
    pub async fn next(&mut self) -> Option<NodeReply> {
        self.replies.recv_async().await.ok()
    }

    /// Ends the request. What has arrived still comes out of [`ReplyStream::next`].
    pub fn cancel(&self) {
        self.shared.cancel.trigger();
    }

    /// Waits for the end, dropping replies nobody has taken, and answers the figures.
    pub async fn finish(mut self) -> Stats {
        while self.next().await.is_some() {}
        self.stats()
    }

    /// The figures as they stand.
    pub fn stats(&self) -> Stats {
        let end = locked(&self.shared.end).clone();
        let end =
            end.unwrap_or_else(|| End { at: SystemTime::now(), cancelled: false, failure: None });
        let mut stats = locked(&self.shared.tracker).stats(end.at, end.cancelled);
        stats.failure = end.failure;
        stats
    }
}

/// The task of one request.
struct Run {
    client: Client,
    plan: Plan,
    subscription: Subscription,
    replies: flume::Sender<NodeReply>,
    shared: Arc<Shared>,
    faults: usize,
}

/// What ended a wait for replies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Complete,
    TimedOut,
    Cancelled,
    Disconnected,
}

impl Run {
    async fn run(mut self, first: Transport) {
        let outcome = self.batches(first).await;
        let end = End {
            at: SystemTime::now(),
            cancelled: matches!(outcome, Ok(Ended::Cancelled)),
            failure: match outcome {
                Err(err) => Some(err.to_string()),
                Ok(Ended::Disconnected) => Some("the connection was closed".to_owned()),
                Ok(_) => None,
            },
        };
        *locked(&self.shared.end) = Some(end);
        // Dropping the sender, with the rest of this task, is what tells the caller.
    }

    async fn batches(&mut self, first: Transport) -> Result<Ended, Error> {
        let mut ended = Ended::Complete;
        let batches = std::mem::take(&mut self.plan.batches);
        for (index, batch) in batches.iter().enumerate() {
            let transport = match index {
                0 => first.clone(),
                _ => match self.pause().await? {
                    Some(transport) => transport,
                    None => return Ok(Ended::Cancelled),
                },
            };
            locked(&self.shared.tracker).ask(&batch.nodes);
            ended = self.batch(&transport, &batch.subjects).await?;
            if matches!(ended, Ended::Cancelled | Ended::Disconnected) {
                break;
            }
        }
        Ok(ended)
    }

    /// Sleeps between two batches while late replies are still taken, then signs the request anew with the present
    /// time. Nothing when cancelled.
    async fn pause(&mut self) -> Result<Option<Transport>, Error> {
        let until = Instant::now() + self.plan.sleep;
        if matches!(self.receive(Some(until), false).await, Ended::Cancelled) {
            return Ok(None);
        }
        self.plan.request.time = SystemTime::now();
        self.client.seal(&self.plan.request, &self.plan.reply_to).await.map(Some)
    }

    /// Publishes to some subjects while replies come in already, then waits for the rest.
    async fn batch(&mut self, transport: &Transport, subjects: &[String]) -> Result<Ended, Error> {
        let client = self.client.clone();
        let id = self.plan.request.id.clone();
        let started = Instant::now();
        let publish = async { Published::Done(client.publish(transport, &id, subjects).await) };
        let receive = async { Published::Not(self.receive(None, false).await) };
        let published = or(publish, receive).await;
        locked(&self.shared.tracker).published(started.elapsed());
        match published {
            Published::Done(result) => result?,
            Published::Not(ended) => return Ok(ended),
        }
        Ok(self.receive(Some(Instant::now() + self.plan.timeout), true).await)
    }

    /// Takes replies until a moment, or until nobody is missing when `to_completion` is set. Takes no reply across an
    /// await, so that it may be abandoned at any time.
    async fn receive(&mut self, until: Option<Instant>, to_completion: bool) -> Ended {
        let far = Duration::from_secs(24 * 3600);
        loop {
            if to_completion && self.is_complete() {
                return Ended::Complete;
            }
            let until = until.unwrap_or_else(|| Instant::now() + far);
            let cancel = self.shared.cancel.clone();
            let cancelled = async {
                cancel.wait().await;
                Received::Cancelled
            };
            let message =
                async { Received::Message(next_before(&mut self.subscription, until).await) };
            match or(cancelled, message).await {
                Received::Cancelled => return Ended::Cancelled,
                Received::Message(Some(message)) => self.take(&message),
                Received::Message(None) if Instant::now() >= until => return Ended::TimedOut,
                Received::Message(None) => return Ended::Disconnected,
            }
        }
    }

    fn is_complete(&self) -> bool {
        let tracker = locked(&self.shared.tracker);
        tracker.is_batch_complete() || (self.plan.ends_with_first && tracker.progress().0 > 0)
    }

    /// Checks one message and passes it on.
    fn take(&mut self, message: &Message) {
        let security = &self.client.settings().security;
        let envelope = match open(security, &message.payload, &self.plan.request.id) {
            Ok(envelope) => envelope,
            Err(fault) => {
                locked(&self.shared.tracker).count(false);
                self.faults += 1;
                if self.faults <= FAULTS_LOGGED_MAX {
                    log::warn!("rpc: unusable reply request={} err={fault}", self.plan.request.id);
                }
                return;
            }
        };
        let mut tracker = locked(&self.shared.tracker);
        if tracker.hear(&envelope.sender) == Heard::Unexpected {
            log::debug!(
                "rpc: unexpected reply request={} sender={}",
                envelope.request_id,
                envelope.sender
            );
            return;
        }
        let reply = NodeReply::read(envelope);
        tracker.count(reply.is_ok());
        drop(tracker);
        if let Err(flume::TrySendError::Full(reply)) = self.replies.try_send(reply) {
            log::error!("rpc: reply lost, too many are waiting sender={}", reply.sender);
        }
    }
}

enum Published {
    Done(Result<(), Error>),
    Not(Ended),
}

enum Received {
    Message(Option<Message>),
    Cancelled,
}

/// Refuses options that do not go together.
fn check(options: &RequestOptions, is_service: bool, require_filter: bool) -> Result<(), Error> {
    let refuse = |text| Err(Error::Options(text));
    let is_batched = options.batch.is_some();
    match &options.targets {
        Targets::Service if !options.filter.is_empty() => {
            refuse("service requests does not support filters")
        }
        Targets::Service if is_batched => refuse("service requests cannot be made in batches"),
        Targets::Nodes(_) if is_service => {
            refuse("service requests does not support custom targets")
        }
        Targets::Broadcast { .. } if is_service => {
            refuse("service agents do not take broadcast requests")
        }
        Targets::Nodes(nodes) if nodes.is_empty() => Err(Error::NoTargets),
        Targets::Nodes(_) if options.batch == Some(0) => refuse("a batch cannot be empty"),
        Targets::Broadcast { .. } if is_batched => {
            refuse("batched mode requires direct_request mode")
        }
        Targets::Broadcast { .. } if options.limit.is_some() => {
            refuse("limits require direct_request mode")
        }
        Targets::Broadcast { .. }
            if require_filter && is_unfiltered(&without_agents(&options.filter)) =>
        {
            Err(Error::FilterRequired)
        }
        _ => Ok(()),
    }
}

/// The agent filters of a request never count as a filter.
fn without_agents(filter: &Filter) -> Filter {
    Filter { agents: Vec::new(), ..filter.clone() }
}

fn limited(nodes: &[String], options: &RequestOptions) -> Result<Vec<String>, Error> {
    let nodes = checked_names(nodes)?;
    Ok(match options.limit {
        Some(limit) => limit.apply(nodes)?,
        None => nodes,
    })
}

fn node_batches(collective: &str, nodes: &[String], size: Option<usize>) -> Vec<Batch> {
    let batch = |nodes: &[String]| Batch {
        nodes: nodes.to_vec(),
        subjects: nodes.iter().map(|node| subject::node(collective, node)).collect(),
    };
    nodes.chunks(size.unwrap_or(nodes.len()).max(1)).map(batch).collect()
}

/// A panic while one of these locks is held leaves counters that are still whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("n{n}")).collect()
    }

    #[test]
    fn batches_keep_the_order() {
        let sizes = |count, size| {
            let batches = node_batches("c", &names(count), size);
            batches.iter().map(|batch| batch.subjects.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(5, Some(2)), [2, 2, 1]);
        assert_eq!(sizes(4, Some(2)), [2, 2]);
        assert_eq!(sizes(3, None), [3]);
        assert_eq!(sizes(3, Some(10)), [3]);
        let batches = node_batches("c", &names(3), Some(2));
        assert_eq!(batches[1].subjects, ["c.node.n2"]);
        assert_eq!(batches[1].nodes, ["n2"]);
    }

    #[test]
    fn options_that_do_not_go_together() {
        let refused = |options: RequestOptions, is_service, require_filter| {
            check(&options, is_service, require_filter)
                .err()
                .map(|err| err.to_string())
                .unwrap_or_default()
        };
        let nodes = || RequestOptions::nodes(names(2));
        let everybody = || RequestOptions::broadcast(Filter::default());
        let mut filtered = Filter::default();
        filtered.add_class("apache");
        let mut agents = Filter::default();
        agents.add_agent("a");
        agents.add_agent("b");
        let cases = [
            (nodes(), false, true, ""),
            (nodes(), true, false, "service requests does not support custom targets"),
            (RequestOptions::nodes(Vec::new()), false, false, "did not discover any nodes"),
            (RequestOptions { batch: Some(0), ..nodes() }, false, false, "a batch cannot be empty"),
            (RequestOptions::service(), true, true, ""),
            (
                RequestOptions { filter: filtered.clone(), ..RequestOptions::service() },
                true,
                false,
                "service requests does not support filters",
            ),
            (
                RequestOptions { batch: Some(2), ..everybody() },
                false,
                false,
                "batched mode requires direct_request mode",
            ),
            (everybody(), false, false, ""),
            (everybody(), false, true, "requests without filters have been disabled"),
            (
                RequestOptions::broadcast(agents),
                false,
                true,
                "requests without filters have been disabled",
            ),
            (RequestOptions::broadcast(filtered), false, true, ""),
        ];
        for (options, is_service, require_filter, expected) in cases {
            assert_eq!(
                refused(options.clone(), is_service, require_filter),
                expected,
                "{options:?}"
            );
        }
    }
}
