//! The sending side of a connection: the part that every event loop may use.
//!
//! Whoever has bytes for a receiver writes them to its socket itself. The lock guards state only: during a write the
//! writer holds the `is_writing` mark, and others append to the queue and leave. What the socket does not take stays in
//! the queue, and the receiver's own event loop goes on when there is room.
//!
//! A link outlives its connection as long as somebody holds it; its socket does not: `close` takes it out, and a write
//! under way keeps it for the moment.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::home::{Home, Mail, lock};
use super::pool::Pool;
use super::waiting::Waiting;
use crate::sys::Interest;

/// A place where no lock is held, so that other threads may come between. Tests choose who does.
#[cfg(not(test))]
#[inline(always)]
fn gap() {}
#[cfg(test)]
use model::gap;

/// Pieces that one system call takes.
const PIECES_MAX: usize = 1024;
/// Bytes written to one receiver before others get their turn.
const DRAIN_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that may wait for another broker. Much more than for a client: the interest of a whole fleet is told at once,
/// and a lost route costs everybody behind it.
const ROUTE_PENDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes up to which appended lines share a piece of the queue.
const PIECE_BYTES: usize = 16 * 1024;

/// The shared part of one connection.
#[derive(Debug)]
pub(super) struct Link {
    /// Small number, unique among the links that exist.
    pub index: u32,
    /// Name in the epoll set of its home.
    pub token: u64,
    pub home: Arc<Home>,
    /// Only its own event loop writes to the socket, because the bytes are encrypted there.
    pub is_tls: bool,
    /// Bytes that may wait here.
    pending_bytes_max: usize,
    takes_headers: AtomicBool,
    out: Mutex<Outbound>,
}

#[derive(Debug)]
struct Outbound {
    socket: Option<Arc<TcpStream>>,
    /// Apart, because most connections are idle and have none.
    backlog: Option<Box<Backlog>>,
    queued_bytes: usize,
    /// Bytes of headers and payloads that were ever given to it.
    sent_bytes: u64,
    is_writing: bool,
    /// The home was told to go on with the queue.
    is_handed_over: bool,
    /// The link is on its home's list of full ones.
    is_listed: bool,
    failure: Option<Failure>,
    interest: Interest,
    /// When the socket last took something, in milliseconds of the broker's clock.
    progress_ms: u64,
}

/// What waits at a link.
#[derive(Debug, Default)]
struct Backlog {
    queue: Batch,
    /// Connections that are not read until this one has room.
    waiting: Vec<Arc<Link>>,
}

/// Bytes that wait to be sent.
#[derive(Debug)]
pub(super) enum Chunk {
    Own(Vec<u8>),
    Shared(Arc<[u8]>),
    /// A large buffer, to be used again when nobody waits for it any more.
    Block(Arc<Vec<u8>>),
}

impl Chunk {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Own(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
            Chunk::Block(bytes) => bytes,
        }
    }
}

/// Bytes for one receiver that were not queued yet.
pub(super) trait Parcel {
    /// How many there are.
    fn len(&self) -> usize;
    /// How many of them are headers and payloads of messages.
    fn body_bytes(&self) -> u64;
    /// Writes as much as the socket takes; how much that was, and what went wrong.
    fn write(&self, socket: &TcpStream) -> (usize, Option<io::ErrorKind>);
    /// Adds all of them to the end of a queue.
    fn move_into(&mut self, queue: &mut VecDeque<Chunk>);
}

/// Why a receiver was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    PendingBytes,
    WriteDeadline,
    Socket(io::ErrorKind),
}

/// What became of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// They are on their way.
    Fine,
    /// They are, but too many wait before them.
    Crowded,
    /// They are in the queue, and the home must be told.
    HandOver,
    /// The connection is gone.
    Gone,
}

impl Link {
    pub fn new(token: u64, home: Arc<Home>, is_tls: bool, socket: Arc<TcpStream>) -> Arc<Link> {
        let pending_bytes_max = home.bounds.pending_bytes_max;
        Link::with_bound(token, home, is_tls, socket, pending_bytes_max)
    }

