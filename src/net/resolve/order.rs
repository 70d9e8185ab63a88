//! The order in which SRV targets are used: by priority, then by chance according to weight (RFC 2782).

use crate::net::resolve::Srv;

/// Sorts `records`; `random(n)` gives a number in `0..=n`.
pub(super) fn sort(mut records: Vec<Srv>, mut random: impl FnMut(u64) -> u64) -> Vec<Srv> {
    // Weight 0 first within a priority: the algorithm of the RFC needs it.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut sorted = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let count = records.iter().take_while(|record| record.priority == priority).count();
        let mut group: Vec<Srv> = records.drain(..count).collect();
        while !group.is_empty() {
            sorted.push(take_by_weight(&mut group, &mut random));
        }
    }
    sorted
}

fn take_by_weight(group: &mut Vec<Srv>, random: &mut impl FnMut(u64) -> u64) -> Srv {
    let total: u64 = group.iter().map(|record| u64::from(record.weight)).sum();
    let chosen = if total == 0 {
        // All weights are zero: an even choice.
        let last = u64::try_from(group.len()).unwrap_or(u64::MAX).saturating_sub(1);
        usize::try_from(random(last)).unwrap_or(0)
    } else {
        let mark = random(total);
        let mut sum = 0;
        group
            .iter()
            .position(|record| {
                sum += u64::from(record.weight);
                sum >= mark
            })
            .unwrap_or(0)
    };
    group.remove(chosen.min(group.len() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, priority: u16, weight: u16) -> Srv {
        Srv { target: name.into(), port: 4222, priority, weight }
    }

    #[test]
    fn lower_priority_numbers_come_first_whatever_the_weight() {
        let records = vec![record("c", 20, 100), record("a", 10, 0), record("b", 10, 5)];
        let mut generator = fastrand::Rng::with_seed(7);
        for _ in 0..50 {
            let sorted = sort(records.clone(), |max| generator.u64(0..=max));
            assert_eq!(sorted[2].target, "c");
        }
    }

    #[test]
    fn weights_decide_how_often_a_target_is_first() {
        let records = vec![record("small", 1, 10), record("big", 1, 90)];
        let mut generator = fastrand::Rng::with_seed(42);
        let big_first = (0..1000)
            .filter(|_| sort(records.clone(), |max| generator.u64(0..=max))[0].target == "big")
            .count();
        assert!((820..=960).contains(&big_first), "{big_first} of 1000");
    }

    #[test]
    fn equal_zero_weights_are_shuffled() {
        let records = vec![record("a", 1, 0), record("b", 1, 0)];
        let mut generator = fastrand::Rng::with_seed(3);
        let a_first = (0..1000)
            .filter(|_| sort(records.clone(), |max| generator.u64(0..=max))[0].target == "a")
            .count();
        assert!((400..=600).contains(&a_first), "{a_first} of 1000");
    }
}
