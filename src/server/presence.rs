//! Whether a server is connected, for those who watch the process that it runs in.

use std::sync::{Arc, Mutex, PoisonError};

/// Shared by a server, which keeps it true, and by those who look.
#[derive(Debug, Clone, Default)]
pub struct Presence(Arc<Mutex<Option<String>>>);

impl Presence {
    /// The broker it is connected to, without passwords; nothing while it looks for one.
    pub fn broker(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, broker: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = broker;
    }
}
