//! What may stand at a place of the command line, from the table that reads it. Shells ask by
//! `choria tool complete`; their scripts stand beside this file.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use crate::cli::command::{Command, Kind};
use crate::cli::help;
use crate::ddl::builtin;

/// Something that may stand at the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    /// A word, and what it means.
    Word(String, String),
    /// The names of files.
    Files,
    /// The names of folders.
    Folders,
}

impl Candidate {
    /// As the scripts read it: a word, a tab and a description, or a tab and what the shell shall look for.
    pub fn to_line(&self) -> String {
        match self {
            Self::Word(word, description) => format!("{word}\t{description}"),
            Self::Files => "\tfiles".to_owned(),
            Self::Folders => "\tfolders".to_owned(),
        }
    }

    fn fits(&self, beginning: &str) -> bool {
        match self {
            Self::Word(word, _) => word.starts_with(beginning),
            Self::Files | Self::Folders => true,
        }
    }
}

/// What may stand in the place of the last word, which may be empty. The words are those behind the name of the program.
pub fn complete(commands: &'static [Command], words: &[&str]) -> Vec<Candidate> {
    let (current, before) = words.split_last().unwrap_or((&"", &[]));
    let mut place = Place::new(commands);
    for word in before {
        place.pass(word);
    }
    // Bash makes `--limit=5` three words.
    let current = if *current == "=" { "" } else { current };
    let mut found = place.candidates(current);
    found.retain(|candidate| candidate.fits(current));
    found
}

/// Where on the line we are.
struct Place {
    /// The commands of a group that may follow.
    commands: &'static [Command],
    /// The options of the command, or of the one that stands for the group.
    info: CommandInfoWithArgs,
    /// The name of the command, when it is no group.
    command: Option<&'static str>,
    /// What the option just typed takes.
    value: Option<&'static str>,
    /// Options that need not be offered again.
    used: Vec<&'static str>,
    /// Words that are no options.
    positionals: Vec<String>,
    is_behind_dashes: bool,
}

impl Place {
    fn new(commands: &'static [Command]) -> Self {
        Self {
            commands,
            info: CommandInfoWithArgs::default(),
            command: None,
            value: None,
            used: Vec::new(),
            positionals: Vec::new(),
            is_behind_dashes: false,
        }
    }

    /// Goes past a word.
    fn pass(&mut self, word: &str) {
        if self.value.is_some() {
            // Behind `=` the value is still to come.
            if word != "=" {
                self.value = None;
            }
        } else if word == "--" && !self.is_behind_dashes {
            self.is_behind_dashes = true;
        } else if word.starts_with('-') && word.len() > 1 && !self.is_behind_dashes {
            self.pass_option(word);
        } else if !self.descend(word) {
            self.positionals.push(word.to_owned());
        }
    }

    fn pass_option(&mut self, word: &str) {
        let (name, is_complete) = match word.split_once('=') {
            Some((name, _)) => (name, true),
            None => (word, false),
        };
        if let Some(flag) = self.flags().find(|flag| is(flag, name)) {
            if flag.optionality != Optionality::Repeating {
                self.used.push(flag.long);
            }
            if let FlagInfoKind::Option { arg_name } = flag.kind {
                self.value = Some(arg_name).filter(|_| !is_complete);
            }
        } else if name == "--config" && !is_complete {
            self.value = Some("file");
        }
    }

    /// Goes into a command.
    fn descend(&mut self, word: &str) -> bool {
        let Some(command) = self.commands.iter().find(|command| command.is(word)) else {
            return false;
        };
        self.commands = &[];
        match &command.kind {
            Kind::Leaf(leaf) => {
                self.info = (leaf.info)();
                self.command = Some(command.name);
            }
            Kind::Group { commands, default, .. } => {
                self.commands = commands;
                let default = commands.iter().find(|command| Some(command.name) == *default);
                if let Some(Command { kind: Kind::Leaf(leaf), .. }) = default {
                    self.info = (leaf.info)();
                }
            }
        }
        true
    }

