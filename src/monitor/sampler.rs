//! How much of a processor the process takes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys;

/// Shortest time that a share is worked out over.
const WINDOW: Duration = Duration::from_secs(1);

/// Remembers how things were, to see what changed.
#[derive(Debug)]
pub(super) struct Sampler {
    last: Mutex<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    cpu: Duration,
    percent: f64,
}

impl Sampler {
    pub fn new() -> Sampler {
        Sampler {
            last: Mutex::new(Sample { at: Instant::now(), cpu: sys::cpu_time(), percent: 0.0 }),
        }
    }

    /// Percent of one processor since somebody asked last, over a second at least.
    pub fn cpu_percent(&self) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = last.at.elapsed();
        if passed >= WINDOW {
            let cpu = sys::cpu_time();
            let used = cpu.saturating_sub(last.cpu).as_secs_f64();
            let percent = (used / passed.as_secs_f64() * 1000.0).round() / 10.0;
            *last = Sample { at: Instant::now(), cpu, percent };
        }
        last.percent
    }
}
