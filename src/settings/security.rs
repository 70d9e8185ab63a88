//! Who this process is and where its certificates are: protocol notes, identity and file locations.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Insecure, Problem, tokens};
use crate::config::{Config, Environment, Role};
use crate::security::{Holder, Kind, Provider, Settings, TokenFiles, TokenKeys, Use};
use crate::tokens::Trust;

/// What is appended to the name of a user to make the identity of a client.
const CLIENT_SUFFIX: &str = "mcollective";

/// The settings of the security provider that the configuration asks for.
pub fn security(
    config: &Config,
    env: &Environment,
    insecure: Insecure,
) -> Result<Settings, Problem> {
    let kind = match config.security.provider.as_str() {
        "puppet" => Kind::Puppet,
        "file" => Kind::File,
        "choria" => Kind::Choria,
        "certmanager" => Kind::CertManager,
        other => {
            return Err(Problem::new(format!("security provider {other} is not supported yet")));
        }
    };
    let is_root = rustix::process::geteuid().is_root();
    let identity = match kind {
        Kind::Puppet => puppet_identity(config, env)?,
        Kind::File => file_identity(config, env, is_root),
        Kind::Choria => choria_identity(config, env)?,
        Kind::CertManager => env.var("MCOLLECTIVE_CERTNAME").unwrap_or(&config.identity).to_owned(),
    };
    let mut settings = Settings::new(kind, &identity);
    match kind {
        Kind::File => {
            settings.certificate = config.security.file_certificate.clone().unwrap_or_default();
            settings.key = config.security.file_key.clone().unwrap_or_default();
            settings.ca = config.security.file_ca.clone().unwrap_or_default();
        }
        Kind::Puppet => {
            if identity.contains('/') {
                let text = format!("{identity:?} cannot be the name of a Puppet certificate");
                return Err(Problem::new(text).hint("a certificate name has no slash"));
            }
            let folder = ssl_dir(config, env, is_root)?;
            settings.certificate = folder.join(format!("certs/{identity}.pem"));
            settings.key = folder.join(format!("private_keys/{identity}.pem"));
            settings.ca = folder.join("certs/ca.pem");
        }
        Kind::Choria => {
            check_choria(config, insecure)?;
            settings.certificate = config.logins.certificate.clone().unwrap_or_default();
            settings.key = config.logins.key.clone().unwrap_or_default();
            settings.ca = config.logins.ca.clone().unwrap_or_default();
            settings.trust = trust(config)?;
            settings.sign_replies = config.logins.sign_replies;
            settings.signed_caller_is_holder = config.logins.signed_caller_is_holder;
        }
        Kind::CertManager => {
            let folder = config.choria.ssl_dir.clone().ok_or_else(|| {
                Problem::new("the security provider certmanager has no folder for its files")
                    .hint("set plugin.choria.ssldir")
            })?;
            settings.certificate = folder.join("cert.pem");
            settings.key = folder.join("key.pem");
            settings.ca = folder.join("ca.pem");
        }
    }
    settings.anonymous_tls = is_anonymous(config, insecure)?;
    settings.token = token(config, kind, settings.anonymous_tls);
    settings.crl = config.security.crl.clone().unwrap_or_else(|| match config.role {
        // What is revoked here holds here, without another key.
        Role::Broker if config.choria.broker_ca => config.choria.ca_dir.join("crl.pem"),
        _ => PathBuf::new(),
    });
    settings.allow_list = config.security.allow_list.clone();
    settings.privileged_users = config.security.privileged_users.clone();
    settings.cipher_suites = config.security.cipher_suites.clone();
    settings.ecc_curves = config.security.ecc_curves.clone();
    settings.support_legacy_certificates = config.security.support_legacy_certificates;
    settings.tls = !insecure.no_tls;
    settings.verify_tls = !insecure.no_verification;
    settings.security_on = !insecure.no_protocol_security;
    Ok(settings)
}

/// Opens the provider; what is wrong with its files becomes one line and a hint each.
pub fn provider(settings: Settings) -> Result<Arc<Provider>, Problem> {
    Provider::open(settings).map(Arc::new).map_err(|error| {
        let mut problems = error.problems.iter();
        let first = problems.next().map(ToString::to_string).unwrap_or_default();
        let failure = Problem::new(format!("security is not set up: {first}"));
        problems.fold(failure, |failure, problem| failure.hint(format!("also: {problem}")))
    })
}

