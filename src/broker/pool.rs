//! Large buffers that were sent, for whoever fills one next.
//!
//! While a receiver's socket is full one event loop fills buffers and another one empties them. Without the pool each
//! would be new memory, which the system has to clear page by page.

use std::ops::RangeInclusive;
use std::sync::Mutex;

use super::home::lock;

/// Buffers that are kept at most.
const BUFFERS_MAX: usize = 32;
/// Sizes worth keeping, in bytes.
const KEPT_BYTES: RangeInclusive<usize> = 32 * 1024..=256 * 1024;

/// Buffers shared by all event loops of a broker.
#[derive(Debug, Default)]
pub(super) struct Pool {
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// An empty buffer with much room, if there is one.
    pub fn take(&self) -> Option<Vec<u8>> {
        lock(&self.buffers).pop()
    }

    /// Keeps a buffer if it is of use. Not to be called while a link is locked.
    pub fn give(&self, mut buffer: Vec<u8>) {
        if !KEPT_BYTES.contains(&buffer.capacity()) {
            return;
        }
        buffer.clear();
        let mut buffers = lock(&self.buffers);
        if buffers.len() < BUFFERS_MAX {
            buffers.push(buffer);
        }
    }

    /// Frees all of them.
    pub fn clear(&self) {
        let buffers = std::mem::take(&mut *lock(&self.buffers));
        drop(buffers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_buffers_are_kept_and_not_too_many() {
        let pool = Pool::default();
        for capacity in [0, 1024, 32 * 1024 - 1, 256 * 1024 + 1] {
            pool.give(Vec::with_capacity(capacity));
            assert_eq!(pool.take(), None, "{capacity}");
        }
        for _ in 0..BUFFERS_MAX + 5 {
            pool.give(vec![1; 64 * 1024]);
        }
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(taken.len(), BUFFERS_MAX);
        assert!(taken.iter().all(|buffer| buffer.is_empty() && buffer.capacity() >= 64 * 1024));
        pool.give(vec![1; 64 * 1024]);
        pool.clear();
        assert_eq!(pool.take(), None);
    }
}
