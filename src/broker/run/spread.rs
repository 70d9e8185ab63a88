//! Long messages that came one behind the other, written to each receiver from where they were read: the system copies
//! them anyway, and a second copy of them costs more than telling it where each of them is.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::sync::Arc;

use super::START_BYTES;
use crate::broker::link::{Chunk, Parcel, write_slices};
use crate::broker::word::Word;

/// The messages of a run, as the receiver they were last addressed to gets them.
#[derive(Debug)]
pub(super) struct Spread<'r> {
    /// What was read, from the tail of the first message on.
    pub source: &'r [u8],
    /// Bytes between the end of a message and the tail of the next one.
    pub gap: usize,
    /// Bytes of each tail.
    pub lengths: &'r [u32],
    /// Bytes of headers and payloads.
    pub body_bytes: u64,
    /// What each message begins with.
    start: Word<START_BYTES>,
    /// A copy for those receivers that must wait.
    waiting: Option<Arc<Vec<u8>>>,
}

impl<'r> Spread<'r> {
    /// Messages that begin with `start`.
    pub fn new(source: &'r [u8], gap: usize, lengths: &'r [u32], body_bytes: u64) -> Spread<'r> {
        let start = Word::of(&[]);
        Spread { source, gap, lengths, body_bytes, start, waiting: None }
    }

    /// Addresses them: each is going to begin with these words.
    pub fn address(&mut self, words: &[&[u8]]) {
        let start = Word::of(words);
        if start.bytes() != self.start.bytes() {
            self.start = start;
            self.waiting = None;
        }
    }

    /// What each message begins with.
    pub fn start(&self) -> &[u8] {
        self.start.bytes()
    }

    /// What follows that in each message.
    pub fn tails(&self) -> impl Iterator<Item = &'r [u8]> {
        let (mut rest, gap) = (self.source, self.gap);
        self.lengths.iter().map(move |length| {
            let (tail, after) = rest.split_at(rest.len().min(*length as usize));
            rest = after.get(gap..).unwrap_or_default();
            tail
        })
    }

    fn lay_out(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        for tail in self.tails() {
            bytes.extend_from_slice(self.start());
            bytes.extend_from_slice(tail);
        }
        bytes
    }
}

impl Parcel for Spread<'_> {
    fn len(&self) -> usize {
        let tails: usize = self.lengths.iter().map(|length| *length as usize).sum();
        tails + self.lengths.len() * self.start.len()
    }

    fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn write(&self, socket: &TcpStream) -> (usize, Option<io::ErrorKind>) {
        let mut slices = Vec::with_capacity(2 * self.lengths.len());
        for tail in self.tails() {
            slices.extend([IoSlice::new(self.start()), IoSlice::new(tail)]);
        }
        write_slices(socket, &mut slices)
    }

    fn move_into(&mut self, queue: &mut VecDeque<Chunk>) {
        let waiting = self.waiting.take().unwrap_or_else(|| Arc::new(self.lay_out()));
        queue.push_back(Chunk::Block(waiting.clone()));
        self.waiting = Some(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_receiver_gets_its_own_start() {
        // Three messages as they are read, without the start of the first one.
        let source = b"2\r\nok\r\nPUB a 3\r\nyes\r\nPUB a r 0\r\n\r\nPUB b 1\r\nx\r\n";
        let mut spread = Spread::new(source, "PUB a ".len(), &[7, 8, 7], 5);
        for (sid, bytes) in [(&b"1 "[..], 46), (b"1 ", 46), (b"234 ", 52), (b"1 ", 46)] {
            spread.address(&[b"MSG a ", sid]);
            let sid = String::from_utf8_lossy(sid);
            let expected =
                format!("MSG a {sid}2\r\nok\r\nMSG a {sid}3\r\nyes\r\nMSG a {sid}r 0\r\n\r\n");
            let mut queue = VecDeque::new();
            spread.move_into(&mut queue);
            let queued: Vec<u8> = queue.iter().flat_map(|chunk| chunk.bytes()).copied().collect();
            assert_eq!(String::from_utf8_lossy(&queued), expected);
            assert_eq!((spread.len(), expected.len()), (bytes, bytes));
        }
    }
}
