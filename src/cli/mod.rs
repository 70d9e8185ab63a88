//! Everything a person at a terminal sees; nothing imports it.
//!
//! [`main`] finds the command in the table [`COMMANDS`], lets [`argv`] sort what was typed, and
//! turns the result into an exit code. Each command is one file with an argh structure that
//! implements [`command::Subcommand`].

mod adapt;
pub mod argv;
mod broker;
mod ca;
pub mod changes;
mod command;
mod completion;
pub mod context;
mod daemon;
mod demo;
mod enroll;
pub mod exit;
mod expiry;
pub mod facts;
mod federate;
pub mod filters;
pub mod find;
mod help;
pub mod inventory;
mod join;
mod jwt;
mod loading;
mod login;
mod manager;
mod manual;
pub mod nodes;
pub mod ping;
mod policy;
mod private;
mod prompt;
pub mod render;
mod roles;
pub mod rpc;
mod rpcutil;
mod server;
pub mod session;
mod terminal;
mod tool;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use argv::{Globals, Grammar};
use command::{Command, Kind, Leaf};
use context::Context;
use exit::{Exit, Failure};

use crate::policy::rego;
use crate::util::suggest;

/// What `--version` shows.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const SUMMARY: &str =
    "Choria orchestrates fleets of servers: this is its broker, its server and its client.";

/// Every command, in the order of the help text.
static COMMANDS: &[Command] = &[
    Command::new::<rpc::options::Rpc>("rpc", &["req", "request"]),
    Command::new::<ping::Ping>("ping", &[]),
    Command::new::<find::Find>("find", &["discover"]),
    Command::new::<facts::Facts>("facts", &[]),
    Command::new::<inventory::Inventory>("inventory", &[]),
    Command::new::<demo::Demo>("demo", &[]),
    Command::group(
        "server",
        &["s"],
        "Run the process on a managed node",
        server::COMMANDS,
        Some("run"),
    ),
    Command::group("broker", &["b"], "Run the message router", broker::COMMANDS, Some("run")),
    Command::group(
        "federate",
        &["federation"],
        "Run a federation broker, or look at the way of a request",
        federate::COMMANDS,
        Some("run"),
    ),
    Command::new::<adapt::Adapt>("adapt", &[]),
    Command::new::<enroll::Enroll>("enroll", &[]),
    Command::group("ca", &[], "Run a certificate authority of one's own", ca::COMMANDS, None),
    Command::new::<login::LogIn>("login", &[]),
    Command::group("jwt", &[], "Make tokens and look at them", jwt::COMMANDS, Some("view")),
    Command::group(
        "policy",
        &[],
        "Look for mistakes in policies and ask what they say",
        policy::COMMANDS,
        None,
    ),
    Command::group(
        "tool",
        &["t"],
        "Look at a configuration and at the state of a server; print the manual and completions",
        tool::COMMANDS,
        None,
    ),
];

/// The examples of all commands that are marked as runnable, in the order of the help text, for the test that runs them.
pub fn runnable_examples() -> Vec<String> {
    let mut found = Vec::new();
    for command in COMMANDS {
        let name = format!("choria {}", command.name);
        match &command.kind {
            Kind::Leaf(leaf) => found.push((name, leaf)),
            Kind::Group { commands, .. } => {
                found.extend(commands.iter().filter_map(|command| match &command.kind {
                    Kind::Leaf(leaf) => Some((format!("{name} {}", command.name), leaf)),
                    Kind::Group { .. } => None,
                }));
            }
        }
    }
    let examples = found.iter().flat_map(|(name, leaf)| {
        let examples: Vec<_> = help::examples(name, &(leaf.info)()).collect();
        examples
    });
    examples.filter(|example| example.is_runnable).map(|example| example.line).collect()
}

/// Runs the program with the words behind its name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    if words.len() == 1 && words.iter().all(|word| word == rego::EVALUATE) {
        return rego::evaluate_for_parent();
    }
    let result = read(words).and_then(run);
    let exit = match result {
        Ok(exit) => exit,
        Err(failure) => {
            // Nobody is left to tell when standard error is gone.
            let _ = io::stderr().write_all(failure.report().as_bytes());
            failure.outcome()
        }
    };
    let _ = io::stdout().flush();
    ExitCode::from(exit.code())
}

