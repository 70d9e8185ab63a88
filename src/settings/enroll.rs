//! How this process gets a certificate: the settings of `choria enroll`, and of what enrols at the start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::security::{provider, security};
use super::{Insecure, Problem};
use crate::config::{Config, Environment, Role};
use crate::enroll::{Fingerprint, certmanager, puppet};
use crate::net::resolve::Resolver;
use crate::security::{Kind, Provider};
use crate::util::time::rfc3339;

/// What was asked for on the command line.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The name in the certificate, instead of the one that follows from the configuration.
    pub certname: Option<String>,
    /// The folder of certificates and keys, instead of what is configured.
    pub folder: Option<PathBuf>,
    /// Host and port of the Puppet CA, instead of what is configured.
    pub ca: Option<(String, u16)>,
    /// The fingerprint of the CA.
    pub expected: Option<Fingerprint>,
    /// How long to wait for the certificate.
    pub wait: Duration,
}

/// Whom to ask for a certificate.
#[derive(Debug, Clone)]
pub enum Enrolment {
    /// A Puppet CA.
    Puppet(puppet::Settings),
    /// cert-manager in Kubernetes.
    CertManager(certmanager::Settings),
}

/// The enrolment that the configuration asks for.
pub fn enrolment(config: &Config, env: &Environment, wish: Wish) -> Result<Enrolment, Problem> {
    let provider = config.security.provider.as_str();
    if !matches!(provider, "puppet" | "certmanager") {
        return Err(Problem::new(format!(
            "the security provider {provider} has no authority to enrol with"
        ))
        .hint("set plugin.security.provider to puppet or certmanager"));
    }
    let env = match &wish.certname {
        Some(name) => env.clone().with("MCOLLECTIVE_CERTNAME", name),
        None => env.clone(),
    };
    let mut config = config.clone();
    if let Some(folder) = &wish.folder {
        config.choria.ssl_dir =
            Some(std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
    }
    let config = &config;
    let identity = security(config, &env, Insecure::default())?;
    check_name(&identity.identity)?;
    if provider == "certmanager" {
        let mut settings = certmanager(config, identity.identity)?;
        settings.limit = wish.wait;
        return Ok(Enrolment::CertManager(settings));
    }
    // The CA is certs/ca.pem below the folder.
    let folder: PathBuf = identity.ca.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    Ok(Enrolment::Puppet(puppet::Settings {
        identity: identity.identity,
        folder,
        dns_names: public_names(config),
        location: match wish.ca {
            Some((host, port)) => {
                puppet::Location { host, port, srv_domain: None, resolver: Resolver::from_system() }
            }
            None => location(config, &env),
        },
        expected: wish.expected,
        wait: wish.wait,
        poll: puppet::POLL,
        cipher_suites: identity.cipher_suites,
        ecc_curves: identity.ecc_curves,
    }))
}

/// The security provider that the configuration asks for. One that gets its certificate by itself does so first, when a
/// file is missing, which can take a minute.
pub fn opened(
    config: &Config,
    env: &Environment,
    insecure: Insecure,
) -> Result<Arc<Provider>, Problem> {
    let settings = security(config, env, insecure)?;
    if settings.kind == Kind::CertManager && settings.tls && !settings.anonymous_tls {
        enrol_at_start(config, &settings.identity)?;
    }
    let is_missing = settings.tls
        && settings.kind == Kind::Puppet
        && !settings.anonymous_tls
        && !settings.certificate.exists();
    let name = settings.identity.clone();
    provider(settings).map_err(|problem| match is_missing {
        true => problem.hint(origin_of_name(config, env, &name)),
        false => problem,
    })
}

/// Why a process looks for a certificate of this name, and how to have it look for another.
fn origin_of_name(config: &Config, env: &Environment, name: &str) -> String {
    const VARIABLE: &str = "MCOLLECTIVE_CERTNAME";
    match (config.role, env.var(VARIABLE)) {
        (_, Some(_)) => format!("the name {name} is that of the variable {VARIABLE}"),
        (Role::Client, None) => format!(
            "the name {name} is made of the variable USER; {VARIABLE}=NAME chooses another certificate"
        ),
        (Role::Server | Role::Broker, None) => format!(
            "the name {name} is the identity, by the key of that name or of this host; {VARIABLE}=NAME chooses \
             another certificate"
        ),
    }
}

fn enrol_at_start(config: &Config, identity: &str) -> Result<(), Problem> {
    let folder = config.choria.ssl_dir.clone().unwrap_or_default();
    if !certmanager::is_needed(&folder) {
        return Ok(());
    }
    let settings = certmanager(config, identity.to_owned())?;
    let (namespace, issuer) = (&settings.namespace, &settings.issuer);
    log::info!(
        "enroll: asking cert-manager for a certificate identity={identity} namespace={namespace} issuer={issuer}"
    );
    let mut tell = |progress: certmanager::Progress<'_>| match progress {
        certmanager::Progress::Submitted => {
            log::info!("enroll: the certificate request was created")
        }
        certmanager::Progress::Replaced => {
            log::warn!("enroll: removed an old certificate request identity={identity}");
        }
        certmanager::Progress::Attempt(number) => {
            log::debug!("enroll: asking for the certificate attempt={number}");
        }
        certmanager::Progress::Trouble(error) => log::warn!("enroll: {error}; trying again"),
    };
    // Nothing else can be done before there is a certificate.
    let enrolled = smol::block_on(certmanager::run(settings, &mut tell))
        .map_err(|error| Problem::new(format!("cannot enrol with cert-manager: {error}")))?;
    let (file, expires) = (enrolled.certificate.display(), rfc3339(enrolled.expires));
    log::info!("enroll: certificate installed file={file} expires={expires}");
    Ok(())
}

