//! Who posts: a bearer token, a user with a password, a signature. Secrets are in files, which are read for each delivery,
//! so that a new one needs no restart.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};

use crate::crypto::mac::{self, Hash};
use crate::sys::read_bounded;
use crate::util::secret::Secret;

/// What requests call their sender.
pub(super) const PROGRAM: &str = concat!("choria/", env!("CARGO_PKG_VERSION"));
/// The largest file with a secret.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// How the service knows who posts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// It does not, or by the certificate.
    None,
    /// The token in this file.
    Bearer(PathBuf),
    /// A user, and the password in this file.
    Basic {
        /// The user.
        user: String,
        /// The file.
        password: PathBuf,
    },
}

/// HMAC-SHA256 over the body, as `sha256=` and hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The header that it stands in.
    pub header: &'static str,
    /// The file with the key: its bytes without a line end.
    pub key: PathBuf,
}

/// Why a secret cannot be used.
#[derive(Debug)]
pub enum Unreadable {
    /// The file cannot be read.
    File(PathBuf, io::Error),
    /// There is nothing in it.
    Empty(PathBuf),
    /// It cannot be part of a header.
    Text(PathBuf),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Unreadable::Empty(path) => write!(f, "there is no secret in {}", path.display()),
            Unreadable::Text(path) => {
                write!(f, "the secret in {} is not one line of plain text", path.display())
            }
        }
    }
}

impl std::error::Error for Unreadable {}

impl Login {
    /// The value of the header `Authorization`. Blocks on the file system.
    pub(super) fn header(&self) -> Result<Option<String>, Unreadable> {
        Ok(match self {
            Login::None => None,
            Login::Bearer(path) => Some(format!("Bearer {}", text(path)?.expose())),
            Login::Basic { user, password } => {
                let both = format!("{user}:{}", text(password)?.expose());
                Some(format!("Basic {}", BASE64.encode(both.as_bytes())))
            }
        })
    }
}

impl Signature {
    /// The signature of a body. Blocks on the file system.
    pub(super) fn of(&self, body: &[u8]) -> Result<String, Unreadable> {
        let key = secret(&self.key)?;
        Ok(format!("sha256={}", HEXLOWER.encode(&mac::mac(Hash::Sha256, key.expose(), body))))
    }
}

/// The bytes of a file without the end of its line.
fn secret(path: &Path) -> Result<Secret<Vec<u8>>, Unreadable> {
    let (mut bytes, _) = read_bounded(path, SECRET_BYTES_MAX)
        .map_err(|error| Unreadable::File(path.to_owned(), error))?;
    while bytes.pop_if(|byte| matches!(byte, b'\n' | b'\r')).is_some() {}
    if bytes.is_empty() {
        return Err(Unreadable::Empty(path.to_owned()));
    }
    Ok(Secret::new(bytes))
}

/// The same as the text of a header.
fn text(path: &Path) -> Result<Secret<String>, Unreadable> {
    let bytes = secret(path)?;
    let is_line = bytes.expose().iter().all(|byte| matches!(byte, b' '..=b'~'));
    let text = std::str::from_utf8(bytes.expose()).ok().filter(|_| is_line);
    text.map(|text| Secret::new(text.to_owned())).ok_or_else(|| Unreadable::Text(path.to_owned()))
}
