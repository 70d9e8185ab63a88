//! One command of the table: its names, its options, how it is run.

use std::pin::Pin;

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};

/// Implemented by the argh structure of a command: what was typed, and what it does.
pub trait Subcommand: FromArgs + ArgsInfo + 'static {
    /// Does it. Data goes to standard output, everything else to standard error.
    fn run(self, context: &Context) -> impl Future<Output = Result<Exit, Failure>>;

    /// Help about what stands on the line in front of `--help`, when there is more to say about it than
    /// about the command. Only asked when something stands there.
    ///
    /// # Errors
    /// When what stands there does not exist.
    fn help_about(_positionals: &[String], _context: &Context) -> Result<Option<String>, Failure> {
        Ok(None)
    }
}

/// A command under way.
pub type Running<'c> = Pin<Box<dyn Future<Output = Result<Exit, Failure>> + 'c>>;

/// Reads a sorted line (second) for a command of a full name (first) and starts it.
pub type Start = for<'c> fn(&[&str], &[&str], &'c Context) -> Result<Running<'c>, Failure>;

/// Help about the positionals of a line, if there is any.
pub type HelpAbout = fn(&[String], &Context) -> Result<Option<String>, Failure>;

/// An entry of the command table.
pub struct Command {
    /// The name in help and manual.
    pub name: &'static str,
    /// Other names that are understood as well.
    pub aliases: &'static [&'static str],
    /// Left out of the list of commands.
    pub hidden: bool,
    /// What it is: a command or a group of them.
    pub kind: Kind,
}

/// A command, or a group of commands.
pub enum Kind {
    /// Does something.
    Leaf(Leaf),
    /// Holds commands; one of them may stand for the group when none is named.
    Group {
        /// One line for the list of commands.
        summary: &'static str,
        /// The commands of the group.
        commands: &'static [Command],
        /// The name of the one that is meant when none is named.
        default: Option<&'static str>,
    },
}

/// The functions of a command, taken from its [`Subcommand`].
pub struct Leaf {
    /// Its options.
    pub info: fn() -> CommandInfoWithArgs,
    /// Reads the sorted line and starts it; the first parameter is the full name.
    pub start: Start,
    /// [`Subcommand::help_about`].
    pub help: HelpAbout,
}

impl Command {
    /// A command that is run by `C`.
    pub const fn new<C: Subcommand>(name: &'static str, aliases: &'static [&'static str]) -> Self {
        let leaf = Leaf { info: C::get_args_info, start: start::<C>, help: C::help_about };
        Self { name, aliases, hidden: false, kind: Kind::Leaf(leaf) }
    }

    /// A group of commands.
    pub const fn group(
        name: &'static str,
        aliases: &'static [&'static str],
        summary: &'static str,
        commands: &'static [Command],
        default: Option<&'static str>,
    ) -> Self {
        let kind = Kind::Group { summary, commands, default };
        Self { name, aliases, hidden: false, kind }
    }

    /// The same, left out of the list of commands.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Whether `name` means this command.
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// Whether words that are no options stand behind it.
    pub fn takes_files(&self) -> bool {
        matches!(&self.kind, Kind::Leaf(leaf) if !(leaf.info)().positionals.is_empty())
    }

    /// One line about it: the first sentence of its description.
    pub fn summary(&self) -> String {
        match &self.kind {
            Kind::Group { summary, .. } => (*summary).to_owned(),
            Kind::Leaf(leaf) => {
                let text = (leaf.info)().description;
                let end = text.find(". ").map_or(text.len(), |at| at + 1);
                text[..end].trim().trim_end_matches('.').to_owned()
            }
        }
    }
}

fn start<'c, C: Subcommand>(
    name: &[&str],
    line: &[&str],
    context: &'c Context,
) -> Result<Running<'c>, Failure> {
    let command = C::from_args(name, line).map_err(|early| {
        // argh writes sentences for a person; ours start in lower case and have one line.
        let text = early.output.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut chars = text.chars();
        let first = chars.next().map(|c| c.to_ascii_lowercase());
        let message: String = first.into_iter().chain(chars).collect();
        Failure::new(message.trim_end_matches('.')).hint(format!("see {} --help", name.join(" ")))
    })?;
    Ok(Box::pin(command.run(context)))
}
