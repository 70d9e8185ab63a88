//! Three brokers that are one, with more connections than one process may have open files: each broker has its own
//! generator process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{self, Target, connect_line};
use crate::contestant::{Contestant, Running, Setup, free_port};
use crate::failure::{Doing, Failure};
use crate::fleet::Fleet;
use crate::frame::{Frame, Inbox, SID, SUBJECT, Shape};
use crate::idle::Size;
use crate::report::{Measure, Unit, median};
use crate::request::Requester;

const BROKERS: usize = 3;
const FORMING_TIMEOUT: Duration = Duration::from_secs(20);
const PROBE_PAUSE: Duration = Duration::from_millis(50);
const PROBE_BYTES: usize = 16;

/// Connections spread over three brokers; all of them answer one request.
pub fn run(
    size: &Size,
    contestant: &Contestant,
    directory: &Path,
) -> Result<Vec<Measure>, Failure> {
    let brokers = start(contestant, directory)?;
    let before = own_kib(&brokers)?;
    let mut fleets = brokers
        .iter()
        .enumerate()
        .map(|(place, broker)| {
            FleetProcess::start(broker, place * size.connections, size.connections)
        })
        .collect::<Result<Vec<_>, _>>()?;
    fleets.iter_mut().try_for_each(|fleet| fleet.expect("open"))?;
    let mut requester = Requester::connect(&brokers[0].target)?;
    thread::sleep(size.settle);
    let total = BROKERS * size.connections;
    let (idle, all) = (own_kib(&brokers)?, resident_kib(&brokers)?);
    let mut ask = || {
        fleets.iter_mut().try_for_each(|fleet| fleet.order("answer"))?;
        let took = requester.ask(total)?;
        fleets.iter_mut().try_for_each(|fleet| fleet.expect("answered"))?;
        Ok::<_, Failure>(took.as_secs_f64() * 1e3)
    };
    ask()?;
    let cpu_before = cpu(&brokers)?;
    let times_ms = (0..size.bursts).map(|_| ask()).collect::<Result<Vec<_>, _>>()?;
    let cpu_ms = (cpu(&brokers)? - cpu_before).as_secs_f64() * 1e3 / size.bursts as f64;
    let after = own_kib(&brokers)?;
    let each = |kib: u64| kib.saturating_sub(before) as f64 / total as f64;
    Ok(vec![
        Measure::new("connections", Unit::Count, total as f64),
        Measure::new("memory of all brokers", Unit::Mebibytes, all as f64 / 1024.0),
        Measure::new("memory per connection", Unit::Kibibytes, each(idle)),
        Measure::new("memory after requests", Unit::Kibibytes, each(after)),
        Measure::new("last reply after", Unit::Milliseconds, median(&times_ms)),
        Measure::new("brokers' CPU a request", Unit::Milliseconds, cpu_ms),
    ])
}

/// Starts the brokers and waits until messages pass between all of them.
fn start(contestant: &Contestant, directory: &Path) -> Result<Vec<Running>, Failure> {
    let cluster = (0..BROKERS).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
    let brokers = cluster
        .iter()
        .map(|&port| contestant.start(&Setup::Member { port, cluster: cluster.clone() }, directory))
        .collect::<Result<Vec<_>, _>>()?;
    for from in &brokers {
        for to in brokers.iter().filter(|to| to.target.address != from.target.address) {
            wait_joined(&from.target, &to.target)?;
        }
    }
    Ok(brokers)
}

/// Publishes at one broker until it arrives at the other.
fn wait_joined(from: &Target, to: &Target) -> Result<(), Failure> {
    let frame = Frame::new(&Shape::new(PROBE_BYTES));
    let mut publisher = connection::open(from, b"")?;
    let mut subscriber = connection::open(to, format!("SUB {SUBJECT} {SID}\r\n").as_bytes())?;
    subscriber.socket().set_read_timeout(Some(PROBE_PAUSE)).doing("set a socket option")?;
    let (start, mut inbox, mut buffer) = (Instant::now(), Inbox::default(), [0; 4096]);
    while inbox.messages() == 0 {
        if start.elapsed() > FORMING_TIMEOUT {
            return Err(Failure::Broker("it does not find the others of its cluster".into()));
        }
        publisher.write_all(frame.published()).doing("publish")?;
        if let Ok(count) = subscriber.read(&mut buffer) {
            inbox.take(&frame, &buffer[..count], &mut subscriber)?;
        }
    }
    Ok(())
}

fn resident_kib(brokers: &[Running]) -> Result<u64, Failure> {
    brokers.iter().map(|broker| Ok(broker.usage()?.resident_kib)).sum()
}

fn own_kib(brokers: &[Running]) -> Result<u64, Failure> {
    brokers.iter().map(|broker| Ok(broker.usage()?.own_kib)).sum()
}

fn cpu(brokers: &[Running]) -> Result<Duration, Failure> {
    brokers.iter().map(|broker| Ok(broker.usage()?.cpu)).sum()
}

/// A process of the generator that has the connections of one broker. It is told what to do on its standard input.
struct FleetProcess {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl FleetProcess {
    fn start(broker: &Running, first: usize, count: usize) -> Result<FleetProcess, Failure> {
        let program = std::env::current_exe().doing("find the generator")?;
        let mut child = Command::new(program)
            .arg("serve-fleet")
            .args([broker.target.address.to_string(), first.to_string(), count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .doing("start a generator")?;
        let output = child.stdout.take().ok_or_else(ended)?;
        Ok(FleetProcess { child, output: BufReader::new(output) })
    }

    fn order(&mut self, word: &str) -> Result<(), Failure> {
        let input = self.child.stdin.as_mut().ok_or_else(ended)?;
        writeln!(input, "{word}").doing("tell a generator what to do")
    }

    fn expect(&mut self, word: &str) -> Result<(), Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line).doing("read what a generator says")?;
        if line.trim_end() == word { Ok(()) } else { Err(ended()) }
    }
}

fn ended() -> Failure {
    Failure::Broker("a generator gave up; its reason stands above".into())
}

impl Drop for FleetProcess {
    fn drop(&mut self) {
        // Without its input it ends.
        self.child.stdin = None;
        let _ = self.child.wait();
    }
}

/// The work of a generator process: connects, then answers one request each time it is told to.
pub fn serve_fleet(words: &[&str]) -> Result<(), Failure> {
    let wrong = || Failure::Usage("serve-fleet is for the cluster scenario only".into());
    let &[address, first, count] = words else { return Err(wrong()) };
    let target = Target {
        address: address.parse().map_err(|_| wrong())?,
        connect: connect_line(""),
        tls: None,
    };
    let first = first.parse().map_err(|_| wrong())?;
    let mut fleet = Fleet::connect(first, count.parse().map_err(|_| wrong())?, &target)?;
    let (request, reply) = (Requester::request(), Requester::reply());
    println!("open");
    for line in std::io::stdin().lines() {
        let line = line.doing("read what to do")?;
        if line != "answer" {
            return Err(wrong());
        }
        fleet.receive(&request, Some(reply.published()), || Ok(()))?;
        println!("answered");
    }
    Ok(())
}
