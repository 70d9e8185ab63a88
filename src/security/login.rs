//! The token of this process and the key it belongs to: what it logs in with at a broker, and signs with in v2.
//!
//! Both are files that may be renewed while the process runs, so they are read again for each attempt to connect. What
//! was read last is what requests and replies are signed with.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;

use super::Settings;
use super::setup::{self, Problem, What};
use crate::crypto::ed25519::{KeyPair, SIGNATURE_LEN};
use crate::protocol::Plain;
use crate::tokens::{Claims, Common, Purpose, Unverified};
use crate::util::secret::Secret;
use crate::util::time;

/// Characters of a nonce at most. Brokers send 15.
const NONCE_CHARS_MAX: usize = 64;
/// How far the clock of whoever made the token may be ahead.
const LEEWAY: Duration = Duration::from_secs(5);

/// Where a token and the seed of its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFiles {
    /// The token.
    pub token: PathBuf,
    /// The seed of its key, 64 hexadecimal digits.
    pub seed: PathBuf,
    /// Which configuration keys say so.
    pub keys: TokenKeys,
    /// What the token has to be for.
    pub holder: Holder,
}

/// The configuration keys that a token and its seed come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKeys {
    /// Those of the `choria` provider.
    Provider,
    /// Those of a server without a certificate.
    Server,
    /// Those of a client whose requests a service signs.
    Signer,
}

/// Who a token has to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A client; its caller id is that of the token.
    Client,
    /// The server of the identity in the settings.
    Server,
}

/// A token and its key, as they were read last.
pub struct Login {
    /// The caller id of a client, the identity of a server.
    name: String,
    current: RwLock<Arc<Current>>,
}

/// One state of the two files.
pub(super) struct Current {
    token: Secret<String>,
    common: Common,
    key: KeyPair,
}

/// What a broker is shown.
#[derive(Debug)]
pub struct Greeting {
    /// The token.
    pub token: Secret<String>,
    /// Base64url of the signature over the broker's nonce; none when it sent none.
    pub signature: Option<String>,
}

/// Why this process cannot log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// A file cannot be used any more.
    File(Problem),
    /// The token has ended.
    Expired {
        /// Whose it is.
        name: String,
        /// When it, or its issuer, ended; none when it says no end, which counts as ended.
        at: Option<SystemTime>,
    },
    /// The token begins later.
    NotYetValid {
        /// Whose it is.
        name: String,
        /// When it begins.
        from: SystemTime,
    },
    /// The token file now holds somebody else's.
    OtherHolder {
        /// Whose it was.
        before: String,
        /// Whose it is.
        now: String,
    },
    /// The broker wants a signature over something that is no nonce. The key also signs requests, so nothing that could
    /// be one is signed.
    Nonce,
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginError::File(problem) => problem.fmt(f),
            LoginError::Expired { name, at: Some(at) } => {
                write!(f, "the token of {} expired on {}", Plain(name), time::rfc3339(*at))
            }
            LoginError::Expired { name, at: None } => {
                write!(f, "the token of {} does not say when it expires", Plain(name))
            }
            LoginError::NotYetValid { name, from } => {
                write!(
                    f,
                    "the token of {} is valid from {} on only",
                    Plain(name),
                    time::rfc3339(*from)
                )
            }
            LoginError::OtherHolder { before, now } => {
                write!(f, "the token was for {} and is for {} now", Plain(before), Plain(now))
            }
            LoginError::Nonce => f.write_str("the broker wants a signature over what is no nonce"),
        }
    }
}

impl std::error::Error for LoginError {}

impl Login {
    /// Reads both files.
    pub(super) fn open(settings: &Settings, files: &TokenFiles) -> Result<Self, Vec<Problem>> {
        let (name, current) = read(settings, files)?;
        Ok(Login { name, current: RwLock::new(Arc::new(current)) })
    }

    /// The caller id of a client, the identity of a server. It never changes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the token that was read last ends.
    pub fn expires(&self) -> Option<SystemTime> {
        self.current().common.effective_expiry().map(time::from_unix)
    }