/// Says at the start of a daemon what its peers may hold against its certificate.
pub fn warn_of_doubts(provider: &Provider, usage: Use, identity: &str) {
    for doubt in provider.doubts(usage, identity, SystemTime::now()) {
        let file = provider.settings().certificate.display();
        log::warn!("security: certificate {file}: {doubt}");
    }
}

/// The switch for clients without certificates.
const ANONYMOUS_VARIABLE: &str = "INSECURE_ANON_TLS";

/// Whether this role connects without a certificate.
fn is_anonymous(config: &Config, insecure: Insecure) -> Result<bool, Problem> {
    const KEY: &str = "plugin.security.client_anon_tls";
    let logins = &config.logins;
    let has_signer = logins.signer_service || !logins.signer_url.is_empty();
    let asked_by = if insecure.anonymous_tls {
        ANONYMOUS_VARIABLE.to_owned()
    } else {
        format!("{}: {KEY}", config.origin(KEY))
    };
    match config.role {
        Role::Server | Role::Broker if insecure.anonymous_tls => {
            Err(Problem::new(format!("{ANONYMOUS_VARIABLE} is for clients"))
                .hint("a server has plugin.security.server_anon_tls")
                .hint(format!("unset {ANONYMOUS_VARIABLE}")))
        }
        Role::Server => Ok(logins.server_anonymous),
        Role::Broker => Ok(false),
        Role::Client => match logins.client_anonymous || insecure.anonymous_tls {
            true if !has_signer => {
                Err(Problem::new(format!("{asked_by} needs a service that signs requests"))
                    .hint("set plugin.choria.security.request_signer.service or its url"))
            }
            is_anonymous => Ok(is_anonymous),
        },
    }
}

/// The token of this process. Brokers have none: nobody asks them who they are.
fn token(config: &Config, kind: Kind, is_anonymous: bool) -> Option<TokenFiles> {
    let logins = &config.logins;
    let holder = match config.role {
        Role::Server => Holder::Server,
        Role::Client => Holder::Client,
        Role::Broker => return None,
    };
    let files = |keys, token: Option<PathBuf>, seed: Option<PathBuf>| TokenFiles {
        token: token.unwrap_or_default(),
        seed: seed.unwrap_or_default(),
        keys,
        holder,
    };
    if kind == Kind::Choria {
        return Some(files(TokenKeys::Provider, logins.token.clone(), logins.seed.clone()));
    }
    match config.role {
        Role::Server if is_anonymous => {
            let beside = |name: &str| config.file.as_ref().map(|file| file.with_file_name(name));
            let token = logins.server_token.clone().or_else(|| beside("server.jwt"));
            let seed = logins.server_seed.clone().or_else(|| beside("server.seed"));
            Some(files(TokenKeys::Server, token, seed))
        }
        Role::Client if is_anonymous || logins.signer_token.is_some() => {
            let seed = logins.signer_seed_or_default();
            Some(files(TokenKeys::Signer, logins.signer_token.clone(), seed))
        }
        _ => None,
    }
}

/// What the `choria` provider cannot go together with.
fn check_choria(config: &Config, insecure: Insecure) -> Result<(), Problem> {
    const OTHERS: [&str; 6] = [
        "plugin.choria.security.server.token_file",
        "plugin.choria.security.server.seed_file",
        "plugin.security.server_anon_tls",
        "plugin.security.client_anon_tls",
        "plugin.choria.security.request_signer.token_file",
        "plugin.choria.security.request_signer.seed_file",
    ];
    if insecure.anonymous_tls {
        let text =
            format!("{ANONYMOUS_VARIABLE} does not go together with the security provider choria");
        return Err(Problem::new(text).hint(format!("unset {ANONYMOUS_VARIABLE}")));
    }
    let is_on =
        |key: &&&str| config.raw(key).is_some_and(|text| !text.is_empty() && text != "false");
    let Some(key) = OTHERS.iter().filter(|key| config.is_set(key)).find(is_on) else {
        return Ok(());
    };
    Err(Problem::new(format!(
        "{}: {key} does not go together with the security provider choria",
        config.origin(key)
    ))
    .hint(
        "this provider has plugin.security.choria.token_file and plugin.security.choria.seed_file",
    ))
}

