//! Logging in: a name and a password become a token, for a key that is made here.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::web::shown;
use crate::crypto::ed25519::KeyPair;
use crate::http::fetch::{Ask, FetchError, Fetcher, Verb};
use crate::tokens::{Claims, Unverified};
use crate::util::secret::Secret;
use crate::util::time;

/// Who logs in.
#[derive(Debug)]
pub struct Account {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
}

/// What a login gives. Nothing is stored here: the old token stays good until both parts are.
#[derive(Debug)]
pub struct Session {
    /// The token, exactly as it has to be stored.
    pub token: Secret<String>,
    /// The key it was made for; its seed has to be stored beside it.
    pub key: KeyPair,
    /// When the token, or its issuer, ends.
    pub expires: Option<i64>,
    /// The caller id in the token.
    pub caller: String,
}

/// Why nobody is logged in.
#[derive(Debug)]
pub enum LoginError {
    /// No service is configured.
    NoService,
    /// The last service that was tried cannot be asked.
    Unreachable {
        /// Its address.
        url: String,
        /// Why not.
        error: FetchError,
    },
    /// The service does not answer as one.
    Answer {
        /// Its address.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The service says no. Its own words.
    Refused(String),
    /// The token is not what was asked for.
    Token(String),
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoService => f.write_str("no login service is configured"),
            Self::Unreachable { url, error } => {
                write!(f, "the login service at {url} cannot be asked: {error}")
            }
            Self::Answer { url, reason } => {
                write!(f, "the login service at {url} failed: {reason}")
            }
            Self::Refused(reason) => write!(f, "the login was refused: {reason}"),
            Self::Token(reason) => {
                write!(f, "the token from the login service cannot be used: {reason}")
            }
        }
    }
}

impl std::error::Error for LoginError {}

/// Where to log in.
#[derive(Debug)]
pub struct LoginService {
    fetcher: Fetcher,
    urls: Vec<String>,
}

#[derive(Serialize)]
struct Question<'a> {
    username: &'a str,
    password: &'a str,
    timestamp: String,
    public_key: String,
    signature: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    token: Option<String>,
    error: Option<String>,
}

impl LoginService {
    /// One that can be asked at any of some addresses.
    pub fn new(fetcher: Fetcher, urls: Vec<String>) -> Self {
        Self { fetcher, urls }
    }

    /// Logs in. The addresses are tried in random order until one can be reached; a refusal is final.
    ///
    /// # Errors
    /// Why there is no token.
    pub async fn log_in(&self, account: &Account) -> Result<Session, LoginError> {
        let mut urls: Vec<&String> = self.urls.iter().collect();
        fastrand::shuffle(&mut urls);
        let mut last = LoginError::NoService;
        for url in urls {
            match self.log_in_at(url, account).await {
                Err(error @ LoginError::Unreachable { .. }) => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    async fn log_in_at(&self, url: &str, account: &Account) -> Result<Session, LoginError> {
        let key = KeyPair::generate();
        let body = question(account, &key, SystemTime::now());
        let ask = Ask::new(Verb::Post, url).header("Content-Type", "application/json").body(body);
        let unreachable = |error| LoginError::Unreachable { url: url.to_owned(), error };
        let answered = self.fetcher.send(ask).await.map_err(unreachable)?;
        let failed = |reason: String| LoginError::Answer { url: url.to_owned(), reason };
        if answered.status != 200 {
            return Err(failed(format!("it answered with status {}", answered.status)));
        }
        let answer: Answer = serde_json::from_slice(&answered.body)
            .map_err(|_| failed("its answer is not the JSON it should be".to_owned()))?;
        if let Some(reason) = answer.error.filter(|reason| !reason.is_empty()) {
            return Err(LoginError::Refused(shown(&reason)));
        }
        let Some(token) = answer.token.filter(|token| !token.is_empty()) else {
            return Err(failed("its answer holds no token".to_owned()));
        };
        session(token, key, SystemTime::now())
    }
}

/// The body of a login. What is signed is `<timestamp>:<username>:<password>`.
pub(super) fn question(account: &Account, key: &KeyPair, now: SystemTime) -> Vec<u8> {
    let (username, password) = (account.username.as_str(), account.password.expose().as_str());
    let timestamp = time::unix_secs(now).to_string();
    let signature = key.sign_hex(format!("{timestamp}:{username}:{password}").as_bytes());
    let public_key = key.public_key().to_string();
    let question = Question { username, password, timestamp, public_key, signature };
    // Text is JSON always.
    serde_json::to_vec(&question).unwrap_or_default()
}

/// Checks that the token is one that can be used with the key, before anything is overwritten by it.
pub(super) fn session(token: String, key: KeyPair, now: SystemTime) -> Result<Session, LoginError> {
    let bad = |reason: &dyn fmt::Display| LoginError::Token(reason.to_string());
    let unverified = Unverified::parse(&token).map_err(|fault| bad(&fault))?;
    let Claims::Client(claims) = unverified.claims() else {
        return Err(bad(&"it is not the token of a client"));
    };
    if claims.common.is_expired(now) {
        return Err(bad(&"it has expired already"));
    }
    match claims.common.holder_key() {
        Ok(public) if public == key.public_key() => {}
        Ok(_) => return Err(bad(&"it is for another key")),
        Err(denied) => return Err(bad(&denied)),
    }
    let (expires, caller) = (claims.common.effective_expiry(), claims.caller.clone());
    Ok(Session { token: Secret::new(token), key, expires, caller })
}
