//! One coarse timer wheel for each event loop. A connection has one entry; when it fires, the connection says when it
//! wants the next one.

/// Milliseconds of one tick.
const TICK_MS: u64 = 20;
/// Ticks of one turn of the wheel.
const SLOTS: u64 = 2048;

/// Entries by the tick at which they are due.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<(u64, u64)>>,
    /// The next tick to be looked at.
    tick: u64,
    entries: usize,
    /// No entry is due before this tick.
    earliest: u64,
}

impl Wheel {
    pub fn new() -> Wheel {
        Wheel { slots: vec![Vec::new(); SLOTS as usize], tick: 0, entries: 0, earliest: u64::MAX }
    }

    /// Adds an entry that fires at or soon after `due_ms`; returns when exactly.
    pub fn add(&mut self, token: u64, due_ms: u64) -> u64 {
        let tick = self.time_for(due_ms) / TICK_MS;
        if let Some(slot) = self.slots.get_mut((tick % SLOTS) as usize) {
            slot.push((token, tick));
        }
        self.entries += 1;
        self.earliest = self.earliest.min(tick);
        tick * TICK_MS
    }

    /// When an entry that is due at `due_ms` would fire.
    pub fn time_for(&self, due_ms: u64) -> u64 {
        due_ms.div_ceil(TICK_MS).max(self.tick) * TICK_MS
    }

    /// Takes what is due: tokens and the times that `add` returned.
    pub fn advance(&mut self, now_ms: u64, due: &mut Vec<(u64, u64)>) {
        let last = now_ms / TICK_MS;
        if self.entries == 0 || last < self.earliest {
            self.tick = self.tick.max(last);
            return;
        }
        // After a long sleep every slot is looked at once.
        let from = self.earliest.max(last.saturating_sub(SLOTS - 1)).min(last);
        for tick in from..=last {
            let Some(slot) = self.slots.get_mut((tick % SLOTS) as usize) else { continue };
            slot.retain(|(token, at)| {
                let is_due = *at <= last;
                if is_due {
                    due.push((*token, *at * TICK_MS));
                    self.entries -= 1;
                }
                !is_due
            });
        }
        self.tick = last + 1;
        self.earliest = self.next_filled();
    }

    /// The first tick from now on whose slot has an entry, which may belong to a later turn.
    fn next_filled(&self) -> u64 {
        if self.entries == 0 {
            return u64::MAX;
        }
        let filled = |tick: &u64| {
            self.slots.get((*tick % SLOTS) as usize).is_some_and(|slot| !slot.is_empty())
        };
        (self.tick..self.tick + SLOTS).find(filled).unwrap_or(u64::MAX)
    }

    /// Milliseconds until something may be due.
    pub fn wait_ms(&self, now_ms: u64) -> Option<u64> {
        (self.entries > 0).then(|| self.earliest.saturating_mul(TICK_MS).saturating_sub(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fire_once_and_not_early() {
        let mut wheel = Wheel::new();
        let mut random = fastrand::Rng::with_seed(1);
        let mut expected: Vec<(u64, u64)> =
            (0..2000).map(|token| (token, wheel.add(token, random.u64(..200_000)))).collect();
        let mut now = 0;
        let mut fired = Vec::new();
        while let Some(wait) = wheel.wait_ms(now) {
            now += wait.max(1) + random.u64(..50);
            let mut due = Vec::new();
            wheel.advance(now, &mut due);
            for (_, at) in &due {
                assert!(*at <= now && now - *at <= 100, "due at {at}, fired at {now}");
            }
            fired.extend(due);
        }
        fired.sort_unstable();
        expected.sort_unstable();
        assert_eq!(fired, expected);
    }

    #[test]
    fn a_long_sleep_misses_nothing() {
        let mut wheel = Wheel::new();
        let times = [1, 30_000, 50_000, 500_000].map(|due| (due, wheel.add(due, due)));
        let mut due = Vec::new();
        wheel.advance(400_000, &mut due);
        due.sort_unstable();
        assert_eq!(due, &times[..3]);
        assert!(wheel.wait_ms(400_000).is_some_and(|wait| wait <= 100_000));
    }
}
