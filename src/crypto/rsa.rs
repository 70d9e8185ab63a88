//! RSA PKCS#1 v1.5: the signature of protocol v1 requests (with SHA-256), and of tokens.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{self, KeyPair, RsaKeyPair, UnparsedPublicKey};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};

use super::der::{self, Reader};
use super::pem;
use super::x509::Certificate;

/// Bits a key must have at least.
pub const BITS_MIN: usize = 2048;
/// Bits a public key may have at most.
pub const BITS_MAX: usize = 8192;

const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// Why a key or a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no private key in the PEM text.
    NoKey,
    /// There is no public key in the PEM text.
    NoPublicKey,
    /// The private key is encrypted; keys must be stored without a pass phrase.
    Encrypted,
    /// The key is not an RSA key, which protocol v1 needs.
    NotRsa,
    /// The key has fewer than 2048 bits.
    TooSmall {
        /// Its bits, when known.
        bits: Option<usize>,
    },
    /// The key has more bits than are supported.
    TooLarge,
    /// The key is damaged.
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
    /// The signature does not fit the message and the key.
    BadSignature,
    /// A key could not be generated.
    Generate {
        /// What went wrong.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoKey => f.write_str("no private key in PEM form was found"),
            Error::NoPublicKey => f.write_str("no public key or certificate in PEM form was found"),
            Error::Encrypted => {
                f.write_str("the private key is encrypted; store it without a pass phrase")
            }
            Error::NotRsa => f.write_str("the key is not an RSA key; protocol v1 needs RSA"),
            Error::TooSmall { bits: Some(bits) } => {
                write!(f, "the RSA key has {bits} bits, at least {BITS_MIN} are needed")
            }
            Error::TooSmall { bits: None } => {
                write!(f, "the RSA key is too small, at least {BITS_MIN} bits are needed")
            }
            Error::TooLarge => f.write_str("the RSA key has more bits than are supported"),
            Error::Damaged { reason } => write!(f, "the key is damaged: {reason}"),
            Error::BadSignature => f.write_str("the signature does not fit the message"),
            Error::Generate { reason } => write!(f, "cannot generate an RSA key: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// A private key that signs. Its `Debug` form shows no part of it.
pub struct SigningKey(RsaKeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Reads a PKCS#1 (`RSA PRIVATE KEY`) or PKCS#8 (`PRIVATE KEY`) key of 2048 to 4096 bits.
    ///
    /// # Errors
    /// Why the key cannot be used.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let encrypted = text.windows(9).any(|window| window == b"ENCRYPTED");
        let key = PrivateKeyDer::from_pem_slice(text);
        let key = match key {
            _ if encrypted => return Err(Error::Encrypted),
            Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            Ok(_) => return Err(Error::NotRsa),
            Err(_) => return Err(Error::NoKey),
        };
        key.map(SigningKey).map_err(|rejected| match rejected.to_string().as_str() {
            "WrongAlgorithm" => Error::NotRsa,
            "TooSmall" => Error::TooSmall { bits: None },
            "TooLarge" => Error::TooLarge,
            reason => Error::Damaged { reason: reason.to_owned() },
        })
    }

    /// The signature over `message`. The same message always gives the same signature.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key does not give a valid signature.
    pub fn sign_pkcs1_sha256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out)
            .map_err(|_| Error::Damaged { reason: "signing failed".to_owned() })?;
        Ok(out)
    }

    /// The PKCS#1 public key, DER.
    pub fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// The public half as a SubjectPublicKeyInfo.
    pub fn public_half(&self) -> PublicKey {
        let algorithm = der::sequence(&[&der::oid(OID_RSA), &der::value(der::NULL, &[])]);
        PublicKey(der::sequence(&[&algorithm, &der::bit_string(self.public_key())]))
    }
}

/// Checks a signature with the key of a SubjectPublicKeyInfo
/// ([`super::x509::Certificate::public_key_der`]).
///
/// # Errors
/// [`Error::NotRsa`], [`Error::TooSmall`] or [`Error::TooLarge`] for keys that are not used at all,
/// [`Error::BadSignature`] when the signature does not fit.
pub fn verify_pkcs1_sha256(public_key: &[u8], message: &[u8], sig: &[u8]) -> Result<(), Error> {
    verify_pkcs1(Digest::Sha256, public_key, message, sig)
}

