//! The table of scenarios.

use std::fmt;
use std::time::Duration;

use crate::contestant::Running;
use crate::failure::Failure;
use crate::idle::{self, Size};
use crate::report::Measure;
use crate::throughput::{self, Lengths, Load};

/// A scenario and the words that select it.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name in tables, and the first word that selects it.
    pub name: &'static str,
    /// Other words that select it.
    aliases: &'static [&'static str],
    /// Whether it runs when nothing is selected.
    pub is_default: bool,
    work: Work,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Throughput(Load),
    Idle { connections: usize },
    Request { connections: usize },
}

/// All scenarios, in the order they run.
pub const SCENARIOS: &[Scenario] = &[
    throughput("1:1/16", 1, 1, 16),
    throughput("1:8/128", 1, 8, 128),
    throughput("4:1/128", 4, 1, 128),
    throughput("4:4/128", 4, 4, 128),
    throughput("1:1/1024", 1, 1, 1024),
    throughput("1:1/16384", 1, 1, 16 * 1024),
    Scenario {
        name: "headers",
        aliases: &["throughput"],
        is_default: false,
        work: Work::Throughput(Load {
            publishers: 1,
            subscribers: 1,
            payload_bytes: 128,
            headers: true,
        }),
    },
    Scenario {
        name: "idle",
        aliases: &["memory", "fanout", "fan-out"],
        is_default: true,
        work: Work::Idle { connections: 10_000 },
    },
    Scenario {
        name: "request",
        aliases: &[],
        is_default: true,
        work: Work::Request { connections: 5_000 },
    },
];

const fn throughput(
    name: &'static str,
    publishers: usize,
    subscribers: usize,
    payload_bytes: usize,
) -> Scenario {
    let load = Load { publishers, subscribers, payload_bytes, headers: false };
    Scenario { name, aliases: &["throughput"], is_default: true, work: Work::Throughput(load) }
}

/// How much of each scenario is run.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Less of everything, to see that it works.
    pub is_quick: bool,
    /// Connections of a fleet scenario instead of its own number.
    pub connections: Option<usize>,
}

impl Scenario {
    /// Whether a word of the command line means this one.
    pub fn is_called(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }

    /// Connections it opens.
    pub fn connections(&self, scale: &Scale) -> usize {
        match self.work {
            Work::Throughput(load) => load.publishers + load.subscribers,
            Work::Idle { connections } | Work::Request { connections } => {
                scale.connections(connections)
            }
        }
    }

    /// Runs it once against a broker that was just started.
    pub fn run(&self, scale: &Scale, broker: &Running) -> Result<Vec<Measure>, Failure> {
        match self.work {
            Work::Throughput(load) => throughput::run(&load, &scale.lengths(), broker),
            Work::Idle { connections } => {
                idle::memory_and_fan_out(&scale.size(connections), broker)
            }
            Work::Request { connections } => idle::request(&scale.size(connections), broker),
        }
    }
}

impl Scale {
    fn connections(&self, usual: usize) -> usize {
        self.connections.unwrap_or(if self.is_quick { usual / 10 } else { usual })
    }

    fn lengths(&self) -> Lengths {
        let (warm_up, measured) = if self.is_quick { (100, 400) } else { (300, 1500) };
        Lengths {
            warm_up: Duration::from_millis(warm_up),
            measured: Duration::from_millis(measured),
        }
    }

    fn size(&self, connections: usize) -> Size {
        let (bursts, settle) = if self.is_quick { (3, 500) } else { (8, 2500) };
        Size {
            connections: self.connections(connections),
            bursts,
            settle: Duration::from_millis(settle),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<10} {}", self.name, self.aliases.join(" "))?;
        if self.is_default { Ok(()) } else { write!(out, " (only when selected)") }
    }
}
