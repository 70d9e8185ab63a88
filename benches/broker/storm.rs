//! All TLS connections are lost at once and come back at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection;
use crate::contestant::Running;
use crate::failure::{Doing, Failure};
use crate::fleet::{Fleet, Opened, joined};
use crate::frame::{Frame, Inbox, SID, SUBJECT, Shape};
use crate::idle::Size;
use crate::opening::Policy;
use crate::report::{Measure, Unit, percentile};
use crate::wire::Wire;

const PROBE_BYTES: usize = 128;
/// Between two messages of the established session.
const PROBE_PAUSE: Duration = Duration::from_millis(4);
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Drops all connections, lets them come back, and watches a session that stays.
pub fn run(size: &Size, broker: &Running) -> Result<Vec<Measure>, Failure> {
    let mut fleet = Fleet::connect(0, size.connections, &broker.target)?;
    let mut session =
        connection::open(&broker.target, format!("SUB {SUBJECT} {SID}\r\n").as_bytes())?;
    session.socket().set_read_timeout(Some(PROBE_TIMEOUT)).doing("set a socket option")?;
    fleet.idle(size.settle)?;
    let before = broker.usage()?;
    let (opened, times) = storm(&mut fleet, &mut session)?;
    let cpu = broker.usage()?.cpu - before.cpu;
    Ok(vec![
        Measure::new("all back after", Unit::Milliseconds, opened.took.as_secs_f64() * 1e3)
            .ratio_bar(0.5),
        Measure::new("failed attempts", Unit::Count, opened.failed as f64).bar(0.0),
        Measure::new("established p99", Unit::Milliseconds, percentile(&times, 99.0)).bar(50.0),
        Measure::new("broker CPU", Unit::Milliseconds, cpu.as_secs_f64() * 1e3),
    ])
}

fn storm(fleet: &mut Fleet, session: &mut Wire) -> Result<(Opened, Vec<f64>), Failure> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| watch(session, &is_over));
        fleet.disconnect();
        let opened = fleet.open(Policy::STORM);
        is_over.store(true, Ordering::Relaxed);
        Ok((opened?, joined(watching)?))
    })
}

/// Sends messages to itself; the time of each in milliseconds.
fn watch(wire: &mut Wire, is_over: &AtomicBool) -> Result<Vec<f64>, Failure> {
    let frame = Frame::new(&Shape::new(PROBE_BYTES));
    let (mut inbox, mut buffer, mut times) = (Inbox::default(), [0; 4096], Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        wire.write_all(frame.published()).doing("publish")?;
        let wanted = inbox.messages() + 1;
        while inbox.messages() < wanted {
            let count = wire.read(&mut buffer).doing("receive")?;
            if count == 0 {
                return Err(Failure::Broker("it closed the established session".into()));
            }
            inbox.take(&frame, &buffer[..count], wire)?;
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
        thread::sleep(PROBE_PAUSE);
    }
    Ok(times)
}