/// Whose tokens are believed with the provider `choria`. A server has to know it, clients and brokers may.
///
/// # Errors
/// When it cannot be told, or a server is not told.
pub fn trust(config: &Config) -> Result<Option<Trust>, Problem> {
    const SIGNERS: &str = "plugin.security.choria.trusted_signers";
    let revoked = tokens::revoked(config)?;
    let issuers = tokens::issuers(config, &revoked)?;
    let list = &config.tokens.trusted_signers;
    match (issuers, list.is_empty()) {
        (Some(_), false) => Err(Problem::new(format!(
            "{}: only one of {} and {SIGNERS} can be set",
            config.origin(SIGNERS),
            tokens::ISSUERS
        ))),
        (None, true) if config.role == Role::Server => Err(Problem::new(
            "security is not set up: whose tokens are to be believed is not configured",
        )
        .hint(format!("set {} and the key of each issuer, or {SIGNERS}", tokens::ISSUERS))),
        (issuers, true) => Ok(issuers),
        (None, false) => tokens::signers(config, SIGNERS, list, &revoked).map(Some),
    }
}

/// With tokens this is no more than the name of the connection.
fn choria_identity(config: &Config, env: &Environment) -> Result<String, Problem> {
    match (config.role, env.var("USER")) {
        (Role::Server | Role::Broker, _) => Ok(config.identity.clone()),
        (Role::Client, Some(user)) => Ok(user.to_owned()),
        (Role::Client, None) => Ok(config.identity.clone()),
    }
}

fn puppet_identity(config: &Config, env: &Environment) -> Result<String, Problem> {
    if let Some(name) = env.var("MCOLLECTIVE_CERTNAME") {
        return Ok(name.to_owned());
    }
    match config.role {
        Role::Server | Role::Broker => Ok(config.identity.clone()),
        Role::Client => match env.var("USER") {
            Some(user) => Ok(format!("{user}.{CLIENT_SUFFIX}")),
            None => Err(Problem::new("cannot tell who you are: USER is not set")
                .hint("set MCOLLECTIVE_CERTNAME to the name of your certificate")),
        },
    }
}

fn file_identity(config: &Config, env: &Environment, is_root: bool) -> String {
    match (env.var("MCOLLECTIVE_CERTNAME"), env.var("USER")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(user)) if !is_root && config.role == Role::Client => {
            format!("{user}.{CLIENT_SUFFIX}")
        }
        _ => config.identity.clone(),
    }
}

