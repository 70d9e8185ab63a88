//! How much a server takes on at once: beyond it requests are dropped, not queued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What may run at once on one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Actions of one agent, so that a slow agent does not silence the others.
    pub per_agent: usize,
    /// Payload bytes of all requests being handled.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { per_agent: 128, bytes: 64 * 1024 * 1024 }
    }
}

/// Hands out permits within [`Limits`].
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    per_agent: HashMap<String, usize>,
    bytes: usize,
}

/// The right to handle one request; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    agent: String,
    bytes: usize,
}

impl Gate {
    /// A gate with nothing held.
    pub fn new(limits: Limits) -> Arc<Gate> {
        Arc::new(Gate { limits, held: Mutex::default() })
    }

    /// A permit for a request of `bytes` to `agent`, nothing when a limit is reached.
    pub fn enter(self: &Arc<Self>, agent: &str, bytes: usize) -> Option<Permit> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let running = held.per_agent.get(agent).copied().unwrap_or(0);
        let total = held.bytes.saturating_add(bytes);
        if running >= self.limits.per_agent || total > self.limits.bytes {
            return None;
        }
        held.bytes = total;
        *held.per_agent.entry(agent.to_owned()).or_insert(0) += 1;
        Some(Permit { gate: self.clone(), agent: agent.to_owned(), bytes })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.gate.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes = held.bytes.saturating_sub(self.bytes);
        if let Some(running) = held.per_agent.get_mut(&self.agent) {
            *running -= 1;
            if *running == 0 {
                held.per_agent.remove(&self.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_per_agent_and_over_all_bytes() {
        let gate = Gate::new(Limits { per_agent: 2, bytes: 100 });
        let first = gate.enter("a", 10).unwrap();
        let _second = gate.enter("a", 10).unwrap();
        assert!(gate.enter("a", 10).is_none());
        let large = gate.enter("b", 80).unwrap();
        assert!(gate.enter("c", 1).is_none());
        drop(large);
        assert!(gate.enter("c", 81).is_none());
        assert!(gate.enter("c", 80).is_some());
        drop(first);
        assert!(gate.enter("a", 10).is_some());
        assert_eq!(gate.held.lock().unwrap().per_agent.len(), 1);
    }
}
