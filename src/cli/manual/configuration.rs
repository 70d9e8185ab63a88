//! The pages of the configuration files, from the table of keys.

use super::about::{files, variables};
use super::roff::{Roff, bold, italic};
use super::{Page, begin, end, markup, see_also};
use crate::config::keys::{self, Key, Kind};
use crate::config::{self, Role};
use crate::util::duration;

/// Text about a file, and what it is for.
struct File {
    name: &'static str,
    role: Role,
    about: &'static str,
    text: &'static str,
    related: &'static [&'static str],
}

const FILES: [File; 3] = [
    File {
        name: "choria-broker.conf",
        role: Role::Broker,
        about: "configuration of Choria brokers, federation brokers and data adapters",
        text: include_str!("texts/broker.conf.md"),
        related: &["choria-adapt(1)", "choria-broker(1)", "choria-federate(1)"],
    },
    File {
        name: "choria-client.conf",
        role: Role::Client,
        about: "configuration of Choria clients",
        text: include_str!("texts/client.conf.md"),
        related: &["choria-find(1)", "choria-login(1)", "choria-rpc(1)"],
    },
    File {
        name: "choria-server.conf",
        role: Role::Server,
        about: "configuration of Choria servers",
        text: include_str!("texts/server.conf.md"),
        related: &["choria-policy(1)", "choria-server(1)"],
    },
];

/// The page of each file.
pub fn pages() -> impl Iterator<Item = Page> {
    FILES.iter().map(page)
}

fn page(file: &File) -> Page {
    let mut page = begin(file.name, '5', file.about);
    page.heading("DESCRIPTION");
    markup::write(file.text, &mut page);
    markup::write(include_str!("texts/conf.md"), &mut page);
    page.heading("KEYS");
    page.paragraph("A `*` in a key stands for a name. `choria tool config KEY` shows a key with the value in effect and where it comes from.");
    for (topic, keys) in keys::TOPICS {
        let mut keys = keys.iter().filter(|key| keys::roles(key).contains(&file.role)).peekable();
        if keys.peek().is_some() {
            page.subheading(topic);
        }
        keys.for_each(|key| describe(key, file.role, &mut page));
    }
    page.heading("ENVIRONMENT");
    for (name, meaning) in variables(&[file.role]) {
        page.item(&bold(name), &meaning);
    }
    page.heading("FILES");
    for (path, meaning) in files(&[file.role]) {
        page.item(&italic(&path), meaning);
    }
    let pages = ["choria(1)"].iter().chain(file.related).chain(&["choria-security(7)"]);
    see_also(&mut page, &pages.map(|page| (*page).to_owned()).collect::<Vec<_>>());
    end(file.name, '5', page)
}

fn describe(key: &Key, role: Role, page: &mut Roff) {
    let mut text = format!("{}. Value: {}", key.description, kind(key));
    let default = match key.kind {
        Kind::Boolean if ["true", "yes", "y", "1"].contains(&key.default) => "yes",
        Kind::Boolean => "no",
        _ => key.default,
    };
    if !default.is_empty() {
        text.push_str(&format!("; default `{default}`"));
    }
    text.push('.');
    if let Some(variable) = key.env {
        text.push_str(&format!(" The environment variable `{variable}` wins over it."));
    }
    if let Some(unsupported) = config::about_unsupported(key.name, role) {
        text.push_str(&format!(" {unsupported}."));
    }
    page.item(&bold(key.name), &text);
}

/// What may be written as the value of a key.
fn kind(key: &Key) -> String {
    match key.kind {
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Integer(from, i64::MAX) => format!("number from {from}"),
        Kind::Integer(from, to) => format!("number from {from} to {to}"),
        Kind::Duration(Some(limit)) => format!("length of time up to {}", duration::go(limit)),
        Kind::Duration(None) => "length of time".to_owned(),
        Kind::Boolean => "yes or no".to_owned(),
        Kind::Text | Kind::Title => "text".to_owned(),
        Kind::Path => "file or folder".to_owned(),
        Kind::CommaList => "list with commas".to_owned(),
        Kind::PathList => "list of folders with colons, and a later line adds to it".to_owned(),
        Kind::TextList => "one element of a list, and a later line adds another".to_owned(),
    }
}
