//! `choria jwt`: keys, tokens, and a look at tokens.

mod check;
mod client;
mod keys;
mod provisioning;
mod report;
mod server;
mod view;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::command::Command;
use crate::cli::exit::{Exit, Failure};
use crate::cli::private::{self, Readers};
use crate::crypto::ed25519::{KeyPair, PublicKey};
use crate::crypto::ksuid::Ksuid;
use crate::tokens::{self, Common, Key, SigningKey, TEXT_BYTES_MAX, Unverified};
use crate::util::duration;

/// The commands of the group.
pub static COMMANDS: &[Command] = &[
    Command::new::<keys::MakeKeys>("keys", &["k"]),
    Command::new::<client::MakeClient>("client", &["c"]),
    Command::new::<server::MakeServer>("server", &["s"]),
    Command::new::<provisioning::MakeProvisioning>("provisioning", &["prov", "provision", "p"]),
    Command::new::<view::View>("view", &["show", "v"]),
    Command::new::<check::Check>("check", &[]),
];

/// Bytes of a key or policy file that are read at most.
const FILE_BYTES_MAX: usize = 64 * 1024;

fn length(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(length) if length < Duration::from_secs(1) => Err("must be a second or more".to_owned()),
        Ok(length) => Ok(length),
        Err(error) => Err(error.to_string()),
    }
}

/// A key in hexadecimal digits, or a file with one.
fn public_key(given: &str) -> Result<PublicKey, Failure> {
    if let Ok(key) = PublicKey::from_hex(given) {
        return Ok(key);
    }
    let text = private::read_text("public key", Path::new(given), FILE_BYTES_MAX)
        .map_err(|failure| failure.hint("give 64 hexadecimal digits or a file that holds them"))?;
    PublicKey::from_hex(&text).map_err(|error| Failure::new(format!("{given} is {error}")))
}

/// A key that verifies tokens: a file with one, or an ed25519 key in hexadecimal digits.
fn verification_key(given: &str) -> Result<Key, Failure> {
    if let Ok(key) = Key::from_hex(given) {
        return Ok(key);
    }
    let contents = private::read("public key", Path::new(given), FILE_BYTES_MAX)?;
    Key::from_file_contents(&contents)
        .map_err(|fault| Failure::new(format!("{given} cannot be used: {fault}")))
}

/// The key that signs a token, which must not be a public one by mistake; `holder` is the key that goes into the token.
fn signing_key(path: &Path, holder: Option<&PublicKey>) -> Result<SigningKey, Failure> {
    let contents = private::read("signing key", path, FILE_BYTES_MAX)?;
    let is_public = || {
        Failure::new(format!("{} holds a public key, and only a private one signs", path.display()))
            .hint("give the seed: the first file that choria jwt keys wrote")
    };
    if contents.trim_ascii().starts_with(b"-----BEGIN PUBLIC KEY") {
        return Err(is_public());
    }
    let key = SigningKey::from_file_contents(&contents)
        .map_err(|fault| Failure::new(format!("{} cannot be used: {fault}", path.display())))?;
    // Seeds and public keys look alike: 64 hexadecimal digits.
    let given = std::str::from_utf8(&contents).ok().and_then(|text| PublicKey::from_hex(text).ok());
    match (&key, given) {
        (SigningKey::Ed25519(_), Some(given))
            if holder == Some(&given) || is_public_half(path, &given) =>
        {
            Err(is_public())
        }
        _ => Ok(key),
    }
}

/// Whether a file is a public key: it is named like one, or the seed lies beside it.
fn is_public_half(path: &Path, key: &PublicKey) -> bool {
    let is_named = path.extension().is_some_and(|ending| ending == "public" || ending == "pub");
    let stem = path.with_extension("");
    let beside = ["seed", "key", ""].map(|ending| stem.with_extension(ending));
    is_named
        || beside.iter().filter(|file| *file != path).any(|file| {
            let text = private::read_text("seed", file, FILE_BYTES_MAX).unwrap_or_default();
            KeyPair::from_seed_hex(&text).is_ok_and(|pair| pair.public_key() == *key)
        })
}

/// Chains of trust are made of ed25519 keys only.
fn chain_key<'k>(path: &Path, key: &'k SigningKey) -> Result<&'k KeyPair, Failure> {
    match key {
        SigningKey::Ed25519(pair) => Ok(pair),
        SigningKey::Rsa(_) => Err(Failure::new(format!(
            "{} is an RSA key; a chain of trust needs ed25519 keys",
            path.display()
        ))),
    }
}

fn read_token(path: &Path) -> Result<Unverified, Failure> {
    let text = private::read_text("token", path, TEXT_BYTES_MAX + 64)?;
    Unverified::parse(&text)
        .map_err(|fault| Failure::new(format!("{} is no token: {fault}", path.display())))
}

/// Puts a token behind the chain issuer whose token lies in a file.
fn set_chain(common: &mut Common, file: &Path, key: &KeyPair) -> Result<(), Failure> {
    let issuer = read_token(file)?;
    if issuer.common().is_expired(SystemTime::now()) {
        return Err(Failure::new(format!("the token {} has expired", file.display())));
    }
    common
        .set_chain_issuer(issuer.common(), key)
        .map_err(|fault| Failure::new(format!("cannot issue by {}: {fault}", file.display())))
}

fn new_id() -> Ksuid {
    Ksuid::new(SystemTime::now())
}

/// Signs a token and writes it without a line end, for its owner alone.
fn save<T: Serialize>(claims: &T, key: &SigningKey, file: &Path) -> Result<Exit, Failure> {
    let text = tokens::sign(claims, key)
        .map_err(|fault| Failure::new(format!("cannot make the token: {fault}")))?;
    private::write(file, text.as_bytes(), Readers::Owner)?;
    let name = file.display();
    writeln!(std::io::stdout(), "Saved token to {name}, use 'choria jwt view {name}' to view it")?;
    Ok(Exit::Success)
}

/// Signing by a Vault server is a gap that is named in `docs/compatibility.md`.
fn without_vault(vault: bool) -> Result<(), Failure> {
    if !vault {
        return Ok(());
    }
    Err(Failure::new("signing with Vault is not supported").hint("sign with the file of a key"))
}
