//! Asking the policies of this machine, without any network.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::config::{Config, Source};
use crate::policy::{Kind, Settings};
use crate::server::facts::Facts;
use crate::settings;

/// Where the configuration of a server is when nobody says so.
const SERVER_FILE: &str = "/etc/choria/server.conf";

/// What a node is made of, as far as policies ask about it.
pub(super) struct Machine {
    /// Its policies.
    pub settings: Settings,
    /// Its facts.
    pub facts: Value,
    /// Its classes.
    pub classes: Vec<String>,
}

/// What was typed about the node.
pub(super) struct Words<'a> {
    pub policy_dir: Option<&'a PathBuf>,
    pub provider: Option<&'a str>,
    pub default: Option<&'a str>,
    pub facts_file: Option<&'a PathBuf>,
    pub facts: &'a [String],
    pub classes: &'a [String],
}

impl Words<'_> {
    /// The node: as the configuration of its server says, with everything that was typed instead.
    pub(super) fn machine(&self, context: &Context) -> Result<Machine, Failure> {
        let config = self.config(context)?;
        let mut settings = match (&config, self.policy_dir) {
            (Some(config), _) => settings::policies(config),
            (None, Some(folder)) => Settings::action_policy(folder),
            (None, None) => {
                return Err(Failure::new(
                    "there is no configuration of a server to find policies by",
                )
                .hint("name the folder with --policy-dir, or the file with --config"));
            }
        };
        if let Some(folder) = self.policy_dir {
            if !folder.is_dir() {
                return Err(Failure::new(format!("there is no folder {}", folder.display()))
                    .hint("--policy-dir names the folder with the files AGENT.policy"));
            }
            settings.folder.clone_from(folder);
        }
        if let Some(provider) = self.provider {
            settings.kind = Kind::named(provider);
        }
        if let Some(name) = self.default {
            settings.default_name = Some(name.to_owned());
        }
        if let Kind::Unknown(name) = &settings.kind {
            return Err(Failure::new(format!("{name:?} is not a kind of policy"))
                .hint("there are action_policy and rego_policy"));
        }
        if settings.kind == Kind::Token {
            return Err(Failure::new(
                "the policies are in the tokens of callers, which are not known here",
            )
            .hint("--provider action_policy or rego_policy asks policy files"));
        }
        Ok(Machine {
            settings,
            facts: self.facts(config.as_ref())?,
            classes: self.classes(config.as_ref()),
        })
    }

    /// The file of `--config`, else that of the server on this machine when no folder is named.
    fn config(&self, context: &Context) -> Result<Option<Config>, Failure> {
        let path = match (&context.globals.config, self.policy_dir) {
            (Some(path), _) => path.clone(),
            (None, Some(_)) => return Ok(None),
            (None, None) => PathBuf::from(SERVER_FILE),
        };
        if context.globals.config.is_none() && !path.exists() {
            return Ok(None);
        }
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let loaded = Config::load(&Source::Server { path }, &context.environment(), &cwd);
        let (config, _) = loaded.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Some(config))
    }

    fn facts(&self, config: Option<&Config>) -> Result<Value, Failure> {
        let mut facts = match (self.facts_file, config) {
            (Some(file), _) => from_file(file)?,
            (None, Some(config)) if self.facts.is_empty() => {
                (*Facts::from_files(config.facts_files.clone()).read()).clone()
            }
            _ => Value::Object(Map::new()),
        };
        for text in self.facts {
            let (path, value) =
                text.split_once('=').filter(|(path, _)| !path.is_empty()).ok_or_else(|| {
                    Failure::new(format!("{text:?} is not a fact")).hint("--fact os.name=Debian")
                })?;
            set(&mut facts, path, typed(value));
        }
        Ok(facts)
    }

    fn classes(&self, config: Option<&Config>) -> Vec<String> {
        match config {
            Some(config) if self.classes.is_empty() => {
                let file = config.classes_file.clone();
                crate::server::classes::Classes::from_file(file).read().to_vec()
            }
            _ => self.classes.to_vec(),
        }
    }
}

fn from_file(file: &PathBuf) -> Result<Value, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", file.display()));
    std::fs::metadata(file).map_err(unreadable)?;
    Ok((*Facts::from_files(vec![file.clone()]).read()).clone())
}

/// Numbers, true and false are what they look like; everything else is text.
pub(super) fn typed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::from(text),
    }
}

/// Puts a value at a path: `os.name` is `name` inside `os`.
fn set(facts: &mut Value, path: &str, value: Value) {
    let mut place = facts;
    for part in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_as_typed() {
        let mut facts = json!({"os": {"name": "Debian"}, "flat": 1});
        for (path, value) in
            [("os.name", "RedHat"), ("os.release.major", "9"), ("flat.x", "true"), ("a", "1.5x")]
        {
            set(&mut facts, path, typed(value));
        }
        let expected = json!({
            "os": {"name": "RedHat", "release": {"major": 9}}, "flat": {"x": true}, "a": "1.5x",
        });
        assert_eq!(facts, expected);
    }
}
