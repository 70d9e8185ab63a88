//! Ed25519 as Choria uses it: keys and seeds as hexadecimal text, plain signatures (RFC 8032, no pre-hash).

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::random;

/// Bytes of a seed.
pub const SEED_LEN: usize = 32;
/// Bytes of a public key.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// Why a key or a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The text is not a seed.
    NotASeed,
    /// The text is not a public key.
    NotAPublicKey,
    /// The signature does not fit the message and the key.
    BadSignature,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::NotASeed => "not an ed25519 seed of 64 hexadecimal digits",
            Error::NotAPublicKey => "not an ed25519 public key of 64 hexadecimal digits",
            Error::BadSignature => "the ed25519 signature does not fit",
        })
    }
}

impl std::error::Error for Error {}

/// A public key. Its `Display` form is the one of configuration files and tokens: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; PUBLIC_KEY_LEN]);

impl PublicKey {
    /// The key with these bytes. Whether they are a point of the curve shows when a signature is verified.
    pub fn from_bytes(bytes: [u8; PUBLIC_KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits of either case.
    ///
    /// # Errors
    /// [`Error::NotAPublicKey`].
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        decode(text).map(Self).ok_or(Error::NotAPublicKey)
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    /// [`Error::BadSignature`], whatever is wrong with it or with the key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .map_err(|_| Error::BadSignature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key pair that signs. Its `Debug` form shows the public half only.
pub struct KeyPair {
    pair: Ed25519KeyPair,
    seed: [u8; SEED_LEN],
}

impl KeyPair {
    /// A new key pair from the system's random source.
    pub fn generate() -> Self {
        let mut seed = [0; SEED_LEN];
        random::fill(&mut seed);
        Self::from_seed(seed)
    }

    /// The key pair of a seed.
    pub fn from_seed(seed: [u8; SEED_LEN]) -> Self {
        // Only a seed of another length is refused.
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed has 32 bytes");
        Self { pair, seed }
    }

    /// The key pair of a seed in its file form: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::NotASeed`].
    pub fn from_seed_hex(text: &str) -> Result<Self, Error> {
        decode(text).map(Self::from_seed).ok_or(Error::NotASeed)
    }

    /// The seed in its file form, for the one place that writes the file. Files must hold exactly these 64 digits
    /// without a line end.
    pub fn seed_hex(&self) -> String {
        HEXLOWER.encode(&self.seed)
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0; PUBLIC_KEY_LEN];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// The signature over `message`. The same message always gives the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut bytes = [0; SIGNATURE_LEN];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }

    /// [`KeyPair::sign`] as 128 lower-case hexadecimal digits, the form of trust chains, logins and remote signers.
    pub fn sign_hex(&self, message: &[u8]) -> String {
        HEXLOWER.encode(&self.sign(message))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public_key())
    }
}

fn decode(text: &str) -> Option<[u8; 32]> {
    // The length is checked first: the decoder would read text of any length.
    if text.len() != 64 {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64URL_NOPAD;

    const SEED: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const PUBLIC: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

    #[test]
    fn published_values() {
        let pair = KeyPair::from_seed_hex(SEED).unwrap();
        assert_eq!(pair.public_key().to_string(), PUBLIC);
        assert_eq!(pair.seed_hex(), SEED);
        assert_eq!(
            BASE64URL_NOPAD.encode(&pair.sign(b"PXoWU7zWAMt75FY")),
            "bnxg5G8aOV2LQdSE_lcM9clxm_fbTTZxsqQ1EpTNgJXmH6z5ezesd49kXfuNhoAqw_DmEtsGcNsJdug9wMuRDQ"
        );
        assert_eq!(
            KeyPair::from_seed([2; 32]).sign_hex(b"1700000000:alice:secret"),
            "f72cd7f6bf5c86bd499c9388fa49452653c2274fdb87784dce0c24eb30bc15e0\
             b9ec83c204ed5ecdfae81e42d4e829c66c52dbb194015aa7cae7674561882b04"
        );
    }

    #[test]
    fn signatures_fit_one_message_and_one_key() {
        let (pair, other) = (KeyPair::generate(), KeyPair::generate());
        let sig = pair.sign(b"text");
        assert_eq!(pair.public_key().verify(b"text", &sig), Ok(()));
        let refused = Err(Error::BadSignature);
        assert_eq!(pair.public_key().verify(b"Text", &sig), refused);
        assert_eq!(other.public_key().verify(b"text", &sig), refused);
        for index in 0..SIGNATURE_LEN {
            let mut altered = sig;
            altered[index] ^= 1;
            assert_eq!(pair.public_key().verify(b"text", &altered), refused, "{index}");
        }
        for altered in [&sig[1..], &[], &[&sig[..], &[0]].concat()] {
            assert_eq!(pair.public_key().verify(b"text", altered), refused);
        }
        assert_eq!(PublicKey::from_bytes([0xff; 32]).verify(b"text", &sig), refused);
    }

    #[test]
    fn texts_are_exact() {
        assert_eq!(PublicKey::from_hex(&PUBLIC.to_uppercase()), PublicKey::from_hex(PUBLIC));
        for text in [
            "",
            "00",
            &PUBLIC[1..],
            &format!("{PUBLIC}\n"),
            &format!("{PUBLIC}00"),
            &PUBLIC.replace('0', "g"),
        ] {
            assert_eq!(PublicKey::from_hex(text), Err(Error::NotAPublicKey), "{text:?}");
            assert_eq!(KeyPair::from_seed_hex(text).unwrap_err(), Error::NotASeed, "{text:?}");
        }
    }

    #[test]
    fn a_seed_is_never_shown() {
        let text = format!("{:?}", KeyPair::from_seed_hex(SEED).unwrap());
        assert_eq!(text, format!("KeyPair({PUBLIC})"));
    }
}
