//! What was measured: medians over rounds, as a table or as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::contestant::Contestant;

/// What a figure counts. Rates are better when higher, everything else when lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Messages per second, of wall or CPU time.
    PerSecond,
    /// KiB of memory.
    Kibibytes,
    /// MiB of memory.
    Mebibytes,
    /// Milliseconds.
    Milliseconds,
    /// How many.
    Count,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::PerSecond => "1/s",
            Unit::Kibibytes => "KiB",
            Unit::Mebibytes => "MiB",
            Unit::Milliseconds => "ms",
            Unit::Count => "",
        }
    }

    fn is_higher_better(self) -> bool {
        self == Unit::PerSecond
    }

    /// The figure in the space of a column.
    fn text(self, value: f64) -> String {
        match self {
            Unit::PerSecond if value >= 1e6 => format!("{:.2} M", value / 1e6),
            Unit::PerSecond => format!("{:.1} k", value / 1e3),
            Unit::Kibibytes | Unit::Mebibytes | Unit::Milliseconds => format!("{value:.2}"),
            Unit::Count => format!("{value:.0}"),
        }
    }
}

/// One figure of one run.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// What it says.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The figure.
    pub value: f64,
    /// What it is to be.
    bar: Bar,
}

/// What a figure of ours is to be. Rates must not be below it, everything else not above.
#[derive(Debug, Clone, Copy, Default)]
struct Bar {
    /// Divided by that of the best peer.
    ratio: Option<f64>,
    /// In itself.
    value: Option<f64>,
}

impl Measure {
    /// A figure.
    pub fn new(name: &'static str, unit: Unit, value: f64) -> Measure {
        Measure { name, unit, value, bar: Bar::default() }
    }

    /// With a bar for the figure divided by that of the best peer.
    pub fn ratio_bar(mut self, ratio: f64) -> Measure {
        self.bar.ratio = Some(ratio);
        self
    }

    /// With a bar for the figure itself.
    pub fn bar(mut self, value: f64) -> Measure {
        self.bar.value = Some(value);
        self
    }
}

/// The figures of one contestant for one measure, a round each.
#[derive(Debug)]
struct Row {
    scenario: &'static str,
    name: &'static str,
    unit: Unit,
    bar: Bar,
    /// By contestant; ours is first.
    rounds: Vec<Vec<f64>>,
}

