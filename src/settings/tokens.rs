//! Whose tokens are trusted: from keys, key files and the list of revoked tokens.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::Problem;
use crate::config::{Config, Issuer};
use crate::tokens::{Key, Revoked, Trust};

/// The list of revoked tokens.
pub(super) const REVOKED: &str = "plugin.choria.security.revoked_tokens";
/// The names of the issuers.
pub(super) const ISSUERS: &str = "plugin.security.issuer.names";

/// Bytes of a key file at most.
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a list of revoked tokens at most.
const REVOKED_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Keys of one list. They are tried one after the other.
const SIGNERS_MAX: usize = 64;

/// The tokens that are not accepted any more.
pub(super) fn revoked(config: &Config) -> Result<Arc<Revoked>, Problem> {
    let Some(path) = &config.tokens.revoked else { return Ok(Arc::default()) };
    let refuse = |reason: &dyn std::fmt::Display| {
        Problem::new(format!("{}: {REVOKED}: {}: {reason}", config.origin(REVOKED), path.display()))
    };
    let contents = read(path, REVOKED_BYTES_MAX).map_err(|error| refuse(&error))?;
    let text = String::from_utf8(contents).map_err(|_| refuse(&"it is not text"))?;
    Revoked::parse(&text).map(Arc::new).map_err(|fault| refuse(&fault))
}

/// The trust in the issuers that are configured; nothing without any. An issuer without a usable key is refused, for
/// whoever it issues tokens to would be locked out, or let in by somebody else.
pub(super) fn issuers(config: &Config, revoked: &Arc<Revoked>) -> Result<Option<Trust>, Problem> {
    let mut keys = BTreeMap::new();
    for issuer in &config.tokens.issuers {
        let key = Issuer::key(&issuer.name);
        let Some(text) = &issuer.public else {
            let place = config.origin(ISSUERS);
            return Err(Problem::new(format!("{place}: the issuer {} has no {key}", issuer.name)));
        };
        let public = Key::from_hex(text)
            .map_err(|fault| Problem::new(format!("{}: {key}: {fault}", config.origin(&key))))?;
        keys.insert(issuer.name.clone(), public);
    }
    let trust = || Trust::issuers(keys).with_revoked(revoked.clone());
    Ok((!config.tokens.issuers.is_empty()).then(trust))
}

/// The trust in a list of key files and hex keys.
pub(super) fn signers(
    config: &Config,
    key: &str,
    list: &[String],
    revoked: &Arc<Revoked>,
) -> Result<Trust, Problem> {
    if list.len() > SIGNERS_MAX {
        let place = config.origin(key);
        let text = format!("{place}: {key}: {} keys are more than {SIGNERS_MAX}", list.len());
        return Err(Problem::new(text));
    }
    let keys: Result<Vec<_>, _> = list.iter().map(|entry| signer(config, key, entry)).collect();
    Ok(Trust::signers(keys?).with_revoked(revoked.clone()))
}

/// A key of 64 hexadecimal digits, else the one in the file with this name.
pub(super) fn signer(config: &Config, key: &str, entry: &str) -> Result<Key, Problem> {
    if let Ok(signer) = Key::from_hex(entry) {
        return Ok(signer);
    }
    let refuse = |reason: &dyn std::fmt::Display| {
        Problem::new(format!("{}: {key}: {entry}: {reason}", config.origin(key)))
    };
    let contents = read(Path::new(entry), KEY_BYTES_MAX).map_err(|error| refuse(&error))?;
    Key::from_file_contents(&contents).map_err(|fault| refuse(&fault))
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    let count = File::open(path)?.take(bytes_max + 1).read_to_end(&mut contents)?;
    match count as u64 > bytes_max {
        true => Err(io::Error::other(format!("it is longer than {bytes_max} bytes"))),
        false => Ok(contents),
    }
}
