//! A value that tasks and threads wait on to learn that they have to stop.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Cloned into every task of a role. Once triggered it stays triggered.
#[derive(Clone, Debug)]
pub struct Shutdown {
    // Dropping the only sender is the signal: every receiver sees it, now and later.
    sender: Arc<Mutex<Option<flume::Sender<Infallible>>>>,
    receiver: flume::Receiver<Infallible>,
}

impl Shutdown {
    /// A shutdown nobody has asked for yet.
    pub fn new() -> Self {
        let (sender, receiver) = flume::bounded(1);
        Self { sender: Arc::new(Mutex::new(Some(sender))), receiver }
    }

    /// Asks everybody who holds a clone to stop. Asking again changes nothing.
    pub fn trigger(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether stopping has been asked for.
    pub fn is_triggered(&self) -> bool {
        self.receiver.is_disconnected()
    }

    /// Resolves when stopping is asked for; at once when it already was.
    pub async fn wait(&self) {
        // The channel carries no values, so the only answer is that the sender has gone.
        let _ = self.receiver.recv_async().await;
    }

    /// Blocks a thread until stopping is asked for or `limit` has passed; true when asked for.
    pub fn wait_blocking(&self, limit: Duration) -> bool {
        let _ = self.receiver.recv_timeout(limit);
        self.is_triggered()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clone_learns_of_the_shutdown() {
        let shutdown = Shutdown::new();
        let others: Vec<_> = (0..4).map(|_| shutdown.clone()).collect();
        assert!(!others[0].wait_blocking(Duration::ZERO));
        let waiting: Vec<_> = others
            .into_iter()
            .map(|other| std::thread::spawn(move || smol::block_on(other.wait())))
            .collect();
        shutdown.clone().trigger();
        shutdown.trigger();
        for thread in waiting {
            thread.join().unwrap();
        }
        assert!(shutdown.is_triggered());
        smol::block_on(shutdown.wait());
    }
}
