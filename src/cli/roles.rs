//! The roles beside the router: they run in `choria broker` with or without it, or in commands of their own.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::Task;
use smol::stream::StreamExt;

use crate::broker::Broker;
use crate::cli::VERSION;
use crate::cli::adapt::Adapters;
use crate::cli::changes::Changes;
use crate::cli::context::Context;
use crate::cli::daemon;
use crate::cli::exit::Failure;
use crate::cli::manager::{Condition, Manager};
use crate::config::{Config, Source};
use crate::federate::{self, Federation};
use crate::http::{Limits, Server};
use crate::monitor::{RolePages, Surroundings};
use crate::nats::client::Inside;
use crate::net::servers;
use crate::security::Provider;
use crate::settings::adapt::Around;
use crate::settings::{self, Insecure};
use crate::util::exposition::Figures;

/// Which of them are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The federation broker.
    pub federation: bool,
    /// Data adapters.
    pub adapters: bool,
}

impl Wanted {
    /// Those that `choria broker` runs with this configuration.
    pub fn of(config: &Config) -> Wanted {
        Wanted {
            federation: config.choria.broker_federation,
            adapters: !config.choria.adapters.is_empty(),
        }
    }

    /// Whether there is anything to run.
    pub fn any(self) -> bool {
        self.federation || self.adapters
    }
}

/// Roles whose configuration is fine.
pub struct Prepared {
    federation: Option<(federate::Settings, Arc<Provider>)>,
    is_collective_local: bool,
    has_adapters: bool,
    insecure: Insecure,
}

/// Roles that run. Dropping it ends them at once.
pub struct Roles {
    federation: Option<Federation>,
    /// What connections show.
    security: Vec<Arc<Provider>>,
    adapters: Option<Adapters>,
}

impl Prepared {
    /// What the connections of the federation broker show.
    pub fn security(&self) -> Option<Arc<Provider>> {
        self.federation.as_ref().map(|(_, security)| security.clone())
    }

    /// Starts them. `router` is that of the same process.
    pub fn start(self, config: &Config, context: &Context, router: Option<&Broker>) -> Roles {
        let start = |mut settings: federate::Settings| {
            if let Some(router) = router.filter(|_| self.is_collective_local) {
                let (inside, name) = inside(config, router);
                settings::connect_inside(&mut settings.collective, inside, name);
            }
            Federation::start(settings, &context.executor)
        };
        let (federation, mut security) =
            self.federation.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        let federation = federation.into_iter().next().map(start);
        let adapters = self.has_adapters.then(|| {
            let env = context.environment();
            let inside = router.map(|router| inside(config, router));
            let flush_limit = shutdown_limit(config).min(FLUSH_LIMIT_MAX);
            let insecure = self.insecure;
            let own = settings::outgoing(config, &env, insecure);
            security.extend(own.as_ref().ok().cloned());
            let around = Around { config, env: &env, insecure, security: own, inside, flush_limit };
            Adapters::start(&around)
        });
        Roles { federation, adapters, security }
    }
}

impl Roles {
    /// Says what is wrong with the configuration of these roles, before anything is started.
    pub fn prepare(
        wanted: Wanted,
        config: &Config,
        insecure: Insecure,
        context: &Context,
    ) -> Result<Prepared, Failure> {
        let make =
            || settings::federation(config, &context.environment(), insecure, &context.executor);
        Ok(Prepared {
            federation: wanted.federation.then(make).transpose()?,
            is_collective_local: settings::is_collective_local(config),
            has_adapters: wanted.adapters,
            insecure,
        })
    }

    /// What they tell in figures.
    pub fn figures(&self) -> Vec<Arc<dyn Figures>> {
        let federation = self.federation.as_ref();
        let federation = federation.map(|federation| federation.figures() as Arc<dyn Figures>);
        let adapters = self.adapters.as_ref().map(Adapters::figures);
        federation.into_iter().chain(adapters).collect()
    }

    /// Whether nothing of what was wanted runs.
    fn are_none(&self) -> bool {
        self.federation.is_none() && self.adapters.as_ref().is_none_or(Adapters::is_empty)
    }

    /// Shows certificates that were replaced on new connections.
    pub fn renew_certificates(&self) {
        for security in &self.security {
            if let Err(error) = security.renew_certificate() {
                log::error!("security: the certificate in use is not replaced: {error}");
            }
        }
    }

    /// Ends them; they pass on what they have, within a limit.
    pub async fn stop(self, limit: Duration) {
        let federation = async {
            if let Some(federation) = self.federation {
                federation.stop(limit).await;
            }
        };
        let adapters = async {
            if let Some(adapters) = self.adapters {
                adapters.stop().await;
            }
        };
        smol::future::zip(federation, adapters).await;
    }
}

