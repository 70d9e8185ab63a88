//! The compact form: header, claims and signature as base64url between dots.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::claims::{self, Claims, Common, Purpose};
use super::key::{Key, SigningKey};
use super::{Denied, TEXT_BYTES_MAX};
use crate::crypto::rsa::Digest;

/// How a token is signed. There are no others: `none`, HMAC and ECDSA are refused when a token is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384; read, never made.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512; read, never made.
    Rs512,
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            _ => None,
        }
    }

    /// The name in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The first one: the algorithm.
    Header,
    /// The second one: the claims.
    Claims,
    /// The third one.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// Why a text is not a token. Nothing of the token itself is in it but the name of its algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no text.
    Empty,
    /// The text is longer than [`TEXT_BYTES_MAX`].
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// There are not exactly three parts.
    Parts {
        /// How many there are.
        count: usize,
    },
    /// A part is not base64url without padding.
    Base64 {
        /// Which one.
        part: Part,
    },
    /// A part is not the JSON object it should be.
    Json {
        /// Which one.
        part: Part,
        /// The column of the decoded text where reading ended.
        column: usize,
    },
    /// The algorithm is none of [`Algorithm`].
    Algorithm {
        /// Its name, at most 16 characters of it.
        name: String,
    },
    /// The header names extensions that must be understood. None is.
    Critical,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the token is empty"),
            Self::TooLong { bytes } => {
                write!(f, "the token has {bytes} bytes, at most {TEXT_BYTES_MAX} are allowed")
            }
            Self::Parts { count } => write!(f, "the token has {count} parts instead of 3"),
            Self::Base64 { part } => write!(f, "the {part} of the token is not base64url"),
            Self::Json { part, column } => {
                write!(f, "the {part} of the token cannot be read at column {column}")
            }
            Self::Algorithm { name } => {
                write!(f, "the algorithm {name:?} of the token is not allowed")
            }
            Self::Critical => f.write_str("the token needs extensions that are not known"),
        }
    }
}

impl std::error::Error for Fault {}

/// A token as it came. Its claims may be shown and may choose a key to verify it with; they prove nothing.
pub struct Unverified {
    algorithm: Algorithm,
    /// Header and claims with the dot between them: what the signature covers.
    signed: String,
    signature: Vec<u8>,
    payload: Vec<u8>,
    claims: Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<serde::de::IgnoredAny>,
}

impl Unverified {
    /// Reads a token: exact, no white space around it, at most [`TEXT_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(Fault::TooLong { bytes: text.len() });
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(Fault::Parts { count: parts.len() });
        };
        let algorithm = algorithm(&decode(Part::Header, header)?)?;
        let signature = decode(Part::Signature, signature)?;
        let signed = &text[..header.len() + 1 + payload.len()];
        let payload = decode(Part::Claims, payload)?;
        let claims = Claims::read(&payload).map_err(|error| json(Part::Claims, &error))?;
        Ok(Self { algorithm, signed: signed.to_owned(), signature, payload, claims })
    }

    /// The algorithm of the header.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What the token says it is for.
    pub fn purpose(&self) -> Option<Purpose> {
        self.claims.purpose()
    }

    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The claims that all tokens share.
    pub fn common(&self) -> &Common {
        self.claims.common()
    }

    /// The organization it says it belongs to; empty when it says none.
    pub fn organization(&self) -> &str {
        self.claims.organization()
    }

    /// The claims as the JSON text they came as.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the signature of the token, and nothing else.
    pub(super) fn check_signature(&self, key: &Key) -> Result<(), Denied> {
        let (signed, signature) = (self.signed.as_bytes(), &self.signature[..]);
        let fits = match (key, self.algorithm) {
            (Key::Ed25519(key), Algorithm::EdDsa) => key.verify(signed, signature).is_ok(),
            (Key::Rsa(key), Algorithm::Rs256) => {
                key.verify(Digest::Sha256, signed, signature).is_ok()
            }
            (Key::Rsa(key), Algorithm::Rs384) => {
                key.verify(Digest::Sha384, signed, signature).is_ok()
            }
            (Key::Rsa(key), Algorithm::Rs512) => {
                key.verify(Digest::Sha512, signed, signature).is_ok()
            }
            (Key::Ed25519(_), _) | (Key::Rsa(_), Algorithm::EdDsa) => {
                return Err(Denied::KeyKind { algorithm: self.algorithm });
            }
        };
        if fits { Ok(()) } else { Err(Denied::Signature) }
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("algorithm", &self.algorithm)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// The compact form of claims that are JSON already.
pub(super) fn compact(
    payload: &[u8],
    key: &SigningKey,
) -> Result<String, crate::crypto::rsa::Error> {
    let header = match key {
        SigningKey::Ed25519(_) => r#"{"alg":"EdDSA","typ":"JWT"}"#,
        SigningKey::Rsa(_) => r#"{"alg":"RS256","typ":"JWT"}"#,
    };
    let mut text = BASE64URL_NOPAD.encode(header.as_bytes());
    text.push('.');
    BASE64URL_NOPAD.encode_append(payload, &mut text);
    let signature = match key {
        SigningKey::Ed25519(pair) => pair.sign(text.as_bytes()).to_vec(),
        SigningKey::Rsa(key) => key.sign_pkcs1_sha256(text.as_bytes())?,
    };
    text.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut text);
    Ok(text)
}

fn algorithm(header: &[u8]) -> Result<Algorithm, Fault> {
    let header: Header = claims::object(header).map_err(|error| json(Part::Header, &error))?;
    if header.crit.is_some() {
        return Err(Fault::Critical);
    }
    Algorithm::named(&header.alg)
        .ok_or_else(|| Fault::Algorithm { name: header.alg.chars().take(16).collect() })
}

fn decode(part: Part, text: &str) -> Result<Vec<u8>, Fault> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Fault::Base64 { part })
}

fn json(part: Part, error: &serde_json::Error) -> Fault {
    Fault::Json { part, column: error.column() }
}
