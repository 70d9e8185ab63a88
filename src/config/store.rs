//! Every value that is set, with where it came from; defaults come from the table of keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::environment::Environment;
use crate::config::error::{Error, Warning};
use crate::config::file::{self, Setting};
use crate::config::keys::{self, Key, Kind};
use crate::config::value::Value;
use crate::util::secret::MASK;
use crate::util::suggest;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// This line of this file.
    File(Arc<Path>, usize),
    /// This environment variable.
    Environment(&'static str),
    /// Worked out from something else, which is named.
    Derived(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => f.write_str(&file::place(path, *line)),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Derived(from) => f.write_str(from),
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    value: Value,
    origin: Origin,
}

/// The values by key.
#[derive(Clone, Default)]
pub(super) struct Store {
    entries: BTreeMap<String, Entry>,
    home: Option<PathBuf>,
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl Store {
    pub(super) fn new(env: &Environment) -> Self {
        Self { entries: BTreeMap::new(), home: env.home().map(Path::to_owned) }
    }

    /// Takes in a main file or a project file.
    pub(super) fn add_file(
        &mut self,
        path: &Path,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), Error> {
        let shared: Arc<Path> = path.into();
        for setting in file::read(path, warnings)? {
            self.add(&shared, setting, warnings)?;
        }
        Ok(())
    }

    /// Takes in `plugin.d/<plugin>.cfg`: its keys get the prefix `plugin.<plugin>.`, and only
    /// those of `choria` may be keys of ours.
    pub(super) fn add_plugin_file(
        &mut self,
        plugin: &str,
        path: &Path,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), Error> {
        let shared: Arc<Path> = path.into();
        for setting in file::read(path, warnings)? {
            let key = format!("plugin.{plugin}.{}", setting.key);
            let is_ours = keys::find(&key).is_some_and(|key| !key.name.contains('*'));
            let policy = matches!(plugin, "actionpolicy" | "regopolicy");
            if is_ours && plugin != "choria" && !policy {
                let place = file::place(path, setting.line);
                warnings.push(Warning::WrongFile { place, key });
                continue;
            }
            self.add(&shared, Setting { key, ..setting }, warnings)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        path: &Arc<Path>,
        setting: Setting,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), Error> {
        let origin = Origin::File(path.clone(), setting.line);
        match keys::find(&setting.key) {
            Some(key) => self.set(key, &setting.key, &setting.value, origin),
            None => {
                if !keys::is_gone(&setting.key) && !keys::belongs_to_a_plugin(&setting.key) {
                    warnings.push(unknown(path, &setting));
                }
                let value = Value::Text(setting.value);
                self.entries.insert(setting.key, Entry { value, origin });
                Ok(())
            }
        }
    }

    fn set(&mut self, key: &Key, name: &str, text: &str, origin: Origin) -> Result<(), Error> {
        let value = Value::read(key.kind, text, self.home.as_deref()).map_err(|allowed| {
            let value = if key.is_secret { MASK } else { text };
            Error::BadValue {
                place: origin.to_string(),
                key: name.to_owned(),
                value: value.chars().take(SHOWN_CHARS_MAX).collect(),
                allowed,
            }
        })?;
        match self.entries.get_mut(name) {
            Some(entry) if key.kind.adds() => {
                entry.value.extend(value);
                entry.origin = origin;
            }
            _ => {
                self.entries.insert(name.to_owned(), Entry { value, origin });
            }
        }
        Ok(())
    }

    /// Lets the documented environment variables win over every file.
    pub(super) fn add_environment(&mut self, env: &Environment) -> Result<(), Error> {
        for key in keys::all() {
            let Some(name) = key.env else { continue };
            if let Some(text) = env.var(name) {
                self.entries.remove(key.name);
                self.set(key, key.name, text, Origin::Environment(name))?;
            }
        }
        Ok(())
    }

    /// Sets what was worked out and not written anywhere.
    pub(super) fn derive(&mut self, name: &str, value: Value, from: &'static str) {
        self.entries.insert(name.to_owned(), Entry { value, origin: Origin::Derived(from) });
    }

    /// Whether a file or the environment sets the key.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| !matches!(entry.origin, Origin::Derived(_)))
    }

    pub(super) fn origin(&self, name: &str) -> Origin {
        self.entries.get(name).map_or(Origin::Default, |entry| entry.origin.clone())
    }

    /// The value in effect: what is set, else the default; nothing for a key nobody knows.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        if let Some(entry) = self.entries.get(name) {
            return Some(entry.value.clone());
        }
        let key = keys::find(name)?;
        let text = if key.default.is_empty() && !takes_empty(key.kind) { "0" } else { key.default };
        // Every default can be read: a test of `value` proves it.
        Value::read(key.kind, text, self.home.as_deref()).ok()
    }

    /// Names of everything that is set, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Text(text)) => text,
            _ => String::new(),
        }
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.text(name))).filter(|path| !path.as_os_str().is_empty())
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(elements)) => elements,
            _ => Vec::new(),
        }
    }

    pub(super) fn paths(&self, name: &str) -> Vec<PathBuf> {
        self.list(name).into_iter().map(PathBuf::from).collect()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Value::Integer(number)) => u64::try_from(number).unwrap_or(0),
            _ => 0,
        }
    }

    pub(super) fn size(&self, name: &str) -> usize {
        usize::try_from(self.count(name)).unwrap_or(usize::MAX)
    }

    pub(super) fn port(&self, name: &str) -> u16 {
        u16::try_from(self.count(name)).unwrap_or(0)
    }

    pub(super) fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs(self.count(name))
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Value::Duration(length)) => length,
            _ => Duration::ZERO,
        }
    }
}

/// A refused value is shown up to this length.
const SHOWN_CHARS_MAX: usize = 100;

fn takes_empty(kind: Kind) -> bool {
    !matches!(kind, Kind::Integer(..) | Kind::Boolean | Kind::Duration(_))
}

fn unknown(path: &Path, setting: &Setting) -> Warning {
    let candidates = keys::all().map(|key| key.name).filter(|name| !name.contains('*'));
    let nearest = suggest::nearest(&setting.key, candidates);
    Warning::UnknownKey {
        place: file::place(path, setting.line),
        key: setting.key.clone(),
        nearest,
    }
}
