//! `choria broker`: runs the message router until it is told to stop.

mod authority;
mod listening;
mod reload;
mod status;
mod watch;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

use crate::broker::{self, Broker, Observer};
use crate::cli::command::{Command, Subcommand};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::expiry::ExpiryWatch;
use crate::cli::manager::{Condition, Manager};
use crate::cli::roles::{self, Roles, Wanted, shutdown_limit};
use crate::cli::{VERSION, daemon};
use crate::config::{Config, Source};
use crate::settings;
use crate::sys;
use authority::Authority;
use listening::{Listening, PortsFile};
use reload::Reloader;
use status::CheckBroker;
use watch::Watch;

/// The commands of the group; `run` is meant when none is named.
pub static COMMANDS: &[Command] =
    &[Command::new::<RunBroker>("run", &[]), Command::new::<CheckBroker>("status", &[])];

/// Run the message router. SIGTERM ends it at once, SIGUSR2 first sends its clients elsewhere.
/// The line in its log that begins with "broker: listening for clients on" tells the address.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name} --config /etc/choria/broker.conf")]
pub struct RunBroker {
    /// write the process number to this file
    #[argh(option, arg_name = "file")]
    pid: Option<PathBuf>,

    /// write the addresses it listens on to this file, as nats-server does, until it ends
    #[argh(option, arg_name = "file")]
    ports_file: Option<PathBuf>,
}

/// How often a broker is looked after.
const HEALTH_TICK: Duration = Duration::from_secs(1);
/// How often a broker that is being left looks whether it is empty.
const LEAVING_TICK: Duration = Duration::from_millis(100);

impl Subcommand for RunBroker {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        daemon::logged("broker", self.serve(context).await)
    }
}

impl RunBroker {
    async fn serve(self, context: &Context) -> Result<Exit, Failure> {
        // First of all, so that no signal ends the process or is lost.
        let mut signals = Signals::new([Signal::Usr2, Signal::Hup])
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let config = context.daemon_config("choria broker", |path| Source::Broker { path })?;
        let wanted = Wanted::of(&config);
        let env = context.environment();
        let insecure = settings::Insecure::of(context.globals.switches(), &env);
        insecure.warn();
        if !config.choria.broker_network {
            return self.serve_roles(signals, wanted, &config, insecure, context).await;
        }
        let roles = Roles::prepare(wanted, &config, insecure, context)?;
        let settings = settings::broker(&config, &env, insecure)?;
        // Before the broker is up, so that one whose pages cannot be served does not start.
        let watch = Watch::prepare(&config)?;
        let authority = Authority::prepare(&config)?;
        log::info!("broker: starting version={VERSION} identity={}", config.identity);
        match sys::raise_nofile_limit() {
            Ok(limit) => log::info!("broker: open files limit={limit}"),
            Err(error) => log::warn!("broker: cannot raise the limit of open files: {error}"),
        }
        let is_tls = settings.tls.is_some();
        let mut expires = settings.certificate_expires;
        let broker = Broker::start(settings).map_err(|error| cannot_start(&error))?;
        let watch = watch.start(context, &broker);
        let authority = authority.start(context, &broker);
        let roles = roles.start(&config, context, Some(&broker));
        roles.figures().into_iter().for_each(|figures| watch.show(figures));
        let listening = Listening {
            clients: broker.local_addr(),
            status_pages: watch.status_pages(),
            brokers: broker.cluster_addr(),
            websockets: broker.websocket_addr().map(|address| (address, is_tls)),
        };
        // Whoever waits for one of the later signs may count on the earlier ones.
        if let Some(path) = &self.pid {
            daemon::write_pid(path)?;
        }
        let ports_file = self.ports_file.as_deref();
        let _ports_file = ports_file.map(|path| PortsFile::write(path, &listening)).transpose()?;
        listening.announce(config.log_format == "nats");
        let manager = Manager::of_environment();
        let reports = manager.report(context, Routing::of(&broker));
        manager.ready();
        daemon::settle(context);
        let mut _expiry = ExpiryWatch::start(context, "broker", move || expires);
        let mut reloader = Reloader::new(config, expires);
        let mut roles = Some(roles);
        loop {
            context.set_grace(shutdown_limit(&reloader.current) + Duration::from_secs(1));
            match next_event(context, &broker, &mut signals).await {
                Asked::Reload => {
                    manager.reloading();
                    reloader.reload(context, &broker);
                    if reloader.certificate_expires != expires {
                        expires = reloader.certificate_expires;
                        _expiry = ExpiryWatch::start(context, "broker", move || expires);
                    }
                    manager.ready();
                }
                Asked::Leave => {
                    watch.say_lame_duck().await;
                    // Before their connections are sent elsewhere.
                    if let Some(roles) = roles.take() {
                        roles.stop(shutdown_limit(&reloader.current)).await;
                    }
                    leave_clients(&broker, context, reloader.current.network.lame_duck_duration)
                        .await;
                    break;
                }
                Asked::End => break,
            }
        }
        manager.stopping();
        if broker.has_failed() {
            return Err(Failure::new("an event loop of the broker failed"));
        }
        if let Some(roles) = roles.take() {
            roles.stop(shutdown_limit(&reloader.current)).await;
        }
        watch.say_shutdown().await;
        // The event loops end now, and do not answer any more.
        drop(reports);
        // Its own connections would keep the broker waiting for them to close.
        drop(watch);
        drop(authority);
        let limit = shutdown_limit(&reloader.current);
        smol::unblock(move || broker.shutdown(limit)).await;
        Ok(Exit::Success)
    }
}

