//! Messages on one subject that came one behind the other: most of what a fast publisher sends.
//!
//! They are looked up and checked once. Short ones are laid out once, as the first receiver gets them; other receivers
//! with the same name for their subscription get the very same bytes, and a long run is written to each socket from where
//! it was laid out. Long ones are not copied at all: each receiver gets them from where they were read.

mod spread;

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use super::interest::{Matches, Sub};
use super::link::{Chunk, Parcel, write_slice};
use super::router::{Origin, Router};
use super::stage::{Stage, WIDE};
use super::word::Word;
use crate::nats::codec::Publish;
use spread::Spread;

/// Bytes of short messages at which a run is sent, and the next one begins.
const RUN_BYTES_MAX: usize = 160 * 1024;
/// Bytes of a run from which it is sent at once. Less is staged: others may have something for the same receivers.
const SEND_BYTES_MIN: usize = 16 * 1024;
/// A run of messages from this length on is not copied.
const LONG_BYTES_MIN: usize = 1024;
/// Longer messages are not taken into a run of short ones.
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
    /// The same, when receivers must wait for them. They are in one of the two places.
    waiting: Option<Arc<Vec<u8>>>,
    /// The name, with a blank.
    sid: Vec<u8>,
    /// How many are headers and payloads.
    body_bytes: u64,
}

impl Block {
    /// Ready for the next run: without what it held, and with room for as much as is expected.
    fn reuse(&mut self, sid: &[u8], stage: &Stage) {
        self.take_back();
        self.bytes.clear();
        if self.bytes.capacity() == 0 {
            self.bytes = stage.new_block(RUN_BYTES_MAX);
        }
        self.sid.clear();
        self.sid.extend_from_slice(sid);
    }

    /// Leaves the bytes to those who wait for them, if there are any.
    fn take_back(&mut self) {
        if let Some(bytes) = self.waiting.take().and_then(Arc::into_inner)
            && self.bytes.capacity() == 0
        {
            self.bytes = bytes;
        }
    }

    fn bytes(&self) -> &[u8] {
        self.waiting.as_ref().map_or(&self.bytes, |bytes| bytes)
    }
}

impl Parcel for Block {
    fn len(&self) -> usize {
        self.bytes().len()
    }

    fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn write(&self, socket: &TcpStream) -> (usize, Option<io::ErrorKind>) {
        write_slice(socket, self.bytes())
    }

    fn move_into(&mut self, queue: &mut VecDeque<Chunk>) {
        let waiting = self.waiting.take().unwrap_or_else(|| {
            // A buffer with much room is worth more to the next run than to the queue.
            let is_roomy = self.bytes.capacity() > 2 * self.bytes.len() + 64;
            Arc::new(match is_roomy {
                true => self.bytes.clone(),
                false => std::mem::take(&mut self.bytes),
            })
        });
        queue.push_back(Chunk::Block(waiting.clone()));
        self.waiting = Some(waiting);
    }
}

/// A run while it is collected.
#[derive(Debug)]
pub(super) struct Run<'i> {
    matches: Arc<Matches>,
    has_headers: bool,
    /// What each message begins with when the first receiver gets it.
    start: Word<START_BYTES>,
    /// The messages as the first receiver gets them, if they are short.
    block: Block,
    /// What was read, from the tail of the first message on, if they are long.
    source: Option<&'i [u8]>,
    /// Bytes of each without its start.
    lengths: Vec<u32>,
    /// Bytes of headers and payloads.
    body_bytes: u64,
}

impl<'i> Run<'i> {
    /// Whether a message may be added.
    #[inline(always)]
    pub fn takes(&self, publish: &Publish<'_>) -> bool {
        let Some(tail) = publish.tail else { return false };
        let is_fit = self.source.is_some() || tail.len() <= TAIL_BYTES_MAX;
        is_fit && publish.headers.is_empty() != self.has_headers
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
        if self.source.is_none() {
            self.start.append_to(&mut self.block.bytes);
            append(&mut self.block.bytes, input, length);
        }
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

    /// Headers and payloads of the first `count` messages. When that are not all of them, because a subscription ended
    /// in between, each counts the same.
    fn body_bytes_of(&self, count: usize) -> u64 {
        self.body_bytes * count as u64 / self.lengths.len().max(1) as u64
    }

    /// Writes the messages as they are for another name of the subscription.
    fn write_for(&self, sid: &[u8], block: &Block, other: &mut Block, stage: &Stage) {
        other.reuse(sid, stage);
        other.body_bytes = self.body_bytes;
        other.bytes.reserve(self.bytes_of(self.lengths.len(), sid));
        let mut rest = block.bytes();
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
    /// `input` begins where the tail of the first one does, and goes on behind it.
    pub fn open_run<'i>(
        &mut self,
        origin: Origin<'_>,
        first: &Publish<'_>,
        input: &'i [u8],
    ) -> Option<Run<'i>> {
        let has_headers = first.is_hpub;
        let matches = self.find(origin.account, first.subject);
        let tail = first.tail?;
        if !matches.is_plain()
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
        let source = (tail.len() >= LONG_BYTES_MIN).then_some(input);
        let mut block = std::mem::take(&mut self.spare.block);
        match source {
            None => block.reuse(sub.sid_word().bytes(), &self.stage),
            Some(_) => block.bytes.clear(),
        }
        let mut lengths = std::mem::take(&mut self.spare.lengths);
        lengths.clear();
        Some(Run { has_headers, start, block, source, lengths, body_bytes: 0, matches })
    }

