//! How decisions look.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::render::style::{Style, printable};

/// Columns that lists of nodes are broken at.
const WIDTH: usize = 100;

/// What a node, or this machine, says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Answer {
    /// Whether the action would run.
    pub allow: bool,
    /// Why, with file, line and rule.
    pub reason: String,
}

impl Answer {
    /// Reads what the agent answers; a node is not to be trusted with the form of it.
    pub(super) fn read(data: &Value) -> Option<Answer> {
        let allow = data.get("allow")?.as_bool()?;
        let reason = data.get("reason")?.as_str()?.to_owned();
        Some(Answer { allow, reason })
    }

    fn word(&self, style: Style) -> String {
        if self.allow { style.green("allowed") } else { style.red("denied") }
    }
}

/// The decision of this machine.
pub(super) fn one(subject: &str, answer: &Answer, style: Style) -> String {
    format!("{}: {}\n    {}\n", answer.word(style), printable(subject), printable(&answer.reason))
}

/// Nodes by what they say: those that deny first, as they are what one looks for.
pub(super) fn many(answers: &BTreeMap<Answer, Vec<String>>, style: Style) -> String {
    let mut text = String::new();
    for (answer, nodes) in answers {
        let _ = writeln!(text, "{} on {}", answer.word(style), count(nodes.len()));
        let _ = writeln!(text, "    {}", printable(&answer.reason));
        text.push_str(&listed(nodes));
    }
    text
}

/// Nodes on which another policy would decide otherwise, by what they say now and would say.
pub(super) fn changes(
    changes: &BTreeMap<(Answer, Answer), Vec<String>>,
    same: usize,
    style: Style,
) -> String {
    let mut text = String::new();
    for ((now, then), nodes) in changes {
        let (now_word, then_word) = (now.word(style), then.word(style));
        let _ = writeln!(text, "{now_word}, would be {then_word} on {}", count(nodes.len()));
        let _ = writeln!(text, "    now:  {}", printable(&now.reason));
        let _ = writeln!(text, "    then: {}", printable(&then.reason));
        text.push_str(&listed(nodes));
    }
    let different: usize = changes.values().map(Vec::len).sum();
    let _ = writeln!(
        text,
        "{}{} would decide otherwise, {} as now",
        if text.is_empty() { "" } else { "\n" },
        count(different),
        count(same)
    );
    text
}

/// Nodes that could not say.
pub(super) fn failures(failures: &BTreeMap<String, Vec<String>>, style: Style) -> String {
    let mut text = String::new();
    for (reason, nodes) in failures {
        let word = style.yellow("no decision");
        let _ = writeln!(text, "{word} on {}", count(nodes.len()));
        let _ = writeln!(text, "    {}", printable(reason));
        text.push_str(&listed(nodes));
    }
    text
}

fn count(nodes: usize) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

fn listed(nodes: &[String]) -> String {
    let mut text = String::new();
    let mut column = 0;
    for node in nodes {
        let node = printable(node);
        if column == 0 || column + node.len() + 1 > WIDTH {
            text.push_str(if text.is_empty() { "        " } else { "\n        " });
            column = 8;
        } else {
            text.push(' ');
        }
        column += node.len() + 1;
        text.push_str(&node);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(allow: bool, reason: &str) -> Answer {
        Answer { allow, reason: reason.to_owned() }
    }

    #[test]
    fn nodes_by_what_they_say() {
        let names: Vec<String> = (0..20).map(|n| format!("node{n:02}.example.net")).collect();
        let answers = BTreeMap::from([
            (answer(true, "p:2: allowed"), names),
            (answer(false, "p:3: denied\u{7}"), vec!["n1".to_owned()]),
        ]);
        let text = many(&answers, Style::PLAIN);
        assert!(text.starts_with(
            "denied on 1 node\n    p:3: denied\\u{7}\n        n1\nallowed on 20 nodes\n"
        ));
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn what_would_change() {
        let change = (answer(true, "a"), answer(false, "b"));
        let text = changes(&BTreeMap::from([(change, vec!["n1".to_owned()])]), 2, Style::PLAIN);
        assert_eq!(
            text,
            "allowed, would be denied on 1 node\n    now:  a\n    then: b\n        n1\n\n\
             1 node would decide otherwise, 2 nodes as now\n"
        );
        let none = changes(&BTreeMap::new(), 2, Style::PLAIN);
        assert_eq!(none, "0 nodes would decide otherwise, 2 nodes as now\n");
    }

    #[test]
    fn answers_of_another_form_are_none() {
        for data in [json!(null), json!({"allow": "yes", "reason": ""}), json!({"allow": true})] {
            assert_eq!(Answer::read(&data), None);
        }
        assert_eq!(Answer::read(&json!({"allow": true, "reason": "r"})), Some(answer(true, "r")));
    }
}