/// cert-manager, as it is configured.
pub(super) fn certmanager(
    config: &Config,
    identity: String,
) -> Result<certmanager::Settings, Problem> {
    check_name(&identity)?;
    let keys = &config.enrolment;
    let folder = config.choria.ssl_dir.clone().ok_or_else(|| {
        Problem::new("the security provider certmanager has no folder for its files")
            .hint("set plugin.choria.ssldir")
    })?;
    if keys.issuer.is_empty() {
        return Err(Problem::new("the security provider certmanager has no issuer to ask")
            .hint("set plugin.security.certmanager.issuer"));
    }
    Ok(certmanager::Settings {
        identity,
        folder,
        dns_names: keys.alt_names.clone(),
        namespace: keys.namespace.clone(),
        issuer: keys.issuer.clone(),
        replace: keys.replace,
        api_version: keys.api_version.clone(),
        url: keys.url.clone(),
        service_account: keys.service_account.clone(),
        limit: certmanager::LIMIT,
    })
}

/// A name that can stand in a path and in an address.
fn check_name(name: &str) -> Result<(), Problem> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Problem::new(format!("{name:?} cannot be the name of a certificate"))
        .hint("a certificate name has letters, digits, dots, hyphens and underscores"))
}

/// The name that clients are told to connect to. The reference puts `host:port` into the request as it stands, which no TLS
/// library takes for a name.
fn public_names(config: &Config) -> Vec<String> {
    let Some(url) = &config.network.public_url else { return Vec::new() };
    let url = url.rsplit_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let host = url.rsplit_once(':').map_or(url, |(host, _)| host);
    let is_name = !host.is_empty() && host.parse::<std::net::IpAddr>().is_err();
    let is_bracketed = host.starts_with('[');
    if is_name && !is_bracketed { vec![host.to_owned()] } else { Vec::new() }
}

