//! One reply as a block of text, and which replies are shown at all.

use std::collections::BTreeMap;

use serde_json::Value;

use super::style::{Style, printable};
use super::value::{Layout, indented, plain, pretty};

/// Which replies are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Those with status 0.
    Ok,
    /// Those with any other status.
    Failed,
    /// Every one.
    All,
    /// Not one.
    None,
}

impl Display {
    /// The `display` of an action's description; anything unknown shows failures, so that none goes unseen.
    pub fn from_description(word: &str) -> Display {
        match word {
            "ok" => Display::Ok,
            "always" => Display::All,
            _ => Display::Failed,
        }
    }

    /// The value of `--display`.
    pub fn from_flag(word: &str) -> Option<Display> {
        match word {
            "ok" => Some(Display::Ok),
            "failed" => Some(Display::Failed),
            "all" | "always" => Some(Display::All),
            "none" => Some(Display::None),
            _ => None,
        }
    }

    /// Whether a reply with this status is shown.
    pub fn shows(self, status: i64) -> bool {
        match self {
            Display::Ok => status == 0,
            Display::Failed => status != 0,
            Display::All => true,
            Display::None => false,
        }
    }
}

/// What one node answered.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// Identity of the node.
    pub sender: &'a str,
    /// Status of the reply, 0 is good.
    pub status: i64,
    /// Status message.
    pub message: &'a str,
    /// Reply data, output defaults already in it.
    pub data: &'a Value,
}

/// How blocks are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Format<'a> {
    /// Colours.
    pub style: Style,
    /// Data as JSON instead of labelled lines.
    pub verbose: bool,
    /// Labels of the outputs by name (`display_as`).
    pub labels: &'a BTreeMap<String, String>,
}

/// The block of one reply, ending with an empty line.
pub fn block(reply: Reply<'_>, format: Format<'_>) -> String {
    let mut out =
        format!("{:<40} {}\n\n", printable(reply.sender), status(reply.status, format.style));
    if format.verbose {
        if reply.status != 0 {
            out.push_str(&failure(reply.message, format.style));
        }
        let json = printable(&indented(reply.data, 3)).replace('\n', "\n   ");
        out.push_str(&format!("   {json}\n\n"));
    } else if reply.status != 0 {
        out.push_str(&failure(reply.message, format.style));
    } else {
        out.push_str(&outputs(reply.data, format.labels));
        out.push('\n');
    }
    out
}

fn failure(message: &str, style: Style) -> String {
    format!("    {}\n\n", style.yellow(&printable(message)))
}

fn status(code: i64, style: Style) -> String {
    match code {
        0 => String::new(),
        1 => style.red("Request Aborted"),
        2 => style.yellow("Unknown Action"),
        3 => style.yellow("Missing Request Data"),
        4 => style.yellow("Invalid Request Data"),
        _ => style.red("Unknown Request Status"),
    }
}

/// One line for each value, labels right-aligned.
fn outputs(data: &Value, labels: &BTreeMap<String, String>) -> String {
    let Value::Object(map) = data else {
        return format!("   {}\n", printable(&plain(data)));
    };
    let mut lines: Vec<(&str, &str, &Value)> =
        map.iter().map(|(key, value)| (key.as_str(), label(key, labels), value)).collect();
    lines.sort_by_key(|(key, _, _)| *key);
    let longest = lines.iter().map(|(_, label, _)| label.chars().count()).max().unwrap_or(0);
    let prefix = " ".repeat(longest + 5);
    let mut out = String::new();
    for (_, label, value) in lines {
        let text = match value {
            Value::Array(_) | Value::Object(_) => {
                pretty(value, Layout { prefix: &prefix, indent: "  ", width: 80 })
            }
            scalar => printable(&plain(scalar)),
        };
        let label = printable(label);
        out.push_str(&format!("{label:>width$}: {}\n", text.trim(), width = longest + 3));
    }
    out
}

/// The label of an output: its `display_as`, or its own name when there is none.
pub fn label<'a>(key: &'a str, labels: &'a BTreeMap<String, String>) -> &'a str {
    labels.get(key).map(String::as_str).filter(|label| !label.is_empty()).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn draw(status: i64, message: &str, data: Value, verbose: bool) -> String {
        let labels = BTreeMap::from([("status".to_string(), "Service Status".to_string())]);
        let format = Format { style: Style::PLAIN, verbose, labels: &labels };
        block(Reply { sender: "n1.example.net", status, message, data: &data }, format)
    }

    const HEADER: &str = "n1.example.net                           ";

    #[test]
    fn a_good_reply_lists_its_outputs_by_label() {
        let text = draw(0, "OK", json!({"status": "running\n", "pid": 12, "none": null}), false);
        assert_eq!(
            text,
            format!(
                "{HEADER}\n\n             none: \n              pid: 12\n   Service Status: running\n\n"
            )
        );
    }

    #[test]
    fn lists_and_maps_are_indented_below_their_label() {
        let text = draw(0, "OK", json!({"status": {"b": [1, 2], "a.c": true}}), false);
        let pad = " ".repeat(19);
        assert_eq!(
            text,
            format!(
                "{HEADER}\n\n   Service Status: {{\n{pad}  \"a.c\": true,\n{pad}  \"b\": [1, 2]\n{pad}}}\n\n"
            )
        );
    }

    #[test]
    fn a_failure_shows_its_reason_instead_of_data() {
        let text = draw(1, "could not start", json!({"status": "x"}), false);
        assert_eq!(text, format!("{HEADER}Request Aborted\n\n    could not start\n\n"));
    }

    #[test]
    fn verbose_shows_json() {
        let text = draw(0, "OK", json!({"pong": 1}), true);
        assert_eq!(text, format!("{HEADER}\n\n   {{\n      \"pong\": 1\n   }}\n\n"));
    }

    /// What go-choria prints for data it also gives as JSON.
    #[test]
    fn the_same_text_as_the_reference() {
        let document = include_str!("../../../testdata/reply/inventory.json");
        let shown = include_str!("../../../testdata/reply/inventory.txt");
        let document: Value = serde_json::from_str(document).expect("the capture is JSON");
        let replies = document["replies"].as_array().expect("replies");
        let reply = replies
            .iter()
            .find(|reply| reply["sender"] == "node1.example.net")
            .expect("node1 replied");
        let agent = crate::ddl::builtin::agent("rpcutil").expect("rpcutil is built in");
        let action = agent.action("inventory").expect("rpcutil has inventory");
        let labels = action
            .outputs
            .iter()
            .map(|(name, output)| (name.clone(), output.display_as.clone()))
            .collect();
        let format = Format { style: Style::PLAIN, verbose: false, labels: &labels };
        let text = block(
            Reply { sender: "node1.example.net", status: 0, message: "OK", data: &reply["data"] },
            format,
        );
        let body = shown.split_once('\n').map(|(_, rest)| rest).expect("a line about discovery");
        let body = body.split("\nFinished processing").next().expect("a closing line");
        // The reference escapes for HTML inside JSON; we do not.
        let body = body.replace("\\u003c\\u0026\\u003e", "<&>");
        assert_eq!(text, body);
    }

    #[test]
    fn which_replies_are_shown() {
        for (display, good, bad) in [
            (Display::Ok, true, false),
            (Display::Failed, false, true),
            (Display::All, true, true),
            (Display::None, false, false),
        ] {
            assert_eq!((display.shows(0), display.shows(1)), (good, bad), "{display:?}");
        }
        assert_eq!(Display::from_description("always"), Display::All);
        assert_eq!(Display::from_description(""), Display::Failed);
        assert_eq!(Display::from_flag("sometimes"), None);
    }
}
