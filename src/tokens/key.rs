//! Keys that verify tokens and keys that make them, from the contents of their files.

use std::fmt;

use crate::crypto::{ed25519, rsa};

/// Why the contents of a file are not a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// Neither PEM of a supported kind nor 64 hexadecimal digits.
    NotAPublicKey,
    /// Neither PEM of a supported kind nor 64 hexadecimal digits.
    NotASigningKey,
    /// The PEM block holds another kind of key. Ed25519 keys are not stored as PEM.
    NotRsa,
    /// The RSA key cannot be used.
    Rsa(rsa::Error),
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPublicKey => f.write_str(
                "neither an RSA public key or certificate in PEM form nor 64 hexadecimal digits of an ed25519 public key",
            ),
            Self::NotASigningKey => f.write_str(
                "neither an RSA private key in PEM form nor 64 hexadecimal digits of an ed25519 seed",
            ),
            Self::NotRsa => f.write_str(
                "the PEM block does not hold an RSA key; ed25519 keys are stored as 64 hexadecimal digits",
            ),
            Self::Rsa(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for KeyFault {}

impl From<rsa::Error> for KeyFault {
    fn from(error: rsa::Error) -> Self {
        match error {
            rsa::Error::NotRsa => Self::NotRsa,
            error => Self::Rsa(error),
        }
    }
}

/// A key that tokens are verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// For `EdDSA`; the only kind that can stand at the end of a chain of trust.
    Ed25519(ed25519::PublicKey),
    /// For `RS256`, `RS384` and `RS512`.
    Rsa(rsa::PublicKey),
}

impl Key {
    /// An ed25519 key as configuration files hold it: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyFault::NotAPublicKey`].
    pub fn from_hex(text: &str) -> Result<Self, KeyFault> {
        ed25519::PublicKey::from_hex(text).map(Self::Ed25519).map_err(|_| KeyFault::NotAPublicKey)
    }

    /// The key in the contents of a file: a PEM `CERTIFICATE` or `PUBLIC KEY` (RSA), or hexadecimal digits with or
    /// without a line end.
    ///
    /// # Errors
    /// Why it is none.
    pub fn from_file_contents(contents: &[u8]) -> Result<Self, KeyFault> {
        let text = contents.trim_ascii();
        let pem = [&b"-----BEGIN CERTIFICATE"[..], b"-----BEGIN PUBLIC KEY"];
        if pem.iter().any(|start| text.starts_with(start)) {
            return Ok(Self::Rsa(rsa::PublicKey::from_pem(text)?));
        }
        std::str::from_utf8(text).map_err(|_| KeyFault::NotAPublicKey).and_then(Self::from_hex)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519(key) => key.fmt(f),
            Self::Rsa(key) => write!(f, "RSA key {}", key.fingerprint()),
        }
    }
}

/// A key that makes tokens. Its `Debug` form shows nothing that is secret.
#[derive(Debug)]
pub enum SigningKey {
    /// Signs with `EdDSA`.
    Ed25519(ed25519::KeyPair),
    /// Signs with `RS256`.
    Rsa(Box<rsa::SigningKey>),
}

impl SigningKey {
    /// The key in the contents of a file: a PEM RSA private key, or the hexadecimal digits of an ed25519 seed with or
    /// without a line end.
    ///
    /// # Errors
    /// Why it is none.
    pub fn from_file_contents(contents: &[u8]) -> Result<Self, KeyFault> {
        let text = contents.trim_ascii();
        if text.starts_with(b"-----BEGIN ") {
            return Ok(Self::Rsa(Box::new(rsa::SigningKey::from_pem(text)?)));
        }
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| ed25519::KeyPair::from_seed_hex(text).ok())
            .map(Self::Ed25519)
            .ok_or(KeyFault::NotASigningKey)
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> Key {
        match self {
            Self::Ed25519(pair) => Key::Ed25519(pair.public_key()),
            Self::Rsa(key) => Key::Rsa(key.public_half()),
        }
    }
}
