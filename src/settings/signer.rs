//! Who signs requests in the place of this client, and where a person logs in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::{Insecure, Problem, provider, security};
use crate::config::{Config, Environment};
use crate::http::fetch::{Bounds, Fetcher};
use crate::rpc::Signer;
use crate::rpc::signing::{Credentials, LoginService, WebSigner};
use crate::security::{Kind, Settings, tls};

/// What one question to a service may cost.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(10),
    head_bytes_max: 32 * 1024,
    body_bytes_max: 2 * 1024 * 1024,
};
const CA_KEY: &str = "plugin.choria.security.request_signer.ca";
const URL_KEY: &str = "plugin.choria.security.request_signer.url";
const LOGIN_KEY: &str = "plugin.login.aaasvc.login.url";

/// Who signs the requests of this client, when it is not this client.
///
/// # Errors
/// When the token is not named, or a web service could not be verified.
pub fn signer(
    config: &Config,
    env: &Environment,
    insecure: Insecure,
) -> Result<Option<Signer>, Problem> {
    let logins = &config.logins;
    if !logins.signer_service && logins.signer_url.is_empty() {
        return Ok(None);
    }
    let (token, seed) = token_files(config).ok_or_else(|| {
        Problem::new("a service signs requests, but the token to show it is not named")
            .hint(format!("set {}", token_key(config)))
    })?;
    let credentials = Arc::new(Credentials::new(token, seed));
    if logins.signer_service {
        return Ok(Some(Signer::Service(credentials)));
    }
    let urls = std::slice::from_ref(&logins.signer_url);
    let fetcher = fetcher(config, env, insecure, URL_KEY, urls)?;
    let signer = WebSigner::new(fetcher, logins.signer_url.clone(), credentials);
    Ok(Some(Signer::Remote(Arc::new(signer))))
}

/// Where a person logs in, and where the result belongs.
#[derive(Debug)]
pub struct Login {
    /// The service.
    pub service: LoginService,
    /// The file for the token.
    pub token: PathBuf,
    /// The file for the seed of its key.
    pub seed: PathBuf,
}

/// The login that the configuration asks for.
///
/// # Errors
/// When there is no service or no place for the token, or the service could not be verified.
pub fn login(config: &Config, env: &Environment, insecure: Insecure) -> Result<Login, Problem> {
    let urls = &config.logins.login_urls;
    if urls.is_empty() {
        return Err(Problem::new("no login service is configured").hint(format!("set {LOGIN_KEY}")));
    }
    let (token, seed) = token_files(config).ok_or_else(|| {
        Problem::new("it is not configured where the token belongs")
            .hint(format!("set {}", token_key(config)))
    })?;
    let fetcher = fetcher(config, env, insecure, LOGIN_KEY, urls)?;
    Ok(Login { service: LoginService::new(fetcher, urls.clone()), token, seed })
}

/// Token and seed: of the `choria` provider where they are set, else of the signer. A seed that is not named lies beside
/// the token.
fn token_files(config: &Config) -> Option<(PathBuf, PathBuf)> {
    let logins = &config.logins;
    let token = logins.token.clone().or_else(|| logins.signer_token.clone())?;
    let seed = logins.seed.clone().or_else(|| logins.signer_seed.clone());
    Some((token.clone(), seed.unwrap_or_else(|| token.with_extension("key"))))
}

fn token_key(config: &Config) -> &'static str {
    if config.security.provider == "choria" {
        "plugin.security.choria.token_file"
    } else {
        "plugin.choria.security.request_signer.token_file"
    }
}

/// Asks services whose certificates lead to the configured authority. Passwords and tokens go over connections in clear
/// only where TLS is switched off as a whole.
fn fetcher(
    config: &Config,
    env: &Environment,
    insecure: Insecure,
    key: &str,
    urls: &[String],
) -> Result<Fetcher, Problem> {
    for url in urls {
        let is_clear = url.starts_with("http://");
        if !is_clear && !url.starts_with("https://") {
            let origin = config.origin(key);
            return Err(Problem::new(format!("{origin}: {url:?} is not an https address")));
        }
        if is_clear && !insecure.no_tls {
            return Err(Problem::new(format!("{url} would send secrets in clear"))
                .hint("give the service a certificate and name it with https")
                .hint("in a laboratory: --disable-tls"));
        }
    }
    let tls = service_tls(config, env, insecure)?;
    Ok(if insecure.no_tls {
        Fetcher::with_clear_text(tls, BOUNDS)
    } else {
        Fetcher::new(tls, BOUNDS)
    })
}

/// TLS to a service: it is verified, and shown the own certificate when there is one.
fn service_tls(
    config: &Config,
    env: &Environment,
    insecure: Insecure,
) -> Result<Arc<ClientConfig>, Problem> {
    let failed = |error: &dyn std::fmt::Display| {
        Problem::new(format!("TLS to the service cannot be set up: {error}"))
    };
    let own = security(config, env, Insecure { no_tls: false, ..insecure })?;
    let ca = config.logins.signer_ca.clone().unwrap_or_else(|| own.ca.clone());
    if ca.as_os_str().is_empty() && (insecure.no_verification || insecure.no_tls) {
        return tls::anonymous_client(&own.cipher_suites, &own.ecc_curves)
            .map_err(|error| failed(&error));
    }
    if ca.as_os_str().is_empty() || !ca.exists() {
        return Err(Problem::new(format!(
            "the certificate of the service could not be verified: there is no CA file {}",
            ca.display()
        ))
        .hint(format!("set {CA_KEY} to the authority of the service")));
    }
    // A certificate is optional here, and the token is what a login is for.
    let mut settings = Settings { ca, token: None, trust: None, anonymous_tls: false, ..own };
    settings.kind = Kind::Choria;
    if !settings.certificate.exists() || !settings.key.exists() {
        (settings.certificate, settings.key) = (PathBuf::new(), PathBuf::new());
    }
    let provider = provider(settings)?;
    provider.client_tls().map_err(|error| failed(&error))
}