/// Puppet's certificate folder.
fn ssl_dir(config: &Config, env: &Environment, is_root: bool) -> Result<PathBuf, Problem> {
    if let Some(folder) = &config.choria.ssl_dir {
        return Ok(folder.clone());
    }
    let set_it = "set plugin.choria.ssldir to the folder with certs and private_keys, or \
                  plugin.security.provider = file and the paths of the three files";
    if is_root {
        return env.puppet_ssl_dir().ok_or_else(|| {
            Problem::new("cannot find the Puppet certificates: puppet does not tell its ssldir")
                .hint(set_it)
                .hint("for a first certificate: choria enroll --token, or choria enroll --ssldir FOLDER")
        });
    }
    env.home().map(|home| home.join(".puppetlabs/etc/puppet/ssl")).ok_or_else(|| {
        Problem::new("cannot find the Puppet certificates: HOME is not set").hint(set_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use std::path::Path;

    /// A configuration of this role with this text.
    fn load(name: &str, role: Role, text: &str, env: &Environment) -> Config {
        let file = format!("choria-settings-{name}-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        let source = match role {
            Role::Client => Source::Client { path: Some(path.clone()) },
            Role::Server => Source::Server { path: path.clone() },
            Role::Broker => Source::Broker { path: path.clone() },
        };
        let (config, _) = Config::load(&source, env, Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        config
    }

    #[test]
    fn the_puppet_provider_names_processes_as_the_reference_does() {
        let text = "identity = n1.example\nplugin.choria.ssldir = /ssl\n";
        let ann = ("USER", "ann");
        let other = ("MCOLLECTIVE_CERTNAME", "ops");
        let cases: [(_, &[_], _); 5] = [
            (Role::Client, &[ann], "ann.mcollective"),
            (Role::Client, &[ann, other], "ops"),
            (Role::Server, &[ann], "n1.example"),
            (Role::Broker, &[ann], "n1.example"),
            (Role::Server, &[ann, other], "ops"),
        ];
        for (role, variables, identity) in cases {
            let env = Environment::fixed(variables, "h");
            let config = load("puppet", role, text, &env);
            let settings = security(&config, &env, Insecure::default()).unwrap();
            assert_eq!(settings.identity, identity, "{role:?} {variables:?}");
            assert_eq!(settings.certificate, Path::new(&format!("/ssl/certs/{identity}.pem")));
            assert_eq!(settings.key, Path::new(&format!("/ssl/private_keys/{identity}.pem")));
            assert_eq!(settings.ca, Path::new("/ssl/certs/ca.pem"));
        }
        let env = Environment::fixed(&[("MCOLLECTIVE_CERTNAME", "../../x")], "h");
        let config = load("path", Role::Client, text, &env);
        let failure = security(&config, &env, Insecure::default()).unwrap_err();
        assert_eq!(failure.message, "\"../../x\" cannot be the name of a Puppet certificate");
        let env = Environment::fixed(&[], "h");
        let config = load("nobody", Role::Client, text, &env);
        let failure = security(&config, &env, Insecure::default()).unwrap_err();
        assert_eq!(failure.message, "cannot tell who you are: USER is not set");
    }

    #[test]
    fn the_file_provider_uses_the_paths_of_its_keys() {
        let text = "identity = n1.example\nplugin.security.provider = file\n\
                    plugin.security.file.certificate = /c\nplugin.security.file.key = /k\n\
                    plugin.security.file.ca = /ca\n\
                    plugin.security.support_legacy_certificates = yes\n";
        let env = Environment::fixed(&[("MCOLLECTIVE_CERTNAME", "ops")], "h");
        let config = load("file", Role::Client, text, &env);
        let insecure = Insecure { no_tls: true, ..Insecure::default() };
        let settings = security(&config, &env, insecure).unwrap();
        assert_eq!(settings.identity, "ops");
        let paths = [&settings.certificate, &settings.key, &settings.ca];
        assert_eq!(paths, ["/c", "/k", "/ca"].map(Path::new));
        assert!(settings.support_legacy_certificates && settings.security_on && !settings.tls);
    }

    #[test]
    fn the_variable_for_anonymous_tls_does_what_the_key_does() {
        let signed = "plugin.choria.security.request_signer.url = https://h/s\n\
                      plugin.choria.security.request_signer.token_file = /t.jwt\n";
        let file = format!("identity = n1\nplugin.security.provider = file\n{signed}");
        let key = format!("{file}plugin.security.client_anon_tls = true\n");
        let insecure = Insecure { anonymous_tls: true, ..Insecure::default() };
        let env = Environment::fixed(&[], "h");
        let ask = |role, text: &str, insecure| {
            let config = load("anonymous", role, text, &env);
            security(&config, &env, insecure).map_err(|problem| problem.message)
        };
        let by_key = ask(Role::Client, &key, Insecure::default()).unwrap();
        let by_variable = ask(Role::Client, &file, insecure).unwrap();
        assert_eq!(format!("{by_variable:?}"), format!("{by_key:?}"));
        assert!(by_key.anonymous_tls && by_key.token.is_some() && by_key.security_on);
        let unsigned = "identity = n1\nplugin.security.provider = file\n";
        let choria = "identity = n1\nplugin.security.provider = choria\n";
        for (role, text, message) in [
            (Role::Client, unsigned, "INSECURE_ANON_TLS needs a service that signs requests"),
            (
                Role::Client,
                choria,
                "INSECURE_ANON_TLS does not go together with the security provider choria",
            ),
            (Role::Server, &file, "INSECURE_ANON_TLS is for clients"),
            (Role::Broker, &file, "INSECURE_ANON_TLS is for clients"),
        ] {
            assert_eq!(ask(role, text, insecure).unwrap_err(), message, "{role:?} {text}");
        }
    }

    #[test]
    fn file_identities_depend_on_the_user_for_clients_only() {
        let env = Environment::fixed(&[("USER", "ann")], "h");
        let cases = [
            (Role::Client, false, "ann.mcollective"),
            (Role::Client, true, "n1"),
            (Role::Server, false, "n1"),
        ];
        for (role, is_root, identity) in cases {
            let config = load("identity", role, "identity = n1\n", &env);
            assert_eq!(file_identity(&config, &env, is_root), identity, "{role:?} {is_root}");
        }
    }

    #[test]
    fn missing_files_are_named_with_their_keys() {
        let mut settings = Settings::new(Kind::File, "me");
        settings.certificate = PathBuf::from("/no/such/cert.pem");
        let failure = provider(settings).unwrap_err();
        assert!(failure.message.starts_with("security is not set up: "), "{failure}");
        assert!(failure.message.contains("/no/such/cert.pem"), "{failure}");
        assert_eq!(failure.hints.len(), 2, "{:?}", failure.hints);
    }
}
