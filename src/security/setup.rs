//! What keeps a provider from working, in the words of the configuration.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::login::TokenKeys;
use super::{Kind, Settings};

/// Everything that is wrong with the files of a provider.
#[derive(Debug)]
pub struct SetupError {
    /// The problems found; never empty.
    pub problems: Vec<Problem>,
}

/// One thing to repair. Each names the configuration key, the path and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A path is not configured.
    NotConfigured {
        /// What the file is.
        what: What,
        /// The key that sets it.
        key: &'static str,
    },
    /// A file does not exist.
    Missing {
        /// What the file is.
        what: What,
        /// The key that sets it.
        key: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file cannot be read.
    Unreadable {
        /// What the file is.
        what: What,
        /// The key that sets it.
        key: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file's contents are of no use.
    Unusable {
        /// What the file is.
        what: What,
        /// The key that sets it.
        key: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The name of this process is empty.
    NoIdentity,
    /// TLS cannot be set up.
    Tls {
        /// Why.
        reason: String,
    },
}

/// A file of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The own certificate.
    Certificate,
    /// The private key.
    Key,
    /// The trusted authorities.
    Ca,
    /// What they have revoked.
    Crl,
    /// The token of this process.
    Token,
    /// The seed of the token's key.
    Seed,
}

impl What {
    /// The configuration key that decides the path.
    pub(super) fn key(self, settings: &Settings) -> &'static str {
        match (settings.kind, self) {
            (_, What::Crl) => "plugin.security.crl",
            (_, What::Token) => match settings.token.as_ref().map(|files| files.keys) {
                Some(TokenKeys::Server) => "plugin.choria.security.server.token_file",
                Some(TokenKeys::Signer) => "plugin.choria.security.request_signer.token_file",
                Some(TokenKeys::Provider) | None => "plugin.security.choria.token_file",
            },
            (_, What::Seed) => match settings.token.as_ref().map(|files| files.keys) {
                Some(TokenKeys::Server) => "plugin.choria.security.server.seed_file",
                Some(TokenKeys::Signer) => "plugin.choria.security.request_signer.seed_file",
                Some(TokenKeys::Provider) | None => "plugin.security.choria.seed_file",
            },
            (Kind::Puppet | Kind::CertManager, _) => "plugin.choria.ssldir",
            (Kind::File, What::Certificate) => "plugin.security.file.certificate",
            (Kind::File, What::Key) => "plugin.security.file.key",
            (Kind::File, What::Ca) => "plugin.security.file.ca",
            (Kind::Choria, What::Certificate) => "plugin.security.choria.certificate",
            (Kind::Choria, What::Key) => "plugin.security.choria.key",
            (Kind::Choria, What::Ca) => "plugin.security.choria.ca",
        }
    }

    pub(super) fn path(self, settings: &Settings) -> &Path {
        match self {
            What::Certificate => &settings.certificate,
            What::Key => &settings.key,
            What::Ca => &settings.ca,
            What::Crl => &settings.crl,
            What::Token => settings.token.as_ref().map_or(Path::new(""), |files| &files.token),
            What::Seed => settings.token.as_ref().map_or(Path::new(""), |files| &files.seed),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Certificate => "certificate",
            What::Key => "private key",
            What::Ca => "CA certificate",
            What::Crl => "revocation list",
            What::Token => "token",
            What::Seed => "seed",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NotConfigured { what, key } => {
                write!(f, "no {what} is configured: set {key} to its path")
            }
            Problem::Missing { what, key, path } => write!(
                f,
                "the {what} {} does not exist: create it or correct {key}",
                path.display()
            ),
            Problem::Unreadable { what, key, path, reason } => write!(
                f,
                "cannot read the {what} {}: {reason}; correct its permissions or {key}",
                path.display()
            ),
            Problem::Unusable { what, key, path, reason } => write!(
                f,
                "cannot use the {what} {}: {reason}; replace the file or correct {key}",
                path.display()
            ),
            Problem::NoIdentity => f.write_str("the identity is empty: set identity"),
            Problem::Tls { reason } => write!(f, "cannot set up TLS: {reason}"),
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("security is not set up: ")?;
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SetupError {}

impl From<Problem> for SetupError {
    fn from(problem: Problem) -> Self {
        SetupError { problems: vec![problem] }
    }
}

/// The contents of a file, or nothing when it does not exist.
pub(super) fn read(what: What, settings: &Settings) -> Result<Option<Vec<u8>>, Problem> {
    /// Bytes of a certificate, key or CA file.
    const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
    let (path, key) = (what.path(settings), what.key(settings));
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let unreadable =
        |reason: String| Problem::Unreadable { what, key, path: path.to_owned(), reason };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
        // A pipe would be waited for, and a device need not end.
        Ok(data) if !data.is_file() => {
            return Err(unreadable("it is not a regular file".to_owned()));
        }
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(Some(bytes))
}

/// Says when a file is there that only its owner should read, and everybody can.
pub(super) fn warn_if_open(what: What, settings: &Settings) {
    let path = what.path(settings);
    if std::fs::metadata(path).is_ok_and(|data| data.is_file() && is_open_to_all(&data)) {
        log::warn!("security: everybody can read the {what} file={}", path.display());
    }
}

#[cfg(unix)]
fn is_open_to_all(data: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o004 != 0
}

#[cfg(not(unix))]
fn is_open_to_all(_data: &std::fs::Metadata) -> bool {
    false
}

/// The problem of a file that is needed and not there.
pub(super) fn absent(what: What, settings: &Settings) -> Problem {
    let (path, key) = (what.path(settings), what.key(settings));
    if path.as_os_str().is_empty() {
        return Problem::NotConfigured { what, key };
    }
    Problem::Missing { what, key, path: path.to_owned() }
}

/// The problem of a file that is there and of no use.
pub(super) fn unusable(what: What, settings: &Settings, reason: String) -> Problem {
    Problem::Unusable {
        what,
        key: what.key(settings),
        path: what.path(settings).to_owned(),
        reason,
    }
}
