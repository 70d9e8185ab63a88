//! Whether a broker has stood the load.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::Tally;
use crate::contestant::{Running, Usage};
use crate::failure::{Doing, Failure};
use crate::report::median;

/// The median of the last third of the run may be above that of the second by this share and this much.
const GROWTH_MAX: f64 = 1.10;
const GROWTH_KIB_MAX: f64 = 4.0 * 1024.0;

/// The memory of a broker over the run.
#[derive(Debug)]
pub(super) struct Samples {
    before: Usage,
    resident_kib: Vec<f64>,
    last: Usage,
    /// Some time after all connections were closed.
    pub after: u64,
}

impl Samples {
    pub fn new(before: Usage) -> Samples {
        Samples { before, resident_kib: Vec::new(), last: before, after: 0 }
    }

    pub fn add(&mut self, usage: Usage) {
        self.resident_kib.push(usage.resident_kib as f64);
        self.last = usage;
    }

    /// Medians of the three thirds.
    fn thirds(&self) -> [f64; 3] {
        let third = self.resident_kib.len().div_ceil(3).max(1);
        let mut parts = self.resident_kib.chunks(third).map(median);
        std::array::from_fn(|_| parts.next().unwrap_or(f64::NAN))
    }

    fn is_flat(&self) -> bool {
        let [_, second, last] = self.thirds();
        last <= second * GROWTH_MAX + GROWTH_KIB_MAX
    }
}

/// What became of one broker.
#[derive(Debug)]
pub(super) struct Verdict {
    name: &'static str,
    samples: Samples,
    results: Vec<Result<Tally, Failure>>,
    counters: Result<Vec<String>, Failure>,
}

impl Verdict {
    pub fn new(
        name: &'static str,
        broker: &Running,
        samples: Samples,
        results: Vec<Result<Tally, Failure>>,
        left_behind: u64,
    ) -> Result<Verdict, Failure> {
        let published = results.iter().flatten().map(|tally| tally.published).sum();
        let counters = varz(broker).and_then(|varz| implausible(&varz, published, left_behind));
        Ok(Verdict { name, samples, results, counters })
    }

    pub fn is_good(&self) -> bool {
        self.samples.is_flat()
            && self.results.iter().all(Result::is_ok)
            && self.counters.as_ref().is_ok_and(Vec::is_empty)
    }
}

/// The counters that cannot be right.
fn implausible(varz: &Value, published: u64, left_behind: u64) -> Result<Vec<String>, Failure> {
    let of = |name: &str| {
        let counter = varz.get(name).and_then(Value::as_u64);
        counter.ok_or_else(|| Failure::Broker(format!("/varz has no {name}")))
    };
    let (messages_in, messages_out) = (of("in_msgs")?, of("out_msgs")?);
    let mut wrong = Vec::new();
    if messages_in < published {
        wrong.push(format!("in_msgs {messages_in}, but {published} were published"));
    }
    if messages_out < messages_in {
        wrong.push(format!("out_msgs {messages_out} below in_msgs {messages_in}"));
    }
    for (name, wanted) in [("connections", 0), ("slow_consumers", left_behind)] {
        let counter = of(name)?;
        if counter != wanted {
            wrong.push(format!("{name} {counter} in place of {wanted}"));
        }
    }
    Ok(wrong)
}

fn varz(broker: &Running) -> Result<Value, Failure> {
    let mut stream = TcpStream::connect(broker.statistics).doing("connect to the statistics")?;
    stream
        .write_all(b"GET /varz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .doing("ask for statistics")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).doing("read statistics")?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body)
        .map_err(|error| Failure::Broker(format!("/varz cannot be read: {error}")))
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Samples { before, last, after, .. } = &self.samples;
        writeln!(out, "broker {}:", self.name)?;
        for result in &self.results {
            match result {
                Ok(tally) => writeln!(out, "  {:>10} {}", tally.count, tally.what)?,
                Err(failure) => writeln!(out, "  FAILED: {failure}")?,
            }
        }
        let [first, second, third] = self.samples.thirds().map(|kib| kib / 1024.0);
        writeln!(
            out,
            "  memory in MiB: {:.1} at the start; medians of three thirds {first:.1}, {second:.1}, {third:.1}; \
             {:.1} after all connections were closed: {}",
            before.resident_kib as f64 / 1024.0,
            *after as f64 / 1024.0,
            if self.samples.is_flat() { "flat" } else { "NOT FLAT" },
        )?;
        writeln!(out, "  CPU {:.1} s", (last.cpu - before.cpu).as_secs_f64())?;
        match &self.counters {
            Ok(wrong) if wrong.is_empty() => writeln!(out, "  counters plausible"),
            Ok(wrong) => writeln!(out, "  counters WRONG: {}", wrong.join("; ")),
            Err(failure) => writeln!(out, "  counters WRONG: {failure}"),
        }
    }
}
