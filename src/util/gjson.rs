//! Paths into JSON, in the language of facts, reply displays and inventories.
//!
//! A subset of gjson's: `a.b`, `a.0`, `a.#` (length), `a.#.b` (of each element), `a.#(k=="v")` (first
//! match), `a.#(k=="v")#` (all matches), `*` and `?` in keys, `\` before a character that is meant as
//! itself, `|` in place of `.` to go on with a whole result, and `@this`, `@keys`, `@values`.
//! Objects are walked in the order of their keys.

use std::borrow::Cow;

use serde_json::Value;

/// Steps of a path, including those of its queries; longer paths find nothing.
const STEPS_MAX: usize = 64;

/// The value at `path`, or nothing when there is none. The empty path finds nothing.
pub fn lookup<'a>(value: &'a Value, path: &str) -> Option<Cow<'a, Value>> {
    walk(value, path, STEPS_MAX)
}

fn walk<'a>(value: &'a Value, path: &str, steps: usize) -> Option<Cow<'a, Value>> {
    if path.is_empty() || steps == 0 {
        return None;
    }
    if let (Value::Array(items), Some(rest)) = (value, path.strip_prefix('#')) {
        return walk_array(items, rest, steps - 1);
    }
    let (step, rest) = Step::read(path);
    let found = match (&step, value) {
        (Step { name, wild: false, .. }, Value::Array(items)) => {
            Cow::Borrowed(items.get(index(name)?)?)
        }
        (step, value) if step.is_modifier() => modify(value, &step.name)?,
        (Step { name, wild: false, .. }, Value::Object(map)) => {
            Cow::Borrowed(map.get(name.as_ref())?)
        }
        (Step { pattern, .. }, Value::Object(map)) => {
            Cow::Borrowed(map.iter().find(|(key, _)| wildcard(pattern, key))?.1)
        }
        _ => return None,
    };
    go_on(found, rest, steps - 1)
}

/// The rest of a path after one value was found.
fn go_on<'a>(found: Cow<'a, Value>, rest: Option<&str>, steps: usize) -> Option<Cow<'a, Value>> {
    let Some(rest) = rest else { return Some(found) };
    match found {
        Cow::Borrowed(value) => walk(value, rest, steps),
        Cow::Owned(value) => walk(&value, rest, steps).map(|found| Cow::Owned(found.into_owned())),
    }
}

/// What follows a `#` on an array.
fn walk_array<'a>(items: &'a [Value], path: &str, steps: usize) -> Option<Cow<'a, Value>> {
    if path.is_empty() {
        return Some(Cow::Owned(Value::from(items.len())));
    }
    if let Some(rest) = path.strip_prefix('.') {
        return Some(Cow::Owned(each(items.iter(), rest, steps)));
    }
    if let Some(rest) = path.strip_prefix('|') {
        return go_on(Cow::Owned(Value::from(items.len())), Some(rest), steps);
    }
    let (query, rest) = Query::read(path)?;
    let Some(rest) = rest.strip_prefix('#') else {
        let first = items.iter().find(|item| query.matches(item, steps))?;
        return go_on(Cow::Borrowed(first), separated(rest)?, steps);
    };
    let all = items.iter().filter(|item| query.matches(item, steps));
    if let Some(rest) = rest.strip_prefix('.') {
        return Some(Cow::Owned(each(all, rest, steps)));
    }
    go_on(Cow::Owned(Value::Array(all.cloned().collect())), separated(rest)?, steps)
}

/// What `path` finds in each of the items that have it.
fn each<'a>(items: impl Iterator<Item = &'a Value>, path: &str, steps: usize) -> Value {
    // `#.rest|whole` applies the end to the list of results; a pipe inside a query is not one.
    items.filter_map(|item| walk(item, path, steps)).map(Cow::into_owned).collect()
}

/// The path after a separator; the inner `None` at the end of the path.
fn separated(rest: &str) -> Option<Option<&str>> {
    if rest.is_empty() {
        return Some(None);
    }
    rest.strip_prefix(['.', '|']).map(Some)
}

fn index(name: &str) -> Option<usize> {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    if plain { name.parse().ok() } else { None }
}

