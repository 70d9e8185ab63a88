//! Condenses one output of many replies: counts, averages, charts (client notes 1.11, server notes 5.4).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Action, Aggregate};
use crate::util::graph;

/// The summaries of one action, fed with the data of each reply. Unknown functions are left out silently; of two
/// functions for one output the later counts.
#[derive(Debug, Clone, Default)]
pub struct Summaries {
    outputs: BTreeMap<String, Summary>,
}

#[derive(Debug, Clone)]
struct Summary {
    format: Option<String>,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Counts { renames: BTreeMap<String, String>, counts: BTreeMap<String, u64> },
    Average { sum: f64, count: u64 },
    Chart { values: Vec<f64> },
}

impl Summaries {
    /// Empty summaries for what the action declares.
    pub fn new(action: &Action) -> Self {
        let outputs = action.aggregates.iter().filter_map(Summary::declared).collect();
        Self { outputs }
    }

    /// Whether the action declares none.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Takes in the data of one reply.
    pub fn add(&mut self, data: &Map<String, Value>) {
        for (name, summary) in &mut self.outputs {
            if let Some(value) = data.get(name) {
                summary.state.add(&as_text(value));
            }
        }
    }

    /// The lines to show per output, sorted by output name; no lines when nothing was collected. A chart is one entry
    /// with line breaks inside.
    pub fn lines(&self) -> Vec<(&str, Vec<String>)> {
        self.outputs.iter().map(|(name, summary)| (name.as_str(), summary.lines())).collect()
    }

    /// The machine form: `{output: {value: count} | {"average": x} | {"chart": text}}`. An average of nothing is left
    /// out.
    pub fn json(&self) -> Value {
        let entries = self
            .outputs
            .iter()
            .filter_map(|(name, summary)| Some((name.clone(), summary.state.json()?)));
        Value::Object(entries.collect())
    }
}

impl Summary {
    fn declared(aggregate: &Aggregate) -> Option<(String, Self)> {
        let args = aggregate.args.as_array()?;
        let output = args.first()?.as_str()?.to_owned();
        let settings = args.get(1).and_then(Value::as_object);
        let state = match aggregate.function.as_str() {
            "summary" | "boolean_summary" => {
                State::Counts { renames: renames(settings), counts: BTreeMap::new() }
            }
            "average" => State::Average { sum: 0.0, count: 0 },
            "chart" => State::Chart { values: Vec::new() },
            _ => return None,
        };
        let format =
            settings.and_then(|s| s.get("format")).and_then(Value::as_str).map(str::to_owned);
        Some((output, Self { format, state }))
    }

    fn lines(&self) -> Vec<String> {
        match &self.state {
            State::Counts { counts, .. } => {
                let width = counts.keys().map(|key| key.chars().count()).max().unwrap_or(0);
                let mut sorted: Vec<_> = counts.iter().collect();
                sorted.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
                let line = |(key, count): (&String, &u64)| match &self.format {
                    Some(format) => printf(format, &[Arg::Text(key), Arg::Count(*count)]),
                    None => format!("{key:>width$}: {count}"),
                };
                sorted.into_iter().map(line).collect()
            }
            State::Average { count: 0, .. } => Vec::new(),
            State::Average { sum, count } => {
                let mean = mean(*sum, *count);
                vec![printf(
                    self.format.as_deref().unwrap_or("Average: %.3f"),
                    &[Arg::Number(mean)],
                )]
            }
            State::Chart { values } if values.is_empty() => Vec::new(),
            State::Chart { values } => vec![graph::plot(values, "")],
        }
    }
}

impl State {
    fn add(&mut self, text: &str) {
        match self {
            Self::Counts { renames, counts } => {
                let key = renames.get(text).map_or(text, String::as_str);
                match counts.get_mut(key) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(key.to_owned(), 1)),
                }
            }
            Self::Average { sum, count } => {
                if let Some(number) = as_number(text) {
                    *sum += number;
                    *count += 1;
                }
            }
            Self::Chart { values } => values.extend(as_number(text)),
        }
    }

    fn json(&self) -> Option<Value> {
        match self {
            Self::Counts { counts, .. } => Some(json!(counts)),
            Self::Average { count: 0, .. } => None,
            Self::Average { sum, count } => Some(json!({ "average": mean(*sum, *count) })),
            Self::Chart { values } => Some(json!({ "chart": graph::plot(values, "") })),
        }
    }
}

fn renames(settings: Option<&Map<String, Value>>) -> BTreeMap<String, String> {
    let settings = settings.into_iter().flatten();
    settings
        .filter(|(key, _)| *key != "format")
        .map(|(key, value)| (key.clone(), as_text(value)))
        .collect()
}

/// Strings as they are, everything else as its JSON text; whole numbers without a fraction, as the reference counts
/// them.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        #[allow(clippy::cast_possible_truncation)]
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => (float as i64).to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn as_number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[allow(clippy::cast_precision_loss)]
fn mean(sum: f64, count: u64) -> f64 {
    sum / count as f64
}

enum Arg<'a> {
    Text(&'a str),
    Count(u64),
    Number(f64),
}

/// Largest width or precision a format may ask for.
const PRINTF_WIDTH_MAX: usize = 1024;

