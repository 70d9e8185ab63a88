//! Help texts, from the same descriptions that read the command line.

use std::fmt::Write;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use crate::cli::command::{Command, Kind};

/// Lines are broken before this column.
const WIDTH: usize = 90;
/// Names of options and commands get this many columns.
const NAME_WIDTH: usize = 26;

/// What every command understands, as it is shown.
pub const GLOBAL_OPTIONS: &[(&str, &str)] = &[
    ("    --config FILE", "the configuration file instead of the default ones"),
    ("    --debug", "log everything"),
    ("-h, --help", "show this text"),
    ("    --version", "show the version"),
];

/// The help of a whole group of commands; `name` is its full name.
pub fn group(name: &str, summary: &str, commands: &[Command]) -> String {
    let mut text =
        format!("{summary}\n\nUsage: {name} COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n");
    text.push_str(&list(commands));
    options(&mut text, "Options for every command", GLOBAL_OPTIONS.iter().copied());
    let _ = write!(text, "\nSee {name} COMMAND --help for the options of a command.\n");
    text
}

/// The commands of a group, one a line.
pub fn list(commands: &[Command]) -> String {
    let mut text = String::new();
    for command in commands.iter().filter(|command| !command.hidden) {
        entry(&mut text, command.name, &command.summary());
    }
    text
}

/// The help of one command; `name` is its full name.
pub fn leaf(name: &str, info: &CommandInfoWithArgs, aliases: &[&str]) -> String {
    let mut text = String::new();
    for line in wrap(info.description, WIDTH) {
        let _ = writeln!(text, "{line}");
    }
    let _ = write!(text, "\nUsage: {}\n", usage(name, info));
    if !aliases.is_empty() {
        let _ = writeln!(text, "Other names: {}", aliases.join(", "));
    }
    let positionals: Vec<_> = info
        .positionals
        .iter()
        .filter(|p| !p.hidden && !p.description.is_empty())
        .map(|p| (p.name.to_owned(), p.description))
        .collect();
    options(&mut text, "Arguments", positionals.iter().map(|(n, d)| (n.as_str(), *d)));
    let flags: Vec<_> = own_flags(info).map(|flag| (flag_name(flag), flag.description)).collect();
    options(&mut text, "Options", flags.iter().map(|(n, d)| (n.as_str(), *d)));
    options(&mut text, "Options for every command", GLOBAL_OPTIONS.iter().copied());
    let mut examples = examples(name, info).peekable();
    if examples.peek().is_some() {
        text.push_str("\nExamples:\n");
        for example in examples {
            let _ = writeln!(text, "  {}", example.line);
        }
    }
    for note in info.notes {
        let _ = writeln!(text);
        for line in note.lines().flat_map(|line| wrap(line, WIDTH)) {
            let _ = writeln!(text, "{}", line.replace("{command_name}", name));
        }
    }
    text
}

/// A line that shows how a command is used.
pub struct Example {
    /// What is typed.
    pub line: String,
    /// Whether a test runs it in a demo network.
    pub is_runnable: bool,
}

/// The examples of a command of this full name. One that begins with `[runnable]` is run by a test.
pub fn examples(name: &str, info: &CommandInfoWithArgs) -> impl Iterator<Item = Example> {
    info.examples.iter().flat_map(|example| example.lines()).map(move |line| {
        let runnable = line.trim().strip_prefix("[runnable]");
        let line = runnable.unwrap_or(line).replace("{command_name}", name);
        Example { line: line.trim().to_owned(), is_runnable: runnable.is_some() }
    })
}

/// The names by which the child of a group is known, for suggestions.
pub fn names(commands: &[Command]) -> impl Iterator<Item = &'static str> + use<'_> {
    commands
        .iter()
        .filter(|command| !command.hidden)
        .flat_map(|command| command.aliases.iter().copied().chain([command.name]))
}