    /// Reads the files again, and makes what a broker is shown that has sent this nonce.
    ///
    /// # Errors
    /// Why this process cannot log in now.
    pub(super) fn greet(
        &self,
        settings: &Settings,
        files: &TokenFiles,
        nonce: &str,
        now: SystemTime,
    ) -> Result<Greeting, LoginError> {
        let (name, current) = read(settings, files).map_err(|mut problems| {
            // There is one at least, and the first one tells most.
            LoginError::File(problems.swap_remove(0))
        })?;
        if name != self.name {
            return Err(LoginError::OtherHolder { before: self.name.clone(), now: name });
        }
        let current = Arc::new(current);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current.clone();
        self.check(&current.common, now)?;
        Ok(Greeting { token: current.token.clone(), signature: sign_nonce(&current.key, nonce)? })
    }

    /// The token and the signature of its key over a text.
    pub(super) fn sign(&self, text: &[u8]) -> (Secret<String>, [u8; SIGNATURE_LEN]) {
        let current = self.current();
        (current.token.clone(), current.key.sign(text))
    }

    /// The token.
    pub(super) fn token(&self) -> Secret<String> {
        self.current().token.clone()
    }

    fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check(&self, common: &Common, now: SystemTime) -> Result<(), LoginError> {
        if common.is_expired(now) {
            let at = common.effective_expiry().map(time::from_unix);
            return Err(LoginError::Expired { name: self.name.clone(), at });
        }
        match common.not_before.map(time::from_unix) {
            Some(from) if now + LEEWAY < from => {
                Err(LoginError::NotYetValid { name: self.name.clone(), from })
            }
            _ => Ok(()),
        }
    }
}

/// Nonces are base64url. The form is checked because the same key signs requests, and a broker that sends a request as
/// its nonce would get it signed.
fn sign_nonce(key: &KeyPair, nonce: &str) -> Result<Option<String>, LoginError> {
    if nonce.is_empty() {
        return Ok(None);
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if nonce.len() > NONCE_CHARS_MAX || !nonce.bytes().all(fits) {
        return Err(LoginError::Nonce);
    }
    Ok(Some(BASE64URL_NOPAD.encode(&key.sign(nonce.as_bytes()))))
}

fn read(settings: &Settings, files: &TokenFiles) -> Result<(String, Current), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut load = |what: What| match text(settings, what) {
        Ok(text) => Some(text),
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let (token, seed) = (load(What::Token), load(What::Seed));
    let (Some(token), Some(seed)) = (token, seed) else { return Err(problems) };
    let unusable = |what, reason: String| vec![setup::unusable(what, settings, reason)];
    let parsed =
        Unverified::parse(&token).map_err(|fault| unusable(What::Token, fault.to_string()))?;
    let name = holder(files.holder, &settings.identity, parsed.claims())
        .map_err(|reason| unusable(What::Token, reason))?;
    let key = KeyPair::from_seed_hex(&seed)
        .map_err(|error| unusable(What::Seed, format!("it is {error}")))?;
    match parsed.common().holder_key() {
        Ok(public) if public == key.public_key() => {}
        Ok(_) => {
            return Err(unusable(What::Seed, "it does not belong to the token".to_owned()));
        }
        Err(denied) => return Err(unusable(What::Token, denied.to_string())),
    }
    let common = parsed.common().clone();
    Ok((name, Current { token: Secret::new(token), common, key }))
}

/// The contents of a file that has to be there, without what editors put around them.
fn text(settings: &Settings, what: What) -> Result<String, Problem> {
    let bytes = setup::read(what, settings)?.ok_or_else(|| setup::absent(what, settings))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.trim_ascii().to_owned()),
        Err(_) => Err(setup::unusable(what, settings, "it is not text".to_owned())),
    }
}

/// Whose token it is, when it is for such a holder.
fn holder(holder: Holder, identity: &str, claims: &Claims) -> Result<String, String> {
    let (wanted, name) = match (holder, claims) {
        (Holder::Client, Claims::Client(claims)) => (Purpose::Client, Some(&claims.caller)),
        (Holder::Server, Claims::Server(claims)) => (Purpose::Server, Some(&claims.identity)),
        (Holder::Client, _) => (Purpose::Client, None),
        (Holder::Server, _) => (Purpose::Server, None),
    };
    let found =
        claims.purpose().map_or("of no known purpose".to_owned(), |p| format!("a {p} token"));
    let name = name.ok_or_else(|| format!("it is {found}, not a {wanted} token"))?;
    if name.is_empty() {
        return Err("it names nobody".to_owned());
    }
    if holder == Holder::Server && name != identity {
        return Err(format!("it is for {}, not for the identity {identity}", Plain(name)));
    }
    Ok(name.clone())
}
