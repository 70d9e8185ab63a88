//! `choria tool`: looking at a configuration and at the state of a server.

mod config;
mod status;

use crate::cli::command::Command;

/// The commands of the group.
pub static COMMANDS: &[Command] = &[
    Command::new::<config::ShowConfig>("config", &[]),
    Command::new::<status::CheckStatus>("status", &[]),
];
