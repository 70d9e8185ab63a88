//! The task of one provider: waits, makes its message, sends it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use smol::{Executor, Task, Timer};

use super::pace::{self, Pace};
use super::payload::{self, Known, Unusable};
use super::{Provider, Settings, Source};
use crate::protocol::{Request, subject};
use crate::security;
use crate::server::link::Unsent;
use crate::server::node::Node;
use crate::server::status::Expiry;

const AGENT: &str = "registration";
/// Nobody answers, and a request names a place for answers.
const REPLY_TO: &str = "dev.null";
/// Every provider waits a moment, so that those of one server do not all speak at once.
const PAUSE_MILLIS: std::ops::RangeInclusive<u64> = 1_000..=4_000;

/// Starts a task for each provider; they end when they are dropped.
pub(in crate::server) fn start(
    settings: &Settings,
    node: &Arc<Node>,
    security: &Arc<security::Provider>,
    executor: &Executor<'static>,
) -> Vec<Task<()>> {
    let task = |provider: &Provider| {
        let registrar = Registrar::new(settings, provider, node.clone(), security.clone());
        executor.spawn(registrar.run())
    };
    settings.providers.iter().map(task).collect()
}

/// One provider at work.
pub(super) struct Registrar {
    settings: Settings,
    provider: Provider,
    pub(super) node: Arc<Node>,
    security: Arc<security::Provider>,
    pace: Pace,
    /// When the file of the last message was changed.
    file_changed: Option<i64>,
    /// What kept the last message from being sent, to say it once.
    fault: String,
}

/// A message that can be sent.
struct Made {
    payload: Vec<u8>,
    /// When its file was changed, when it has one.
    file_changed: Option<i64>,
}

impl Registrar {
    pub(super) fn new(
        settings: &Settings,
        provider: &Provider,
        node: Arc<Node>,
        security: Arc<security::Provider>,
    ) -> Registrar {
        let pace = Pace::new(settings);
        let (settings, provider) = (settings.clone(), provider.clone());
        Registrar {
            settings,
            provider,
            node,
            security,
            pace,
            file_changed: None,
            fault: String::new(),
        }
    }

    async fn run(mut self) {
        let name = self.provider.source.name();
        let pause = self.pause();
        log::info!(
            "registration: started provider={name} subject={} interval={}s first_in={:.0}s",
            self.subject(),
            self.settings.interval.as_secs(),
            pause.as_secs_f32()
        );
        let step = pace::step(&self.settings);
        Timer::after(pause).await;
        let mut tick = Instant::now();
        loop {
            self.look(tick).await;
            tick = pace::next(tick, step, Instant::now());
            Timer::at(tick).await;
        }
    }

    /// Time before the first message.
    fn pause(&self) -> Duration {
        let interval = u64::try_from(self.settings.interval.as_millis()).unwrap_or(u64::MAX);
        let splay = if self.settings.has_splay { fastrand::u64(..interval.max(1)) } else { 0 };
        Duration::from_millis(splay.saturating_add(fastrand::u64(PAUSE_MILLIS)))
    }

    fn subject(&self) -> String {
        match &self.provider.target {
            Some(target) => target.clone(),
            None => subject::broadcast_agent(&self.settings.collective, AGENT),
        }
    }

    /// Looks at the data and sends it when it is due; what goes wrong is logged, and tried again at the next look.
    pub(super) async fn look(&mut self, at: Instant) {
        let name = self.provider.source.name();
        let Some(broker) = self.node.link.connected_url() else {
            log::info!("registration: not published, there is no connection provider={name}");
            return;
        };
        let made = match self.make().await {
            Ok(made) => made,
            Err(error) => return self.failed(log::Level::Error, error),
        };
        let bytes = made.payload.len();
        if !self.pace.is_due(at, bytes) {
            log::debug!("registration: not due provider={name} bytes={bytes}");
            return;
        }
        match self.send(made.payload, &broker).await {
            Ok(()) => {
                log::debug!("registration: published provider={name} bytes={bytes}");
                self.pace.sent(at, bytes);
                self.fault.clear();
                self.file_changed = made.file_changed;
            }
            Err(error) => self.failed(log::Level::Warn, error),
        }
    }

    /// Says what went wrong, loudly when it was not the same the last time.
    fn failed(&mut self, level: log::Level, error: String) {
        let name = self.provider.source.name();
        let level = if self.fault == error { log::Level::Debug } else { level };
        log::log!(level, "registration: not published provider={name} err={error}");
        self.fault = error;
    }

    async fn make(&self) -> Result<Made, String> {
        let is_compressed = self.provider.is_compressed;
        let made: Result<Result<Made, Unusable>, _> = match self.provider.source.clone() {
            Source::File(path) => {
                let known = self.file_changed;
                let work = move || {
                    let (payload, changed) = payload::of_file(&path, is_compressed, known)?;
                    Ok(Made { payload, file_changed: Some(changed) })
                };
                self.node.workers.run(work).await
            }
            Source::Inventory => {
                let (node, security) = (self.node.clone(), self.security.clone());
                let work = move || {
                    let known = Known {
                        facts: node.facts_blocking(),
                        classes: node.classes_blocking(),
                        expiry: Expiry::of(&security),
                    };
                    let now = SystemTime::now();
                    let payload = payload::of_inventory(&node, &known, is_compressed, now)?;
                    Ok(Made { payload, file_changed: None })
                };
                self.node.workers.run(work).await
            }
        };
        made.map_err(|lost| lost.to_string())?.map_err(|unusable| unusable.to_string())
    }

    /// Signs the request and hands it to the connection.
    async fn send(&self, payload: Vec<u8>, broker: &str) -> Result<(), String> {
        let (node, security) = (&self.node, self.security.clone());
        let (now, caller) = (SystemTime::now(), security.caller());
        let mut request =
            Request::new(AGENT, &self.settings.collective, &node.identity, &caller, now)
                .in_version(security.version());
        request.ttl_secs = self.settings.ttl_secs;
        request.message = payload;
        let signing = move || security.encode_request(&request, REPLY_TO);
        let signed = node.workers.run(signing).await.map_err(|lost| lost.to_string())?;
        let mut transport = signed.map_err(|error| error.to_string())?;
        transport.append_hop(broker, &node.identity, broker);
        let bytes = transport.encode();
        node.link.publish(&self.subject(), &bytes).await.map_err(|unsent| match unsent {
            Unsent::TooLarge => {
                format!("its request of {} bytes is {unsent}", bytes.len())
            }
            Unsent::Failed(reason) => reason,
        })
    }
}
