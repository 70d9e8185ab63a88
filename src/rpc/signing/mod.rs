//! Requests that an AAA service signs, and the login with which a person gets the token it asks for.
//!
//! The service is shown the token of the caller and a signature over the request, made with the seed that belongs to the
//! token. It answers with the secure request, which is completed and checked by
//! [`crate::security::Provider::sign_with`]. Token and seed are read anew for each request: they may be renewed while a
//! process runs. Spec: Choria wire protocol, remote signing and login.

mod login;
mod service;
mod web;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::crypto::ed25519::KeyPair;
use crate::security::Refused;
use crate::tokens::{Claims, TEXT_BYTES_MAX, Unverified};
use crate::util::secret::Secret;
use crate::util::{duration, time};

pub use login::{Account, LoginError, LoginService, Session};
pub(super) use service::ServiceSigner;
pub use web::WebSigner;

/// A token that ends sooner is worth a hint.
const RENEW_WITHIN: Duration = Duration::from_secs(300);
/// Bytes of a seed file that are read: 64 digits and white space.
const SEED_BYTES_MAX: usize = 256;
/// White space that a token file may have around the token.
const SPACE_BYTES_MAX: usize = 64;

/// Where the token and the seed of a caller are.
#[derive(Debug)]
pub struct Credentials {
    token: PathBuf,
    seed: PathBuf,
    hinted: AtomicBool,
}

/// What a signing service is shown beside the request.
#[derive(Debug)]
pub(super) struct Proof {
    /// The token.
    pub(super) token: Secret<String>,
    /// The signature over the request, in hexadecimal digits.
    pub(super) signature: String,
}

impl Credentials {
    /// Those in two files, which need not exist yet.
    pub fn new(token: PathBuf, seed: PathBuf) -> Self {
        Self { token, seed, hinted: AtomicBool::new(false) }
    }

    /// Reads both files and signs a request.
    ///
    /// # Errors
    /// When a file cannot be used, the token is none of a client or has ended, or the two do not belong together.
    pub(super) async fn prove(&self, request: &[u8], now: SystemTime) -> Result<Proof, Refused> {
        let (token, seed) = (self.token.clone(), self.seed.clone());
        let read = smol::unblock(move || {
            let token = read("token", &token, TEXT_BYTES_MAX + SPACE_BYTES_MAX)?;
            Ok((token, read("seed", &seed, SEED_BYTES_MAX)?))
        });
        let (token, seed) = read.await.map_err(Refused)?;
        let pair = KeyPair::from_seed_hex(&seed).map_err(|error| self.bad(&self.seed, &error))?;
        self.check(&token, &pair, now)?;
        Ok(Proof { token: Secret::new(token), signature: pair.sign_hex(request) })
    }

    /// The service checks all of this as well, but cannot say what to do about it.
    fn check(&self, token: &str, pair: &KeyPair, now: SystemTime) -> Result<(), Refused> {
        let unverified = Unverified::parse(token).map_err(|fault| self.bad(&self.token, &fault))?;
        let Claims::Client(claims) = unverified.claims() else {
            return Err(self.bad(&self.token, &"it is not the token of a client"));
        };
        let common = &claims.common;
        if let Some(end) = common.effective_expiry().filter(|_| common.is_expired(now)) {
            let end = time::rfc3339(time::from_unix(end));
            return Err(self.bad(&self.token, &format!("it expired at {end}; log in again")));
        }
        // Tokens without a key are bearer tokens: the service decides whether it takes them.
        if !common.public_key.is_empty() && common.holder_key() != Ok(pair.public_key()) {
            return Err(self.bad(&self.seed, &"it does not belong to the token"));
        }
        self.hint(common.effective_expiry(), now);
        Ok(())
    }

    /// Says once that the token ends soon.
    fn hint(&self, end: Option<i64>, now: SystemTime) {
        let left = end.and_then(|end| time::from_unix(end).duration_since(now).ok());
        let Some(left) = left.filter(|left| *left < RENEW_WITHIN) else { return };
        if !self.hinted.swap(true, Ordering::Relaxed) {
            let left = duration::go(Duration::from_secs(left.as_secs()));
            log::warn!("rpc: the token {} expires in {left}; log in again", self.token.display());
        }
    }

    fn bad(&self, path: &Path, reason: &dyn std::fmt::Display) -> Refused {
        Refused(format!("{} cannot be used: {reason}", path.display()))
    }
}

fn read(what: &str, path: &Path, bytes_max: usize) -> Result<String, String> {
    let failed = |reason: &dyn std::fmt::Display| {
        format!("cannot read the {what} {}: {reason}", path.display())
    };
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut text = String::new();
    let mut file = std::io::Read::take(file, bytes_max as u64 + 1);
    std::io::Read::read_to_string(&mut file, &mut text).map_err(|error| failed(&error))?;
    if text.len() > bytes_max {
        return Err(failed(&format!("it has more than {bytes_max} bytes")));
    }
    Ok(text.trim().to_owned())
}
