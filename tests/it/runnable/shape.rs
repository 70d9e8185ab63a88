//! Whether an output has the shape that a page shows: its lines in order, with other numbers and blanks. `…` stands for any text
//! in a line, and alone on a line for any lines.

use regex::Regex;

/// Whether `output` has the shape; what is shown stands first.
pub fn fits(shape: &str, output: &str) -> bool {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let shown: Vec<&str> = shape.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    all_fit(&shown, &lines)
}

/// Whether the lines of the shape are parts of lines of `output`, in order, whatever stands between them.
pub fn is_within(shape: &str, output: &str) -> bool {
    let mut lines = output.lines();
    let mut shown = shape.lines().filter(|line| !line.trim().is_empty());
    shown.all(|shown| {
        let shown = Regex::new(&pattern(shown.trim())).expect("a pattern");
        lines.any(|line| shown.is_match(line))
    })
}

fn all_fit(shown: &[&str], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((&"…", rest)) => (0..=lines.len()).any(|from| all_fit(rest, &lines[from..])),
        Some((first, rest)) => lines.split_first().is_some_and(|(line, lines)| {
            let first = Regex::new(&format!("^{}$", pattern(first))).expect("a pattern");
            first.is_match(line) && all_fit(rest, lines)
        }),
    }
}

/// A regular expression for a line that is shown.
fn pattern(line: &str) -> String {
    let mut pattern = String::new();
    let mut last = ' ';
    for c in line.chars() {
        match c {
            '0'..='9' if last.is_ascii_digit() => {}
            '0'..='9' => pattern.push_str("[0-9]+"),
            ' ' if last == ' ' => {}
            ' ' => pattern.push_str("[[:space:]]+"),
            '…' => pattern.push_str(".*"),
            c => pattern.push_str(&regex::escape(&c.to_string())),
        }
        last = c;
    }
    pattern
}

#[test]
fn numbers_blanks_and_dots_may_differ() {
    for (shape, output, expected) in [
        ("n1  time=1.5 ms\n", "n22   time=17.05 ms\n", true),
        ("n1 time=1 ms\n", "n1 time=fast ms\n", false),
        ("a\n…\nb\n", "a\nx\ny\nb\n", true),
        ("a\n…\nb\n", "a\nx\ny\n", false),
        ("a …: b", "a 7: b", true),
        ("a\n", "a\nb\n", false),
    ] {
        assert_eq!(fits(shape, output), expected, "{shape:?} {output:?}");
    }
    assert!(is_within("b\nd\n", "a\nxb1\nc\nd\n") && !is_within("d\nb\n", "a\nb\nc\nd\n"));
}
