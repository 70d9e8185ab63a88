//! Which connections of a shard are to be opened next, and which attempts have failed.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How connections are opened.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Attempts under way at a time.
    pub together_max: usize,
    /// How long an attempt may take.
    pub patience: Duration,
    /// Whether a failed attempt is repeated; otherwise the run ends.
    pub is_persistent: bool,
}

impl Policy {
    /// As fast as a broker takes them without TLS; nothing may fail.
    pub const GENTLE: Policy =
        Policy { together_max: 125, patience: Duration::from_secs(20), is_persistent: false };
    /// Few handshakes at a time, so that every broker ends them before its own limit.
    pub const GENTLE_TLS: Policy = Policy { together_max: 8, ..Policy::GENTLE };
    /// Everybody at once, and again after a pause when it fails.
    pub const STORM: Policy =
        Policy { together_max: usize::MAX, patience: Duration::from_secs(30), is_persistent: true };
}

/// Pauses before further attempts: those of a Choria server; each is between a half and the whole of this.
const PAUSES_MS: [u64; 11] = [500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000];

/// What an opening still has to do.
#[derive(Debug)]
pub struct Agenda {
    policy: Policy,
    /// Attempts made so far.
    attempts: Vec<u32>,
    fresh: VecDeque<usize>,
    /// Failed attempts, by the time of the next.
    pausing: BTreeSet<(Instant, usize)>,
    /// Attempts by the time they fail; some have ended since.
    deadlines: VecDeque<(Instant, usize, u32)>,
    under_way: usize,
    /// Attempts that failed.
    pub failed: u64,
}

impl Agenda {
    /// So many connections are to be opened.
    pub fn new(count: usize, policy: Policy) -> Agenda {
        Agenda {
            policy,
            attempts: vec![0; count],
            fresh: (0..count).collect(),
            pausing: BTreeSet::new(),
            deadlines: VecDeque::new(),
            under_way: 0,
            failed: 0,
        }
    }

    /// The connection to try now, if any may be tried.
    pub fn next(&mut self, now: Instant) -> Option<usize> {
        if self.under_way >= self.policy.together_max {
            return None;
        }
        let due = self.pausing.first().copied().filter(|(time, _)| *time <= now);
        let index = match due {
            Some(first) => {
                self.pausing.remove(&first);
                first.1
            }
            None => self.fresh.pop_front()?,
        };
        self.attempts[index] += 1;
        self.under_way += 1;
        self.deadlines.push_back((now + self.policy.patience, index, self.attempts[index]));
        Some(index)
    }

    /// An attempt has succeeded.
    pub fn succeeded(&mut self) {
        self.under_way -= 1;
    }

    /// An attempt, or an open connection, has failed; it comes again after a pause.
    pub fn failed(&mut self, index: usize, was_open: bool, now: Instant) {
        self.under_way -= usize::from(!was_open);
        self.failed += 1;
        let place = (self.attempts[index] as usize - 1).min(PAUSES_MS.len() - 1);
        let pause = PAUSES_MS[place];
        let pause = Duration::from_millis(fastrand::u64(pause / 2..=pause));
        self.pausing.insert((now + pause, index));
    }

    /// An attempt whose time is over, unless it has ended.
    pub fn overdue(&mut self, now: Instant) -> Option<usize> {
        while let Some((deadline, index, attempt)) = self.deadlines.front().copied() {
            if deadline > now {
                return None;
            }
            self.deadlines.pop_front();
            if self.attempts[index] == attempt {
                return Some(index);
            }
        }
        None
    }
}
