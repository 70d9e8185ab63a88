//! One event loop: its connections, its timers, its turn.

mod leaving;
mod relief;

use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::cluster::Dialled;
use super::connection::Connection;
use super::end::{End, Reason};
use super::endpoint::Phase;
use super::home::{Home, LISTENERS, Mail, WAKE, add};
use super::link::Failure;
use super::listeners::{Incoming, Kind, Listeners};
use super::monitor::{Closed, Detail, Event, Sources, last_report, report};
use super::shared::{Context, Shared};
use super::slab::Slab;
use super::timers::Wheel;
use super::transport::Transport;
use crate::sys::{Events, Ready};
use crate::util::throttle::Throttle;

/// Bytes read from one connection in one turn, when it is the only one; the buffer is shared by all connections of the
/// loop. The more comes at once, the fewer system calls there are for a message, and the fewer readers are woken.
const READ_BYTES: usize = 1024 * 1024;
/// The same when there are many, or when what came took long, so that each gets its turn soon.
const READ_BYTES_MIN: usize = 128 * 1024;
/// Time of a turn after which less is read in the next one.
const TURN_MS_MAX: u64 = 10;
/// Connections served in one turn.
const EVENTS_MAX: usize = 1024;
/// Connections accepted in one turn.
const ACCEPTS_MAX: usize = 256;
/// Connections that are passed over, because they wait for us, in the search for one to be dropped.
const PASSED_OVER_MAX: usize = 64;
/// Lines about peers that one loop logs in ten seconds.
const LOG_LINES_MAX: u32 = 100;
/// Time without accepting after the system had no room for a connection.
const ACCEPT_PAUSE_MS: u64 = 100;
/// Time without accepting while too many wait for their TLS handshake.
const BUSY_PAUSE_MS: u64 = 5;
/// Time between looks at what has no timer of its own.
const HOUSEKEEPING_MS: u64 = 1000;
/// Time between lines of news for all clients: whoever causes them must not keep every loop busy.
const NEWS_PAUSE_MS: u64 = 1000;
/// Time after which look-ups are forgotten.
const FORGET_MS: u64 = 30_000;

/// One event loop.
#[derive(Debug)]
pub(super) struct Shard {
    cx: Context,
    listeners: Listeners,
    /// Accepting pauses until then.
    accept_again_ms: Option<u64>,
    /// For lines that any peer can cause.
    log: Throttle,
    next_home: usize,
    connections: Slab<Connection>,
    /// Those of them that are no clients from the network.
    others: usize,
    closed: Closed,
    wheel: Wheel,
    blocked: Vec<u64>,
    /// Connections in the order they came, for those that never authenticate.
    arrivals: std::collections::VecDeque<u64>,
    unadmitted: usize,
    buffers: Buffers,
    /// Bytes that may be read in the next turn.
    read_bytes: usize,
    next_housekeeping_ms: u64,
    next_forget_ms: u64,
    /// News for clients may be sent again at this time; whether there are any.
    next_news_ms: u64,
    has_news: bool,
    lame_since_ms: Option<u64>,
    lame_total: usize,
    stop_at_ms: Option<u64>,
}

/// Buffers shared by all connections of one loop.
#[derive(Debug)]
pub(super) struct Buffers {
    pub read: Vec<u8>,
    /// Bytes of it that one connection may fill.
    pub read_bytes_max: usize,
    pub plain: Vec<u8>,
}

impl Shard {
    pub fn new(shared: Arc<Shared>, home: Arc<Home>, listeners: Listeners) -> Shard {
        let closed = Closed::new(shared.homes.len());
        Shard {
            cx: Context::new(shared, home),
            listeners,
            accept_again_ms: None,
            log: Throttle::new(LOG_LINES_MAX),
            next_home: 0,
            connections: Slab::default(),
            others: 0,
            closed,
            wheel: Wheel::new(),
            blocked: Vec::new(),
            arrivals: std::collections::VecDeque::new(),
            unadmitted: 0,
            buffers: Buffers {
                read: vec![0; READ_BYTES],
                read_bytes_max: READ_BYTES_MIN,
                plain: Vec::new(),
            },
            read_bytes: READ_BYTES,
            next_housekeeping_ms: 0,
            next_forget_ms: 0,
            next_news_ms: 0,
            has_news: false,
            lame_since_ms: None,
            lame_total: 0,
            stop_at_ms: None,
        }
    }

