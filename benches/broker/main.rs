//! Compares the broker with other NATS servers: throughput, idle memory, fan-out, requests to a fleet, storms of
//! connections.
//!
//! Every broker is a black box: a program that is started on a free loopback port, an address, and a process id whose
//! CPU time and memory the kernel knows. What the scenarios mean is in `docs/benchmarks.md`. Start reading at
//! [`scenario::SCENARIOS`].

mod cluster;
mod connection;
mod contestant;
mod failure;
mod fleet;
mod frame;
mod idle;
mod latency;
mod node;
mod opening;
mod peers;
mod permissions;
mod pki;
mod report;
mod request;
mod scenario;
mod shard;
mod soak;
mod start;
mod storm;
mod throughput;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use argh::FromArgs;
use async_signal::{Signal, Signals};
use serde_json::{Value, json};
use smol::stream::StreamExt;

use contestant::{Contestant, Setup};
use failure::{Doing, Failure};
use pki::{Certificates, Keys};
use report::Report;
use scenario::{Needs, Place, SCENARIOS, Scale, Scenario};

/// No further round is begun when it would end later than this.
const TOTAL_MAX: Duration = Duration::from_secs(350);
const SOAK_MINUTES: f64 = 30.0;
/// Open files that are not connections of a scenario.
const OTHER_FILES: u64 = 100;

/// Compares the broker with other NATS servers, in alternating rounds, and prints the medians.
#[derive(FromArgs)]
struct Arguments {
    /// run only this scenario or group of scenarios (repeatable; see --list)
    #[argh(option)]
    only: Vec<String>,
    /// run everything, which takes long
    #[argh(switch)]
    all: bool,
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
    if let ["serve-fleet", rest @ ..] = words.as_slice() {
        return finish(cluster::serve_fleet(rest).map(|()| true));
    }
    if let ["soak", minutes @ ..] = words.as_slice() {
        return finish(soak(minutes));
    }
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
    finish(run(&arguments))
}

/// What scripts/soak asks for.
fn soak(words: &[&str]) -> Result<bool, Failure> {
    let minutes = match words {
        [] => SOAK_MINUTES,
        [minutes] => {
            minutes.parse::<f64>().ok().filter(|minutes| *minutes > 0.0).ok_or_else(|| {
                Failure::Usage(format!("usage: scripts/soak [MINUTES], not {minutes:?}"))
            })?
        }
        _ => return Err(Failure::Usage("usage: scripts/soak [MINUTES]".into())),
    };
    choria::sys::raise_nofile_limit().doing("raise the limit on open files")?;
    let directory = WorkDirectory::create()?;
    clean_up_on_signals(&directory)?;
    let ours = Contestant::identify(Path::new(env!("CARGO_BIN_EXE_choria")))?;
    let tls = setup(Needs::Tls(Keys::P256), &directory.0)?;
    soak::run(Duration::from_secs_f64(minutes * 60.0), &ours, &directory.0, tls)
}

fn finish(outcome: Result<bool, Failure>) -> ExitCode {
    match outcome {
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
    let scenarios = select(arguments)?;
    let scale = Scale { is_quick: arguments.quick, connections: arguments.connections };
    check_open_files(&scenarios, &scale)?;
    let mut contestants = vec![Contestant::identify(&arguments.ours)?];
    for peer in peers::find(&arguments.peer)? {
        contestants.push(Contestant::identify(&peer)?);
    }
    let directory = WorkDirectory::create()?;
    clean_up_on_signals(&directory)?;
    let context = context(arguments);
    let total_max =
        if arguments.all || !arguments.only.is_empty() { Duration::MAX } else { TOTAL_MAX };
    let rounds = Rounds { count: arguments.rounds, total_max, scale };
    let report = play(&scenarios, &contestants, &rounds, &directory.0)?;
    if arguments.json {
        println!("{:#}", report.json(context));
    } else {
        print!("{}", report.table());
    }
    Ok(!report.has_failures())
}

fn select(arguments: &Arguments) -> Result<Vec<Scenario>, Failure> {
    let words = &arguments.only;
    if let Some(unknown) =
        words.iter().find(|word| !SCENARIOS.iter().any(|scenario| scenario.is_called(word)))
    {
        return Err(Failure::Usage(format!("no scenario is called {unknown:?}: see --list")));
    }
    let is_chosen = |scenario: &&Scenario| match words.as_slice() {
        [] => arguments.all || scenario.is_default,
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

/// How often and how much.
struct Rounds {
    count: usize,
    /// No round is begun that would end later.
    total_max: Duration,
    scale: Scale,
}

/// All rounds of all scenarios, every contestant in turn.
fn play(
    scenarios: &[Scenario],
    contestants: &[Contestant],
    rounds: &Rounds,
    directory: &Path,
) -> Result<Report, Failure> {
    let mut report = Report::new(contestants);
    let setups = scenarios
        .iter()
        .map(|scenario| setup(scenario.needs, directory))
        .collect::<Result<Vec<_>, _>>()?;
    let (start, count) = (Instant::now(), rounds.count);
    for round in 1..=count {
        let round_start = Instant::now();
        for (scenario, setup) in scenarios.iter().zip(&setups) {
            for (index, contestant) in contestants.iter().enumerate() {
                eprintln!("round {round}/{count}: {} with {}", scenario.name, contestant.label);
                let place = Place { contestant, setup, directory };
                match scenario.run(&rounds.scale, &place) {
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
        if round < count && start.elapsed() + round_start.elapsed() > rounds.total_max {
            eprintln!(
                "stopped after {round} of {count} rounds: more would take over {} seconds",
                rounds.total_max.as_secs()
            );
            break;
        }
    }
    Ok(report)
}

/// The configuration that a scenario asks for.
fn setup(needs: Needs, directory: &Path) -> Result<Setup, Failure> {
    Ok(match needs {
        // Each broker of a cluster is configured when it starts.
        Needs::Nothing | Needs::Cluster => Setup::Plain,
        Needs::Permissions => Setup::secured(directory)?,
        Needs::Tls(keys) => Setup::Tls(certificates(keys, directory)?),
    })
}

/// Certificates with such keys; made once.
fn certificates(keys: Keys, directory: &Path) -> Result<Certificates, Failure> {
    static MADE: Mutex<Vec<(Keys, Certificates)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = made.iter().find(|(of, _)| *of == keys) {
        return Ok(known.clone());
    }
    let new = Certificates::create(keys, directory)?;
    made.push((keys, new.clone()));
    Ok(new)
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
