//! Asking only part of the discovered nodes: `--limit N`, `--limit N%` (client notes 1.7).

use std::fmt;
use std::str::FromStr;

/// How many of the discovered nodes are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitSize {
    /// So many nodes; more than were discovered means all.
    Count(usize),
    /// So many in a hundred, rounded down; more than 100 means all.
    Percent(u32),
}

/// Which of the discovered nodes are asked. Both ways sort the names first, so that a result can be repeated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LimitMethod {
    /// The first ones in the order of their names.
    #[default]
    First,
    /// Ones chosen at random; the same seed and nodes give the same choice.
    Random {
        /// Seed of the choice, chosen by chance when missing.
        seed: Option<u64>,
    },
}

/// A limit of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub size: LimitSize,
    /// Which.
    pub method: LimitMethod,
}

/// Why a limit cannot be used. The user is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitError {
    /// Neither `N` nor `N%`.
    Unreadable,
    /// The limit leaves no node.
    NothingLeft(LimitSize),
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("could not parse limit as either number or percent"),
            Self::NothingLeft(size) => {
                write!(f, "no targets left after applying target limits of '{size}'")
            }
        }
    }
}

impl std::error::Error for LimitError {}

impl fmt::Display for LimitSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for LimitSize {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (digits, is_percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(LimitError::Unreadable);
        }
        // More digits than fit mean more nodes than there can be: all of them.
        Ok(match is_percent {
            true => Self::Percent(digits.parse().unwrap_or(u32::MAX)),
            false => Self::Count(digits.parse().unwrap_or(usize::MAX)),
        })
    }
}

impl LimitSize {
    /// How many of `available` nodes that is.
    pub fn of(self, available: usize) -> usize {
        match self {
            Self::Count(count) => count.min(available),
            Self::Percent(percent) => available.saturating_mul(percent.min(100) as usize) / 100,
        }
    }
}

impl Limit {
    /// The nodes that are asked, sorted when the method is [`LimitMethod::First`].
    ///
    /// # Errors
    /// When none is left.
    pub fn apply(self, mut nodes: Vec<String>) -> Result<Vec<String>, LimitError> {
        let count = self.size.of(nodes.len());
        if count == 0 {
            return Err(LimitError::NothingLeft(self.size));
        }
        nodes.sort_unstable();
        if let LimitMethod::Random { seed } = self.method {
            fastrand::Rng::with_seed(seed.unwrap_or_else(|| fastrand::u64(..))).shuffle(&mut nodes);
        }
        nodes.truncate(count);
        Ok(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Vec<String> {
        (0..count).rev().map(|n| format!("n{n}")).collect()
    }

    #[test]
    fn sizes() {
        let cases = [
            ("3", 10, Some(3)),
            ("30", 10, Some(10)),
            ("99999999999999999999999", 10, Some(10)),
            ("0", 10, Some(0)),
            ("10%", 9, Some(0)),
            ("50%", 9, Some(4)),
            ("29%", 100, Some(29)),
            ("250%", 9, Some(9)),
            ("", 9, None),
            ("%", 9, None),
            ("-1", 9, None),
            ("+1", 9, None),
            ("1.5%", 9, None),
            ("ten", 9, None),
        ];
        for (text, available, expected) in cases {
            assert_eq!(
                text.parse::<LimitSize>().ok().map(|size| size.of(available)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn first_is_by_name() {
        let limit = Limit { size: LimitSize::Count(2), method: LimitMethod::First };
        assert_eq!(limit.apply(nodes(5)).unwrap(), ["n0", "n1"]);
        let none = Limit { size: LimitSize::Percent(10), method: LimitMethod::First };
        let text = none.apply(nodes(5)).unwrap_err().to_string();
        assert_eq!(text, "no targets left after applying target limits of '10%'");
    }

    #[test]
    fn a_seed_repeats_the_choice_whatever_the_order_of_discovery() {
        let limit = |seed| Limit {
            size: LimitSize::Count(5),
            method: LimitMethod::Random { seed: Some(seed) },
        };
        let mut other_order = nodes(50);
        other_order.reverse();
        assert_eq!(limit(7).apply(nodes(50)), limit(7).apply(other_order));
        assert_ne!(limit(7).apply(nodes(50)), limit(8).apply(nodes(50)));
        let mut chosen = limit(7).apply(nodes(50)).unwrap();
        chosen.dedup();
        assert_eq!(chosen.len(), 5);
    }
}
