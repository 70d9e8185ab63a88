//! Random numbers and the identifiers made from them.

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};

/// Fills `buffer` with bytes from the system's random source.
///
/// # Panics
/// When the system has no random source. Going on with guessable bytes would be worse.
pub fn fill(buffer: &mut [u8]) {
    SystemRandom::new().fill(buffer).expect("the system random source gives bytes");
}

/// A version 4 UUID in its usual form with dashes.
pub fn uuid4() -> String {
    let hex = request_id();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A protocol v1 request id: a version 4 UUID without the dashes, 32 lower-case hexadecimal digits.
pub fn request_id() -> String {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    HEXLOWER.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_form() {
        let (uuid, id) = (uuid4(), request_id());
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        assert_ne!(id, request_id());
    }
}