fn modify<'a>(value: &'a Value, name: &str) -> Option<Cow<'a, Value>> {
    match (name, value) {
        ("@this", value) => Some(Cow::Borrowed(value)),
        ("@keys", Value::Object(map)) => {
            Some(Cow::Owned(map.keys().map(|key| Value::from(key.as_str())).collect()))
        }
        ("@values", Value::Object(map)) => Some(Cow::Owned(map.values().cloned().collect())),
        ("@values", Value::Array(_)) => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

/// One component of a path.
struct Step<'p> {
    /// The component with its escapes resolved.
    name: Cow<'p, str>,
    /// The component as it is written, for [`wildcard`].
    pattern: &'p str,
    /// Whether it has a wildcard that is not escaped.
    wild: bool,
}

impl<'p> Step<'p> {
    /// The first component, and what follows its separator.
    fn read(path: &'p str) -> (Self, Option<&'p str>) {
        let (mut wild, mut escaped, mut was_escape, mut end) = (false, false, false, path.len());
        for (at, c) in path.char_indices() {
            match c {
                _ if was_escape => was_escape = false,
                '\\' => (escaped, was_escape) = (true, true),
                '.' | '|' => {
                    end = at;
                    break;
                }
                '*' | '?' => wild = true,
                _ => {}
            }
        }
        let pattern = &path[..end];
        let name = if escaped { Cow::Owned(unescape(pattern)) } else { Cow::Borrowed(pattern) };
        (Step { name, pattern, wild }, path.get(end + 1..))
    }

