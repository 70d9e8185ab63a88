//! K-sortable identifiers: 4 bytes of seconds since May 2014 and 16 bytes of payload, as 27 characters in base 62.

use std::time::{Duration, SystemTime};

/// Characters of the text form.
pub const TEXT_CHARS: usize = 27;
/// Bytes of the payload, which is random for fresh identifiers.
pub const PAYLOAD_BYTES: usize = 16;

/// Seconds from 1970 to the beginning of the identifiers' own time.
const EPOCH_SECS: u64 = 1_400_000_000;
const BYTES: usize = 4 + PAYLOAD_BYTES;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// One identifier. They sort by their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ksuid([u8; BYTES]);

impl Ksuid {
    /// An identifier of this moment, in whole seconds. Moments that its 32 bits cannot hold become the first or the
    /// last one.
    pub fn new(time: SystemTime, payload: [u8; PAYLOAD_BYTES]) -> Self {
        let secs = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let own = u32::try_from(secs.saturating_sub(EPOCH_SECS)).unwrap_or(u32::MAX);
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&own.to_be_bytes());
        bytes[4..].copy_from_slice(&payload);
        Ksuid(bytes)
    }

    /// Reads the text form: exactly 27 characters of base 62 whose value fits 20 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TEXT_CHARS {
            return None;
        }
        let mut bytes = [0_u8; BYTES];
        for character in text.bytes() {
            let digit = DIGITS.iter().position(|known| *known == character)?;
            let mut carry = u32::try_from(digit).ok()?;
            for byte in bytes.iter_mut().rev() {
                let value = u32::from(*byte) * 62 + carry;
                [_, _, _, *byte] = value.to_be_bytes();
                carry = value >> 8;
            }
            if carry > 0 {
                return None;
            }
        }
        Some(Ksuid(bytes))
    }

    /// Seconds since 1970 of its time.
    pub fn unix_secs(&self) -> u64 {
        let [a, b, c, d, ..] = self.0;
        EPOCH_SECS + u64::from(u32::from_be_bytes([a, b, c, d]))
    }

    /// Its time, in whole seconds.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.unix_secs())
    }

    /// The bytes behind the time.
    pub fn payload(&self) -> &[u8] {
        &self.0[4..]
    }
}

impl std::fmt::Display for Ksuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0;
        let mut text = [b'0'; TEXT_CHARS];
        for place in text.iter_mut().rev() {
            let mut remainder = 0_u32;
            for byte in &mut rest {
                let value = remainder << 8 | u32::from(*byte);
                [_, _, _, *byte] = (value / 62).to_be_bytes();
                remainder = value % 62;
            }
            *place = DIGITS[remainder as usize];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn fixed_vectors() {
        for (secs, payload, text) in [
            (1_700_000_000, [0; 16], "2YBXZHqCHEdmhp5sdLmoTEW73NQ"),
            (1_700_000_000, [0xff; 16], "2YBXZPdGJRu8nIleNVZxG7dMkzX"),
            (1_700_000_000, [1; 16], "2YBXZHs5jCkPh7Cbnk8e3AMAlJR"),
            (1_400_000_000, [0; 16], "000000000000000000000000000"),
            (1_400_000_000 + u64::from(u32::MAX), [0xff; 16], "aWgEPTl1tmebfsQzFP4bxwgy80V"),
        ] {
            let id = Ksuid::new(at(secs), payload);
            assert_eq!(id.to_string(), text);
            assert_eq!(Ksuid::parse(text), Some(id));
            assert_eq!((id.unix_secs(), id.payload()), (secs, &payload[..]));
        }
        let read = Ksuid::parse("0ujtsYcgvSTl8PAuAdqWYSMnLOv").unwrap();
        assert_eq!(read.time(), at(1_507_608_047));
        let payload = 0xb5a1_cd34_b5f9_9d11_54fb_6853_345c_9735_u128.to_be_bytes();
        assert_eq!(read.payload(), payload);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "0ujtsYcgvSTl8PAuAdqWYSMnLO",
            "0ujtsYcgvSTl8PAuAdqWYSMnLOv0",
            "0ujtsYcgvSTl8PAuAdqWYSMnLO-",
            "aWgEPTl1tmebfsQzFP4bxwgy80W",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "0ujtsYcgvSTl8PAuAdqWYSMnL\u{e9}",
        ] {
            assert_eq!(Ksuid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_out_of_range_are_bent_into_it() {
        assert_eq!(Ksuid::new(at(5), [0; 16]).unix_secs(), 1_400_000_000);
        let late = Ksuid::new(at(1 << 40), [0; 16]);
        assert_eq!(late.unix_secs(), 1_400_000_000 + u64::from(u32::MAX));
    }
}
