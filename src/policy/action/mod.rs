//! ActionPolicy: files of lines that allow or deny, the first that matches decides.
//!
//! ```text
//! policy default deny
//! allow<TAB>choria=ops.mcollective<TAB>status ping<TAB>country=mt<TAB>*
//! ```
//!
//! The columns are caller, actions, facts and classes. A file is read by [`Policy::parse`] and asked
//! by [`Policy::decide`]; [`lint()`] finds what its author will not have meant.

mod evaluate;
mod fault;
mod groups;
mod lint;
mod parse;
mod rule;

pub use fault::{Column, RuleFault, Unread, UnreadLine};
pub use groups::Groups;
pub use lint::{Finding, Known, lint, lint_groups};
pub use rule::{Callers, Names, Rule};

/// Lines of one file.
pub const LINES_MAX: usize = 20_000;
/// Bytes of one line, as in the reference.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Regular expressions of one file: compiling them takes time and memory.
pub const PATTERNS_MAX: usize = 1_000;
/// Groups of the file of groups.
pub const GROUPS_MAX: usize = 10_000;

/// A policy file as read.
#[derive(Debug, Default)]
pub struct Policy {
    statements: Vec<Statement>,
    faults: Vec<UnreadLine>,
}

/// A line that says something.
#[derive(Debug)]
struct Statement {
    /// Counted from 1.
    line: usize,
    /// As written, its columns separated by single spaces.
    text: String,
    kind: StatementKind,
}

#[derive(Debug)]
enum StatementKind {
    Default { allow: bool },
    Rule(Box<Rule>),
}

/// One line as people see it: tabs become single spaces, so that it fits on a line of a log.
fn plain(line: &str) -> String {
    line.split('\t').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
