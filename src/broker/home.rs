//! What other event loops may touch of one: its epoll set, its mail, its counters.

use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cast::Cast;
use super::cluster::Dialled;
use super::listeners::{Incoming, Kind};
use super::monitor::Question;
use super::pool::Pool;
use super::settings::Settings;
use super::tls::Worked;
use super::waiting::Waiting;
use crate::sys::{Epoll, Interest, Wake};

/// Token of the wake-up in the epoll set.
pub(super) const WAKE: u64 = u64::MAX;
/// Tokens of the listeners in the epoll set of the first event loop.
pub(super) const LISTENERS: Range<u64> = u64::MAX - 16..u64::MAX;

/// The shared face of one event loop.
#[derive(Debug)]
pub(super) struct Home {
    pub epoll: Epoll,
    wake: Wake,
    mail: Mutex<Vec<Mail>>,
    /// The wake-up was given and not yet answered.
    is_called: AtomicBool,
    /// Connections that wait for their socket to take more.
    blocked: Mutex<Vec<u64>>,
    pub bounds: Bounds,
    pub indexes: Arc<Indexes>,
    /// Large buffers for all event loops.
    pub pool: Arc<Pool>,
    /// What waits for the receivers of all event loops.
    pub waiting: Arc<Waiting>,
    pub counters: Counters,
}

/// The limits of outgoing data, from the settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub pending_bytes_max: usize,
    pub pause_bytes: usize,
}

/// What one event loop tells another.
#[derive(Debug)]
pub(super) enum Mail {
    /// Connections that are now yours.
    Accepted(Vec<Incoming>),
    /// A TLS handshake of yours was worked on.
    Handshake(Box<Worked>),
    /// A connection to another broker that is now yours.
    Dialled(Box<Dialled>),
    /// One more socket to accept connections from.
    Listen(TcpListener, Kind),
    /// What INFO says has changed, and clients should know.
    Info,
    /// Connections of yours whose queues got something to send.
    Flush(Vec<u64>),
    /// Help to send a message to many.
    Cast(Arc<Cast>),
    /// Too much waits for all receivers together.
    Relieve,
    /// Decide again about the connections that are in.
    Readmit,
    /// Say something about your connections.
    Question(Question),
    /// Fail.
    #[cfg(test)]
    Break,
    /// Go on with other settings.
    Reload(Arc<Settings>),
    /// Announce the end and close slowly.
    LameDuck,
    /// Handle what has come, then close everything, all within this many milliseconds.
    Stop { within_ms: u64 },
    /// All loops have handled what had come: close everything.
    Close,
}

impl Home {
    pub fn new(
        bounds: Bounds,
        indexes: Arc<Indexes>,
        pool: Arc<Pool>,
        waiting: Arc<Waiting>,
    ) -> io::Result<Home> {
        let (epoll, wake) = (Epoll::new()?, Wake::new()?);
        epoll.add(&wake, WAKE, Interest::READ)?;
        Ok(Home {
            epoll,
            wake,
            mail: Mutex::default(),
            is_called: AtomicBool::new(false),
            blocked: Mutex::default(),
            bounds,
            indexes,
            pool,
            waiting,
            counters: Counters::default(),
        })
    }

    /// Leaves mail; the loop is woken once for all that it finds.
    pub fn post(&self, mail: Mail) {
        lock(&self.mail).push(mail);
        if !self.is_called.swap(true, Ordering::AcqRel) {
            self.wake.wake();
        }
    }

    /// Takes the mail; for the owner.
    pub fn collect(&self) -> Vec<Mail> {
        self.wake.clear();
        self.is_called.store(false, Ordering::Release);
        std::mem::take(&mut lock(&self.mail))
    }

    /// Remembers a connection whose socket is full, for the write deadline.
    pub fn add_blocked(&self, token: u64) {
        lock(&self.blocked).push(token);
    }

    /// Takes the list of full connections; for the owner.
    pub fn take_blocked(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.blocked))
    }
}

/// A lock whose holder cannot leave broken data behind.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small numbers for connections, unique while they live; tables of every event loop are indexed by them.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    state: Mutex<(Vec<u32>, u32)>,
}

impl Indexes {
    pub fn take(&self) -> u32 {
        let mut state = lock(&self.state);
        let (free, next) = &mut *state;
        free.pop().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        })
    }

    pub fn give_back(&self, index: u32) {
        lock(&self.state).0.push(index);
    }
}

/// Counters of one event loop. Only its thread writes them, so that nobody shares a cache line while counting.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub in_messages: AtomicU64,
    pub in_bytes: AtomicU64,
    pub out_messages: AtomicU64,
    pub out_bytes: AtomicU64,
    pub accepted: AtomicU64,
    pub connections: AtomicU64,
    pub slow_consumers: AtomicU64,
    pub stale: AtomicU64,
    pub refused: AtomicU64,
    pub panics: AtomicU64,
}

/// Adds to a counter that only this thread writes.
#[inline]
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
