//! The federation broker: carries requests from one NATS network to another, and the replies back.
//!
//! Clients in the network of the federation publish requests to `choria.federation.<cluster>.federation`; a federation
//! broker publishes them to servers in the network of a collective, with itself as the address for replies, and carries
//! the replies back to where the clients wait. Only headers change. What is signed is neither opened nor checked: that
//! is the business of servers and clients.
//!
//! It keeps nothing. All instances of a cluster share both subjects by queue groups, so a request and its reply may go
//! through different ones, and one that ends is not missed. An instance that has lost one side leaves the queue group on
//! the other, so that it does not take messages it cannot pass on.
//!
//! Start reading at [`lane`](self), which moves the messages; `transform` is what happens to them, `target` where they
//! may go. Messages that do not fit are dropped and counted, never answered.

mod figures;
mod lane;
mod target;
mod transform;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use smol::future::{self, FutureExt as _};
use smol::{Executor, Task, Timer};

pub use figures::FederationFigures;

use crate::nats::client::{Client, Event, Options};
use crate::util::shutdown::Shutdown;
use lane::Lane;

/// Most workers of one direction: decoding is all they do.
const WORKERS_MAX: usize = 4;
/// How long replies to the last request are still carried when the federation broker ends. Longer would help slow actions,
/// and keep the next instance of a lone federation broker from starting.
const REPLY_TIME: Duration = Duration::from_secs(10);
/// How long connections get to take what waits for them when the federation broker ends.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A network that a federation broker is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where federated clients are.
    Federation,
    /// Where servers are.
    Collective,
}

impl Side {
    /// Its name in metrics and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Side::Federation => "federation",
            Side::Collective => "collective",
        }
    }

    fn other(self) -> Side {
        match self {
            Side::Federation => Side::Collective,
            Side::Collective => Side::Federation,
        }
    }
}

/// What a federation broker needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The name of its cluster, one token of a subject.
    pub cluster: String,
    /// Its own name, for hops and metrics.
    pub identity: String,
    /// How to reach the network of the federation.
    pub federation: Options,
    /// How to reach the network of the collective.
    pub collective: Options,
}

/// A running federation broker. Dropping it ends it at once; [`Federation::stop`] lets it pass on what it has.
pub struct Federation {
    figures: Arc<FederationFigures>,
    stop: Stop,
    task: Task<()>,
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation").field("figures", &self.figures).finish_non_exhaustive()
    }
}

impl Federation {
    /// Starts to connect to both sides, for ever. It takes no messages before both are there.
    pub fn start(settings: Settings, executor: &Arc<Executor<'static>>) -> Federation {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
        let figures =
            Arc::new(FederationFigures::new(&settings.cluster, &settings.identity, workers));
        let stop = Stop { requests: Shutdown::new(), replies: Shutdown::new() };
        let run = run(settings, figures.clone(), stop.clone(), executor.clone());
        Federation { figures, stop, task: executor.spawn(run) }
    }

    /// What it counts.
    pub fn figures(&self) -> Arc<FederationFigures> {
        self.figures.clone()
    }

    /// Takes no more requests, goes on carrying replies for as long as [`REPLY_TIME`] after the last request, passes on
    /// what it has, and closes both connections. All within a limit, a quarter of which is kept for the end.
    pub async fn stop(self, limit: Duration) {
        self.stop.requests.trigger();
        let cut = async {
            Timer::after(limit - limit / 4).await;
            self.stop.replies.trigger();
            future::pending().await
        };
        let late = async {
            Timer::after(limit).await;
            log::warn!("federation: stopping took too long, messages may be lost");
        };
        self.task.or(cut).or(late).await;
        log::info!("federation: stopped");
    }
}

/// What a federation broker stops in turn.
#[derive(Debug, Clone)]
struct Stop {
    requests: Shutdown,
    replies: Shutdown,
}

/// When a message was passed on last.
#[derive(Debug, Default)]
struct LastPassed(Mutex<Option<Instant>>);

impl LastPassed {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long replies to it, a request, are still waited for.
    fn time_left(&self) -> Duration {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(Duration::ZERO, |last| REPLY_TIME.saturating_sub(last.elapsed()))
    }
}

async fn run(
    settings: Settings,
    figures: Arc<FederationFigures>,
    stop: Stop,
    executor: Arc<Executor<'static>>,
) {
    let Settings { cluster, identity, federation, collective } = settings;
    log::info!("federation: joining two networks cluster={cluster} identity={identity}");
    let connecting = future::zip(
        connect(Side::Federation, federation, &figures),
        connect(Side::Collective, collective, &figures),
    );
    let stopped = async {
        stop.requests.wait().await;
        None
    };
    let Some((federation, collective)) = async { Some(connecting.await) }.or(stopped).await else {
        return;
    };
    let (Some(federation), Some(collective)) = (federation, collective) else { return };
    let lane = |from: Side| {
        let (source, sink) = match from {
            Side::Federation => (federation.clone(), collective.clone()),
            Side::Collective => (collective.clone(), federation.clone()),
        };
        Lane::new(from, &cluster, &identity, (source, sink), figures.clone())
    };
    let (requests, replies) = (lane(Side::Federation), lane(Side::Collective));
    let asked = requests.last_passed();
    let requests = async {
        requests.run(stop.requests.clone(), executor.clone()).await;
        let left = asked.time_left();
        if !left.is_zero() {
            log::info!("federation: taking no more requests, carrying replies for {left:.1?}");
            let over = async {
                Timer::after(left).await;
            };
            over.or(stop.replies.wait()).await;
        }
        stop.replies.trigger();
    };
    // Each of them would go on without the other for ever when a connection is closed for good, which only we do.
    future::zip(requests, replies.run(stop.replies.clone(), executor.clone())).await;
    let close = |client: Client| async move {
        if let Err(error) = client.flush(CLOSE_LIMIT).await {
            log::debug!("federation: cannot flush err={error}");
        }
        client.close().await;
    };
    future::zip(close(federation), close(collective)).await;
}

/// Connects to a side, for ever, and keeps note of whether there is a connection.
async fn connect(side: Side, options: Options, figures: &Arc<FederationFigures>) -> Option<Client> {
    let (name, executor) = (side.name(), options.executor.clone());
    log::info!("federation: connecting side={name}");
    let client = match Client::connect(options).await {
        Ok(client) => client,
        Err(error) => {
            log::error!("federation: cannot connect side={name} err={error}");
            return None;
        }
    };
    let events = client.events();
    figures.connected(side).store(client.is_connected(), Ordering::Relaxed);
    let url = client.connected_url().unwrap_or_default();
    log::info!("federation: connected side={name} url={url}");
    let figures = figures.clone();
    // Ends with the client.
    let watch = async move {
        while let Ok(event) = events.recv_async().await {
            match event {
                Event::Disconnected { .. } | Event::Closed { .. } => {
                    figures.connected(side).store(false, Ordering::Relaxed);
                }
                Event::Reconnected { .. } => {
                    figures.connected(side).store(true, Ordering::Relaxed);
                }
                Event::PermissionViolation { operation, subject, .. } => {
                    let name = side.name();
                    log::error!(
                        "federation: not allowed side={name} operation={operation:?} subject={subject}"
                    );
                }
                _ => {}
            }
        }
    };
    executor.spawn(watch).detach();
    Some(client)
}
