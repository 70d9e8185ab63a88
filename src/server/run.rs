//! The life of a server: connect, subscribe, answer until told to stop.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smol::future::FutureExt;
use smol::{Executor, Task, Timer};

use super::agents::{self, VERSION};
use super::lifecycle::Lifecycle;
use super::node::Node;
use super::pipeline::{Parts, Pipeline};
use super::presence::Presence;
use super::registration;
use super::registry::{Registry, Unfit};
use super::settings::Settings;
use super::status;
use crate::enroll::renewal;
use crate::nats::client::{self, Client, Event, Operation, Subscription};
use crate::nats::subject as nats_subject;
use crate::protocol::event::Kind;
use crate::protocol::subject;
use crate::security::Provider;
use crate::util::shutdown::Shutdown;
use crate::util::time::rfc3339;

/// How long a shutdown may take when nothing is configured.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// How often certificate and key are looked at: somebody may have replaced them.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(10);
/// Requests that may wait for a server on one subscription; the rest is dropped and counted.
const QUEUED_MESSAGES_MAX: usize = 1024;
/// Bytes of them.
const QUEUED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes waiting on all subscriptions of a server.
const QUEUED_TOTAL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why a server cannot start, or cannot go on.
#[derive(Debug)]
pub enum Error {
    /// The identity or a collective cannot be part of a subject. The operator is at fault.
    Name {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// There is no collective to join. The operator is at fault.
    NoCollective,
    /// A service host without an agent to host.
    NoServiceAgents,
    /// An agent cannot be hosted.
    Agent(Unfit),
    /// The first connection failed for good.
    Connect(client::Error),
    /// A subscription was refused.
    Subscribe {
        /// To what.
        subject: String,
        /// By what.
        error: client::Error,
    },
    /// The connection ended for good while the server ran.
    Closed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Name { what, value } => {
                write!(f, "cannot start: {what} {value:?} cannot be part of a subject")
            }
            Error::NoCollective => write!(f, "cannot start: no collectives are configured"),
            Error::NoServiceAgents => {
                write!(f, "cannot start as service host: there are no service agents")
            }
            Error::Agent(unfit) => write!(f, "cannot start: {unfit}"),
            Error::Connect(error) => write!(f, "cannot connect: {error}"),
            Error::Subscribe { subject, error } => {
                write!(f, "cannot subscribe to {subject}: {error}")
            }
            Error::Closed(reason) => write!(f, "connection closed: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Agent(unfit) => Some(unfit),
            Error::Connect(error) | Error::Subscribe { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Runs one server until `shutdown` is triggered. Connects for ever; every task it starts ends
/// with it.
///
/// # Errors
/// When it cannot start with these settings, or is not allowed to by the broker.
pub async fn run(
    settings: Settings,
    executor: Arc<Executor<'static>>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let agents = hosted(&settings)?;
    check_names(&settings)?;
    log::info!("server: starting version={VERSION} identity={}", settings.identity);
    look_at_facts(&settings).await;
    let stopped = async {
        shutdown.wait().await;
        None
    };
    let connecting = async { Some(Client::connect(bounded(&settings)).await) };
    let client = match connecting.or(stopped).await {
        Some(connected) => connected.map_err(Error::Connect)?,
        None => return Ok(()),
    };
    let server = Running::start(&settings, agents, client, executor).await?;
    let ended = server.until_end(&shutdown).await;
    server.stop(&settings).await;
    ended
}

/// Reads the facts once, so that the log says at the start what is wrong with their files.
async fn look_at_facts(settings: &Settings) {
    if settings.facts.immediate().is_none() {
        let facts = settings.facts.clone();
        smol::unblock(move || facts.read()).await;
    }
}

/// The connection, with no larger queues than requests to a server need.
fn bounded(settings: &Settings) -> client::Options {
    let mut options = settings.connection.clone();
    let bound = |field: &mut usize, max: usize| *field = max.min(*field);
    bound(&mut options.subscription_messages_max, QUEUED_MESSAGES_MAX);
    bound(&mut options.subscription_bytes_max, QUEUED_BYTES_MAX);
    bound(&mut options.queued_bytes_max, QUEUED_TOTAL_BYTES_MAX);
    options
}

fn hosted(settings: &Settings) -> Result<Registry, Error> {
    let mut agents = agents::built_in().map_err(Error::Agent)?;
    if settings.service_host {
        agents.retain_services();
        if agents.is_empty() {
            return Err(Error::NoServiceAgents);
        }
    }
    Ok(agents)
}

fn check_names(settings: &Settings) -> Result<(), Error> {
    if settings.collectives.is_empty() {
        return Err(Error::NoCollective);
    }
    let names = settings.collectives.iter().map(|name| ("collective", name));
    for (what, value) in names.chain([("identity", &settings.identity)]) {
        if !nats_subject::valid_publish(value.as_bytes()) {
            return Err(Error::Name { what, value: value.clone() });
        }
    }
    Ok(())
}

/// A connected server with its tasks; they end when it is dropped.
struct Running {
    client: Client,
    events: flume::Receiver<Event>,
    presence: Presence,
    lifecycle: Lifecycle,
    lanes: Vec<Task<()>>,
    background: Vec<Task<()>>,
}

impl Running {
    async fn start(
        settings: &Settings,
        agents: Registry,
        client: Client,
        executor: Arc<Executor<'static>>,
    ) -> Result<Running, Error> {
        let events = client.events();
        let node = Arc::new(Node::new(settings, &agents, Arc::new(client.clone())));
        let pipeline = Pipeline::new(Parts {
            node: node.clone(),
            agents: agents.clone(),
            authorization: settings.authorization.clone(),
            audit: settings.audit.clone(),
            security: settings.security.clone(),
            workers: settings.workers.clone(),
            executor: executor.clone(),
            limits: settings.limits,
        });
        let subscriptions = subscribe(settings, &agents, &client)?;
        let lane = |subscription| executor.spawn(serve(subscription, pipeline.clone()));
        let lanes = subscriptions.into_iter().map(lane).collect();
        let component = if settings.service_host { "service_host" } else { "server" };
        let legacy_format = settings.legacy_lifecycle_format;
        let lifecycle = Lifecycle { node: node.clone(), component, legacy_format };
        lifecycle.publish(Kind::Startup).await;
        let mut background = vec![executor.spawn(lifecycle.clone().publish_alive())];
        if let Some(registering) = settings.registration.as_ref().filter(|_| !settings.service_host)
        {
            let security = &settings.security;
            background.extend(registration::start(registering, &node, security, &executor));
        }
        if let Some(file) = settings.status.clone() {
            let (security, workers) = (settings.security.clone(), settings.workers.clone());
            background.push(executor.spawn(status::write_regularly(node, file, security, workers)));
        }
        if let Some(renewal) = settings.renewal.clone() {
            let security = settings.security.clone();
            let renewed = move || show_renewed(&security);
            background.push(executor.spawn(renewal::keep(renewal, client.clone(), renewed)));
        }
        background.push(executor.spawn(watch_certificate(settings.security.clone())));
        log::info!("server: started identity={}", settings.identity);
        let presence = settings.presence.clone();
        presence.set(client.connected_url());
        Ok(Running { client, events, presence, lifecycle, lanes, background })
    }

    /// Waits for the end.
    async fn until_end(&self, shutdown: &Shutdown) -> Result<(), Error> {
        let watching = async {
            while let Ok(event) = self.events.recv_async().await {
                self.presence.set(self.client.connected_url());
                if let Some(reason) = report(&self.lifecycle.node.identity, event) {
                    return Err(Error::Closed(reason));
                }
            }
            Err(Error::Closed("the client ended".to_owned()))
        };
        let stopped = async {
            shutdown.wait().await;
            Ok(())
        };
        stopped.or(watching).await
    }

    /// Says goodbye, takes no more requests, and lets what is queued go out, all within the time
    /// configured. Running actions are abandoned.
    async fn stop(mut self, settings: &Settings) {
        let limit = match settings.soft_shutdown {
            Duration::ZERO => SHUTDOWN_MAX,
            limit => limit,
        };
        let identity = &settings.identity;
        log::info!("server: stopping identity={identity}");
        let leaving = async {
            self.lifecycle.publish(Kind::Shutdown).await;
            for task in self.lanes.drain(..).chain(self.background.drain(..)) {
                task.cancel().await;
            }
            if let Err(error) = self.client.flush(limit).await {
                log::warn!("server: not everything was sent identity={identity} err={error}");
            }
            self.client.close().await;
        };
        let late = async {
            Timer::after(limit).await;
            log::warn!("server: stopping took too long identity={identity}");
        };
        leaving.or(late).await;
        log::info!("server: stopped identity={identity}");
    }
}

/// New connections and signatures use the new certificate.
fn show_renewed(security: &Provider) {
    if let Err(error) = security.renew_certificate() {
        log::error!("server: the renewed certificate is not used err={error}");
    }
}

/// Uses certificate and key from then on when somebody has replaced their files; never done.
async fn watch_certificate(security: Arc<Provider>) {
    loop {
        Timer::after(CERTIFICATE_LOOK).await;
        let provider = security.clone();
        match smol::unblock(move || provider.renew_if_replaced()).await {
            Ok(false) => {}
            Ok(true) => {
                let until = security.certificate_expires().map(rfc3339).unwrap_or_default();
                log::info!(
                    "server: certificate and key were replaced, the new ones are used until={until}"
                );
            }
            Err(error) => {
                log::warn!("server: certificate and key were replaced and stay unused err={error}");
            }
        }
    }
}

/// Everything a node listens to: its agents in every collective, and its own name in every one.
fn subscribe(
    settings: &Settings,
    agents: &Registry,
    client: &Client,
) -> Result<Vec<Subscription>, Error> {
    let mut subscriptions = Vec::new();
    // A collective named twice would bring every request twice.
    for collective in settings.collectives.iter().collect::<BTreeSet<_>>() {
        for metadata in agents.metadata() {
            let name = &metadata.name;
            let (subject, queue) = if metadata.service {
                (subject::service_agent(collective, name), Some(name.as_str()))
            } else {
                (subject::broadcast_agent(collective, name), None)
            };
            subscriptions.push(subscribe_one(client, subject, queue)?);
        }
        if !settings.service_host {
            let subject = subject::node(collective, &settings.identity);
            subscriptions.push(subscribe_one(client, subject, None)?);
        }
    }
    Ok(subscriptions)
}

fn subscribe_one(
    client: &Client,
    subject: String,
    queue: Option<&str>,
) -> Result<Subscription, Error> {
    log::debug!("server: subscribing subject={subject}");
    match client.subscribe(&subject, queue) {
        Ok(subscription) => Ok(subscription),
        Err(error) => Err(Error::Subscribe { subject, error }),
    }
}

/// Hands the messages of one subscription to the pipeline, one after the other.
async fn serve(mut subscription: Subscription, pipeline: Arc<Pipeline>) {
    while let Some(message) = subscription.next().await {
        pipeline.accept(message.payload, SystemTime::now()).await;
    }
}

/// Logs what leaves the server deaf; the client logs the rest. A reason when it is over for good.
fn report(identity: &str, event: Event) -> Option<String> {
    match event {
        Event::PermissionViolation { operation: Operation::Subscribe, subject, text } => {
            log::error!("server: hears nothing on {subject} identity={identity} err={text}");
        }
        Event::SubscriptionLimit { text } => {
            log::error!("server: hears nothing on some subjects identity={identity} err={text}");
        }
        Event::Closed { reason } => return Some(reason),
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests;