    /// The link to another broker.
    pub fn for_route(
        token: u64,
        home: Arc<Home>,
        is_tls: bool,
        socket: Arc<TcpStream>,
    ) -> Arc<Link> {
        let link = Link::with_bound(token, home, is_tls, socket, ROUTE_PENDING_BYTES_MAX);
        link.set_takes_headers(true);
        link
    }

    fn with_bound(
        token: u64,
        home: Arc<Home>,
        is_tls: bool,
        socket: Arc<TcpStream>,
        pending_bytes_max: usize,
    ) -> Arc<Link> {
        Arc::new(Link {
            index: home.indexes.take(),
            token,
            home,
            is_tls,
            pending_bytes_max,
            takes_headers: AtomicBool::new(false),
            out: Mutex::new(Outbound {
                socket: Some(socket),
                backlog: None,
                queued_bytes: 0,
                sent_bytes: 0,
                is_writing: false,
                is_handed_over: false,
                is_listed: false,
                failure: None,
                interest: Interest::READ,
                progress_ms: 0,
            }),
        })
    }

    #[inline]
    pub fn takes_headers(&self) -> bool {
        self.takes_headers.load(Ordering::Relaxed)
    }

    pub fn set_takes_headers(&self, takes: bool) {
        self.takes_headers.store(takes, Ordering::Relaxed);
    }

    /// Sends bytes, or queues them behind what waits already. `by_home`: leave the writing to the home loop.
    pub fn send(&self, parcel: &mut impl Parcel, by_home: bool, now_ms: u64) -> Sent {
        let socket = {
            let mut out = lock(&self.out);
            let Some(socket) = out.socket.clone() else { return Sent::Gone };
            if out.failure.is_some() {
                return Sent::Gone;
            }
            if out.queued_bytes + parcel.len() > self.pending_bytes_max {
                self.fail(&mut out, Failure::PendingBytes);
                return Sent::Gone;
            }
            out.sent_bytes += parcel.body_bytes();
            if self.is_tls || by_home {
                out.push(parcel, &self.home.waiting);
                return match std::mem::replace(&mut out.is_handed_over, true) {
                    false => Sent::HandOver,
                    true => self.crowded(&out),
                };
            }
            if out.is_writing || out.has_queue() {
                out.push(parcel, &self.home.waiting);
                return self.crowded(&out);
            }
            out.is_writing = true;
            socket
        };
        gap();
        let (written, error) = parcel.write(&socket);
        gap();
        let mut out = lock(&self.out);
        out.is_writing = false;
        if let Some(error) = error {
            self.fail(&mut out, Failure::Socket(error));
        }
        if out.socket.is_none() || out.failure.is_some() {
            return Sent::Gone;
        }
        if written < parcel.len() {
            out.push_front(parcel, written, &self.home.waiting);
            self.watch_write(&mut out, true, now_ms);
        } else if out.has_queue() {
            drop(out);
            gap();
            self.drain(now_ms);
            out = lock(&self.out);
        }
        self.crowded(&out)
    }

    /// Queues bytes and tells the home about them: they come before everything that is staged now.
    pub fn append(&self, bytes: &[u8]) {
        let mut out = lock(&self.out);
        if bytes.is_empty() || out.socket.is_none() || out.failure.is_some() {
            return;
        }
        if out.queued_bytes + bytes.len() > self.pending_bytes_max {
            return self.fail(&mut out, Failure::PendingBytes);
        }
        out.queued_bytes += bytes.len();
        self.home.waiting.add(bytes.len(), out.queued_bytes);
        let queue = &mut out.backlog.get_or_insert_default().queue.chunks;
        match queue.back_mut() {
            Some(Chunk::Own(piece)) if piece.len() + bytes.len() <= PIECE_BYTES => {
                piece.extend_from_slice(bytes);
            }
            _ => queue.push_back(Chunk::Own(bytes.to_vec())),
        }
        let is_known = std::mem::replace(&mut out.is_handed_over, true);
        drop(out);
        if !is_known {
            self.home.post(Mail::Flush(vec![self.token]));
        }
    }

    fn crowded(&self, out: &Outbound) -> Sent {
        if out.queued_bytes > self.home.bounds.pause_bytes { Sent::Crowded } else { Sent::Fine }
    }

