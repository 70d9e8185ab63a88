//! KSUIDs: the identifiers of tokens and of protocol v2 requests.
//!
//! Twenty bytes, a time in seconds and sixteen random bytes, as 27 digits of base 62. They sort by their time.
//! Spec: `segmentio/ksuid`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::random;

/// Characters of the text form.
pub const TEXT_LEN: usize = 27;
/// Bytes that are not time.
pub const PAYLOAD_LEN: usize = 16;

/// Time zero of a KSUID, in seconds since 1970.
const EPOCH_SECS: i64 = 1_400_000_000;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BYTES: usize = 4 + PAYLOAD_LEN;

/// One identifier. The order is that of the time, then of the payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ksuid([u8; BYTES]);

impl Ksuid {
    /// A new identifier of the given time. Times outside what the format holds (2014 to 2150) become its ends.
    pub fn new(now: SystemTime) -> Self {
        let mut payload = [0; PAYLOAD_LEN];
        random::fill(&mut payload);
        let secs = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let secs = secs.saturating_sub(EPOCH_SECS.unsigned_abs());
        Self::of(u32::try_from(secs).unwrap_or(u32::MAX), payload)
    }

    /// The identifier of a time in seconds since 1970 and a payload; nothing when the format cannot hold the time.
    pub fn from_parts(unix_secs: i64, payload: [u8; PAYLOAD_LEN]) -> Option<Self> {
        let secs = u32::try_from(unix_secs.checked_sub(EPOCH_SECS)?).ok()?;
        Some(Self::of(secs, payload))
    }

    /// Reads the text form: exactly 27 digits, and no more than 20 bytes can hold.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TEXT_LEN {
            return None;
        }
        let mut bytes = [0_u8; BYTES];
        for digit in text.bytes() {
            let mut carry = u32::from(value_of(digit)?);
            for byte in bytes.iter_mut().rev() {
                carry += u32::from(*byte) * 62;
                *byte = carry as u8;
                carry >>= 8;
            }
            if carry > 0 {
                return None;
            }
        }
        Some(Self(bytes))
    }

    /// When it was made, in seconds since 1970.
    pub fn unix_secs(&self) -> i64 {
        let [a, b, c, d, ..] = self.0;
        EPOCH_SECS + i64::from(u32::from_be_bytes([a, b, c, d]))
    }

    /// The bytes that are not time.
    pub fn payload(&self) -> [u8; PAYLOAD_LEN] {
        let mut payload = [0; PAYLOAD_LEN];
        payload.copy_from_slice(&self.0[4..]);
        payload
    }

    fn of(secs: u32, payload: [u8; PAYLOAD_LEN]) -> Self {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&secs.to_be_bytes());
        bytes[4..].copy_from_slice(&payload);
        Self(bytes)
    }
}

impl fmt::Display for Ksuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut text = [b'0'; TEXT_LEN];
        for digit in text.iter_mut().rev() {
            let mut remainder = 0_u32;
            for byte in &mut rest {
                let value = (remainder << 8) | u32::from(*byte);
                *byte = (value / 62) as u8;
                remainder = value % 62;
            }
            *digit = DIGITS[remainder as usize];
        }
        text.iter().try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
    }
}

impl fmt::Debug for Ksuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn value_of(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        b'a'..=b'z' => Some(digit - b'a' + 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn published_values() {
        let known = *b"\xb5\xa1\xcd\x34\xb5\xf9\x9d\x11\x54\xfb\x68\x53\x34\x5c\x97\x35";
        for (secs, payload, text) in [
            (1_700_000_000, [0; 16], "2YBXZHqCHEdmhp5sdLmoTEW73NQ"),
            (1_700_000_000, [0xff; 16], "2YBXZPdGJRu8nIleNVZxG7dMkzX"),
            (1_507_608_047, known, "0ujtsYcgvSTl8PAuAdqWYSMnLOv"),
            (1_400_000_000, [0; 16], "000000000000000000000000000"),
            (1_400_000_000 + i64::from(u32::MAX), [0xff; 16], "aWgEPTl1tmebfsQzFP4bxwgy80V"),
        ] {
            let id = Ksuid::from_parts(secs, payload).unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(Ksuid::parse(text), Some(id));
            assert_eq!((id.unix_secs(), id.payload()), (secs, payload));
        }
    }

    #[test]
    fn what_is_not_one() {
        for text in [
            "",
            "0ujtsYcgvSTl8PAuAdqWYSMnLO",
            "0ujtsYcgvSTl8PAuAdqWYSMnLOvv",
            "0ujtsYcgvSTl8PAuAdqWYSMnLO-",
            "aWgEPTl1tmebfsQzFP4bxwgy80W",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert_eq!(Ksuid::parse(text), None, "{text}");
        }
        assert_eq!(Ksuid::from_parts(1_399_999_999, [0; 16]), None);
        assert_eq!(Ksuid::from_parts(i64::MIN, [0; 16]), None);
    }

    #[test]
    fn new_ones_have_their_time_and_differ() {
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        let (one, other) = (Ksuid::new(now), Ksuid::new(now));
        assert_eq!(one.unix_secs(), 1_700_000_000);
        assert_ne!(one, other);
        assert_eq!(Ksuid::parse(&one.to_string()), Some(one));
        assert!(Ksuid::new(now + Duration::from_secs(1)) > one.max(other));
        assert_eq!(Ksuid::new(UNIX_EPOCH).unix_secs(), EPOCH_SECS);
    }
}
