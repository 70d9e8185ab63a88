//! The threads that do the arithmetic of TLS handshakes, and the queue before them.
//!
//! An event loop hands over what came of a handshake once it is complete, and gets back what is to be sent. Nothing here
//! touches a socket, so that no peer can hold a thread. Handshakes that have begun go first: their peers wait for the rest
//! of the answer, and the work done for them would be lost.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;

use super::Tls;
use crate::broker::home::{Home, Mail, lock};
use crate::security::tls::make_key_ahead;

/// Time without work after which keys are made for later, and how many of them before new work is looked for.
const IDLE_AFTER: Duration = Duration::from_millis(100);
const KEYS_AT_ONCE: usize = 4;
/// Cancelled work above which the queue is cleaned, if it is half of it.
const CANCELLED_MIN: usize = 64;

/// The threads and their queue. Threads start with the first work.
#[derive(Debug)]
pub(in crate::broker) struct HandshakePool {
    shared: Arc<Queue>,
    threads_max: usize,
    waiting_max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    is_started: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    /// Work for handshakes that did not begin, cancelled or not.
    waiting: AtomicUsize,
    cancelled: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    begun: VecDeque<Job>,
    fresh: VecDeque<Job>,
    /// Threads that wait for work. Waking nobody would be a system call all the same.
    resting: usize,
    is_stopped: bool,
}

/// A piece of work.
#[derive(Debug)]
pub(super) struct Job {
    pub home: Arc<Home>,
    pub token: u64,
    pub ticket: Arc<Ticket>,
    pub session: Session,
    /// Complete records.
    pub input: Vec<u8>,
    pub is_urgent: bool,
}

/// A session that may not exist yet.
#[derive(Debug)]
pub(super) enum Session {
    New(Arc<ServerConfig>),
    Begun(Box<Tls>),
}

/// What became of a piece of work.
#[derive(Debug)]
pub(in crate::broker) struct Worked {
    pub token: u64,
    pub outcome: Outcome,
}

/// The session after some work.
pub(in crate::broker) enum Outcome {
    /// It goes on; with the bytes of the protocol that came, and whether the peer said that nothing follows.
    Good { tls: Box<Tls>, plain: Vec<u8>, is_ended: bool },
    /// It failed; the session knows what the peer is to be told, if there is one.
    Failed { tls: Option<Box<Tls>>, error: rustls::Error },
    /// A fault of ours.
    Panicked,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Good { plain, is_ended, .. } => f
                .debug_struct("Good")
                .field("plain", &plain.len())
                .field("ended", is_ended)
                .finish(),
            Outcome::Failed { error, .. } => f.debug_tuple("Failed").field(error).finish(),
            Outcome::Panicked => f.write_str("Panicked"),
        }
    }
}

/// The claim of a connection on a piece of work. Dropping it with [`Ticket::cancel`] saves the work if it has not begun.
#[derive(Debug)]
pub(super) struct Ticket {
    state: AtomicU8,
    cancelled: Arc<AtomicUsize>,
}

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const CANCELLED: u8 = 2;

impl Ticket {
    fn pass(&self, next: u8) -> bool {
        let order = Ordering::AcqRel;
        self.state.compare_exchange(QUEUED, next, order, Ordering::Acquire).is_ok()
    }

    /// Nobody waits for the work any more.
    pub fn cancel(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
        if !self.pass(CANCELLED) {
            self.cancelled.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.state.load(Ordering::Acquire) == CANCELLED
    }
}

impl HandshakePool {
    /// `threads`: 0 means one per core. `waiting_max`: handshakes that may wait before [`HandshakePool::is_full`].
    pub fn new(threads: usize, waiting_max: usize) -> HandshakePool {
        let threads_max = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        HandshakePool {
            shared: Arc::default(),
            threads_max,
            waiting_max,
            threads: Mutex::default(),
            is_started: AtomicBool::new(false),
        }
    }

    pub(super) fn ticket(&self) -> Arc<Ticket> {
        let cancelled = self.shared.cancelled.clone();
        Arc::new(Ticket { state: AtomicU8::new(QUEUED), cancelled })
    }

    /// Handshakes that wait for their first work.
    pub fn waiting(&self) -> usize {
        let cancelled = self.shared.cancelled.load(Ordering::Relaxed);
        self.shared.waiting.load(Ordering::Relaxed).saturating_sub(cancelled)
    }

    /// Whether so many wait that no more connections should be accepted for a while.
    pub fn is_full(&self) -> bool {
        self.waiting() >= self.waiting_max
    }

    /// Queues a piece of work; its result comes as mail to the home of the connection.
    pub(super) fn submit(&self, job: Job) {
        if !self.is_started.load(Ordering::Acquire) && !self.start() {
            job.work();
            return;
        }
        let mut state = lock(&self.shared.state);
        match job.session {
            Session::New(_) if job.is_urgent => state.begun.push_front(job),
            Session::Begun(_) => state.begun.push_back(job),
            Session::New(_) => state.fresh.push_back(job),
        }
        self.shared.clean(&mut state);
        let is_waited_for = state.resting > 0;
        drop(state);
        if is_waited_for {
            self.shared.filled.notify_one();
        }
    }

