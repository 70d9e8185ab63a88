//! Lets others watch a running broker: serves its status pages and the services of its system account.

use std::net::SocketAddr;
use std::sync::Arc;

use smol::Task;

use crate::broker::Broker;
use crate::cli::VERSION;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::roles::listen;
use crate::config::Config;
use crate::http::Server;
use crate::monitor::{Monitor, Pages, Surroundings, System};
use crate::settings;
use crate::util::exposition::Figures;

/// What is ready before the broker runs.
pub struct Prepared {
    server: Option<Server>,
    around: Surroundings,
}

/// Serves as long as it lives.
pub struct Watch {
    status_pages: Option<SocketAddr>,
    system: System,
    monitor: Arc<Monitor>,
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

    /// Shows the figures of another role of this process from now on.
    pub fn show(&self, role: Arc<dyn Figures>) {
        self.monitor.show(role);
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
            let pages = Arc::new(Pages::new(monitor.clone()));
            tasks.push(context.executor.spawn(server.serve(pages)));
        }
        Watch { status_pages, system, monitor, _tasks: tasks }
    }
}
