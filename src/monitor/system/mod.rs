//! The services and the events of `$SYS` (nats-server `server/events.go`).
//!
//! Services are connections of this process that subscribe like any client, so that a cluster carries requests and
//! answers without knowing about them: one in the system account, where everything may be asked, and one in every
//! other account, where members may ask about that account. `$SYS.REQ.USER.INFO` is not here: only the connection
//! that asks knows the answer, so the broker gives it (`broker/monitor/user_info.rs`).
//!
//! `services` answers, `events` tells.

mod events;
mod requests;
mod services;

use std::sync::Arc;
use std::time::Duration;

use smol::{Executor, Task};

use super::Monitor;
use super::wire::Wire;
use events::Events;
use services::Scope;

/// The name these connections give themselves.
const NAME: &str = "choria broker monitor";
/// Time before a connection that was lost is made again.
const RETRY: Duration = Duration::from_secs(1);
/// Time that the last words have to reach the broker.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The running services. Dropping them ends them.
pub struct System {
    events: Arc<Events>,
    _tasks: Vec<Task<()>>,
}

impl System {
    /// Begins to answer and to tell.
    pub fn start(monitor: &Arc<Monitor>, executor: &Executor<'static>) -> System {
        let mut tasks = Vec::new();
        let system = monitor.system_account().map(str::to_owned);
        let events = Arc::new(Events::new(monitor.clone()));
        for account in monitor.observer.account_names() {
            let is_system = system.as_ref() == Some(&account);
            let scope = if is_system { Scope::All } else { Scope::Account(account.clone()) };
            let outlet = is_system.then(|| events.clone());
            tasks.push(executor.spawn(serve(monitor.clone(), account, scope, outlet)));
        }
        if system.is_some() {
            let told = events.clone();
            tasks.push(executor.spawn(async move { told.tell_of_connections().await }));
            let told = events.clone();
            tasks.push(executor.spawn(async move { told.tell_regularly().await }));
        }
        System { events, _tasks: tasks }
    }

    /// Says that the broker sends its clients elsewhere.
    pub async fn say_lame_duck(&self) {
        self.events.say_farewell("LAMEDUCK", LAST_WORDS).await;
    }

    /// Says that the broker stops.
    pub async fn say_shutdown(&self) {
        self.events.say_farewell("SHUTDOWN", LAST_WORDS).await;
    }
}

/// Answers in one account for as long as the broker runs.
async fn serve(monitor: Arc<Monitor>, account: String, scope: Scope, outlet: Option<Arc<Events>>) {
    loop {
        match Wire::open(&monitor.observer, &account, NAME).await {
            Ok((wire, reader)) => {
                if let Some(outlet) = &outlet {
                    outlet.use_wire(wire.clone());
                }
                let ended = services::run(&monitor, &scope, &wire, reader).await;
                log::debug!("monitor: services ended account={account} err={ended}");
            }
            Err(error) => {
                log::debug!("monitor: cannot serve account={account} err={error}");
            }
        }
        smol::Timer::after(RETRY).await;
    }
}