impl RunBroker {
    /// Without a router there is less to do.
    async fn serve_roles(
        &self,
        signals: Signals,
        wanted: Wanted,
        config: &Config,
        insecure: settings::Insecure,
        context: &Context,
    ) -> Result<Exit, Failure> {
        if !wanted.any() {
            return Err(Failure::new("all broker features are disabled")
                .hint("set plugin.choria.broker_network = true to route messages")
                .hint("set plugin.choria.broker_federation = true to join networks")
                .hint("set plugin.choria.adapters to copy data to other systems"));
        }
        log::info!("broker: starting version={VERSION} identity={}", config.identity);
        if let Some(path) = &self.pid {
            daemon::write_pid(path)?;
        }
        let prepared = Roles::prepare(wanted, config, insecure, context)?;
        roles::run(("broker", "choria broker"), signals, prepared, config, insecure, context)
            .await?;
        Ok(Exit::Success)
    }
}

/// What a broker tells the service manager.
struct Routing {
    observer: Observer,
    listens_on: SocketAddr,
}

impl Routing {
    fn of(broker: &Broker) -> Routing {
        Routing { observer: broker.observer(), listens_on: broker.local_addr() }
    }
}

impl Condition for Routing {
    fn status(&self) -> String {
        let count = self.observer.statistics().admitted;
        let state = if self.observer.is_lame() { "sending clients elsewhere" } else { "serving" };
        format!("{state}, {count} connections on {}", self.listens_on)
    }

    async fn makes_progress(&self) -> bool {
        self.observer.makes_progress().await
    }
}

/// What a running broker is asked to do.
enum Asked {
    Reload,
    Leave,
    End,
}

/// Done when a signal comes, or when the broker can no longer serve everybody.
async fn next_event(context: &Context, broker: &Broker, signals: &mut Signals) -> Asked {
    let signalled = async {
        loop {
            match signals.next().await {
                Some(Ok(Signal::Hup)) => return Asked::Reload,
                Some(Ok(_)) => return Asked::Leave,
                Some(Err(error)) => log::warn!("broker: cannot read a signal: {error}"),
                None => smol::future::pending().await,
            }
        }
    };
    let ended = async {
        smol::future::or(context.interrupt.wait(), until_failed(broker)).await;
        Asked::End
    };
    smol::future::or(ended, signalled).await
}

/// Done when the broker can no longer serve everybody.
async fn until_failed(broker: &Broker) {
    while !broker.has_failed() {
        smol::Timer::after(HEALTH_TICK).await;
    }
}

/// The failure of a broker that does not come up, with what to look at.
fn cannot_start(error: &broker::Error) -> Failure {
    let failure = Failure::new(error.to_string());
    let broker::Error::Listen { address, source } = error else { return failure };
    match source.kind() {
        ErrorKind::AddrInUse => failure.hint(format!(
            "another process listens on port {}: end it, or set plugin.choria.network.client_port",
            address.port()
        )),
        ErrorKind::AddrNotAvailable => failure.hint(format!(
            "no interface of this computer has the address {}: correct \
             plugin.choria.network.listen_address",
            address.ip()
        )),
        ErrorKind::PermissionDenied => failure.hint(
            "ports below 1024 need root or CAP_NET_BIND_SERVICE: set \
             plugin.choria.network.client_port",
        ),
        _ => failure,
    }
}

/// Sends every client elsewhere; done when none is left, when time is up, or when told to stop.
async fn leave_clients(broker: &Broker, context: &Context, limit: Duration) {
    broker.lame_duck();
    let started = Instant::now();
    while broker.statistics().admitted > 0
        && started.elapsed() < limit
        && !context.interrupt.is_triggered()
    {
        smol::Timer::after(LEAVING_TICK).await;
    }
}