    fn is_modifier(&self) -> bool {
        matches!(self.pattern, "@this" | "@keys" | "@values")
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// Whether `text` fits a pattern of `*`, `?`, escapes and plain characters.
fn wildcard(pattern: &str, text: &str) -> bool {
    enum Part {
        Any,
        One,
        Char(char),
    }
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Char(chars.next().unwrap_or('\\')),
            c => Part::Char(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut part, mut at) = (0, 0);
    // Where to go on after the last `*` when what follows it does not fit.
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                back = Some((part + 1, at));
                part += 1;
            }
            Some(Part::One) => (part, at) = (part + 1, at + 1),
            Some(Part::Char(c)) if *c == text[at] => (part, at) = (part + 1, at + 1),
            _ => match &mut back {
                Some((after, from)) => {
                    *from += 1;
                    (part, at) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    parts[part..].iter().all(|part| matches!(part, Part::Any))
}

/// The condition in `#(...)`.
struct Query<'p> {
    path: &'p str,
    operator: &'p str,
    value: Cow<'p, str>,
}

impl<'p> Query<'p> {
    /// Reads `(...)` at the start of `text`; gives the text after it as well.
    fn read(text: &'p str) -> Option<(Self, &'p str)> {
        let inner = text.strip_prefix('(')?;
        let (mut depth, mut quoted, mut was_escape) = (1, false, false);
        let mut operator_at = None;
        let mut end = None;
        for (at, c) in inner.char_indices() {
            match c {
                _ if was_escape => was_escape = false,
                '\\' => was_escape = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                '(' => depth += 1,
                ')' if depth == 1 => {
                    end = Some(at);
                    break;
                }
                ')' => depth -= 1,
                '=' | '!' | '<' | '>' | '%' if depth == 1 && operator_at.is_none() => {
                    operator_at = Some(at);
                }
                _ => {}
            }
        }
        let end = end?;
        let (body, rest) = (&inner[..end], &inner[end + 1..]);
        let Some(at) = operator_at else {
            return Some((Query { path: body.trim(), operator: "", value: "".into() }, rest));
        };
        let (path, condition) = body.split_at(at);
        let operator = ["==", "!=", "<=", ">=", "!%", "=", "<", ">", "%"]
            .into_iter()
            .find(|operator| condition.starts_with(operator))?;
        let value = condition[operator.len()..].trim();
        let value = match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
            Some(value) if value.contains('\\') => Cow::Owned(unescape(value)),
            Some(value) => Cow::Borrowed(value),
            None => Cow::Borrowed(value),
        };
        Some((Query { path: path.trim(), operator, value }, rest))
    }

    fn matches(&self, item: &Value, steps: usize) -> bool {
        let found = if self.path.is_empty() {
            Some(Cow::Borrowed(item))
        } else {
            walk(item, self.path, steps.saturating_sub(1))
        };
        let Some(found) = found else { return false };
        match (found.as_ref(), self.operator) {
            (_, "") => true,
            (Value::String(text), "%") => wildcard(&self.value, text),
            (Value::String(text), "!%") => !wildcard(&self.value, text),
            (Value::String(text), operator) => {
                compare(operator, Some(text.as_str().cmp(&self.value)))
            }
            (Value::Number(number), operator) => {
                let value = self.value.parse().unwrap_or(0.0);
                compare(operator, number.as_f64().and_then(|number| number.partial_cmp(&value)))
            }
            (Value::Bool(fact), operator) => {
                let Ok(value) = self.value.parse::<bool>() else { return operator == "!=" };
                compare(operator, Some(fact.cmp(&value)))
            }
            _ => false,
        }
    }
}

fn compare(operator: &str, order: Option<std::cmp::Ordering>) -> bool {
    let Some(order) = order else { return false };
    match operator {
        "=" | "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts() -> Value {
        json!({
            "name": {"first": "Tom", "last": "Anderson"},
            "age": 37,
            "none": null,
            "children": ["Sara", "Alex", "Jack"],
            "fav.movie": "Deer Hunter",
            "a*b": 1, "back\\slash": 2, "0": "zero",
            "friends": [
                {"first": "Dale", "last": "Murphy", "age": 44, "nets": ["ig", "fb", "tw"], "ok": true},
                {"first": "Roger", "last": "Craig", "age": 68, "nets": ["fb", "tw"], "ok": false},
                {"first": "Jane", "last": "Murphy", "age": 47, "nets": ["ig", "tw"]}
            ]
        })
    }

    #[test]
    fn paths() {
        let facts = facts();
        for (path, expected) in [
            ("name.last", json!("Anderson")),
            ("age", json!(37)),
            ("none", json!(null)),
            ("children", json!(["Sara", "Alex", "Jack"])),
            ("children.#", json!(3)),
            ("children.1", json!("Alex")),
            ("0", json!("zero")),
            ("child*.2", json!("Jack")),
            ("c?ildren.0", json!("Sara")),
            (r"fav\.movie", json!("Deer Hunter")),
            (r"a\*b", json!(1)),
            (r"back\\slash", json!(2)),
            ("friends.#.first", json!(["Dale", "Roger", "Jane"])),
            ("friends.1.last", json!("Craig")),
            ("friends.#.ok", json!([true, false])),
            ("friends.#.nets.#", json!([3, 2, 2])),
            (r#"friends.#(last=="Murphy").first"#, json!("Dale")),
            (r#"friends.#(last=="Murphy")#.first"#, json!(["Dale", "Jane"])),
            (r#"friends.#(age>45)#.last"#, json!(["Craig", "Murphy"])),
            (r#"friends.#(age>45)#|#"#, json!(2)),
            (r#"friends.#(first%"D*").last"#, json!("Murphy")),
            (r#"friends.#(first!%"D*").last"#, json!("Craig")),
            (r#"friends.#(nets.#(=="fb"))#.first"#, json!(["Dale", "Roger"])),
            (r#"friends.#(ok==true)#.first"#, json!(["Dale"])),
            (r#"friends.#(ok)#.first"#, json!(["Dale", "Roger"])),
            (r#"friends.#(last=="nobody")#"#, json!([])),
            (r#"children.#(!="Sara")"#, json!("Alex")),
            (r#"children.#(%"*x")"#, json!("Alex")),
            (r#"friends.#(age=68).first"#, json!("Roger")),
            ("name|first", json!("Tom")),
            ("name.@keys", json!(["first", "last"])),
            ("name.@values.0", json!("Tom")),
            ("name.@this.first", json!("Tom")),
        ] {
            assert_eq!(lookup(&facts, path).as_deref(), Some(&expected), "{path}");
        }
    }

    #[test]
    fn nothing_there() {
        let facts = facts();
        let deep = "a.".repeat(100) + "a";
        let nested = "#(".repeat(200);
        for path in [
            "",
            ".",
            "nope",
            "name.nope",
            "name.first.x",
            "children.3",
            "children.-1",
            "children.x",
            "children.+1",
            "name.#",
            "age.#",
            "friends.#(last",
            "friends.#(last==\"nobody\")",
            "friends.#()x",
            "fav.movie",
            "none.x",
            "@nope",
            &deep,
            &nested,
            "\\",
            "friends.#(",
            "children.#x",
            "name.first.@keys",
        ] {
            assert_eq!(lookup(&facts, path), None, "{path}");
        }
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("a?c", "aüc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbx", false),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} {text}");
        }
        let hard = "*a".repeat(200) + "b";
        assert!(!wildcard(&hard, &"a".repeat(2_000)));
    }
}