    /// Serves until the broker stops; false when it cannot go on before that.
    pub fn run(mut self) -> bool {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.is_done() {
            let timeout = self.timeout();
            if let Err(error) = self.cx.home.epoll.wait(&mut events, timeout) {
                log::error!("broker: cannot wait for connections err={error}");
                break;
            }
            self.cx.now_ms = self.cx.shared.now_ms();
            let share = self.read_bytes / events.len().max(1);
            self.buffers.read_bytes_max = share.max(READ_BYTES_MIN);
            for index in 0..events.len() {
                if let Some(ready) = events.at(index) {
                    self.on_ready(ready);
                }
            }
            self.finish_turn();
            let was_long = self.cx.shared.now_ms() > self.cx.now_ms + TURN_MS_MAX;
            self.read_bytes = match was_long {
                true => READ_BYTES_MIN,
                false => (self.read_bytes * 2).min(READ_BYTES),
            };
            self.on_time();
        }
        self.close_all();
        self.stop_at_ms.is_some()
    }

    fn is_done(&self) -> bool {
        self.stop_at_ms.is_some_and(|at| self.cx.now_ms >= at || self.connections.is_empty())
    }

    fn timeout(&self) -> Option<Duration> {
        let now = self.cx.now_ms;
        let mut wait = self.wheel.wait_ms(now);
        let mut sooner = |at: Option<u64>| {
            if let Some(at) = at {
                let ms = at.saturating_sub(now);
                wait = Some(wait.map_or(ms, |wait| wait.min(ms)));
            }
        };
        sooner(self.accept_again_ms);
        sooner(self.stop_at_ms);
        if !self.connections.is_empty() || self.lame_since_ms.is_some() {
            sooner(Some(self.next_housekeeping_ms));
        }
        wait.map(Duration::from_millis)
    }

    fn on_ready(&mut self, ready: Ready) {
        match ready.token {
            WAKE => self.read_mail(),
            token if LISTENERS.contains(&token) => self.accept(token),
            token => self.serve(token, |connection, shard| shard.on_connection(connection, ready)),
        }
    }

