//! Times, durations and numbers the way Go writes them.

use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::util::time;

/// A time in UTC with as many digits as it needs: Go's RFC3339Nano.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub SystemTime);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time::rfc3339_nano(self.0))
    }
}

/// A number that Go keeps as a float: whole ones have no fraction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Float(pub f64);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 1e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// Seconds of a duration.
pub(super) fn seconds(duration: Duration) -> Float {
    Float(duration.as_secs_f64())
}

/// Nanoseconds of a duration.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `1y2d3h4m5s`, in whole seconds, from the largest unit that is not zero on.
pub(super) fn uptime(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (mins, hours) = (secs / 60, secs / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let mut text = format!("{}s", secs % 60);
    for (is_shown, value, unit) in [
        (mins > 0, mins % 60, 'm'),
        (hours > 0, hours % 24, 'h'),
        (days > 0, days % 365, 'd'),
        (years > 0, years, 'y'),
    ] {
        if is_shown {
            text = format!("{value}{unit}{text}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes() {
        for (secs, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (3_661, "1h1m1s"),
            (86_400, "1d0h0m0s"),
            (31_536_000 + 90_061, "1y1d1h1m1s"),
        ] {
            assert_eq!(uptime(Duration::from_secs(secs)), expected);
        }
    }

    #[test]
    fn numbers() {
        let text = |value| serde_json::to_string(&Float(value)).expect("json");
        assert_eq!([text(2.0), text(0.25), text(0.0)], ["2", "0.25", "0"]);
    }
}