/// One line that shows how a command is written.
pub fn usage(name: &str, info: &CommandInfoWithArgs) -> String {
    let mut line = name.to_owned();
    if own_flags(info).next().is_some() {
        line.push_str(" [OPTIONS]");
    }
    for flag in own_flags(info).filter(|f| f.optionality == Optionality::Required) {
        if let FlagInfoKind::Option { arg_name } = flag.kind {
            let _ = write!(line, " {} {}", flag.long, value_name(arg_name));
        }
    }
    for positional in info.positionals.iter().filter(|p| !p.hidden) {
        let name = positional.name;
        let _ = match positional.optionality {
            Optionality::Required => write!(line, " <{name}>"),
            Optionality::Optional => write!(line, " [{name}]"),
            Optionality::Repeating | Optionality::Greedy => write!(line, " [{name}]..."),
        };
    }
    line
}

/// The options of a command that are shown.
pub fn own_flags(
    info: &CommandInfoWithArgs,
) -> impl Iterator<Item = &'static FlagInfo<'static>> + use<> {
    info.flags.iter().filter(|flag| !flag.hidden && flag.long != "--help")
}

fn flag_name(flag: &FlagInfo<'_>) -> String {
    let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    match flag.kind {
        FlagInfoKind::Switch => format!("{short}{}", flag.long),
        FlagInfoKind::Option { arg_name } => {
            format!("{short}{} {}", flag.long, value_name(arg_name))
        }
    }
}

/// How the value of an option is written: a name in capital letters, or the words it may be, as they are.
pub fn value_name(name: &str) -> String {
    if values(name).is_some() { name.to_owned() } else { name.to_uppercase() }
}

/// The words that the value of an option may be, when its name lists them: `any|all|none`.
pub fn values(name: &str) -> Option<impl Iterator<Item = &str>> {
    name.contains('|').then(|| name.split('|'))
}

fn options<'a>(text: &mut String, title: &str, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut entries = entries.peekable();
    if entries.peek().is_none() {
        return;
    }
    let _ = write!(text, "\n{title}:\n");
    for (name, description) in entries {
        entry(text, name, description);
    }
}

fn entry(text: &mut String, name: &str, description: &str) {
    let mut lines = wrap(description, WIDTH - NAME_WIDTH - 4).into_iter();
    let first = if name.chars().count() > NAME_WIDTH {
        let _ = writeln!(text, "  {name}");
        format!("  {:NAME_WIDTH$}  ", "")
    } else {
        format!("  {name:NAME_WIDTH$}  ")
    };
    let _ = writeln!(text, "{}", format!("{first}{}", lines.next().unwrap_or_default()).trim_end());
    for line in lines {
        let _ = writeln!(text, "  {:NAME_WIDTH$}  {line}", "");
    }
}

/// Breaks a text into lines of at most `width` characters where it has spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        // There is always a last line: the vector starts with one and only grows.
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The help of a command or group; `name` is its full name.
pub fn of(name: &str, command: &Command) -> String {
    match &command.kind {
        Kind::Leaf(found) => leaf(name, &(found.info)(), command.aliases),
        Kind::Group { summary, commands, .. } => group(name, summary, commands),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argh::{ArgsInfo, FromArgs};

    #[derive(FromArgs, ArgsInfo)]
    #[argh(description = "Does a thing.", example = "{command_name} now --limit 5")]
    #[expect(dead_code, reason = "only its description is read")]
    struct Thing {
        /// at most this many
        #[argh(option, short = 'l', arg_name = "count")]
        limit: Option<u32>,
        /// not shown
        #[argh(switch, hidden_help)]
        secret: bool,
        /// when to do it
        #[argh(positional)]
        when: String,
    }

    #[test]
    fn the_help_of_a_command_shows_what_can_be_typed() {
        let text = leaf("choria thing", &Thing::get_args_info(), &["t"]);
        let expected = "\
Does a thing.

Usage: choria thing [OPTIONS] <when>
Other names: t

Arguments:
  when                        when to do it

Options:
  -l, --limit COUNT           at most this many

Options for every command:
      --config FILE           the configuration file instead of the default ones
      --debug                 log everything
  -h, --help                  show this text
      --version               show the version

Examples:
  choria thing now --limit 5
";
        assert_eq!(text, expected);
    }

    #[test]
    fn long_texts_are_wrapped() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
