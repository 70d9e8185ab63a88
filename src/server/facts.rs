//! The facts of a node: JSON and YAML files merged into one object.
//!
//! Nothing here gathers facts from the machine; something outside writes the files. Later files win,
//! and the merge is shallow: a top-level key of a later file replaces that of an earlier one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Number, Value};

use crate::sys::{Stamp, read_bounded};

/// The largest facts file that is read; anything above is reported and skipped.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Whole numbers beyond this are not exact as floating point, so they stay as they are.
const EXACT_WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Where the facts of a server come from. Clones share one cache.
#[derive(Clone, Debug)]
pub struct Facts {
    source: Arc<Source>,
}

#[derive(Debug)]
enum Source {
    /// The same object for ever.
    Fixed(Arc<Value>),
    Files(Files),
}

#[derive(Debug)]
struct Files {
    paths: Vec<PathBuf>,
    cached: Mutex<Cached>,
}

/// The merged facts of files that had these stamps, in the order of the paths.
#[derive(Debug)]
struct Cached {
    stamps: Option<Vec<Option<Stamp>>>,
    facts: Arc<Value>,
    /// False while a file is so young that it could still change under the same stamp.
    is_settled: bool,
    /// Whether every file could be read.
    is_whole: bool,
}

/// Why one facts file does not count.
#[derive(Debug)]
enum Unusable {
    Read(io::Error),
    Parse(String),
    NotAnObject,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unusable::Read(error) => write!(f, "cannot read it: {error}"),
            Unusable::Parse(error) => write!(f, "cannot parse it: {error}"),
            Unusable::NotAnObject => write!(f, "the top level is not a map"),
        }
    }
}

impl Facts {
    /// Facts from files, read again whenever one of them changes.
    pub fn from_files(paths: Vec<PathBuf>) -> Facts {
        let cached = Cached { stamps: None, facts: empty(), is_settled: false, is_whole: true };
        let files = Files { paths, cached: Mutex::new(cached) };
        Facts { source: Arc::new(Source::Files(files)) }
    }

    /// Facts that never change, for servers that exist in memory only.
    pub fn fixed(facts: Map<String, Value>) -> Facts {
        Facts { source: Arc::new(Source::Fixed(Arc::new(Value::Object(facts)))) }
    }

    /// The facts when they are at hand without touching a file.
    pub fn immediate(&self) -> Option<Arc<Value>> {
        match &*self.source {
            Source::Fixed(facts) => Some(facts.clone()),
            Source::Files(files) if files.paths.is_empty() => Some(empty()),
            Source::Files(_) => None,
        }
    }

    /// The facts as an object, `{}` when there are none. Blocks on the file system: not to be
    /// called on an executor's thread unless [`Facts::immediate`] has an answer.
    pub fn read(&self) -> Arc<Value> {
        match &*self.source {
            Source::Fixed(facts) => facts.clone(),
            Source::Files(files) => files.read(SystemTime::now()).0,
        }
    }

    /// The facts; nothing when one of the files cannot be read, for those who must not take that for
    /// facts that the node does not have. Blocks on the file system.
    pub fn read_whole(&self) -> Option<Arc<Value>> {
        match &*self.source {
            Source::Fixed(facts) => Some(facts.clone()),
            Source::Files(files) => {
                let (facts, is_whole) = files.read(SystemTime::now());
                is_whole.then_some(facts)
            }
        }
    }
}

impl Files {
    /// The facts, and whether every file could be read.
    fn read(&self, now: SystemTime) -> (Arc<Value>, bool) {
        let stamps: Vec<_> = self.paths.iter().map(|path| Stamp::of(path)).collect();
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let same = cached.stamps.as_ref() == Some(&stamps);
        if same && cached.is_settled {
            return (cached.facts.clone(), cached.is_whole);
        }
        // What is wrong with a file is said once per state of the files, not once per request.
        *cached = self.merge(now, !same);
        (cached.facts.clone(), cached.is_whole)
    }

