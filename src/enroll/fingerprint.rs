//! SHA-256 fingerprints of authorities: what a person compares before an authority is trusted.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::crypto::hash;

/// A SHA-256 fingerprint. `Display` is `sha256:` and hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// The text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAFingerprint;

impl fmt::Display for NotAFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint is sha256: and 64 hexadecimal digits, with colons or without")
    }
}

impl std::error::Error for NotAFingerprint {}

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Fingerprint(hash::sha256(bytes))
    }

    /// In the form in which Puppet and OpenSSL write it: capitals, a colon after each byte.
    pub fn with_colons(&self) -> String {
        let bytes: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Reads `sha256:HEX` in large or small letters; colons between digits are skipped, and the prefix may be missing.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let text = text.trim();
        let digits = match text.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("sha256:") => &text[7..],
            _ => text,
        };
        let digits: String = digits.chars().filter(|&char| char != ':').collect();
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| NotAFingerprint)?;
        bytes.try_into().map(Fingerprint).map_err(|_| NotAFingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let print = Fingerprint::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(print.to_string(), format!("sha256:{hex}"));
        assert!(print.with_colons().starts_with("BA:78:16:BF:"));
        for text in [
            print.to_string(),
            hex.to_owned(),
            print.with_colons(),
            format!(" SHA256:{}\n", print.with_colons()),
        ] {
            assert_eq!(text.parse(), Ok(print), "{text}");
        }
        for text in ["", "sha256:", "sha1:ab", &hex[1..], &format!("{hex}00"), "sha256:é"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(NotAFingerprint), "{text}");
        }
    }
}