    /// Starts the threads when there are none; false when the system gives none.
    fn start(&self) -> bool {
        let mut threads = lock(&self.threads);
        while threads.len() < self.threads_max {
            let shared = self.shared.clone();
            let name = format!("handshake-{}", threads.len());
            let started = std::thread::Builder::new().name(name).spawn(move || shared.serve());
            match started {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    log::error!("broker: cannot start a thread for TLS handshakes err={error}");
                    break;
                }
            }
        }
        self.is_started.store(!threads.is_empty(), Ordering::Release);
        !threads.is_empty()
    }

    /// Ends the threads. What is queued is not worked on any more.
    pub fn stop(&self) {
        lock(&self.shared.state).is_stopped = true;
        self.shared.filled.notify_all();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                log::error!("broker: a thread for TLS handshakes had failed");
            }
        }
    }
}

impl Queue {
    fn serve(&self) {
        while let Some(job) = self.next() {
            job.work();
        }
    }

    /// The next piece of work that somebody waits for; nothing when the broker stops.
    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        // Before keys for later are made. Nothing when there are enough: every piece of work may have used some.
        let mut pause = Some(IDLE_AFTER);
        loop {
            if state.is_stopped {
                return None;
            }
            match state.begun.pop_front().or_else(|| state.fresh.pop_front()) {
                Some(job) if job.ticket.pass(TAKEN) => {
                    self.count(&state);
                    return Some(job);
                }
                Some(_) => {
                    self.cancelled.fetch_sub(1, Ordering::Relaxed);
                }
                None => {
                    self.count(&state);
                    state = self.rest(state, &mut pause);
                }
            }
        }
    }

    /// Waits for work. As long as keys are lacking, some are made for later whenever there is nothing else to do for a
    /// while.
    fn rest<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        pause: &mut Option<Duration>,
    ) -> MutexGuard<'s, State> {
        state.resting += 1;
        let is_over = match *pause {
            None => {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                false
            }
            Some(length) => {
                let waited = self.filled.wait_timeout(state, length);
                let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = again;
                timeout.timed_out()
            }
        };
        state.resting -= 1;
        if !is_over {
            return state;
        }
        drop(state);
        let goes_on = (0..KEYS_AT_ONCE).all(|_| make_key_ahead());
        *pause = goes_on.then_some(Duration::ZERO);
        lock(&self.state)
    }

    fn count(&self, state: &State) {
        self.waiting.store(state.fresh.len(), Ordering::Relaxed);
    }

    /// Drops work that nobody waits for once it is half of the queue, so that peers that come and go do not fill it.
    fn clean(&self, state: &mut State) {
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        if cancelled >= CANCELLED_MIN && cancelled > state.fresh.len() / 2 {
            let before = state.fresh.len() + state.begun.len();
            state.fresh.retain(|job| !job.ticket.is_cancelled());
            state.begun.retain(|job| !job.ticket.is_cancelled());
            let dropped = before - state.fresh.len() - state.begun.len();
            self.cancelled.fetch_sub(dropped, Ordering::Relaxed);
        }
        self.count(state);
    }
}

impl Job {
    /// Does the work and sends the result home. A panic costs the connection.
    fn work(self) {
        let Job { home, token, session, input, .. } = self;
        let outcome = catch_unwind(AssertUnwindSafe(|| go_on(session, &input)));
        let outcome = outcome.unwrap_or(Outcome::Panicked);
        home.post(Mail::Handshake(Box::new(Worked { token, outcome })));
    }
}

fn go_on(session: Session, input: &[u8]) -> Outcome {
    let mut tls = match session {
        Session::Begun(tls) => tls,
        Session::New(config) => match Tls::new(config) {
            Ok(tls) => Box::new(tls),
            Err(error) => return Outcome::Failed { tls: None, error },
        },
    };
    let mut plain = Vec::new();
    match tls.receive_more(input, &mut plain) {
        Ok(is_ended) => Outcome::Good { tls, plain, is_ended },
        Err(error) => Outcome::Failed { tls: Some(tls), error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::link::tests::BOUNDS;
    use crate::broker::tests::tls::Pki;

    #[test]
    fn work_is_done_in_order_for_those_that_wait() {
        let pool = HandshakePool::new(1, 200);
        // No threads: the test takes the work itself.
        pool.is_started.store(true, Ordering::Release);
        let home = Arc::new(
            Home::new(BOUNDS, Arc::default(), Arc::default(), Arc::default()).expect("home"),
        );
        let config = Pki::new().server();
        let submit = |token, has_begun, is_urgent| {
            let session = match has_begun {
                true => Session::Begun(Box::new(Tls::new(config.clone()).expect("session"))),
                false => Session::New(config.clone()),
            };
            let ticket = pool.ticket();
            let (home, input) = (home.clone(), Vec::new());
            pool.submit(Job { home, token, ticket: ticket.clone(), session, input, is_urgent });
            ticket
        };
        let next = || pool.shared.next().map(|job| job.token);
        submit(1, false, false);
        submit(2, false, false).cancel();
        submit(3, true, false);
        submit(4, false, false);
        submit(5, false, true);
        assert_eq!(pool.waiting(), 2);
        assert_eq!([next(), next(), next(), next()], [5, 3, 1, 4].map(Some));
        submit(9, false, false);
        for token in 10..310 {
            submit(token, false, false).cancel();
        }
        // What nobody waits for does not fill the queue.
        assert!(lock(&pool.shared.state).fresh.len() < 2 * CANCELLED_MIN);
        assert_eq!((pool.waiting(), pool.is_full()), (1, false));
        assert_eq!(next(), Some(9));
        pool.stop();
        assert_eq!(next(), None);
    }
}
