//! How much waits for all receivers together. Each has a bound of its own, but many slow ones could fill the memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes in the queues of all links.
#[derive(Debug)]
pub(super) struct Waiting {
    bytes: AtomicUsize,
    bytes_max: usize,
    /// There were too many, and nobody has done anything about it yet.
    is_over: AtomicBool,
    /// The longest queue that grew since that was last looked at.
    longest: AtomicUsize,
}

impl Default for Waiting {
    fn default() -> Self {
        Waiting::new(usize::MAX)
    }
}

impl Waiting {
    /// Nothing waits yet, and at most `bytes_max` should.
    pub fn new(bytes_max: usize) -> Waiting {
        Waiting {
            bytes: AtomicUsize::new(0),
            bytes_max,
            is_over: AtomicBool::new(false),
            longest: AtomicUsize::new(0),
        }
    }

    /// Counts bytes more, in a queue that now has `queued` of them.
    pub fn add(&self, bytes: usize, queued: usize) {
        let now = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if now > self.bytes_max / 2 {
            self.longest.fetch_max(queued, Ordering::Relaxed);
            if now > self.bytes_max {
                self.is_over.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Counts bytes less.
    pub fn subtract(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there were too many since this was last asked.
    pub fn take_over(&self) -> bool {
        // Nearly always it is not set, and then nobody writes to it.
        self.is_over.load(Ordering::Relaxed) && self.is_over.swap(false, Ordering::Relaxed)
    }

    /// The length of queues that are to be given up now, if any must be.
    pub fn too_long(&self) -> Option<usize> {
        let is_enough = self.bytes() <= self.bytes_max - self.bytes_max / 8;
        (!is_enough).then(|| self.longest.load(Ordering::Relaxed) / 2)
    }

    /// The longest queues are gone.
    pub fn forget_longest(&self) {
        self.longest.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_queues_are_given_up_until_there_is_room() {
        let waiting = Waiting::new(1000);
        waiting.add(400, 400);
        assert_eq!((waiting.take_over(), waiting.too_long()), (false, None));
        waiting.add(500, 500);
        waiting.add(101, 101);
        assert_eq!((waiting.take_over(), waiting.too_long()), (true, Some(250)));
        assert!(!waiting.take_over());
        waiting.subtract(500);
        assert_eq!((waiting.bytes(), waiting.too_long()), (501, None));
    }
}
