//! Numbered messages of many lengths: which one it is stands in its payload, and all of its payload follows from that.

use std::io::ErrorKind;
use std::time::Duration;

use choria::nats::codec::{Delivery, Limits, ServerDecoder, ServerOp};

use crate::connection::{self, Target, refused};
use crate::failure::{Doing, Failure};
use crate::wire::Wire;

const LOOK_AFTER: Duration = Duration::from_millis(200);
const READ_BYTES_MAX: usize = 64 * 1024;
const NUMBER_BYTES: usize = 16;
const LENGTHS: [usize; 8] = [16, 16, 64, 200, 1024, 2048, 9000, 70_000];

/// The bytes that publish message `number`.
pub fn publication(subject: &str, reply: &str, number: u64) -> Vec<u8> {
    let payload = payload(number);
    let space = if reply.is_empty() { "" } else { " " };
    let mut bytes = format!("PUB {subject} {reply}{space}{}\r\n", payload.len()).into_bytes();
    bytes.extend_from_slice(&payload);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn payload(number: u64) -> Vec<u8> {
    let length = LENGTHS[(number % LENGTHS.len() as u64) as usize];
    let mut payload = format!("{number:0NUMBER_BYTES$x}").into_bytes();
    let seed = number as u8;
    payload.extend((NUMBER_BYTES..length).map(|place| seed.wrapping_add(place as u8)));
    payload
}

/// Which message it is; a failure when it is not as it was published.
pub fn number(payload: &[u8]) -> Result<u64, Failure> {
    let number = payload
        .get(..NUMBER_BYTES)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match number {
        Some(number) if self::payload(number) == payload => Ok(number),
        _ => Err(Failure::Broker("it delivered a message with other bytes".into())),
    }
}

/// A connection that reads messages of any kind.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    decoder: ServerDecoder,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects, and sends `more` before the broker is asked whether it has acted on all.
    pub fn open(target: &Target, more: &str) -> Result<Client, Failure> {
        let wire = connection::open(target, more.as_bytes())?;
        wire.socket().set_read_timeout(Some(LOOK_AFTER)).doing("set a socket option")?;
        Ok(Client { wire, decoder: ServerDecoder::new(), buffer: vec![0; READ_BYTES_MAX] })
    }

    /// Its connection.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.wire.write_all(bytes).doing("send")
    }

    /// Takes what arrives; false when that is nothing for a while. An error of the broker is a failure.
    pub fn read(
        &mut self,
        on: &mut dyn FnMut(&Delivery<'_>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let count = match self.wire.read(&mut self.buffer) {
            Ok(0) => return Err(Failure::Broker("it closed a connection".into())),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).doing("receive"),
        };
        let mut rest = &self.buffer[..count];
        let mut pings = 0;
        let fault = |fault: choria::nats::codec::Fault| {
            Failure::Broker(format!("it sent what is no operation: {fault}"))
        };
        while let Some(op) = self.decoder.next(&mut rest, &Limits::default()).map_err(fault)? {
            match op {
                ServerOp::Message(message) => on(&message)?,
                ServerOp::Err(text) => return Err(refused(text)),
                ServerOp::Ping => pings += 1,
                ServerOp::Pong | ServerOp::Ok | ServerOp::Info(_) => {}
            }
        }
        for _ in 0..pings {
            self.wire.write_all(b"PONG\r\n").doing("answer a PING")?;
        }
        Ok(true)
    }
}
