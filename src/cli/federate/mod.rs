//! `choria federate`: carries requests from one network to another, and looks at the way they take.

mod trace;

use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use async_signal::{Signal, Signals};

use crate::cli::command::{Command, Subcommand};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::expiry::ExpiryWatch;
use crate::cli::roles::{self, Roles, Wanted};
use crate::cli::{VERSION, daemon};
use crate::config::Source;
use crate::settings;
use trace::TracePath;

/// The commands of the group; `run` is meant when none is named.
pub static COMMANDS: &[Command] =
    &[Command::new::<RunFederation>("run", &[]), Command::new::<TracePath>("trace", &[])];

/// Run a federation broker: it carries requests of federated clients to the servers of a collective, and their
/// replies back. Run several of the same cluster: they share the work, and one may end at any time. SIGTERM ends it
/// when it has passed on what it has. It reads the file of a broker; choria broker runs one as well, with
/// plugin.choria.broker_federation.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} --config /etc/choria/broker.conf",
    note = "Keys: plugin.choria.federation.cluster is its name, plugin.choria.federation_middleware_hosts the brokers \
            of the clients, plugin.choria.middleware_hosts those of the servers, plugin.choria.stats_port where \
            /metrics and /healthz are."
)]
pub struct RunFederation {
    /// write the process number to this file
    #[argh(option, arg_name = "file")]
    pid: Option<PathBuf>,
}

impl Subcommand for RunFederation {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        daemon::logged("federation", self.serve(context).await)
    }
}

impl RunFederation {
    async fn serve(self, context: &Context) -> Result<Exit, Failure> {
        // First of all, so that no signal ends the process.
        let signals = Signals::new([Signal::Hup])
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let mut config =
            context.daemon_config("choria federate", |path| Source::Broker { path })?;
        // The file may be that of a broker which runs elsewhere on this computer.
        config.choria.broker_network = false;
        let env = context.environment();
        let insecure = settings::Insecure::of(context.globals.switches(), &env);
        insecure.warn();
        log::info!("federation: starting version={VERSION} identity={}", config.identity);
        let prepared = Roles::prepare(
            Wanted { federation: true, ..Wanted::default() },
            &config,
            insecure,
            context,
        )?;
        if let Some(path) = &self.pid {
            daemon::write_pid(path)?;
        }
        let security = prepared.security();
        let expires = move || security.as_ref().and_then(|own| own.certificate_expires());
        let _expiry = ExpiryWatch::start(context, "federation", expires);
        roles::run(
            ("federation", "choria federate"),
            signals,
            prepared,
            &config,
            insecure,
            context,
        )
        .await?;
        Ok(Exit::Success)
    }
}
