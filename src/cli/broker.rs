//! `choria broker`: runs the message router until it is told to stop.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

use crate::broker::Broker;
use crate::cli::command::{Command, Subcommand};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{VERSION, daemon};
use crate::config::Source;
use crate::settings;
use crate::sys;

/// The commands of the group; `run` is meant when none is named.
pub static COMMANDS: &[Command] = &[Command::new::<RunBroker>("run", &[])];

/// Run the message router. SIGTERM ends it at once, SIGUSR2 first sends its clients elsewhere.
/// The lines in its log that begin with "broker: listening" tell the address.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name} --config /etc/choria/broker.conf")]
pub struct RunBroker {
    /// write the process number to this file
    #[argh(option, arg_name = "file")]
    pid: Option<PathBuf>,
}

/// How long connections get to take what waits for them when the broker ends.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(4);
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
        context.set_grace(SHUTDOWN_LIMIT + Duration::from_secs(1));
        let config = context.daemon_config("choria broker", |path| Source::Broker { path })?;
        if !config.choria.broker_network {
            return Err(Failure::new("all broker features are disabled")
                .hint("set plugin.choria.broker_network = true"));
        }
        let env = context.environment();
        let insecure = settings::Insecure::of(context.globals.switches(), &env)?;
        insecure.warn();
        let settings = settings::broker(&config, &env, insecure)?;
        log::info!("broker: starting version={VERSION} identity={}", config.identity);
        match sys::raise_nofile_limit() {
            Ok(limit) => log::info!("broker: open files limit={limit}"),
            Err(error) => log::warn!("broker: cannot raise the limit of open files: {error}"),
        }
        let leaving_limit = settings.lame_duck_duration;
        // Before the broker is up, so that a signal from then on is never lost.
        let mut leave = Signals::new([Signal::Usr2])
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let broker = Broker::start(settings).map_err(|error| Failure::new(error.to_string()))?;
        log::info!("broker: listening for clients on {}", broker.local_addr());
        if let Some(path) = &self.pid {
            daemon::write_pid(path)?;
        }
        let asked = async {
            let _ = leave.next().await;
        };
        let told = smol::future::or(context.interrupt.wait(), asked);
        smol::future::or(told, until_failed(&broker)).await;
        if broker.has_failed() {
            return Err(Failure::new("an event loop of the broker failed"));
        }
        if !context.interrupt.is_triggered() {
            leave_clients(&broker, context, leaving_limit).await;
        }
        smol::unblock(move || broker.shutdown(SHUTDOWN_LIMIT)).await;
        Ok(Exit::Success)
    }
}

/// Done when the broker can no longer serve everybody.
async fn until_failed(broker: &Broker) {
    while !broker.has_failed() {
        smol::Timer::after(HEALTH_TICK).await;
    }
}

/// Sends every client elsewhere; done when none is left, when time is up, or when told to stop.
async fn leave_clients(broker: &Broker, context: &Context, limit: Duration) {
    broker.lame_duck();
    let started = Instant::now();
    while broker.statistics().connections > 0
        && started.elapsed() < limit
        && !context.interrupt.is_triggered()
    {
        smol::Timer::after(LEAVING_TICK).await;
    }
}
