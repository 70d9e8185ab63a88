//! Keys of registration.

use std::path::PathBuf;
use std::time::Duration;

use super::store::Store;

/// What a server publishes about itself at intervals.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The providers of data.
    pub providers: Vec<String>,
    /// The collective it is sent to.
    pub collective: String,
    /// Time between two messages of a provider.
    pub interval: Duration,
    /// Wait a random part of the interval before the first.
    pub splay: bool,
    /// The file whose content is sent.
    pub file: Option<PathBuf>,
    /// Where it is sent to, when not to the agent.
    pub file_target: Option<String>,
    /// Compress it.
    pub file_compression: bool,
    /// Where the inventory is sent to, when not to the agent.
    pub inventory_target: Option<String>,
    /// Compress the inventory.
    pub inventory_compression: bool,
    /// A change of size by this many bytes is sent before its time; 0 is off.
    pub size_trigger: usize,
    /// Time between two looks at the size.
    pub size_interval: Duration,
}

impl Registration {
    pub(super) fn from(store: &Store) -> Self {
        let name = |key: &str| format!("plugin.choria.registration.{key}");
        let filled = |key: &str| Some(store.text(&name(key))).filter(|text| !text.is_empty());
        Self {
            providers: store.list("registration"),
            collective: store.text("registration_collective"),
            interval: store.seconds("registerinterval"),
            splay: store.flag("registration_splay"),
            file: store.path(&name("file_content.data")),
            file_target: filled("file_content.target"),
            file_compression: store.flag(&name("file_content.compression")),
            inventory_target: filled("inventory_content.target"),
            inventory_compression: store.flag(&name("inventory_content.compression")),
            size_trigger: store.size(&name("size_trigger")),
            size_interval: store.seconds(&name("size_interval")),
        }
    }
}