    fn merge(&self, now: SystemTime, report: bool) -> Cached {
        let mut merged = Map::new();
        let mut stamps = Vec::with_capacity(self.paths.len());
        let mut is_whole = true;
        for path in &self.paths {
            let (stamp, outcome) = match read_bounded(path, FILE_BYTES_MAX) {
                Ok((bytes, stamp)) => (Some(stamp), parse(path, &bytes)),
                Err(error) => (Stamp::of(path), Err(Unusable::Read(error))),
            };
            stamps.push(stamp);
            is_whole &= outcome.is_ok();
            match outcome {
                Ok(facts) => merged.extend(facts),
                Err(error) if report => {
                    log::warn!("facts: file skipped file={} err={error}", path.display());
                }
                Err(_) => {}
            }
        }
        let is_settled = stamps.iter().flatten().all(|stamp| stamp.is_settled(now));
        let facts = Arc::new(Value::Object(merged));
        Cached { stamps: Some(stamps), facts, is_settled, is_whole }
    }
}

fn empty() -> Arc<Value> {
    Arc::new(Value::Object(Map::new()))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>, Unusable> {
    let value = if is_yaml(path) {
        let yaml =
            crate::util::yaml::from_slice(bytes).map_err(|e| Unusable::Parse(e.to_string()))?;
        json_of(yaml)
    } else {
        serde_json::from_slice(bytes).map_err(|e| Unusable::Parse(e.to_string()))?
    };
    match value {
        Value::Object(facts) => {
            Ok(facts.into_iter().map(|(key, value)| (key, plain_numbers(value))).collect())
        }
        _ => Err(Unusable::NotAnObject),
    }
}

fn is_yaml(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with("yaml") || name.ends_with(".yml")
}

/// YAML as JSON: keys become text, tags are dropped, merge keys (`<<`) are followed, chains of them
/// too, and numbers JSON has no words for become null.
fn json_of(value: yaml_serde::Value) -> Value {
    use yaml_serde::Value as Yaml;
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => Value::Bool(flag),
        Yaml::Number(number) => json_number(&number),
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(json_of).collect()),
        Yaml::Tagged(tagged) => json_of(tagged.value),
        Yaml::Mapping(mapping) => Value::Object(json_object(mapping)),
    }
}

fn json_object(mapping: yaml_serde::Mapping) -> Map<String, Value> {
    let mut object = Map::new();
    let mut inherited = Vec::new();
    for (key, value) in mapping {
        match key_text(key) {
            key if key == "<<" => inherited.push(json_of(value)),
            key => {
                object.insert(key, json_of(value));
            }
        }
    }
    for source in inherited {
        inherit(&mut object, source);
    }
    object
}

/// Adds what `object` does not have itself; of several sources the first wins.
fn inherit(object: &mut Map<String, Value>, source: Value) {
    match source {
        Value::Object(entries) => {
            for (key, value) in entries {
                object.entry(key).or_insert(value);
            }
        }
        Value::Array(sources) => sources.into_iter().for_each(|source| inherit(object, source)),
        _ => {}
    }
}

fn key_text(key: yaml_serde::Value) -> String {
    match json_of(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn json_number(number: &yaml_serde::Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::from(whole);
    }
    if let Some(whole) = number.as_u64() {
        return Value::from(whole);
    }
    number.as_f64().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

/// Writes `1.0` as `1`, as peers do: there a number has one type.
fn plain_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(plain_number(number)),
        Value::Array(items) => Value::Array(items.into_iter().map(plain_numbers).collect()),
        Value::Object(entries) => {
            Value::Object(entries.into_iter().map(|(k, v)| (k, plain_numbers(v))).collect())
        }
        other => other,
    }
}