    /// Writes from the queue until it is empty, the socket is full, or others should get their turn.
    pub fn drain(&self, now_ms: u64) {
        let mut budget = DRAIN_BYTES_MAX;
        loop {
            let (mut batch, socket) = {
                let mut out = lock(&self.out);
                out.is_handed_over = false;
                if out.is_writing || out.failure.is_some() {
                    return;
                }
                let Some(socket) = out.socket.clone() else { return };
                if !out.has_queue() {
                    self.watch_write(&mut out, false, now_ms);
                    return self.let_go(out);
                }
                out.is_writing = true;
                (out.take_queue(), socket)
            };
            gap();
            let (written, full) = batch.write(&socket);
            batch.skip(written, &self.home.pool);
            gap();
            let mut out = lock(&self.out);
            out.is_writing = false;
            out.restore(batch, written, now_ms, &self.home.waiting);
            budget = budget.saturating_sub(written);
            match full {
                Err(error) => return self.fail(&mut out, Failure::Socket(error)),
                Ok(is_full) if is_full || budget == 0 => {
                    let has_more = out.has_queue();
                    self.watch_write(&mut out, has_more, now_ms);
                    return self.let_go(out);
                }
                Ok(_) => {}
            }
        }
    }

    /// Takes the queue, for an owner that encrypts it. Nothing while somebody else has it or when it is empty.
    pub fn take_queue(&self) -> Option<(Batch, Arc<TcpStream>)> {
        let mut out = lock(&self.out);
        out.is_handed_over = false;
        let socket = out.socket.clone()?;
        if out.failure.is_some() || out.is_writing {
            return None;
        }
        out.is_writing = true;
        Some((out.take_queue(), socket))
    }

    /// Gives back what is left of a queue after `taken` bytes of it were used. `is_full`: watch for room.
    pub fn restore_queue(&self, mut batch: Batch, taken: usize, is_full: bool, now_ms: u64) {
        batch.skip(taken, &self.home.pool);
        let mut out = lock(&self.out);
        out.is_writing = false;
        out.restore(batch, taken, now_ms, &self.home.waiting);
        self.watch_write(&mut out, is_full, now_ms);
        self.let_go(out);
    }

    /// The socket took bytes that had left the queue before.
    pub fn note_progress(&self, now_ms: u64) {
        lock(&self.out).progress_ms = now_ms;
    }

    /// Lets those be read again that wait for room, when there is room.
    fn let_go(&self, mut out: MutexGuard<'_, Outbound>) {
        if out.queued_bytes > self.home.bounds.pause_bytes / 2 {
            return;
        }
        let waiting = out.take_waiting();
        drop(out);
        for link in waiting {
            gap();
            link.watch_read(true);
        }
    }

    /// Makes `producer` wait until this link has room; false when it has already.
    pub fn make_wait(&self, producer: &Arc<Link>) -> bool {
        producer.watch_read(false);
        gap();
        let mut out = lock(&self.out);
        let is_full = out.failure.is_none()
            && out.socket.is_some()
            && out.queued_bytes > self.home.bounds.pause_bytes / 2;
        if is_full {
            // It may wait already: its pause ended before there was room.
            let waiting = &mut out.backlog.get_or_insert_default().waiting;
            if !waiting.iter().any(|waiting| Arc::ptr_eq(waiting, producer)) {
                waiting.push(producer.clone());
            }
            return true;
        }
        drop(out);
        gap();
        producer.watch_read(true);
        false
    }

    /// Whether incoming bytes are of interest.
    pub fn watch_read(&self, wanted: bool) {
        let mut out = lock(&self.out);
        if out.interest.read != wanted {
            out.interest.read = wanted;
            self.apply(&out);
        }
    }

    /// Whether room in the socket is of interest. The write deadline runs from the moment it becomes so.
    fn watch_write(&self, out: &mut Outbound, wanted: bool, now_ms: u64) {
        if out.interest.write != wanted {
            out.interest.write = wanted;
            out.progress_ms = now_ms;
            self.apply(out);
        }
        if wanted && !std::mem::replace(&mut out.is_listed, true) {
            self.home.add_blocked(self.token);
        }
    }

