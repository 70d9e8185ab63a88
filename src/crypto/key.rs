//! Private keys of certificates: made, read, and what is signed with them.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, UnparsedPublicKey,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::der::{self, INTEGER, NULL, OCTET_STRING, Reader, bit_string, oid, sequence, value};
use super::{hash, pem, random, rsa};

const OID_RSA_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const OID_RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const OID_EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const OID_ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// Bytes of an Ed25519 seed.
const SEED_BYTES: usize = 32;

/// Why a key cannot be made or used, or a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The RSA key could not be made or used.
    Rsa(rsa::Error),
    /// The key could not be made or used.
    Failed(KeyKind),
    /// The text holds no private key of a kind that certificates are issued for.
    Unknown,
    /// The public key is of no kind that certificates are issued for.
    UnknownPublic,
    /// The signature does not fit the message and the key.
    BadSignature,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Rsa(error) => write!(f, "{error}"),
            Error::Failed(kind) => write!(f, "the {kind} key failed"),
            Error::Unknown => f.write_str("no RSA, P-256 or Ed25519 private key was found"),
            Error::UnknownPublic => {
                f.write_str("the public key is neither RSA nor P-256 nor Ed25519")
            }
            Error::BadSignature => f.write_str("the signature does not fit the key"),
        }
    }
}

impl std::error::Error for Error {}

impl From<rsa::Error> for Error {
    fn from(error: rsa::Error) -> Self {
        match error {
            rsa::Error::BadSignature => Error::BadSignature,
            error => Error::Rsa(error),
        }
    }
}

/// The kind of key a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with 2048 bits: what callers of protocol v1 need.
    Rsa2048,
    /// ECDSA P-256: quick to make, good for TLS only.
    P256,
    /// Ed25519: the same, where no old program takes part.
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyKind::Rsa2048 => "RSA",
            KeyKind::P256 => "P-256",
            KeyKind::Ed25519 => "Ed25519",
        })
    }
}

/// A private key with its PEM form. Its `Debug` form shows no part of it.
pub struct PrivateKey {
    pair: Pair,
    pem: String,
}

enum Pair {
    Rsa(rsa::SigningKey),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.kind())
    }
}

impl PrivateKey {
    /// A new key. RSA takes a noticeable part of a second.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn generate(kind: KeyKind) -> Result<Self, Error> {
        match kind {
            KeyKind::Rsa2048 => Self::from_pem(&rsa::generate_2048()?),
            KeyKind::P256 => {
                let der = EcdsaKeyPair::generate_pkcs8(
                    &ECDSA_P256_SHA256_ASN1_SIGNING,
                    &SystemRandom::new(),
                )
                .map_err(|_| Error::Failed(kind))?;
                Self::from_pem(&pem::encode("PRIVATE KEY", der.as_ref()))
            }
            KeyKind::Ed25519 => {
                let mut seed = [0; SEED_BYTES];
                random::fill(&mut seed);
                // Version 1 of PKCS#8 (RFC 8410 section 7), which every program reads.
                let der = sequence(&[
                    &value(INTEGER, &[0]),
                    &sequence(&[&oid(OID_ED25519)]),
                    &value(OCTET_STRING, &value(OCTET_STRING, &seed)),
                ]);
                Self::from_pem(&pem::encode("PRIVATE KEY", &der))
            }
        }
    }

    /// Reads a PKCS#8 key, or an RSA key in PKCS#1.
    ///
    /// # Errors
    /// When there is none that can be used.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let pem = text.to_owned();
        match rsa::SigningKey::from_pem(text.as_bytes()) {
            Ok(pair) => return Ok(PrivateKey { pair: Pair::Rsa(pair), pem }),
            Err(rsa::Error::NotRsa) => {}
            Err(error) => return Err(error.into()),
        }
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| Error::Unknown)?;
        let der = der.secret_pkcs8_der();
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(PrivateKey { pair: Pair::Ed25519(pair), pem });
        }
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &random)
            .map_err(|_| Error::Unknown)?;
        Ok(PrivateKey { pair: Pair::P256(pair), pem })
    }

    /// The key as PEM: a secret.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        match self.pair {
            Pair::Rsa(_) => KeyKind::Rsa2048,
            Pair::P256(_) => KeyKind::P256,
            Pair::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// The public half as SubjectPublicKeyInfo, DER.
    pub fn public_key_info(&self) -> Vec<u8> {
        let (algorithm, public) = match &self.pair {
            Pair::Rsa(pair) => {
                (sequence(&[&oid(OID_RSA_KEY), &value(NULL, &[])]), pair.public_key())
            }
            Pair::P256(pair) => {
                (sequence(&[&oid(OID_EC_KEY), &oid(OID_P256)]), pair.public_key().as_ref())
            }
            Pair::Ed25519(pair) => (sequence(&[&oid(OID_ED25519)]), pair.public_key().as_ref()),
        };
        sequence(&[&algorithm, &bit_string(public)])
    }

    /// The AlgorithmIdentifier of its signatures.
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        match self.kind() {
            KeyKind::Rsa2048 => sequence(&[&oid(OID_RSA_SHA256), &value(NULL, &[])]),
            KeyKind::P256 => sequence(&[&oid(OID_ECDSA_SHA256)]),
            KeyKind::Ed25519 => sequence(&[&oid(OID_ED25519)]),
        }
    }

    /// The signature over `message`, in the form certificates hold it.
    ///
    /// # Errors
    /// When the key fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.pair {
            Pair::Rsa(pair) => Ok(pair.sign_pkcs1_sha256(message)?),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                let signature = signature.map_err(|_| Error::Failed(KeyKind::P256))?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// The kind of a public key, and its bytes as they stand in the SubjectPublicKeyInfo.
