//! Messages on one subject that came one behind the other: most of what a fast publisher sends.
//!
//! They are looked up and checked once and laid out once, as the first receiver gets them. Other receivers with the same
//! name for their subscription get the very same bytes; a long run is written to each socket from where it was laid out.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use super::interest::{Matches, Sub};
use super::link::{Chunk, Parcel, write_slice};
use super::router::{Origin, Router};
use super::stage::WIDE;
use super::word::Word;
use crate::nats::codec::Publish;

/// Bytes of a run at which it is sent, and the next one begins. A whole read of short messages fits.
const RUN_BYTES_MAX: usize = 160 * 1024;
/// Bytes of a run from which it is sent at once. Less is staged: others may have something for the same receivers.
const SEND_BYTES_MIN: usize = 16 * 1024;
/// Longer messages are handled one by one: copies of them cost more than looking them up.
const TAIL_BYTES_MAX: usize = 4096;
/// Room for the start of each message.
const START_BYTES: usize = 62;

/// What one event loop keeps for its next run.
#[derive(Debug, Default)]
pub(super) struct Spare {
    block: Block,
    other: Block,
    lengths: Vec<u32>,
}

/// The messages of a run for one name of a subscription.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// The name, with a blank.
    sid: Vec<u8>,
    /// A copy for those receivers that must wait.
    shared: Option<Arc<[u8]>>,
    /// There is one receiver, so that the bytes themselves may wait.
    is_for_one: bool,
}

impl Block {
    /// Ready for the next run, with its room but without what it held.
    fn reuse(&mut self, sid: &[u8]) {
        self.bytes.clear();
        self.sid.clear();
        self.sid.extend_from_slice(sid);
        self.shared = None;
        self.is_for_one = false;
    }
}

impl Parcel for Block {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn write(&self, socket: &TcpStream) -> (usize, Option<io::ErrorKind>) {
        write_slice(socket, &self.bytes)
    }

    fn move_into(&mut self, queue: &mut VecDeque<Chunk>) {
        let is_roomy = self.bytes.capacity() > 2 * self.bytes.len() + 64;
        queue.push_back(match self.is_for_one {
            true if is_roomy => Chunk::Own(self.bytes.clone()),
            true => Chunk::Own(std::mem::take(&mut self.bytes)),
            false => {
                let copy = || self.bytes.as_slice().into();
                Chunk::Shared(self.shared.get_or_insert_with(copy).clone())
            }
        });
    }
}

/// A run while it is collected.
#[derive(Debug)]
pub(super) struct Run {
    matches: Rc<Matches>,
    has_headers: bool,
    /// What each message begins with when the first receiver gets it.
    start: Word<START_BYTES>,
    /// The messages as the first receiver gets them.
    block: Block,
    /// Bytes of each without its start.
    lengths: Vec<u32>,
    /// Bytes of headers and payloads.
    body_bytes: u64,
}

impl Run {
    /// Whether a message may be added.
    #[inline(always)]
    pub fn takes(&self, publish: &Publish<'_>) -> bool {
        let is_long = publish.tail.is_none_or(|tail| tail.len() > TAIL_BYTES_MAX);
        !is_long && publish.headers.is_empty() != self.has_headers
    }

    /// Whether it is long enough.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.block.bytes.len() >= RUN_BYTES_MAX
    }

    /// Adds a message. `input` begins where its tail does, and may go on behind it.
    #[inline(always)]
    pub fn add(&mut self, publish: &Publish<'_>, input: &[u8]) {
        let length = publish.tail.map_or(0, <[u8]>::len);
        self.start.append_to(&mut self.block.bytes);
        append(&mut self.block.bytes, input, length);
        self.lengths.push(length as u32);
        self.body_bytes += (publish.headers.len() + publish.payload.len()) as u64;
    }

    fn head(&self) -> &[u8] {
        head(&self.matches, self.has_headers)
    }

    /// Bytes of the first `count` messages for a subscription of this name.
    fn bytes_of(&self, count: usize, sid: &[u8]) -> usize {
        let start = self.head().len() + sid.len();
        self.lengths.iter().take(count).map(|length| start + *length as usize).sum()
    }

    /// Writes the messages as they are for another name of the subscription.
    fn write_for(&self, sid: &[u8], other: &mut Block) {
        other.reuse(sid);
        other.bytes.reserve(self.bytes_of(self.lengths.len(), sid));
        let mut rest = self.block.bytes.as_slice();
        for length in &self.lengths {
            let tail = rest.get(self.start.len()..).unwrap_or_default();
            let (tail, next) = tail.split_at(tail.len().min(*length as usize));
            other.bytes.extend_from_slice(self.head());
            other.bytes.extend_from_slice(sid);
            other.bytes.extend_from_slice(tail);
            rest = next;
        }
    }
}

