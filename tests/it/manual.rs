//! The manual in `man/` is what the program makes of its tables, and mandoc finds nothing wrong with it.
//! `UPDATE_DOCS=1 cargo test --test it manual` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use choria::config::{VARIABLES, keys};
use regex::Regex;

use super::support::{Folder, choria, run};

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/man");

/// The files of a folder by name.
fn pages(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("a page is text"))
        })
        .collect()
}

#[test]
fn the_manual_is_up_to_date() {
    let folder = Folder::new("manual");
    let made = folder.file("made");
    let mut command = choria();
    command.args(["tool", "manual"]).arg(&made);
    let done = run(command, "");
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "", ""));
    let made = pages(&made);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let _ = fs::remove_dir_all(MANUAL);
        fs::create_dir_all(MANUAL).expect("folder");
        for (name, text) in &made {
            fs::write(Path::new(MANUAL).join(name), text).expect("page");
        }
    }
    let committed = pages(Path::new(MANUAL));
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&committed), "run with UPDATE_DOCS=1");
    for (name, text) in &made {
        assert!(committed[name] == *text, "man/{name} is old: run with UPDATE_DOCS=1");
    }
    for name in ["choria.1", "choria-rpc.1", "choria-broker.conf.5", "choria-security.7"] {
        assert!(made.contains_key(name), "{name}");
    }
}

#[test]
fn mandoc_finds_nothing_wrong_with_the_manual() {
    if Command::new("mandoc").arg("-h").output().is_err() {
        eprintln!("not run: mandoc is not installed");
        return;
    }
    let mut lint = Command::new("mandoc");
    lint.args(["-T", "lint", "-W", "warning"]);
    lint.args(pages(Path::new(MANUAL)).keys()).current_dir(MANUAL);
    let done = run(lint, "");
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "", ""));
    // As a person sees it.
    let mut show = Command::new("mandoc");
    show.args(["-T", "utf8", "choria-rpc.1"]).current_dir(MANUAL);
    let done = run(show, "");
    let plain = Regex::new(".\u{8}").expect("a pattern").replace_all(&done.stdout, "").into_owned();
    for line in
        ["       choria-rpc - run an action", "       --fail-on any|all|none\n", "EXIT STATUS"]
    {
        assert!(plain.contains(line), "{line:?} is missing in {plain}");
    }
}

/// The manual lists every environment variable that the sources ask for.
#[test]
fn every_environment_variable_is_in_the_manual() {
    let asked = Regex::new(
        r#"(?:[^a-z_]var|var_os|is_true|variable|need)\([[:space:]]*"([A-Z][A-Z0-9_]+)"[[:space:]]*\)"#,
    );
    let asked = asked.expect("a pattern");
    let mut found = BTreeSet::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &asked, &mut found);
    let mut known: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
    known.extend(keys::all().filter_map(|key| key.env));
    assert!(found.len() > 15, "the pattern finds only {found:?}");
    for name in &found {
        assert!(known.contains(name.as_str()), "{name} is missing in config/environment.rs");
    }
    for variable in VARIABLES {
        let name = variable.name;
        assert!(found.contains(name), "nobody asks for {name}");
    }
}

fn collect(folder: &Path, asked: &Regex, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, asked, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            // Tests stand at the end of a file.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            found.extend(asked.captures_iter(code).map(|name| name[1].to_owned()));
        }
    }
}
