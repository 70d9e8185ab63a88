//! What `facts` prints: how many nodes have which value of a fact.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::style::printable;
use super::table::Table;
use super::value::indented;

/// Nodes by the value they gave.
#[derive(Debug, Default)]
pub struct Report {
    values: BTreeMap<String, Vec<String>>,
}

/// How a report is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Names of the nodes as well.
    pub nodes: bool,
    /// Most frequent value first.
    pub reverse: bool,
}

impl Report {
    /// Counts one node. Text values stand as they are, missing ones as `nil`, others as JSON.
    pub fn add(&mut self, node: &str, value: &Value) {
        let key = match value {
            Value::Null => "nil".to_string(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.values.entry(key).or_default().push(node.to_string());
    }

    /// Whether no node gave a value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Lines of text, without the closing statistics.
    pub fn text(&self, fact: &str, options: Options) -> String {
        let longest =
            self.values.keys().map(|value| printable(value).chars().count()).max().unwrap_or(0);
        let mut out = format!("Report for fact: {fact}\n\n");
        for (value, nodes) in self.sorted(options) {
            out.push_str(&format!(
                "  {:<longest$} found {} times\n",
                printable(value),
                nodes.len()
            ));
            if options.nodes {
                out.push('\n');
                for node in &nodes {
                    out.push_str(&format!("    {}\n", printable(node)));
                }
                out.push('\n');
            }
        }
        out.push('\n');
        out
    }

    /// The same as a table.
    pub fn table(&self, options: Options) -> String {
        let mut table = Table::new(
            if options.nodes { &["Fact", "Matches", "Nodes"][..] } else { &["Fact", "Matches"] }
                .to_vec(),
        );
        for (value, nodes) in self.sorted(options) {
            let names = printable(&nodes.join("\n"));
            table.row([printable(value), nodes.len().to_string(), names]);
        }
        table.render()
    }

    /// The same as JSON: value to `count` and `identities`.
    pub fn json(&self) -> String {
        let entries = self.sorted(Options::default()).into_iter();
        let map: serde_json::Map<String, Value> = entries
            .map(|(value, nodes)| {
                (value.to_string(), json!({"count": nodes.len(), "identities": nodes}))
            })
            .collect();
        indented(&map, 2)
    }

    /// By count, then by value; node names sorted.
    fn sorted(&self, options: Options) -> Vec<(&str, Vec<&str>)> {
        let mut list: Vec<(&str, Vec<&str>)> = self
            .values
            .iter()
            .map(|(value, nodes)| {
                let mut nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
                nodes.sort_unstable();
                (value.as_str(), nodes)
            })
            .collect();
        list.sort_by_key(|(_, nodes)| nodes.len());
        if options.reverse {
            list.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let mut report = Report::default();
        report.add("n2", &json!("CentOS"));
        report.add("n1", &json!("CentOS"));
        report.add("n3", &Value::Null);
        report
    }

    #[test]
    fn text_counts_values_rarest_first() {
        let text = sample().text("os.name", Options::default());
        assert_eq!(
            text,
            "Report for fact: os.name\n\n  nil    found 1 times\n  CentOS found 2 times\n\n"
        );
    }

    #[test]
    fn names_and_order_on_request() {
        let text = sample().text("os.name", Options { nodes: true, reverse: true });
        assert_eq!(
            text,
            "Report for fact: os.name\n\n  CentOS found 2 times\n\n    n1\n    n2\n\n  nil    found 1 times\n\n    n3\n\n\n"
        );
    }

    #[test]
    fn a_table_with_nodes() {
        assert_eq!(
            sample().table(Options { nodes: true, reverse: false }),
            "╭────────┬─────────┬───────╮\n\
             │ Fact   │ Matches │ Nodes │\n\
             ├────────┼─────────┼───────┤\n\
             │ nil    │ 1       │ n3    │\n\
             │ CentOS │ 2       │ n1    │\n\
             │        │         │ n2    │\n\
             ╰────────┴─────────┴───────╯\n"
        );
    }

    #[test]
    fn json_maps_values_to_nodes() {
        let value: Value = serde_json::from_str(&sample().json()).unwrap_or_default();
        assert_eq!(
            value,
            json!({"CentOS": {"count": 2, "identities": ["n1", "n2"]}, "nil": {"count": 1, "identities": ["n3"]}})
        );
    }
}
