//! What a running broker tells about itself, in the forms that NATS and Prometheus tools read.
//!
//! [`Monitor`] makes the reports (`varz`, `connz`, ...) from what an [`Observer`] sees. `pages` serves them over HTTP,
//! `metrics` writes the figures for Prometheus. Names and types of fields are those of nats-server 2.14
//! (`server/monitor.go`, `server/events.go`); fields that make no sense here are left out, and
//! `docs/compatibility.md` lists them.

mod accounts;
mod connz;
mod elsewhere;
mod metrics;
mod options;
mod pages;
mod roles;
mod sampler;
mod subsz;
mod system;
mod text;
mod varz;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub use pages::Pages;
pub use roles::RolePages;
pub use system::System;

use crate::broker::Observer;
use crate::crypto::hash::sha256_hex;
use crate::util::exposition::Figures;
use sampler::Sampler;

/// What only the process around the broker knows.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Version of this program.
    pub version: String,
    /// Name of the broker among others.
    pub identity: String,
    /// The file it was configured with.
    pub config_file: Option<PathBuf>,
    /// Where status pages are served.
    pub http: Option<SocketAddr>,
}

impl Surroundings {
    fn digest(&self) -> String {
        let text = self.config_file.as_ref().and_then(|path| std::fs::read(path).ok());
        format!("sha256:{}", sha256_hex(&text.unwrap_or_default()))
    }
}

/// Makes reports.
#[derive(Debug)]
pub struct Monitor {
    observer: Observer,
    around: Surroundings,
    sampler: Sampler,
    system_account: Option<String>,
    /// Hash of the configuration file, and of when.
    digest: Mutex<(SystemTime, String)>,
    /// Requests by page.
    requests: Mutex<BTreeMap<&'static str, u64>>,
    /// Roles in the same process.
    roles: Mutex<Vec<Arc<dyn Figures>>>,
}

impl Monitor {
    /// A monitor of one broker.
    pub fn new(observer: Observer, around: Surroundings) -> Arc<Monitor> {
        let (settings, loaded) = observer.settings();
        let name = &settings.access.system_account;
        let system_account = settings.accounts.iter().find(|account| *account == name).cloned();
        Arc::new(Monitor {
            digest: Mutex::new((loaded, around.digest())),
            observer,
            around,
            sampler: Sampler::new(),
            system_account,
            requests: Mutex::default(),
            roles: Mutex::default(),
        })
    }

    /// Shows the figures of another role of this process from now on.
    pub fn show(&self, role: Arc<dyn Figures>) {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).push(role);
    }

    fn figures(&self) -> Vec<Arc<dyn Figures>> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn server_id(&self) -> &str {
        &self.observer.info().server_id
    }

    /// The name of a broker is its identity, or its number where it has none.
    fn server_name(&self) -> &str {
        let info = self.observer.info();
        if info.server_name.is_empty() { &info.server_id } else { &info.server_name }
    }

    /// The account whose members may ask about everything.
    fn system_account(&self) -> Option<&str> {
        self.system_account.as_deref()
    }

    /// The hash of the configuration that was read at this time.
    fn config_digest(&self, loaded: SystemTime) -> String {
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        if digest.0 != loaded {
            *digest = (loaded, self.around.digest());
        }
        digest.1.clone()
    }

    fn count_request(&self, page: &'static str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(page).or_default() += 1;
    }

    fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
