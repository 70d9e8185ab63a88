//! The table of scenarios.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::contestant::{Contestant, Running, Setup};
use crate::failure::Failure;
use crate::idle::{self, Size};
use crate::pki::Keys;
use crate::report::Measure;
use crate::throughput::{self, Lengths, Load};
use crate::{cluster, latency, permissions, request, start, storm};

/// A scenario and the words that select it.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name in tables, and the first word that selects it.
    pub name: &'static str,
    /// Other words that select it.
    aliases: &'static [&'static str],
    /// Whether it runs when nothing is selected.
    pub is_default: bool,
    /// How the brokers are configured.
    pub needs: Needs,
    work: Work,
}

/// What the configuration of the brokers has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: a laboratory.
    Nothing,
    /// Mutual TLS.
    Tls(Keys),
    /// Accounts and permissions.
    Permissions,
    /// Three brokers.
    Cluster,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Throughput(Load),
    Idle {
        connections: usize,
    },
    Memory {
        connections: usize,
    },
    Request {
        connections: usize,
    },
    /// As a request, with memory some time after the first few.
    Fleet {
        connections: usize,
    },
    Latency,
    Storm {
        connections: usize,
    },
    Start,
    /// A number of connections at each broker.
    Cluster {
        connections: usize,
    },
}

/// All scenarios, in the order they run.
pub const SCENARIOS: &[Scenario] = &[
    throughput("1:1/16", load(1, 1, 16, 5.0)),
    throughput("1:8/128", load(1, 8, 128, 5.0)),
    throughput("4:1/128", load(4, 1, 128, 5.0)),
    throughput("4:4/128", load(4, 4, 128, 5.0)),
    throughput("1:1/1024", load(1, 1, 1024, 2.2)),
    throughput("1:1/16384", load(1, 1, 16 * 1024, 1.7)),
    secured("secured:1:1/16", load(1, 1, 16, 5.0)),
    secured("secured:1:8/128", load(1, 8, 128, 5.0)),
    secured("secured:4:1/128", load(4, 1, 128, 5.0)),
    secured("secured:4:4/128", load(4, 4, 128, 5.0)),
    secured("secured:1:1/1024", load(1, 1, 1024, 2.2)),
    secured("secured:1:1/16384", load(1, 1, 16 * 1024, 1.7)),
    throughput("headers", Load { headers: true, bar: None, ..load(1, 1, 128, 0.0) })
        .selected_only(),
    Scenario::new("idle", Work::Idle { connections: 10_000 })
        .also(&["memory", "fanout", "fan-out"]),
    Scenario::new("request", Work::Request { connections: 5_000 }),
    Scenario::new("latency", Work::Latency),
    Scenario::new("start", Work::Start),
    tls("start-tls", &["tls"], Keys::P256, Work::Start),
    Scenario::new("fleet", Work::Fleet { connections: 15_000 }).also(&["memory"]).selected_only(),
    tls("idle-tls", &["memory", "tls"], Keys::P256, Work::Memory { connections: 5_000 }),
    tls("idle-tls-rsa", &["memory", "tls"], Keys::Rsa, Work::Memory { connections: 5_000 }),
    tls("request-tls", &["tls"], Keys::P256, Work::Request { connections: 5_000 }),
    tls("storm", &["storms", "tls"], Keys::P256, Work::Storm { connections: 8_000 }),
    tls("storm-rsa", &["storms", "tls"], Keys::Rsa, Work::Storm { connections: 8_000 }),
    Scenario {
        needs: Needs::Cluster,
        ..Scenario::new("cluster", Work::Cluster { connections: 16_700 }).selected_only()
    },
];

const fn load(publishers: usize, subscribers: usize, payload_bytes: usize, bar: f64) -> Load {
    Load { publishers, subscribers, payload_bytes, headers: false, bar: Some(bar) }
}

const fn throughput(name: &'static str, load: Load) -> Scenario {
    Scenario::new(name, Work::Throughput(load)).also(&["throughput"])
}

const fn secured(name: &'static str, load: Load) -> Scenario {
    let scenario = Scenario::new(name, Work::Throughput(load)).also(&["throughput", "secured"]);
    Scenario { needs: Needs::Permissions, ..scenario }.selected_only()
}

const fn tls(
    name: &'static str,
    aliases: &'static [&'static str],
    keys: Keys,
    work: Work,
) -> Scenario {
    Scenario { needs: Needs::Tls(keys), ..Scenario::new(name, work).also(aliases).selected_only() }
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
    const fn new(name: &'static str, work: Work) -> Scenario {
        Scenario { name, aliases: &[], is_default: true, needs: Needs::Nothing, work }
    }

    const fn also(self, aliases: &'static [&'static str]) -> Scenario {
        Scenario { aliases, ..self }
    }

    const fn selected_only(self) -> Scenario {
        Scenario { is_default: false, ..self }
    }

    /// Whether a word of the command line means this one.
    pub fn is_called(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }

    /// Connections it opens, at the most that can be open together.
    pub fn connections(&self, scale: &Scale) -> usize {
        match self.work {
            Work::Throughput(load) => load.publishers + load.subscribers,
            Work::Idle { connections }
            | Work::Memory { connections }
            | Work::Request { connections }
            | Work::Fleet { connections }
            | Work::Cluster { connections } => scale.connections(connections),
            // The broker may still have those that were dropped when they come again.
            Work::Storm { connections } => 2 * scale.connections(connections),
            Work::Latency | Work::Start => 4,
        }
    }

    /// Starts brokers of this contestant and runs it once.
    pub fn run(&self, scale: &Scale, place: &Place<'_>) -> Result<Vec<Measure>, Failure> {
        if let Work::Cluster { connections } = self.work {
            return cluster::run(&scale.size(connections), place.contestant, place.directory);
        }
        let broker = &place.contestant.start(place.setup, place.directory)?;
        if self.needs == Needs::Permissions {
            permissions::check(&broker.target)?;
        }
        self.run_against(scale, broker)
    }

    fn run_against(&self, scale: &Scale, broker: &Running) -> Result<Vec<Measure>, Failure> {
        match self.work {
            Work::Throughput(load) => throughput::run(&load, &scale.lengths(), broker),
            Work::Idle { connections } => {
                idle::memory_and_fan_out(&scale.size(connections), broker)
            }
            Work::Memory { connections } => idle::memory(&scale.size(connections), broker),
            Work::Request { connections } => request::run(&scale.size(connections), broker),
            Work::Fleet { connections } => {
                let recovery = Duration::from_secs(if scale.is_quick { 2 } else { 30 });
                request::run(&Size { recovery, ..scale.size(connections) }, broker)
            }
            Work::Latency => latency::run(&scale.lengths(), broker),
            Work::Storm { connections } => storm::run(&scale.size(connections), broker),
            Work::Start | Work::Cluster { .. } => Ok(start::run(broker)),
        }
    }
}

/// Where a scenario runs.
#[derive(Debug)]
pub struct Place<'p> {
    /// Whose brokers it is about.
    pub contestant: &'p Contestant,
    /// How they are configured.
    pub setup: &'p Setup,
    /// Where their files go.
    pub directory: &'p Path,
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
            recovery: Duration::ZERO,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<10} {}", self.name, self.aliases.join(" "))?;
        if self.is_default { Ok(()) } else { write!(out, " (only when selected)") }
    }
}
