//! What all daemons have in common: the PID file, failures in the log, and rest after the start.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use smol::Timer;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::logging;
use crate::sys;

/// From then on a daemon does what it does for the rest of its life.
const STARTED: Duration = Duration::from_secs(3);

/// Writes the process number in decimal, without a line end, readable by everybody.
pub fn write_pid(path: &Path) -> Result<(), Failure> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| write!(file, "{}", std::process::id()))
        .map_err(|error| Failure::new(format!("cannot write PID file {}: {error}", path.display())))
}

/// Gives back what only the start needed, when it is over.
pub fn settle(context: &Context) {
    let settling = async {
        Timer::after(STARTED).await;
        sys::release_code();
    };
    context.executor.spawn(settling).detach();
}

/// Whoever only reads the log has to learn why a daemon ended, too. Where the log goes to the same
/// place as standard error, the failure is shown there anyway.
pub fn logged(component: &str, result: Result<Exit, Failure>) -> Result<Exit, Failure> {
    if let Err(failure) = &result
        && !logging::is_on_stderr()
    {
        log::error!("{component}: {failure}");
    }
    result
}