fn location(config: &Config, env: &Environment) -> puppet::Location {
    let is_set = ["plugin.choria.puppetca_host", "plugin.choria.puppetca_port"]
        .iter()
        .any(|key| config.is_set(key));
    let uses_srv = config.choria.use_srv && !is_set;
    puppet::Location {
        host: config.enrolment.puppetca_host.clone(),
        port: config.enrolment.puppetca_port,
        // Finding the domain may run facter.
        srv_domain: uses_srv
            .then(|| config.choria.srv_domain.clone().or_else(|| env.domain()))
            .flatten(),
        resolver: Resolver::from_system(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use std::path::Path;

    fn made(name: &str, text: &str, certname: Option<&str>) -> Result<Enrolment, Problem> {
        let env = Environment::fixed(&[("USER", "ann"), ("HOME", "/home/ann")], "n1.invalid");
        let file = format!("choria-enrol-{name}-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        let source = Source::Client { path: Some(path.clone()) };
        let (config, _) = Config::load(&source, &env, Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        let certname = certname.map(str::to_owned);
        enrolment(
            &config,
            &env,
            Wish { certname, folder: None, ca: None, expected: None, wait: puppet::WAIT },
        )
    }

    #[test]
    fn names_folders_and_places() {
        let ssl = "plugin.choria.ssldir = /ssl\nplugin.choria.use_srv = no\n";
        let cases = [
            ("user", "", None, ("ann.mcollective", "puppet", 8140, &[][..])),
            ("name", "", Some("n1.example.net"), ("n1.example.net", "puppet", 8140, &[])),
            (
                "host",
                "plugin.choria.puppetca_host = ca\nplugin.choria.puppetca_port = 1\n",
                None,
                ("ann.mcollective", "ca", 1, &[]),
            ),
            (
                "url",
                "plugin.choria.network.public_url = b1.example.net:4222\n",
                None,
                ("ann.mcollective", "puppet", 8140, &["b1.example.net"]),
            ),
        ];
        for (name, text, certname, expected) in cases {
            let made = made(name, &format!("{ssl}{text}"), certname).unwrap();
            let Enrolment::Puppet(settings) = made else { panic!("{name}") };
            let location = &settings.location;
            let names: Vec<&str> = settings.dns_names.iter().map(String::as_str).collect();
            let found =
                (settings.identity.as_str(), location.host.as_str(), location.port, &names[..]);
            assert_eq!(found, expected, "{name}");
            assert_eq!(settings.folder, Path::new("/ssl"));
        }
    }

    #[test]
    fn a_missing_certificate_is_explained_by_where_its_name_comes_from() {
        let path = std::env::temp_dir().join(format!("choria-name-{}.conf", std::process::id()));
        std::fs::write(&path, "identity = n1\nplugin.choria.ssldir = /no/such\n").unwrap();
        let ann = ("USER", "ann");
        let other = ("MCOLLECTIVE_CERTNAME", "ops");
        let cases: [(Role, &[_], &str); 3] = [
            (
                Role::Client,
                &[ann],
                "the name ann.mcollective is made of the variable USER; MCOLLECTIVE_CERTNAME=NAME",
            ),
            (
                Role::Client,
                &[ann, other],
                "the name ops is that of the variable MCOLLECTIVE_CERTNAME",
            ),
            (
                Role::Server,
                &[ann],
                "the name n1 is the identity, by the key of that name or of this host",
            ),
        ];
        for (role, variables, expected) in cases {
            let env = Environment::fixed(variables, "h");
            let source = match role {
                Role::Client => Source::Client { path: Some(path.clone()) },
                _ => Source::Server { path: path.clone() },
            };
            let (config, _) = Config::load(&source, &env, Path::new("/")).unwrap();
            let problem = opened(&config, &env, Insecure::default()).unwrap_err();
            assert!(problem.message.contains("does not exist"), "{problem}");
            let last = problem.hints.last().unwrap();
            assert!(last.starts_with(expected), "{last}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_cannot_enrol_says_why() {
        let ssl = "plugin.choria.ssldir = /ssl\n";
        let manager = "plugin.security.provider = certmanager\n";
        for (name, text, certname, expected) in [
            (
                "file",
                "plugin.security.provider = file\n".to_owned(),
                None,
                "the security provider file has no",
            ),
            ("slash", ssl.to_owned(), Some("../x"), "\"../x\" cannot be the name"),
            ("dot", ssl.to_owned(), Some(".x"), "\".x\" cannot be the name"),
            ("folder", manager.to_owned(), None, "the security provider certmanager has no folder"),
            (
                "issuer",
                format!("{manager}{ssl}"),
                None,
                "the security provider certmanager has no issuer",
            ),
        ] {
            let problem = made(name, &text, certname).unwrap_err();
            assert!(problem.message.starts_with(expected), "{name}: {problem}");
        }
    }
}