fn public_parts(public_key_info: &[u8]) -> Option<(KeyKind, &[u8])> {
    let mut info = Reader::new(public_key_info).enter(der::SEQUENCE)?;
    let mut algorithm = info.enter(der::SEQUENCE)?;
    let kind = match algorithm.take(der::OID)? {
        id if id == OID_RSA_KEY => KeyKind::Rsa2048,
        id if id == OID_ED25519 => KeyKind::Ed25519,
        id if id == OID_EC_KEY && algorithm.take(der::OID)? == OID_P256 => KeyKind::P256,
        _ => return None,
    };
    match info.take(der::BIT_STRING)? {
        [0, key @ ..] => Some((kind, key)),
        _ => None,
    }
}

/// What kind of key a SubjectPublicKeyInfo holds.
///
/// # Errors
/// [`Error::UnknownPublic`] for every other kind.
pub fn kind_of(public_key_info: &[u8]) -> Result<KeyKind, Error> {
    public_parts(public_key_info).map(|(kind, _)| kind).ok_or(Error::UnknownPublic)
}

/// The key identifier of certificates: the first 20 bytes of the SHA-256 of the key (RFC 7093 section 2).
pub(super) fn key_id(public_key_info: &[u8]) -> Vec<u8> {
    let key = public_parts(public_key_info).map_or(public_key_info, |(_, key)| key);
    hash::sha256(key).into_iter().take(20).collect()
}

/// Checks a signature as certificates hold it, with SHA-256 where a hash has to be chosen.
///
/// # Errors
/// When it does not fit, or the key is none that may be used.
pub fn verify(public_key_info: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Error> {
    let (kind, key) = public_parts(public_key_info).ok_or(Error::UnknownPublic)?;
    let verified = match kind {
        KeyKind::Rsa2048 => {
            return Ok(rsa::verify_pkcs1_sha256(public_key_info, message, signature)?);
        }
        KeyKind::P256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature)
        }
        KeyKind::Ed25519 => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
    };
    verified.map_err(|_| Error::BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_signs_and_is_read_back() {
        for kind in [KeyKind::Rsa2048, KeyKind::P256, KeyKind::Ed25519] {
            let key = PrivateKey::generate(kind).unwrap();
            assert_eq!(key.kind(), kind);
            let again = PrivateKey::from_pem(key.pem()).unwrap();
            let public = key.public_key_info();
            assert_eq!(public, again.public_key_info());
            assert_eq!(kind_of(&public), Ok(kind));
            assert_eq!(key_id(&public).len(), 20);
            let signature = again.sign(b"text").unwrap();
            assert_eq!(verify(&public, b"text", &signature), Ok(()));
            assert_eq!(verify(&public, b"Text", &signature), Err(Error::BadSignature), "{kind}");
            assert_eq!(verify(&public, b"text", b""), Err(Error::BadSignature), "{kind}");
            assert!(!format!("{key:?}").contains("BEGIN"));
        }
        assert!(matches!(PrivateKey::from_pem("nothing"), Err(Error::Rsa(rsa::Error::NoKey))));
        assert_eq!(verify(&[0x30, 0], b"", b""), Err(Error::UnknownPublic));
    }
}
