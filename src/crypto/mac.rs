//! Keyed hashes, and passwords stretched by them: logins by SCRAM, signatures of requests.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

/// A hash of the SHA-2 family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// 256 bits.
    Sha256,
    /// 512 bits.
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// The hash of `data`.
pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, data).as_ref().to_vec()
}

/// HMAC (RFC 2104) of `data`.
pub fn mac(hash: Hash, key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hash.hmac(), key), data).as_ref().to_vec()
}

/// Whether `given` is the HMAC of `data`. The time it takes says nothing about where they differ.
pub fn is_mac(hash: Hash, key: &[u8], data: &[u8], given: &[u8]) -> bool {
    hmac::verify(&hmac::Key::new(hash.hmac(), key), data, given).is_ok()
}

/// PBKDF2 (RFC 8018) with HMAC, as many bytes as the hash has. Takes long: that is its purpose.
pub fn stretch(hash: Hash, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
    let (algorithm, length) = match hash {
        Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
        Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
    };
    let mut out = vec![0; length];
    pbkdf2::derive(algorithm, iterations, salt, password, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// RFC 4231 test case 2, and RFC 7914 section 11 for PBKDF2.
    #[test]
    fn published_vectors() {
        let (key, data) = (b"Jefe", b"what do ya want for nothing?");
        for (hash, expected) in [
            (Hash::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                Hash::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let made = mac(hash, key, data);
            assert_eq!(HEXLOWER.encode(&made), expected);
            assert!(is_mac(hash, key, data, &made));
            assert!(!is_mac(hash, key, b"", &made));
        }
        let once = NonZeroU32::MIN;
        assert_eq!(
            HEXLOWER.encode(&stretch(Hash::Sha256, b"passwd", b"salt", once)),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        );
        assert_eq!(stretch(Hash::Sha512, b"passwd", b"salt", once).len(), 64);
    }
}
