//! The pages of commands.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};

use super::about::{About, about, configuration_page, files, is_of_adapters, lower, variables};
use super::roff::{Roff, bold, italic};
use super::{Page, begin, end, markup, see_also, sentence};
use crate::cli::command::{Command, Kind};
use crate::cli::exit::Exit;
use crate::cli::help;
use crate::config::Role;

const EVERYBODY: &[Role] = &[Role::Client, Role::Server, Role::Broker];

/// A command that does something, with its full name.
struct Doer {
    name: String,
    /// The name without the word that may be left out.
    short: Option<String>,
    aliases: &'static [&'static str],
    info: CommandInfoWithArgs,
}

/// The page of the program.
pub fn program(summary: &str, all: &'static [Command]) -> Page {
    let mut page = begin("choria", '1', "orchestrate fleets of servers");
    page.heading("SYNOPSIS");
    page.synopsis(&format!(
        "{} {} {}",
        bold("choria"),
        italic("COMMAND"),
        "[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]"
    ));
    page.heading("DESCRIPTION");
    page.paragraph(summary);
    let text = include_str!("texts/choria.md");
    let (description, sections) = text.split_at(text.find("\n# ").map_or(text.len(), |at| at + 1));
    markup::write(description, &mut page);
    page.heading("COMMANDS");
    for command in all.iter().filter(|command| !command.hidden) {
        let mut text = format!("{}. See choria-{}(1).", command.summary(), command.name);
        if !command.aliases.is_empty() {
            text.push_str(&format!(" Other names: {}.", command.aliases.join(", ")));
        }
        page.item(&bold(command.name), &text);
    }
    global_options(&mut page);
    markup::write(sections, &mut page);
    page.heading("EXIT STATUS");
    for same in Exit::ALL.chunk_by(|one, other| one.code() == other.code()) {
        let meanings: Vec<_> = same.iter().map(|exit| exit.meaning()).collect();
        page.item(&bold(&same[0].code().to_string()), &format!("{}.", meanings.join(". ")));
    }
    environment(&mut page, EVERYBODY, false);
    file_list(&mut page, EVERYBODY);
    let commands = all.iter().filter(|command| !command.hidden);
    let mut pages: Vec<_> = commands.map(|command| format!("choria-{}(1)", command.name)).collect();
    pages.sort();
    pages.extend(
        [Role::Broker, Role::Client, Role::Server].map(|role| configuration_page(role).to_owned()),
    );
    pages.push("choria-security(7)".to_owned());
    see_also(&mut page, &pages);
    end("choria", '1', page)
}

/// The page of a command or of a group of them.
pub fn command(command: &'static Command) -> Page {
    let name = format!("choria-{}", command.name);
    let about = about(command.name);
    let (description, sections) = about.map_or(("", ""), About::parts);
    let roles = about.map_or(&[][..], |about| about.roles);
    let doers = doers(command);
    let mut page = begin(&name, '1', &lower(&command.summary()));
    page.heading("SYNOPSIS");
    doers.iter().for_each(|doer| page.synopsis(&synopsis(doer)));
    page.heading("DESCRIPTION");
    match doers.as_slice() {
        [only] if only.short.is_none() => say(&mut page, only),
        _ => page.paragraph(&format!("{}.", command.summary())),
    }
    other_names(&mut page, &format!("choria {}", command.name), command.aliases);
    markup::write(description, &mut page);
    match doers.as_slice() {
        [only] if only.short.is_none() => {
            if help::own_flags(&only.info).next().is_some() || !only.info.positionals.is_empty() {
                page.heading("OPTIONS");
                options(&mut page, only);
            }
        }
        several => {
            page.heading("COMMANDS");
            for doer in several {
                page.subheading(&doer.name);
                say(&mut page, doer);
                other_names(&mut page, &doer.name, doer.aliases);
                options(&mut page, doer);
            }
        }
    }
    global_options(&mut page);
    markup::write(sections, &mut page);
    exit_status(&mut page, &doers);
    environment(&mut page, roles, command.name == "adapt");
    file_list(&mut page, roles);
    examples(&mut page, &doers);
    let mut pages = vec!["choria(1)".to_owned()];
    pages.extend(about.iter().flat_map(|about| about.related).map(|page| (*page).to_owned()));
    pages.extend(roles.iter().map(|role| configuration_page(*role).to_owned()));
    pages.push("choria-security(7)".to_owned());
    see_also(&mut page, &pages);
    end(&name, '1', page)
}

fn doers(command: &'static Command) -> Vec<Doer> {
    let name = format!("choria {}", command.name);
    match &command.kind {
        Kind::Leaf(leaf) => {
            vec![Doer { name, short: None, aliases: &[], info: (leaf.info)() }]
        }
        Kind::Group { commands, default, .. } => {
            let shown = commands.iter().filter(|command| !command.hidden);
            let doer = |command: &'static Command| {
                let Kind::Leaf(leaf) = &command.kind else { return None };
                Some(Doer {
                    name: format!("{name} {}", command.name),
                    short: (*default == Some(command.name)).then(|| name.clone()),
                    aliases: command.aliases,
                    info: (leaf.info)(),
                })
            };
            shown.filter_map(doer).collect()
        }
    }
}