    fn flags(&self) -> impl Iterator<Item = &'static FlagInfo<'static>> + use<> {
        help::own_flags(&self.info)
    }

    fn candidates(&self, current: &str) -> Vec<Candidate> {
        if let Some(value) = self.value {
            return values(value, "");
        }
        if let Some((name, _)) = current.split_once('=').filter(|_| self.is_option(current)) {
            let flag = self.flags().find(|flag| is(flag, name));
            return match flag.map(|flag| &flag.kind) {
                Some(FlagInfoKind::Option { arg_name }) => values(arg_name, &format!("{name}=")),
                _ => Vec::new(),
            };
        }
        if self.is_option(current) {
            return self.options();
        }
        let mut found: Vec<_> = self
            .commands
            .iter()
            .filter(|command| !command.hidden)
            .map(|command| Candidate::Word(command.name.to_owned(), command.summary()))
            .collect();
        found.extend(self.positional());
        if found.is_empty() && current.is_empty() && !self.is_behind_dashes && !self.has_free_word()
        {
            found = self.options();
        }
        found
    }

    fn is_option(&self, current: &str) -> bool {
        current.starts_with('-') && !self.is_behind_dashes
    }

    fn options(&self) -> Vec<Candidate> {
        let own = self.flags().filter(|flag| !self.used.contains(&flag.long));
        let own = own.map(|flag| (flag.long, flag.description));
        let global = help::GLOBAL_OPTIONS.iter().filter_map(|(name, description)| {
            let long = name.split_whitespace().find(|word| word.starts_with("--"))?;
            Some((long, *description))
        });
        own.chain(global)
            .map(|(name, text)| Candidate::Word(name.to_owned(), text.to_owned()))
            .collect()
    }

    /// The next word that is no option.
    fn positional(&self) -> Vec<Candidate> {
        if self.command == Some("rpc") {
            return self.agents_and_actions();
        }
        let all = &self.info.positionals;
        let at = self.positionals.len().min(all.len().saturating_sub(1));
        let Some(positional) = all.get(at) else { return Vec::new() };
        let is_over = self.positionals.len() > at
            && !matches!(positional.optionality, Optionality::Greedy | Optionality::Repeating);
        if is_over { Vec::new() } else { values(positional.name, "") }
    }

    /// Whether a word that nobody can guess may stand here.
    fn has_free_word(&self) -> bool {
        let all = &self.info.positionals;
        all.len() > self.positionals.len()
            || all.last().is_some_and(|last| {
                matches!(last.optionality, Optionality::Greedy | Optionality::Repeating)
            })
    }

    /// What this program has a description of. Others lie in folders that the configuration names, which is not read.
    fn agents_and_actions(&self) -> Vec<Candidate> {
        let agents = builtin::names().filter_map(builtin::agent);
        let word = |name: &str, text: &str| Candidate::Word(name.to_owned(), text.to_owned());
        match self.positionals.as_slice() {
            [] => agents
                .map(|agent| word(&agent.metadata.name, &agent.metadata.description))
                .collect(),
            [name] => agents
                .filter(|agent| agent.metadata.name == *name)
                .flat_map(|agent| &agent.actions)
                .map(|action| word(&action.name, &action.description))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Whether an option has this name.
fn is(flag: &FlagInfo<'_>, name: &str) -> bool {
    flag.long == name || flag.short.is_some_and(|short| name == format!("-{short}"))
}

/// Names of values that are files.
const FILES: &[&str] = &["file", "key", "public", "public_key", "seed_file", "signing_key"];
/// Names of values that are folders.
const FOLDERS: &[&str] = &["folder"];

/// What a value of this name may be; `before` is what stands before it in the same word.
fn values(name: &str, before: &str) -> Vec<Candidate> {
    match help::values(name) {
        Some(words) => {
            words.map(|word| Candidate::Word(format!("{before}{word}"), String::new())).collect()
        }
        // Shells complete files behind `=` by themselves, or not at all.
        None if !before.is_empty() => Vec::new(),
        None if FILES.contains(&name) => vec![Candidate::Files],
        None if FOLDERS.contains(&name) => vec![Candidate::Folders],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
