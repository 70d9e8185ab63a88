//! A few threads for work that would hold up an executor: checking signatures, reading files.
//!
//! One pool serves any number of servers in a process. The queue is bounded: who submits waits.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait for a thread before whoever submits one has to wait as well.
const QUEUE_MAX: usize = 64;

/// Threads of [`Workers::start_default`] at most; signature checks are short.
const THREADS_MAX: usize = 4;

/// A pool of threads. Clones share it; its threads end when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Workers {
    queue: flume::Sender<Job>,
}

/// The work panicked, or the pool has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the work panicked")
    }
}

impl std::error::Error for Lost {}

impl Workers {
    /// Starts one thread a core, at most four.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start_default() -> io::Result<Workers> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Workers::start(cores.min(THREADS_MAX))
    }

    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(threads: usize) -> io::Result<Workers> {
        let (queue, jobs) = flume::bounded::<Job>(QUEUE_MAX);
        for index in 0..threads.max(1) {
            let jobs = jobs.clone();
            thread::Builder::new()
                .name(format!("choria-work-{index}"))
                .spawn(move || jobs.into_iter().for_each(|job| job()))?;
        }
        Ok(Workers { queue })
    }

    /// Runs `work` on one of the threads and waits for what it returns.
    ///
    /// # Errors
    /// [`Lost`] when the work panics; the pool stays usable.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (done, result) = flume::bounded(1);
        let job: Job = Box::new(move || {
            if let Ok(value) = catch_unwind(AssertUnwindSafe(work)) {
                // Nobody waits any more when this fails.
                let _ = done.send(value);
            }
        });
        self.queue.send_async(job).await.map_err(|_| Lost)?;
        result.recv_async().await.map_err(|_| Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_only_its_own_job() {
        let workers = Workers::start(1).unwrap();
        smol::block_on(async {
            assert_eq!(workers.run(|| 1).await, Ok(1));
            let lost = workers.run(|| if thread::panicking() { 1 } else { panic!("on purpose") });
            assert_eq!(lost.await, Err(Lost));
            assert_eq!(workers.run(|| 2).await, Ok(2));
        });
    }
}
