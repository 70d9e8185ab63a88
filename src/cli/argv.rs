//! Puts what was typed into the order and form that argh reads.
//!
//! argh matches whole words only: no `--x=v`, no `-Fv`, no `-vj`, no `--no-x`, and options must
//! stand before positionals. All of these are in use in scripts, so they are taken apart here:
//! the output is always `options… -- positionals…`. Options that every command understands
//! ([`Globals`]) are taken out wherever they stand.

use std::path::PathBuf;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use crate::cli::exit::Failure;
use crate::settings::Switches;
use crate::util::suggest;

/// Options that every command understands, at any place on its line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globals {
    /// `--config FILE`: the configuration file instead of the default ones.
    pub config: Option<PathBuf>,
    /// `--debug`: log everything.
    pub debug: bool,
    /// `--disable-tls`: plain connections; a laboratory setting.
    pub disable_tls: bool,
    /// `--disable-ssl-verification`: accept any certificate of the other side.
    pub disable_tls_verification: bool,
    /// `--help`
    pub help: bool,
    /// `--version`
    pub version: bool,
}

/// The switches of [`Globals`]; `--config` is the only one with a value.
const GLOBAL_SWITCHES: &[&str] =
    &["--debug", "--disable-tls", "--disable-ssl-verification", "--help", "--version", "-h"];
const GLOBAL_OPTIONS: &[&str] = &["--config"];

impl Globals {
    /// What these options switch off.
    pub fn switches(&self) -> Switches {
        Switches {
            disable_tls: self.disable_tls,
            disable_tls_verification: self.disable_tls_verification,
        }
    }

    fn set(&mut self, name: &str, on: bool) {
        match name {
            "--debug" => self.debug = on,
            "--disable-tls" => self.disable_tls = on,
            "--disable-ssl-verification" => self.disable_tls_verification = on,
            "--version" => self.version = on,
            _ => self.help = on,
        }
    }
}

/// The options of one command, as its argh structure describes them.
pub struct Grammar {
    info: CommandInfoWithArgs,
}

impl Grammar {
    /// The grammar of a command; the global options come on top.
    pub fn of(info: CommandInfoWithArgs) -> Self {
        Self { info }
    }

    /// The grammar in front of a command's name: the global options alone.
    pub fn globals_only() -> Self {
        Self { info: CommandInfoWithArgs::default() }
    }

    fn flags(&self) -> impl Iterator<Item = &'static FlagInfo<'static>> + use<'_> {
        self.info.flags.iter()
    }

    /// What `name` (with its dashes) is.
    fn find(&self, name: &str) -> Option<Found> {
        if GLOBAL_SWITCHES.contains(&name) && !self.owns(name) {
            return Some(Found::GlobalSwitch);
        }
        if GLOBAL_OPTIONS.contains(&name) {
            return Some(Found::GlobalOption);
        }
        self.flags().find(|flag| matches(flag, name)).map(|flag| match flag.kind {
            FlagInfoKind::Switch => Found::Switch(flag),
            FlagInfoKind::Option { .. } => Found::Option(flag),
        })
    }

    /// A command may use `-h` for itself.
    fn owns(&self, name: &str) -> bool {
        name == "-h" && self.flags().any(|flag| flag.short == Some('h'))
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.flags().filter(|flag| !flag.hidden).map(|flag| flag.long).chain([
            "--debug",
            "--config",
            "--help",
            "--version",
        ])
    }
}

fn matches(flag: &FlagInfo<'_>, name: &str) -> bool {
    flag.long == name
        || flag.short.is_some_and(|short| {
            name.strip_prefix('-').is_some_and(|rest| {
                let mut chars = rest.chars();
                chars.next() == Some(short) && chars.next().is_none()
            })
        })
}

enum Found {
    GlobalSwitch,
    GlobalOption,
    Switch(&'static FlagInfo<'static>),
    Option(&'static FlagInfo<'static>),
}

/// What was typed, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// Options with their values, in the order typed, in long form.
    pub options: Vec<String>,
    /// Everything else, in the order typed.
    pub positionals: Vec<String>,
}

impl Sorted {
    /// The line for argh.
    pub fn into_line(self) -> Vec<String> {
        let mut line = self.options;
        if !self.positionals.is_empty() {
            line.push("--".to_owned());
            line.extend(self.positionals);
        }
        line
    }

    fn switch(&mut self, flag: &FlagInfo<'_>, on: bool) {
        if flag.optionality != Optionality::Repeating {
            self.options.retain(|option| option != flag.long);
        }
        if on {
            self.options.push(flag.long.to_owned());
        }
    }
}

