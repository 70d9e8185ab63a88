//! `choria adapt`: runs data adapters without a broker, and checks their configuration.

mod check;
mod running;

use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use async_signal::{Signal, Signals};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::expiry::ExpiryWatch;
use crate::cli::roles::{self, Roles, Wanted};
use crate::cli::{VERSION, daemon};
use crate::config::Source;
use crate::settings;

pub use running::Adapters;

/// Run data adapters, which copy what nodes publish to other systems. With --check nothing is run: the configuration is
/// looked through, both sides are connected to, and one message is shown as it would arrive; that writes nothing, and ends
/// with 1 when an adapter would not work. It reads the file of a broker; choria broker runs adapters as well.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} --config /etc/choria/broker.conf\n{command_name} --check /etc/choria/broker.conf",
    note = "Keys: plugin.choria.adapters lists the names, plugin.choria.adapter.NAME. begins the keys of each, \
            plugin.choria.stats_port is where /metrics and /healthz are."
)]
pub struct Adapt {
    /// check the adapters of this configuration file
    #[argh(option, arg_name = "file")]
    check: Option<PathBuf>,
    /// print the result of a check as JSON
    #[argh(switch)]
    json: bool,
    /// write the process number to this file
    #[argh(option, arg_name = "file")]
    pid: Option<PathBuf>,
}

impl Subcommand for Adapt {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match &self.check {
            Some(file) => check::check(context, file, self.json).await,
            None => daemon::logged("adapt", self.serve(context).await),
        }
    }
}

impl Adapt {
    async fn serve(&self, context: &Context) -> Result<Exit, Failure> {
        // First of all, so that no signal ends the process.
        let signals = Signals::new([Signal::Hup])
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let mut config = context.daemon_config("choria adapt", |path| Source::Broker { path })?;
        // The file may be that of a broker which runs elsewhere on this computer.
        config.choria.broker_network = false;
        if config.choria.adapters.is_empty() {
            return Err(Failure::new("there are no adapters").hint("set plugin.choria.adapters"));
        }
        let env = context.environment();
        let insecure = settings::Insecure::of(context.globals.switches(), &env);
        insecure.warn();
        log::info!("adapt: starting version={VERSION} identity={}", config.identity);
        let wanted = Wanted { adapters: true, ..Wanted::default() };
        let prepared = Roles::prepare(wanted, &config, insecure, context)?;
        if let Some(path) = &self.pid {
            daemon::write_pid(path)?;
        }
        let expires = settings::opened(&config, &env, insecure)?.certificate_expires();
        let _expiry = ExpiryWatch::start(context, "adapt", move || expires);
        let names = ("adapt", "choria adapt");
        roles::run(names, signals, prepared, &config, insecure, context).await?;
        Ok(Exit::Success)
    }
}
