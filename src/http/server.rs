//! The sockets of the server: accept, read, answer, close.

use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use smol::Executor;
use smol::future::{self, FutureExt};
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::head::{self, Fault};
use super::{Limits, Method, Request, Response};
use crate::util::throttle::Throttle;

/// An answer in the making.
pub type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Makes the answers.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request. A handler that panics costs its request a 500.
    fn answer(&self, request: Request) -> Answer;
}

/// A listening server.
#[derive(Debug)]
pub struct Server {
    listener: Async<TcpListener>,
    limits: Limits,
}

/// Pause after the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of an honest request; heads that need more grow to the limit.
const READ_BYTES: usize = 1024;
/// Time a peer that is told why it is closed has to read that.
const LINGER: Duration = Duration::from_millis(500);
/// Bytes of it that are thrown away meanwhile.
const LINGER_BYTES_MAX: usize = 64 * 1024;
/// Lines about accepting that are logged in ten seconds.
const LOG_LINES_MAX: u32 = 5;

impl Server {
    /// Listens.
    pub fn bind(address: SocketAddr, limits: Limits) -> io::Result<Server> {
        Ok(Server { listener: Async::<TcpListener>::bind(address)?, limits })
    }

    /// Where it listens, with the port the system chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.get_ref().local_addr()
    }

    /// Answers for ever. Dropping the future stops accepting and ends all connections.
    pub async fn serve(self, handler: Arc<dyn Handler>) {
        // Its tasks run as long as this future does, and are dropped with it.
        let connections = Executor::new();
        let limits = Arc::new(self.limits);
        let open = Arc::new(AtomicUsize::new(0));
        let log = Throttle::new(LOG_LINES_MAX);
        let accept = async {
            loop {
                match self.listener.accept().await {
                    Ok((socket, _)) => {
                        let (limits, handler) = (limits.clone(), handler.clone());
                        let Some(place) = Place::take(&open, limits.connections_max) else {
                            continue;
                        };
                        let connection = Connection { socket, limits, input: Vec::new() };
                        connections.spawn(connection.run(place, handler)).detach();
                    }
                    Err(error) => {
                        log.warn(format_args!("http: cannot accept a connection err={error}"));
                        Timer::after(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        connections.run(accept).await
    }
}

/// One of the connections that may be open.
struct Place {
    open: Arc<AtomicUsize>,
    is_granted: bool,
}

impl Place {
    /// Nothing when so many are told to go already that one more is not even told.
    fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Place> {
        let before = open.fetch_add(1, Ordering::Relaxed);
        let place = Place { open: open.clone(), is_granted: before < max };
        (before < max.saturating_mul(2)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One peer.
struct Connection {
    socket: Async<TcpStream>,
    limits: Arc<Limits>,
    /// What was read and not yet answered.
    input: Vec<u8>,
}

/// Why a connection is not read any more.
enum Stop {
    /// Nothing is left to be said.
    Silent,
    /// It is told this first.
    Told(Response),
}

impl Connection {
    async fn run(mut self, place: Place, handler: Arc<dyn Handler>) {
        if !place.is_granted {
            return self.send_last(&Response::text(503, "too many connections\n")).await;
        }
        for number in 1..=self.limits.requests_max {
            let request = match self.request().await {
                Ok(request) => request,
                Err(Stop::Silent) => return,
                Err(Stop::Told(response)) => return self.send_last(&response).await,
            };
            let keeps_alive = request.keeps_alive && number < self.limits.requests_max;
            let method = request.method;
            let response = self.answer(request, &*handler).await;
            let is_sent = self.send(&response.encode(method, keeps_alive)).await;
            if !keeps_alive || !is_sent {
                return;
            }
        }
    }

    /// The next request.
    async fn request(&mut self) -> Result<Request, Stop> {
        let idle_until = Instant::now() + self.limits.idle_timeout;
        while self.input.is_empty() {
            self.read(idle_until).await.ok_or(Stop::Silent)?;
        }
        let deadline = Instant::now() + self.limits.head_timeout;
        loop {
            if let Some((request, length)) = head::parse(&self.input).map_err(refusal)? {
                self.input.drain(..length);
                return Ok(request);
            }
            if self.input.len() >= self.limits.head_bytes_max {
                return Err(refusal(Fault::Headers));
            }
            if self.read(deadline).await.is_none() {
                let is_late = Instant::now() >= deadline;
                let response = || Stop::Told(Response::text(408, "the request took too long\n"));
                return Err(if is_late { response() } else { Stop::Silent });
            }
        }
    }

    /// Reads once; nothing at the end, at a fault, and at the deadline.
    async fn read(&mut self, deadline: Instant) -> Option<()> {
        let filled = self.input.len();
        let room = self.limits.head_bytes_max.saturating_sub(filled).clamp(1, READ_BYTES);
        self.input.resize(filled + room, 0);
        let count = match self.input.get_mut(filled..) {
            Some(buffer) => until(deadline, self.socket.read(buffer)).await.and_then(Result::ok),
            None => None,
        };
        self.input.truncate(filled + count.unwrap_or(0));
        count.filter(|count| *count > 0).map(drop)
    }

    async fn answer(&self, request: Request, handler: &dyn Handler) -> Response {
        let deadline = Instant::now() + self.limits.answer_timeout;
        let made = AssertUnwindSafe(async { handler.answer(request).await }).catch_unwind();
        match until(deadline, made).await {
            Some(Ok(response)) => response,
            Some(Err(_)) => {
                log::error!("http: an answer failed");
                Response::text(500, "internal error\n")
            }
            None => Response::text(504, "no answer in time\n"),
        }
    }

    /// True when the peer took everything.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        let deadline = Instant::now() + self.limits.write_timeout;
        until(deadline, self.socket.write_all(bytes)).await.is_some_and(|result| result.is_ok())
    }

    /// Sends a refusal, and reads a little more so that the peer gets to see it before the connection is reset.
    async fn send_last(&mut self, response: &Response) {
        if !self.send(&response.encode(Method::Get, false)).await
            || self.socket.get_ref().shutdown(Shutdown::Write).is_err()
        {
            return;
        }
        let deadline = Instant::now() + LINGER;
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            self.input.clear();
            if self.read(deadline).await.is_none() {
                return;
            }
            left = left.saturating_sub(self.input.len());
        }
    }
}

fn refusal(fault: Fault) -> Stop {
    Stop::Told(match fault {
        Fault::Malformed => Response::text(400, "malformed request\n"),
        Fault::Method => {
            Response::text(405, "only GET and HEAD are answered\n").header("Allow", "GET, HEAD")
        }
        Fault::Body => Response::text(413, "requests have no body here\n"),
        Fault::Headers => Response::text(431, "the head of the request is too large\n"),
    })
}

/// What `work` comes to, unless the deadline passes first.
async fn until<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    let timeout = async {
        Timer::at(deadline).await;
        None
    };
    future::or(async { Some(work.await) }, timeout).await
}
