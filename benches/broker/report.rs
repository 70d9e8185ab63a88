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
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::PerSecond => "1/s",
            Unit::Kibibytes => "KiB",
            Unit::Milliseconds => "ms",
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
            Unit::Kibibytes | Unit::Milliseconds => format!("{value:.2}"),
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
}

impl Measure {
    /// A figure.
    pub fn new(name: &'static str, unit: Unit, value: f64) -> Measure {
        Measure { name, unit, value }
    }
}

/// The figures of one contestant for one measure, a round each.
#[derive(Debug)]
struct Row {
    scenario: &'static str,
    name: &'static str,
    unit: Unit,
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
                self.rows.push(Row { scenario, name: measure.name, unit: measure.unit, rounds });
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
        cells.extend(["ratio".into(), "better".into()]);
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
        self.median(0).zip(self.theirs()).map(|(ours, theirs)| ours / theirs)
    }

    fn cells(&self, scenario: &str) -> Vec<String> {
        let mut cells = vec![scenario.to_owned(), self.name.into(), self.unit.name().into()];
        let value =
            |contestant| self.median(contestant).map_or("-".into(), |value| self.unit.text(value));
        cells.extend((0..self.rounds.len()).map(value));
        cells.push(self.ratio().map_or("-".into(), |ratio| format!("{ratio:.2}")));
        cells.push(if self.unit.is_higher_better() { "higher" } else { "lower" }.into());
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