/// How a command is written: its name bold, what stands for something else in italics.
fn synopsis(doer: &Doer) -> String {
    let usage = help::usage(&doer.name, &doer.info);
    let rest = usage.strip_prefix(&doer.name).unwrap_or_default();
    let name = match &doer.short {
        Some(short) => format!(
            "{} [{}]",
            bold(short),
            bold(doer.name.strip_prefix(short).unwrap_or_default().trim())
        ),
        None => bold(&doer.name),
    };
    let words = rest
        .split_whitespace()
        .map(|word| if word.starts_with("--") { bold(word) } else { italic(word) });
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

/// The description and the notes, but for that about exit codes.
fn say(page: &mut Roff, doer: &Doer) {
    let notes = doer.info.notes.iter().filter(|note| !is_about_exit_codes(note));
    for paragraph in doer.info.description.split("\n\n").chain(notes.copied()) {
        page.paragraph(&paragraph.replace("{command_name}", &doer.name));
    }
}

fn other_names(page: &mut Roff, name: &str, aliases: &[&str]) {
    let (group, _) = name.rsplit_once(' ').unwrap_or(("", name));
    let names: Vec<_> = aliases.iter().map(|alias| format!("`{group} {alias}`")).collect();
    match names.as_slice() {
        [] => {}
        [name] => page.paragraph(&format!("Another name is {name}.")),
        names => page.paragraph(&format!("Other names are {}.", names.join(" and "))),
    }
}

fn options(page: &mut Roff, doer: &Doer) {
    let positionals = doer.info.positionals.iter();
    for positional in positionals.filter(|p| !p.hidden && !p.description.is_empty()) {
        page.item(&italic(positional.name), &sentence(positional.description));
    }
    for flag in help::own_flags(&doer.info) {
        page.item(&flag_name(flag), &sentence(flag.description));
    }
}

/// The short and the long name of an option, and its value.
fn flag_name(flag: &FlagInfo<'_>) -> String {
    let mut name =
        flag.short.map_or_else(String::new, |short| format!("{}, ", bold(&format!("-{short}"))));
    name.push_str(&bold(flag.long));
    if let FlagInfoKind::Option { arg_name } = flag.kind {
        name.push(' ');
        match help::values(arg_name) {
            Some(words) => name.push_str(&words.map(bold).collect::<Vec<_>>().join("|")),
            None => name.push_str(&italic(&help::value_name(arg_name))),
        }
    }
    name
}

fn global_options(page: &mut Roff) {
    page.heading("OPTIONS OF EVERY COMMAND");
    for (name, description) in help::GLOBAL_OPTIONS {
        let words = name.split_whitespace().map(|word| match word.strip_suffix(',') {
            Some(option) => format!("{},", bold(option)),
            None if word.starts_with('-') => bold(word),
            None => italic(word),
        });
        page.item(&words.collect::<Vec<_>>().join(" "), &sentence(description));
    }
}

fn is_about_exit_codes(note: &str) -> bool {
    note.starts_with(EXIT_CODES)
}

const EXIT_CODES: &str = "Exit codes:\n";

/// What the notes of a command say about exit codes, else what is true for every command.
fn exit_status(page: &mut Roff, doers: &[Doer]) {
    page.heading("EXIT STATUS");
    let (silent, telling): (Vec<_>, Vec<_>) = doers
        .iter()
        .partition(|doer| !doer.info.notes.iter().any(|note| is_about_exit_codes(note)));
    for doer in &telling {
        if doers.len() > 1 {
            page.paragraph(&format!("Of `{}`:", doer.name));
        }
        let notes = doer.info.notes.iter().filter_map(|note| note.strip_prefix(EXIT_CODES));
        for (code, meaning) in notes.flat_map(str::lines).filter_map(|line| line.split_once(' ')) {
            page.item(&bold(code), &sentence(meaning));
        }
    }
    if silent.is_empty() {
        return;
    }
    if !telling.is_empty() {
        page.paragraph("Of the other commands:");
    }
    for exit in [Exit::Success, Exit::Failed, Exit::Interrupted] {
        page.item(&bold(&exit.code().to_string()), &format!("{}.", exit.meaning()));
    }
}

fn environment(page: &mut Roff, roles: &[Role], has_adapters: bool) {
    let mut variables = variables(roles);
    variables.retain(|(name, _)| has_adapters || !is_of_adapters(name));
    if variables.is_empty() {
        return;
    }
    page.heading("ENVIRONMENT");
    for (name, meaning) in variables {
        page.item(&bold(name), &meaning);
    }
    if !has_adapters && roles.contains(&Role::Broker) {
        page.paragraph("Those of data adapters are in choria-adapt(1).");
    }
}

fn file_list(page: &mut Roff, roles: &[Role]) {
    let files = files(roles);
    if files.is_empty() {
        return;
    }
    page.heading("FILES");
    for (path, meaning) in files {
        page.item(&italic(&path), meaning);
    }
}

fn examples(page: &mut Roff, doers: &[Doer]) {
    let lines: Vec<_> =
        doers.iter().flat_map(|doer| help::examples(&doer.name, &doer.info)).collect();
    if !lines.is_empty() {
        page.heading("EXAMPLES");
        page.code(lines.iter().map(|example| example.line.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::COMMANDS;

    #[test]
    fn the_page_of_a_command_has_its_options_and_exit_codes() {
        let rpc = COMMANDS.iter().find(|command| command.name == "rpc").expect("a command");
        let text = command(rpc).text;
        for part in [
            "choria\\-rpc \\- run an action of an agent on many nodes and show their replies",
            "\\fB\\-\\-fail\\-on\\fR \\fBany\\fR|\\fBall\\fR|\\fBnone\\fR\n",
            ".TP\n\\fB4\\fR\n",
            "choria rpc rpcutil ping",
            "\\fBchoria\\-client.conf\\fR(5)",
        ] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        assert!(!text.contains("{command_name}") && !text.contains("[runnable]"));
    }

    #[test]
    fn the_word_that_may_be_left_out_stands_in_brackets() {
        let broker = COMMANDS.iter().find(|command| command.name == "broker").expect("a command");
        let text = command(broker).text;
        assert!(text.contains("\\fBchoria broker\\fR [\\fBrun\\fR] \\fI[OPTIONS]\\fR"), "{text}");
    }
}
