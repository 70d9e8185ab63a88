//! `choria tool config`: the configuration in effect, where it comes from, and what every key means.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Value as Json, json};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::tool::check;
use crate::config::keys::{self, Key, Kind};
use crate::config::{self, Config, Source, Value};

/// Show the configuration in effect and what its keys mean. Without a pattern every key that is
/// set is listed; with one, the documentation of every key that matches. With --check it only says
/// what a process refuses or warns about when it starts with this file, and ends with 1 when it
/// refuses something. Reads the file of a client unless --config names another one.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "[runnable] {command_name}\n[runnable] {command_name} discovery\n{command_name} --config /etc/choria/server.conf --json '^plugin.choria.network'\n{command_name} --config /etc/choria/broker.conf --check"
)]
pub struct ShowConfig {
    /// only the names of the keys
    #[argh(switch, short = 'l')]
    list: bool,
    /// one JSON array of objects
    #[argh(switch, short = 'j')]
    json: bool,
    /// would a process start with this file
    #[argh(switch)]
    check: bool,
    /// a regular expression over the names of keys
    #[argh(positional)]
    pattern: Option<String>,
}

impl Subcommand for ShowConfig {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.check {
            if self.list || self.pattern.is_some() {
                return Err(Failure::new("--check looks through the whole configuration")
                    .hint("leave out --list and the pattern"));
            }
            return check::check(&source(context.globals.config.clone()), context, self.json);
        }
        let pattern = self.pattern.as_deref().map(compile).transpose()?;
        let config = load(context)?;
        let names = names(config.as_ref(), pattern.as_ref());
        if names.is_empty() {
            let pattern = self.pattern.unwrap_or_default();
            return Err(Failure::new(format!("no configuration key matches {pattern}")));
        }
        let text = if self.json {
            json_text(&names, config.as_ref())
        } else if self.list {
            names.iter().map(|name| format!("{name}\n")).collect()
        } else if pattern.is_some() {
            names.iter().map(|name| document(name, config.as_ref())).collect::<Vec<_>>().join("\n")
        } else {
            overview(context, config.as_ref())
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(Exit::Success)
    }
}

fn compile(pattern: &str) -> Result<Regex, Failure> {
    RegexBuilder::new(pattern).unicode(false).case_insensitive(true).build().map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().to_owned();
        Failure::new(format!("invalid pattern {pattern:?}: {}", reason.trim()))
    })
}

/// The configuration; without a valid one the documentation can still be read, so what is wrong
/// is only said.
fn load(context: &Context) -> Result<Option<Config>, Failure> {
    let source = source(context.globals.config.clone());
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    match Config::load(&source, &context.environment(), &cwd) {
        Ok((config, warnings)) => {
            for warning in warnings {
                writeln!(std::io::stderr(), "choria: warning: {warning}")?;
            }
            Ok(Some(config))
        }
        Err(error) => {
            writeln!(std::io::stderr(), "choria: warning: {error}; only defaults are shown")?;
            Ok(None)
        }
    }
}

/// What a file is for shows in its name.
fn source(path: Option<PathBuf>) -> Source {
    match path {
        Some(path) if path.file_stem().is_some_and(|stem| stem == "server") => {
            Source::Server { path }
        }
        Some(path) if path.file_stem().is_some_and(|stem| stem == "broker") => {
            Source::Broker { path }
        }
        path => Source::Client { path },
    }
}

/// Every known key and every other one that is set, as far as the pattern matches.
fn names(config: Option<&Config>, pattern: Option<&Regex>) -> Vec<String> {
    let mut names: Vec<String> = keys::all().map(|key| key.name.to_owned()).collect();
    if let Some(config) = config {
        names.extend(config.set_keys());
    }
    names.sort();
    names.dedup();
    names.retain(|name| pattern.is_none_or(|pattern| pattern.is_match(name.as_bytes())));
    names
}

/// The value in effect, without secrets.
fn value(name: &str, config: Option<&Config>) -> Json {
    if name.contains('*') {
        return Json::Null;
    }
    config.and_then(|config| config.lookup(name)).unwrap_or(Json::Null)
}

/// The value as a person writes it.
fn shown(name: &str, config: &Config) -> String {
    if keys::is_secret(name) {
        return value(name, Some(config)).as_str().unwrap_or_default().to_owned();
    }
    config.raw(name).unwrap_or_default()
}

