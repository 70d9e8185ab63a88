//! The adapters of this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::adapt::{Adapter, counters};
use crate::settings::adapt::{Around, adapters};
use crate::util::exposition::{Exposition, Figures};

/// Adapters that run until they are stopped.
pub struct Adapters {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    running: Mutex<Vec<Adapter>>,
    /// Those that could not be started.
    broken: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Adapters {
    /// Starts every adapter of a configuration that can run; what is wrong with the others is logged.
    pub fn start(around: &Around<'_>) -> Adapters {
        let mut state = State::default();
        for (name, settings) in adapters(around) {
            let started = settings.map_err(|problem| (problem.message, problem.hints));
            let started = started.and_then(|settings| {
                Adapter::start(settings).map_err(|error| (error.to_string(), Vec::new()))
            });
            match started {
                Ok(adapter) => lock(&state.running).push(adapter),
                Err((reason, hints)) => {
                    log::error!("adapt: the adapter does not run adapter={name} err={reason}");
                    hints.iter().for_each(|hint| log::error!("adapt: adapter={name} hint: {hint}"));
                    state.broken.push(name);
                }
            }
        }
        Adapters { state: Arc::new(state) }
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        lock(&self.state.running).is_empty()
    }

    /// Their figures.
    pub fn figures(&self) -> Arc<dyn Figures> {
        self.state.clone()
    }

    /// Ends all of them at the same time.
    pub async fn stop(&self) {
        let running = std::mem::take(&mut *lock(&self.state.running));
        running.iter().for_each(Adapter::begin_to_stop);
        smol::unblock(move || drop(running)).await;
    }
}

impl Drop for Adapters {
    fn drop(&mut self) {
        lock(&self.state.running).iter().for_each(Adapter::begin_to_stop);
    }
}

impl Figures for State {
    fn write(&self, text: &mut Exposition) {
        let running = lock(&self.running);
        let all: Vec<_> = running.iter().map(Adapter::figures).collect();
        counters::write(text, &all);
    }

    fn trouble(&self) -> Option<String> {
        if let Some(name) = self.broken.first() {
            return Some(format!("the adapter {name} does not run"));
        }
        let running = lock(&self.running);
        let failed = running.iter().find(|adapter| adapter.has_failed());
        if let Some(adapter) = failed {
            return Some(format!("the adapter {} has failed", adapter.name()));
        }
        let stuck = running.iter().find(|adapter| adapter.figures().counters.is_stuck())?;
        Some(format!("the adapter {} cannot deliver", stuck.name()))
    }
}
