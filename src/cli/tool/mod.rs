//! `choria tool`: looking at a configuration and at the state of a server, and what packages are made with.

mod check;
mod complete;
mod config;
mod manual;
mod status;

use crate::cli::command::Command;

/// The commands of the group.
pub static COMMANDS: &[Command] = &[
    Command::new::<config::ShowConfig>("config", &[]),
    Command::new::<status::CheckStatus>("status", &[]),
    Command::new::<complete::PrintScript>("completion", &[]),
    Command::new::<complete::Complete>("complete", &[]).hidden(),
    Command::new::<manual::WriteManual>("manual", &[]),
];
