//! When data of one provider is due.

use std::time::{Duration, Instant};

use super::Settings;

/// What one provider has sent, and when it sends again.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    trigger_bytes: Option<usize>,
    last: Option<Sent>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
    bytes: usize,
}

impl Pace {
    pub(super) fn new(settings: &Settings) -> Pace {
        let trigger_bytes = settings.size_trigger.map(|trigger| trigger.bytes);
        Pace { interval: settings.interval, trigger_bytes, last: None }
    }

    /// Whether a message of this size is sent at this time.
    pub(super) fn is_due(&self, at: Instant, bytes: usize) -> bool {
        let Some(last) = self.last else { return true };
        let changed = last.bytes.abs_diff(bytes);
        at.saturating_duration_since(last.at) >= self.interval
            || self.trigger_bytes.is_some_and(|trigger| changed >= trigger)
    }

    /// Notes that one was sent.
    pub(super) fn sent(&mut self, at: Instant, bytes: usize) {
        self.last = Some(Sent { at, bytes });
    }
}

/// Time between two looks at the data.
pub(super) fn step(settings: &Settings) -> Duration {
    match settings.size_trigger {
        Some(trigger) => trigger.interval.min(settings.interval),
        None => settings.interval,
    }
}

/// The next time after `now` in whole steps from `last`: work that takes long moves none of the later ones, and what
/// was slept through is left out.
pub(super) fn next(last: Instant, step: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(last);
    let steps = late.as_nanos().checked_div(step.as_nanos()).unwrap_or(0) + 1;
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    // Steps are bounded by the settings, so this is within the range of any clock.
    last.checked_add(step.saturating_mul(steps)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::super::SizeTrigger;
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn settings(trigger: Option<(usize, u64)>) -> Settings {
        let size_trigger =
            trigger.map(|(bytes, every)| SizeTrigger { bytes, interval: secs(every) });
        Settings {
            providers: Vec::new(),
            collective: "mcollective".to_owned(),
            interval: secs(300),
            has_splay: false,
            size_trigger,
            ttl_secs: 60,
        }
    }

    #[test]
    fn data_is_due_by_time_or_by_size() {
        let start = Instant::now();
        let cases = [
            (None, 299, 9_000, false),
            (None, 300, 100, true),
            (Some((50, 30)), 30, 100, false),
            (Some((50, 30)), 30, 149, false),
            (Some((50, 30)), 30, 150, true),
            (Some((50, 30)), 30, 50, true),
            (Some((50, 30)), 30, 51, false),
            (Some((50, 30)), 300, 100, true),
        ];
        for (trigger, after, bytes, expected) in cases {
            let mut pace = Pace::new(&settings(trigger));
            assert!(pace.is_due(start, 100), "the first is always due");
            pace.sent(start, 100);
            let due = pace.is_due(start + secs(after), bytes);
            assert_eq!(due, expected, "{trigger:?} {after} {bytes}");
        }
    }

    #[test]
    fn the_shorter_interval_is_the_step() {
        for (trigger, expected) in [(None, 300), (Some((1, 30)), 30), (Some((1, 900)), 300)] {
            assert_eq!(step(&settings(trigger)), secs(expected));
        }
    }

    #[test]
    fn steps_stay_on_their_grid() {
        let start = Instant::now();
        for (now, expected) in [(0, 30), (1, 30), (29, 30), (30, 60), (31, 60), (3_601, 3_630)] {
            assert_eq!(next(start, secs(30), start + secs(now)), start + secs(expected), "{now}");
        }
    }
}