fn default(key: &Key) -> Json {
    Value::read(key.kind, key.default, None).map_or(Json::Null, |value| value.to_json())
}

fn json_text(names: &[String], config: Option<&Config>) -> String {
    let entries: Vec<Json> = names
        .iter()
        .map(|name| {
            let key = keys::find(name);
            json!({
                "key": name,
                "known": key.is_some(),
                "type": key.map(|key| key.kind.name()),
                "allowed": key.map(|key| allowed(key.kind)),
                "description": key.map(|key| key.description),
                "default": key.map(default),
                "environment": key.and_then(|key| key.env),
                "secret": keys::is_secret(name),
                "value": value(name, config),
                "origin": config.map(|config| config.origin(name).to_string()),
                "set": config.is_some_and(|config| config.is_set(name)),
            })
        })
        .collect();
    format!("{:#}\n", Json::Array(entries))
}

/// Limits of a value that its type does not tell.
fn allowed(kind: Kind) -> Option<String> {
    match kind {
        Kind::Choice(words) => Some(words.join(", ")),
        Kind::Integer(from, i64::MAX) => Some(format!("at least {from}")),
        Kind::Integer(from, to) => Some(format!("{from} to {to}")),
        Kind::Duration(Some(limit)) => {
            Some(format!("at most {}", crate::util::duration::go(limit)))
        }
        _ => None,
    }
}

fn document(name: &str, config: Option<&Config>) -> String {
    let mut text = format!("{name}\n");
    let mut line = |label: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {label:<12} {value}");
    };
    match keys::find(name) {
        None => line("unknown", "a key of a plugin, or of nothing"),
        Some(key) => {
            line("description", key.description);
            let limits = allowed(key.kind);
            let kind = key.kind.name();
            line(
                "type",
                &limits.map_or_else(|| kind.to_owned(), |limits| format!("{kind}: {limits}")),
            );
            line("default", if key.default.is_empty() { "none" } else { key.default });
            if let Some(variable) = key.env {
                line("environment", variable);
            }
        }
    }
    if let Some(config) = config.filter(|_| !name.contains('*')) {
        let shown = shown(name, config);
        line("value", if shown.is_empty() { "none" } else { &shown });
        line("origin", &config.origin(name).to_string());
    }
    text
}

/// What is set and where, and the few things that are worked out.
fn overview(context: &Context, config: Option<&Config>) -> String {
    let mut text = String::new();
    let Some(config) = config else {
        return "No configuration is in effect. Give a pattern to read what keys mean.\n"
            .to_owned();
    };
    match &config.file {
        Some(file) => {
            let _ = writeln!(text, "Configuration file: {}", file.display());
        }
        None => {
            let files = config::client_files(&context.environment());
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            let _ = writeln!(text, "Configuration file: none of {}", files.join(", "));
        }
    }
    let derived = ["collectives", "identity", "main_collective"].map(str::to_owned);
    let mut names = config.set_keys();
    names.extend(derived);
    names.sort();
    names.dedup();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    text.push('\n');
    for name in names {
        let (value, origin) = (shown(&name, config), config.origin(&name));
        let _ = writeln!(text, "{name:<width$} = {value}  ({origin})");
    }
    let _ = writeln!(text, "\nAll other keys have their defaults; give a pattern to see them.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_for_shows_in_its_name() {
        let role = |path: &str| source(Some(path.into())).role();
        assert_eq!(role("/etc/choria/server.conf"), config::Role::Server);
        assert_eq!(role("broker.cfg"), config::Role::Broker);
        assert_eq!(role("other.conf"), config::Role::Client);
    }

    #[test]
    fn a_key_is_documented_without_a_configuration() {
        let expected = "\
plugin.choria.network.tls_timeout
  description  Time a TLS handshake may take
  type         duration: at most 1m0s
  default      2s
";
        assert_eq!(document("plugin.choria.network.tls_timeout", None), expected);
    }

    #[test]
    fn patterns_are_regular_expressions_in_any_case() {
        let pattern = compile("^COLLECTIVES$").unwrap();
        assert_eq!(names(None, Some(&pattern)), ["collectives"]);
        let failure = compile("(").unwrap_err();
        assert!(failure.message.starts_with("invalid pattern \"(\": "), "{failure}");
    }
}
