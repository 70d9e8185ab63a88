//! Compares the broker with other NATS servers: throughput, idle memory, fan-out, and requests to a fleet.
//!
//! Every broker is a black box: a program that is started on a free loopback port, an address, and a process id whose
//! CPU time and memory the kernel knows. What the scenarios mean is in `docs/benchmarks.md`. Start reading at
//! [`scenario::SCENARIOS`].

mod connection;
mod contestant;
mod failure;
mod fleet;
mod frame;
mod idle;
mod peers;
mod report;
mod scenario;
mod throughput;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use argh::FromArgs;
use async_signal::{Signal, Signals};
use serde_json::{Value, json};
use smol::stream::StreamExt;

use contestant::Contestant;
use failure::{Doing, Failure};
use report::Report;
use scenario::{SCENARIOS, Scale, Scenario};

/// No further round is begun when it would end later than this.
const TOTAL_MAX: Duration = Duration::from_secs(350);
/// Open files that are not connections of a scenario.
const OTHER_FILES: u64 = 100;

/// Compares the broker with other NATS servers, in alternating rounds, and prints the medians.
#[derive(FromArgs)]
struct Arguments {
    /// run only this scenario or group of scenarios (repeatable; see --list)
    #[argh(option)]
    only: Vec<String>,
    /// a nats-server to compare with (repeatable; default: those of target/interop, else the one of the system)
    #[argh(option)]
    peer: Vec<PathBuf>,
    /// program to measure instead of the broker of this build
    #[argh(option, default = "PathBuf::from(env!(\"CARGO_BIN_EXE_choria\"))")]
    ours: PathBuf,
    /// number of rounds (default 3)
    #[argh(option, default = "3")]
    rounds: usize,
    /// connections of the fleet scenarios instead of their usual number
    #[argh(option)]
    connections: Option<usize>,
    /// less of everything: shows that it works, its figures mean little
    #[argh(switch)]
    quick: bool,
    /// print one JSON document instead of the table
    #[argh(switch)]
    json: bool,
    /// list the scenarios and end
    #[argh(switch)]
    list: bool,
    /// build with the release profile, which takes longer (read by scripts/bench)
    #[argh(switch)]
    #[allow(dead_code, reason = "scripts/bench reads it")]
    release: bool,
}

fn main() -> ExitCode {
    // cargo bench adds this word to those of the user.
    let words = std::env::args().skip(1).filter(|word| word != "--bench").collect::<Vec<_>>();
    let words = words.iter().map(String::as_str).collect::<Vec<_>>();
    let arguments = match Arguments::from_args(&["scripts/bench"], &words) {
        Ok(arguments) => arguments,
        Err(exit) if exit.status.is_ok() => {
            println!("{}", exit.output);
            return ExitCode::SUCCESS;
        }
        Err(exit) => {
            eprintln!("{}", exit.output.trim_end());
            return ExitCode::FAILURE;
        }
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("scripts/bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// True when every run has figures.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    if arguments.list {
        for scenario in SCENARIOS {
            println!("{scenario}");
        }
        return Ok(true);
    }
    let scenarios = select(&arguments.only)?;
    let scale = Scale { is_quick: arguments.quick, connections: arguments.connections };
    check_open_files(&scenarios, &scale)?;
    let mut contestants = vec![Contestant::identify(&arguments.ours)?];
    for peer in peers::find(&arguments.peer)? {
        contestants.push(Contestant::identify(&peer)?);
    }
    let directory = WorkDirectory::create()?;
    clean_up_on_signals(&directory)?;
    let context = context(arguments);
    let report = play(&scenarios, &contestants, &scale, arguments.rounds, &directory.0);
    if arguments.json {
        println!("{:#}", report.json(context));
    } else {
        print!("{}", report.table());
    }
    Ok(!report.has_failures())
}

fn select(words: &[String]) -> Result<Vec<Scenario>, Failure> {
    if let Some(unknown) =
        words.iter().find(|word| !SCENARIOS.iter().any(|scenario| scenario.is_called(word)))
    {
        return Err(Failure::Usage(format!("no scenario is called {unknown:?}: see --list")));
    }
    let is_chosen = |scenario: &&Scenario| match words {
        [] => scenario.is_default,
        words => words.iter().any(|word| scenario.is_called(word)),
    };
    Ok(SCENARIOS.iter().filter(is_chosen).copied().collect())
}

/// Raises the limit on open files, which the brokers inherit, and refuses what still does not fit.
fn check_open_files(scenarios: &[Scenario], scale: &Scale) -> Result<(), Failure> {
    let limit = choria::sys::raise_nofile_limit().doing("raise the limit on open files")?;
    let most =
        scenarios.iter().map(|scenario| scenario.connections(scale) as u64).max().unwrap_or(0);
    if most + OTHER_FILES <= limit {
        return Ok(());
    }
    let fit = limit.saturating_sub(OTHER_FILES);
    Err(Failure::Usage(format!(
        "{most} connections do not fit the limit of {limit} open files: --connections {fit}"
    )))
}

/// All rounds of all scenarios, every contestant in turn.
fn play(
    scenarios: &[Scenario],
    contestants: &[Contestant],
    scale: &Scale,
    rounds: usize,
    directory: &Path,
) -> Report {
    let mut report = Report::new(contestants);
    let start = Instant::now();
    for round in 1..=rounds {
        let round_start = Instant::now();
        for scenario in scenarios {
            for (index, contestant) in contestants.iter().enumerate() {
                eprintln!("round {round}/{rounds}: {} with {}", scenario.name, contestant.label);
                match contestant.start(directory).and_then(|broker| scenario.run(scale, &broker)) {
                    Ok(measures) => report.add(scenario.name, index, &measures),
                    Err(failure) => {
                        report.add_failure(format!(
                            "{} with {}: {failure}",
                            scenario.name, contestant.label
                        ));
                    }
                }
            }
        }
        if round < rounds && start.elapsed() + round_start.elapsed() > TOTAL_MAX {
            eprintln!(
                "stopped after {round} of {rounds} rounds: more would take over {} seconds",
                TOTAL_MAX.as_secs()
            );
            break;
        }
    }
    report
}

/// What a reader of the figures must know.
fn context(arguments: &Arguments) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processor = read("/proc/cpuinfo").lines().find_map(|line| {
        line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
    });
    json!({
        "date": choria::util::time::rfc3339(SystemTime::now()),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processor": processor,
        "cores": thread::available_parallelism().map_or(1, usize::from),
        "load_average": read("/proc/loadavg"),
        "rounds": arguments.rounds,
        "quick": arguments.quick,
    })
}

/// A directory for configuration and log files that goes away with this value.
struct WorkDirectory(PathBuf);

impl WorkDirectory {
    fn create() -> Result<WorkDirectory, Failure> {
        let path = std::env::temp_dir().join(format!("choria-bench-{}", std::process::id()));
        fs::create_dir(&path).doing("create a temporary directory")?;
        Ok(WorkDirectory(path))
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An interrupt must leave neither a broker nor a file behind.
fn clean_up_on_signals(directory: &WorkDirectory) -> Result<(), Failure> {
    let directory = directory.0.clone();
    let mut signals =
        Signals::new([Signal::Int, Signal::Term, Signal::Hup]).doing("watch for signals")?;
    thread::spawn(move || {
        smol::block_on(signals.next());
        contestant::kill_all();
        let _ = fs::remove_dir_all(directory);
        std::process::exit(130);
    });
    Ok(())
}
