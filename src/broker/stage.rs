//! What one event loop is about to send: a buffer for each receiver touched in this turn.
//!
//! Small pieces are copied into the buffer, large ones stand between as shared references. At the end of a turn, or when
//! the buffers hold much, each receiver gets its bytes with one system call.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::sync::Arc;

use super::home::{Home, Mail};
use super::interest::Sub;
use super::letter::Letter;
use super::link::{Chunk, Link, Parcel, Sent, write_slice, write_slices};
use super::word::Word;

/// Bytes over all buffers at which they are sent within a turn.
const STAGED_BYTES_MAX: usize = 512 * 1024;
/// Bytes of all buffers that are kept for later turns.
const SPARE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Receivers above which a message is sent to each at once, and staged bytes by the event loops they belong to.
pub(super) const WIDE: usize = 64;
/// Connections of another event loop that are gathered before it is told to go on with them.
const CALLED_AT_ONCE: usize = 256;

/// Bytes read at once from which buffers begin large.
const LARGE_BYTES_MIN: usize = 16 * 1024;
/// Room that a buffer begins with at most.
const LARGE_BYTES_MAX: usize = 256 * 1024;
/// Buffers of one turn that may begin large.
const LARGE_MAX: usize = 16;

const NO_SLOT: u32 = u32::MAX;

/// A shared piece, and where among the copied bytes it belongs.
#[derive(Debug)]
struct Cut {
    at: usize,
    piece: Arc<[u8]>,
}

/// Buffers that were used before.
#[derive(Debug, Default)]
struct Spare {
    bytes: Vec<u8>,
    cuts: Vec<Cut>,
}

/// Bytes for one receiver.
#[derive(Debug)]
pub(super) struct Staged {
    link: Arc<Link>,
    bytes: Vec<u8>,
    cuts: Vec<Cut>,
    cut_bytes: usize,
    /// Bytes of headers and payloads.
    body_bytes: u64,
    /// Messages for the same subscription that are not counted there yet.
    run: Option<(Arc<Sub>, u64)>,
}

impl Staged {
    #[cfg(test)]
    pub fn new(link: Arc<Link>) -> Staged {
        Staged::reusing(link, Spare::default())
    }

    fn reusing(link: Arc<Link>, spare: Spare) -> Staged {
        Staged {
            link,
            bytes: spare.bytes,
            cuts: spare.cuts,
            cut_bytes: 0,
            body_bytes: 0,
            run: None,
        }
    }

    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn append_shared(&mut self, piece: &Arc<[u8]>) {
        self.cut_bytes += piece.len();
        self.cuts.push(Cut { at: self.bytes.len(), piece: piece.clone() });
    }

    /// Counts one message for a subscription.
    #[inline]
    fn count(&mut self, sub: &Arc<Sub>) {
        match &mut self.run {
            Some((have, count)) if Arc::ptr_eq(have, sub) => *count += 1,
            run => {
                settle(run);
                *run = Some((sub.clone(), 1));
            }
        }
    }

    /// All bytes in order.
    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.cuts.len() * 2 + 1);
        let mut from = 0;
        for Cut { at, piece } in &self.cuts {
            slices.push(IoSlice::new(&self.bytes[from..*at]));
            slices.push(IoSlice::new(piece));
            from = *at;
        }
        slices.push(IoSlice::new(&self.bytes[from..]));
        slices
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.cuts.clear();
        (self.cut_bytes, self.body_bytes) = (0, 0);
    }
}

impl Parcel for Staged {
    fn len(&self) -> usize {
        self.bytes.len() + self.cut_bytes
    }

    fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn write(&self, socket: &TcpStream) -> (usize, Option<io::ErrorKind>) {
        match self.cuts.is_empty() {
            true => write_slice(socket, &self.bytes),
            false => write_slices(socket, &mut self.slices()),
        }
    }

    fn move_into(&mut self, queue: &mut VecDeque<Chunk>) {
        if self.cuts.is_empty() {
            // A buffer with much room is worth more to the next turn than to the queue.
            let is_roomy = self.bytes.capacity() > 2 * self.bytes.len() + 64;
            let bytes = if is_roomy { self.bytes.clone() } else { std::mem::take(&mut self.bytes) };
            queue.push_back(Chunk::Own(bytes));
            self.clear();
            return;
        }
        let mut from = 0;
        for Cut { at, piece } in self.cuts.drain(..) {
            if at > from {
                queue.push_back(Chunk::Own(self.bytes[from..at].to_vec()));
            }
            queue.push_back(Chunk::Shared(piece));
            from = at;
        }
        if self.bytes.len() > from {
            queue.push_back(Chunk::Own(self.bytes[from..].to_vec()));
        }
        self.clear();
    }
}

fn settle(run: &mut Option<(Arc<Sub>, u64)>) {
    if let Some((sub, count)) = run.take() {
        sub.count(count);
    }
}

