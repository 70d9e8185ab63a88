use std::collections::VecDeque;
use std::io::Read;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error, ProtocolVersion};

use super::*;
use crate::broker::link::Chunk;
use crate::broker::tests::tls::Pki;

/// A socket that takes some bytes at a time, and after these none for once.
struct Narrow {
    got: Vec<u8>,
    most: usize,
    room: usize,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            self.room = self.most;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.got.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both ends of a session, and the plain bytes that arrived at each.
struct Pair {
    tls: Tls,
    client: ClientConnection,
    at_broker: Vec<u8>,
    at_client: Vec<u8>,
    /// Bytes given to the broker at a time.
    piece: usize,
}

impl Pair {
    fn new(client: Arc<ClientConfig>, server: Arc<ServerConfig>, piece: usize) -> Pair {
        let name = ServerName::try_from("localhost").expect("name");
        Pair {
            tls: Tls::new(server).expect("session"),
            client: ClientConnection::new(client, name).expect("client"),
            at_broker: Vec::new(),
            at_client: Vec::new(),
            piece,
        }
    }

    fn open(piece: usize) -> Pair {
        let pki = Pki::new();
        let mut pair = Pair::new(pki.client(Some(pki.issue("node"))), pki.server(), piece);
        pair.shake().expect("handshake");
        pair
    }

    fn shake(&mut self) -> Result<(), Error> {
        for _ in 0..4 {
            self.deliver()?;
            self.send(&[]);
        }
        assert!(!self.tls.is_handshaking() && !self.client.is_handshaking());
        Ok(())
    }

    /// Brings what the client has to say to the broker, piece by piece.
    fn deliver(&mut self) -> Result<bool, Error> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).expect("memory");
        }
        self.receive(&wire)
    }

    fn receive(&mut self, wire: &[u8]) -> Result<bool, Error> {
        let mut is_ended = false;
        let mut buffer = vec![0; 2 * PARTIAL_BYTES_MAX];
        for piece in wire.chunks(self.piece) {
            let kept = self.tls.put_partial(&mut buffer);
            let end = kept + piece.len();
            buffer[kept..end].copy_from_slice(piece);
            is_ended = self.tls.receive(&mut buffer[..end], &mut self.at_broker)?;
            assert!(self.tls.partial.len() <= PARTIAL_BYTES_MAX);
        }
        Ok(is_ended)
    }

    /// Encrypts chunks through a socket that takes little at a time; the bytes that it took.
    fn encrypt(&mut self, chunks: &[Vec<u8>], offset: usize, most: usize) -> Vec<u8> {
        let chunks: VecDeque<Chunk> = chunks.iter().cloned().map(Chunk::Own).collect();
        let total = chunks.iter().map(|chunk| chunk.bytes().len()).sum::<usize>() - offset;
        let mut socket = Narrow { got: Vec::new(), most, room: most };
        let mut scratch = Scratch { plain: Vec::new(), cipher: Vec::new() };
        let (mut batch, mut sent) = (Batch { chunks, offset }, 0);
        loop {
            let mut taken = 0;
            let full = self.tls.write_batch(&batch, &mut socket, &mut scratch, &mut taken);
            sent += taken;
            skip(&mut batch, taken);
            let unsent = RECORDS_PER_WRITE * (RECORD_PLAIN_BYTES + RECORD_EXTRA_BYTES);
            assert!(self.tls.unsent.bytes.len() <= unsent + SPARE_BYTES);
            if full == Ok(false) {
                assert!(!self.tls.wants_write() && self.tls.unsent.bytes.capacity() == 0);
                assert_eq!(sent, if self.tls.is_handshaking() { 0 } else { total });
                return socket.got;
            }
            assert_eq!(full, Ok(true));
        }
    }

    fn take_in(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() {
            self.client.read_tls(&mut wire).expect("memory");
            let state = self.client.process_new_packets().expect("good records");
            let start = self.at_client.len();
            self.at_client.resize(start + state.plaintext_bytes_to_read(), 0);
            self.client.reader().read_exact(&mut self.at_client[start..]).expect("plain bytes");
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let chunks = if bytes.is_empty() { Vec::new() } else { vec![bytes.to_vec()] };
        let wire = self.encrypt(&chunks, 0, usize::MAX);
        self.take_in(&wire);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.client.writer().write_all(bytes).expect("memory");
    }
}

