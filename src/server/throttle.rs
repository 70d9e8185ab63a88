//! Keeping what a flood of messages logs within bounds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one cause that are logged in one [`WINDOW`].
const LINES_MAX: u32 = 10;

const WINDOW: Duration = Duration::from_secs(10);

/// Decides which lines of one cause are worth logging.
#[derive(Debug, Default)]
pub struct Throttle {
    window: Mutex<Option<Window>>,
}

#[derive(Debug)]
struct Window {
    started: Instant,
    lines: u32,
    suppressed: u64,
}

impl Throttle {
    /// Says whether to log now, and how many lines were left out since the last one.
    pub fn permit(&self, now: Instant) -> Option<u64> {
        let mut guard = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Window { started: now, lines: 0, suppressed: 0 };
        let window = guard.get_or_insert(fresh);
        if now.duration_since(window.started) >= WINDOW {
            let suppressed = window.suppressed;
            *window = Window { started: now, lines: 1, suppressed: 0 };
            return Some(suppressed);
        }
        if window.lines < LINES_MAX {
            window.lines += 1;
            return Some(0);
        }
        window.suppressed += 1;
        None
    }

    /// Logs `text` as a warning unless too much was logged lately.
    pub fn warn(&self, text: std::fmt::Arguments<'_>) {
        match self.permit(Instant::now()) {
            Some(0) => log::warn!("{text}"),
            Some(suppressed) => log::warn!("{text} suppressed={suppressed}"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_logged_then_counted() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..LINES_MAX {
            assert_eq!(throttle.permit(start), Some(0));
        }
        assert_eq!(throttle.permit(start), None);
        assert_eq!(throttle.permit(start + WINDOW / 2), None);
        assert_eq!(throttle.permit(start + WINDOW), Some(2));
        assert_eq!(throttle.permit(start + WINDOW), Some(0));
    }
}
