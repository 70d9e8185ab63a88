//! One message for many receivers, each of which gets it at once.
//!
//! Between two receivers only the name of the subscription differs. The message is laid out once, with room before its
//! tail, and for each receiver the start of the line is written into that room. Nothing is allocated or queued for a
//! receiver whose socket takes it.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use super::link::{Chunk, Parcel, write_slice};

/// Room for the name of a subscription and its blank; longer ones go another way.
const SID_BYTES_MAX: usize = 64;
/// Bytes of a tail from which receivers that must wait share one copy.
const SHARE_BYTES_MIN: usize = 256;
/// Room that is kept for the next message.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// The message, as the receiver it was last addressed to gets it.
#[derive(Debug, Default)]
pub(super) struct Letter {
    bytes: Vec<u8>,
    /// Where the bytes for the present receiver begin.
    start: usize,
    tail_at: usize,
    head_bytes: usize,
    sid_bytes: usize,
    /// Bytes of headers and payload.
    body_bytes: u64,
    shared: Option<Arc<[u8]>>,
}

impl Letter {
    /// Lays out a message: `head` goes before the name of the subscription, `tail` behind it. `body_bytes` of the tail
    /// are headers and payload.
    pub fn lay_out(&mut self, head: &[u8], tail: &[u8], body_bytes: u64) {
        self.clear();
        self.body_bytes = body_bytes;
        self.head_bytes = head.len();
        self.tail_at = head.len() + SID_BYTES_MAX;
        self.bytes.reserve(self.tail_at + tail.len());
        self.bytes.extend_from_slice(head);
        self.bytes.resize(self.tail_at, b' ');
        self.bytes.extend_from_slice(tail);
        self.start = self.tail_at;
    }

    /// Addresses it to a subscription, named by `sid` with its blank. False when there is no room for the name.
    pub fn address(&mut self, sid: &[u8], head: &[u8]) -> bool {
        if sid.len() > SID_BYTES_MAX || head.len() != self.head_bytes {
            return false;
        }
        let sid_at = self.tail_at - sid.len();
        let is_same = self.sid_bytes == sid.len();
        if is_same && self.bytes.get(sid_at..self.tail_at) == Some(sid) {
            // The servers of a fleet mostly use the same names.
            return true;
        }
        let start = sid_at - head.len();
        let Some(room) = self.bytes.get_mut(start..self.tail_at) else { return false };
        let (head_room, sid_room) = room.split_at_mut(head.len());
        head_room.copy_from_slice(head);
        sid_room.copy_from_slice(sid);
        (self.start, self.sid_bytes) = (start, sid.len());
        true
    }

    /// Forgets the message.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        self.shared = None;
        (self.start, self.tail_at, self.sid_bytes) = (0, 0, 0);
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Parcel for Letter {
    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn write(&self, socket: &TcpStream) -> (usize, Option<io::ErrorKind>) {
        write_slice(socket, self.bytes())
    }

    fn move_into(&mut self, queue: &mut VecDeque<Chunk>) {
        let (start, tail) = self.bytes().split_at(self.tail_at - self.start);
        if tail.len() < SHARE_BYTES_MIN {
            queue.push_back(Chunk::Own(self.bytes().to_vec()));
            return;
        }
        queue.push_back(Chunk::Own(start.to_vec()));
        let shared = self.shared.clone().unwrap_or_else(|| tail.into());
        queue.push_back(Chunk::Shared(shared.clone()));
        self.shared = Some(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_receiver_gets_its_own_start() {
        for tail in ["5\r\nhello\r\n".to_owned(), format!("300\r\n{}\r\n", "x".repeat(300))] {
            let mut letter = Letter::default();
            let head = b"MSG a.subject ";
            letter.lay_out(head, tail.as_bytes(), 5);
            let longest = format!("{} ", "9".repeat(SID_BYTES_MAX - 1));
            for sid in ["1 ", "1 ", "22 ", "1 ", &longest, "7 "] {
                assert!(letter.address(sid.as_bytes(), head));
                let expected = format!("MSG a.subject {sid}{tail}");
                assert_eq!(letter.bytes(), expected.as_bytes());
                let mut queue = VecDeque::new();
                letter.move_into(&mut queue);
                let queued: Vec<u8> =
                    queue.iter().flat_map(|chunk| chunk.bytes()).copied().collect();
                assert_eq!((queued, letter.len()), (expected.clone().into_bytes(), expected.len()));
            }
            assert!(!letter.address(format!("9{longest}").as_bytes(), head));
        }
    }
}
