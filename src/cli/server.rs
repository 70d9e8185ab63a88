//! `choria server`: runs the process that hosts agents on a managed node.

use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use crate::cli::command::{Command, Subcommand};
use crate::cli::context::Context;
use crate::cli::daemon;
use crate::cli::exit::{Exit, Failure};
use crate::config::Source;
use crate::server;
use crate::settings;

/// The commands of the group; `run` is meant when none is named.
pub static COMMANDS: &[Command] = &[Command::new::<RunServer>("run", &[])];

/// Run the process that hosts agents on a managed node. It connects to its brokers for as long as
/// it runs, and ends at SIGTERM.
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

impl Subcommand for RunServer {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        daemon::logged("server", self.serve(context).await)
    }
}

impl RunServer {
    async fn serve(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.daemon_config("choria server", |path| Source::Server { path })?;
        let soft = Some(config.soft_shutdown_timeout).filter(|limit| !limit.is_zero());
        context.set_grace(soft.unwrap_or(SHUTDOWN_LIMIT) + Duration::from_secs(1));
        let env = context.environment();
        let insecure = settings::Insecure::of(context.globals.switches(), &env)?;
        insecure.warn();
        let mut settings = settings::server(config, &env, insecure, &context.executor)?;
        settings.service_host = self.service_host;
        if let Some(path) = &self.pid {
            daemon::write_pid(path)?;
        }
        server::run(settings, context.executor.clone(), context.interrupt.clone())
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Exit::Success)
    }
}
