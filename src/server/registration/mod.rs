//! Registration: what a server publishes about itself at intervals, for adapters to carry on (server notes 10,
//! federation notes B7).
//!
//! A message is an ordinary signed request to the agent `registration`, which nobody answers. Each [`Provider`] has a
//! task of its own and a state of its own: `payload` makes the text, `pace` says whether it is due, `publish` sends it.
//! Nothing is kept for later: who is not connected when data is due sends it the next time.

mod pace;
mod payload;
mod publish;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use publish::start;

/// The largest file whose content is published. The largest message of the broker is usually smaller.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How a server registers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What is published, each on its own.
    pub providers: Vec<Provider>,
    /// The collective it is sent to; one that the server belongs to.
    pub collective: String,
    /// Time between two messages of a provider, at least a second.
    pub interval: Duration,
    /// Wait a random part of the interval before the first.
    pub has_splay: bool,
    /// Publish before it is time when the size of the data changes.
    pub size_trigger: Option<SizeTrigger>,
    /// Seconds for which a message is valid.
    pub ttl_secs: u64,
}

/// When a change of size is worth a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeTrigger {
    /// Bytes that the message has become longer or shorter by.
    pub bytes: usize,
    /// Time between two looks, at least a second.
    pub interval: Duration,
}

/// One source of data and how it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Where the data comes from.
    pub source: Source,
    /// The subject it is sent to; that of the agent `registration` when there is none.
    pub target: Option<String>,
    /// Compress it with gzip.
    pub is_compressed: bool,
}

/// Where data comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The content of a file.
    File(PathBuf),
    /// What the server knows about itself.
    Inventory,
}

impl Source {
    /// The name of [`Source::File`] in configurations.
    pub const FILE: &str = "file_content";
    /// The name of [`Source::Inventory`] in configurations.
    pub const INVENTORY: &str = "inventory_content";

    /// Its name in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Source::File(_) => Source::FILE,
            Source::Inventory => Source::INVENTORY,
        }
    }
}
