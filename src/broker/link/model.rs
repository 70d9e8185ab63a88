//! All orders of steps that threads can take on one link, chosen by a seed.
//!
//! The lock guards every look at a link's state, so threads can only come between each other where it is not held: at
//! the places that call [`gap`]. Here a thread goes on from there when the seed says so, and only one thread runs at a
//! time. A seed is one order of events, the same every time. A lost byte, a lost wake-up or a producer that is never
//! read again fails the test and names the seed.

use std::cell::RefCell;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Condvar;
use std::sync::atomic::{AtomicBool, AtomicU32};

use super::*;
use crate::broker::home::Bounds;
use crate::broker::letter::Letter;
use crate::broker::stage::Staged;
use crate::sys::Events;

const SEEDS: u64 = 300;
const MESSAGES: u32 = 12;
const BOUNDS: Bounds = Bounds { pending_bytes_max: 400_000, pause_bytes: 12_000 };
/// Turns without anything to do after which nothing can happen any more.
const QUIET_TURNS: u32 = 150;

thread_local! {
    static ME: RefCell<Option<(Arc<Order>, usize)>> = const { RefCell::new(None) };
}

/// Lets another thread go on here, if the seed says so.
pub(super) fn gap() {
    let me = ME.with_borrow(Clone::clone);
    if let Some((order, index)) = me {
        order.give_way(index);
    }
}

/// Whose turn it is.
struct Order {
    state: Mutex<(usize, Vec<bool>, fastrand::Rng)>,
    /// One for each thread.
    changed: Vec<Condvar>,
    /// A thread panicked: the others must come to an end.
    has_failed: AtomicBool,
}

impl Order {
    fn new(threads: usize, seed: u64) -> Order {
        let random = fastrand::Rng::with_seed(seed);
        let changed = (0..threads).map(|_| Condvar::new()).collect();
        let state = Mutex::new((0, vec![true; threads], random));
        Order { state, changed, has_failed: AtomicBool::new(false) }
    }

    fn choose(&self, state: &mut (usize, Vec<bool>, fastrand::Rng)) {
        let (turn, is_alive, random) = state;
        let alive: Vec<usize> = (0..is_alive.len()).filter(|index| is_alive[*index]).collect();
        if let Some(next) = random.choice(alive) {
            *turn = next;
            self.changed[next].notify_one();
        }
    }

    fn give_way(&self, me: usize) {
        assert!(!self.has_failed.load(Ordering::Relaxed), "another thread failed");
        let mut state = lock(&self.state);
        self.choose(&mut state);
        drop(self.changed[me].wait_while(state, |state| state.0 != me));
    }

    /// Runs a thread's work in this order.
    fn run(self: &Arc<Order>, me: usize, work: impl FnOnce()) {
        ME.set(Some((self.clone(), me)));
        drop(self.changed[me].wait_while(lock(&self.state), |state| state.0 != me));
        // The others must go on even if this one fails.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ME.set(None);
        self.has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
        let mut state = lock(&self.state);
        state.1[me] = false;
        self.choose(&mut state);
        drop(state);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What the threads of one case share.
struct Case {
    link: Arc<Link>,
    /// The connections that publish.
    producers: Vec<Arc<Link>>,
    _others: Vec<UnixStream>,
    home: Arc<Home>,
    /// Mail for the owner.
    is_called: AtomicBool,
    producing: AtomicU32,
    /// How often the owner had nothing to do since anything happened.
    quiet: AtomicU32,
    ends: Ends,
    seed: u64,
}

/// How a case ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Everything arrives.
    Well,
    /// The owner closes the link at some time.
    Closed,
    /// The socket fails at some time.
    Failed,
}

fn link(home: &Arc<Home>, token: u64) -> (Arc<Link>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("pair");
    ours.set_nonblocking(true).expect("option");
    theirs.set_nonblocking(true).expect("option");
    rustix::net::sockopt::set_socket_send_buffer_size(&ours, 4096).expect("option");
    let socket = Arc::new(TcpStream::from(OwnedFd::from(ours)));
    home.epoll.add(&socket, token, Interest::READ).expect("add");
    (Link::new(token, home.clone(), false, socket), theirs)
}

impl Case {
    fn new(seed: u64, ends: Ends) -> (Case, UnixStream) {
        let home = Arc::new(
            Home::new(BOUNDS, Arc::default(), Arc::default(), Arc::default()).expect("home"),
        );
        let (receiver, peer) = link(&home, 0);
        let (producers, others) = (1..3).map(|token| link(&home, token)).unzip();
        let case = Case {
            link: receiver,
            producers,
            _others: others,
            home,
            is_called: AtomicBool::new(false),
            producing: AtomicU32::new(2),
            quiet: AtomicU32::new(0),
            ends,
            seed,
        };
        (case, peer)
    }