/// Connections to the router of this process, and its name among brokers.
fn inside(config: &Config, router: &Broker) -> (Inside, servers::Server) {
    let observer = router.observer();
    let account = observer.account_names().into_iter().next().unwrap_or_default();
    let name = servers::Server::nats(config.identity.clone(), router.local_addr().port());
    (Inside::new(move || observer.attach(&account)), name)
}

/// The status pages of a process without a router.
pub struct StatusPages {
    address: SocketAddr,
    _task: Task<()>,
}

impl StatusPages {
    /// Serves the pages where the configuration says so.
    pub fn start(
        config: &Config,
        insecure: Insecure,
        context: &Context,
        roles: &Roles,
    ) -> Result<Option<StatusPages>, Failure> {
        let Some(address) = settings::status_pages(config)? else { return Ok(None) };
        let server = listen(address)?;
        let address = server.local_addr().unwrap_or(address);
        let around = Surroundings {
            version: VERSION.to_owned(),
            identity: config.identity.clone(),
            config_file: config.file.clone(),
            http: Some(address),
        };
        let pages = RolePages::new(around, roles.figures(), !insecure.no_tls);
        let task = context.executor.spawn(server.serve(Arc::new(pages)));
        Ok(Some(StatusPages { address, _task: task }))
    }

    /// Where they are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens for those who ask for status pages.
pub fn listen(address: SocketAddr) -> Result<Server, Failure> {
    Server::bind(address, Limits::default()).map_err(|error| {
        let failure = Failure::new(format!("cannot serve status pages on {address}: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => failure.hint(format!(
                "another process listens on port {}: end it, or set plugin.choria.stats_port",
                address.port()
            )),
            _ => failure.hint("correct plugin.choria.stats_address"),
        }
    })
}

/// Runs roles without a router until the process is told to stop. First the names of what runs, in the log and at a
/// shell, and the signals to listen to.
pub async fn run(
    (component, command): (&str, &str),
    signals: Signals,
    prepared: Prepared,
    config: &Config,
    insecure: Insecure,
    context: &Context,
) -> Result<(), Failure> {
    let limit = shutdown_limit(config);
    context.set_grace(limit + Duration::from_secs(1));
    let roles = prepared.start(config, context, None);
    if roles.are_none() {
        return Err(Failure::new("no adapter can run: the log says why")
            .hint("choria adapt --check FILE looks for mistakes"));
    }
    let pages = StatusPages::start(config, insecure, context, &roles)?;
    if let Some(pages) = &pages {
        log::info!("{component}: serving status pages on http://{}/", pages.address());
    }
    let manager = Manager::of_environment();
    let _reports = manager.report(context, Working(roles.figures()));
    // Not only when they are connected: a host must come up without its brokers.
    manager.ready();
    daemon::settle(context);
    let reloading =
        reload_at_signals((component, command), signals, config, context, (&roles, &manager));
    smol::future::or(context.interrupt.wait(), reloading).await;
    log::info!("{component}: stopping");
    manager.stopping();
    roles.stop(limit).await;
    Ok(())
}

/// What roles without a router tell the service manager.
struct Working(Vec<Arc<dyn Figures>>);

impl Condition for Working {
    fn status(&self) -> String {
        let trouble = self.0.iter().find_map(|role| role.trouble());
        trouble.unwrap_or_else(|| "passing on messages".to_owned())
    }
}

/// Keys that take effect at SIGHUP.
const LIVE: &[&str] = &["logfile", "loglevel", "plugin.choria.log_format"];

/// Opens the log anew at each SIGHUP, and takes over new certificates; says what else would need a restart. Never done.
async fn reload_at_signals(
    (component, command): (&str, &str),
    mut signals: Signals,
    started: &Config,
    context: &Context,
    (roles, manager): (&Roles, &Manager),
) {
    let mut current = started.clone();
    while let Some(signal) = signals.next().await {
        match signal {
            Ok(Signal::Hup) => {}
            Ok(_) => continue,
            Err(error) => {
                log::warn!("{component}: cannot read a signal: {error}");
                continue;
            }
        }
        log::info!("{component}: reloading the configuration");
        manager.reloading();
        let read = context.read_daemon_config(command, |path| Source::Broker { path });
        match read.and_then(|new| context.start_log_of(&new).map(|()| new)) {
            Ok(new) => {
                Changes::between(LIVE, started, &current, &new).log(component);
                roles.renew_certificates();
                current = new;
            }
            Err(failure) => {
                log::error!("{component}: reload refused, nothing is changed: {failure}");
            }
        }
        manager.ready();
    }
    smol::future::pending().await
}

/// How long adapters go on delivering at the end; what is left then waits in their spools.
const FLUSH_LIMIT_MAX: Duration = Duration::from_secs(10);
/// What zero seconds for the end mean.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(4);

/// How long connections get to take what waits for them at the end.
pub fn shutdown_limit(config: &Config) -> Duration {
    let limit = config.network.soft_shutdown_timeout;
    if limit.is_zero() { SHUTDOWN_LIMIT } else { limit }
}
