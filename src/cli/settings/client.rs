//! The settings of the client library.

use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::settings::{Insecure, connection, provider, security};
use crate::config::Config;
use crate::rpc::ClientOptions;

/// What the client library needs to act for the person at the terminal.
///
/// # Errors
/// When certificates are missing or the brokers cannot be told.
pub fn rpc_client(config: &Config, context: &Context) -> Result<ClientOptions, Failure> {
    let env = context.environment();
    let insecure = Insecure::of(&context.globals, &env)?;
    insecure.warn();
    let security = provider(security(config, &env, insecure)?)?;
    let nats = connection(config, &env, &security, context.executor.clone())?;
    Ok(ClientOptions {
        nats,
        identity: security.certname().to_owned(),
        security,
        collectives: config.collectives.clone(),
        main_collective: config.main_collective.clone(),
        ttl: config.ttl,
        discovery_timeout: config.discovery_timeout,
        windowed_discovery: config.choria.windowed_discovery,
        require_filter: config.choria.require_client_filter,
        federations: config.choria.federation_collectives.clone(),
        executor: context.executor.clone(),
    })
}