/// The buffers of one event loop.
#[derive(Debug)]
pub(super) struct Stage {
    home: Arc<Home>,
    /// The time of this turn.
    now_ms: u64,
    /// When a message was last sent to many at once.
    cast_ms: u64,
    notices: Notices,
    /// Place in `open` by index of the link.
    slots: Vec<u32>,
    open: Vec<Staged>,
    spare: Vec<Spare>,
    spare_bytes: usize,
    bytes: usize,
    /// Bytes that are being handled now: about what a receiver of all of them gets.
    expected_bytes: usize,
}

/// What sending brought to light.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Receivers with too much waiting.
    pub crowded: Vec<Arc<Link>>,
    /// Own connections whose queues must be gone on with.
    pub to_pump: Vec<u64>,
    /// Those of other event loops.
    to_call: Vec<(Arc<Home>, Vec<u64>)>,
}

impl Notices {
    #[inline]
    fn note(&mut self, link: &Arc<Link>, sent: Sent, home: &Arc<Home>) {
        match sent {
            Sent::Fine | Sent::Gone => {}
            Sent::Crowded => self.crowded.push(link.clone()),
            Sent::HandOver if Arc::ptr_eq(&link.home, home) => self.to_pump.push(link.token),
            Sent::HandOver => self.call(link),
        }
    }

    fn call(&mut self, link: &Link) {
        let known = self.to_call.iter().position(|(home, _)| Arc::ptr_eq(home, &link.home));
        let index = known.unwrap_or_else(|| {
            self.to_call.push((link.home.clone(), Vec::new()));
            self.to_call.len() - 1
        });
        let Some((home, tokens)) = self.to_call.get_mut(index) else { return };
        tokens.push(link.token);
        if tokens.len() >= CALLED_AT_ONCE {
            home.post(Mail::Flush(std::mem::take(tokens)));
        }
    }

    fn post(&mut self) {
        for (home, tokens) in self.to_call.drain(..) {
            if !tokens.is_empty() {
                home.post(Mail::Flush(tokens));
            }
        }
    }
}

impl Stage {
    pub fn new(home: Arc<Home>) -> Stage {
        Stage {
            home,
            now_ms: 0,
            cast_ms: u64::MAX,
            notices: Notices::default(),
            slots: Vec::new(),
            open: Vec::new(),
            spare: Vec::new(),
            spare_bytes: 0,
            bytes: 0,
            expected_bytes: 0,
        }
    }