    /// Sends or stages a run. `start_bytes`: those before the tail of each message as it came.
    pub fn close_run(&mut self, origin: Origin<'_>, mut run: Run<'_>, start_bytes: usize) {
        self.tally.in_messages += run.lengths.len() as u64;
        self.tally.in_bytes += run.body_bytes;
        match run.source {
            None => self.send_short(origin, &mut run),
            Some(source) => {
                let spread = Spread::new(source, start_bytes, &run.lengths, run.body_bytes);
                self.send_long(origin, &run, spread);
            }
        }
        run.block.take_back();
        (self.spare.block, self.spare.lengths) = (run.block, run.lengths);
    }

    /// Whether a run of so many bytes is sent to each receiver at once.
    fn is_sent_at_once(&mut self, origin: Origin<'_>, bytes: usize, receivers: usize) -> bool {
        bytes >= SEND_BYTES_MIN || (receivers > WIDE && origin.is_last && self.stage.is_cast_next())
    }

    fn send_short(&mut self, origin: Origin<'_>, run: &mut Run<'_>) {
        let matches = run.matches.clone();
        let messages = run.lengths.len();
        let at_once = self.is_sent_at_once(origin, run.block.len(), matches.plain.len());
        let mut block = std::mem::take(&mut run.block);
        block.body_bytes = run.body_bytes;
        let mut other = std::mem::take(&mut self.spare.other);
        other.sid.clear();
        for sub in matches.plain.iter().filter(|sub| !origin.is_own(sub)) {
            let sid = sub.sid_word().bytes();
            let mut chosen = &mut block;
            if *chosen.sid != *sid {
                if *other.sid != *sid {
                    run.write_for(sid, &block, &mut other, &self.stage);
                }
                chosen = &mut other;
            }
            let count = self.admit(sub, run);
            if !at_once || count < messages || !self.stage.send(&sub.link, chosen) {
                let bytes = chosen.bytes().get(..run.bytes_of(count, sid)).unwrap_or_default();
                self.stage.messages(&sub.link, bytes, run.body_bytes_of(count));
                self.stage.flush_if_full();
            }
        }
        other.take_back();
        self.spare.other = other;
        run.block = block;
    }

    fn send_long(&mut self, origin: Origin<'_>, run: &Run<'_>, mut spread: Spread<'_>) {
        let messages = run.lengths.len();
        let bytes = run.bytes_of(messages, b"");
        let at_once = self.is_sent_at_once(origin, bytes, run.matches.plain.len());
        for sub in run.matches.plain.iter().filter(|sub| !origin.is_own(sub)) {
            spread.address(&[run.head(), sub.sid_word().bytes()]);
            let count = self.admit(sub, run);
            if !at_once || count < messages || !self.stage.send(&sub.link, &mut spread) {
                for tail in spread.tails().take(count) {
                    self.stage.messages(&sub.link, spread.start(), 0);
                    self.stage.messages(&sub.link, tail, 0);
                }
                self.stage.messages(&sub.link, b"", run.body_bytes_of(count));
                self.stage.flush_if_full();
            }
        }
    }

    /// How many messages of a run a subscription takes; they are counted.
    fn admit(&mut self, sub: &Arc<Sub>, run: &Run<'_>) -> usize {
        let messages = run.lengths.len();
        let count = match sub.limit() {
            0 => {
                sub.count(messages as u64);
                messages
            }
            _ => (0..messages).take_while(|_| self.admit_last(sub)).count(),
        };
        self.tally.out_messages += count as u64;
        self.tally.out_bytes += run.body_bytes_of(count);
        count
    }
}
