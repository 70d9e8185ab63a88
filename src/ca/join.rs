//! Join tokens: what a node needs to know and may do to get its first certificate.
//!
//! A token is a JWT (RFC 7519) signed with the Ed25519 key of the authority. It tells where the broker is and by which
//! certificate of the authority the broker has to be verified, so that nothing else has to be brought to the node; and it
//! tells the authority which names may be asked for, and how often.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::names::{self, Profile};
use crate::crypto::ed25519::PublicKey;
use crate::crypto::random;
use crate::tokens::{self, Denied, Key, Unverified};
use crate::util::time;

/// The `purpose` of join tokens.
pub const PURPOSE: &str = "choria_join";
/// Names and patterns in one token.
const NAMES_MAX: usize = 64;
/// Brokers in one token.
const BROKERS_MAX: usize = 16;
/// Bytes of the identifier, which is a part of subjects.
const ID_BYTES: usize = 32;
/// The longest life of a token.
pub const LIFE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// What a join token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// [`PURPOSE`].
    pub purpose: String,
    /// The name of the authority.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// The identifier: its uses are counted by it.
    #[serde(rename = "jti")]
    pub id: String,
    /// When it was made, seconds since 1970.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// From when on it may be used.
    #[serde(rename = "nbf")]
    pub not_before: i64,
    /// When it ends.
    #[serde(rename = "exp")]
    pub expires: i64,
    /// SHA-256 of the certificate of the authority, hexadecimal.
    #[serde(rename = "ca")]
    pub fingerprint: String,
    /// What certificates are for.
    pub profile: Profile,
    /// The names that may be asked for; `*` stands for a part of one label.
    pub names: Vec<String>,
    /// How many certificates may be issued with it.
    pub uses: u32,
    /// Where brokers are, as `host:port`.
    pub brokers: Vec<String>,
    /// How long certificates are valid, seconds.
    pub life: u64,
    /// Names that may speak for everybody are allowed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// A certificate that the name has already is revoked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replaces: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Why a join token is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadToken {
    /// It proves nothing.
    Denied(Denied),
    /// It is a token for something else.
    Purpose,
    /// Its claims contradict the rules for them.
    Claim(&'static str),
    /// It is of another authority.
    OtherAuthority,
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadToken::Denied(denied) => write!(f, "{denied}"),
            BadToken::Purpose => f.write_str("it is not a join token"),
            BadToken::Claim(claim) => write!(f, "its claim {claim} cannot be used"),
            BadToken::OtherAuthority => f.write_str("it is of another certificate authority"),
        }
    }
}

impl std::error::Error for BadToken {}

impl From<Denied> for BadToken {
    fn from(denied: Denied) -> Self {
        BadToken::Denied(denied)
    }
}

impl Claims {
    /// A token for one server of any of these names, valid from `now` on for `validity`.
    pub fn new(names: Vec<String>, now: SystemTime, validity: Duration) -> Claims {
        let now = time::unix_secs(now);
        Claims {
            purpose: PURPOSE.to_owned(),
            issuer: String::new(),
            id: random::request_id(),
            issued_at: now,
            not_before: now,
            expires: now.saturating_add(validity.min(LIFE_MAX).as_secs() as i64),
            fingerprint: String::new(),
            profile: Profile::Server,
            names,
            uses: 1,
            brokers: Vec::new(),
            life: super::LIFE.as_secs(),
            privileged: false,
            replaces: false,
        }
    }

    /// Whether it allows a name.
    pub fn allows(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| names::glob(pattern, name))
    }

    /// Checks that the claims can be used at all.
    ///
    /// # Errors
    /// Which one cannot.
    pub fn check(&self) -> Result<(), BadToken> {
        let is_hex = |text: &str, bytes| {
            text.len() == bytes && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let named = (1..=NAMES_MAX).contains(&self.names.len());
        let faults = [
            (self.purpose != PURPOSE, "purpose"),
            (!is_hex(&self.id, ID_BYTES), "jti"),
            (!is_hex(&self.fingerprint, 64), "ca"),
            (!named || !self.names.iter().all(|name| names::is_pattern(name)), "names"),
            (self.uses == 0, "uses"),
            (self.brokers.len() > BROKERS_MAX, "brokers"),
            (self.life == 0, "life"),
        ];
        match faults.iter().find(|(is_bad, _)| *is_bad) {
            Some((_, claim)) => Err(BadToken::Claim(claim)),
            None => Ok(()),
        }
    }
}

/// Reads a token without verifying it: a node cannot, and needs only to know where to go.
///
/// # Errors
/// Why it cannot be read.
pub fn read(text: &str) -> Result<Claims, BadToken> {
    let token = Unverified::parse(text).map_err(Denied::Malformed)?;
    claims(&token)
}

/// Verifies a token.
///
/// # Errors
/// Why it proves nothing.
pub fn verify(text: &str, key: &PublicKey, now: SystemTime) -> Result<Claims, BadToken> {
    let token = Unverified::parse(text).map_err(Denied::Malformed)?;
    tokens::verify_signature_and_times(&token, &Key::Ed25519(*key), now)?;
    let claims = claims(&token)?;
    if time::unix_secs(now) >= claims.expires {
        return Err(Denied::Expired { at: claims.expires }.into());
    }
    Ok(claims)
}

fn claims(token: &Unverified) -> Result<Claims, BadToken> {
    if token.common().purpose != PURPOSE {
        return Err(BadToken::Purpose);
    }
    let claims: Claims =
        serde_json::from_slice(token.payload()).map_err(|_| BadToken::Claim("form"))?;
    claims.check()?;
    Ok(claims)
}
