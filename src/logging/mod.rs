//! Log lines: levels, text and JSON, where they go.
//!
//! Every module logs through the macros of the `log` crate; only the program decides here where
//! the lines go. Results of a command never pass through here.

mod format;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use log::{LevelFilter, Log, Metadata, Record};

pub use format::Format;

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to this file, so that a rotation by copy and truncate works.
    File(PathBuf),
    /// Nowhere.
    Discard,
}

/// How a process logs.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Where the lines go.
    pub target: Target,
    /// The most detailed level that is written.
    pub level: LevelFilter,
    /// How a line looks.
    pub format: Format,
}

/// The log could not be opened.
#[derive(Debug)]
pub struct LogError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open log file {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The level of a `loglevel` word; `fatal` shows nothing below the end of the process, and every
/// other word acts as `warn`, as in go-choria.
pub fn level(word: &str) -> LevelFilter {
    match word.to_ascii_lowercase().as_str() {
        "trace" => LevelFilter::Trace,
        "debug" => LevelFilter::Debug,
        "info" => LevelFilter::Info,
        "error" => LevelFilter::Error,
        "fatal" => LevelFilter::Off,
        _ => LevelFilter::Warn,
    }
}

/// Starts logging, or changes how it is done when it was started before.
pub fn init(settings: LogSettings) -> Result<(), LogError> {
    let sink = match settings.target {
        Target::Stdout => Sink::Stdout,
        Target::Stderr => Sink::Stderr,
        Target::Discard => Sink::Discard,
        Target::File(path) => match OpenOptions::new().append(true).create(true).open(&path) {
            Ok(file) => Sink::File(file),
            Err(source) => return Err(LogError { path, source }),
        },
    };
    let level = if matches!(sink, Sink::Discard) { LevelFilter::Off } else { settings.level };
    let logger = LOGGER.get_or_init(|| Logger { output: Mutex::new(None) });
    *logger.output.lock().unwrap_or_else(PoisonError::into_inner) = Some((sink, settings.format));
    // Fails only when it is set already, and then it is this same logger.
    let _ = log::set_logger(logger);
    log::set_max_level(level);
    Ok(())
}

/// Whether log lines end up where standard error does, like on one terminal or in one journal.
pub fn is_on_stderr() -> bool {
    let Some(logger) = LOGGER.get() else { return false };
    match logger.output.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        Some((Sink::Stderr, _)) => true,
        Some((Sink::Stdout, _)) => is_same_file(io::stdout(), io::stderr()),
        _ => false,
    }
}

fn is_same_file(one: impl AsFd, other: impl AsFd) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

struct Logger {
    /// Replaced as a whole by `init`; held for the writing of one line.
    output: Mutex<Option<(Sink, Format)>>,
}

enum Sink {
    Stdout,
    Stderr,
    File(File),
    Discard,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates are only heard when something is wrong.
        metadata.target().starts_with("choria") || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((sink, format)) = output.as_mut() else { return };
        let line = format.line(record.level(), &record.args().to_string(), SystemTime::now());
        // A log that cannot be written must not stop the process.
        let _ = match sink {
            Sink::Stdout => io::stdout().write_all(line.as_bytes()),
            Sink::Stderr => io::stderr().write_all(line.as_bytes()),
            Sink::File(file) => file.write_all(line.as_bytes()),
            Sink::Discard => Ok(()),
        };
    }

    fn flush(&self) {
        let _ = io::stdout().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_the_reference_does() {
        let cases = [
            ("debug", LevelFilter::Debug),
            ("INFO", LevelFilter::Info),
            ("warn", LevelFilter::Warn),
            ("error", LevelFilter::Error),
            ("fatal", LevelFilter::Off),
            ("nonsense", LevelFilter::Warn),
        ];
        for (word, expected) in cases {
            assert_eq!(level(word), expected, "{word}");
        }
    }

    #[test]
    fn one_file_is_told_from_another() {
        let open = |path| File::open(path).unwrap();
        assert!(is_same_file(open("/dev/null"), open("/dev/null")));
        assert!(!is_same_file(open("/dev/null"), open("/dev/zero")));
    }

    #[test]
    fn a_log_file_in_a_missing_folder_is_an_error_that_names_it() {
        let target = Target::File(PathBuf::from("/nonexistent/folder/choria.log"));
        let error = init(LogSettings { target, level: LevelFilter::Info, format: Format::Json })
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cannot open log file /nonexistent/folder/choria.log: "));
    }
}
