//! Figures in the text format of Prometheus, for every part of the program that has some.

use std::fmt::{self, Write};

/// A text of figures in the making.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// What somebody can tell about himself in figures.
pub trait Figures: fmt::Debug + Send + Sync {
    /// Adds them to a text. The samples of one name stand together, behind their head.
    fn write(&self, text: &mut Exposition);

    /// What keeps this part from doing its work now; one line without a final full stop.
    fn trouble(&self) -> Option<String> {
        None
    }
}

impl Exposition {
    /// Begins a name: `counter`, `gauge` or `summary`, and what it means.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One sample. Labels stand in the order in which they are given.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.text.push_str(name);
        if !labels.is_empty() {
            let pairs: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let _ = write!(self.text, "{{{}}}", pairs.join(","));
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// The text of a label's value.
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.head("a_total", "counter", "What it counts");
        text.sample("a_total", &[("name", "x\"y\\z\n"), ("worker", "0")], 5);
        text.sample("a_seconds", &[], 0.25);
        assert_eq!(
            text.finish(),
            "# HELP a_total What it counts\n# TYPE a_total counter\n\
             a_total{name=\"x\\\"y\\\\z\\n\",worker=\"0\"} 5\na_seconds 0.25\n"
        );
    }
}
