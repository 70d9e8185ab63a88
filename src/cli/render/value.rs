//! JSON values as text for people.

use serde_json::Value;

use super::style::printable;

/// How [`pretty`] lays a value out.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// In front of every line; not written before the first, which is as far to the right.
    pub prefix: &'a str,
    /// For each level below the first.
    pub indent: &'a str,
    /// Arrays without objects that fit into this many columns stay on one line; 0 breaks every array.
    pub width: usize,
}

/// A value over several lines, keys sorted, short arrays on one line. No line break at the end.
pub fn pretty(value: &Value, layout: Layout<'_>) -> String {
    let mut out = String::from(layout.prefix);
    write(&mut out, value, layout, 0);
    // JSON escapes control characters but for those above 127.
    printable(&out.split_off(layout.prefix.len()))
}

/// One value on one line: text as it is, nothing for null, JSON for the rest.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON with `indent` spaces a level, in the order the values hold.
pub fn indented(value: &impl serde::Serialize, indent: usize) -> String {
    let spaces = " ".repeat(indent);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // Every value given here has text keys and is written to memory: it cannot fail.
    if value.serialize(&mut serializer).is_err() {
        return "null".into();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn write(out: &mut String, value: &Value, layout: Layout<'_>, depth: usize) {
    match value {
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Object(map) if map.is_empty() => out.push_str("{}"),
        Value::Array(items) => match one_line(items, layout.width.saturating_sub(column(out))) {
            Some(line) => out.push_str(&line),
            None => block(out, ('[', ']'), items.iter().map(|item| (None, item)), layout, depth),
        },
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            block(
                out,
                ('{', '}'),
                pairs.into_iter().map(|(key, item)| (Some(key), item)),
                layout,
                depth,
            );
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn block<'v>(
    out: &mut String,
    (open, close): (char, char),
    items: impl Iterator<Item = (Option<&'v String>, &'v Value)>,
    layout: Layout<'_>,
    depth: usize,
) {
    out.push(open);
    for (index, (key, item)) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        new_line(out, layout, depth + 1);
        if let Some(key) = key {
            out.push_str(&Value::from(key.as_str()).to_string());
            out.push_str(": ");
        }
        write(out, item, layout, depth + 1);
    }
    new_line(out, layout, depth);
    out.push(close);
}

fn new_line(out: &mut String, layout: Layout<'_>, depth: usize) {
    out.push('\n');
    out.push_str(layout.prefix);
    out.push_str(&layout.indent.repeat(depth));
}

/// Columns the current line has used, its line break counted as one.
fn column(out: &str) -> usize {
    out.len() - out.rfind('\n').unwrap_or(0)
}

fn one_line(items: &[Value], width: usize) -> Option<String> {
    let mut line = String::from("[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            line.push_str(", ");
        }
        match item {
            Value::Object(map) if !map.is_empty() => return None,
            Value::Array(inner) if !inner.is_empty() => line.push_str(&one_line(inner, width)?),
            scalar => line.push_str(&scalar.to_string()),
        }
        if line.len() > width {
            return None;
        }
    }
    line.push(']');
    (line.len() <= width).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: Value, expected: &str) {
        assert_eq!(pretty(&value, Layout { prefix: "  ", indent: "  ", width: 80 }), expected);
    }

    #[test]
    fn short_arrays_stay_on_one_line_and_keys_are_sorted() {
        check(json!([]), "[]");
        check(json!({}), "{}");
        check(json!(["a", 1, null]), r#"["a", 1, null]"#);
        check(
            json!({"b": ["x", ["y"]], "a": {}}),
            "{\n    \"a\": {},\n    \"b\": [\"x\", [\"y\"]]\n  }",
        );
        check(json!([{"a": 1}]), "[\n    {\n      \"a\": 1\n    }\n  ]");
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        check(json!({"a\u{1b}": "\u{9b}2J"}), "{\n    \"a\\u001b\": \"\\u{9b}2J\"\n  }");
    }

    #[test]
    fn long_arrays_are_broken() {
        let long = "x".repeat(74);
        check(json!([long]), &format!("[\"{long}\"]"));
        let longer = "x".repeat(75);
        check(json!([longer]), &format!("[\n    \"{longer}\"\n  ]"));
    }

    #[test]
    fn plain_text_of_values() {
        for (value, text) in [
            (json!(null), ""),
            (json!("a b"), "a b"),
            (json!(true), "true"),
            (json!(1.5), "1.5"),
            (json!([1, 2]), "[1,2]"),
        ] {
            assert_eq!(plain(&value), text);
        }
    }

    #[test]
    fn indentation_is_as_wide_as_asked() {
        assert_eq!(indented(&json!({"a": [1]}), 3), "{\n   \"a\": [\n      1\n   ]\n}");
    }
}
