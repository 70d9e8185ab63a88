//! What a process may take, set by itself for good.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::process::{kilobytes, memory_bytes};

/// Address space that is only reserved: allocators and thread stacks ask for more than they use.
const RESERVED_BYTES: u64 = 1024 * 1024 * 1024;

/// What a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Memory besides what it has now.
    pub memory_bytes: u64,
    /// Processor time in all, seconds; whoever takes more is killed.
    pub cpu_secs: u64,
    /// Files it may have open.
    pub files: u64,
}

/// Binds this process for the rest of its life: it gets no more than this, writes no files and leaves no core dump.
///
/// # Errors
/// What the system says.
pub fn bind(bounds: &Bounds) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let (_, mapped) = memory_bytes();
    let data = kilobytes(&status, "VmData:") + kilobytes(&status, "VmStk:");
    for (resource, limit) in [
        (Resource::Data, data.saturating_add(bounds.memory_bytes)),
        // Where the system does not count written memory, this is what holds.
        (Resource::As, mapped.saturating_add(bounds.memory_bytes).saturating_add(RESERVED_BYTES)),
        (Resource::Cpu, bounds.cpu_secs),
        (Resource::Nofile, bounds.files),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}
