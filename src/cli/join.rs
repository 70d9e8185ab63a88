//! `choria enroll --token`: the first certificate, with a join token and through a running broker.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::ca::Profile;
use crate::ca::files::{self, Shelf};
use crate::ca::join::Claims;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::session::unless_interrupted;
use crate::config::Environment;
use crate::crypto::key::KeyKind;
use crate::enroll::join::{self, Error, Settings};
use crate::nats::client::ErrorKind;
use crate::util::secret::Secret;
use crate::util::time::rfc3339;

/// Where certificates go for root when nothing else is said.
const FOLDER: &str = "/etc/choria/ssl";
/// Bytes of a token on standard input.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// What was asked for.
#[derive(Debug)]
pub struct Wish {
    /// The join token, or `-` for standard input.
    pub token: String,
    /// The name in the certificate.
    pub certname: Option<String>,
    /// The folder with `certs` and `private_keys`.
    pub folder: Option<PathBuf>,
    /// The kind of a new key.
    pub key: Option<KeyKind>,
    /// A configuration to write.
    pub config: Option<PathBuf>,
}

/// Reads a kind of key.
pub fn key_kind(text: &str) -> Result<KeyKind, String> {
    super::ca::key_kind(text)
}

/// Gets the certificate.
pub async fn run(wish: Wish, context: &Context) -> Result<Exit, Failure> {
    if let Some(path) = wish.config.as_ref().filter(|path| path.exists()) {
        return Err(Failure::new(format!("{} exists already", path.display()))
            .hint("leave --write-config out, and put the lines that are shown into the file"));
    }
    let token = token(&wish.token)?;
    let claims = join::read_token(&token, SystemTime::now()).map_err(|error| failure(&error))?;
    let env = context.environment();
    let identity = match &wish.certname {
        Some(name) => name.clone(),
        None => name(&claims, &env)?,
    };
    let folder = match &wish.folder {
        Some(folder) => std::path::absolute(folder)?,
        None => folder(&env)?,
    };
    let shelf = Shelf::new(folder);
    let settings =
        Settings { token, identity: identity.clone(), shelf: shelf.clone(), key: wish.key };
    let joined = unless_interrupted(context, join::join(settings, context.executor.clone()))
        .await?
        .map_err(|error| failure(&error))?;
    writeln!(
        std::io::stdout(),
        "The certificate is {}, valid until {}",
        shelf.certificate_path(&identity).display(),
        rfc3339(joined.expires)
    )?;
    let lines = configuration(&claims, &identity, &shelf);
    match &wish.config {
        Some(path) => write_configuration(path, &lines)?,
        None => write!(
            std::io::stderr(),
            "Lines for the configuration of the {}:\n\n{lines}\n",
            claims.profile
        )?,
    }
    if let Some(line) = who(&claims, &identity, &env) {
        writeln!(std::io::stderr(), "{line}")?;
    }
    Ok(Exit::Success)
}

/// What a client has to say when its certificate is not for the name that it has by itself.
fn who(claims: &Claims, identity: &str, env: &Environment) -> Option<String> {
    let own = match env.var("MCOLLECTIVE_CERTNAME") {
        Some(name) => Some(name.to_owned()),
        None => env.var("USER").map(|user| format!("{user}.mcollective")),
    };
    let is_other = claims.profile == Profile::Client && own.as_deref() != Some(identity);
    is_other.then(|| format!("To use it: export MCOLLECTIVE_CERTNAME={identity}"))
}

/// The token itself: from standard input it does not show in lists of processes.
fn token(word: &str) -> Result<Secret<String>, Failure> {
    let mut text = word.to_owned();
    if word == "-" {
        text.clear();
        std::io::stdin()
            .take(TOKEN_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format!("cannot read the token: {error}")))?;
    }
    Ok(Secret::new(text.trim().to_owned()))
}

/// The name that the token is for, or that this computer or user has.
fn name(claims: &Claims, env: &Environment) -> Result<String, Failure> {
    if let [only] = &claims.names[..]
        && !only.contains('*')
    {
        return Ok(only.clone());
    }
    let user = env.var("USER").map(|user| format!("{user}.mcollective"));
    let name = match claims.profile {
        Profile::Client => env.var("MCOLLECTIVE_CERTNAME").map(str::to_owned).or(user),
        Profile::Server | Profile::Broker => Some(env.full_host_name()),
    };
    name.filter(|name| claims.allows(name)).ok_or_else(|| {
        Failure::new("which name the certificate is for is not said")
            .hint(format!("--certname NAME; the token allows {}", claims.names.join(", ")))
    })
}

fn folder(env: &Environment) -> Result<PathBuf, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from(FOLDER));
    }
    // Where the security provider puppet looks when nothing else is said.
    let home = env.home().ok_or_else(|| {
        Failure::new("where the certificate goes is not said").hint("--ssldir FOLDER")
    })?;
    Ok(home.join(".puppetlabs/etc/puppet/ssl"))
}

/// The lines that a configuration needs.
fn configuration(claims: &Claims, identity: &str, shelf: &Shelf) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        // Text never refuses to be written.
        let _ = writeln!(text, "{key} = {value}");
    };
    if claims.profile != Profile::Client {
        line("identity", &identity);
    }
    line("plugin.choria.ssldir", &shelf.folder().display());
    match claims.profile {
        Profile::Broker => line("plugin.choria.broker_network", &true),
        Profile::Server | Profile::Client => {
            line("plugin.choria.middleware_hosts", &claims.brokers.join(", "));
            line("plugin.choria.use_srv", &false);
        }
    }
    if claims.profile == Profile::Server {
        line("plugin.security.crl", &shelf.crl_path().display());
        line("plugin.choria.ca.renew", &true);
    }
    text
}

fn write_configuration(path: &Path, lines: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), |folder| files::make_folder(folder, 0o755));
    made.and_then(|()| files::create_new(path, lines.as_bytes(), files::PUBLIC))
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    writeln!(std::io::stdout(), "The configuration is {}", path.display())?;
    Ok(())
}

/// What to do next, for each kind of end.
fn failure(error: &Error) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        Error::Token(_) => failure.hint("choria ca token makes join tokens"),
        Error::Expired(_) => failure.hint("choria ca token makes another one"),
        Error::Name { .. } => failure.hint("--certname names another one"),
        Error::Connect(error) => match error.kind() {
            ErrorKind::Authorization => failure.hint(
                "the token is of another authority, or the broker has none: its log says why",
            ),
            ErrorKind::Tls => failure.hint(
                "the broker has to be one of the authority that made the token, with a certificate of choria ca sign",
            ),
            _ => failure.hint(
                "the token names the brokers to go to; choria ca token --broker HOST:PORT names others",
            ),
        },
        Error::Refused(_) => failure.hint(
            "choria ca token makes another token, with --replace for a name that has a certificate",
        ),
        Error::NoAnswer(_) => {
            failure.hint("a broker with plugin.choria.broker_ca = true answers")
        }
        _ => failure,
    }
}