/// Sorts the words of a command's line.
pub fn sort(words: &[String], grammar: &Grammar, globals: &mut Globals) -> Result<Sorted, Failure> {
    let mut sorter =
        Sorter { grammar, globals, sorted: Sorted::default(), words: words.iter().peekable() };
    while let Some(word) = sorter.words.next() {
        if word == "--" {
            sorter.sorted.positionals.extend(sorter.words.by_ref().cloned());
        } else if word.starts_with("--") {
            sorter.long(word)?;
        } else if word.len() > 1 && word.starts_with('-') && !is_number(word, grammar) {
            sorter.shorts(word)?;
        } else {
            sorter.sorted.positionals.push(word.clone());
        }
    }
    Ok(sorter.sorted)
}

/// A negative number is a value, unless the command has an option of that name.
fn is_number(word: &str, grammar: &Grammar) -> bool {
    word.parse::<f64>().is_ok() && grammar.find(word).is_none()
}

/// Splits a line at its first word that is no option: the words before it and from it on.
/// Used to find the name of a command behind global options.
pub fn split_at_name<'w>(words: &'w [String], grammar: &Grammar) -> (&'w [String], &'w [String]) {
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if word == "--" || !word.starts_with('-') || word == "-" {
            break;
        }
        let takes_next = matches!(grammar.find(word), Some(Found::GlobalOption | Found::Option(_)));
        index += 1 + usize::from(takes_next);
    }
    words.split_at(index.min(words.len()))
}

struct Sorter<'a> {
    grammar: &'a Grammar,
    globals: &'a mut Globals,
    sorted: Sorted,
    words: std::iter::Peekable<std::slice::Iter<'a, String>>,
}

