//! Loading a configuration for a command: its warnings are said, its log is started, and what it
//! asks for that is not built yet is named or refused.

use std::path::{Path, PathBuf};

use crate::cli::context::{self, Context};
use crate::cli::exit::Failure;
use crate::config::{Config, Environment, Severity, Source, Warning};
use crate::logging::{self, Format, Target};
use crate::sys;

impl Context {
    /// The environment of this process.
    pub fn environment(&self) -> Environment {
        Environment::of_process(sys::hostname())
    }

    /// The configuration of a command at a terminal: `--config`, else the first default file.
    pub fn client_config(&self) -> Result<Config, Failure> {
        let (config, warnings) =
            self.read(&Source::Client { path: self.globals.config.clone() })?;
        warn(&warnings);
        self.start_client_log(&config)?;
        check_supported(&config)?;
        Ok(config)
    }

    /// The configuration of a daemon; `make` puts the path of `--config` into a source.
    pub fn daemon_config(
        &self,
        command: &str,
        make: fn(PathBuf) -> Source,
    ) -> Result<Config, Failure> {
        let path = self.config_path(command)?;
        self.start_daemon_log("stdout", "info", "auto")?;
        let (config, warnings) = self.read(&make(path))?;
        self.start_log_of(&config)?;
        warn(&warnings);
        check_supported(&config)?;
        Ok(config)
    }

    /// The same again, for a daemon that runs: the log stays as it is.
    pub fn read_daemon_config(
        &self,
        command: &str,
        make: fn(PathBuf) -> Source,
    ) -> Result<Config, Failure> {
        let (config, warnings) = self.read(&make(self.config_path(command)?))?;
        warn(&warnings);
        check_supported(&config)?;
        Ok(config)
    }

    fn config_path(&self, command: &str) -> Result<PathBuf, Failure> {
        self.globals.config.clone().ok_or_else(|| {
            Failure::new(format!("{command} needs a configuration file"))
                .hint(format!("{command} --config FILE"))
        })
    }

    /// Logs as the configuration of a daemon says; a log file is opened anew.
    pub fn start_log_of(&self, config: &Config) -> Result<(), Failure> {
        self.start_daemon_log(&config.log_file, &config.log_level, &config.log_format)
    }

    fn read(&self, source: &Source) -> Result<(Config, Vec<Warning>), Failure> {
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Config::load(source, &self.environment(), &cwd)
            .map_err(|error| Failure::new(error.to_string()))
    }

    /// Commands log to standard error, warnings and worse, unless their file says otherwise:
    /// results alone belong on standard output.
    fn start_client_log(&self, config: &Config) -> Result<(), Failure> {
        let target = match target(&config.log_file) {
            Target::Stdout => Target::Stderr,
            other => other,
        };
        let level = if self.globals.debug {
            log::LevelFilter::Debug
        } else if config.is_set("loglevel") {
            logging::level(&config.log_level).min(log::LevelFilter::Warn)
        } else {
            log::LevelFilter::Warn
        };
        let is_file = matches!(target, Target::File(_));
        match context::start_log(target, level, None) {
            // A command of a user must not fail because only root may write the log it shares.
            Err(failure) if is_file => {
                log::warn!("{failure}");
                Ok(())
            }
            result => result,
        }
    }

    /// Daemons log where their file says; with `--debug` everything.
    fn start_daemon_log(&self, file: &str, level: &str, format_word: &str) -> Result<(), Failure> {
        let level =
            if self.globals.debug { log::LevelFilter::Debug } else { logging::level(level) };
        context::start_log(target(file), level, format(format_word))
    }
}

fn warn(warnings: &[Warning]) {
    for warning in warnings {
        log::warn!("config: {warning}");
    }
}

/// The shape that a `log_format` value asks for; none when it fits where the log goes.
fn format(word: &str) -> Option<Format> {
    match word {
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        "nats" => Some(Format::Nats),
        _ => None,
    }
}

/// Where a `logfile` value sends the log.
fn target(file: &str) -> Target {
    match file {
        "stdout" => Target::Stdout,
        "stderr" => Target::Stderr,
        "discard" => Target::Discard,
        path => Target::File(Path::new(path).to_owned()),
    }
}

/// Names every key of an absent feature; the first one that must not be ignored is a failure.
fn check_supported(config: &Config) -> Result<(), Failure> {
    let mut refused = None;
    for unsupported in config.unsupported_keys() {
        match unsupported.severity {
            Severity::Warn => log::warn!("config: {unsupported}"),
            Severity::Refuse if refused.is_none() => refused = Some(unsupported),
            Severity::Refuse => log::error!("config: {unsupported}"),
        }
    }
    match refused {
        None => Ok(()),
        Some(unsupported) => Err(Failure::new(unsupported.to_string())
            .hint("remove the key to start without the feature")),
    }
}
