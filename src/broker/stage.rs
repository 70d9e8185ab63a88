//! What one event loop is about to send: a buffer for each receiver touched in this turn.
//!
//! Small pieces are copied into the buffer, large ones stand between as shared references. At the end of a turn, or when
//! the buffers hold much, each receiver gets its bytes with one system call.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use super::interest::Sub;
use super::link::{Chunk, Link, Sent};
use super::word::Word;

/// Bytes over all buffers at which they are sent within a turn.
const STAGED_BYTES_MAX: usize = 512 * 1024;
/// Bytes of all buffers that are kept for later turns.
const SPARE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Receivers above which other event loops do the writing to their own connections.
const WIDE: usize = 64;

/// Bytes read at once from which buffers begin large.
const LARGE_BYTES_MIN: usize = 16 * 1024;
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
    /// Messages for the same subscription that are not counted there yet.
    run: Option<(Arc<Sub>, u64)>,
}

impl Staged {
    #[cfg(test)]
    pub fn new(link: Arc<Link>) -> Staged {
        Staged::reusing(link, Spare::default())
    }

    fn reusing(link: Arc<Link>, spare: Spare) -> Staged {
        Staged { link, bytes: spare.bytes, cuts: spare.cuts, cut_bytes: 0, run: None }
    }

    pub fn len(&self) -> usize {
        self.bytes.len() + self.cut_bytes
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
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
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

    /// Moves everything to the end of a queue.
    pub fn move_into(&mut self, queue: &mut VecDeque<Chunk>) {
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

    fn clear(&mut self) {
        self.bytes.clear();
        self.cuts.clear();
        self.cut_bytes = 0;
    }
}

fn settle(run: &mut Option<(Arc<Sub>, u64)>) {
    if let Some((sub, count)) = run.take() {
        sub.count(count);
    }
}

/// The buffers of one event loop.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// Place in `open` by index of the link.
    slots: Vec<u32>,
    open: Vec<Staged>,
    spare: Vec<Spare>,
    spare_bytes: usize,
    bytes: usize,
    /// Bytes that are being handled now: about what a receiver of all of them gets.
    expected_bytes: usize,
}

/// What sending all buffers brought to light.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// Receivers with too much waiting.
    pub crowded: Vec<Arc<Link>>,
    /// Receivers whose own loops must go on.
    pub handed_over: Vec<Arc<Link>>,
}

impl Stage {
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
        let room = self.expected_bytes + self.expected_bytes / 4;
        let pooled = link.home.pool.take();
        Spare { bytes: pooled.unwrap_or_else(|| Vec::with_capacity(room)), cuts: Vec::new() }
    }

    /// Tells how many bytes are going to be handled.
    pub fn expect(&mut self, bytes: usize) {
        self.expected_bytes = bytes;
    }

    /// Adds bytes that are not a message: answers.
    pub fn answer(&mut self, link: &Arc<Link>, bytes: &[u8]) {
        self.entry(link).append(bytes);
        self.bytes += bytes.len();
    }

    /// Adds a message of three parts for a subscription.
    #[inline]
    pub fn message<const N: usize>(
        &mut self,
        sub: &Arc<Sub>,
        head: &Word<N>,
        tail: Tail<'_>,
    ) -> usize {
        let sid = sub.sid_word();
        let staged = self.entry(&sub.link);
        let length = head.len() + sid.len() + tail.len();
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
        length
    }

    /// Makes the count of a link's subscriptions exact.
    pub fn settle(&mut self, link: &Arc<Link>) {
        if self.slots.get(link.index as usize).is_some_and(|slot| *slot != NO_SLOT) {
            settle(&mut self.entry(link).run);
        }
    }

    /// Whether so much is staged that it should be sent now.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.bytes > STAGED_BYTES_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Sends everything. `is_mine` tells whether the calling loop owns a link.
    pub fn flush(&mut self, is_mine: impl Fn(&Link) -> bool, now_ms: u64) -> Flushed {
        let mut flushed = Flushed::default();
        let is_wide = self.open.len() > WIDE;
        for mut staged in self.open.drain(..) {
            self.slots[staged.link.index as usize] = NO_SLOT;
            settle(&mut staged.run);
            let by_home = is_wide && !is_mine(&staged.link);
            match staged.link.clone().send(&mut staged, by_home, now_ms) {
                Sent::Fine | Sent::Gone => {}
                Sent::Crowded => flushed.crowded.push(staged.link.clone()),
                Sent::HandOver => flushed.handed_over.push(staged.link.clone()),
            }
            staged.clear();
            let kept = self.spare_bytes + staged.bytes.capacity();
            if kept <= SPARE_BYTES_MAX && staged.bytes.capacity() > 0 {
                self.spare_bytes = kept;
                self.spare.push(Spare { bytes: staged.bytes, cuts: staged.cuts });
            }
        }
        self.bytes = 0;
        flushed
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
