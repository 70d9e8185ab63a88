//! The manual: pages made from the tables that also make `--help` and the configuration reference.
//!
//! [`pages`] makes all of them. What the tables do not hold stands in the folder `texts`: what roles do at signals, the
//! files of a format, and the page about security.

mod about;
mod commands;
mod configuration;
mod markup;
mod roff;

use roff::Roff;

use crate::cli::VERSION;
use crate::cli::command::Command;

/// The date in every page: that of the version, so that pages change with the program only.
const DATE: &str = "2026-11-30";

/// A page of the manual.
pub struct Page {
    /// The name of its file: `choria-rpc.1`.
    pub file: String,
    /// Its source, in the language of man(7).
    pub text: String,
}

/// Every page: of the program, of each of its commands, of the three configuration files, and about security.
pub fn pages(summary: &str, all: &'static [Command]) -> Vec<Page> {
    let mut pages = vec![commands::program(summary, all)];
    let shown = all.iter().filter(|command| !command.hidden);
    pages.extend(shown.map(commands::command));
    pages.extend(configuration::pages());
    pages.push(security());
    pages
}

fn security() -> Page {
    let mut page =
        begin("choria-security", '7', "who may do what in a Choria network, and what is refused");
    page.heading("DESCRIPTION");
    markup::write(include_str!("texts/security.md"), &mut page);
    see_also(
        &mut page,
        &[
            "choria(1)",
            "choria-ca(1)",
            "choria-enroll(1)",
            "choria-jwt(1)",
            "choria-login(1)",
            "choria-policy(1)",
            "choria-broker.conf(5)",
            "choria-client.conf(5)",
            "choria-server.conf(5)",
        ]
        .map(str::to_owned),
    );
    end("choria-security", '7', page)
}

/// A page with its name and what it is about in one line.
fn begin(name: &str, section: char, about: &str) -> Roff {
    let mut page = Roff::new(&name.to_uppercase(), section, DATE, &format!("choria {VERSION}"));
    page.heading("NAME");
    page.synopsis(&format!("{} \\- {}", roff::escape(name), roff::escape(about)));
    page
}

fn end(name: &str, section: char, page: Roff) -> Page {
    Page { file: format!("{name}.{section}"), text: page.finish() }
}

/// Pages to read next.
fn see_also(page: &mut Roff, pages: &[String]) {
    page.heading("SEE ALSO");
    page.paragraph(&pages.join(", "));
}

/// A description as a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    format!("{}.", first.chain(chars).collect::<String>().trim_end_matches('.'))
}