    fn random(&self, thread: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed * 4 + thread)
    }

    fn is_over(&self) -> bool {
        self.producing.load(Ordering::Relaxed) == 0
            && self.quiet.load(Ordering::Relaxed) > QUIET_TURNS
    }

    fn something_happened(&self) {
        self.quiet.store(0, Ordering::Relaxed);
    }

    /// One loop that publishes; returns how many messages the link took.
    fn produce(&self, me: usize) -> u32 {
        let (mut random, own) = (self.random(me as u64), &self.producers[me]);
        let mut taken = 0;
        for number in 0..MESSAGES {
            let message = message(me, number, random.usize(..6000));
            let sent = match random.u8(..3) {
                0 => self.link.send(&mut letter(&message), false, 0),
                by => self.link.send(&mut staged(&self.link, &message), by == 1, 0),
            };
            match sent {
                Sent::Gone => break,
                Sent::HandOver => self.is_called.store(true, Ordering::Relaxed),
                Sent::Crowded if self.link.make_wait(own) => self.wait(own),
                Sent::Crowded | Sent::Fine => {}
            }
            taken += 1;
            self.something_happened();
            gap();
        }
        self.producing.fetch_sub(1, Ordering::Relaxed);
        taken
    }

    /// Until the producer is read again.
    fn wait(&self, own: &Link) {
        while !lock(&own.out).interest.read {
            assert!(
                self.quiet.load(Ordering::Relaxed) <= QUIET_TURNS,
                "a producer waits for ever, seed {}",
                self.seed
            );
            gap();
        }
    }