    /// Runs `work` on a connection, and costs it its life if that panics.
    fn serve(
        &mut self,
        token: u64,
        work: impl FnOnce(&mut Connection, &mut Shard) -> Result<(), End>,
    ) {
        let Some(mut connection) = self.connections.take(token) else { return };
        let was_admitted = connection.endpoint.phase == Phase::Open;
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut connection, self)));
        let result = result.unwrap_or_else(|_| {
            add(&self.cx.home.counters.panics, 1);
            Err(End::silent(Reason::Panic))
        });
        if !was_admitted && connection.endpoint.phase == Phase::Open {
            self.unadmitted -= 1;
            connection.is_admitted = true;
            self.tell_of_new(&connection);
        }
        match result {
            Ok(()) => self.rearm(&mut connection),
            Err(end) => self.begin_end(&mut connection, end),
        }
        if connection.is_gone {
            self.bury(token, connection);
        } else {
            self.connections.put_back(token, connection);
        }
    }

    fn rearm(&mut self, connection: &mut Connection) {
        let due = connection.next_due_ms();
        if self.wheel.time_for(due) < connection.armed_ms {
            connection.armed_ms = self.wheel.add(connection.token(), due);
        }
    }

    fn on_connection(&mut self, connection: &mut Connection, ready: Ready) -> Result<(), End> {
        if ready.write || ready.hangup {
            connection.send_queue(&self.cx);
        }
        if ready.hangup
            && let Some(failure) = connection.endpoint.link.failure()
        {
            return Err(End::failed(failure));
        }
        if connection.endpoint.phase == Phase::Closing {
            return connection.on_ready_while_closing(ready, &mut self.buffers.read);
        }
        if ready.read || ready.hangup {
            let read = connection.read(&mut self.buffers, &mut self.cx)?;
            if read >= HEAVY_BYTES || self.cx.router.stage.is_full() {
                self.cx.flush();
                self.pause_if_crowded(connection, read);
            }
        }
        Ok(())
    }

    /// A connection that sends much to receivers with full queues is not read for a while. One that sends little never
    /// is, so that nodes which answer a request are not held up by a slow requester.
    fn pause_if_crowded(&mut self, connection: &mut Connection, read: usize) {
        let crowded = std::mem::take(&mut self.cx.crowded);
        let own = &connection.endpoint.link;
        let other = crowded.iter().find(|link| !Arc::ptr_eq(link, own));
        // One that sends to itself waits for itself: it may write much before it reads.
        let crowded = other.or(crowded.first());
        // A slow client must not hold up everybody else behind a route.
        if read >= HEAVY_BYTES
            && connection.endpoint.peer.kind != Kind::Route
            && let Some(link) = crowded
            && link.make_wait(own)
        {
            let pause = self.cx.settings.pause_max.as_millis() as u64;
            connection.paused_until_ms = Some(self.cx.now_ms + pause);
        }
    }

    /// Sends what the turn staged, and goes on with what that brought.
    fn finish_turn(&mut self) {
        self.cx.flush();
        self.cx.crowded.clear();
        while let Some(token) = self.cx.to_pump.pop() {
            self.pump(token);
        }
        self.cx.publish_counts();
        self.relieve_when_over();
    }

    /// Goes on with the queue of a connection.
    fn pump(&mut self, token: u64) {
        let Some(connection) = self.connections.peek(token) else { return };
        connection.send_queue(&self.cx);
        if connection.endpoint.phase == Phase::Closing {
            // It may be due sooner now.
            self.serve(token, |_, _| Ok(()));
        }
    }

    fn accept(&mut self, listener: u64) {
        if self.cx.shared.handshakes.is_full() && !self.listeners.is_for_routes(listener) {
            // Those that come now wait in the kernel instead, before those that would be dropped for them.
            self.stop_accepting(BUSY_PAUSE_MS);
            return;
        }
        let mut batches: Vec<Vec<Incoming>> = Vec::new();
        batches.resize_with(self.cx.shared.homes.len(), Vec::new);
        for _ in 0..ACCEPTS_MAX {
            let Some(accepted) = self.listeners.accept(listener) else { break };
            match accepted {
                Ok(accepted) => {
                    if let Some(batch) = batches.get_mut(self.next_home) {
                        batch.push(accepted);
                    }
                    self.next_home = (self.next_home + 1) % batches.len().max(1);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.pause_accepting(&error);
                    break;
                }
            }
        }
        let homes = self.cx.shared.homes.clone();
        for (home, batch) in homes.iter().zip(batches) {
            if Arc::ptr_eq(home, &self.cx.home) {
                self.adopt(batch);
            } else if !batch.is_empty() {
                home.post(Mail::Accepted(batch));
            }
        }
    }

    /// Without room for more files the listener would be ready for ever.
    fn pause_accepting(&mut self, error: &std::io::Error) {
        let text = format_args!("broker: cannot accept a connection err={error}");
        self.log.log(log::Level::Warn, text);
        self.stop_accepting(ACCEPT_PAUSE_MS);
    }

    fn stop_accepting(&mut self, pause_ms: u64) {
        self.listeners.watch(&self.cx.home, false);
        self.accept_again_ms = Some(self.cx.now_ms + pause_ms);
    }

    fn adopt(&mut self, incoming: Vec<Incoming>) {
        for incoming in incoming {
            if self.stop_at_ms.is_some() {
                return;
            }
            let token = self.connections.reserve();
            let (address, kind) = (incoming.address, incoming.kind);
            let opened = Connection::open(incoming, token, &mut self.cx);
            if self.take_in(opened, token, address, kind) && kind == Kind::Client {
                self.refuse_without_room(token);
            }
        }
        self.displace();
        self.count_connections();
    }

    /// Takes a connection to another broker.
    fn adopt_dialled(&mut self, dialled: Dialled) {
        if self.stop_at_ms.is_some() {
            return;
        }
        let Dialled { incoming, ticket, tls } = dialled;
        let (address, token) = (incoming.address, self.connections.reserve());
        let transport = tls.map_or(Transport::Plain, Transport::ClientTls);
        let opened = Connection::open_route(incoming, Some(ticket), transport, token, &mut self.cx);
        if self.take_in(opened, token, address, Kind::Route) {
            self.serve(token, |connection, shard| {
                connection.take_early(&mut shard.buffers, &mut shard.cx)
            });
        }
        self.count_connections();
    }

    /// Takes a connection that was opened; false when it was not.
    fn take_in(
        &mut self,
        opened: std::io::Result<Connection>,
        token: u64,
        address: SocketAddr,
        kind: Kind,
    ) -> bool {
        match opened {
            Ok(connection) => {
                let mut connection = Box::new(connection);
                self.rearm(&mut connection);
                self.connections.put_back(token, connection);
                self.arrivals.push_back(token);
                self.unadmitted += 1;
                match kind.is_client() {
                    true => add(&self.cx.home.counters.accepted, 1),
                    false => self.others += 1,
                }
                true
            }
            Err(error) => {
                log::debug!("broker: cannot serve a connection remote={address} err={error}");
                self.connections.release(token);
                false
            }
        }
    }

    fn listen(&mut self, listener: TcpListener, kind: Kind) {
        if self.stop_at_ms.is_some() || self.lame_since_ms.is_some() {
            return;
        }
        if let Err(error) = self.listeners.add_watched(listener, kind, &self.cx.home) {
            log::error!("broker: cannot watch a listener err={error}");
        }
    }

    fn refuse_without_room(&mut self, token: u64) {
        if !self.cx.shared.has_room() {
            self.serve(token, |_, _| {
                Err(End::told(Reason::TooManyConnections, "maximum connections exceeded"))
            });
        }
    }

    /// Drops the oldest of too many connections that did not authenticate: half-open ones must not keep others out.
    fn displace(&mut self) {
        let max = (self.cx.settings.unadmitted_max / self.cx.shared.homes.len()).max(1);
        let mut passed_over = 0;
        while let Some(token) = self.arrivals.front().copied() {
            let waiting = self
                .connections
                .peek(token)
                .filter(|connection| connection.endpoint.phase != Phase::Open);
            let is_waiting = waiting.is_some();
            if is_waiting && self.unadmitted <= max {
                break;
            }
            self.arrivals.pop_front();
            if passed_over < PASSED_OVER_MAX
                && waiting.is_some_and(|waiting| waiting.waits_for_us())
            {
                passed_over += 1;
                self.arrivals.push_back(token);
                continue;
            }
            if is_waiting {
                self.serve(token, |_, _| Err(End::silent(Reason::Displaced)));
            }
        }
    }

    fn read_mail(&mut self) {
        for mail in self.cx.home.clone().collect() {
            match mail {
                Mail::Accepted(incoming) => self.adopt(incoming),
                Mail::Handshake(worked) => {
                    self.serve(worked.token, |connection, shard| {
                        let (buffers, cx) = (&mut shard.buffers, &mut shard.cx);
                        connection.on_handshake(worked.outcome, buffers, cx)
                    });
                }
                Mail::Question(question) => {
                    let (connections, closed, cx) = (&self.connections, &self.closed, &self.cx);
                    let unmeasured = Sources { connections, closed, cx }.answer(question);
                    for token in unmeasured {
                        self.serve(token, |connection, shard| {
                            connection.measure(&mut shard.cx);
                            Ok(())
                        });
                    }
                }
                Mail::Dialled(dialled) => self.adopt_dialled(*dialled),
                Mail::Listen(listener, kind) => self.listen(listener, kind),
                Mail::Info => self.tell_clients_soon(),
                Mail::Flush(tokens) => {
                    for token in tokens {
                        self.pump(token);
                    }
                }
                Mail::Relieve => self.relieve(),
                Mail::Cast(cast) => self.cx.router.help(&cast),
                #[cfg(test)]
                Mail::Break => panic!("broken by a test"),
                Mail::Readmit => self.readmit_all(),
                Mail::Reload(settings) => {
                    self.cx.settings = settings;
                    self.readmit_all();
                }
                Mail::LameDuck => self.start_lame_duck(),
                Mail::Stop { within_ms } => self.start_stopping(within_ms),
                Mail::Close => self.end_all(),
            }
        }
    }

    fn readmit_all(&mut self) {
        for token in self.connections.tokens() {
            self.serve(token, |connection, shard| {
                connection.check_revocation(&shard.cx)?;
                connection.protocol.readmit(&mut connection.endpoint, &mut shard.cx)
            });
        }
    }

    /// Tells clients that brokers came or went, but not all the time.
    fn tell_clients_soon(&mut self) {
        self.has_news = self.cx.now_ms < self.next_news_ms;
        if !self.has_news {
            self.next_news_ms = self.cx.now_ms + NEWS_PAUSE_MS;
            self.tell_clients();
        }
    }

    /// Sends INFO to every client that takes it now.
    fn tell_clients(&mut self) {
        for token in self.connections.tokens() {
            let Some(connection) = self.connections.peek(token) else { continue };
            let endpoint = &connection.endpoint;
            if connection.protocol.takes_info(endpoint) {
                let peer = &endpoint.peer;
                let line = self.cx.shared.connection_info(peer.client_id, peer.address, None);
                self.cx.router.stage.answer(&endpoint.link, &line);
            }
        }
    }

    fn on_time(&mut self) {
        let now = self.cx.now_ms;
        let mut due = Vec::new();
        self.wheel.advance(now, &mut due);
        for (token, at) in due {
            self.serve(token, |connection, shard| {
                if connection.armed_ms != at {
                    return Ok(());
                }
                connection.armed_ms = u64::MAX;
                connection.on_time(&mut shard.cx)
            });
        }
        if self.accept_again_ms.is_some_and(|at| at <= now) {
            self.accept_again_ms = None;
            self.listeners.watch(&self.cx.home, true);
        }
        if now >= self.next_housekeeping_ms {
            self.keep_house();
        }
        self.finish_turn();
    }

    fn keep_house(&mut self) {
        let deadline = self.cx.settings.write_deadline.as_millis() as u64;
        let now = self.cx.now_ms;
        self.next_housekeeping_ms = now + HOUSEKEEPING_MS.min(deadline / 4).max(1);
        self.blocked.extend(self.cx.home.take_blocked());
        let mut blocked = std::mem::take(&mut self.blocked);
        blocked.retain(|token| {
            let connection = self.connections.peek(*token);
            connection
                .is_some_and(|connection| connection.endpoint.link.check_deadline(now, deadline))
        });
        self.blocked = blocked;
        if self.has_news {
            self.tell_clients_soon();
        }
        if now >= self.next_forget_ms {
            self.next_forget_ms = now + FORGET_MS;
            self.cx.router.forget();
            self.cx.home.pool.clear();
            self.displace();
        }
        self.go_on_as_lame_duck();
    }

    /// Tells a connection why it ends, or ends it at once when there is no point in that.
    fn begin_end(&mut self, connection: &mut Connection, end: End) {
        if connection.endpoint.phase == Phase::Closing {
            connection.is_gone = true;
            return;
        }
        self.count_end(&end.reason);
        let peer = &connection.endpoint.peer;
        match end.reason {
            Reason::ClientClosed | Reason::Shutdown | Reason::LameDuck => {
                log::debug!("broker: closed {peer} reason={}", end.reason);
            }
            Reason::Route(ref fault) if fault.is_usual() => {
                log::debug!("broker: closed {peer} reason={}", end.reason);
            }
            Reason::Panic => log::error!("broker: closed {peer} reason={}", end.reason),
            Reason::Refused(_) => {
                self.log.warn(format_args!("broker: closed {peer} reason={}", end.reason));
            }
            _ => {
                let text = format_args!("broker: closed {peer} reason={}", end.reason);
                self.log.log(log::Level::Info, text);
            }
        }
        self.write_down(connection, &end.reason);
        connection.protocol.withdraw(&connection.endpoint, &mut self.cx);
        connection.say_why(&end, &mut self.cx);
        if !connection.is_admitted {
            self.unadmitted -= 1;
        }
        connection.endpoint.phase = Phase::Closing;
        if !end.is_graceful() {
            // What was staged for it, like the PONG of a PING that it sent last, still goes out.
            self.cx.flush();
            connection.is_gone = true;
            return;
        }
        self.cx.flush();
        let patience_ms = self.patience_ms(&end.reason);
        connection.start_closing(patience_ms, &self.cx);
        self.rearm(connection);
    }

    fn bury(&mut self, token: u64, mut connection: Box<Connection>) {
        connection.close();
        let is_client = connection.endpoint.peer.kind.is_client();
        if connection.is_admitted && is_client {
            self.cx.shared.dismiss();
        }
        if !is_client {
            self.others -= 1;
        }
        self.connections.release(token);
        self.count_connections();
    }

    /// Tells those who want to know that a connection was admitted.
    fn tell_of_new(&self, connection: &Connection) {
        let events = &self.cx.shared.events;
        if connection.endpoint.peer.kind.is_client() && events.is_wanted() {
            let report = report(connection, &self.cx.shared, Detail::default());
            events.tell(Event::Connected(Arc::new(report)));
        }
    }

    /// Keeps what a connection was, and tells those who want to know that it ended.
    fn write_down(&mut self, connection: &Connection, reason: &Reason) {
        if !connection.endpoint.peer.kind.is_client() {
            return;
        }
        let report = last_report(connection, &self.cx, reason);
        self.closed.add(report.clone());
        match reason {
            _ if connection.is_admitted => self.cx.shared.events.tell(Event::Disconnected(report)),
            Reason::Refused(_) | Reason::AuthTimeout => {
                self.cx.shared.events.tell(Event::Refused(report));
            }
            _ => {}
        }
        if matches!(reason, Reason::SlowConsumer(_))
            && let Some(account) = connection.protocol.account_index()
            && let Some(report) = self.cx.account_reports.get_mut(account as usize)
        {
            report.slow_consumers += 1;
        }
    }

    fn count_connections(&self) {
        let count = (self.connections.len() - self.others) as u64;
        self.cx.home.counters.connections.store(count, std::sync::atomic::Ordering::Relaxed);
    }

    fn count_end(&self, reason: &Reason) {
        let counters = &self.cx.home.counters;
        match reason {
            Reason::SlowConsumer(Failure::PendingBytes | Failure::WriteDeadline) => {
                add(&counters.slow_consumers, 1);
            }
            Reason::Stale => add(&counters.stale, 1),
            Reason::Refused(_) | Reason::AuthTimeout => add(&counters.refused, 1),
            _ => {}
        }
    }

    fn close_all(&mut self) {
        for token in self.connections.tokens() {
            if let Some(mut connection) = self.connections.take(token) {
                connection.protocol.withdraw(&connection.endpoint, &mut self.cx);
                self.bury(token, connection);
            }
        }
    }
}