/// Drops taken bytes from the front of a queue.
fn skip(batch: &mut Batch, taken: usize) {
    batch.offset += taken;
    while let Some(first) = batch.chunks.front()
        && batch.offset >= first.bytes().len()
    {
        batch.offset -= first.bytes().len();
        batch.chunks.pop_front();
    }
}

/// Lengths of records.
fn records(mut wire: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some((header, rest)) = wire.split_first_chunk::<5>() {
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        lengths.push(length);
        wire = &rest[length..];
    }
    lengths
}

#[test]
fn sessions_are_the_same_however_their_bytes_are_cut() {
    let mut random = fastrand::Rng::with_seed(7_100_319);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for piece in [1, 2, 5, 23, 1000, 70_000] {
            let pki = Pki::new();
            let mut client = pki.client_of_version(Some(pki.issue("node")), version);
            // The hello comes in many small records as well.
            client.max_fragment_size = Some(random.usize(32..200));
            let mut pair = Pair::new(Arc::new(client), pki.server(), piece);
            pair.shake().expect("handshake");
            assert!(pair.tls.peer_certificate().is_some());
            let mut there = Vec::new();
            let mut back = Vec::new();
            for _ in 0..20 {
                let mut bytes = vec![random.u8(..); random.usize(1..3000)];
                pair.write(&bytes);
                there.append(&mut bytes);
                assert_eq!(pair.deliver(), Ok(false));
                let bytes = vec![random.u8(..); random.usize(1..40_000)];
                pair.send(&bytes);
                back.extend_from_slice(&bytes);
            }
            assert!(pair.at_broker == there && pair.at_client == back, "pieces of {piece} bytes");
            assert_eq!(pair.tls.partial.capacity(), 0);
        }
    }
}

#[test]
fn small_messages_share_full_records() {
    let mut pair = Pair::open(usize::MAX);
    let chunks: Vec<Vec<u8>> = (0..10_000u32).map(|number| number.to_be_bytes().to_vec()).collect();
    let wire = pair.encrypt(&chunks, 3, usize::MAX);
    let total = 40_000 - 3;
    let extra = 1 + 16;
    let full = RECORD_PLAIN_BYTES;
    assert_eq!(records(&wire), [full + extra, full + extra, total - 2 * full + extra]);
    pair.take_in(&wire);
    assert!(pair.at_client == chunks.concat()[3..]);
}

#[test]
fn order_is_kept_when_the_socket_takes_little() {
    let mut random = fastrand::Rng::with_seed(41);
    for most in [1, 100, 17_000, 66_000, 1_000_000] {
        let mut pair = Pair::open(usize::MAX);
        let sizes = [0, 1, 16_384, 0, 5, 40_000, 16_383, 1, 70_000, 0];
        let chunks: Vec<Vec<u8>> = sizes.iter().map(|size| vec![random.u8(..); *size]).collect();
        let wire = pair.encrypt(&chunks, 0, most);
        pair.take_in(&wire);
        assert!(pair.at_client == chunks.concat(), "{most} bytes at a time");
    }
}

#[test]
fn a_flood_of_key_updates_ends_the_session() {
    let mut pair = Pair::open(usize::MAX);
    for round in 0..100u8 {
        // Between messages keys may change.
        pair.client.refresh_traffic_keys().expect("TLS 1.3");
        pair.write(&[round]);
        assert_eq!(pair.deliver(), Ok(false));
        pair.send(&[round]);
    }
    assert_eq!((pair.at_broker.len(), pair.at_client.len()), (100, 100));
    let failed = (0..100).find_map(|_| {
        pair.client.refresh_traffic_keys().expect("TLS 1.3");
        pair.deliver().err()
    });
    assert!(matches!(failed, Some(Error::PeerMisbehaved(_))), "{failed:?}");
    assert!(pair.tls.unsent.bytes.len() < 100 && pair.tls.partial.is_empty());
}

