//! `choria server`: runs the process that hosts agents on a managed node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

use crate::cli::changes::Changes;
use crate::cli::command::{Command, Subcommand};
use crate::cli::context::Context;
use crate::cli::daemon;
use crate::cli::exit::{Exit, Failure};
use crate::cli::expiry::ExpiryWatch;
use crate::cli::manager::{Condition, Manager};
use crate::config::{Config, Source};
use crate::policy::{self, Authorizer};
use crate::protocol::Version;
use crate::security::Provider;
use crate::server::{self, Authorization, Presence};
use crate::settings;

/// The commands of the group; `run` is meant when none is named.
pub static COMMANDS: &[Command] = &[Command::new::<RunServer>("run", &[])];

/// Run the process that hosts agents on a managed node. It connects to its brokers for as long as
/// it runs, reads again what it can at SIGHUP, and ends at SIGTERM.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name} --config /etc/choria/server.conf")]
pub struct RunServer {
    /// write the process number to this file
    #[argh(option, arg_name = "file")]
    pid: Option<PathBuf>,
    /// host service agents only
    #[argh(switch)]
    service_host: bool,
}

/// What zero seconds of soft shutdown mean.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);
/// Keys that take effect at SIGHUP.
const LIVE: &[&str] = &[
    "logfile",
    "loglevel",
    "plugin.choria.log_format",
    "plugin.choria.security.revoked_tokens",
    "plugin.security.choria.trusted_signers",
    "plugin.security.issuer.",
];

impl Subcommand for RunServer {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        daemon::logged("server", self.serve(context).await)
    }
}

impl RunServer {
    async fn serve(self, context: &Context) -> Result<Exit, Failure> {
        // First of all, so that no signal ends the process.
        let signals = Signals::new([Signal::Hup])
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let config = context.daemon_config("choria server", |path| Source::Server { path })?;
        let started = config.clone();
        let soft = Some(config.soft_shutdown_timeout).filter(|limit| !limit.is_zero());
        context.set_grace(soft.unwrap_or(SHUTDOWN_LIMIT) + Duration::from_secs(1));
        let env = context.environment();
        let insecure = settings::Insecure::of(context.globals.switches(), &env);
        insecure.warn();
        let mut settings = settings::server(config, &env, insecure, &context.executor)?;
        settings.service_host = self.service_host;
        evaluate_apart(&mut settings);
        if let Some(path) = &self.pid {
            daemon::write_pid(path)?;
        }
        let security = settings.security.clone();
        let watched = security.clone();
        let current = move || watched.certificate_expires();
        let _expiry = ExpiryWatch::start(context, "server", current);
        let manager = Manager::of_environment();
        let _reports = manager.report(context, settings.presence.clone());
        let serving = server::run(settings, context.executor.clone(), context.interrupt.clone());
        // Not only when it is connected: a host must come up without its broker.
        manager.ready();
        daemon::settle(context);
        let reloading = reload_at_signals(context, &security, signals, started, &manager);
        let serving = smol::future::or(serving, reloading);
        // First, so that it is said before anything ends.
        smol::future::or(manager.say_at_the_end(context), serving)
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Exit::Success)
    }
}

impl Condition for Presence {
    fn status(&self) -> String {
        match self.broker() {
            Some(broker) => format!("connected to {broker}"),
            None => "not connected, looking for a broker".to_owned(),
        }
    }
}

/// Has Rego policies of others evaluated by processes of this program, whatever file its name is of by now.
fn evaluate_apart(settings: &mut server::Settings) {
    if let Authorization::Policies(authorizer) = &settings.authorization {
        let evaluator = Some(PathBuf::from("/proc/self/exe"));
        let policies = policy::Settings { evaluator, ..authorizer.settings().clone() };
        settings.authorization = Authorization::Policies(Arc::new(Authorizer::new(policies)));
    }
}

/// Reads the configuration again at each SIGHUP; never done.
async fn reload_at_signals<T>(
    context: &Context,
    security: &Provider,
    mut signals: Signals,
    started: Config,
    manager: &Manager,
) -> T {
    let mut current = started.clone();
    while let Some(signal) = signals.next().await {
        if let Err(error) = signal {
            log::warn!("server: cannot read a signal: {error}");
            continue;
        }
        log::info!("server: reloading the configuration");
        manager.reloading();
        match reload(context, security) {
            Ok(new) => {
                Changes::between(LIVE, &started, &current, &new).log("server");
                current = new;
            }
            Err(failure) => {
                log::error!("server: reload refused, nothing is changed: {failure}");
            }
        }
        manager.ready();
    }
    smol::future::pending().await
}

/// Applies what can change while the server runs, which is where and how much it logs, whose tokens it believes, and the
/// files of its certificate and key:
/// policies, facts and the audit log are looked at for every request anyway.
fn reload(context: &Context, security: &Provider) -> Result<Config, Failure> {
    let config = context.read_daemon_config("choria server", |path| Source::Server { path })?;
    let believes = security.version() == Version::V2;
    let trust = believes.then(|| settings::trust(&config)).transpose()?;
    security.renew_if_replaced().map_err(|error| Failure::new(error.to_string()))?;
    context.start_log_of(&config)?;
    if let Some(trust) = trust {
        security.believe_tokens(trust);
    }
    Ok(config)
}