    /// The buffer of a receiver.
    #[inline]
    fn entry(&mut self, link: &Arc<Link>) -> &mut Staged {
        let index = link.index as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1 + index / 2, NO_SLOT);
        }
        let slot = self.slots[index];
        if slot == NO_SLOT {
            return self.open_for(link);
        }
        // A slot names an open buffer of the link with this index, and links that exist have different indexes.
        &mut self.open[slot as usize]
    }

    fn open_for(&mut self, link: &Arc<Link>) -> &mut Staged {
        let spare = match self.spare.pop() {
            Some(spare) => {
                self.spare_bytes -= spare.bytes.capacity();
                spare
            }
            None => self.new_buffer(link),
        };
        let slot = self.open.len();
        self.slots[link.index as usize] = slot as u32;
        self.open.push(Staged::reusing(link.clone(), spare));
        &mut self.open[slot]
    }

    /// With much to come for few receivers a large buffer at once is better than one that grows.
    fn new_buffer(&self, link: &Link) -> Spare {
        if self.expected_bytes < LARGE_BYTES_MIN || self.open.len() >= LARGE_MAX {
            return Spare::default();
        }
        let room = (self.expected_bytes + self.expected_bytes / 4).min(LARGE_BYTES_MAX);
        let pooled = link.home.pool.take();
        Spare { bytes: pooled.unwrap_or_else(|| Vec::with_capacity(room)), cuts: Vec::new() }
    }

    /// Tells how many bytes are going to be handled, and when.
    pub fn expect(&mut self, bytes: usize, now_ms: u64) {
        self.expected_bytes = bytes;
        self.now_ms = now_ms;
    }

    /// Whether a message to many is to be sent to each at once. The first of a turn is; when more follow they are
    /// collected, because a system call costs more than a copy.
    pub fn is_cast_next(&mut self) -> bool {
        std::mem::replace(&mut self.cast_ms, self.now_ms) != self.now_ms
    }

    /// Sends a message to one of many receivers at once; false when something is staged for it, which goes first.
    #[inline]
    pub fn cast(&mut self, sub: &Arc<Sub>, head: &[u8], letter: &mut Letter) -> bool {
        let is_sent = letter.address(sub.sid_word().bytes(), head) && self.send(&sub.link, letter);
        if is_sent && sub.limit() == 0 {
            sub.count(1);
        }
        is_sent
    }

    /// Sends bytes to a receiver at once; false when something is staged for it, which goes first.
    #[inline]
    pub fn send(&mut self, link: &Arc<Link>, parcel: &mut impl Parcel) -> bool {
        if self.slots.get(link.index as usize).is_some_and(|slot| *slot != NO_SLOT) {
            return false;
        }
        self.send_now(link, parcel);
        true
    }

    /// Sends bytes to a receiver at once, before what may be staged for it.
    #[inline]
    pub fn send_now(&mut self, link: &Arc<Link>, parcel: &mut impl Parcel) {
        let sent = link.send(parcel, false, self.now_ms);
        self.notices.note(link, sent, &self.home);
    }

    /// An empty buffer with room for what is being handled, but not for much more than `bytes_max`.
    pub fn new_block(&self, bytes_max: usize) -> Vec<u8> {
        let room = (self.expected_bytes + self.expected_bytes / 4).min(bytes_max + bytes_max / 8);
        let pooled = if room >= LARGE_BYTES_MIN { self.home.pool.take() } else { None };
        pooled.unwrap_or_else(|| Vec::with_capacity(room))
    }

    /// Adds bytes that are no messages.
    pub fn answer(&mut self, link: &Arc<Link>, bytes: &[u8]) {
        self.messages(link, bytes, 0);
    }

    /// Adds messages that are counted already, with so many bytes of headers and payloads.
    pub fn messages(&mut self, link: &Arc<Link>, bytes: &[u8], body_bytes: u64) {
        let staged = self.entry(link);
        staged.append(bytes);
        staged.body_bytes += body_bytes;
        self.bytes += bytes.len();
    }

    /// Adds a message of three parts for a subscription.
    #[inline]
    pub fn message<const N: usize>(
        &mut self,
        sub: &Arc<Sub>,
        head: &Word<N>,
        tail: Tail<'_>,
        body_bytes: u64,
    ) {
        let sid = sub.sid_word();
        let staged = self.entry(&sub.link);
        let length = head.len() + sid.len() + tail.len();
        staged.body_bytes += body_bytes;
        head.append_to(&mut staged.bytes);
        sid.append_to(&mut staged.bytes);
        match tail {
            Tail::Copied(bytes) => staged.append(bytes),
            Tail::Shared(piece) => staged.append_shared(piece),
        }
        if sub.limit() == 0 {
            staged.count(sub);
        }
        self.bytes += length;
    }

    /// Adds a message of three parts for another broker.
    pub fn routed(
        &mut self,
        route: &Arc<Link>,
        head: &[u8],
        words: &[u8],
        tail: Tail<'_>,
        body_bytes: u64,
    ) {
        let staged = self.entry(route);
        let length = head.len() + words.len() + tail.len();
        staged.body_bytes += body_bytes;
        staged.append(head);
        staged.append(words);
        match tail {
            Tail::Copied(bytes) => staged.append(bytes),
            Tail::Shared(piece) => staged.append_shared(piece),
        }
        self.bytes += length;
    }

    /// Makes the count of a link's subscriptions exact.
    pub fn settle(&mut self, link: &Arc<Link>) {
        if self.slots.get(link.index as usize).is_some_and(|slot| *slot != NO_SLOT) {
            settle(&mut self.entry(link).run);
        }
    }

    /// Sends everything when it is much already.
    #[inline]
    pub fn flush_if_full(&mut self) {
        if self.is_full() {
            self.flush(self.now_ms);
        }
    }

    /// Sends everything before the turn ends.
    pub fn flush_early(&mut self) {
        self.flush(self.now_ms);
    }

    /// Whether so much is staged that it should be sent now.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.bytes > STAGED_BYTES_MAX
    }

    /// Sends everything. When it goes to many, other event loops first get what belongs to their connections, so that
    /// all of them write.
    pub fn flush(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if self.open.len() > WIDE {
            for staged in &mut self.open {
                if !Arc::ptr_eq(&staged.link.home, &self.home) {
                    settle(&mut staged.run);
                    let sent = staged.link.clone().send(staged, true, self.now_ms);
                    self.notices.note(&staged.link, sent, &self.home);
                    staged.clear();
                }
            }
        }
        self.notices.post();
        for mut staged in self.open.drain(..) {
            self.slots[staged.link.index as usize] = NO_SLOT;
            settle(&mut staged.run);
            if staged.len() > 0 {
                let sent = staged.link.clone().send(&mut staged, false, self.now_ms);
                self.notices.note(&staged.link, sent, &self.home);
                staged.clear();
            }
            let kept = self.spare_bytes + staged.bytes.capacity();
            if kept <= SPARE_BYTES_MAX && staged.bytes.capacity() > 0 {
                self.spare_bytes = kept;
                self.spare.push(Spare { bytes: staged.bytes, cuts: staged.cuts });
            }
        }
        self.notices.post();
        self.bytes = 0;
    }

    /// What sending brought to light since it was last asked.
    pub fn notices(&mut self) -> &mut Notices {
        &mut self.notices
    }
}

/// The last part of a message: `[reply ]sizes CR LF headers payload CR LF`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tail<'t> {
    Copied(&'t [u8]),
    Shared(&'t Arc<[u8]>),
}

impl Tail<'_> {
    fn len(&self) -> usize {
        match self {
            Tail::Copied(bytes) => bytes.len(),
            Tail::Shared(bytes) => bytes.len(),
        }
    }
}
