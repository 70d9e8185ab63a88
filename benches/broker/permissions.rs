//! Whether a broker evaluates permissions: a figure of one that does not would compare nothing.

use std::time::{Duration, Instant};

use crate::connection::{self, Target};
use crate::failure::{Doing, Failure};

/// Forbidden by the permissions of every user.
const FORBIDDEN: &str = "mcollective.node.node-000001.example.net";
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER: &[u8] = b"-ERR 'Permissions Violation for Publish";

/// Publishes what is forbidden, and waits to be told so.
pub fn check(target: &Target) -> Result<(), Failure> {
    let mut wire = connection::open(target, b"")?;
    wire.socket().set_read_timeout(Some(TIMEOUT)).doing("set a socket option")?;
    wire.write_all(format!("PUB {FORBIDDEN} 0\r\n\r\nPING\r\n").as_bytes()).doing("publish")?;
    let (mut answer, mut buffer, start) = (Vec::new(), [0; 4096], Instant::now());
    while start.elapsed() < TIMEOUT {
        let count = wire.read(&mut buffer).doing("read what is said to a forbidden message")?;
        answer.extend_from_slice(&buffer[..count]);
        if memchr::memmem::find(&answer, ANSWER).is_some() {
            return Ok(());
        }
        if count == 0 || memchr::memmem::find(&answer, b"PONG").is_some() {
            break;
        }
    }
    Err(Failure::Broker("it takes messages that are forbidden".into()))
}