/// The digest inside a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256, the only one that is made here.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// [`verify_pkcs1_sha256`] with a digest of choice.
///
/// # Errors
/// As there.
pub fn verify_pkcs1(
    digest: Digest,
    public_key: &[u8],
    message: &[u8],
    sig: &[u8],
) -> Result<(), Error> {
    let key = usable_key(public_key)?;
    let parameters = match digest {
        Digest::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Digest::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Digest::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
    };
    UnparsedPublicKey::new(parameters, key).verify(message, sig).map_err(|_| Error::BadSignature)
}

/// An RSA public key that may be used: a SubjectPublicKeyInfo, checked once.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Takes the key of a `PUBLIC KEY` or a `CERTIFICATE` block, the first one in the text.
    ///
    /// # Errors
    /// [`Error::NoPublicKey`] when there is neither, [`Error::NotRsa`], [`Error::TooSmall`], [`Error::TooLarge`] or
    /// [`Error::Damaged`] for keys that are not used.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        if let Ok(info) = SubjectPublicKeyInfoDer::from_pem_slice(text) {
            return Self::from_der(&info);
        }
        let certificate = CertificateDer::from_pem_slice(text).map_err(|_| Error::NoPublicKey)?;
        let certificate = Certificate::from_der(&certificate)
            .map_err(|error| Error::Damaged { reason: error.to_string() })?;
        Self::from_der(certificate.public_key_der())
    }

    /// Takes a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// As [`PublicKey::from_pem`].
    pub fn from_der(info: &[u8]) -> Result<Self, Error> {
        usable_key(info)?;
        Ok(Self(info.to_vec()))
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// [`Error::BadSignature`].
    pub fn verify(&self, digest: Digest, message: &[u8], sig: &[u8]) -> Result<(), Error> {
        verify_pkcs1(digest, &self.0, message, sig)
    }

    /// The first half of the SHA-256 of the key as hexadecimal text: enough to tell keys apart in a log.
    pub fn fingerprint(&self) -> String {
        super::hash::sha256_hex(&self.0)[..32].to_owned()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// The PKCS#1 key inside a SubjectPublicKeyInfo when it is one that may be used.
fn usable_key(public_key: &[u8]) -> Result<&[u8], Error> {
    let damaged = || Error::Damaged { reason: "the public key cannot be read".to_owned() };
    let mut info = Reader::new(public_key).enter(der::SEQUENCE).ok_or_else(damaged)?;
    let mut algorithm = info.enter(der::SEQUENCE).ok_or_else(damaged)?;
    if algorithm.take(der::OID).ok_or_else(damaged)? != OID_RSA {
        return Err(Error::NotRsa);
    }
    let bits = info.take(der::BIT_STRING).ok_or_else(damaged)?;
    let [0, key @ ..] = bits else { return Err(damaged()) };
    let mut numbers = Reader::new(key).enter(der::SEQUENCE).ok_or_else(damaged)?;
    let modulus = numbers.take(der::INTEGER).ok_or_else(damaged)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let digits = &modulus[zeros..];
    let bits = digits.first().map_or(0, |top| digits.len() * 8 - top.leading_zeros() as usize);
    match bits {
        bits if bits < BITS_MIN => Err(Error::TooSmall { bits: Some(bits) }),
        bits if bits > BITS_MAX => Err(Error::TooLarge),
        _ => Ok(key),
    }
}

/// A new 2048-bit private key, PKCS#8 PEM. Takes a noticeable part of a second.
///
/// # Errors
/// [`Error::Generate`]; the key is proven by a signature before it is returned.
pub fn generate_2048() -> Result<String, Error> {
    let der = new_key()?.to_pkcs8_der().map_err(|error| failed(&error))?;
    proven(pem::encode("PRIVATE KEY", der.as_bytes()))
}

/// The same in the form of Puppet's key files, PKCS#1 (`RSA PRIVATE KEY`).
///
/// # Errors
/// As [`generate_2048`].
pub fn generate_2048_pkcs1() -> Result<String, Error> {
    let der = new_key()?.to_pkcs1_der().map_err(|error| failed(&error))?;
    proven(pem::encode("RSA PRIVATE KEY", der.as_bytes()))
}

fn new_key() -> Result<RsaPrivateKey, Error> {
    RsaPrivateKey::new(&mut rsa::rand_core::OsRng, BITS_MIN).map_err(|error| failed(&error))
}

fn proven(text: String) -> Result<String, Error> {
    SigningKey::from_pem(text.as_bytes())?.sign_pkcs1_sha256(b"proof")?;
    Ok(text)
}

fn failed(error: &dyn fmt::Display) -> Error {
    Error::Generate { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(name: &str) -> Vec<u8> {
        let path = format!("{}/testdata/wire/v1/pki/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    }

    fn alice() -> (SigningKey, Vec<u8>) {
        let key = SigningKey::from_pem(&captured("alice.mcollective.key")).unwrap();
        let der = CertificateDer::from_pem_slice(&captured("alice.mcollective.pem")).unwrap();
        (key, Certificate::from_der(&der).unwrap().public_key_der().to_vec())
    }

    #[test]
    fn sign_and_verify() {
        let (key, public) = alice();
        let sig = key.sign_pkcs1_sha256(b"text").unwrap();
        assert_eq!(sig, key.sign_pkcs1_sha256(b"text").unwrap());
        assert_eq!(verify_pkcs1_sha256(&public, b"text", &sig), Ok(()));
        assert_eq!(verify_pkcs1_sha256(&public, b"Text", &sig), Err(Error::BadSignature));
        let mut altered = sig.clone();
        altered[0] ^= 1;
        for sig in [&altered[..], &sig[1..], &[], &[&[0], &sig[..]].concat()] {
            assert_eq!(verify_pkcs1_sha256(&public, b"text", sig), Err(Error::BadSignature));
        }
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
        let public = PublicKey::from_pem(&captured("alice.mcollective.pem")).unwrap();
        assert_eq!(public.verify(Digest::Sha256, b"text", &sig), Ok(()));
        assert_eq!(public.verify(Digest::Sha384, b"text", &sig), Err(Error::BadSignature));
        assert_eq!(public.verify(Digest::Sha512, b"text", &sig), Err(Error::BadSignature));
        assert_eq!(public, key.public_half());
    }

    #[test]
    fn weak_and_foreign_keys_are_refused() {
        let number = |bits: usize| {
            let mut bytes = vec![0xff; bits / 8];
            bytes.insert(0, 0);
            der::value(der::INTEGER, &bytes)
        };
        let public = |oid: &[u8], bits| {
            let key = der::sequence(&[&number(bits), &der::value(der::INTEGER, &[1, 0, 1])]);
            let algorithm = der::sequence(&[&der::oid(oid), &der::value(der::NULL, &[])]);
            der::sequence(&[&algorithm, &der::bit_string(&key)])
        };
        let verify = |key: Vec<u8>| verify_pkcs1_sha256(&key, b"x", &[0; 256]);
        assert_eq!(verify(public(OID_RSA, 1024)), Err(Error::TooSmall { bits: Some(1024) }));
        assert_eq!(verify(public(OID_RSA, 16_384)), Err(Error::TooLarge));
        assert_eq!(verify(public(OID_RSA, 2048)), Err(Error::BadSignature));
        assert_eq!(verify(public(&[0x2b, 0x65, 0x70], 2048)), Err(Error::NotRsa));
        assert!(matches!(verify(vec![0x30, 0]), Err(Error::Damaged { .. })));
    }

    #[test]
    fn what_is_not_a_key() {
        let error = |text: &str| SigningKey::from_pem(text.as_bytes()).unwrap_err();
        assert_eq!(error(""), Error::NoKey);
        assert_eq!(error(&String::from_utf8(captured("ca.pem")).unwrap()), Error::NoKey);
        let block = |label| pem::encode(label, &[0x30, 0]);
        assert_eq!(error(&block("ENCRYPTED PRIVATE KEY")), Error::Encrypted);
        assert_eq!(error(&block("EC PRIVATE KEY")), Error::NotRsa);
        assert!(matches!(error(&block("RSA PRIVATE KEY")), Error::Damaged { .. }));
        let public = |label| PublicKey::from_pem(block(label).as_bytes());
        assert_eq!(public("PRIVATE KEY"), Err(Error::NoPublicKey));
        assert!(matches!(public("PUBLIC KEY"), Err(Error::Damaged { .. })));
        assert!(matches!(public("CERTIFICATE"), Err(Error::Damaged { .. })));
        assert!(Error::TooSmall { bits: Some(1024) }.to_string().contains("1024 bits"));
    }
}