fn plain_number(number: Number) -> Number {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT_WHOLE_MAX => {
            // In range and whole by the guard, so the cast keeps the value.
            Number::from(float as i64)
        }
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::server::testing::TempDir;

    /// Writes the files, reads them in that order, compares.
    fn check(files: &[(&str, &str)], expected: Value) {
        let dir = TempDir::new();
        let paths = files
            .iter()
            .map(|(name, text)| {
                let path = dir.path().join(name);
                if *text != "<absent>" {
                    fs::write(&path, text).unwrap();
                }
                path
            })
            .collect();
        assert_eq!(*Facts::from_files(paths).read(), expected, "{files:?}");
    }

    #[test]
    fn files_merge_shallowly_and_the_later_wins() {
        check(&[], json!({}));
        check(
            &[("a.json", r#"{"a":{"x":1},"b":2}"#), ("b.json", r#"{"a":{"y":3}}"#)],
            json!({"a":{"y":3},"b":2}),
        );
        check(
            &[("a.json", r#"{"a":1}"#), ("b.yaml", "a: two\nc: [x, y]\n")],
            json!({"a":"two","c":["x","y"]}),
        );
    }

    #[test]
    fn the_name_decides_the_format() {
        check(&[("a.yml", "a: 1")], json!({"a":1}));
        check(&[("factsyaml", "a: 1")], json!({"a":1}));
        check(&[("facts", r#"{"a":1}"#)], json!({"a":1}));
        check(&[("facts.txt", "a: 1")], json!({}));
    }

    #[test]
    fn unusable_files_are_skipped() {
        for bad in ["<absent>", "", "[1]", "null", "{\"a\":", "\u{0}", "{\"a\":1}{\"b\":2}"] {
            check(&[("a.json", bad), ("b.json", r#"{"b":1}"#)], json!({"b":1}));
        }
        for bad in ["a: [1", "- x", "just text", "a: 1\na: 2\n", "{a: *b}"] {
            check(&[("a.yaml", bad), ("b.json", r#"{"b":1}"#)], json!({"b":1}));
        }
        check(&[("folder/../", "<absent>")], json!({}));
    }

    #[test]
    fn yaml_becomes_json() {
        check(
            &[(
                "a.yaml",
                "t: true\nn: ~\n1: one\ntrue: yes\nf: 1.5\nbig: 18446744073709551615\ninf: .inf\nsym: !ruby/sym x\n",
            )],
            json!({"t":true,"n":null,"1":"one","true":"yes","f":1.5,"big":18446744073709551615u64,"inf":null,"sym":"x"}),
        );
    }

    #[test]
    fn yaml_merge_keys_are_followed_through_chains() {
        check(
            &[(
                "a.yaml",
                "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\nd: {<<: [*b, *a], x: 9}\n",
            )],
            json!({"a":{"x":1,"y":1},"b":{"x":1,"y":2},"c":{"x":1,"y":2,"z":3},"d":{"x":9,"y":2}}),
        );
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        check(
            &[("a.json", r#"{"a":1.0,"b":[-2.0,0.5],"c":1e30,"d":9007199254740993}"#)],
            json!({"a":1,"b":[-2,0.5],"c":1e30,"d":9007199254740993u64}),
        );
    }

    #[test]
    fn a_changed_file_shows_at_once_and_an_unchanged_one_is_not_read_again() {
        let dir = TempDir::new();
        let path = dir.path().join("facts.json");
        let facts = Facts::from_files(vec![path.clone()]);
        assert_eq!(*facts.read(), json!({}));
        fs::write(&path, r#"{"a":1}"#).unwrap();
        assert_eq!(*facts.read(), json!({"a":1}));
        // Same size, and most likely the same tick of the clock.
        fs::write(&path, r#"{"a":2}"#).unwrap();
        assert_eq!(*facts.read(), json!({"a":2}));
        let old = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        let first = facts.read();
        assert!(Arc::ptr_eq(&first, &facts.read()), "an unchanged file was parsed twice");
        fs::remove_file(&path).unwrap();
        assert_eq!(*facts.read(), json!({}));
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let dir = TempDir::new();
        let path = dir.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert!(read_bounded(&path, 5).is_ok());
        assert!(read_bounded(&path, 4).is_err());
        assert!(read_bounded(dir.path(), 5).is_err());
    }

    #[test]
    fn fixed_facts_are_at_hand() {
        let Value::Object(map) = json!({"a":1}) else { panic!("not an object") };
        assert_eq!(*Facts::fixed(map).immediate().unwrap(), json!({"a":1}));
        assert!(Facts::from_files(vec!["x".into()]).immediate().is_none());
    }
}
