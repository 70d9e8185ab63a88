//! Reference pages that are generated from the program's own tables are up to date.
//! `UPDATE_DOCS=1 cargo test --test it reference_docs` writes them.

use std::fmt::Write;
use std::fs;

use choria::config::keys::{self, Key, Kind};

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/configuration.md");

#[test]
fn the_configuration_reference_is_up_to_date() {
    let text = configuration();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference")).expect("folder");
        fs::write(CONFIGURATION, &text).expect("page");
    }
    let page = fs::read_to_string(CONFIGURATION).unwrap_or_default();
    assert!(page == text, "docs/reference/configuration.md is old: run with UPDATE_DOCS=1");
}

fn configuration() -> String {
    let mut text = String::from(
        "# Configuration keys\n\n\
         One `key = value` a line. `choria tool config KEY` shows a key with the value in effect and where it comes\n\
         from. A `*` stands for a name. This page is generated from the table in `src/config/keys`.\n\n\
         | Key | Type | Default | Meaning |\n|---|---|---|---|\n",
    );
    for key in keys::all() {
        let default = match key.default {
            "" => "–".to_owned(),
            default => format!("`{default}`"),
        };
        let mut meaning = key.description.to_owned();
        if let Some(variable) = key.env {
            let _ = write!(meaning, "; environment `{variable}`");
        }
        let _ = writeln!(text, "| `{}` | {} | {default} | {meaning} |", key.name, kind(key));
    }
    text
}

fn kind(key: &Key) -> String {
    let name = key.kind.name();
    match key.kind {
        Kind::Choice(words) => format!("{name} {}", words.join(", ")),
        Kind::Integer(from, i64::MAX) => format!("{name} from {from}"),
        Kind::Integer(from, to) => format!("{name} {from} to {to}"),
        Kind::Duration(Some(limit)) => {
            format!("{name} up to {}", choria::util::duration::go(limit))
        }
        _ => name.to_owned(),
    }
}