/// Everything measured so far.
#[derive(Debug)]
pub struct Report {
    labels: Vec<String>,
    programs: Vec<String>,
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl Report {
    /// An empty report about these; the first is ours.
    pub fn new(contestants: &[Contestant]) -> Report {
        Report {
            labels: contestants.iter().map(|contestant| contestant.label.clone()).collect(),
            programs: contestants
                .iter()
                .map(|contestant| contestant.program.display().to_string())
                .collect(),
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds what one run of a contestant measured.
    pub fn add(&mut self, scenario: &'static str, contestant: usize, measures: &[Measure]) {
        for measure in measures {
            let known = self
                .rows
                .iter()
                .position(|row| row.scenario == scenario && row.name == measure.name);
            let place = known.unwrap_or_else(|| {
                let rounds = vec![Vec::new(); self.labels.len()];
                let Measure { name, unit, bar, .. } = *measure;
                self.rows.push(Row { scenario, name, unit, bar, rounds });
                self.rows.len() - 1
            });
            self.rows[place].rounds[contestant].push(measure.value);
        }
    }

    /// Adds a run that has no figures.
    pub fn add_failure(&mut self, text: String) {
        self.failures.push(text);
    }

    /// Whether any run has no figures.
    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        let mut lines = vec![self.heading()];
        let mut scenario = "";
        for row in &self.rows {
            let shown = if row.scenario == scenario { "" } else { row.scenario };
            scenario = row.scenario;
            lines.push(row.cells(shown));
        }
        let mut text = aligned(&lines);
        for failure in &self.failures {
            let _ = writeln!(text, "failed: {failure}");
        }
        text
    }

    fn heading(&self) -> Vec<String> {
        let mut cells = vec!["scenario".to_owned(), "measure".into(), "unit".into()];
        cells.extend(self.labels.iter().cloned());
        cells.extend(["ratio", "better", "bar", "met"].map(str::to_owned));
        cells
    }

    /// The document for a program.
    pub fn json(&self, context: Value) -> Value {
        json!({
            "context": context,
            "contestants": self.labels.iter().zip(&self.programs)
                .map(|(label, program)| json!({ "label": label, "program": program })).collect::<Vec<_>>(),
            "results": self.rows.iter().map(|row| row.json(&self.labels)).collect::<Vec<_>>(),
            "failures": self.failures,
        })
    }
}

impl Row {
    fn median(&self, contestant: usize) -> Option<f64> {
        let rounds = &self.rounds[contestant];
        (!rounds.is_empty()).then(|| median(rounds))
    }

    /// The best of the peers.
    fn theirs(&self) -> Option<f64> {
        let peers = (1..self.rounds.len()).filter_map(|peer| self.median(peer));
        peers.reduce(if self.unit.is_higher_better() { f64::max } else { f64::min })
    }

    /// Ours divided by the best of the peers.
    fn ratio(&self) -> Option<f64> {
        let pair = self.median(0).zip(self.theirs()).filter(|(_, theirs)| *theirs > 0.0);
        pair.map(|(ours, theirs)| ours / theirs)
    }

    /// Whether ours is as good as it is to be; nothing without a bar or without figures for it.
    fn is_met(&self) -> Option<bool> {
        let holds = |figure: f64, bar: f64| {
            if self.unit.is_higher_better() { figure >= bar } else { figure <= bar }
        };
        let ratio = self.bar.ratio.and_then(|bar| self.ratio().map(|ratio| holds(ratio, bar)));
        let value = self.bar.value.and_then(|bar| self.median(0).map(|ours| holds(ours, bar)));
        match (ratio, value) {
            (Some(ratio), Some(value)) => Some(ratio && value),
            (ratio, value) => ratio.or(value),
        }
    }

    fn bar_text(&self) -> String {
        let sign = if self.unit.is_higher_better() { ">=" } else { "<=" };
        let ratio = self.bar.ratio.map(|ratio| format!("{sign} {ratio:.2} x"));
        let value = self.bar.value.map(|value| format!("{sign} {}", self.unit.text(value)));
        ratio.into_iter().chain(value).collect::<Vec<_>>().join(", ")
    }

    fn cells(&self, scenario: &str) -> Vec<String> {
        let mut cells = vec![scenario.to_owned(), self.name.into(), self.unit.name().into()];
        let value =
            |contestant| self.median(contestant).map_or("-".into(), |value| self.unit.text(value));
        cells.extend((0..self.rounds.len()).map(value));
        cells.push(self.ratio().map_or("-".into(), |ratio| format!("{ratio:.2}")));
        cells.push(if self.unit.is_higher_better() { "higher" } else { "lower" }.into());
        cells.push(self.bar_text());
        cells.push(self.is_met().map_or("", |is_met| if is_met { "yes" } else { "NO" }).into());
        cells
    }

    fn json(&self, labels: &[String]) -> Value {
        let of = |contestant: usize| {
            json!({
                "label": labels[contestant],
                "median": self.median(contestant),
                "rounds": self.rounds[contestant],
            })
        };
        json!({
            "scenario": self.scenario,
            "measure": self.name,
            "unit": self.unit.name(),
            "higher_is_better": self.unit.is_higher_better(),
            "ours": of(0),
            "peers": (1..labels.len()).map(of).collect::<Vec<_>>(),
            "ratio": self.ratio(),
            "bar": { "ratio": self.bar.ratio, "value": self.bar.value, "met": self.is_met() },
        })
    }
}

/// Text columns to the left, figures to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    const TEXT_COLUMNS: usize = 3;
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0)
    };
    let widths = (0..columns).map(width).collect::<Vec<_>>();
    let mut text = String::new();
    for line in lines {
        let mut out = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let _ = if column < TEXT_COLUMNS {
                write!(out, "{cell:<width$}  ")
            } else {
                write!(out, "{cell:>width$}  ")
            };
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

/// The middle value; between two, their mean.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The value that so many percent are not above.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