/// Our options are text; a word that is not cannot be one of them.
fn read(words: Vec<OsString>) -> Result<Vec<String>, Failure> {
    words
        .into_iter()
        .map(|word| {
            word.into_string()
                .map_err(|word| Failure::new(format!("argument {word:?} is not valid UTF-8 text")))
        })
        .collect()
}

fn run(words: Vec<String>) -> Result<Exit, Failure> {
    let mut globals = Globals::default();
    let top =
        Place { name: "choria".to_owned(), commands: COMMANDS, default: None, summary: SUMMARY };
    top.run(&words, &mut globals)
}

/// A group that is being looked into for the command that was typed.
struct Place {
    name: String,
    summary: &'static str,
    commands: &'static [Command],
    default: Option<&'static str>,
}

impl Place {
    fn run(&self, words: &[String], globals: &mut Globals) -> Result<Exit, Failure> {
        let default = self.default.and_then(|name| self.find(name));
        let grammar = match default.map(|command| &command.kind) {
            Some(Kind::Leaf(leaf)) => Grammar::of((leaf.info)()),
            _ => Grammar::globals_only(),
        };
        let (before, after) = argv::split_at_name(words, &grammar);
        let Some(word) = after.first() else {
            return self.run_default(default, words, globals);
        };
        if word == "help" {
            globals.help = true;
            return self.run(&[before, &after[1..]].concat(), globals);
        }
        let Some(command) = self.find(word) else {
            return match default {
                // `choria jwt alice.jwt`: the command that is meant when none is named takes a file.
                Some(command) if command.takes_files() && Path::new(word).exists() => {
                    self.run_default(default, words, globals)
                }
                _ => Err(self.unknown(word)),
            };
        };
        let rest = [before, &after[1..]].concat();
        let name = format!("{} {}", self.name, command.name);
        match &command.kind {
            Kind::Leaf(leaf) => execute(&name, command, leaf, &rest, globals),
            Kind::Group { summary, commands, default } => {
                Place { name, summary, commands, default: *default }.run(&rest, globals)
            }
        }
    }

    /// Only options were typed.
    fn run_default(
        &self,
        default: Option<&Command>,
        words: &[String],
        globals: &mut Globals,
    ) -> Result<Exit, Failure> {
        if let Some(command) = default
            && let Kind::Leaf(leaf) = &command.kind
        {
            let name = format!("{} {}", self.name, command.name);
            let wants_group_help = globals.help;
            if !wants_group_help {
                return execute(&name, command, leaf, words, globals);
            }
        }
        argv::sort(words, &Grammar::globals_only(), globals)?;
        if globals.version {
            return version();
        }
        if globals.help {
            return print(&help::group(&self.name, self.summary, self.commands));
        }
        let message = format!("a command is missing; the commands of {} are", self.name);
        Err(Failure::new(format!("{message}:\n{}", help::list(self.commands))))
    }

    fn find(&self, name: &str) -> Option<&'static Command> {
        self.commands.iter().find(|command| command.is(name))
    }

    fn unknown(&self, word: &str) -> Failure {
        let failure = Failure::new(format!("unknown command '{word}'"));
        match suggest::nearest(word, help::names(self.commands)) {
            Some(near) => failure.hint(format!("did you mean {} {near}?", self.name)),
            None => failure.hint(format!("{} --help lists the commands", self.name)),
        }
    }
}

fn execute(
    name: &str,
    command: &Command,
    leaf: &Leaf,
    words: &[String],
    globals: &mut Globals,
) -> Result<Exit, Failure> {
    let info = (leaf.info)();
    let usage = help::usage(name, &info);
    let sorted = argv::sort(words, &Grammar::of(info), globals)
        .map_err(|failure| failure.hint(format!("usage: {usage}")))?;
    if globals.version {
        return version();
    }
    if globals.help && sorted.positionals.is_empty() {
        return print(&help::of(name, command));
    }
    let context = Context::new(globals.clone())?;
    if globals.help {
        let special = (leaf.help)(&sorted.positionals, &context)?;
        return print(&special.unwrap_or_else(|| help::of(name, command)));
    }
    let line = sorted.into_line();
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let running = (leaf.start)(&name.split(' ').collect::<Vec<_>>(), &line, &context)?;
    context.block_on(running)
}

fn version() -> Result<Exit, Failure> {
    print(&format!("{VERSION}\n"))
}

fn print(text: &str) -> Result<Exit, Failure> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}
