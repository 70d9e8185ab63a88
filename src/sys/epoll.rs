//! Level-triggered epoll, and an eventfd to wake a thread that waits in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// What to be told about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// It can be read.
    pub read: bool,
    /// It can be written.
    pub write: bool,
}

impl Interest {
    /// Reading only.
    pub const READ: Interest = Interest { read: true, write: false };

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.read);
        flags.set(EventFlags::OUT, self.write);
        flags
    }
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The token the file was added with.
    pub token: u64,
    /// It can be read, or its peer closed.
    pub read: bool,
    /// It can be written.
    pub write: bool,
    /// Both directions are closed, or it has an error; reported without being asked for.
    pub hangup: bool,
}

/// A set of files that a thread waits for. Files may be changed by other threads while it waits.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// An empty set.
    pub fn new() -> io::Result<Epoll> {
        Ok(Epoll { fd: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Adds a file.
    pub fn add(&self, file: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.fd, file, EventData::new_u64(token), interest.flags())?)
    }

    /// Changes what a file is watched for.
    pub fn modify(&self, file: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, file, EventData::new_u64(token), interest.flags())?)
    }

    /// Takes a file out.
    pub fn remove(&self, file: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, file)?)
    }

    /// Waits until something happened or the time is up, and replaces the contents of `events`, up to its capacity.
    /// Being interrupted by a signal counts as nothing happened.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        events.list.clear();
        match epoll::wait(&self.fd, spare_capacity(&mut events.list), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Room for what one wait reports.
pub struct Events {
    list: Vec<Event>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries((0..self.len()).filter_map(|index| self.at(index))).finish()
    }
}

impl Events {
    /// Room for `count` files.
    pub fn with_capacity(count: usize) -> Events {
        Events { list: Vec::with_capacity(count) }
    }

    /// Number of files reported.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether the time was up before anything happened.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One of the reports.
    pub fn at(&self, index: usize) -> Option<Ready> {
        self.list.get(index).map(|event| {
            let (flags, data) = (event.flags, event.data);
            let hangup = EventFlags::HUP | EventFlags::ERR;
            Ready {
                token: data.u64(),
                read: flags.intersects(EventFlags::IN | EventFlags::RDHUP),
                write: flags.contains(EventFlags::OUT),
                hangup: flags.intersects(hangup),
            }
        })
    }
}

/// Wakes a thread out of [`Epoll::wait`]: add it to the set for reading.
#[derive(Debug)]
pub struct Wake {
    fd: OwnedFd,
}

impl Wake {
    /// A wake-up that was not given yet.
    pub fn new() -> io::Result<Wake> {
        Ok(Wake { fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Wakes; several calls count as one.
    pub fn wake(&self) {
        // A full counter means that the thread will wake anyway.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Takes the wake-up back after it was seen.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0u8; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_is_seen_once() {
        let epoll = Epoll::new().expect("epoll");
        let wake = Wake::new().expect("eventfd");
        let mut events = Events::with_capacity(8);
        epoll.add(&wake, 7, Interest::READ).expect("add");
        let wait = |events: &mut Events| epoll.wait(events, Some(Duration::from_millis(10)));
        wait(&mut events).expect("wait");
        assert!(events.is_empty());
        wake.wake();
        wake.wake();
        wait(&mut events).expect("wait");
        assert_eq!(events.at(0), Some(Ready { token: 7, read: true, write: false, hangup: false }));
        wake.clear();
        wait(&mut events).expect("wait");
        assert_eq!(events.len(), 0);
        epoll.modify(&wake, 9, Interest { read: true, write: true }).expect("modify");
        wait(&mut events).expect("wait");
        assert_eq!(events.at(0), Some(Ready { token: 9, read: false, write: true, hangup: false }));
        epoll.remove(&wake).expect("remove");
    }
}