#[test]
fn what_is_wrong_is_answered_with_an_alert() {
    let cases: [(&[u8], AlertDescription); 3] = [
        (&[23, 3, 3, 0x48, 0x01], AlertDescription::DecodeError),
        (
            &[23, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            AlertDescription::BadRecordMac,
        ),
        (b"CONNECT {}\r\n", AlertDescription::DecodeError),
    ];
    for (bytes, alert) in cases {
        let mut pair = Pair::open(usize::MAX);
        assert!(pair.receive(bytes).is_err());
        let mut wire = pair.encrypt(&[], 0, usize::MAX);
        let result =
            pair.client.read_tls(&mut &wire[..]).map(|_| pair.client.process_new_packets());
        assert_eq!(result.expect("memory"), Err(Error::AlertReceived(alert)), "{bytes:?}");
        // Nothing follows it.
        wire = {
            let mut socket = Narrow { got: Vec::new(), most: 0, room: usize::MAX };
            let chunks = VecDeque::from([Chunk::Own(b"more".to_vec())]);
            let mut scratch = Scratch { plain: Vec::new(), cipher: Vec::new() };
            let batch = Batch { chunks, offset: 0 };
            let full = pair.tls.write_batch(&batch, &mut socket, &mut scratch, &mut 0);
            assert_eq!(full, Ok(false));
            socket.got
        };
        assert!(wire.is_empty());
    }
}

#[test]
fn a_handshake_message_without_end_is_refused() {
    let pki = Pki::new();
    let mut pair = Pair::new(pki.client(None), pki.server(), usize::MAX);
    // A hello of 60 kB, a byte a record.
    let mut record = vec![22, 3, 1, 0, 1, 1];
    let mut result = pair.receive(&record);
    for byte in [0, 0xee, 0].into_iter().chain(std::iter::repeat_n(7, 30_000)) {
        if result.is_err() {
            break;
        }
        record[5] = byte;
        result = pair.receive(&record);
    }
    assert!(result.is_err());
}

#[test]
fn both_ends_can_say_good_bye() {
    let mut pair = Pair::open(usize::MAX);
    pair.write(b"PING\r\n");
    pair.client.send_close_notify();
    assert_eq!(pair.deliver(), Ok(true));
    assert_eq!(pair.at_broker, b"PING\r\n");
    // The other direction is still open.
    pair.send(b"PONG\r\n");
    assert_eq!(pair.at_client, b"PONG\r\n");
    pair.tls.end();
    pair.tls.end();
    let wire = pair.encrypt(&[], 0, usize::MAX);
    assert_eq!(records(&wire).len(), 1);
    pair.client.read_tls(&mut &wire[..]).expect("memory");
    assert!(pair.client.process_new_packets().expect("good records").peer_has_closed());
}

#[test]
fn damaged_bytes_cost_the_session_and_nothing_else() {
    let pki = Pki::new();
    let mut random = fastrand::Rng::with_seed(99);
    for _ in 0..300 {
        let mut pair = Pair::new(pki.client(None), pki.server(), random.usize(1..400));
        let mut failed = false;
        for _ in 0..4 {
            let mut wire = Vec::new();
            while pair.client.wants_write() {
                pair.client.write_tls(&mut wire).expect("memory");
            }
            for _ in 0..random.usize(0..3) {
                if !wire.is_empty() {
                    let place = random.usize(..wire.len());
                    wire[place] ^= 1 << random.u8(..8);
                }
            }
            if pair.receive(&wire).is_err() {
                failed = true;
                break;
            }
            let wire = pair.encrypt(&[], 0, usize::MAX);
            if pair.client.read_tls(&mut &wire[..]).is_err()
                || pair.client.process_new_packets().is_err()
            {
                break;
            }
        }
        assert!(!failed || pair.tls.partial.is_empty());
    }
}

#[test]
fn sizes_of_what_a_session_keeps() {
    // What is kept for each connection; the rest is in boxes of rustls.
    assert!(size_of::<Tls>() <= 1280, "{}", size_of::<Tls>());
    let pair = Pair::open(usize::MAX);
    assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!((pair.tls.partial.capacity(), pair.tls.unsent.bytes.capacity()), (0, 0));
}
