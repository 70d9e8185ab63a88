//! Waiting times between attempts: a table of rising delays, each with jitter.

use std::time::Duration;

/// Delays in milliseconds between attempts at a process's first connection: up to 5 s.
/// The table is go-choria's `backoff.FiveSec`, which its initial loop enters at index 1.
pub const INITIAL: &[u32] = &[500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000];

/// Delays in milliseconds after a lost connection: up to 20 s, so that a fleet returns spread out.
/// The table is go-choria's `backoff.TwentySec`.
pub const RECONNECT: &[u32] = &[
    500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 5500, 5750, 6000, 6500, 7000,
    7500, 8000, 8500, 9000, 9500, 10000, 10500, 10750, 11000, 11500, 12000, 12500, 13000, 13500,
    14000, 14500, 15000, 15500, 15750, 16000, 16500, 17000, 17500, 18000, 18500, 19000, 19500,
    20000,
];

/// How long to wait before attempt number `attempt` (the first is 0): half of the table's entry
/// plus a random part up to the whole entry. Attempts beyond the table use its last entry.
pub fn delay(table: &[u32], attempt: usize) -> Duration {
    let base = table.get(attempt).or(table.last()).copied().unwrap_or(0);
    if base == 0 {
        return Duration::ZERO;
    }
    Duration::from_millis(u64::from(base / 2) + fastrand::u64(0..u64::from(base)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_within_half_and_one_and_a_half_times_the_entry() {
        for table in [INITIAL, RECONNECT] {
            for attempt in 0..table.len() + 10 {
                let base = u64::from(table[attempt.min(table.len() - 1)]);
                let got = delay(table, attempt);
                assert!(got >= Duration::from_millis(base / 2), "attempt {attempt}: {got:?}");
                assert!(got <= Duration::from_millis(base / 2 + base), "attempt {attempt}");
            }
        }
        assert_eq!(delay(&[0], 0), Duration::ZERO);
        assert_eq!(delay(&[], 3), Duration::ZERO);
    }
}
