//! What every command is given: an executor, the global options, the terminal, interrupts.

use std::future::Future;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_signal::{Signal, Signals};
use log::LevelFilter;
use smol::stream::StreamExt;

use crate::cli::argv::Globals;
use crate::cli::exit::{Exit, Failure};
use crate::cli::terminal;
use crate::logging::{self, Format, LogSettings, Target};
use crate::util::shutdown::Shutdown;

/// How long a command may take to end after an interrupt before it is ended by force, unless it
/// asks for another time.
const GRACE_MS: u64 = 2_000;
/// More worker threads gain nothing: the heavy roles have threads of their own.
const WORKERS_MAX: usize = 4;

/// Handed to every command.
pub struct Context {
    /// Runs every task of the process.
    pub executor: Arc<smol::Executor<'static>>,
    /// The options that every command understands.
    pub globals: Globals,
    /// Whether standard output may carry colour.
    pub colour: bool,
    /// Triggered by SIGINT and SIGTERM. A second signal ends the process at once.
    pub interrupt: Shutdown,
    /// Milliseconds from the first signal to the forced end.
    grace_ms: Arc<AtomicU64>,
}

impl Context {
    /// Starts logging and listens for signals.
    pub(super) fn new(globals: Globals) -> Result<Self, Failure> {
        let level = if globals.debug { LevelFilter::Debug } else { LevelFilter::Warn };
        start_log(Target::Stderr, level, None)?;
        let context = Self::apart(globals);
        context.listen_for_signals()?;
        Ok(context)
    }

    /// One that changes nothing in the process.
    pub(super) fn apart(globals: Globals) -> Self {
        Self {
            executor: Arc::new(smol::Executor::new()),
            globals,
            colour: terminal::has_colour(),
            interrupt: Shutdown::new(),
            grace_ms: Arc::new(AtomicU64::new(GRACE_MS)),
        }
    }

    /// Gives the command more (or less) time to end after the first signal.
    pub fn set_grace(&self, grace: Duration) {
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.grace_ms.store(millis, Ordering::Relaxed);
    }

    /// Runs a command to its end, with helper threads for its tasks.
    pub(super) fn block_on(
        &self,
        command: impl Future<Output = Result<Exit, Failure>>,
    ) -> Result<Exit, Failure> {
        let done = Shutdown::new();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for number in 1..cores.min(WORKERS_MAX) {
            let (executor, done) = (self.executor.clone(), done.clone());
            // Without a helper thread the main thread does all the work: slower, not wrong.
            let _ = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || smol::block_on(executor.run(done.wait())));
        }
        let result = smol::block_on(self.executor.run(command));
        done.trigger();
        result
    }

    fn listen_for_signals(&self) -> Result<(), Failure> {
        let mut signals = Signals::new([Signal::Int, Signal::Term])
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let (interrupt, grace_ms) = (self.interrupt.clone(), self.grace_ms.clone());
        let task = async move {
            let _ = signals.next().await;
            interrupt.trigger();
            let grace = Duration::from_millis(grace_ms.load(Ordering::Relaxed));
            let expired = async {
                smol::Timer::after(grace).await;
            };
            let again = async {
                let _ = signals.next().await;
            };
            smol::future::or(expired, again).await;
            std::process::exit(i32::from(Exit::Interrupted.code()));
        };
        // A thread of its own: it has to work when everything else is stuck.
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || smol::block_on(task))
            .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
        Ok(())
    }
}

/// Sends the log to `target`, in the given shape or else in the one that fits it.
pub(super) fn start_log(
    target: Target,
    level: LevelFilter,
    format: Option<Format>,
) -> Result<(), Failure> {
    let format = format.unwrap_or(match &target {
        Target::File(_) => Format::Json,
        Target::Stderr if std::io::stderr().is_terminal() => Format::Brief,
        _ => Format::Text,
    });
    logging::init(LogSettings { target, level, format })
        .map_err(|error| Failure::new(error.to_string()))
}
