//! What needs the operating system directly: epoll, sockets, limits. The only module that may hold unsafe code; thanks
//! to rustix there is one line of it (`code.rs`).

mod bounds;
mod code;
mod epoll;
mod group;
mod process;
mod socket;
mod stamp;

pub use bounds::{Bounds, bind};
pub use code::release_code;
pub use epoll::{Epoll, Events, Interest, Ready, Wake};
pub use group::group_number;
pub use process::{cpu_time, memory_bytes, memory_total, monotonic, open_files};
pub use socket::{accept, listen};
pub use stamp::{Stamp, read_bounded};

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to the most this process may have; returns the limit that then holds.
pub fn raise_nofile_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The most files that this process may have open now.
pub fn nofile_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The kernel's name of this host; it may or may not be fully qualified.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_names() {
        assert!(raise_nofile_limit().is_ok_and(|limit| limit > 0));
        assert!(!hostname().is_empty());
    }
}