impl Sorter<'_> {
    fn long(&mut self, word: &str) -> Result<(), Failure> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if let Some(found) = self.grammar.find(name) {
            return self.apply(&found, name, value);
        }
        if let Some(positive) = name.strip_prefix("--no-") {
            let positive = format!("--{positive}");
            match self.grammar.find(&positive) {
                Some(Found::Switch(flag)) if value.is_none() => {
                    self.sorted.switch(flag, false);
                    return Ok(());
                }
                Some(Found::GlobalSwitch) if value.is_none() => {
                    self.globals.set(&positive, false);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(self.unknown(name))
    }

    /// `-v`, `-vj`, `-F value`, `-Fvalue`, `-vFvalue`, `-F=value`.
    fn shorts(&mut self, word: &str) -> Result<(), Failure> {
        let mut rest = &word[1..];
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            let name = format!("-{c}");
            let Some(found) = self.grammar.find(&name) else {
                return Err(self.unknown(if word.len() == 2 { word } else { &name }));
            };
            if matches!(found, Found::Option(_) | Found::GlobalOption) && !rest.is_empty() {
                let value = rest.strip_prefix('=').unwrap_or(rest);
                return self.apply(&found, &name, Some(value));
            }
            self.apply(&found, &name, None)?;
        }
        Ok(())
    }

    fn apply(&mut self, found: &Found, name: &str, value: Option<&str>) -> Result<(), Failure> {
        match found {
            Found::GlobalSwitch | Found::Switch(_) if value.is_some() => {
                return Err(Failure::new(format!("option {name} takes no value")));
            }
            Found::GlobalSwitch => self.globals.set(name, true),
            Found::Switch(flag) => self.sorted.switch(flag, true),
            Found::GlobalOption => {
                let value = self.value(name, value)?;
                self.globals.config = Some(PathBuf::from(value));
            }
            Found::Option(flag) => {
                let value = self.value(name, value)?;
                let again = self.sorted.options.iter().any(|option| option == flag.long);
                if again && flag.optionality != Optionality::Repeating {
                    return Err(Failure::new(format!("option {} is given twice", flag.long)));
                }
                self.sorted.options.extend([flag.long.to_owned(), value]);
            }
        }
        Ok(())
    }

    /// The value behind `=` or attached, else the next word unless that is an option itself.
    fn value(&mut self, name: &str, attached: Option<&str>) -> Result<String, Failure> {
        if let Some(value) = attached {
            return Ok(value.to_owned());
        }
        let grammar = self.grammar;
        self.words
            .next_if(|word| {
                let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
                *word != "--" && grammar.find(name).is_none()
            })
            .cloned()
            .ok_or_else(|| Failure::new(format!("option {name} needs a value")))
    }

    fn unknown(&self, name: &str) -> Failure {
        let failure = Failure::new(format!("unknown option {name}"));
        match suggest::nearest(name, self.grammar.names()) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argh::{ArgsInfo, FromArgs};

    #[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
    /// Tries all kinds of options.
    struct Line {
        /// a fact
        #[argh(option, short = 'F', long = "wf")]
        facts: Vec<String>,
        /// a limit
        #[argh(option)]
        limit: Option<String>,
        /// verbose
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// json
        #[argh(switch, short = 'j')]
        json: bool,
        /// words
        #[argh(positional, greedy)]
        words: Vec<String>,
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn sorted(line: &str) -> Result<(String, Globals), Failure> {
        let mut globals = Globals::default();
        let sorted = sort(&words(line), &Grammar::of(Line::get_args_info()), &mut globals)?;
        Ok((sorted.into_line().join(" "), globals))
    }

    #[test]
    fn every_form_in_use_is_understood() {
        let cases = [
            ("a b k=v", "-- a b k=v"),
            ("a b k=v -F os=x", "--wf os=x -- a b k=v"),
            ("--wf=os=x a", "--wf os=x -- a"),
            ("-Fos=x -F=os=y", "--wf os=x --wf os=y"),
            ("-vj a", "--verbose --json -- a"),
            ("-vFx=y a", "--verbose --wf x=y -- a"),
            ("-v --no-verbose a", "-- a"),
            ("--no-verbose -v", "--verbose"),
            ("-v -v", "--verbose"),
            ("a -- -v --json k=@x", "-- a -v --json k=@x"),
            ("- a", "-- - a"),
            ("--limit -1 a", "--limit -1 -- a"),
            ("-5 a", "-- -5 a"),
            ("--limit= a", "--limit  -- a"),
            ("help @file k=-v", "-- help @file k=-v"),
            ("-F !x a", "--wf !x -- a"),
        ];
        for (line, expected) in cases {
            assert_eq!(sorted(line).unwrap().0, expected, "{line}");
        }
    }

    #[test]
    fn argh_reads_what_comes_out() {
        let mut globals = Globals::default();
        let grammar = Grammar::of(Line::get_args_info());
        let line = sort(&words("help b -vFx=y k=v --limit=5 -- -j"), &grammar, &mut globals)
            .unwrap()
            .into_line();
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let read = Line::from_args(&["choria"], &line).unwrap();
        assert_eq!(read.words, ["help", "b", "k=v", "-j"]);
        assert_eq!(read.facts, ["x=y"]);
        assert_eq!(read.limit.as_deref(), Some("5"));
        assert!(read.verbose && !read.json);
    }

    #[test]
    fn global_options_are_taken_out_anywhere() {
        let (line, globals) = sorted("a --config=/x --debug b --no-debug -h").unwrap();
        assert_eq!(line, "-- a b");
        let expected = Globals { config: Some("/x".into()), help: true, ..Globals::default() };
        assert_eq!(globals, expected);
    }

    #[test]
    fn usage_errors_name_the_option() {
        let cases = [
            ("--verbos", "unknown option --verbos", Some("did you mean --verbose?")),
            ("--no-limit", "unknown option --no-limit", Some("did you mean --limit?")),
            ("-x", "unknown option -x", None),
            ("-vx", "unknown option -x", None),
            ("--limit", "option --limit needs a value", None),
            ("--limit --json", "option --limit needs a value", None),
            ("--limit --json=x", "option --limit needs a value", None),
            ("--limit 1 --limit 2", "option --limit is given twice", None),
            ("--json=yes", "option --json takes no value", None),
            ("--config", "option --config needs a value", None),
        ];
        for (line, message, hint) in cases {
            let failure = sorted(line).unwrap_err();
            assert_eq!(failure.message, message, "{line}");
            assert_eq!(failure.hints.first().map(String::as_str), hint, "{line}");
        }
    }

    #[test]
    fn the_name_of_a_command_is_found_behind_global_options() {
        let cases = [
            ("rpc a -v", 0),
            ("--debug rpc a", 1),
            ("--config f rpc", 2),
            ("--config=f rpc", 1),
            ("--debug", 1),
        ];
        for (line, at) in cases {
            let words = words(line);
            let (before, after) = split_at_name(&words, &Grammar::globals_only());
            assert_eq!((before.len(), after.len()), (at, words.len() - at), "{line}");
        }
    }
}
