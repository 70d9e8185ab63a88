//! How much memory an evaluation takes, looked at between its steps.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::sys::memory_bytes;

/// Memory that the process may grow by during an evaluation. In unit tests it grows for many other reasons.
pub(super) const MEMORY_BYTES_MAX: u64 = if cfg!(test) { 512 } else { 128 } * 1024 * 1024;
/// Time between two looks: the system takes a moment to answer.
const LOOK_EVERY: Duration = Duration::from_millis(2);

thread_local! {
    static WATCH: Cell<Option<Watch>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Watch {
    /// What the process had in memory before.
    before: u64,
    looked: Instant,
    is_over: bool,
}

/// From now on the evaluation of this thread is watched.
pub(super) fn begin() {
    let (before, _) = memory_bytes();
    WATCH.set(Some(Watch { before, looked: Instant::now(), is_over: false }));
}

/// Whether the evaluation of this thread took too much. Others of the process may have taken it, which is no reason to
/// take a risk.
pub(super) fn is_over() -> bool {
    let Some(mut watch) = WATCH.get() else { return false };
    if !watch.is_over && watch.looked.elapsed() >= LOOK_EVERY {
        watch.is_over = memory_bytes().0.saturating_sub(watch.before) > MEMORY_BYTES_MAX;
        watch.looked = Instant::now();
        WATCH.set(Some(watch));
    }
    watch.is_over
}
