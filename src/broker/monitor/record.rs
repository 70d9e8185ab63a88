//! What a connection counts about itself. Only its own event loop does that, once for each read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The client library at the other end, as it calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Library {
    /// Its language.
    pub language: Box<str>,
    /// Its version.
    pub version: Box<str>,
}

/// Characters that are kept of each.
const WORD_CHARS_MAX: usize = 64;
/// Different libraries that are shared between connections; a fleet has a handful.
const SHARED_MAX: usize = 256;

/// The libraries that the connections of one event loop have: most have the same one.
#[derive(Debug, Default)]
pub(in crate::broker) struct Libraries {
    known: HashMap<Library, Arc<Library>>,
}

impl Libraries {
    /// The shared form of a library.
    pub fn share(&mut self, language: &str, version: &str) -> Arc<Library> {
        let cut = |word: &str| word.chars().take(WORD_CHARS_MAX).collect::<String>();
        let library = Library { language: cut(language).into(), version: cut(version).into() };
        if let Some(known) = self.known.get(&library) {
            return known.clone();
        }
        let shared = Arc::new(library.clone());
        if self.known.len() < SHARED_MAX {
            self.known.insert(library, shared.clone());
        }
        shared
    }
}

/// Times and amounts of one connection, in milliseconds of the broker's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::broker) struct Record {
    pub opened_ms: u64,
    /// When something came last.
    pub active_ms: u64,
    pub in_messages: u64,
    pub in_bytes: u64,
    /// When the PING that is not answered yet was sent, in microseconds; 0 without one.
    pinged_us: u64,
    rtt_us: u32,
}

impl Record {
    pub fn new(now_ms: u64) -> Record {
        Record { opened_ms: now_ms, active_ms: now_ms, ..Record::default() }
    }

    /// A PING goes out. One that follows another without an answer measures nothing new.
    pub fn pinged(&mut self, now: Duration) {
        if self.pinged_us == 0 {
            self.pinged_us = now.as_micros() as u64;
        }
    }

    /// Its answer came.
    pub fn ponged(&mut self, now: Duration) {
        if self.pinged_us > 0 {
            let took = (now.as_micros() as u64).saturating_sub(self.pinged_us);
            self.rtt_us = u32::try_from(took).unwrap_or(u32::MAX).max(1);
            self.pinged_us = 0;
        }
    }

    /// How long the last answer took, once there was one.
    pub fn rtt(&self) -> Option<Duration> {
        (self.rtt_us > 0).then(|| Duration::from_micros(self.rtt_us.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_shared_within_bounds() {
        let mut libraries = Libraries::default();
        let first = libraries.share("go", "1.2");
        assert!(Arc::ptr_eq(&first, &libraries.share("go", "1.2")));
        assert_ne!(first, libraries.share("go", "1.3"));
        for version in 0..2 * SHARED_MAX {
            libraries.share("x", &version.to_string());
        }
        assert_eq!(libraries.known.len(), SHARED_MAX);
        assert_eq!(libraries.share("ü", &"v".repeat(1000)).version.len(), WORD_CHARS_MAX);
    }

    #[test]
    fn a_round_trip_is_measured_from_the_first_ping() {
        let mut record = Record::new(5);
        let at = Duration::from_micros;
        record.ponged(at(100));
        assert_eq!(record.rtt(), None);
        record.pinged(at(1_000));
        record.pinged(at(2_000));
        record.ponged(at(3_500));
        record.ponged(at(9_000));
        assert_eq!(record.rtt(), Some(at(2_500)));
    }
}
