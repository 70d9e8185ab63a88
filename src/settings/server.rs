//! The settings of the server.

use std::sync::Arc;
use std::time::Duration;

use super::{Insecure, Problem, audit, connection, opened, policies, registration, warn_of_doubts};
use crate::config::{Config, Environment};
use crate::enroll::renewal::Renewal;
use crate::policy::{self, Authorizer};
use crate::security::{Provider, Use};
use crate::server::classes::Classes;
use crate::server::facts::Facts;
use crate::server::gate::Limits;
use crate::server::workers::Workers;
use crate::server::{Authorization, ConfigItems, Presence, Settings, StatusFile};

/// The server that the configuration asks for.
pub fn server(
    config: Config,
    env: &Environment,
    insecure: Insecure,
    executor: &Arc<smol::Executor<'static>>,
) -> Result<Settings, Problem> {
    let security = opened(&config, env, insecure)?;
    warn_of_doubts(&security, Use::Client, &config.identity);
    warn_of_classes(&config);
    warn_of_federations(&config);
    let connection = connection(&config, env, &security, executor.clone())?;
    let workers = Workers::start_default()
        .map_err(|error| Problem::new(format!("cannot start worker threads: {error}")))?;
    let authorization = if config.rpc_authorization {
        let settings = policies(&config);
        check_policies(&settings)?;
        Authorization::Policies(Arc::new(Authorizer::new(settings)))
    } else {
        Authorization::Off
    };
    let audit = audit(&config)?;
    let registration = registration::registration(&config)?;
    let status = config.choria.status_file_path.clone();
    let config = Arc::new(config);
    let items = config.clone();
    Ok(Settings {
        identity: config.identity.clone(),
        collectives: config.collectives.clone(),
        main_collective: config.main_collective.clone(),
        config_file: config.file.clone().unwrap_or_default(),
        facts: Facts::from_files(config.facts_files.clone()),
        classes: Classes::from_file(config.classes_file.clone()),
        config_items: ConfigItems::new(move |key| items.lookup(key)),
        authorization,
        audit,
        status: status
            .map(|path| StatusFile { path, interval: config.choria.status_update_interval }),
        registration,
        legacy_lifecycle_format: config.choria.legacy_lifecycle_format,
        presence: Presence::default(),
        service_host: false,
        renewal: renewal(&config, &security),
        soft_shutdown: config.soft_shutdown_timeout,
        limits: Limits::default(),
        connection,
        security,
        workers,
    })
}

/// A server that serves nobody is no mistake, and still a surprise. One that could never read its policies does not
/// start.
fn check_policies(settings: &policy::Settings) -> Result<(), Problem> {
    let folder = settings.folder.display();
    match &settings.kind {
        policy::Kind::Rego if !policy::rego::IS_BUILT_IN => {
            let text =
                format!("rpcauthprovider = rego_policy: {}", policy::rego::RegoFault::NotBuilt);
            return Err(Problem::new(text).hint("use action_policy, or a build with Rego"));
        }
        policy::Kind::Unknown(name) => {
            log::warn!("server: every request is denied: {name:?} is not a kind of policy");
        }
        policy::Kind::Token => log::info!("server: requests are authorized by tokens of callers"),
        _ if !settings.folder.is_dir() => {
            log::warn!("server: every request is denied: there is no folder of policies {folder}");
        }
        _ => log::info!("server: requests are authorized by policies folder={folder}"),
    }
    Ok(())
}

/// How the certificate is kept fresh, when that was asked for.
fn renewal(config: &Config, security: &Provider) -> Option<Renewal> {
    /// More often nothing changes.
    const INTERVAL_MIN: Duration = Duration::from_secs(1);
    let files = security.settings();
    let is_on = config.choria.ca_renew && files.tls && !files.certificate.as_os_str().is_empty();
    is_on.then(|| Renewal {
        name: security.certname().to_owned(),
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        ca: files.ca.clone(),
        crl: Some(files.crl.clone()).filter(|path| !path.as_os_str().is_empty()),
        interval: config.choria.ca_interval.max(INTERVAL_MIN),
    })
}

/// Servers are reached through federation brokers of their own collective, and stay there.
fn warn_of_federations(config: &Config) {
    const KEY: &str = "plugin.choria.federation.collectives";
    if !config.choria.federation_collectives.is_empty() {
        let origin = config.origin(KEY);
        log::warn!("server: {origin}: {KEY} is for clients, this server does not look at it");
    }
}

/// A file that somebody has asked for is missed; the default one is absent on many nodes.
fn warn_of_classes(config: &Config) {
    const KEY: &str = "classesfile";
    if config.is_set(KEY)
        && let Err(error) = std::fs::metadata(&config.classes_file)
    {
        let (origin, file) = (config.origin(KEY), config.classes_file.display());
        log::warn!(
            "server: {origin}: cannot read {KEY} = {file}, so there are no classes: {error}"
        );
    }
}
