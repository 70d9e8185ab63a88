//! Finding a broker at first, and again whenever the connection is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::future::FutureExt as _;

use crate::nats::client::error::{Error, ErrorKind};
use crate::nats::client::events::{Counters, Event};
use crate::nats::client::handshake::{self, Link};
use crate::nats::client::options::Initial;
use crate::nats::client::session::{self, End};
use crate::nats::client::{Inner, lock};
use crate::util::backoff;

/// A connection that lived longer was healthy: the next loss is met without extra delay.
const HEALTHY: Duration = Duration::from_secs(10);

/// The first connection, as the options say.
pub(super) async fn initial(inner: &Arc<Inner>) -> Result<Link, Error> {
    let is_once = inner.options.initial == Initial::Once;
    let limit = is_once.then(|| Instant::now() + inner.options.once_limit);
    let mut attempt = 1;
    let mut telling: Option<Error> = None;
    loop {
        let failure = match first_round(inner, limit).await {
            Ok(link) => {
                log::info!("nats: connected url={}", link.target.server);
                return Ok(link);
            }
            Err(failure) => failure,
        };
        let error = failure.error;
        let pause = backoff::delay(inner.options.initial_delays, attempt);
        let is_over = limit.is_some_and(|limit| Instant::now() + pause >= limit);
        if is_once && (failure.is_final || is_over) {
            // The last attempt may have been cut short by the limit, which says less than an earlier reason.
            let is_cut = error.kind() == ErrorKind::TimedOut;
            return Err(telling.filter(|_| is_cut).unwrap_or(error));
        }
        if is_once {
            log::debug!("nats: no connection try={attempt} err={error}");
        } else {
            log::warn!("nats: no connection try={attempt} retry_in={pause:?} err={error}");
        }
        telling = Some(error);
        Timer::after(pause).await;
        attempt += 1;
    }
}

/// Why a round over the brokers gave no connection.
struct Failure {
    error: Error,
    /// Another round would end in the same way.
    is_final: bool,
}

/// Finds the brokers and tries each of them once.
async fn first_round(inner: &Arc<Inner>, limit: Option<Instant>) -> Result<Link, Failure> {
    let find = async {
        inner.options.servers.find().await.map_err(|error| {
            let is_final = error.lookup.is_none();
            Failure { error: Error::new(ErrorKind::NoServers, error.to_string()), is_final }
        })
    };
    let expire = async {
        match limit {
            Some(limit) => Timer::at(limit).await,
            None => std::future::pending().await,
        };
        let text = "cannot find the brokers: the name servers do not answer in time";
        Err(Failure { error: Error::new(ErrorKind::TimedOut, text), is_final: true })
    };
    let found = find.or(expire).await?;
    lock(&inner.pool).set_found(found.servers);
    let round = lock(&inner.pool).round();
    let mut failure: Option<Failure> = None;
    for target in round {
        let deadline = Instant::now() + inner.options.connect_timeout;
        let deadline = limit.map_or(deadline, |limit| limit.min(deadline));
        match handshake::connect(&inner.options, target, deadline).await {
            Ok(link) => return Ok(link),
            Err(error) if error.kind() == ErrorKind::Authorization && limit.is_some() => {
                return Err(Failure { error, is_final: true });
            }
            Err(error) => {
                let is_final =
                    error.is_final() && failure.as_ref().is_none_or(|failure| failure.is_final);
                log::debug!("nats: broker not usable err={error}");
                failure = Some(Failure { error, is_final });
            }
        }
    }
    Err(failure.unwrap_or_else(|| Failure {
        error: Error::new(ErrorKind::NoServers, "no brokers are known"),
        is_final: true,
    }))
}

/// Owns the connection, from the first one (which was [`Inner::started`]) on until the client is closed.
pub(super) async fn manage(inner: Arc<Inner>, mut link: Link) {
    let mut short_lives = 0;
    let reason = loop {
        let started = Instant::now();
        let end = session::run(&inner, link).await;
        inner.stopped();
        let error = match end {
            End::Closed => break "closed by this side".to_owned(),
            End::Lost(error) => error,
        };
        if inner.closing.is_triggered() {
            break error.to_string();
        }
        log::warn!("nats: connection lost err={error}");
        inner.events.send(&Event::Disconnected { reason: error.to_string() });
        short_lives = if started.elapsed() < HEALTHY { short_lives + 1 } else { 0 };
        let found = async { Some(reconnect(&inner, short_lives).await) };
        let closed = async {
            inner.closing.wait().await;
            None
        };
        let Some(next) = closed.or(found).await else { break "closed by this side".to_owned() };
        link = next;
        inner.started(&link);
        let url = link.target.server.to_string();
        log::info!("nats: reconnected url={url}");
        Counters::add(&inner.counters.reconnects, 1);
        inner.events.send(&Event::Reconnected { url });
    };
    inner.end(reason);
}

/// Tries the brokers round after round, for ever. One pause a round, before its last broker, which is the one that was
/// lost; `short_lives` connections in a row that died young lengthen it, so that a broker that accepts and then
/// refuses is not hammered.
async fn reconnect(inner: &Arc<Inner>, short_lives: usize) -> Link {
    if short_lives > 1 {
        Timer::after(backoff::delay(inner.options.reconnect_delays, short_lives - 1)).await;
    }
    let mut pass = short_lives.max(1);
    loop {
        refresh_pool(inner).await;
        let round = lock(&inner.pool).round();
        let last = round.len().saturating_sub(1);
        for (index, target) in round.into_iter().enumerate() {
            if index == last {
                let pause = backoff::delay(inner.options.reconnect_delays, pass);
                log::debug!("nats: reconnecting try={pass} pause={pause:?}");
                Timer::after(pause).await;
            }
            let deadline = Instant::now() + inner.options.connect_timeout;
            match handshake::connect(&inner.options, target, deadline).await {
                Ok(link) => return link,
                Err(error) => log::warn!("nats: no connection try={pass} err={error}"),
            }
        }
        pass += 1;
    }
}

/// Finds the brokers again; what was known stays when that gives nothing better in time.
async fn refresh_pool(inner: &Inner) {
    let find = async { inner.options.servers.find().await.ok() };
    let expire = async {
        Timer::after(inner.options.connect_timeout).await;
        None
    };
    let Some(found) = find.or(expire).await else { return };
    let mut pool = lock(&inner.pool);
    if !found.is_fallback || pool.is_empty() {
        pool.set_found(found.servers);
    }
}

impl Inner {
    /// A connection is ready: subscriptions go out first, then what was published meanwhile.
    pub(super) fn started(&self, link: &Link) {
        lock(&self.pool).set_current(Some(link.target.clone()));
        *lock(&self.info) = Default::default();
        self.update_info(link.info.clone());
        let mut registry = lock(&self.registry);
        self.outbox.connected(registry.opening());
        drop(registry);
        self.is_connected.store(true, Ordering::Release);
    }

    /// The connection is gone.
    fn stopped(&self) {
        self.is_connected.store(false, Ordering::Release);
        self.outbox.disconnected();
        lock(&self.pongs).clear();
    }

    /// The client is closed: everybody who waits learns it.
    fn end(&self, reason: String) {
        self.closing.trigger();
        self.outbox.finish();
        lock(&self.registry).clear();
        self.requests.clear();
        log::debug!("nats: closed reason={reason}");
        self.events.send(&Event::Closed { reason });
        self.events.end();
        self.ended.trigger();
    }
}
