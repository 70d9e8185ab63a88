//! What the broker and the server have in common: the PID file and failures in the log.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::cli::exit::{Exit, Failure};
use crate::logging;

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