    fn apply(&self, out: &Outbound) {
        if let Some(socket) = &out.socket
            && let Err(error) = self.home.epoll.modify(socket, self.token, out.interest)
        {
            log::error!("broker: cannot watch a connection err={error}");
        }
    }

    /// Checks the write deadline of a listed link; false when it need not be listed any more.
    pub fn check_deadline(&self, now_ms: u64, deadline_ms: u64) -> bool {
        let mut out = lock(&self.out);
        if out.socket.is_none() || out.failure.is_some() || !out.interest.write {
            out.is_listed = false;
            return false;
        }
        if now_ms.saturating_sub(out.progress_ms) >= deadline_ms {
            self.fail(&mut out, Failure::WriteDeadline);
            return false;
        }
        true
    }

    /// Gives the receiver up. Its event loop sees the closed socket and does the rest.
    fn fail(&self, out: &mut Outbound, failure: Failure) {
        out.failure.get_or_insert(failure);
        out.take_queue();
        self.home.waiting.subtract(std::mem::take(&mut out.queued_bytes));
        if let Some(socket) = &out.socket {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Gives the receiver up because its socket failed elsewhere.
    pub fn fail_socket(&self, kind: io::ErrorKind) {
        self.give_up(Failure::Socket(kind));
    }

    /// Gives the receiver up.
    pub fn give_up(&self, failure: Failure) {
        self.fail(&mut lock(&self.out), failure);
    }

    pub fn failure(&self) -> Option<Failure> {
        lock(&self.out).failure
    }

    /// Bytes that wait to be sent, and those of headers and payloads that were ever given to it.
    pub fn amounts(&self) -> (usize, u64) {
        let out = lock(&self.out);
        (out.queued_bytes, out.sent_bytes)
    }

    /// Whether nothing waits to be sent.
    pub fn is_flushed(&self) -> bool {
        let out = lock(&self.out);
        !out.has_queue() && !out.is_writing
    }

    /// Takes the socket out: nothing is sent any more, and those that wait are read again.
    pub fn close(&self) {
        let mut out = lock(&self.out);
        if let Some(socket) = out.socket.take() {
            // It is in no other set, so this fails only when it is in none.
            let _ = self.home.epoll.remove(&socket);
        }
        self.home.waiting.subtract(std::mem::take(&mut out.queued_bytes));
        let waiting = out.backlog.take().map(|backlog| backlog.waiting).unwrap_or_default();
        drop(out);
        for link in waiting {
            gap();
            link.watch_read(true);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.home.indexes.give_back(self.index);
    }
}

impl Outbound {
    fn has_queue(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| !backlog.queue.chunks.is_empty())
    }

    fn take_queue(&mut self) -> Batch {
        self.backlog.as_mut().map(|backlog| std::mem::take(&mut backlog.queue)).unwrap_or_default()
    }

    fn take_waiting(&mut self) -> Vec<Arc<Link>> {
        let waiting = self.backlog.as_mut().map(|backlog| std::mem::take(&mut backlog.waiting));
        self.trim();
        waiting.unwrap_or_default()
    }

    /// Gives memory back when nothing waits.
    fn trim(&mut self) {
        let is_empty =
            |backlog: &Backlog| backlog.queue.chunks.is_empty() && backlog.waiting.is_empty();
        if !self.is_writing && self.backlog.as_deref().is_some_and(is_empty) {
            self.backlog = None;
        }
    }

    fn push(&mut self, parcel: &mut impl Parcel, waiting: &Waiting) {
        self.queued_bytes += parcel.len();
        waiting.add(parcel.len(), self.queued_bytes);
        parcel.move_into(&mut self.backlog.get_or_insert_default().queue.chunks);
    }

    /// Puts the unsent rest of `parcel` before what others queued meanwhile.
    fn push_front(&mut self, parcel: &mut impl Parcel, written: usize, waiting: &Waiting) {
        let rest = parcel.len() - written;
        self.queued_bytes += rest;
        waiting.add(rest, self.queued_bytes);
        let mut batch = Batch::default();
        parcel.move_into(&mut batch.chunks);
        batch.drop_sent(written, drop);
        self.put_before(batch);
    }

    /// Puts back what is left of a batch of which `written` bytes are gone.
    fn restore(&mut self, batch: Batch, written: usize, now_ms: u64, waiting: &Waiting) {
        if self.failure.is_some() || self.socket.is_none() {
            return;
        }
        if !batch.chunks.is_empty() {
            self.put_before(batch);
        }
        self.trim();
        self.queued_bytes -= written;
        waiting.subtract(written);
        if written > 0 {
            self.progress_ms = now_ms;
        }
    }

    /// Puts a batch before what others queued since it was taken out.
    fn put_before(&mut self, mut batch: Batch) {
        let queue = &mut self.backlog.get_or_insert_default().queue;
        batch.chunks.extend(queue.chunks.drain(..));
        *queue = batch;
    }
}

/// A queue that was taken out to be written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are sent already.
    pub offset: usize,
}

impl Batch {
    /// Drops sent bytes from the front. Not to be called while a link is locked.
    fn skip(&mut self, sent: usize, pool: &Pool) {
        self.drop_sent(sent, |chunk| {
            let unused = match chunk {
                Chunk::Own(bytes) => Some(bytes),
                Chunk::Block(bytes) => Arc::into_inner(bytes),
                Chunk::Shared(_) => None,
            };
            unused.into_iter().for_each(|bytes| pool.give(bytes));
        });
    }