fn head(matches: &Matches, has_headers: bool) -> &[u8] {
    if has_headers { matches.head_with_headers.bytes() } else { matches.head.bytes() }
}

/// Appends the first `length` bytes of `input`. Copies of fixed size are quicker, so some more are taken if they are
/// there, and dropped.
#[inline(always)]
fn append(out: &mut Vec<u8>, input: &[u8], length: usize) {
    let end = out.len() + length;
    if length <= 64
        && let Some(bytes) = input.first_chunk::<64>()
    {
        out.extend_from_slice(bytes);
        out.truncate(end);
    } else {
        out.extend_from_slice(input.get(..length).unwrap_or_default());
    }
}

impl Router {
    /// Begins a run with the first of several messages on a subject; nothing when they must be handled one by one.
    pub fn open_run(&mut self, origin: Origin<'_>, first: &Publish<'_>) -> Option<Run> {
        let has_headers = first.is_hpub;
        let matches = self.find(origin.account, first.subject);
        let is_long = first.tail.is_none_or(|tail| tail.len() > TAIL_BYTES_MAX);
        if is_long
            || !matches.is_plain()
            || matches.remote.is_some()
            || has_headers == first.headers.is_empty()
        {
            return None;
        }
        let sub = matches.plain.iter().find(|sub| !origin.is_own(sub))?;
        let is_fit =
            |sub: &Arc<Sub>| sub.limit() == 0 && (!has_headers || sub.link.takes_headers());
        if !matches.plain.iter().all(is_fit) {
            return None;
        }
        let start = Word::of(&[head(&matches, has_headers), sub.sid_word().bytes()]);
        let mut block = std::mem::take(&mut self.spare.block);
        if block.bytes.capacity() == 0 {
            block.bytes = self.stage.new_block(RUN_BYTES_MAX);
        }
        block.reuse(sub.sid_word().bytes());
        let mut lengths = std::mem::take(&mut self.spare.lengths);
        lengths.clear();
        Some(Run { has_headers, start, block, lengths, body_bytes: 0, matches })
    }

    /// Sends or stages a run.
    pub fn close_run(&mut self, origin: Origin<'_>, mut run: Run) {
        let messages = run.lengths.len();
        self.tally.in_messages += messages as u64;
        self.tally.in_bytes += run.body_bytes;
        let matches = run.matches.clone();
        let at_once = run.block.len() >= SEND_BYTES_MIN
            || (matches.plain.len() > WIDE && origin.is_last && self.stage.is_cast_next());
        let mut block = std::mem::take(&mut run.block);
        block.is_for_one = matches.plain.len() == 1;
        let mut other = std::mem::take(&mut self.spare.other);
        other.reuse(b"");
        for sub in matches.plain.iter().filter(|sub| !origin.is_own(sub)) {
            let sid = sub.sid_word().bytes();
            let mut chosen = &mut block;
            if *chosen.sid != *sid {
                if *other.sid != *sid {
                    run.block = block;
                    run.write_for(sid, &mut other);
                    block = std::mem::take(&mut run.block);
                }
                chosen = &mut other;
            }
            let count = self.admit(sub, messages);
            let length = match count == messages {
                true => chosen.len(),
                false => run.bytes_of(count, sid),
            };
            self.tally.out_messages += count as u64;
            self.tally.out_bytes += length as u64;
            if !at_once || count < messages || !self.stage.send(&sub.link, chosen) {
                self.stage.answer(&sub.link, chosen.bytes.get(..length).unwrap_or_default());
                self.stage.flush_if_full();
            }
        }
        block.shared = None;
        other.shared = None;
        self.spare = Spare { block, other, lengths: run.lengths };
    }

    /// How many of some messages a subscription takes; they are counted.
    fn admit(&mut self, sub: &Arc<Sub>, messages: usize) -> usize {
        if sub.limit() == 0 {
            sub.count(messages as u64);
            return messages;
        }
        (0..messages).take_while(|_| self.admit_last(sub)).count()
    }
}
