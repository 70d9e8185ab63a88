//! Times as the wire and the logs write them: seconds since 1970 and RFC 3339 in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Whole seconds since 1970; negative before.
pub fn unix_secs(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let secs = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            -secs.saturating_add(i64::from(before.subsec_nanos() > 0))
        }
    }
}

/// The time `secs` seconds after 1970; a time the platform cannot hold becomes 1970.
pub fn from_unix(secs: i64) -> SystemTime {
    let length = Duration::from_secs(secs.unsigned_abs());
    let time =
        if secs < 0 { UNIX_EPOCH.checked_sub(length) } else { UNIX_EPOCH.checked_add(length) };
    time.unwrap_or(UNIX_EPOCH)
}

/// `2026-11-22T17:03:05Z`
pub fn rfc3339(time: SystemTime) -> String {
    format!("{:.0}", timestamp(time))
}

/// `2026-11-22T17:03:05.123Z`
pub fn rfc3339_millis(time: SystemTime) -> String {
    format!("{:.3}", timestamp(time))
}

/// `2026-11-22T17:03:05.123456Z`
pub fn rfc3339_micros(time: SystemTime) -> String {
    format!("{:.6}", timestamp(time))
}

/// `2026/11/22 17:03:05.123456` in UTC, as nats-server writes it.
pub fn nats(time: SystemTime) -> String {
    timestamp(time).strftime("%Y/%m/%d %H:%M:%S%.6f").to_string()
}

/// `2026-11-22T17:03:05.123456789Z`, with as many digits of the fraction as it needs.
pub fn rfc3339_nano(time: SystemTime) -> String {
    timestamp(time).to_string()
}

/// Reads an RFC 3339 time; nothing when it is none.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

/// Times beyond the year 9999 and before -9999 are shown as the nearest time that can be.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(if time > UNIX_EPOCH {
        Timestamp::MAX
    } else {
        Timestamp::MIN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_in_utc() {
        let time = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339_millis(time), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339_micros(time), "2023-11-14T22:13:20.123456Z");
        assert_eq!(rfc3339_nano(time), "2023-11-14T22:13:20.123456789Z");
        let time_of_day = time - Duration::from_nanos(23_456_789);
        assert_eq!(rfc3339_nano(time_of_day), "2023-11-14T22:13:20.1Z");
        assert_eq!(parse_rfc3339("2023-11-14T22:13:20.123456789Z"), Some(time));
        assert_eq!(parse_rfc3339("2023-11-15T00:13:20.123456789+02:00"), Some(time));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn unix_seconds_go_both_ways() {
        for secs in [0, 1, 1_700_000_000, -1, -86_400] {
            assert_eq!(unix_secs(from_unix(secs)), secs);
        }
        assert_eq!(unix_secs(UNIX_EPOCH - Duration::from_millis(1)), -1);
        assert_eq!(unix_secs(from_unix(i64::MAX)), i64::MAX);
    }

    #[test]
    fn the_zero_time_of_other_programs_can_be_read() {
        let zero = parse_rfc3339("0001-01-01T00:00:00Z").unwrap();
        assert_eq!(rfc3339(zero), "0001-01-01T00:00:00Z");
    }
}
