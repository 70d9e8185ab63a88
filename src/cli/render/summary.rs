//! Aggregates of a request as text.

use super::style::Style;

/// One aggregated output: its label and its lines, in the order to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `display_as` of the output.
    pub label: String,
    /// Formatted results; a line may hold a graph of several lines.
    pub lines: Vec<String>,
}

/// The summaries one after the other, each ended by an empty line.
pub fn summaries(list: &[Summary], style: Style) -> String {
    let mut out = String::new();
    for summary in list {
        out.push_str(&style.bold(&format!("Summary of {}:", summary.label)));
        out.push_str("\n\n");
        for line in &summary.lines {
            let margin = if line.contains('\n') { "" } else { "   " };
            out.push_str(&format!("{margin}{line}\n"));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_indented_but_graphs_are_not() {
        let summary = |lines: &[&str]| Summary {
            label: "Value".into(),
            lines: lines.iter().map(|line| line.to_string()).collect(),
        };
        assert_eq!(summaries(&[], Style::PLAIN), "");
        assert_eq!(
            summaries(&[summary(&["a: 1"])], Style::PLAIN),
            "Summary of Value:\n\n   a: 1\n\n"
        );
        assert_eq!(summaries(&[summary(&["|\n|"])], Style::PLAIN), "Summary of Value:\n\n|\n|\n\n");
    }
}
