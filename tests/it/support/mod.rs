//! What behaviour tests share: a fresh folder, certificates, processes of the real binary and of foreign NATS programs.

mod client;
mod daemon;
mod folder;
mod https;
mod nats_server;
mod pki;
mod process;
mod raw;
mod tokens;

pub use client::Client;
pub use daemon::{Broker, Server, ServerOptions, choria, program};
pub use folder::Folder;
pub use https::{Asked, Https};
pub use nats_server::{NatsServer, free_port};
pub use pki::{Leaf, Pki};
pub use process::{Finished, Process, resident_kib, run};
pub use raw::Raw;
pub use tokens::Organization;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails: generous, because machines that test are busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `ready` gives a value; fails with `what` after [`DEADLINE`].
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where `scripts/test-peers` puts the foreign programs.
pub fn peers() -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/interop"));
    assert!(
        folder.join("nats-server").exists(),
        "run scripts/test-peers once: it installs the programs tests talk to"
    );
    folder
}
