//! The settings of the client library.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Insecure, Problem, connection, opened, signer};
use crate::config::{Config, Environment};
use crate::protocol::Request;
use crate::rpc::ClientOptions;
use crate::security::{Denied, Provider};

/// What the client library needs to act for a person or a program.
///
/// # Errors
/// When certificates are missing or the brokers cannot be told.
pub fn rpc_client(
    config: &Config,
    env: &Environment,
    insecure: Insecure,
    executor: &Arc<smol::Executor<'static>>,
) -> Result<ClientOptions, Problem> {
    insecure.warn();
    let security =
        opened(config, env, insecure).map_err(|problem| hint_of_login(config, problem))?;
    let signer = signer(config, env, insecure)?;
    if signer.is_none() {
        warn_of_refusal(config, &security);
    }
    let nats = connection(config, env, &security, executor.clone())?;
    Ok(ClientOptions {
        nats,
        identity: config.identity.clone(),
        security,
        collectives: config.collectives.clone(),
        main_collective: config.main_collective.clone(),
        ttl: config.ttl,
        discovery_timeout: config.discovery_timeout,
        windowed_discovery: config.choria.windowed_discovery,
        require_filter: config.choria.require_client_filter,
        federations: super::federate::federations(config)?,
        signer,
        executor: executor.clone(),
    })
}

/// Who has a login service can get what is missing there.
fn hint_of_login(config: &Config, problem: Problem) -> Problem {
    let logins = &config.logins;
    let token = logins.token.as_ref().or(logins.signer_token.as_ref());
    if logins.login_urls.is_empty() || token.is_none_or(|file| file.exists()) {
        return problem;
    }
    problem.hint("choria login gets a token")
}

/// Says when servers that judge as we do would refuse what this client sends: they stay silent, and nothing else
/// would tell why. A certificate of another name than the caller's is the usual reason.
fn warn_of_refusal(config: &Config, security: &Provider) {
    let now = SystemTime::now();
    let caller = security.caller();
    let mut request =
        Request::new("discovery", &config.main_collective, &config.identity, &caller, now)
            .in_version(security.version());
    request.message = b"check".to_vec();
    // Signing fails again, and is reported, when a request is really made.
    let Ok(secure) = security.sign(&request) else { return };
    let denied = match security.verify(security.version(), &secure, now) {
        // Clients need not know whose tokens servers believe.
        Ok(_) | Err(Denied::NoTrust) => return,
        Err(denied) => denied,
    };
    let remedy = remedy(&denied);
    log::warn!("security: servers will refuse requests of {caller}: {denied}; {remedy}");
}

/// What a caller can do about a refusal.
fn remedy(denied: &Denied) -> &'static str {
    match denied {
        Denied::CallerMismatch { .. } => "set MCOLLECTIVE_CERTNAME to the name of the certificate",
        Denied::NotAllowed { .. } => {
            "unless their plugin.choria.security.certname_whitelist names it"
        }
        Denied::UnknownIssuer { .. } => "the certificate and the CA file do not belong together",
        Denied::Expired { .. } | Denied::NotYetValid { .. } => "get a new certificate",
        Denied::NeedsSigner { .. } => "configure the service that signs requests",
        Denied::NoFleetManagement { .. } | Denied::Token { .. } => "get another token",
        _ => "replace the certificate or its key",
    }
}
