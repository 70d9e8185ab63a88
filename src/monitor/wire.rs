//! A client of the broker in its own process, for those that answer questions there.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use async_io::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::broker::Observer;
use crate::nats::codec::{Limits, ServerDecoder, ServerOp, encode};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// The writing side; clones write to the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    socket: Arc<Async<UnixStream>>,
    /// One message at a time, whole.
    turn: Arc<smol::lock::Mutex<()>>,
    payload_bytes_max: usize,
}

/// The reading side.
#[derive(Debug)]
pub(crate) struct Reader {
    socket: Arc<Async<UnixStream>>,
    decoder: ServerDecoder,
    limits: Limits,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub subject: String,
    pub reply: Option<String>,
    pub payload: Vec<u8>,
}

impl Wire {
    /// Connects to an account, under a name for reports.
    pub async fn open(
        observer: &Observer,
        account: &str,
        name: &str,
    ) -> io::Result<(Wire, Reader)> {
        let socket = Arc::new(Async::new(observer.attach(account)?)?);
        let limits = observer.settings().0.limits.clone();
        let turn = Arc::default();
        let payload_bytes_max = limits.payload_bytes_max;
        let wire = Wire { socket: socket.clone(), turn, payload_bytes_max };
        let mut line = Vec::new();
        let options = serde_json::json!({
            "verbose": false, "pedantic": false, "echo": false, "headers": true, "name": name,
            "no_responders": false, "protocol": 1,
        });
        encode::connect(&mut line, &options.to_string());
        wire.write(&line).await?;
        Ok((wire, Reader { socket, decoder: ServerDecoder::new(), limits }))
    }

    /// Bytes that a message may have.
    pub fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    pub async fn subscribe(&self, subject: &str, sid: u64) -> io::Result<()> {
        let mut line = Vec::new();
        encode::subscribe(&mut line, subject, None, sid);
        self.write(&line).await
    }

    /// Publishes; a message that is too large is left out, because it would end the connection.
    pub async fn publish(&self, subject: &str, payload: &[u8]) -> io::Result<()> {
        if payload.len() > self.payload_bytes_max {
            log::warn!("monitor: {} bytes for {subject} are too many", payload.len());
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(payload.len() + subject.len() + 32);
        encode::publish(&mut bytes, subject, None, None, payload);
        self.write(&bytes).await
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        (&*self.socket).write_all(bytes).await
    }
}

impl Reader {
    /// Hands what comes to `take`, until the connection ends.
    pub async fn run(&mut self, wire: &Wire, requests: &flume::Sender<Received>) -> io::Error {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = match (&*self.socket).read(&mut buffer).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => count,
                Err(error) => return error,
            };
            let mut received = Vec::new();
            let mut is_pinged = false;
            let mut input = buffer.get(..count).unwrap_or_default();
            loop {
                match self.decoder.next(&mut input, &self.limits) {
                    Ok(Some(ServerOp::Message(message))) => {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        received.push(Received {
                            subject: text(message.subject),
                            reply: message.reply.map(text),
                            payload: message.payload.to_vec(),
                        });
                    }
                    Ok(Some(ServerOp::Ping)) => is_pinged = true,
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(fault) => return io::Error::other(fault.to_string()),
                }
            }
            if is_pinged && let Err(error) = wire.write(b"PONG\r\n").await {
                return error;
            }
            for request in received {
                if requests.send_async(request).await.is_err() {
                    return io::ErrorKind::BrokenPipe.into();
                }
            }
        }
    }
}

/// Waits, but no longer than a limit.
pub(crate) async fn at_most(limit: Duration, work: impl Future<Output = io::Result<()>>) {
    let timeout = async {
        smol::Timer::after(limit).await;
        Ok(())
    };
    if let Err(error) = smol::future::or(work, timeout).await {
        log::debug!("monitor: cannot say a last word err={error}");
    }
}
