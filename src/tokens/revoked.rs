//! The list of tokens that are refused although they are good: one a line.

use std::collections::HashSet;
use std::fmt;

use super::{Common, Denied, chain};
use crate::crypto::ed25519::PublicKey;

/// Ids of tokens and public keys that are refused. What a revoked chain issuer made is refused as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    ids: HashSet<String>,
    keys: HashSet<PublicKey>,
}

/// A line that is neither an id nor a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedFault {
    /// Its number, from 1.
    pub line: usize,
}

impl fmt::Display for RevokedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is neither a token id nor a public key", self.line)
    }
}

impl std::error::Error for RevokedFault {}

impl Revoked {
    /// Characters an id may have at most.
    pub const ID_CHARS_MAX: usize = 128;

    /// Reads a list: on each line the id (`jti`) of a token or the 64 hexadecimal digits of a public key. What follows
    /// a `#` is a remark.
    ///
    /// # Errors
    /// The first line that is neither. Nothing is revoked by half of a list.
    pub fn parse(text: &str) -> Result<Self, RevokedFault> {
        let mut revoked = Self::default();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
            if entry.len() > Self::ID_CHARS_MAX || !entry.bytes().all(good) {
                return Err(RevokedFault { line: index + 1 });
            }
            match PublicKey::from_hex(entry) {
                Ok(key) => drop(revoked.keys.insert(key)),
                Err(_) if entry.is_empty() => {}
                Err(_) => drop(revoked.ids.insert(entry.to_owned())),
            }
        }
        Ok(revoked)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.ids.len() + self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks a token by its id and key, and the id and key of its chain issuer.
    ///
    /// # Errors
    /// [`Denied::Revoked`] with the entry.
    pub fn check(&self, common: &Common) -> Result<(), Denied> {
        if self.is_empty() {
            return Ok(());
        }
        let issuer = chain::issuer_of(common).and_then(Result::ok);
        let (issuer_id, issuer_key) = issuer.map(|issuer| (issuer.id, issuer.key)).unzip();
        let own_key = PublicKey::from_hex(&common.public_key).ok();
        let id = [Some(common.id.clone()), issuer_id].into_iter().flatten();
        let mut id = id.filter(|id| self.ids.contains(id));
        let key = [own_key, issuer_key].into_iter().flatten();
        let mut key = key.filter(|key| self.keys.contains(key));
        match id.next().or_else(|| key.next().map(|key| key.to_string())) {
            Some(entry) => Err(Denied::Revoked { entry }),
            None => Ok(()),
        }
    }
}
