//! Lets others watch a running broker: serves its status pages and the services of its system account.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use smol::Task;

use crate::broker::Broker;
use crate::cli::VERSION;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::config::Config;
use crate::http::{Limits, Server};
use crate::monitor::{Monitor, Pages, Surroundings, System};
use crate::settings;

/// What is ready before the broker runs.
pub struct Prepared {
    server: Option<Server>,
    around: Surroundings,
}

/// Serves as long as it lives.
pub struct Watch {
    status_pages: Option<SocketAddr>,
    system: System,
    _tasks: Vec<Task<()>>,
}

impl Watch {
    /// Listens where the configuration says so.
    pub fn prepare(config: &Config) -> Result<Prepared, Failure> {
        let server = settings::status_pages(config)?.map(listen).transpose()?;
        let around = Surroundings {
            version: VERSION.to_owned(),
            identity: config.identity.clone(),
            config_file: config.file.clone(),
            http: server.as_ref().and_then(|server| server.local_addr().ok()),
        };
        Ok(Prepared { server, around })
    }

    /// Tells the system account that clients are sent elsewhere.
    pub async fn say_lame_duck(&self) {
        self.system.say_lame_duck().await;
    }

    /// Tells the system account that the broker stops.
    pub async fn say_shutdown(&self) {
        self.system.say_shutdown().await;
    }

    /// Where the pages are.
    pub fn status_pages(&self) -> Option<SocketAddr> {
        self.status_pages
    }
}

impl Prepared {
    /// Begins to tell about a broker.
    pub fn start(self, context: &Context, broker: &Broker) -> Watch {
        let status_pages = self.around.http;
        let monitor = Monitor::new(broker.observer(), self.around);
        let system = System::start(&monitor, &context.executor);
        let mut tasks = Vec::new();
        if let Some(server) = self.server {
            let pages = Arc::new(Pages::new(monitor));
            tasks.push(context.executor.spawn(server.serve(pages)));
        }
        Watch { status_pages, system, _tasks: tasks }
    }
}

fn listen(address: SocketAddr) -> Result<Server, Failure> {
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
