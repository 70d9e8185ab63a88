//! A broker made of a listener and a few lines of script.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::super::*;
use crate::net::servers::{Server, ServerList};

/// Longest a test waits for anything.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// INFO of a broker without TLS.
pub(super) const INFO: &str = "INFO {\"server_id\":\"T\",\"version\":\"2.10.0\",\"proto\":1,\"headers\":true,\"max_payload\":1000} \r\n";

/// A listener on a free port of loopback.
pub(super) struct Script {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl Script {
    #[allow(clippy::disallowed_methods, reason = "a test server with one client")]
    pub(super) fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let address = listener.local_addr().expect("bound");
        Self { listener, address }
    }

    /// Runs `play` in a thread with the listener.
    pub(super) fn play(
        self,
        play: impl FnOnce(&Script) + Send + 'static,
    ) -> thread::JoinHandle<()> {
        thread::spawn(move || play(&self))
    }

    pub(super) fn accept(&self) -> Peer {
        let (socket, _) = self.listener.accept().expect("a client comes");
        socket.set_read_timeout(Some(LIMIT)).expect("set");
        Peer { socket, unread: Vec::new() }
    }

    /// Accepts and does what a broker does until the first PONG was sent. Gives the CONNECT line.
    pub(super) fn greet(&self) -> (Peer, String) {
        let mut peer = self.accept();
        peer.send(INFO);
        let connect = peer.line();
        assert!(connect.starts_with("CONNECT {"), "{connect}");
        assert_eq!(peer.line(), "PING");
        peer.send("PONG\r\n");
        (peer, connect)
    }

    pub(super) fn server(&self) -> Server {
        Server::nats("127.0.0.1", self.address.port())
    }
}

/// The broker's end of one connection.
pub(super) struct Peer {
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Peer {
    pub(super) fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).expect("the client reads");
    }

    /// The next line without its end; empty when the client closed.
    pub(super) fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=at).collect();
                return String::from_utf8_lossy(&line).trim_end().to_owned();
            }
            let mut bytes = [0; 4096];
            match self.socket.read(&mut bytes) {
                Ok(0) => return String::new(),
                Ok(count) => self.unread.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return String::new();
                }
                Err(error) => panic!("nothing from the client: {error}"),
            }
        }
    }
}

/// Runs `test` with an executor whose tasks run on a thread of their own.
pub(super) fn with_executor<T>(test: impl AsyncFnOnce(Arc<smol::Executor<'static>>) -> T) -> T {
    let executor = Arc::new(smol::Executor::new());
    let (stop, stopped) = flume::bounded::<()>(0);
    let runner = executor.clone();
    let thread = thread::spawn(move || {
        smol::block_on(runner.run(async {
            let _ = stopped.recv_async().await;
        }));
    });
    let outcome = smol::block_on(test(executor.clone()));
    // A client that was dropped closes its connection before its tasks end.
    let deadline = Instant::now() + LIMIT;
    while !executor.is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
    assert!(executor.is_empty(), "tasks are left over");
    drop(stop);
    thread.join().expect("the executor does not panic");
    outcome
}

pub(super) fn options(servers: Vec<Server>, executor: &Arc<smol::Executor<'static>>) -> Options {
    Options {
        once_limit: Duration::from_millis(1500),
        initial_delays: &[40],
        reconnect_delays: &[40],
        ..Options::new(ServerList::fixed(servers).in_order(), executor.clone())
    }
}

/// The next event, within [`LIMIT`].
pub(super) async fn event(events: &flume::Receiver<Event>) -> Event {
    let next = async { events.recv_async().await.expect("events go on") };
    next.or(async {
        Timer::after(LIMIT).await;
        panic!("no event came")
    })
    .await
}

/// The next message, within [`LIMIT`].
pub(super) async fn message(subscription: &mut Subscription) -> Option<Message> {
    subscription
        .next()
        .or(async {
            Timer::after(LIMIT).await;
            panic!("no message came")
        })
        .await
}