/// The part of printf that DDL formats use: flags `-` and `0`, width, precision, `%%`; the verbs only choose the
/// precision of numbers. A verb without an argument is written as it stands.
fn printf(format: &str, args: &[Arg<'_>]) -> String {
    let mut out = String::new();
    let mut rest = format;
    let mut args = args.iter();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let directive = &rest[at + 1..];
        let Some(end) = directive.find(|c: char| c.is_ascii_alphabetic() || c == '%') else {
            out.push_str(&rest[at..]);
            return out;
        };
        rest = &directive[end + 1..];
        if directive[..=end].ends_with('%') {
            out.push('%');
            continue;
        }
        match args.next() {
            Some(arg) => {
                out.push_str(&directive_text(&directive[..end], directive.as_bytes()[end], arg))
            }
            None => out.push_str(&format!("%{}", &directive[..=end])),
        }
    }
    out.push_str(rest);
    out
}

fn directive_text(flags: &str, verb: u8, arg: &Arg<'_>) -> String {
    let (width, precision) = flags.split_once('.').unwrap_or((flags, ""));
    let left = width.contains('-');
    let width = width.trim_start_matches(['-', '0', '+', ' ', '#']);
    let width = width.parse().unwrap_or(0usize).min(PRINTF_WIDTH_MAX);
    let precision = precision.parse().ok().map(|p: usize| p.min(PRINTF_WIDTH_MAX));
    let text = match (arg, verb) {
        (Arg::Text(text), _) => (*text).to_owned(),
        (Arg::Count(count), _) => count.to_string(),
        (Arg::Number(number), b'f' | b'F') => format!("{number:.*}", precision.unwrap_or(6)),
        (Arg::Number(number), _) => match precision {
            Some(precision) => format!("{number:.precision$}"),
            None => number.to_string(),
        },
    };
    if left { format!("{text:<width$}") } else { format!("{text:>width$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summaries(aggregate: Value, values: &[Value]) -> Summaries {
        let action =
            serde_json::from_value(json!({"action": "a", "aggregate": [aggregate]})).unwrap();
        let mut summaries = Summaries::new(&action);
        for value in values {
            summaries.add(json!({ "v": value }).as_object().unwrap());
        }
        summaries
    }

    #[test]
    fn lines_and_json() {
        let cases: &[(Value, &[Value], &[&str], Value)] = &[
            (
                json!({"function": "summary", "args": ["v"]}),
                &[json!("b"), json!("long"), json!("b"), json!("a")],
                &["   b: 2", "   a: 1", "long: 1"],
                json!({"v": {"b": 2, "long": 1, "a": 1}}),
            ),
            (
                json!({"function": "boolean_summary", "args": ["v", {"true": "Up", "false": "Down"}]}),
                &[json!(true), json!(false), json!(true)],
                &["  Up: 2", "Down: 1"],
                json!({"v": {"Up": 2, "Down": 1}}),
            ),
            (
                json!({"function": "summary", "args": ["v", {"format": "%-4s on %d nodes (100%%)"}]}),
                &[json!(1), json!(1.0), json!(["x", 2])],
                &["1    on 2 nodes (100%)", "[\"x\",2] on 1 nodes (100%)"],
                json!({"v": {"1": 2, "[\"x\",2]": 1}}),
            ),
            (
                json!({"function": "average", "args": ["v"]}),
                &[json!(1), json!("2.5"), json!("no number"), json!(4)],
                &["Average: 2.500"],
                json!({"v": {"average": 2.5}}),
            ),
            (
                json!({"function": "average", "args": ["v", {"format": "mean %6.1f s"}]}),
                &[json!(1), json!(2)],
                &["mean    1.5 s"],
                json!({"v": {"average": 1.5}}),
            ),
            (json!({"function": "average", "args": ["v"]}), &[], &[], json!({})),
            (json!({"function": "summary", "args": ["v"]}), &[], &[], json!({"v": {}})),
            (json!({"function": "unknown", "args": ["v"]}), &[json!(1)], &[], json!({})),
            (json!({"function": "summary", "args": "v"}), &[json!(1)], &[], json!({})),
            (json!({"function": "summary"}), &[json!(1)], &[], json!({})),
        ];
        for (aggregate, values, lines, machine) in cases {
            let summaries = summaries(aggregate.clone(), values);
            let shown: Vec<String> =
                summaries.lines().into_iter().flat_map(|(_, lines)| lines).collect();
            assert_eq!(shown, *lines, "{aggregate}");
            assert_eq!(summaries.json(), *machine, "{aggregate}");
        }
    }

    #[test]
    fn charts_are_one_block_of_text() {
        let summaries = summaries(
            json!({"function": "chart", "args": ["v"]}),
            &[json!(1), json!("7"), json!(50)],
        );
        let lines = summaries.lines();
        assert_eq!(lines[0].1.len(), 1);
        assert!(lines[0].1[0].lines().count() > 10);
        assert_eq!(summaries.json()["v"]["chart"], json!(lines[0].1[0]));
    }

    #[test]
    fn odd_formats_do_not_panic() {
        for format in ["%", "%5", "%s %s %s", "%q%d", "%99999999999999s", "%é", "%.s", "a%%b%"] {
            let settings = json!({"function": "summary", "args": ["v", {"format": format}]});
            assert_eq!(summaries(settings, &[json!("x")]).lines()[0].1.len(), 1);
        }
    }
}
