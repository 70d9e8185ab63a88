//! `choria policy`: looking at policies before they bite.

mod check;
mod fleet;
mod local;
mod report;
mod test;

use crate::cli::command::Command;

/// The commands of the group.
pub static COMMANDS: &[Command] =
    &[Command::new::<check::Check>("check", &[]), Command::new::<test::Test>("test", &[])];
