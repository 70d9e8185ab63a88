//! Keeping what a flood of peers or messages logs within bounds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one cause that are usually logged in one window.
const LINES_MAX: u32 = 10;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(10);

/// Decides which lines of one cause are worth logging.
#[derive(Debug)]
pub struct Throttle {
    lines_max: u32,
    window: Mutex<Option<Window>>,
}

#[derive(Debug)]
struct Window {
    started: Instant,
    lines: u32,
    suppressed: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Throttle::new(LINES_MAX)
    }
}

impl Throttle {
    /// One that lets through `lines_max` lines in ten seconds.
    pub const fn new(lines_max: u32) -> Throttle {
        Throttle { lines_max, window: Mutex::new(None) }
    }

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
        if window.lines < self.lines_max {
            window.lines += 1;
            return Some(0);
        }
        window.suppressed += 1;
        None
    }

    /// Logs `text` as a warning unless too much was logged lately.
    pub fn warn(&self, text: std::fmt::Arguments<'_>) {
        self.log(log::Level::Warn, text);
    }

    /// Logs `text` unless too much was logged lately; then only those see it who want every detail.
    pub fn log(&self, level: log::Level, text: std::fmt::Arguments<'_>) {
        match self.permit(Instant::now()) {
            Some(0) => log::log!(level, "{text}"),
            Some(suppressed) => log::log!(level, "{text} suppressed={suppressed}"),
            None => log::debug!("{text}"),
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
        let two = Throttle::new(2);
        assert_eq!([(); 3].map(|()| two.permit(start)), [Some(0), Some(0), None]);
    }
}