    /// The loop that owns the link: it acts on events and mail only.
    fn own(&self) {
        let (mut random, mut events) = (self.random(2), Events::with_capacity(8));
        let mut steps_left = match self.ends {
            Ends::Well => u32::MAX,
            _ => random.u32(..40),
        };
        let mut is_closed = false;
        while !self.is_over() {
            gap();
            self.home.epoll.wait(&mut events, Some(std::time::Duration::ZERO)).expect("wait");
            let ready = (0..events.len()).filter_map(|index| events.at(index));
            let ready = ready.filter(|ready| ready.token == 0 && (ready.write || ready.hangup));
            let is_called = self.is_called.swap(false, Ordering::Relaxed);
            let is_due = steps_left == 0 && !is_closed;
            steps_left = steps_left.saturating_sub(1);
            if is_due && self.ends == Ends::Failed {
                self.link.fail_socket(io::ErrorKind::BrokenPipe);
                // Seen by its hangup, as everybody's failure is.
                steps_left = u32::MAX;
            } else if is_due || (ready.clone().count() > 0 && self.link.failure().is_some()) {
                self.link.close();
                is_closed = true;
            } else if is_called || ready.count() > 0 {
                self.link.drain(0);
            } else {
                self.quiet.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.something_happened();
        }
    }

    /// The peer: reads now and then, some or much.
    fn read(&self, mut peer: UnixStream) -> Vec<u8> {
        let (mut random, mut got) = (self.random(3), Vec::new());
        let mut buffer = vec![0; 20_000];
        loop {
            let is_over = self.is_over();
            let room = random.usize(1..buffer.len());
            match peer.read(&mut buffer[..room]) {
                Ok(0) => return got,
                Ok(count) => {
                    got.extend_from_slice(&buffer[..count]);
                    self.something_happened();
                }
                Err(_) if is_over => return got,
                Err(_) => {}
            }
            (0..random.u8(..12)).for_each(|_| gap());
        }
    }
}

fn message(producer: usize, number: u32, bytes: usize) -> Vec<u8> {
    let mut message = [producer as u32, number, bytes as u32].map(u32::to_be_bytes).concat();
    message.extend((0..bytes).map(|place| (place as u32 * 7 + number) as u8));
    message
}

fn staged(link: &Arc<Link>, message: &[u8]) -> Staged {
    let mut staged = Staged::new(link.clone());
    let (copied, shared) = message.split_at(message.len() / 3);
    staged.append(copied);
    if shared.len() > 1000 {
        staged.append_shared(&shared.into());
    } else {
        staged.append(shared);
    }
    staged
}

fn letter(message: &[u8]) -> Letter {
    let mut letter = Letter::default();
    let (head, rest) = message.split_at(4);
    let (sid, tail) = rest.split_at(8);
    letter.lay_out(head, tail, tail.len() as u64);
    assert!(letter.address(sid, head));
    letter
}

/// Whole messages of each producer, and that each comes in order and unchanged.
fn check(got: &[u8], seed: u64) -> [u32; 2] {
    let mut next = [0; 2];
    let mut rest = got;
    while let Some((head, body)) = rest.split_at_checked(12) {
        let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("a word"));
        let (producer, number, bytes) = (word(0) as usize, word(4), word(8) as usize);
        let expected = message(producer, number, bytes);
        let Some((body, more)) = body.split_at_checked(bytes) else { break };
        assert_eq!(number, next[producer], "another order, seed {seed}");
        assert!(body == &expected[12..], "other bytes, seed {seed}");
        (next[producer], rest) = (number + 1, more);
    }
    next
}

fn run(seed: u64, ends: Ends) {
    let (case, peer) = Case::new(seed, ends);
    let order = Arc::new(Order::new(4, seed));
    let (taken, got) = std::thread::scope(|scope| {
        let (case, order) = (&case, &order);
        let mut threads = Vec::new();
        for me in 0..2 {
            threads.push(scope.spawn(move || {
                let mut taken = 0;
                order.run(me, || taken = case.produce(me));
                taken
            }));
        }
        let owner = scope.spawn(move || order.run(2, || case.own()));
        let reader = scope.spawn(move || {
            let mut got = Vec::new();
            order.run(3, || got = case.read(peer));
            got
        });
        let taken: Vec<u32> =
            threads.into_iter().map(|thread| thread.join().expect("producer")).collect();
        owner.join().expect("owner");
        (taken, reader.join().expect("reader"))
    });
    let arrived = check(&got, seed);
    if ends == Ends::Well {
        let is_fine = case.link.failure().is_none();
        assert!(is_fine && taken == [MESSAGES; 2], "a send failed, seed {seed}");
        assert_eq!(arrived, [MESSAGES; 2], "something was lost, seed {seed}");
        assert!(case.link.is_flushed(), "something is left, seed {seed}");
    } else {
        let out = lock(&case.link.out);
        assert!(!out.has_queue() && !out.is_writing, "a dead link holds bytes, seed {seed}");
    }
    for producer in &case.producers {
        assert!(lock(&producer.out).interest.read, "a producer is not read any more, seed {seed}");
    }
}

#[test]
fn nothing_is_lost_in_any_order_of_steps() {
    (0..SEEDS).for_each(|seed| run(seed, Ends::Well));
}

#[test]
fn closing_in_any_order_of_steps_leaves_nothing_behind() {
    (0..SEEDS / 2).for_each(|seed| run(seed, Ends::Closed));
}

#[test]
fn failing_in_any_order_of_steps_leaves_nothing_behind() {
    (0..SEEDS / 2).for_each(|seed| run(seed, Ends::Failed));
}