/// Bytes read in one turn from which a connection counts as one that sends much.
const HEAVY_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{SocketAddr, TcpStream};

    use super::*;
    use crate::broker::Settings;
    use crate::broker::link::tests::BOUNDS;
    use crate::sys;

    #[test]
    fn a_panic_costs_one_connection() {
        let listener = sys::listen(SocketAddr::from(([127, 0, 0, 1], 0)), 8).expect("listen");
        let address = listener.local_addr().expect("address");
        let home = Arc::new(
            Home::new(BOUNDS, Arc::default(), Arc::default(), Arc::default()).expect("home"),
        );
        let shared =
            Shared::new(Settings::default(), address, vec![home.clone()]).expect("settings");
        let shared = Arc::new(shared);
        let mut shard = Shard::new(shared, home, Listeners::default());
        let mut peers: Vec<_> = (0..2)
            .map(|_| {
                let peer = TcpStream::connect(address).expect("connect");
                let (socket, address) = sys::accept(&listener).expect("accept");
                shard.adopt(vec![Incoming { socket, address, kind: Kind::Client }]);
                peer
            })
            .collect();
        let tokens = shard.connections.tokens();
        shard.serve(tokens[0], |_, _| panic!("on purpose"));
        let mut rest = String::new();
        peers[0].read_to_string(&mut rest).expect("a clean end");
        assert!(rest.starts_with("INFO ") && rest.ends_with("\r\n"));
        assert_eq!(shard.connections.tokens(), &tokens[1..]);
        assert_eq!(shard.cx.home.counters.panics.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert_eq!(shard.unadmitted, 1);
        shard.serve(tokens[1], |connection, _| {
            assert_eq!(connection.endpoint.phase, Phase::Connecting);
            Ok(())
        });
    }
}