    fn drop_sent(&mut self, mut sent: usize, mut dispose: impl FnMut(Chunk)) {
        sent += std::mem::take(&mut self.offset);
        while let Some(first) = self.chunks.front() {
            let length = first.bytes().len();
            if sent < length {
                self.offset = sent;
                return;
            }
            sent -= length;
            self.chunks.pop_front().map(&mut dispose);
        }
        // An idle connection keeps no memory for a queue.
        self.chunks = VecDeque::new();
    }

    /// Slices of what is unsent, as many as one call takes.
    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut skip = self.offset;
        let slice = |chunk| {
            let bytes = Chunk::bytes(chunk);
            let rest = bytes.get(skip..).unwrap_or_default();
            skip = 0;
            IoSlice::new(rest)
        };
        self.chunks.iter().take(PIECES_MAX).map(slice).collect()
    }

    /// One write: how much the socket took, and whether it is full now.
    fn write(&mut self, socket: &TcpStream) -> (usize, Result<bool, io::ErrorKind>) {
        let slices = self.slices();
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut socket = socket;
        loop {
            match socket.write_vectored(&slices) {
                Ok(written) => return (written, Ok(written < wanted)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (0, Ok(true)),
                Err(error) => return (0, Err(error.kind())),
            }
        }
    }
}

/// Writes as much as the socket takes of one piece.
pub(super) fn write_slice(mut socket: &TcpStream, bytes: &[u8]) -> (usize, Option<io::ErrorKind>) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match socket.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return (bytes.len() - rest.len(), Some(error.kind())),
        }
    }
    (bytes.len() - rest.len(), None)
}

