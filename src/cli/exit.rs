//! How a command ends: the exit codes, and failures that say what to do next.

use std::fmt;
use std::io;

use crate::cli::render::style::printable;
use crate::settings;

/// The result of a command that ran to its end. This is the only place that knows the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Success,
    /// Bad input, nothing discovered, or any other error.
    Failed,
    /// Some nodes failed or some did not answer.
    SomeFailed,
    /// What a monitoring system asked about is not well.
    Critical,
    /// Nodes were discovered but none answered.
    NoAnswer,
    /// Nothing was discovered and nobody answered.
    NobodyThere,
    /// The user stopped the command.
    Interrupted,
}

impl Exit {
    /// Every way to end, in the order of the codes.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Failed,
        Self::SomeFailed,
        Self::Critical,
        Self::NoAnswer,
        Self::NobodyThere,
        Self::Interrupted,
    ];

    /// What it means, for the manual.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "Everything asked for was done",
            Self::Failed => "Bad input, nothing discovered, no connection, or any other error",
            Self::SomeFailed => "Some nodes failed or did not answer",
            Self::Critical => "What a monitoring system asked about is not well",
            Self::NoAnswer => "Nodes were discovered and none answered; nobody has signed yet",
            Self::NobodyThere => "Nodes were listed, not discovered, and none answered",
            Self::Interrupted => "Interrupted by the user; what had arrived was shown",
        }
    }

    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::SomeFailed | Self::Critical => 2,
            Self::NoAnswer => 3,
            Self::NobodyThere => 4,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command could not do what it was asked: one line, perhaps hints, and an exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One line in lower case without a final full stop.
    pub message: String,
    /// What to try next, each a line of its own.
    pub hints: Vec<String>,
    /// How the process ends.
    pub exit: Exit,
    /// The reader of our output has gone away: nothing is printed and the end is a success.
    is_broken_pipe: bool,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, hints: Vec::new(), exit: Exit::Failed, is_broken_pipe: false }
    }

    /// Adds a line that tells the user what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Ends the process with another code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// What goes to standard error; empty when the reader of our output has gone away.
    pub(super) fn report(&self) -> String {
        if self.is_broken_pipe {
            return String::new();
        }
        // Words of peers are in there, and none of them may steer the terminal.
        let mut report = format!("choria: {}\n", printable(self.message.trim_end()));
        for hint in &self.hints {
            report.push_str("hint: ");
            report.push_str(&printable(hint));
            report.push('\n');
        }
        report
    }

    pub(super) fn outcome(&self) -> Exit {
        if self.is_broken_pipe { Exit::Success } else { self.exit }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<settings::Problem> for Failure {
    fn from(problem: settings::Problem) -> Self {
        Self { hints: problem.hints, ..Self::new(problem.message) }
    }
}

/// For writes to standard output; name files in the message where another file is concerned.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_broken_pipe, ..Self::new(format!("cannot write the output: {error}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_report_a_line_and_their_hints() {
        let failure = Failure::new("cannot find it\n").hint("look there").exit(Exit::NoAnswer);
        assert_eq!(failure.report(), "choria: cannot find it\nhint: look there\n");
        assert_eq!(failure.outcome().code(), 3);
        let failure = Failure::new("the CA says \u{1b}]0;x\u{7}").hint("\u{9b}2J");
        assert_eq!(failure.report(), "choria: the CA says \\u{1b}]0;x\\u{7}\nhint: \\u{9b}2J\n");
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.report(), "");
        assert_eq!(failure.outcome(), Exit::Success);
        let failure = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(failure.report().starts_with("choria: cannot write the output: "));
        assert_eq!(failure.outcome(), Exit::Failed);
    }
}
