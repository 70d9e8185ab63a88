//! Many connections that are mostly idle, as the servers of a fleet are, shared by a few threads.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Target;
use crate::failure::Failure;
use crate::frame::Frame;
use crate::opening::Policy;
use crate::shard::Shard;

/// Threads that serve a fleet.
const THREADS: usize = 2;

/// Many connections and the threads' shares of them.
#[derive(Debug)]
pub struct Fleet {
    shards: Vec<Shard>,
    target: Target,
}

/// How an opening went.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// From its begin to the last admission.
    pub took: Duration,
    /// Attempts that failed.
    pub failed: u64,
}

impl Fleet {
    /// Opens connections and their subscriptions and waits until the broker has acted on all of them. `first` is the
    /// number of the first, which its address and its own subject come from.
    pub fn connect(first: usize, count: usize, target: &Target) -> Result<Fleet, Failure> {
        let share = count.div_ceil(THREADS);
        let shards = (0..count)
            .step_by(share.max(1))
            .map(|start| Shard::new(first + start, share.min(count - start)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut fleet = Fleet { shards, target: target.clone() };
        fleet.open(if target.tls.is_some() { Policy::GENTLE_TLS } else { Policy::GENTLE })?;
        Ok(fleet)
    }

    /// Opens all connections, of which none is open.
    pub fn open(&mut self, policy: Policy) -> Result<Opened, Failure> {
        let target = &self.target;
        let start = Instant::now();
        let failed = each(&mut self.shards, |shard| shard.connect(target, policy))?;
        Ok(Opened { took: start.elapsed(), failed: failed.iter().sum() })
    }

    /// Resets all connections.
    pub fn disconnect(&mut self) {
        self.shards.iter_mut().for_each(Shard::disconnect);
    }

    /// Serves the connections for a while in which no message may arrive.
    pub fn idle(&mut self, length: Duration) -> Result<(), Failure> {
        each(&mut self.shards, |shard| shard.idle(length)).map(drop)
    }

    /// Receives one message on every connection, which answers with `reply` if there is one, while `act` causes it. The
    /// time of the last delivery, and what `act` gave.
    pub fn receive<T>(
        &mut self,
        frame: &Frame,
        reply: Option<&[u8]>,
        act: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(Instant, T), Failure> {
        let ready = Barrier::new(self.shards.len() + 1);
        thread::scope(|scope| {
            let readers = self
                .shards
                .iter_mut()
                .map(|shard| {
                    scope.spawn(|| {
                        ready.wait();
                        shard.receive(frame, reply)
                    })
                })
                .collect::<Vec<_>>();
            ready.wait();
            let outcome = act();
            let times = readers.into_iter().map(joined).collect::<Result<Vec<_>, _>>()?;
            let last = times.into_iter().max().unwrap_or_else(Instant::now);
            Ok((last, outcome?))
        })
    }
}

/// Does the same on every share, all at once.
fn each<T: Send>(
    shards: &mut [Shard],
    act: impl Fn(&mut Shard) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    thread::scope(|scope| {
        let threads = shards.iter_mut().map(|shard| scope.spawn(|| act(shard))).collect::<Vec<_>>();
        threads.into_iter().map(joined).collect()
    })
}

/// What a thread gave.
pub fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::Usage("a thread of the generator failed".into())))
}