/// Writes as much as the socket takes of several pieces.
pub(super) fn write_slices(
    mut socket: &TcpStream,
    slices: &mut [IoSlice<'_>],
) -> (usize, Option<io::ErrorKind>) {
    let mut rest = slices;
    let mut written = 0;
    while !rest.is_empty() {
        let count = rest.len().min(PIECES_MAX);
        match socket.write_vectored(&rest[..count]) {
            Ok(0) => break,
            Ok(count) => {
                written += count;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return (written, Some(error.kind())),
        }
    }
    (written, None)
}

/// Writes until everything is written or the socket takes no more; returns how much it took.
pub(super) fn write_some(socket: &mut impl Write, bytes: &[u8]) -> Result<usize, io::ErrorKind> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match socket.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.kind()),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod model;
#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::broker::home::Bounds;
    use crate::broker::stage::Staged;
    use crate::sys;
    use std::io::Read;
    use std::net::SocketAddr;

    /// A link to a socket whose other end is returned.
    pub(in crate::broker) fn pair(bounds: Bounds) -> (Arc<Link>, TcpStream) {
        let listener = sys::listen(SocketAddr::from(([127, 0, 0, 1], 0)), 8).expect("listen");
        let peer = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (socket, _) = sys::accept(&listener).expect("accept");
        let home = Arc::new(
            Home::new(bounds, Arc::default(), Arc::default(), Arc::default()).expect("home"),
        );
        let socket = Arc::new(socket);
        home.epoll.add(&socket, 1, Interest::READ).expect("add");
        (Link::new(1, home, false, socket), peer)
    }

    pub(in crate::broker) const BOUNDS: Bounds =
        Bounds { pending_bytes_max: 64 << 20, pause_bytes: 1 << 20 };

    /// A link whose other end is gone.
    pub(in crate::broker) fn loose_link() -> Arc<Link> {
        pair(BOUNDS).0
    }

    fn staged(link: &Arc<Link>, bytes: &[u8]) -> Staged {
        let mut staged = Staged::new(link.clone());
        staged.append(bytes);
        staged
    }

    #[test]
    fn what_the_socket_does_not_take_follows_in_order() {
        let (link, mut peer) = pair(BOUNDS);
        let mut expected = Vec::new();
        let mut sent = Sent::Fine;
        for round in 0..400u32 {
            let mut bytes = round.to_be_bytes().repeat(5000);
            let mut piece = staged(&link, &bytes);
            let shared: Arc<[u8]> = vec![round as u8; 3000].into();
            piece.append_shared(&shared);
            bytes.extend_from_slice(&shared);
            expected.extend_from_slice(&bytes);
            sent = link.send(&mut piece, false, 0);
        }
        assert_eq!(sent, Sent::Crowded);
        assert!(!link.is_flushed());
        let mut got = vec![0; expected.len()];
        let mut filled = 0;
        while filled < got.len() {
            filled += peer.read(&mut got[filled..]).expect("read");
            link.drain(0);
        }
        assert!(got == expected, "bytes arrived in another order");
        assert!(link.is_flushed());
    }

    #[test]
    fn a_receiver_over_its_bound_is_given_up() {
        let (link, _peer) = pair(Bounds { pending_bytes_max: 100_000, pause_bytes: 50_000 });
        let big = vec![0; 90_000];
        while link.send(&mut staged(&link, &big), false, 0) != Sent::Gone {}
        assert_eq!(link.failure(), Some(Failure::PendingBytes));
    }

    #[test]
    fn a_receiver_without_progress_is_given_up() {
        let (link, _peer) = pair(BOUNDS);
        let big = vec![0; 8 << 20];
        link.send(&mut staged(&link, &big), false, 1000);
        assert_eq!(link.home.take_blocked(), [1]);
        assert!(link.check_deadline(10_999, 10_000));
        assert!(!link.check_deadline(11_000, 10_000));
        assert_eq!(link.failure(), Some(Failure::WriteDeadline));
    }

    #[test]
    fn the_deadline_runs_from_when_the_socket_was_full() {
        let (link, _peer) = pair(BOUNDS);
        let big = vec![0; 8 << 20];
        assert_eq!(link.send(&mut staged(&link, &big), true, 0), Sent::HandOver);
        link.drain(60_000);
        assert!(link.check_deadline(60_001, 10_000));
    }

    #[test]
    fn producers_wait_for_room() {
        let (link, mut peer) = pair(BOUNDS);
        let (producer, _other) = pair(BOUNDS);
        assert!(!link.make_wait(&producer));
        let big = vec![0; 16 << 20];
        assert_eq!(link.send(&mut staged(&link, &big), false, 0), Sent::Crowded);
        assert!(link.make_wait(&producer) && link.make_wait(&producer));
        assert_eq!(lock(&link.out).take_waiting().len(), 1);
        assert!(link.make_wait(&producer));
        assert!(!lock(&producer.out).interest.read);
        let mut buffer = vec![0; 1 << 20];
        let mut left = big.len();
        while left > 0 {
            left -= peer.read(&mut buffer).expect("read");
            link.drain(0);
        }
        assert!(lock(&producer.out).interest.read);
    }

    #[test]
    fn closing_frees_the_socket_although_the_link_lives_on() {
        let (link, mut peer) = pair(BOUNDS);
        link.close();
        assert_eq!(peer.read(&mut [0; 1]).expect("end"), 0);
        assert_eq!(link.send(&mut staged(&link, b"x"), false, 0), Sent::Gone);
    }
}
